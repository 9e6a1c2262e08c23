"""Google Gemini toward a provider: answers and streams, embeddings, images, model lists, token counts. No socket.

Wire facts: ai.google.dev's API reference and google-genai 3.3 (2026-11-20), and recorded traffic. Parts are in
`gemini_contents.py`, the stream in `gemini_stream.py`, a family's quirks in `gemini_models.py`. Vertex AI speaks the
same: its base URL ends in `/publishers/google` and takes a bearer token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote

from adapters.base import ProviderCodec, StreamDecoder
from adapters.errors import ConfigurationError, LLMError, UnsupportedFeatureError, UpstreamProtocolError
from adapters.gemini_answers import read_response
from adapters.gemini_contents import Contents, build_contents, vendor_data
from adapters.gemini_errors import error_in_body, parse_error
from adapters.gemini_media import embeddings_body, images_body, images_method, read_embeddings, read_images
from adapters.gemini_models import build_thinking, parse_model_page
from adapters.gemini_schema import openapi_schema
from adapters.gemini_stream import GeminiStreamDecoder
from adapters.types import (
    ChatRequest,
    ChatResponse,
    Dialect,
    EmbeddingRequest,
    EmbeddingResponse,
    ImageRequest,
    ImageResponse,
    JsonSchemaFormat,
    ModelPage,
    NamedTool,
    Target,
    ToolDefinition,
    WireRequest,
    WireResponse,
)
from adapters.wire_http import build_headers, checked_key, join_url
from adapters.wire_json import dump_client_json, read_json

__all__ = ["GeminiCodec"]

DIALECT: Final[Dialect] = "gemini.generate_content"

_MOST_STOPS: Final = 5
_TOOL_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_SERVICE_TIERS: Final = {"default": "standard", "standard": "standard", "flex": "flex", "priority": "priority"}
# Hints of the request that only Gemini understands; see `ChatRequest.provider_metadata`.
_CARRIED: Final = ("safetySettings", "cachedContent", "labels")
_NOT_COUNTED: Final = frozenset({"safetySettings", "labels", "serviceTier"})


class GeminiCodec(ProviderCodec):
    dialect: ClassVar[Dialect] = DIALECT
    counts_tokens: ClassVar[bool] = True

    def build_request(self, request: ChatRequest, target: Target, *, stream: bool) -> WireRequest:
        body, warnings = _build_body(request, target)
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return _post(_model_url(target, method), body, target, stream=stream, warnings=warnings)

    def parse_response(self, response: WireResponse, target: Target) -> ChatResponse:
        try:
            return read_response(read_json(response.body), target)
        except UpstreamProtocolError as error:
            error.upstream_status = error.upstream_status or response.status
            raise

    def stream_decoder(self, target: Target) -> StreamDecoder:
        return GeminiStreamDecoder(target)

    def parse_error(self, response: WireResponse, target: Target) -> LLMError:
        return parse_error(response, target)

    # --- models, embeddings, images, counts ---

    def build_list_models(self, target: Target, *, cursor: str | None = None) -> WireRequest:
        after = f"&pageToken={quote(cursor, safe='')}" if cursor else ""
        url = join_url(target.base_url, "/models") + "?pageSize=1000" + after
        return WireRequest(method="GET", url=url, headers=_headers(target))

    def parse_list_models(self, response: WireResponse, target: Target) -> ModelPage:
        return parse_model_page(_read_object(response, target), target)

    def build_embeddings(self, request: EmbeddingRequest, target: Target) -> WireRequest:
        _own_extra_only(request.extra, request.dialect, target)
        return _post(_model_url(target, "batchEmbedContents"), embeddings_body(request, target), target)

    def parse_embeddings(self, response: WireResponse, target: Target) -> EmbeddingResponse:
        return read_embeddings(_read_object(response, target), target)

    def build_images(self, request: ImageRequest, target: Target) -> WireRequest:
        _own_extra_only(request.extra, request.dialect, target)
        body, warnings = images_body(request, target)
        return _post(_model_url(target, images_method(target)), body, target, warnings=warnings)

    def parse_images(self, response: WireResponse, target: Target) -> ImageResponse:
        return read_images(_read_object(response, target), target)

    def build_count_tokens(self, request: ChatRequest, target: Target) -> WireRequest:
        """Ask how many input tokens `request` is; free of charge."""
        body, warnings = _build_body(request, target)
        counted = {name: value for name, value in body.items() if name not in _NOT_COUNTED}
        counted["model"] = _model_path(target)
        return _post(_model_url(target, "countTokens"), {"generateContentRequest": counted}, target, warnings=warnings)

    def parse_count_tokens(self, response: WireResponse, target: Target) -> int:
        """Input tokens; raises UpstreamProtocolError when the answer holds no count."""
        count = _read_object(response, target).get("totalTokens")
        if not isinstance(count, int) or isinstance(count, bool):
            raise UpstreamProtocolError("the answer has no totalTokens", provider=target.provider, model=target.model)
        return count


# --- address and headers -------------------------------------------------------------------------------------------


def _model_path(target: Target) -> str:
    """`models/NAME`; a tuned model brings its own collection. Nothing of a name can leave its place in the path."""
    collection, slash, name = target.model.partition("/")
    if not slash:
        collection, name = "models", target.model
    if not name or collection not in ("models", "tunedModels"):
        raise ConfigurationError(
            "Gemini needs a model's name, such as gemini-3.8-flash", provider=target.provider, model=target.model
        )
    return f"{collection}/{quote(name, safe='')}"


def _model_url(target: Target, method: str) -> str:
    return join_url(target.base_url, f"/{_model_path(target)}:{method}")


def _headers(target: Target, *, stream: bool = False) -> dict[str, str]:
    own = {
        "content-type": "application/json",
        "accept": "text/event-stream" if stream else "application/json",
    }
    key = checked_key(target)
    custom = {name.lower() for name in target.headers}
    # In a header, never in the URL: an address ends up in logs. Never two credentials in one request.
    if key and not custom & {"x-goog-api-key", "authorization"}:
        if target.auth_type == "api_key":
            own["x-goog-api-key"] = key
        elif target.auth_type == "bearer":
            own["authorization"] = f"Bearer {key}"
    elif not key and target.auth_type != "none" and not custom & {"x-goog-api-key", "authorization"}:
        raise ConfigurationError(
            f"there is no key for {target.provider or 'Google Gemini'}", provider=target.provider, model=target.model
        )
    return build_headers(target, own)


def _post(
    url: str, body: Mapping[str, Any], target: Target, *, stream: bool = False, warnings: list[str] | None = None
) -> WireRequest:
    return WireRequest(
        method="POST",
        url=url,
        headers=_headers(target, stream=stream),
        body=dump_client_json(body),
        stream=stream,
        warnings=tuple(dict.fromkeys(warnings or ())),
    )


def _read_object(response: WireResponse, target: Target) -> dict[str, Any]:
    body = read_json(response.body)
    error = error_in_body(body, target)
    if error is not None:
        raise error
    if not isinstance(body, dict):
        raise UpstreamProtocolError("the answer is not a JSON object", provider=target.provider, model=target.model)
    return body


# --- the request's body --------------------------------------------------------------------------------------------


def _build_body(request: ChatRequest, target: Target) -> tuple[dict[str, Any], list[str]]:
    _refuse_unsupported(request, target)
    warnings = _left_out(request)
    contents = build_contents(request.messages, target)
    warnings += contents.warnings
    config = _build_config(request, target, warnings)
    tools, tool_config = _build_tools(request, target, warnings)
    _add_format(request, target, config, contents, warnings)
    hints = vendor_data(request.provider_metadata)
    if not contents.turns:
        # A conversation of system messages alone: contents must not be empty.
        contents.turns, contents.system = [{"role": "user", "parts": contents.system or [{"text": ""}]}], []
    optional: dict[str, Any] = {
        "systemInstruction": {"parts": contents.system} if contents.system else None,
        "tools": tools,
        "toolConfig": tool_config,
        "generationConfig": config,
        "serviceTier": _service_tier(request, warnings),
    }
    body: dict[str, Any] = {"contents": contents.turns}
    body |= {name: value for name, value in optional.items() if value}
    body |= {name: hints[name] for name in _CARRIED if name in hints}
    for name, value in request.extra.items():
        if name == "tools":
            continue
        ours = body.get(name)
        # What a script writes in Gemini's own words stands beside ours; where both speak, the request's field wins.
        body[name] = {**value, **ours} if isinstance(value, Mapping) and isinstance(ours, dict) else ours or value
    return body, warnings


def _refuse_unsupported(request: ChatRequest, target: Target) -> None:
    _own_extra_only(request.extra, request.dialect, target)
    problem: tuple[str, str] | None = None
    if request.tools and not target.profile.supports_tools:
        problem = (f"{target.model} takes no tools", "tools")
    elif len(request.stop) > _MOST_STOPS:
        problem = (f"Gemini takes at most {_MOST_STOPS} stop sequences", "stop")
    elif request.n is not None and request.n > 1 and not target.profile.supports_several_choices:
        problem = (f"{target.model} gives one answer a request", "n")
    if problem:
        raise UnsupportedFeatureError(problem[0], provider=target.provider, model=target.model, param=problem[1])


def _own_extra_only(extra: Mapping[str, Any], dialect: Dialect | None, target: Target) -> None:
    if extra and dialect != DIALECT:
        raise UnsupportedFeatureError(
            f"these fields have no form in Gemini's API: {', '.join(sorted(extra))}",
            provider=target.provider,
            model=target.model,
            param=min(extra),
        )


def _left_out(request: ChatRequest) -> list[str]:
    names = ("logit_bias", "verbosity", "user", "metadata")
    left = [f"{name} was left out: Gemini has no such setting" for name in names if getattr(request, name)]
    if request.parallel_tool_calls is False and request.tools:
        left.append("parallel_tool_calls was left out: Gemini can't be kept from several calls at once")
    return left


def _build_config(request: ChatRequest, target: Target, warnings: list[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "maxOutputTokens": request.max_output_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": request.top_k,
        "candidateCount": request.n if request.n != 1 else None,
        "seed": request.seed,
        "presencePenalty": request.presence_penalty,
        "frequencyPenalty": request.frequency_penalty,
        "stopSequences": list(request.stop) or None,
        "responseLogprobs": request.logprobs or None,
        "logprobs": request.top_logprobs if request.logprobs else None,
        "thinkingConfig": build_thinking(request.reasoning_effort, target, warnings),
    }
    return {name: value for name, value in settings.items() if value is not None}


def _service_tier(request: ChatRequest, warnings: list[str]) -> str | None:
    if request.service_tier in (None, "auto"):
        return None
    tier = _SERVICE_TIERS.get(request.service_tier or "")
    if tier is None:
        warnings.append(f"service_tier {request.service_tier!r} was left out: Gemini knows standard, flex and priority")
    return tier


def _build_tools(request: ChatRequest, target: Target, warnings: list[str]) -> tuple[list[Any], dict[str, Any] | None]:
    own = request.extra.get("tools")  # Gemini's own tools (googleSearch, ...): verbatim
    tools: list[Any] = list(own) if isinstance(own, list) else []
    if not request.tools:
        return tools, None
    tools.append({"functionDeclarations": [_declaration(tool, target, warnings) for tool in request.tools]})
    choice = request.tool_choice
    if choice is None:
        return tools, None
    if isinstance(choice, NamedTool):
        calling: dict[str, Any] = {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    else:
        calling = {"mode": _TOOL_MODES[choice]}
    return tools, {"functionCallingConfig": calling}


def _declaration(tool: ToolDefinition, target: Target, warnings: list[str]) -> dict[str, Any]:
    built: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        built["description"] = tool.description
    if target.profile.extra.get("json_schema"):
        if tool.parameters:
            built["parametersJsonSchema"] = tool.parameters
    elif tool.parameters.get("properties"):  # an object without properties is a 400 here: it is left out
        built["parameters"] = _subset(tool.parameters, f"the parameters of {tool.name}", warnings)
    return {**built, **vendor_data(tool.provider_metadata)}


def _subset(schema: Mapping[str, Any], what: str, warnings: list[str]) -> dict[str, Any]:
    fitted, dropped = openapi_schema(schema)
    if dropped:
        warnings.append(f"left out of {what}, this Gemini model does not know them: {', '.join(dropped)}")
    return fitted


def _add_format(
    request: ChatRequest, target: Target, config: dict[str, Any], contents: Contents, warnings: list[str]
) -> None:
    wanted = request.response_format
    if wanted is None:
        return
    profile = target.profile
    if not profile.supports_json_schema or (request.tools and not profile.extra.get("tools_with_schema")):
        # Before Gemini 3 a JSON answer and tools in one request are a 400.
        warnings.append(f"{target.model} is asked for JSON by instruction; nothing enforces it")
        contents.system.append({"text": _instruction(wanted)})
        if not profile.extra.get("system_instruction", True):
            contents.turns.insert(0, {"role": "user", "parts": [contents.system.pop()]})
        return
    config["responseMimeType"] = "application/json"
    if isinstance(wanted, JsonSchemaFormat):
        if profile.extra.get("json_schema"):
            config["responseJsonSchema"] = wanted.schema
        else:
            config["responseSchema"] = _subset(wanted.schema, "the schema", warnings)


def _instruction(wanted: Any) -> str:
    if not isinstance(wanted, JsonSchemaFormat):
        return "Answer with one JSON object and nothing else."
    schema = dump_client_json(dict(wanted.schema)).decode()
    return f"Answer with one JSON object that follows this JSON schema, and nothing else:\n{schema}"
