"""OpenAI's chat dialect toward providers. What differs between them comes from the profile; opens no socket."""

from __future__ import annotations

from typing import Any, ClassVar

from adapters.base import ProviderCodec, StreamDecoder
from adapters.errors import ConfigurationError, LLMError, UnsupportedFeatureError, UpstreamProtocolError
from adapters.kinds import KINDS
from adapters.openai_answers import OpenAIChatDecoder, read_response
from adapters.openai_catalogue import parse_model_page
from adapters.openai_errors import error_in_body, parse_error
from adapters.openai_media import (
    embeddings_body,
    images_body,
    read_embeddings,
    read_images,
)
from adapters.openai_messages import DIALECT, build_messages, build_tool
from adapters.types import (
    ChatRequest,
    ChatResponse,
    Dialect,
    EmbeddingRequest,
    EmbeddingResponse,
    ImageRequest,
    ImageResponse,
    JsonFormat,
    JsonSchemaFormat,
    ModelPage,
    NamedTool,
    Target,
    WireRequest,
    WireResponse,
)
from adapters.wire_http import build_headers, checked_key, join_url, same_origin_url
from adapters.wire_json import dump_client_json, read_json

__all__ = ["OpenAIChatCodec", "json_body", "needs_responses_api"]

# Whose other endpoint takes what chat/completions refuses. Servers that only look like OpenAI need not have it.
_WITH_RESPONSES = frozenset({"openai", "azure_openai"})
_SAMPLING = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
)


class OpenAIChatCodec(ProviderCodec):
    """OpenAI and everything that speaks like it. A dialect with other addresses (Azure) overrides `url_for`."""

    dialect: ClassVar[Dialect] = "openai.chat"

    # --- chat ---

    def for_request(self, request: ChatRequest, target: Target) -> ProviderCodec:
        if target.kind in _WITH_RESPONSES and (
            target.options.get("api") == "responses"
            or target.profile.extra.get("responses_only")
            or (request.dialect == "openai.responses" and target.options.get("api") != "chat")
            or needs_responses_api(request, target)
        ):
            from adapters.openai_responses import OpenAIResponsesCodec  # it builds on this module

            return OpenAIResponsesCodec(self)
        return self

    def build_request(self, request: ChatRequest, target: Target, *, stream: bool) -> WireRequest:
        warnings: list[str] = []
        body = build_chat_body(request, target, warnings)
        if stream:
            body["stream"] = True
            options = body.pop("stream_options", {})
            if target.profile.supports_stream_usage:
                body["stream_options"] = {**options, "include_usage": True}
        else:
            body.pop("stream_options", None)
        _drop_refused(body, target, warnings)
        return self._post("/chat/completions", body, target, stream=stream, warnings=warnings)

    def parse_response(self, response: WireResponse, target: Target) -> ChatResponse:
        return read_response(json_body(response, target), target)

    def stream_decoder(self, target: Target) -> StreamDecoder:
        return OpenAIChatDecoder(target)

    def parse_error(self, response: WireResponse, target: Target) -> LLMError:
        return parse_error(response, target)

    # --- models, embeddings, images ---

    def build_list_models(self, target: Target, *, cursor: str | None = None) -> WireRequest | None:
        url = self.url_for(target, "/models")
        if cursor is not None:
            url = same_origin_url(url, cursor)
        return WireRequest(method="GET", url=url, headers=self.headers_for(target))

    def parse_list_models(self, response: WireResponse, target: Target) -> ModelPage:
        return parse_model_page(json_body(response, target))

    def build_embeddings(self, request: EmbeddingRequest, target: Target) -> WireRequest:
        return self._post("/embeddings", embeddings_body(request, target), target)

    def parse_embeddings(self, response: WireResponse, target: Target) -> EmbeddingResponse:
        return read_embeddings(json_body(response, target), target)

    def build_images(self, request: ImageRequest, target: Target) -> WireRequest:
        warnings: list[str] = []
        body = images_body(request, target)
        _drop_refused(body, target, warnings)
        return self._post("/images/generations", body, target, warnings=warnings)

    def parse_images(self, response: WireResponse, target: Target) -> ImageResponse:
        return read_images(json_body(response, target))

    # --- the call ---

    def url_for(self, target: Target, path: str) -> str:
        """The address of `path` ("/chat/completions") at this provider."""
        return join_url(target.base_url, path)

    def headers_for(self, target: Target) -> dict[str, str]:
        """All headers of a call; raises ConfigurationError when the key is missing or can't stand in a header."""
        own = {"accept": "application/json", "content-type": "application/json"}
        key = checked_key(target)
        if key is None:
            kind = KINDS.get(target.kind)
            if target.auth_type != "none" and kind is not None and kind.requires_api_key:
                raise ConfigurationError(
                    f"there is no key for {target.provider or kind.label}", provider=target.provider, model=target.model
                )
        elif target.auth_type == "api_key":
            own["api-key"] = key
        elif target.auth_type == "bearer":
            own["authorization"] = f"Bearer {key}"
        return build_headers(target, own)

    def _post(
        self,
        path: str,
        body: dict[str, Any],
        target: Target,
        *,
        stream: bool = False,
        warnings: list[str] | None = None,
    ) -> WireRequest:
        headers = self.headers_for(target)
        if stream:
            headers["accept"] = "text/event-stream"
        return WireRequest(
            method="POST",
            url=self.url_for(target, path),
            headers=headers,
            body=dump_client_json(body),
            stream=stream,
            warnings=tuple(warnings or ()),
        )


def needs_responses_api(request: ChatRequest, target: Target) -> bool:
    """Whether OpenAI answers this only on /responses: function tools, and reasoning that is wanted or can't be off."""
    profile = target.profile
    if profile.supports_tools_while_reasoning or not request.tools:
        return False
    return request.reasoning_effort not in (None, "none") or "none" not in (profile.reasoning_efforts or ())


def build_chat_body(request: ChatRequest, target: Target, warnings: list[str]) -> dict[str, Any]:
    """Build the JSON of a chat call without `stream`; adds to `warnings` what was left out."""
    if request.extra and request.dialect != DIALECT:
        _refuse(f"the fields {', '.join(sorted(request.extra))}", target)
    extra = dict(request.extra)
    body: dict[str, Any] = {"model": target.model, "messages": build_messages(request.messages, target)}
    _add_tools(body, request, target, extra, warnings)
    _add_format(body, request, target)
    effort = _add_effort(body, request, target, warnings)
    _add_settings(body, request, target)
    _drop_closed_settings(body, target, effort, warnings)
    for name, value in extra.items():
        body.setdefault(name, value)
    return body


def _add_tools(
    body: dict[str, Any], request: ChatRequest, target: Target, extra: dict[str, Any], warnings: list[str]
) -> None:
    others = extra.pop("tools", [])  # OpenAI's own kinds of tools, as the client wrote them
    tools = [build_tool(tool) for tool in request.tools] + list(others)
    if not tools:
        return
    profile = target.profile
    if not profile.supports_tools:
        _refuse("tools", target)
    choice = request.tool_choice
    if isinstance(choice, NamedTool) and "named" not in profile.tool_choices and "required" in profile.tool_choices:
        # Only the named one on offer, and one must be called: the same thing in other words.
        tools = [tool for tool in tools if tool.get("function", {}).get("name") == choice.name]
        choice = "required"
    body["tools"] = tools
    if choice is not None:
        if ("named" if isinstance(choice, NamedTool) else choice) not in profile.tool_choices:
            _refuse("a forced tool call", target)
        body["tool_choice"] = (
            {"type": "function", "function": {"name": choice.name}} if isinstance(choice, NamedTool) else choice
        )
    # Without tools this is a 400 at OpenAI.
    if request.parallel_tool_calls is not None:
        if profile.supports_parallel_tools:
            body["parallel_tool_calls"] = request.parallel_tool_calls
        else:
            warnings.append("parallel_tool_calls left out: the model does not take it")


def _add_format(body: dict[str, Any], request: ChatRequest, target: Target) -> None:
    match request.response_format:
        case JsonFormat():
            if not target.profile.supports_json_object:
                _refuse("JSON mode", target)
            body["response_format"] = {"type": "json_object"}
        case JsonSchemaFormat() as wanted:
            if not target.profile.supports_json_schema:
                _refuse("answers by a JSON schema", target)
            schema: dict[str, Any] = {"name": wanted.name, "schema": wanted.schema}
            if wanted.strict is not None:
                schema["strict"] = wanted.strict
            if wanted.description is not None:
                schema["description"] = wanted.description
            body["response_format"] = {"type": "json_schema", "json_schema": schema}


def _add_effort(body: dict[str, Any], request: ChatRequest, target: Target, warnings: list[str]) -> str | None:
    """Write the reasoning effort; answers the effort that will be in force, None for a model that doesn't reason."""
    profile = target.profile
    if needs_responses_api(request, target):
        _refuse("function tools while it reasons, except on /v1/responses,", target)
    asked = request.reasoning_effort
    sent = profile.effort_map.get(asked, asked) if asked is not None else None
    if asked is None and request.tools and not profile.supports_tools_while_reasoning and profile.reasons_by_default:
        sent = "none"
        warnings.append("reasoning_effort set to none: this model takes function tools on chat only without reasoning")
    elif sent is not None and profile.reasoning_efforts is not None and sent not in profile.reasoning_efforts:
        warnings.append(f"reasoning_effort {asked} left out: the model does not take it")
        sent = None
    elif sent != asked:
        warnings.append(f"reasoning_effort {asked} sent as {sent}")
    if sent is None:
        return "default" if profile.reasons_by_default else None
    match profile.reasoning_request:
        case "reasoning_effort":
            body["reasoning_effort"] = sent
        case "reasoning_object":
            body["reasoning"] = {"effort": sent}
        case _:  # thinking_switch
            body["thinking"] = {"type": "disabled" if sent == "none" else "enabled"}
            if sent != "none":
                body["reasoning_effort"] = sent
    return sent


def _add_settings(body: dict[str, Any], request: ChatRequest, target: Target) -> None:
    profile = target.profile
    if request.n is not None and request.n > 1 and not profile.supports_several_choices:
        _refuse("more than one choice", target)
    settings: dict[str, Any] = {
        profile.max_tokens_field: request.max_output_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "logit_bias": request.logit_bias,
        "logprobs": request.logprobs,
        "top_logprobs": request.top_logprobs,
        "n": request.n if profile.supports_several_choices else None,
        profile.seed_field: request.seed,
        "stop": list(request.stop) or None,
        "verbosity": request.verbosity,
        "user": request.user,
        "metadata": request.metadata,
        "service_tier": request.service_tier,
    }
    body.update((name, value) for name, value in settings.items() if value is not None)


def _drop_closed_settings(body: dict[str, Any], target: Target, effort: str | None, warnings: list[str]) -> None:
    profile = target.profile
    reasoning = effort not in (None, "none")
    if not profile.supports_sampling or (profile.sampling_needs_effort_none and reasoning):
        for name in _SAMPLING:
            if name in body:
                del body[name]
                warnings.append(f"{name} left out: the model does not take it while it reasons")
    if "stop" in body and not profile.supports_stop:
        del body["stop"]
        warnings.append("stop left out: the model does not take it")


def _drop_refused(body: dict[str, Any], target: Target, warnings: list[str]) -> None:
    for name in sorted(target.profile.refused_fields & body.keys()):
        if name == "logprobs" and body[name]:
            _refuse(name, target)  # an answer without them is not what was asked
        del body[name]
        warnings.append(f"{name} left out: {target.provider or target.kind} does not take it")


def _refuse(what: str, target: Target) -> None:
    raise UnsupportedFeatureError(
        f"{target.provider or target.kind} does not take {what} with the model {target.model}",
        provider=target.provider,
        model=target.model,
    )


def json_body(response: WireResponse, target: Target) -> Any:
    """A 2xx body's JSON; raises the error that it reports itself."""
    try:
        body = read_json(response.body)
    except UpstreamProtocolError as error:
        error.provider, error.model, error.upstream_status = target.provider, target.model, response.status
        raise
    reported = error_in_body(body, target, response.headers)
    if reported is not None:
        raise reported
    return body
