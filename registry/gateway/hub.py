"""The hub's own call routes: POST /api/llm/chat, /api/llm/resolve and /api/llm/test-call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from adapters import create_adapter
from adapters.chat_request import read_chat_request
from adapters.errors import InvalidRequestError, LLMError
from adapters.kinds import KINDS
from adapters.types import ChatRequest, ChatResult
from registry.access.principals import Principal
from registry.gateway import packs
from registry.gateway.calls import conversation_of, intent_of, name_candidate
from registry.gateway.chat import CODEC, refuse_explained
from registry.gateway.context import with_context
from registry.gateway.http import Answer, Request, unless_gone
from registry.gateway.worker import Worker
from registry.results import CallResult
from registry.routing.fill import needs_of
from registry.routing.refusal import NoCandidateError
from registry.routing.requirements import NAMES, read_requirements
from registry.routing.resolve import Ask, Candidate

_FIELDS = {
    "provider",
    "model",
    "messages",
    "params",
    "module",
    "conversation",
    "mock",
    "adapter",
    "tier",
    "preset",
    "models",
    "llm_id",
    "tools",
    "prompt_pack",
    "variables",
    "context",
}


async def chat(worker: Worker, request: Request, answer: Answer) -> None:
    """Answer `reply`, `raw`, `usage` and `request_id`; 400 for a bad payload, 502 for an upstream's failure."""
    principal = await worker.authenticate(request, "chat")
    body = await request.json()
    _known(body, _FIELDS)
    pack = await packs.pack_of(worker, principal, body)
    chat_request = await with_context(_chat_request(body, pack), body, principal.user_id)
    ask, conversation_id = await _ask(worker, principal, body, chat_request)
    if _flag(body, "mock"):
        made = packs.mocked(pack) if pack else {}
        await answer.json(200, {**_result(await mock(chat_request)), **made, "mock": True, "request_id": request.id})
        return
    intent = intent_of(request, principal, ask, dialect="llmhub", streamed=False, conversation_id=conversation_id)
    rewrite = _adapter_override(body, principal)
    try:
        if pack is not None:
            told = await packs.ask_with_pack(worker, request, pack, ask, chat_request, principal, intent, rewrite)
            await _answer_with_pack(request, answer, pack, told)
            return
        result: CallResult = await unless_gone(
            request, worker.client.call(ask, chat_request, principal=principal, intent=intent, rewrite=rewrite)
        )
    except NoCandidateError as error:
        await refuse_explained(answer, request, CODEC, error, explain=True)
        return
    name_candidate(answer, result.candidate, result.attempts, result.headers)
    await answer.json(200, {**_called(result), "request_id": request.id})


async def _answer_with_pack(request: Request, answer: Answer, pack: packs.Pack, told: packs.PackAnswer) -> None:
    """The answer with its value; 502 with what was wrong where even the repaired one does not fit the schema."""
    name_candidate(answer, told.result.candidate, told.result.attempts)
    body = {**_called(told.result), **told.as_dict(pack), "request_id": request.id}
    body["cost"] = None if told.cost is None else f"{told.cost:f}"
    if not told.checked.errors:
        await answer.json(200, body)
        return
    error = InvalidAnswerError(f"The answer does not follow the schema of {pack.module}: {told.checked.errors[0]}")
    refused = CODEC.encode_error(error, request_id=request.id)
    await answer.json(error.status, {**body, **refused, "errors": list(told.checked.errors)})


class InvalidAnswerError(LLMError):
    """A model answered, twice, what the prompt pack's schema does not allow."""

    code = "invalid_answer"
    status = 502


async def resolve(worker: Worker, request: Request, answer: Answer) -> None:
    """Say whom the same call would go to, who was dropped, and why. Calls nobody."""
    principal = await worker.authenticate(request, "chat")
    body = await request.json()
    _known(body, _FIELDS | NAMES)
    pack = await packs.pack_of(worker, principal, body)
    request_given = body.get("messages") is not None or pack is not None
    chat_request = _chat_request(body, pack) if request_given else None
    ask, _ = await _ask(worker, principal, body, chat_request)
    resolution = await worker.client.resolve_looked(ask, principal)
    await answer.json(200, {**resolution.as_dict(), "request_id": request.id})


async def test_call(worker: Worker, request: Request, answer: Answer) -> None:
    """A call for trying a provider out; without one, or with `stub`, the last user message comes back."""
    principal = await worker.authenticate(request, "chat")
    body = await request.json()
    _known(body, {"registry_id", "model", "messages", "params"})
    slug = _text(body, "registry_id")
    chat_request = _chat_request(body)
    if slug in (None, "stub") or not await _has_provider(worker, principal, slug):
        data = {**_result(await mock(chat_request)), "provider": "stub", "model": "stub"}
        await answer.json(200, {"data": data, "request_id": request.id})
        return
    slug, model = _announced(worker, principal, slug, _text(body, "model"))
    ask = Ask(provider=slug, model=model, needs=needs_of(chat_request))
    intent = intent_of(request, principal, ask, dialect="llmhub", streamed=False)
    try:
        result: CallResult = await unless_gone(
            request, worker.client.call(ask, chat_request, principal=principal, intent=intent)
        )
    except NoCandidateError as error:
        await refuse_explained(answer, request, CODEC, error, explain=True)
        return
    name_candidate(answer, result.candidate, result.attempts, result.headers)
    await answer.json(200, {"data": _called(result), "request_id": request.id})


async def mock(chat_request: ChatRequest) -> ChatResult:
    """A deterministic reply that calls nobody and costs nothing."""
    return await create_adapter("stub", model="stub").chat(chat_request)


async def _has_provider(worker: Worker, principal: Principal, slug: str) -> bool:
    def found() -> bool:
        mine = (None, principal.user_id)
        announced = worker.snapshot.runtime.get(slug)
        if announced is not None and announced.is_live_for(principal.user_id):
            return announced.endpoint is not None
        return any(entry.slug == slug and entry.owner_id in mine for entry in worker.snapshot.providers.values())

    if not found():
        await worker.catch_up()
    return found()


def _announced(
    worker: Worker, principal: Principal, slug: str | None, model: str | None
) -> tuple[str | None, str | None]:
    """The provider and model to ask for where `slug` is an adapter that a program announced at run time.

    Its models bear its id before their names; without a model it is the first one that it, or its provider, has.
    """
    announced = worker.snapshot.runtime.get(slug) if slug else None
    if announced is None or announced.endpoint is None or not announced.is_live_for(principal.user_id):
        return slug, model
    if model is None and announced.models:
        model = announced.models[0]
    if model is None:
        of_provider = announced.endpoint.slug
        rows = worker.snapshot.active(principal.user_id)
        model = next((entry.model for entry in rows if entry.provider == of_provider), None)
    if model is None:
        raise InvalidRequestError(f"{slug} names no models: say which.", param="model")
    return slug, model if model.startswith(f"{slug}/") else f"{slug}/{model}"


def _result(result: ChatResult) -> dict[str, Any]:
    return {"reply": result.reply, "raw": dict(result.raw), "usage": _usage(result)}


def _called(result: CallResult) -> dict[str, Any]:
    total = result.cost.total
    return {
        "reply": result.reply,
        "raw": dict(result.raw),
        "usage": _usage(result),
        "provider": result.candidate.provider.slug,
        "model": result.candidate.entry.name,
        "finish_reason": result.response.finish_reason,
        "cost": None if total is None else f"{total:f}",
        "cost_status": result.cost.status,
        "credential_scope": result.candidate.scope,
        "attempts": result.attempts,
        "warnings": list(result.response.warnings),
    }


def _usage(result: ChatResult | CallResult) -> dict[str, Any]:
    usage = result.usage
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def _known(body: Mapping[str, Any], names: set[str] | frozenset[str]) -> None:
    unknown = sorted(set(body) - names)
    if unknown:
        raise InvalidRequestError(f"There is no field {unknown[0]!r}.", param=unknown[0])


def _chat_request(body: Mapping[str, Any], pack: packs.Pack | None = None) -> ChatRequest:
    messages = body.get("messages")
    if pack is not None and messages in (None, []):
        messages = pack.messages(packs.read_variables(body), [])
    elif not isinstance(messages, list) or not messages:
        raise InvalidRequestError("'messages' takes a list of at least one message.", param="messages")
    elif pack is not None:
        messages = pack.messages(packs.read_variables(body), messages)
    params = {} if body.get("params") is None else body["params"]
    if not isinstance(params, dict):
        raise InvalidRequestError("'params' takes an object.", param="params")
    if params.get("stream"):
        raise InvalidRequestError("This route answers whole; /v1/chat/completions streams.", param="params.stream")
    options = {name: value for name, value in params.items() if name != "stream"}
    if body.get("tools") is not None:
        options["tools"] = body["tools"]
    return read_chat_request(messages, options, "openai.chat")


async def _ask(
    worker: Worker, principal: Principal, body: Mapping[str, Any], chat_request: ChatRequest | None
) -> tuple[Ask, UUID | None]:
    conversation_id, bound = await conversation_of(worker, principal, _text(body, "conversation"))
    fallbacks = body.get("models") or []
    if not isinstance(fallbacks, list) or not all(isinstance(name, str) for name in fallbacks):
        raise InvalidRequestError("'models' takes a list of names.", param="models")
    asked = {name: value for name, value in body.items() if name in NAMES and name != "provider"}
    provider, model = _text(body, "provider"), _text(body, "model")
    if provider is not None and await _has_provider(worker, principal, provider):
        provider, model = _announced(worker, principal, provider, model)
    ask = Ask(
        model=model,
        models=tuple(fallbacks),
        llm_id=_text(body, "llm_id"),
        tier=_text(body, "tier"),
        preset=_text(body, "preset"),
        module=_text(body, "module"),
        provider=provider,
        conversation_model_id=bound,
        sticky_id=conversation_id,
        requirements=read_requirements(asked),
        needs=needs_of(chat_request) if chat_request else frozenset(),
    )
    return ask, conversation_id


def _adapter_override(body: Mapping[str, Any], principal: Principal) -> Any:
    """For admins: speak another adapter kind to the chosen provider."""
    kind = _text(body, "adapter")
    if kind is None:
        return None
    if not principal.is_admin:
        raise InvalidRequestError("Only an admin may override the adapter.", param="adapter")
    if kind not in KINDS:
        raise InvalidRequestError(f"There is no adapter kind {kind!r}.", param="adapter")

    def rewrite(candidate: Candidate) -> Candidate:
        return replace(candidate, provider=replace(candidate.provider, kind=kind))

    return rewrite


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > 512:
        raise InvalidRequestError(f"{name!r} takes a text.", param=name)
    return value


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise InvalidRequestError(f"{name!r} takes true or false.", param=name)
    return value
