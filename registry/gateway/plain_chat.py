"""POST /v1/chat/completions by the short way where a request is plain, else by the long one. Decides nothing else."""

from __future__ import annotations

from typing import Final

from adapters.openai_chat_encode import completion_id
from adapters.plain_chat import encode_plain_answer, read_plain_request
from registry.gateway import chat
from registry.gateway.calls import names_of
from registry.gateway.http import Answer, Request, unless_gone
from registry.gateway.worker import Worker
from registry.plain_calls import PlainResult

# What asks for more than an answer, or says more of it than the body.
_LONG_WAY: Final = frozenset({b"x-llmhub-conversation", b"x-llmhub-explain", b"x-llmhub-tags"})


async def completions(worker: Worker, request: Request, answer: Answer) -> None:
    if not await _answered(worker, request, answer):
        await chat.completions(worker, request, answer)


async def _answered(worker: Worker, request: Request, answer: Answer) -> bool:
    """Answer a plain request; False, with nothing done but its body read, for any other."""
    headers = request.raw_headers
    presented = headers.get(b"authorization", b"")
    if presented[:7].lower() != b"bearer " or not _LONG_WAY.isdisjoint(headers):
        return False
    principal = worker.known_caller(presented[7:].strip().decode("latin-1"))
    asked = read_plain_request(await request.body()) if principal is not None else None
    if asked is None or principal is None:
        return False
    plain = worker.plain
    ready = await plain.ready.get(principal, asked.model)
    begun = plain.begin(ready, request.id, asked) if ready is not None else None
    if begun is None:
        return False
    if asked.stream:
        opening = plain.open_stream(begun, forward_as=completion_id(request.id))
        await unless_gone(
            request, chat.pass_on(opening, request, answer, chat.CODEC, include_usage=asked.include_usage)
        )
        return True
    result = await unless_gone(request, plain.whole(begun))
    if not isinstance(result, PlainResult):
        await chat.answer_result(request, answer, chat.CODEC, result, False)
        return True
    entry, candidate = result.entry, result.candidate
    if entry is not None:
        answer.add(entry.standing.pairs())
    answer.add(names_of(candidate.entry.name, candidate.provider.slug, candidate.scope, 1))
    if result.cost_usd is not None:
        answer.headers.append((b"x-llmhub-cost", result.cost_usd.encode()))
    body = encode_plain_answer(
        result.answer, answer_id=completion_id(request.id), model=candidate.entry.name, cost_usd=result.cost_usd
    )
    await answer.encoded(200, body)
    return True
