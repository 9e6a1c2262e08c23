"""The provider that every gateway is measured against: an OpenAI chat server on loopback that thinks no time at all.

    python -m benchmarks.upstream PORT

A streamed answer is 100 chunks, each an event and an HTTP chunk of its own, written at once. The model `bench-open`
answers with a chunk and then one more a second, for a minute. GET /count answers how many calls arrived and how
many of those streams are open.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

CHUNKS = 100
OPEN_S = 60
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def _chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1767225600, "model": "bench-model"}
    return _framed(b"data: " + json.dumps(body | {"choices": choices} | more, separators=(",", ":")).encode() + b"\n\n")


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


USAGE = {"prompt_tokens": 12, "completion_tokens": CHUNKS, "total_tokens": 12 + CHUNKS}
_WHOLE = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1767225600,
        "model": "bench-model",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "word " * CHUNKS}, "finish_reason": "stop"}
        ],
        "usage": USAGE,
    }
).encode()
_JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
WHOLE = _JSON_HEAD % len(_WHOLE) + _WHOLE
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
WORD = _chunk({"content": "word "})
LAST = (
    _chunk({}, "stop")
    + _framed(
        b"data: "
        + json.dumps(
            {
                "id": "chatcmpl-bench",
                "object": "chat.completion.chunk",
                "created": 1767225600,
                "model": "bench-model",
                "choices": [],
                "usage": USAGE,
            },
            separators=(",", ":"),
        ).encode()
        + b"\n\n"
    )
    + _framed(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)
STREAM = STREAM_HEAD + _chunk({"role": "assistant", "content": ""}) + WORD * (CHUNKS - 3) + LAST


class Calls:
    count = 0
    open = 0  # streams of `bench-open` under way


class Connection(asyncio.Protocol):
    """One connection kept alive; requests on it are answered in order."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.held = b""
        self.timer: asyncio.TimerHandle | None = None
        self.ticks = 0

    def connection_lost(self, error: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
            Calls.open -= 1

    def data_received(self, data: bytes) -> None:
        self.held += data
        while True:
            head_ends = self.held.find(b"\r\n\r\n")
            if head_ends < 0:
                return
            length = _LENGTH.search(self.held, 0, head_ends)
            ends = head_ends + 4 + (int(length[1]) if length else 0)
            if len(self.held) < ends:
                return
            request, self.held = self.held[:ends], self.held[ends:]
            self.answer(request)

    def answer(self, request: bytes) -> None:
        if request.startswith(b"GET"):
            body = b'{"calls": %d, "open": %d}' % (Calls.count, Calls.open)
            self.transport.write(_JSON_HEAD % len(body) + body)
            return
        Calls.count += 1
        if b'"bench-open"' in request:
            self.transport.write(STREAM_HEAD)
            Calls.open += 1
            self.ticks = 0
            self.tick()
        elif b'"stream":true' in request or b'"stream": true' in request:
            self.transport.write(STREAM)
        else:
            self.transport.write(WHOLE)

    def tick(self) -> None:
        self.ticks += 1
        if self.ticks > OPEN_S:
            self.transport.write(LAST)
            self.timer = None
            Calls.open -= 1
            return
        self.transport.write(WORD)
        self.timer = asyncio.get_running_loop().call_later(1, self.tick)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1])))
