"""POST /v1/messages and /v1/messages/count_tokens: Anthropic's dialect in front of every provider."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adapters.anthropic_client import AnthropicClientCodec, with_betas, with_version
from adapters.base import ClientRequest
from registry.gateway.calls import ask_of, intent_of, name_candidate, take_fallbacks, take_requirements
from registry.gateway.chat import converse, refuse_explained
from registry.gateway.http import Answer, Request, unless_gone
from registry.gateway.worker import Worker
from registry.results import TokenCount
from registry.routing.refusal import NoCandidateError

CODEC = AnthropicClientCodec()


async def messages(worker: Worker, request: Request, answer: Answer) -> None:
    await converse(worker, request, answer, CODEC, lambda body: _read(request, body))


async def count_tokens(worker: Worker, request: Request, answer: Answer) -> None:
    """How many input tokens a request is: by the provider's word where it gives one, else an estimate that says so."""
    principal = await worker.authenticate(request, "chat")
    body = await request.json()
    requested = body.get("model")
    requirements = take_requirements(body, requested if isinstance(requested, str) else None)
    fallbacks = take_fallbacks(body)
    asked = _read(request, body, counting=True)
    ask, _ = await ask_of(
        worker, request, principal, asked.request, model=asked.model, fallbacks=fallbacks, requirements=requirements
    )
    intent = replace(
        intent_of(request, principal, ask, dialect=CODEC.dialect, streamed=False), operation="count_tokens"
    )
    try:
        count: TokenCount = await unless_gone(
            request, worker.client.count_tokens(ask, asked.request, principal=principal, intent=intent)
        )
    except NoCandidateError as error:
        await refuse_explained(answer, request, CODEC, error, request.headers.get("x-llmhub-explain") == "1")
        return
    name_candidate(answer, count.candidate, count.attempts)
    source = "estimated" if count.estimated else "provider"
    answer.set("x-llmhub-usage-source", source)
    counted: dict[str, Any] = {"input_tokens": count.input_tokens}
    if count.estimated:
        counted["llmhub"] = {"usage_source": source}
    await answer.json(200, counted)


def _read(request: Request, body: dict[str, Any], *, counting: bool = False) -> ClientRequest:
    """The body, and the two headers that only Anthropic understands."""
    asked = CODEC.parse_request(body, counting=counting)
    chat = with_version(asked.request, request.headers.get("anthropic-version", ""))
    return replace(asked, request=with_betas(chat, request.headers.get("anthropic-beta", "")))
