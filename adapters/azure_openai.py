"""Azure OpenAI toward a provider: OpenAI's chat dialect at Azure's addresses, with its filters and errors. No socket.

Two forms of address (learn.microsoft.com, Azure OpenAI reference, 2026-11-20): the classic one names the deployment in
the path and wants an `api-version`; `/openai/v1` takes the deployment as `model` and refuses a dated version. The
setting `api_version` chooses: a date means classic, `v1` or `preview` the new one, and so does a base URL that ends in
/openai/v1.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from adapters.errors import ConfigurationError, LLMError, ModelNotFoundError
from adapters.openai_chat import OpenAIChatCodec
from adapters.openai_messages import DIALECT
from adapters.types import ChatRequest, ChatResponse, ModelPage, RemoteModel, Target, WireRequest, WireResponse
from adapters.wire_http import join_url
from adapters.wire_json import read_json

__all__ = ["AzureOpenAICodec"]

_DEFAULT_VERSION: Final = "2024-10-21"
_V1_VERSIONS: Final = frozenset({"v1", "preview", "latest"})
# What people paste: the resource alone, or an address copied from the portal.
_KNOWN_TAIL: Final = re.compile(r"/openai(?P<v1>/v1)?(?:/deployments(?:/.*)?)?/?$")
_VERSION: Final = re.compile(r"[0-9A-Za-z.-]{1,40}")
# Before this version neither `max_completion_tokens` nor `stream_options` exists.
_FIRST_WITH_NEW_FIELDS: Final = "2024-09-01"
_UNKNOWN_DEPLOYMENT: Final = frozenset({"deploymentnotfound", "model_not_found", "unknown_model"})
_CAPABILITIES: Final = {"chat_completion": "chat", "embeddings": "embeddings"}


class AzureOpenAICodec(OpenAIChatCodec):
    """`Target.model` is the deployment's name; answers say which model is behind it."""

    def build_request(self, request: ChatRequest, target: Target, *, stream: bool) -> WireRequest:
        return super().build_request(request, _fitted(target), stream=stream)

    def parse_response(self, response: WireResponse, target: Target) -> ChatResponse:
        answer = super().parse_response(response, target)
        verdicts = [choice.get("content_filter_results") for choice in _choices(response)]
        if not any(verdicts):
            return answer
        own = {**answer.provider_metadata.get(DIALECT, {}), "content_filter_results": verdicts}
        return replace(answer, provider_metadata={**answer.provider_metadata, DIALECT: own})

    def parse_error(self, response: WireResponse, target: Target) -> LLMError:
        """As OpenAI's, with two kinds of 404 told apart: no such deployment, and no such address at all."""
        error = super().parse_error(response, target)
        if response.status != 404 or (error.upstream_code or "").lower() in _UNKNOWN_DEPLOYMENT:
            if isinstance(error, ModelNotFoundError):
                error.args = (f"{target.provider or target.kind} has no deployment named {target.model} (HTTP 404)",)
                error.message = error.args[0]
            return error
        return ConfigurationError(
            f"{target.provider or target.kind} has no such address: check the base URL and api_version (HTTP 404)",
            provider=target.provider,
            model=target.model,
            upstream_status=404,
            upstream_code=error.upstream_code,
            upstream_message=error.upstream_message,
            upstream_request_id=error.upstream_request_id,
        )

    def parse_list_models(self, response: WireResponse, target: Target) -> ModelPage:
        """The models that the resource could deploy, not its deployments: Azure lists those to its own portal only."""
        page = super().parse_list_models(response, target)
        return replace(page, models=tuple(_with_azures_facts(model) for model in page.models))

    def url_for(self, target: Target, path: str) -> str:
        base, version = _address(target)
        if version is None or version in _V1_VERSIONS:
            query = f"?api-version={version}" if version in ("preview", "latest") else ""
            return join_url(base, f"/openai/v1{path}") + query
        if path == "/responses":  # one address for all deployments, whatever version the chat is on
            return join_url(base, f"/openai/v1{path}")
        if path == "/models":
            return join_url(base, f"/openai{path}?api-version={version}")
        if not target.model:
            raise ConfigurationError("Azure needs the deployment's name as the model", provider=target.provider)
        return join_url(base, f"/openai/deployments/{quote(target.model, safe='')}{path}?api-version={version}")


def _address(target: Target) -> tuple[str, str | None]:
    """The resource's own address, and the `api-version`; None for the v1 form."""
    base = target.base_url.rstrip("/")
    tail = _KNOWN_TAIL.search(base)
    if tail is not None:
        base = base[: tail.start()]
    version = str(target.options.get("api_version") or _DEFAULT_VERSION)
    if not _VERSION.fullmatch(version):
        raise ConfigurationError(
            "api_version must look like 2024-10-21, v1 or preview", provider=target.provider, param="api_version"
        )
    if tail is not None and tail["v1"]:
        return base, version if version in _V1_VERSIONS else None
    return base, version


def _fitted(target: Target) -> Target:
    _, version = _address(target)
    if version is None or version in _V1_VERSIONS or version[:10] >= _FIRST_WITH_NEW_FIELDS:
        return target
    older = target.profile.override({"max_tokens_field": "max_tokens", "supports_stream_usage": False})
    return replace(target, profile=older)


def _choices(response: WireResponse) -> list[dict[str, Any]]:
    choices = read_json(response.body).get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def _with_azures_facts(model: RemoteModel) -> RemoteModel:
    named = model.raw.get("capabilities")
    named = named if isinstance(named, dict) else {}
    found = {ours: named[name] for name, ours in _CAPABILITIES.items() if isinstance(named.get(name), bool)}
    ends = model.raw.get("deprecation")
    end = ends.get("inference") if isinstance(ends, dict) else None
    retires_on = model.retires_on
    if isinstance(end, int) and not isinstance(end, bool) and 0 < end < 2**33:
        retires_on = datetime.fromtimestamp(end, UTC).date().isoformat()
    return replace(model, capabilities={**model.capabilities, **found}, retires_on=retires_on)
