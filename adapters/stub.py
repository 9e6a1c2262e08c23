"""A model that echoes: same codec and transport seams as a provider, never the network. For tries, tests and demos.

The reply is the text of the last user message. A token is a run of non-space characters with the white space before
it, so counts can be told by eye: "to be or" is 3 tokens. Input is counted over the text of every message. A limit on
output tokens keeps the first ones and finishes with "length". Tools are accepted and never called.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, ClassVar, Final

from adapters.base import ProviderCodec, StreamDecoder
from adapters.egress import EgressPolicy
from adapters.errors import InvalidRequestError, LLMError, UpstreamProtocolError
from adapters.types import (
    ChatRequest,
    ChatResponse,
    Choice,
    Dialect,
    Finished,
    FinishReason,
    ModelPage,
    RemoteModel,
    ResponseStarted,
    StreamEvent,
    Target,
    TextDelta,
    TextPart,
    Timeouts,
    Usage,
    UsageReported,
    WireRequest,
    WireResponse,
)

__all__ = ["StubCodec", "StubTransport", "count_tokens"]

_TOKEN: Final = re.compile(r"\s*\S+")
_DELTAS: Final = 4  # a streamed reply comes in at most this many pieces
_URL: Final = "stub:///chat"
_MODELS_URL: Final = "stub:///models"


def count_tokens(text: str) -> int:
    return len(_TOKEN.findall(text))


class StubCodec(ProviderCodec):
    dialect: ClassVar[Dialect] = "stub"

    def build_request(self, request: ChatRequest, target: Target, *, stream: bool) -> WireRequest:
        users = [message for message in request.messages if message.role == "user"]
        if not users:
            raise InvalidRequestError("the stub needs a user message to echo", provider=target.provider)
        body = {
            "model": target.model or "stub",
            "echo": users[-1].text,
            "input_tokens": sum(count_tokens(message.text) for message in request.messages),
            "max_output_tokens": request.max_output_tokens,
        }
        return WireRequest(method="POST", url=_URL, body=json.dumps(body).encode(), stream=stream)

    def parse_response(self, response: WireResponse, target: Target) -> ChatResponse:
        answer = json.loads(response.body)
        return ChatResponse(
            id=answer["id"],
            model=answer["model"],
            choices=(
                Choice(
                    parts=(TextPart(text=answer["reply"]),),
                    finish_reason=answer["finish_reason"],
                    raw_finish_reason=answer["finish_reason"],
                ),
            ),
            usage=_parse_usage(answer["usage"]),
        )

    def stream_decoder(self, target: Target) -> StreamDecoder:
        return StubDecoder()

    def parse_error(self, response: WireResponse, target: Target) -> LLMError:
        return UpstreamProtocolError("the stub has no errors of its own", provider=target.provider)

    def build_list_models(self, target: Target, *, cursor: str | None = None) -> WireRequest | None:
        return WireRequest(method="GET", url=_MODELS_URL)

    def parse_list_models(self, response: WireResponse, target: Target) -> ModelPage:
        rows = json.loads(response.body)["models"]
        return ModelPage(models=tuple(RemoteModel(id=row["id"], name=row["name"], raw=row) for row in rows))


class StubDecoder:
    """Reads one JSON object a line."""

    def __init__(self) -> None:
        self._rest = b""
        self._finished = False

    def feed(self, data: bytes) -> list[StreamEvent]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [event for line in lines for event in self._events(json.loads(line))]

    def close(self) -> list[StreamEvent]:
        if not self._finished:
            raise UpstreamProtocolError("the stub's stream was cut short")
        return []

    def _events(self, line: Mapping[str, Any]) -> list[StreamEvent]:
        if "id" in line:
            return [ResponseStarted(id=line["id"], model=line["model"])]
        if "delta" in line:
            return [TextDelta(text=line["delta"])]
        self._finished = True
        reason: FinishReason = line["finish_reason"]
        return [Finished(reason=reason, raw_reason=reason), UsageReported(usage=_parse_usage(line["usage"]))]


def _parse_usage(counts: Mapping[str, int]) -> Usage:
    return Usage(input_tokens=counts["input_tokens"], output_tokens=counts["output_tokens"], raw=counts)


class StubTransport:
    """Answers a stub's requests in memory, through the transport's own face."""

    async def send(self, request: WireRequest, timeouts: Timeouts, policy: EgressPolicy) -> WireResponse:
        lines = _answer(request)
        body = lines[0] if request.url == _MODELS_URL else _whole(lines)
        return WireResponse(status=200, headers={"content-type": "application/json"}, body=body)

    def stream(self, request: WireRequest, timeouts: Timeouts, policy: EgressPolicy) -> StubStream:
        return StubStream(_answer(request))


class StubStream:
    status = 200
    headers: Mapping[str, str] = {"content-type": "application/x-ndjson"}

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        for line in self._lines:
            yield line + b"\n"

    async def aread(self) -> bytes:
        return b"\n".join(self._lines)

    async def __aenter__(self) -> StubStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""


def _answer(request: WireRequest) -> list[bytes]:
    """The lines of the streamed form; for the model list, its one line."""
    if request.url == _MODELS_URL:
        return [json.dumps({"models": [{"id": "stub", "name": "Stub (echo)"}]}).encode()]
    asked = json.loads(request.body)
    tokens = _TOKEN.findall(asked["echo"])
    limit = asked["max_output_tokens"]
    cut = limit is not None and limit < len(tokens)
    kept = tokens[:limit] if cut else tokens
    size = max(1, -(-len(kept) // _DELTAS))
    pieces = ["".join(kept[n : n + size]) for n in range(0, len(kept), size)]
    if not cut and pieces:
        pieces[-1] += asked["echo"][len("".join(tokens)) :]  # white space at the end belongs to no token
    return [
        json.dumps(line).encode()
        for line in (
            {"id": "stub-" + hashlib.sha256(request.body).hexdigest()[:16], "model": asked["model"]},
            *({"delta": piece} for piece in pieces),
            {
                "finish_reason": "length" if cut else "stop",
                "usage": {"input_tokens": asked["input_tokens"], "output_tokens": len(kept)},
            },
        )
    ]


def _whole(lines: list[bytes]) -> bytes:
    first, *deltas, last = (json.loads(line) for line in lines)
    return json.dumps({**first, "reply": "".join(delta["delta"] for delta in deltas), **last}).encode()
