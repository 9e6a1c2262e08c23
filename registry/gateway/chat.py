"""POST /v1/chat/completions, and what every dialect's conversations share: whole and streamed answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import orjson

from adapters.base import ClientCodec, ClientRequest, StreamEncoder
from adapters.errors import LLMError
from adapters.openai_chat_client import OpenAIChatClientCodec
from adapters.openai_chat_encode import OpenAIChatEncoder, completion_id
from adapters.types import ChatRequest, Usage, UsageReported
from registry.access.principals import Principal
from registry.gateway.calls import ask_of, intent_of, name_candidate, take_fallbacks, take_requirements
from registry.gateway.context import with_context
from registry.gateway.draining import ShuttingDown, open_calls
from registry.gateway.http import EVENT_STREAM, Answer, Request, name_waiting, unless_gone
from registry.gateway.worker import Worker
from registry.results import CallResult
from registry.routing.refusal import NoCandidateError
from registry.routing.resolve import Ask
from registry.usage.ledger import CallIntent, Cost
from registry.usage.opened_call import OpenedCall

CODEC = OpenAIChatClientCodec()


async def completions(worker: Worker, request: Request, answer: Answer) -> None:
    """The long way, which knows everything; `plain_chat` tries the short one first."""
    await converse(worker, request, answer, CODEC, CODEC.parse_request)


async def converse(
    worker: Worker,
    request: Request,
    answer: Answer,
    codec: ClientCodec,
    read: Callable[[dict[str, Any]], ClientRequest],
) -> None:
    """One conversation's next turn, in whichever dialect `codec` speaks; `read` reads the request's body."""
    principal = await worker.authenticate(request, "chat")
    body = await request.json()
    requested = body.get("model")
    requirements = take_requirements(body, requested if isinstance(requested, str) else None)
    fallbacks = take_fallbacks(body)
    context = body.pop("llmhub_context", None)
    asked = read(body)
    if context is not None:
        found = await with_context(asked.request, {"context": context}, principal.user_id)
        asked = replace(asked, request=found)
    ask, conversation_id = await ask_of(
        worker, request, principal, asked.request, model=asked.model, fallbacks=fallbacks, requirements=requirements
    )
    intent = intent_of(
        request, principal, ask, dialect=codec.dialect, streamed=asked.stream, conversation_id=conversation_id
    )
    explain = request.headers.get("x-llmhub-explain") == "1"
    serve = stream_answer if asked.stream else whole_answer
    await serve(worker, request, answer, codec, ask, asked.request, principal, intent, explain)


async def whole_answer(
    worker: Worker,
    request: Request,
    answer: Answer,
    codec: ClientCodec,
    ask: Ask,
    chat: ChatRequest,
    principal: Principal,
    intent: CallIntent,
    explain: bool,
) -> None:
    """Call, and answer when the reply is whole; a client that leaves ends the upstream's call too."""
    try:
        result: CallResult = await unless_gone(
            request, worker.client.call(ask, chat, principal=principal, intent=intent)
        )
    except NoCandidateError as error:
        await refuse_explained(answer, request, codec, error, explain)
        return
    await answer_result(request, answer, codec, result, explain)


async def answer_result(
    request: Request, answer: Answer, codec: ClientCodec, result: CallResult, explain: bool
) -> None:
    """A reply that is whole, in the client's dialect."""
    name_candidate(answer, result.candidate, result.attempts, result.headers, result.response.warnings)
    if result.cost.total is not None:
        answer.set("x-llmhub-cost", f"{result.cost.total:f}")
    response = replace(result.response, usage=with_cost(result.response.usage, result.cost))
    encoded = codec.encode_response(response, request_id=request.id, model=result.candidate.entry.name)
    if explain:
        encoded["llmhub"] = result.resolution.as_dict()
    await answer.json(200, encoded)


async def stream_answer(
    worker: Worker,
    request: Request,
    answer: Answer,
    codec: ClientCodec,
    ask: Ask,
    chat: ChatRequest,
    principal: Principal,
    intent: CallIntent,
    explain: bool,
) -> None:
    """Call, and pass the reply on as it arrives. After the first byte an error is an event, and nothing follows it."""
    try:
        forward_as = completion_id(request.id) if codec is CODEC else None
        opening = worker.client.open_stream(ask, chat, principal=principal, intent=intent, forward_as=forward_as)
        await unless_gone(
            request, pass_on(opening, request, answer, codec, include_usage=chat.include_usage, explain=explain)
        )
    except NoCandidateError as error:
        await refuse_explained(answer, request, codec, error, explain)


async def pass_on(
    opening: Awaitable[OpenedCall],
    request: Request,
    answer: Answer,
    codec: ClientCodec,
    *,
    include_usage: bool,
    explain: bool = False,
) -> None:
    """A stream as it arrives, and its end. `explain` begins it with a comment, which clients of streams pass over."""
    opened = await opening
    async with opened:
        name = opened.candidate.entry.name
        encoder = codec.stream_encoder(request_id=request.id, model=name, include_usage=include_usage)
        name_candidate(answer, opened.candidate, opened.record.tries, opened.record.headers, opened.warnings)
        await answer.start(200, EVENT_STREAM)
        if explain:
            await answer.piece(b": llmhub " + orjson.dumps(opened.resolution.as_dict()) + b"\n\n")
        try:
            if opened.forwards:
                async for data in opened.forwarded():
                    await answer.piece(data)
            else:
                async for _, events in opened:
                    if data := b"".join([encoder.encode(event) for event in events]):
                        await answer.piece(data)
        except LLMError as error:
            await answer.end(encoder.error(error, request_id=request.id))
            return
        except asyncio.CancelledError:
            here = asyncio.current_task()
            if here is None or not open_calls.is_cut(here) or here.uncancel() > 0:
                raise
            ending = ShuttingDown()
            opened.cut(ending)
            await answer.end(encoder.error(ending, request_id=request.id))
            return
        await answer.end(_closing(opened, encoder))


def _closing(opened: OpenedCall, encoder: StreamEncoder) -> bytes:
    """The last usage with what it cost, which is known only now, and the dialect's own end."""
    last = b""
    if opened.forwards and isinstance(encoder, OpenAIChatEncoder):
        encoder.continue_at(opened.created)
    if opened.usage.reported:
        last = encoder.encode(UsageReported(usage=with_cost(opened.usage, opened.record.cost)))
    return last + encoder.finish()


def with_cost(usage: Usage, cost: Cost) -> Usage:
    """The usage as the client sees it: `cost` is what the hub reckons, not what the provider said."""
    total = None if cost.total is None else f"{cost.total:f}"
    return replace(usage, provider_cost_usd=total) if usage.reported else usage


async def refuse_explained(
    answer: Answer, request: Request, codec: ClientCodec, error: NoCandidateError, explain: bool
) -> None:
    """The refusal in the client's dialect, with the candidates' fates where the client asked for them."""
    body = codec.encode_error(error, request_id=request.id)
    if explain:
        body["llmhub"] = error.resolution.as_dict()
    name_waiting(answer, error)
    await answer.json(error.status, body)
