"""POST /v1/responses: OpenAI's newer dialect in front of every provider. Stores no response."""

from __future__ import annotations

from adapters.openai_responses_client import OpenAIResponsesClientCodec
from registry.gateway.chat import converse
from registry.gateway.http import Answer, Request
from registry.gateway.worker import Worker

CODEC = OpenAIResponsesClientCodec()


async def responses(worker: Worker, request: Request, answer: Answer) -> None:
    await converse(worker, request, answer, CODEC, CODEC.parse_request)
