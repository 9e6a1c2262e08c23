"""Ollama's own dialect (/api/chat, /api/embed, /api/tags, /api/show) toward a provider. Opens no socket.

Wire facts: ollama's docs/api.md and recorded traffic (2026-11-20). The native API is preferred to Ollama's `/v1`
because only here `num_ctx` and `think` can be set; without num_ctx long prompts are cut silently.
"""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from adapters.base import ProviderCodec, StreamDecoder
from adapters.errors import (
    LLMError,
    UnsupportedFeatureError,
    UpstreamProtocolError,
)
from adapters.ollama_answers import (
    OllamaStreamDecoder,
    finish_reason,
    read_object,
    read_tool_calls,
    reported_error,
    unix_seconds,
    usage_from_wire,
)
from adapters.types import (
    ChatRequest,
    ChatResponse,
    Choice,
    Dialect,
    EmbeddingRequest,
    EmbeddingResponse,
    ImagePart,
    JsonFormat,
    JsonSchemaFormat,
    Message,
    ModelPage,
    NamedTool,
    Part,
    ReasoningPart,
    RefusalPart,
    RemoteModel,
    Target,
    TextPart,
    ToolCall,
    WireRequest,
    WireResponse,
)
from adapters.wire_http import build_headers, checked_key, join_url
from adapters.wire_json import dump_client_json, read_json

__all__ = ["OllamaCodec"]

DIALECT: Dialect = "ollama.chat"

_OPTIONS = {  # ours -> Ollama's `options`
    "max_output_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
_NO_SETTING = ("logit_bias", "user", "metadata", "verbosity", "service_tier")
_LEVELS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "max", "max": "max"}
_CAPABILITIES = {
    "tools": "tools",
    "vision": "vision",
    "thinking": "reasoning",
    "embedding": "embeddings",
    "insert": "insert",
    "completion": "chat",
    "image": "image_generation",
    "audio": "audio",
}


class OllamaCodec(ProviderCodec):
    dialect: ClassVar[Dialect] = DIALECT

    def build_request(self, request: ChatRequest, target: Target, *, stream: bool) -> WireRequest:
        """`target.options` may set `num_ctx`, `keep_alive` and further `options` of the model."""
        _refuse_unsupported(request, target)
        warnings = [
            f"{name} was left out: Ollama has no such setting" for name in _NO_SETTING if getattr(request, name)
        ]
        body: dict[str, Any] = {
            "model": target.model,
            "messages": [_build_message(message, request, target) for message in request.messages],
            # Left out, it would mean true.
            "stream": stream,
        }
        optional = {
            "tools": _build_tools(request, target, warnings),
            "format": _build_format(request),
            "options": _build_options(request, target),
            "logprobs": request.logprobs,
            "top_logprobs": request.top_logprobs,
        }
        body |= {name: value for name, value in optional.items() if value}
        think = _build_think(request, target, warnings)
        if think is not None:
            body["think"] = think
        if target.options.get("keep_alive") is not None:
            body["keep_alive"] = target.options["keep_alive"]
        extra = {name: value for name, value in request.extra.items() if name not in body}
        if isinstance(request.extra.get("options"), dict):
            body["options"] = {**request.extra["options"], **body.get("options", {})}
        return WireRequest(
            method="POST",
            url=_url(target, "chat"),
            headers=_headers(target, stream=stream),
            body=dump_client_json(extra | body),
            stream=stream,
            warnings=tuple(warnings),
        )

    def parse_response(self, response: WireResponse, target: Target) -> ChatResponse:
        body = read_object(response.body, target)
        message = body.get("message")
        if not isinstance(message, dict):
            raise UpstreamProtocolError("the answer has no message", provider=target.provider, model=target.model)
        parts: list[Part] = []
        if message.get("thinking"):
            parts.append(ReasoningPart(text=str(message["thinking"])))
        if message.get("content"):
            parts.append(TextPart(text=str(message["content"])))
        calls = read_tool_calls(message)
        parts.extend(calls)
        raw = body.get("done_reason")
        reason = finish_reason(raw, has_tool_calls=bool(calls))
        logprobs = body.get("logprobs")
        choice = Choice(
            parts=tuple(parts),
            finish_reason=reason,
            raw_finish_reason=raw if isinstance(raw, str) else None,
            logprobs={"content": logprobs} if isinstance(logprobs, list) else None,
        )
        return ChatResponse(
            id=None,
            model=str(body.get("model") or target.model),
            choices=(choice,),
            usage=usage_from_wire(body),
            created=unix_seconds(body.get("created_at")),
        )

    def stream_decoder(self, target: Target) -> StreamDecoder:
        return OllamaStreamDecoder(target)

    def parse_error(self, response: WireResponse, target: Target) -> LLMError:
        try:
            body = read_json(response.body)
        except UpstreamProtocolError:
            body = None
        message = body.get("error") if isinstance(body, dict) else None
        if isinstance(message, dict):  # a proxy in front, or Ollama's /v1
            message = message.get("message")
        return reported_error(
            response.status, dict(response.headers), message if isinstance(message, str) else None, target
        )

    def build_list_models(self, target: Target, *, cursor: str | None = None) -> WireRequest:
        return WireRequest(method="GET", url=_url(target, "tags"), headers=_headers(target))

    def parse_list_models(self, response: WireResponse, target: Target) -> ModelPage:
        """The installed models, on one page. Family, parameter size and quantization are in `raw["details"]`."""
        rows = read_object(response.body, target).get("models")
        if not isinstance(rows, list):
            raise UpstreamProtocolError("the model list has no models", provider=target.provider)
        return ModelPage(models=tuple(_listed_model(row) for row in rows if isinstance(row, dict) and _name(row)))

    def build_show(self, target: Target) -> WireRequest:
        """Ask what `target.model` can do: the list alone does not say."""
        return WireRequest(
            method="POST",
            url=_url(target, "show"),
            headers=_headers(target),
            body=dump_client_json({"model": target.model}),
        )

    def parse_show(self, response: WireResponse, target: Target) -> RemoteModel:
        """Capabilities that /api/show names are yes, those it knows of and leaves out are no."""
        body = read_object(response.body, target)
        info = body.get("model_info")
        info = info if isinstance(info, dict) else {}
        length = info.get(f"{info.get('general.architecture')}.context_length")
        kept = {name: value for name, value in body.items() if name in ("details", "capabilities", "parameters")}
        return RemoteModel(
            id=target.model,
            context_length=length if isinstance(length, int) and length > 0 else None,
            capabilities=_capabilities(body.get("capabilities")),
            raw=kept | {"model_info": {name: info[name] for name in info if name.startswith("general.")}},
        )

    def build_embeddings(self, request: EmbeddingRequest, target: Target) -> WireRequest:
        if not all(isinstance(text, str) for text in request.inputs):
            raise _unsupported("Ollama embeds text, not token ids", target, "input")
        _refuse_extra(request.extra, request.dialect, target)
        body: dict[str, Any] = {**request.extra, "model": target.model, "input": list(request.inputs)}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        if target.options.get("num_ctx") is not None:
            body["options"] = {"num_ctx": target.options["num_ctx"]}
        return WireRequest(
            method="POST", url=_url(target, "embed"), headers=_headers(target), body=dump_client_json(body)
        )

    def parse_embeddings(self, response: WireResponse, target: Target) -> EmbeddingResponse:
        body = read_object(response.body, target)
        rows = body.get("embeddings")
        try:
            vectors = tuple(tuple(float(number) for number in row) for row in rows)  # type: ignore[union-attr]  # what is no list of lists raises TypeError, caught below
        except (TypeError, ValueError):
            raise UpstreamProtocolError("the answer holds no embeddings", provider=target.provider) from None
        return EmbeddingResponse(
            model=str(body.get("model") or target.model), vectors=vectors, usage=usage_from_wire(body)
        )


# --- the request ---------------------------------------------------------------------------------------------------


def _unsupported(message: str, target: Target, param: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(message, provider=target.provider, model=target.model, param=param)


def _refuse_extra(extra: Any, dialect: Dialect | None, target: Target) -> None:
    if extra and dialect != DIALECT:
        names = ", ".join(sorted(extra))
        raise _unsupported(f"these fields have no form in Ollama's API: {names}", target, min(extra))


def _refuse_unsupported(request: ChatRequest, target: Target) -> None:
    _refuse_extra(request.extra, request.dialect, target)
    if request.n is not None and request.n != 1:
        raise _unsupported("Ollama gives one answer a request", target, "n")
    if request.tools and not target.profile.supports_tools:
        raise _unsupported(f"{target.model} takes no tools", target, "tools")
    if request.tools and (request.tool_choice == "required" or isinstance(request.tool_choice, NamedTool)):
        raise _unsupported("Ollama can't force a model to call a tool", target, "tool_choice")


def _url(target: Target, path: str) -> str:
    return join_url(target.base_url.rstrip("/").removesuffix("/api"), f"/api/{path}")


def _headers(target: Target, *, stream: bool = False) -> dict[str, str]:
    own = {"content-type": "application/json", "accept": "application/x-ndjson" if stream else "application/json"}
    key = checked_key(target)
    if key and target.auth_type != "none":
        own["authorization"] = f"Bearer {key}"
    return build_headers(target, own)


def _build_message(message: Message, request: ChatRequest, target: Target) -> dict[str, Any]:
    built: dict[str, Any] = {"role": message.role, "content": ""}
    images: list[str] = []
    thinking: list[str] = []
    for part in message.parts:
        match part:
            case TextPart() | RefusalPart():
                built["content"] += part.text
            case ReasoningPart():
                thinking.append(part.text)
            case ImagePart():
                images.append(_build_image(part, target))
            case ToolCall():
                built.setdefault("tool_calls", []).append(_build_call(part))
            case _:
                raise _unsupported("Ollama takes text and images only", target, "messages")
    if images:
        built["images"] = images
    if any(thinking):
        built["thinking"] = "".join(thinking)
    if message.role == "tool":
        name = message.name or _name_of_call(message.tool_call_id, request)
        built |= {key: value for key, value in (("tool_name", name), ("tool_call_id", message.tool_call_id)) if value}
    return built


def _build_image(part: ImagePart, target: Target) -> str:
    if part.data is None:
        raise _unsupported("Ollama takes images as data only: it fetches no addresses", target, "messages")
    if not target.profile.supports_images:
        raise _unsupported(f"{target.model} takes no images", target, "messages")
    return base64.b64encode(part.data).decode("ascii")


def _build_call(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = read_json(call.arguments.encode("utf-8", "replace") or b"{}")
    except UpstreamProtocolError:
        arguments = None
    function = {"name": call.name, "arguments": arguments if isinstance(arguments, dict) else {"_raw": call.arguments}}
    return {"id": call.id, "function": function} if call.id else {"function": function}


def _name_of_call(call_id: str | None, request: ChatRequest) -> str | None:
    calls = (call for message in request.messages for call in message.tool_calls)
    return next((call.name for call in calls if call.id == call_id), None)


def _build_tools(request: ChatRequest, target: Target, warnings: list[str]) -> list[dict[str, Any]]:
    if request.tool_choice == "none":
        return []  # no such switch: a model that gets no tools calls none
    if request.tools and request.parallel_tool_calls is False:
        warnings.append("parallel_tool_calls was left out: Ollama has no such setting")
    tools = []
    for tool in request.tools:
        function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters or {"type": "object"}}
        if tool.description is not None:
            function["description"] = tool.description
        tools.append({"type": "function", "function": function})
    return tools


def _build_format(request: ChatRequest) -> Any:
    match request.response_format:
        case JsonFormat():
            return "json"
        case JsonSchemaFormat(schema=schema):
            return schema
        case _:
            return None


def _build_options(request: ChatRequest, target: Target) -> dict[str, Any]:
    configured = target.options.get("options")
    options: dict[str, Any] = dict(configured) if isinstance(configured, dict) else {}
    if target.options.get("num_ctx") is not None:
        options["num_ctx"] = target.options["num_ctx"]
    for ours, theirs in _OPTIONS.items():
        value = getattr(request, ours)
        if value is not None:
            options[theirs] = value
    if request.stop:
        options["stop"] = list(request.stop)
    return options


def _build_think(request: ChatRequest, target: Target, warnings: list[str]) -> bool | str | None:
    effort = request.reasoning_effort
    if effort is None:
        return None
    if effort != "none" and effort not in _LEVELS:
        raise _unsupported(f"reasoning_effort {effort!r} is unknown", target, "reasoning_effort")
    # gpt-oss takes levels and can't be switched off; the others a switch (docs.ollama.com/capabilities/thinking).
    if "gpt-oss" in target.model.lower():
        if effort == "none":
            warnings.append(f"{target.model} always thinks: it was asked for the least")
        return "low" if effort == "none" else _LEVELS[effort]
    return effort != "none"


# --- the model list ------------------------------------------------------------------------------------------------


def _name(row: dict[str, Any]) -> str:
    name = row.get("model") or row.get("name")
    return name if isinstance(name, str) else ""


def _capabilities(names: Any) -> dict[str, bool]:
    """Empty when the server is too old to name them."""
    if not isinstance(names, list):
        return {}
    return {ours: theirs in names for theirs, ours in _CAPABILITIES.items()}


def _listed_model(row: dict[str, Any]) -> RemoteModel:
    return RemoteModel(
        id=_name(row),
        name=row.get("name") or None,
        created=unix_seconds(row.get("modified_at")),
        capabilities=_capabilities(row.get("capabilities")),
        raw=row,
    )
