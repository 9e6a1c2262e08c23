"""OpenAI's Responses API toward providers: a chat request to its items and back. Opens no socket.

It serves as a dialect of its own, and as the way to the models that refuse function tools on chat/completions while
they reason, or have no chat endpoint at all: `OpenAIChatCodec.for_request` hands such a call over. Nothing is stored
upstream (`store: false`); reasoning travels encrypted in the parts' `provider_metadata` and goes back with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from adapters.base import StreamDecoder
from adapters.errors import LLMError, UnsupportedFeatureError
from adapters.openai_chat import OpenAIChatCodec, json_body
from adapters.openai_messages import DIALECT as CHAT
from adapters.openai_responses_items import DIALECT, build_input
from adapters.openai_responses_stream import ResponsesDecoder, read_response
from adapters.types import (
    ChatRequest,
    ChatResponse,
    Dialect,
    JsonFormat,
    JsonSchemaFormat,
    NamedTool,
    Target,
    ToolDefinition,
    WireRequest,
    WireResponse,
)

__all__ = ["OpenAIResponsesCodec"]

_LEAST_OUTPUT_TOKENS: Final = 16
_NO_FORM: Final = ("stop", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "top_k")
_SAMPLING: Final = ("temperature", "top_p", "top_logprobs")
# Fields that chat/completions and this API share by name and meaning; `stream_options` differs and is read apart.
_SHARED: Final = frozenset(
    (
        *("store", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier"),
        *("moderation",),
    )
)
_ENCRYPTED: Final = "reasoning.encrypted_content"
_LOGPROBS: Final = "message.output_text.logprobs"


class OpenAIResponsesCodec(OpenAIChatCodec):
    """Chat over /responses. `addresses` knows where: OpenAI by default, Azure for its own."""

    dialect: ClassVar[Dialect] = DIALECT

    def __init__(self, addresses: OpenAIChatCodec | None = None) -> None:
        self._addresses = addresses

    def for_request(self, request: ChatRequest, target: Target) -> OpenAIResponsesCodec:
        return self

    def build_request(self, request: ChatRequest, target: Target, *, stream: bool) -> WireRequest:
        warnings: list[str] = []
        body = _build_body(request, target, warnings)
        options = body.pop("stream_options", None)
        if stream:
            body["stream"] = True
            if options:
                body["stream_options"] = options
        return self._post("/responses", body, target, stream=stream, warnings=warnings)

    def parse_response(self, response: WireResponse, target: Target) -> ChatResponse:
        return read_response(json_body(response, target), target)

    def stream_decoder(self, target: Target) -> StreamDecoder:
        return ResponsesDecoder(target)

    def parse_error(self, response: WireResponse, target: Target) -> LLMError:
        if self._addresses is not None:
            return self._addresses.parse_error(response, target)
        return super().parse_error(response, target)

    def url_for(self, target: Target, path: str) -> str:
        if self._addresses is not None:
            return self._addresses.url_for(target, path)
        return super().url_for(target, path)


def _build_body(request: ChatRequest, target: Target, warnings: list[str]) -> dict[str, Any]:
    extra = _extra(request, target)
    if request.n is not None and request.n > 1:
        raise _unsupported("more than one choice on /responses", target, "n")
    warnings += [f"{name} left out: /responses has no such setting" for name in _NO_FORM if getattr(request, name)]
    effort = _effort(request, target, warnings)
    body: dict[str, Any] = {"model": target.model, "input": build_input(request.messages, target), "store": False}
    tools = [_tool(tool) for tool in request.tools] + extra.pop("tools", [])
    settings: dict[str, Any] = {
        "max_output_tokens": _limit(request.max_output_tokens, warnings),
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_logprobs": request.top_logprobs if request.logprobs else None,
        "tools": tools or None,
        "tool_choice": _tool_choice(request) if tools else None,
        "parallel_tool_calls": request.parallel_tool_calls if tools else None,
        "reasoning": {"effort": effort} if effort is not None else None,
        "text": _text(request) or None,
        "user": request.user,
        "metadata": request.metadata,
        "service_tier": request.service_tier,
        "include": _include(request, target) or None,
    }
    body |= {name: value for name, value in settings.items() if value is not None}
    _drop_closed_sampling(body, target, effort, warnings)
    for name, value in extra.items():
        ours = body.get(name)
        if isinstance(value, Mapping) and isinstance(ours, dict):
            body[name] = {**value, **ours}
        elif isinstance(value, list) and isinstance(ours, list):
            body[name] = [*ours, *(item for item in value if item not in ours)]
        elif ours is None or name == "store":
            body[name] = value
    return body


def _extra(request: ChatRequest, target: Target) -> dict[str, Any]:
    """The client's own fields in this API's form; raises UnsupportedFeatureError for what has none."""
    if not request.extra or request.dialect == DIALECT:
        hints = request.provider_metadata.get(DIALECT)
        return {**(hints if isinstance(hints, Mapping) else {}), **request.extra}
    if request.dialect != CHAT:
        raise _unsupported(f"the fields {', '.join(sorted(request.extra))}", target, min(request.extra))
    extra = {name: value for name, value in request.extra.items() if name in _SHARED}
    unknown = sorted(set(request.extra) - _SHARED - {"tools", "stream_options"})
    if unknown:
        raise _unsupported(f"the fields {', '.join(unknown)} on /responses", target, unknown[0])
    options = request.extra.get("stream_options")
    if isinstance(options, Mapping) and "include_obfuscation" in options:
        extra["stream_options"] = {"include_obfuscation": options["include_obfuscation"]}
    own_tools = request.extra.get("tools")
    if isinstance(own_tools, list):
        extra["tools"] = [_flat_tool(tool, target) for tool in own_tools]
    return extra


def _flat_tool(tool: Any, target: Target) -> Any:
    """Chat nests a tool under its type's name, this API does not."""
    kind = tool.get("type") if isinstance(tool, Mapping) else None
    if not isinstance(tool, Mapping) or not isinstance(kind, str):
        raise _unsupported("a tool without a type", target, "tools")
    nested = tool.get(kind)
    if not isinstance(nested, Mapping):
        return tool
    flat = {"type": kind, **nested}
    grammar = flat.get("format")
    if isinstance(grammar, Mapping) and isinstance(grammar.get("grammar"), Mapping):
        flat["format"] = {"type": "grammar", **grammar["grammar"]}
    return flat


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    own = tool.provider_metadata.get(DIALECT)
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters or {"type": "object", "properties": {}},
        # Strict is the default here and not on chat: a schema that was good there would be a 400.
        "strict": bool(tool.strict),
        **(own if isinstance(own, Mapping) else {}),
    }


def _tool_choice(request: ChatRequest) -> Any:
    choice = request.tool_choice
    return {"type": "function", "name": choice.name} if isinstance(choice, NamedTool) else choice


def _text(request: ChatRequest) -> dict[str, Any]:
    text: dict[str, Any] = {}
    match request.response_format:
        case JsonFormat():
            text["format"] = {"type": "json_object"}
        case JsonSchemaFormat() as wanted:
            text["format"] = {
                "type": "json_schema",
                "name": wanted.name,
                "schema": wanted.schema,
                "strict": bool(wanted.strict),
            }
            if wanted.description is not None:
                text["format"]["description"] = wanted.description
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    return text


def _include(request: ChatRequest, target: Target) -> list[str]:
    # A model that does not reason answers 400 to the first; of an unknown one nothing is asked.
    reasons = target.profile.reasoning_efforts
    return ([_ENCRYPTED] if reasons else []) + ([_LOGPROBS] if request.logprobs else [])


def _limit(tokens: int | None, warnings: list[str]) -> int | None:
    if tokens is None or tokens >= _LEAST_OUTPUT_TOKENS:
        return tokens
    warnings.append(f"max_output_tokens raised to {_LEAST_OUTPUT_TOKENS}, the least that /responses takes")
    return _LEAST_OUTPUT_TOKENS


def _effort(request: ChatRequest, target: Target, warnings: list[str]) -> str | None:
    """The effort to send. Some models take more levels here than on chat (`max`)."""
    asked, profile = request.reasoning_effort, target.profile
    if asked is None or asked in profile.extra.get("responses_efforts", ()):
        return asked
    sent = profile.effort_map.get(asked, asked)
    if profile.reasoning_efforts is not None and sent not in profile.reasoning_efforts:
        warnings.append(f"reasoning_effort {asked} left out: the model does not take it")
        return None
    if sent != asked:
        warnings.append(f"reasoning_effort {asked} sent as {sent}")
    return sent


def _drop_closed_sampling(body: dict[str, Any], target: Target, effort: str | None, warnings: list[str]) -> None:
    profile = target.profile
    reasoning = effort != "none" if effort is not None else profile.reasons_by_default
    if profile.supports_sampling and not (profile.sampling_needs_effort_none and reasoning):
        return
    for name in _SAMPLING:
        if body.pop(name, None) is not None:
            warnings.append(f"{name} left out: the model does not take it while it reasons")
    if _LOGPROBS in body.get("include", ()):
        body["include"] = [name for name in body["include"] if name != _LOGPROBS] or [_ENCRYPTED]


def _unsupported(what: str, target: Target, param: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(
        f"{target.provider or target.kind} does not take {what} with the model {target.model}",
        provider=target.provider,
        model=target.model,
        param=param,
    )
