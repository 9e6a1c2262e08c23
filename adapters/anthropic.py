"""The Anthropic Messages dialect toward a provider: requests, whole answers, model lists, token counts. No socket.

Wire facts: Anthropic's API reference and its SDK 2.10 (2026-11-20), and recorded traffic. Content blocks are in
`anthropic_blocks.py`, the stream in `anthropic_stream.py`, a family's quirks in `anthropic_models.py`.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote

from adapters.anthropic_answers import error_from_body, error_in_stream, finish_reason, usage_from_wire
from adapters.anthropic_blocks import build_conversation, parts_from_content, vendor_data, vendor_metadata
from adapters.anthropic_schema import closed_schema
from adapters.anthropic_stream import AnthropicStreamDecoder
from adapters.anthropic_thinking import Thinking, build_thinking
from adapters.base import ProviderCodec, StreamDecoder
from adapters.errors import LLMError, UnsupportedFeatureError, UpstreamProtocolError
from adapters.types import (
    ChatRequest,
    ChatResponse,
    Choice,
    Dialect,
    JsonFormat,
    JsonSchemaFormat,
    ModelPage,
    NamedTool,
    RemoteModel,
    Target,
    ToolCall,
    ToolDefinition,
    WireRequest,
    WireResponse,
)
from adapters.wire_http import build_headers, checked_key, join_url
from adapters.wire_json import dump_client_json, read_json

__all__ = ["AnthropicCodec"]

DIALECT: Dialect = "anthropic.messages"

_DEFAULT_VERSION = "2023-06-01"
_FILES_BETA = "files-api-2025-04-14"
_FALLBACK_MAX_TOKENS = 4096  # for a model that nobody told us the limit of
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
# Hints of the request that only Anthropic understands; see `ChatRequest.provider_metadata`.
_CARRIED = ("cache_control", "context_management", "speed", "diagnostics")
_SERVICE_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_NOT_COUNTED = ("max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata", "service_tier")
_CAPABILITIES = {
    "image_input": "vision",
    "pdf_input": "files",
    "structured_outputs": "json",
    "thinking": "reasoning",
    "citations": "citations",
    "batch": "batch",
    "code_execution": "code_execution",
    "server_tools": "server_tools",
    "context_management": "context_management",
}


class AnthropicCodec(ProviderCodec):
    dialect: ClassVar[Dialect] = DIALECT
    counts_tokens: ClassVar[bool] = True

    def build_request(self, request: ChatRequest, target: Target, *, stream: bool) -> WireRequest:
        body, betas, warnings = _build_body(request, target)
        return WireRequest(
            method="POST",
            url=_url(target, "messages"),
            headers=_headers(target, betas=betas, stream=stream, version=_client_version(request)),
            body=dump_client_json(body | {"stream": stream}),
            stream=stream,
            warnings=tuple(dict.fromkeys(warnings)),
        )

    def parse_response(self, response: WireResponse, target: Target) -> ChatResponse:
        body = _read_object(response, target)
        content = body.get("content")
        if not isinstance(content, list):
            raise UpstreamProtocolError(
                "the answer has no content list", provider=target.provider, model=target.model, upstream_status=200
            )
        parts = parts_from_content(content)
        raw = body.get("stop_reason")
        raw = raw if isinstance(raw, str) else None
        if raw == "refusal":
            # A refusal may cut a call in two; half a call must not run.
            parts = tuple(part for part in parts if not isinstance(part, ToolCall))
        reason = finish_reason(raw, has_tool_calls=any(isinstance(part, ToolCall) for part in parts))
        usage = body.get("usage")
        return ChatResponse(
            id=body.get("id"),
            model=str(body.get("model") or target.model),
            choices=(Choice(parts=parts, finish_reason=reason, raw_finish_reason=raw),),
            usage=usage_from_wire(usage if isinstance(usage, dict) else {}),
            provider_metadata=vendor_metadata(
                stop_sequence=body.get("stop_sequence"),
                stop_details=body.get("stop_details"),
                container=body.get("container"),
                context_management=body.get("context_management"),
            ),
        )

    def stream_decoder(self, target: Target) -> StreamDecoder:
        return AnthropicStreamDecoder(target)

    def parse_error(self, response: WireResponse, target: Target) -> LLMError:
        return error_from_body(response.status, response.headers, response.body, target)

    def build_list_models(self, target: Target, *, cursor: str | None = None) -> WireRequest:
        after = f"&after_id={quote(cursor, safe='')}" if cursor else ""
        return WireRequest(method="GET", url=_url(target, "models") + "?limit=1000" + after, headers=_headers(target))

    def parse_list_models(self, response: WireResponse, target: Target) -> ModelPage:
        """Anthropic's list, or the OpenAI-shaped one of compatible servers."""
        body = _read_object(response, target)
        rows = body.get("data")
        if not isinstance(rows, list):
            raise UpstreamProtocolError("the model list has no data", provider=target.provider)
        models = tuple(_remote_model(row) for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str))
        last = body.get("last_id")
        return ModelPage(models=models, next_cursor=last if body.get("has_more") is True and last else None)

    def build_count_tokens(self, request: ChatRequest, target: Target) -> WireRequest:
        """Ask how many input tokens `request` is; free of charge, with a rate limit of its own."""
        body, betas, warnings = _build_body(request, target)
        counted = {name: value for name, value in body.items() if name not in _NOT_COUNTED}
        return WireRequest(
            method="POST",
            url=_url(target, "messages/count_tokens"),
            headers=_headers(target, betas=betas, version=_client_version(request)),
            body=dump_client_json(counted),
            warnings=tuple(dict.fromkeys(warnings)),
        )

    def parse_count_tokens(self, response: WireResponse, target: Target) -> int:
        """Input tokens; raises UpstreamProtocolError when the answer holds no count."""
        count = _read_object(response, target).get("input_tokens")
        if not isinstance(count, int) or isinstance(count, bool):
            raise UpstreamProtocolError("the answer has no input_tokens", provider=target.provider, model=target.model)
        return count


def _read_object(response: WireResponse, target: Target) -> dict[str, Any]:
    """The 2xx body as an object; raises what an error body reports (compatible servers send those under 200)."""
    body = read_json(response.body)
    if not isinstance(body, dict):
        raise UpstreamProtocolError("the answer is not a JSON object", provider=target.provider, model=target.model)
    if body.get("error"):
        raise error_in_stream(body, target)
    return body


# --- address and headers -------------------------------------------------------------------------------------------


def _url(target: Target, path: str) -> str:
    # Vendors document the address with and without the version.
    base = target.base_url.rstrip("/").removesuffix("/v1")
    return join_url(base, f"/v1/{path}")


def _client_version(request: ChatRequest) -> str:
    """The API version that a client of the hub asked for; empty when it named none."""
    return str(vendor_data(request.provider_metadata).get("version") or "")


def _version(target: Target, wanted: str) -> str:
    """The provider's own setting first: what its server takes is for the admin to know."""
    custom = {name.lower(): value for name, value in target.headers.items()}
    version = custom.get("anthropic-version") or target.options.get("anthropic_version") or wanted
    return str(version or _DEFAULT_VERSION)


def _headers(target: Target, *, betas: tuple[str, ...] = (), stream: bool = False, version: str = "") -> dict[str, str]:
    custom = {name.lower(): value for name, value in target.headers.items()}
    own = {
        "content-type": "application/json",
        "accept": "text/event-stream" if stream else "application/json",
        "anthropic-version": _version(target, version),
    }
    configured = target.options.get("anthropic_beta") or ()
    configured = configured.split(",") if isinstance(configured, str) else configured
    named = (*custom.get("anthropic-beta", "").split(","), *configured, *betas)
    if names := list(filter(None, dict.fromkeys(name.strip() for name in named))):
        own["anthropic-beta"] = ",".join(names)
    key = checked_key(target)
    # Never two credentials in one request; one among the custom headers stands.
    if key and not custom.keys() & {"x-api-key", "authorization"}:
        if target.auth_type == "api_key":
            own["x-api-key"] = key
        elif target.auth_type == "bearer":
            own["authorization"] = f"Bearer {key}"
    return build_headers(target, own)


# --- the request's body --------------------------------------------------------------------------------------------


def _build_body(request: ChatRequest, target: Target) -> tuple[dict[str, Any], tuple[str, ...], list[str]]:
    """The body without `stream`, the beta names it needs, and what was left out."""
    _refuse_unsupported(request, target)
    warnings = _left_out(request)
    conversation = build_conversation(request.messages, target)
    warnings += conversation.warnings
    hints = vendor_data(request.provider_metadata)
    max_tokens = request.max_output_tokens
    if max_tokens is None:
        max_tokens = target.profile.default_max_output_tokens or _FALLBACK_MAX_TOKENS
    tools, tool_choice = _build_tools(request, target)
    thinking = build_thinking(request, target, max_tokens=max_tokens, warnings=warnings)
    schema, instruction = _build_format(request, target, warnings)
    if instruction:
        conversation.system.append({"type": "text", "text": instruction})
    output_config = {**thinking.output_config, **({"format": schema} if schema else {})}
    body: dict[str, Any] = {"model": target.model, "max_tokens": max_tokens, "messages": conversation.turns}
    optional: dict[str, Any] = {
        "system": conversation.system,
        "tools": tools,
        "tool_choice": tool_choice,
        "thinking": thinking.thinking,
        "output_config": output_config,
        "stop_sequences": _build_stop(request, warnings),
        "metadata": {"user_id": request.user} if request.user else None,
        "service_tier": _service_tier(request, target, warnings),
    }
    body |= {name: value for name, value in optional.items() if value}
    body |= _build_sampling(request, target, thinking, warnings)
    body |= {name: hints[name] for name in _CARRIED if name in hints}
    betas = tuple(str(name) for name in hints.get("betas", ()))
    if conversation.needs_files_beta:
        betas = (*betas, _FILES_BETA)
    extra = {name: value for name, value in request.extra.items() if name != "tools"}
    return extra | body, betas, warnings


def _refuse_unsupported(request: ChatRequest, target: Target) -> None:
    problem: tuple[str, str] | None = None
    if request.extra and request.dialect != DIALECT:
        names = ", ".join(sorted(request.extra))
        problem = (f"these fields have no form in Anthropic's API: {names}", min(request.extra))
    elif request.n is not None and request.n != 1:
        problem = ("Anthropic gives one answer a request", "n")
    elif request.logprobs or request.top_logprobs:
        problem = ("Anthropic reports no log probabilities", "logprobs")
    elif request.tools and not target.profile.supports_tools:
        problem = (f"{target.model} takes no tools", "tools")
    elif not any(message.role != "system" for message in request.messages):
        problem = ("Anthropic wants at least one message that is not the system's", "messages")
    if problem:
        raise UnsupportedFeatureError(problem[0], provider=target.provider, model=target.model, param=problem[1])


def _left_out(request: ChatRequest) -> list[str]:
    names = ("seed", "presence_penalty", "frequency_penalty", "logit_bias", "verbosity", "metadata")
    return [f"{name} was left out: Anthropic has no such setting" for name in names if getattr(request, name)]


def _build_stop(request: ChatRequest, warnings: list[str]) -> list[str]:
    kept = [text for text in request.stop if text.strip()]
    if len(kept) < len(request.stop):
        warnings.append("stop sequences of white space only were left out: Anthropic refuses them")
    return kept


def _service_tier(request: ChatRequest, target: Target, warnings: list[str]) -> str | None:
    hint = vendor_data(request.provider_metadata).get("service_tier")
    wanted = hint if isinstance(hint, str) else request.service_tier
    if wanted is None:
        return None
    tier = _SERVICE_TIERS.get(wanted)
    if tier is None:
        warnings.append(f"service_tier {wanted!r} was left out: Anthropic knows auto and standard_only")
    return tier


def _build_sampling(
    request: ChatRequest, target: Target, thinking: Thinking, warnings: list[str]
) -> dict[str, float | int]:
    settings: dict[str, float | int] = {}
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(request, name)
        if value is not None:
            settings[name] = value
    # From 2026-10-21 on the API has no sampling settings at all.
    refused = _version(target, _client_version(request)) >= "2026-10-21"
    if settings and (refused or not target.profile.supports_sampling):
        warnings.append(f"{', '.join(settings)} left out: {target.model} refuses sampling settings")
        return {}
    if settings.get("temperature", 0) > 1:
        settings["temperature"] = 1.0
        warnings.append("temperature was lowered to 1, Anthropic's highest")
    if thinking.enabled:
        for name, allowed in (("temperature", 1.0), ("top_k", None), ("top_p", 0.95)):
            value = settings.get(name)
            if value is not None and (allowed is None or value < allowed):
                del settings[name]
                warnings.append(f"{name} was left out: it can't be set so while the model thinks")
    if target.profile.one_sampling_setting and "temperature" in settings and settings.pop("top_p", None) is not None:
        warnings.append(f"top_p was left out: {target.model} takes temperature or top_p, not both")
    return settings


def _build_tools(request: ChatRequest, target: Target) -> tuple[list[Any], dict[str, Any] | None]:
    tools: list[Any] = [_build_tool(tool, target) for tool in request.tools]
    own = request.extra.get("tools")  # Anthropic's own tools (web search, ...): verbatim
    tools += own if isinstance(own, list) else []
    choice = request.tool_choice
    if not tools or (choice is None and request.parallel_tool_calls is not False):
        return tools, None
    wanted = "named" if isinstance(choice, NamedTool) else choice or "auto"
    if wanted not in target.profile.tool_choices:
        raise UnsupportedFeatureError(
            f"{target.model} can't be forced to call a tool",
            provider=target.provider,
            model=target.model,
            param="tool_choice",
        )
    built: dict[str, Any] = {"type": {"required": "any", "named": "tool"}.get(wanted, wanted)}
    if isinstance(choice, NamedTool):
        built["name"] = choice.name
    if request.parallel_tool_calls is False and wanted != "none":
        built["disable_parallel_tool_use"] = True
    return tools, built


def _build_tool(tool: ToolDefinition, target: Target) -> dict[str, Any]:
    if not _TOOL_NAME.fullmatch(tool.name):
        raise UnsupportedFeatureError(
            "a tool's name must be 1 to 128 letters, digits, _ or - for Anthropic",
            provider=target.provider,
            model=target.model,
            param="tools",
        )
    schema = {"type": "object", **tool.parameters}
    if "properties" not in schema and schema["type"] == "object" and not tool.parameters:
        schema["properties"] = {}
    built: dict[str, Any] = {"name": tool.name, "input_schema": closed_schema(schema)[0] if tool.strict else schema}
    if tool.description is not None:
        built["description"] = tool.description
    if tool.strict is not None:
        built["strict"] = tool.strict
    return {**built, **vendor_data(tool.provider_metadata)}


def _build_format(
    request: ChatRequest, target: Target, warnings: list[str]
) -> tuple[dict[str, Any] | None, str | None]:
    """`output_config.format`, or the instruction that stands in for it."""
    wanted = request.response_format
    if isinstance(wanted, JsonSchemaFormat) and target.profile.supports_json_schema:
        schema, dropped = closed_schema(wanted.schema)
        if dropped:
            warnings.append(f"left out of the schema, Anthropic refuses them: {', '.join(dropped)}")
        return {"type": "json_schema", "schema": schema}, None
    if isinstance(wanted, JsonSchemaFormat):
        warnings.append(f"{target.model} is asked for the JSON schema by instruction; nothing enforces it")
        schema_text = dump_client_json(dict(wanted.schema)).decode()
        return None, f"Answer with one JSON object that follows this JSON schema, and nothing else:\n{schema_text}"
    if isinstance(wanted, JsonFormat):
        warnings.append("Anthropic is asked for a JSON object by instruction; nothing enforces it")
        return None, "Answer with one JSON object and nothing else."
    return None, None


# --- the model list ------------------------------------------------------------------------------------------------


def _remote_model(row: dict[str, Any]) -> RemoteModel:
    capabilities = row.get("capabilities")
    capabilities = capabilities if isinstance(capabilities, dict) else {}
    named = {
        ours: support["supported"]
        for theirs, ours in _CAPABILITIES.items()
        if isinstance(support := capabilities.get(theirs), dict) and isinstance(support.get("supported"), bool)
    }
    return RemoteModel(
        id=row["id"],
        name=row.get("display_name") or None,
        created=_unix_seconds(row.get("created_at", row.get("created"))),
        owned_by=row.get("owned_by"),
        context_length=_positive(row.get("max_input_tokens")),
        max_output_tokens=_positive(row.get("max_tokens")),
        capabilities=named,
        retires_on=row["retires_at"][:10] if isinstance(row.get("retires_at"), str) else None,
        raw=row,
    )


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _unix_seconds(value: Any) -> int | None:
    """Anthropic's RFC 3339 text, or a compatible server's number; the epoch means unknown."""
    if isinstance(value, str):
        try:
            value = int(datetime.fromisoformat(value).timestamp())
        except ValueError:
            return None
    return _positive(value)
