"""POST /v1/images/generations: OpenAI's dialect in front of every provider that makes images."""

from __future__ import annotations

from dataclasses import replace

from adapters.openai_media_client import encode_images, parse_images_request
from registry.gateway.calls import intent_of, name_candidate, take_fallbacks
from registry.gateway.chat import CODEC, refuse_explained, with_cost
from registry.gateway.http import Answer, Request, unless_gone
from registry.gateway.worker import Worker
from registry.results import ImageResult
from registry.routing.refusal import NoCandidateError
from registry.routing.resolve import Ask


async def generations(worker: Worker, request: Request, answer: Answer) -> None:
    principal = await worker.authenticate(request, "chat")
    body = await request.json()
    fallbacks = take_fallbacks(body)
    asked = parse_images_request(body)
    ask = Ask(model=asked.model, models=fallbacks, needs=frozenset({"images"}))
    intent = replace(intent_of(request, principal, ask, dialect=CODEC.dialect, streamed=False), operation="images")
    try:
        result: ImageResult = await unless_gone(
            request, worker.client.call_images(ask, asked.request, principal=principal, intent=intent)
        )
    except NoCandidateError as error:
        await refuse_explained(answer, request, CODEC, error, request.headers.get("x-llmhub-explain") == "1")
        return
    name_candidate(answer, result.candidate, result.attempts, result.headers, result.response.warnings)
    if result.cost.total is not None:
        answer.set("x-llmhub-cost", f"{result.cost.total:f}")
    usage = with_cost(result.usage, result.cost)
    await answer.json(200, encode_images(replace(result.response, usage=usage)))
