"""What `tests.upstream` plays: answers, streams and faults as steps on the wire, and ports that nobody serves."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

# --- what a play is made of ---


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Say nothing more until the peer closes or the server stops."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Close with a TCP RST."""


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close with a clean FIN, whatever was promised."""


@dataclass(frozen=True, slots=True)
class Forever:
    """Send `data` again and again, `every_s` apart, until the peer closes."""

    data: bytes
    every_s: float = 0.0


Headers = Mapping[str, str] | Sequence[tuple[str, str]]
Step = bytes | Pause | Hold | Reset | Hangup | Forever


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One answer: raw steps. The connection is kept open for the next request when the steps run out."""

    steps: tuple[Step, ...]


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers)


def _head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def raw(*steps: Step) -> Play:
    """Exactly these bytes, status line and headers included."""
    return Play(steps=steps)


def answer(body: bytes = b"", *, status: int = 200, headers: Headers = ()) -> Play:
    return Play(steps=(_head(status, [*_pairs(headers), ("content-length", str(len(body)))]) + body,))


def json_answer(value: Any, *, status: int = 200, headers: Headers = ()) -> Play:
    pairs = [("content-type", "application/json"), *_pairs(headers)]
    return answer(json.dumps(value).encode(), status=status, headers=pairs)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def chunked(
    *steps: Step,
    status: int = 200,
    headers: Headers = (("content-type", "text/event-stream"),),
    end: bool = True,
) -> Play:
    """A chunked body: bytes become chunks, other steps stay; `end` adds the closing chunk."""
    played: list[Step] = [_head(status, [*_pairs(headers), ("transfer-encoding", "chunked")])]
    for step in steps:
        if isinstance(step, bytes):
            played.append(_chunk(step))
        elif isinstance(step, Forever):
            played.append(Forever(_chunk(step.data), step.every_s))
        else:
            played.append(step)
    if end:
        played.append(b"0\r\n\r\n")
    return Play(steps=tuple(played))


def sse(
    events: Iterable[bytes | str], *, pause_s: float = 0.0, status: int = 200, headers: Mapping[str, str] | None = None
) -> Play:
    """A server-sent event stream, one chunk an event; `events` are whole frames, or JSON text to be framed."""
    steps: list[Step] = []
    for event in events:
        frame = event if isinstance(event, bytes) else f"data: {event}\n\n".encode()
        if steps and pause_s:
            steps.append(Pause(pause_s))
        steps.append(frame)
    return chunked(*steps, status=status, headers={"content-type": "text/event-stream", **(headers or {})})


# --- faults ---


def stall_before_headers() -> Play:
    return raw(Hold())


def stall_after(*chunks: bytes) -> Play:
    return chunked(*chunks, Hold(), end=False)


def drip(data: bytes = b":", *, every_s: float = 0.5) -> Play:
    """One small chunk now and then, for ever: no timeout between two reads ever fires."""
    return chunked(Forever(data, every_s), end=False)


def reset_after(*chunks: bytes) -> Play:
    return chunked(*chunks, Pause(0.02), Reset(), end=False)  # the pause lets the peer read what came before


def cut_after(*chunks: bytes) -> Play:
    """A clean FIN where the closing chunk should be."""
    return chunked(*chunks, Hangup(), end=False)


def wrong_length(body: bytes, *, declared: int) -> Play:
    return raw(_head(200, [("content-type", "application/json"), ("content-length", str(declared))]) + body, Hangup())


def gzip_bomb(decoded_bytes: int = 300 * 1024 * 1024) -> Play:
    return answer(gzip.compress(bytes(decoded_bytes), 6), headers={"content-encoding": "gzip"})


def endless(data: bytes = b"x" * 65536) -> Play:
    return chunked(Forever(data), end=False)


def huge_line(line_bytes: int = 20 * 1024 * 1024) -> Play:
    piece = b"x" * 65536
    return chunked(b"data: ", *([piece] * (line_bytes // len(piece))), b"\n\n")


def informational_flood(count: int = 100_000, then: Play | None = None) -> Play:
    early = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    batch = early * 1000
    return Play(steps=(*([batch] * (count // 1000)), early * (count % 1000), *(then or answer(b"late")).steps))


def redirect(location: str, *, status: int = 302) -> Play:
    return answer(b"", status=status, headers={"location": location})


def set_cookie(value: str = "session=tenant-a; Path=/", *, body: bytes = b"{}") -> Play:
    return answer(body, headers={"set-cookie": value, "content-type": "application/json"})


def unused_port() -> int:
    """A loopback port that nothing listens on: a connection to it is refused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def blackhole_port() -> Iterator[int]:
    """A loopback port whose accept queue is full: connecting to it neither succeeds nor fails."""
    listener = socket.socket()
    fillers = []
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        yield listener.getsockname()[1]
    finally:
        for opened in (*fillers, listener):
            opened.close()
