"""A real HTTP server on loopback that plays the bytes, pauses and faults a test gives it. Knows no dialect.

It runs on a thread and event loop of its own, so that synchronous tests, asynchronous tests and tests that drive a
gateway in another process use it alike:

    with Upstream() as upstream:
        upstream.on("POST", "/v1/chat/completions", json_answer({"choices": []}))
        ... call upstream.base_url + "/v1" ...
        assert upstream.requests[0].headers["authorization"] == "Bearer k"

Several plays for one route are played in turn; the last one stands for every later request. A route may also be a
function from the `SeenRequest` to a play. What no route answers gets 404. Waiting (`wait_for`, `wait_closed`) blocks:
an asynchronous test does it in `asyncio.to_thread`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.upstream_plays import (
    Forever,
    Hangup,
    Hold,
    Pause,
    Play,
    Reset,
    answer,
    blackhole_port,
    chunked,
    cut_after,
    drip,
    endless,
    gzip_bomb,
    huge_line,
    informational_flood,
    json_answer,
    raw,
    redirect,
    reset_after,
    set_cookie,
    sse,
    stall_after,
    stall_before_headers,
    unused_port,
    wrong_length,
)

__all__ = [
    "Forever",
    "Hangup",
    "Hold",
    "Pause",
    "Play",
    "Reset",
    "Route",
    "SeenRequest",
    "Upstream",
    "answer",
    "blackhole_port",
    "chunked",
    "cut_after",
    "drip",
    "endless",
    "gzip_bomb",
    "huge_line",
    "informational_flood",
    "json_answer",
    "raw",
    "redirect",
    "reset_after",
    "set_cookie",
    "sse",
    "stall_after",
    "stall_before_headers",
    "unused_port",
    "wrong_length",
]

# --- what was seen ---


@dataclass(slots=True)
class SeenRequest:
    method: str
    target: str  # path and query as they came
    header_pairs: list[tuple[str, str]]  # lower-case names, in order
    body: bytes
    connection: int  # which connection it came on, counted from 0
    received_at: float  # time.monotonic()
    bytes_sent: int = 0
    played_at: float | None = None  # when the play ran to its end
    peer_closed_at: float | None = None  # when the client closed the connection, during the play or after it

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.header_pairs)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Route = Play | Callable[[SeenRequest], Play]


@dataclass(slots=True)
class _Plays:
    routes: tuple[Route, ...]
    played: int = 0

    def next(self, seen: SeenRequest) -> Play:
        route = self.routes[min(self.played, len(self.routes) - 1)]
        self.played += 1
        return route if isinstance(route, Play) else route(seen)


class _Connection(asyncio.Protocol):
    """Bytes and the moment of the peer's close, as the socket reports them."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.number = -1
        self.buffer = bytearray()
        self.closed_at: float | None = None
        self.ours = False  # the close is a step of the play
        self.seen: list[SeenRequest] = []
        self.arrived = asyncio.Event()
        self.gone = asyncio.Event()
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.number = self.upstream._opened(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.arrived.set()

    def eof_received(self) -> bool:
        self._peer_closed()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._peer_closed()
        self.upstream._closed(self)

    def pause_writing(self) -> None:
        self.may_write.clear()

    def resume_writing(self) -> None:
        self.may_write.set()

    def _peer_closed(self) -> None:
        if self.closed_at is None:
            self.closed_at = time.monotonic()
            if not self.ours:
                self.upstream._peer_closed(self)
        self.gone.set()
        self.arrived.set()
        self.may_write.set()

    async def read_until(self, size: Callable[[], int | None]) -> bytes | None:
        """Take as many bytes as `size` answers, waiting while it answers None; None when the peer closed first."""
        while (wanted := size()) is None or len(self.buffer) < wanted:
            if self.gone.is_set():
                return None
            self.arrived.clear()
            await self.arrived.wait()
        taken = bytes(self.buffer[:wanted])
        del self.buffer[:wanted]
        return taken

    async def read_request(self) -> SeenRequest | None:
        def head_size() -> int | None:
            found = self.buffer.find(b"\r\n\r\n")
            return None if found < 0 else found + 4

        head = await self.read_until(head_size)
        if head is None:
            return None
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        pairs = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        length = int(dict(pairs).get("content-length", "0"))
        body = await self.read_until(lambda: length)
        if body is None:
            return None
        return SeenRequest(method, target, pairs, body, self.number, time.monotonic())

    async def serve(self) -> None:
        while (seen := await self.read_request()) is not None:
            self.seen.append(seen)
            play = self.upstream._seen(seen)
            await self._play(play, seen)
            if self.gone.is_set() or self.transport.is_closing():
                break
            seen.played_at = time.monotonic()

    async def _play(self, play: Play, seen: SeenRequest) -> None:
        for step in play.steps:
            if self.gone.is_set():
                return
            match step:
                case bytes():
                    await self._write(step, seen)
                case Pause():
                    await self._wait_gone(step.seconds)
                case Hold():
                    await self.gone.wait()
                case Forever():
                    while not self.gone.is_set():
                        await self._write(step.data, seen)
                        await self._wait_gone(step.every_s)
                case Hangup():
                    self.ours = True
                    self.transport.close()
                    return
                case Reset():
                    self.ours = True
                    raw_socket = self.transport.get_extra_info("socket")
                    raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.transport.abort()
                    return

    async def _write(self, data: bytes, seen: SeenRequest) -> None:
        self.transport.write(data)
        seen.bytes_sent += len(data)
        await self.may_write.wait()

    async def _wait_gone(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.gone.wait()


# --- the server ---


@dataclass
class Upstream:
    """Use as a context manager, from any thread. `tls` is a server's SSL context; then `base_url` is https."""

    tls: ssl.SSLContext | None = None
    requests: list[SeenRequest] = field(default_factory=list)
    connections: int = 0  # accepted so far
    port: int = 0

    def __post_init__(self) -> None:
        self._routes: dict[tuple[str, str], _Plays] = {}
        self._changed = threading.Condition()
        self._open: dict[_Connection, asyncio.Task[None]] = {}
        self._failures: list[BaseException] = []
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)

    @property
    def base_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def on(self, method: str, path: str, *routes: Route) -> None:
        """Answer `method path` (without query) with `routes` in turn, the last one for ever."""
        self._routes[method, path] = _Plays(routes)

    def wait_for(self, condition: Callable[[Upstream], bool], timeout_s: float = 5.0) -> None:
        """Wait until what was seen satisfies `condition`; raises AssertionError when it does not come true in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout_s):
                raise AssertionError(f"not seen within {timeout_s} s; saw {self.requests!r}")

    def wait_closed(self, index: int = -1, timeout_s: float = 5.0) -> float:
        """Wait until the client has closed the connection of request `index`; answers when (time.monotonic())."""
        self.wait_for(lambda seen: bool(seen.requests) and seen.requests[index].peer_closed_at is not None, timeout_s)
        closed_at = self.requests[index].peer_closed_at
        assert closed_at is not None
        return closed_at

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def __enter__(self) -> Upstream:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        if self._thread.is_alive():
            raise RuntimeError("the upstream's thread did not end")
        if self._failures:
            raise self._failures[0]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await self._loop.create_server(lambda: _Connection(self), sock=self._listener, ssl=self.tls)
        await self._stop.wait()
        self._loop.remove_reader(self._listener)  # first: asyncio loses what it accepted when its server is closed
        this, turns = asyncio.current_task(), 0
        while self._open or asyncio.all_tasks() - {this}:
            for connection, task in tuple(self._open.items()):
                connection.ours = True
                connection.transport.abort()
                task.cancel()
            turns += 1
            if turns > 1000:  # a TLS handshake that its client gave up
                for task in asyncio.all_tasks() - {this}:
                    task.cancel()
            await asyncio.sleep(0)
        server.close()

    def _opened(self, connection: _Connection) -> int:
        with self._changed:
            number = self.connections
            self.connections += 1
            task = self._loop.create_task(connection.serve())
            task.add_done_callback(lambda done: self._served(done, connection))
            self._open[connection] = task
            self._changed.notify_all()
        return number

    def _served(self, task: asyncio.Task[None], connection: _Connection) -> None:
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._failures.append(failure)  # a route's own mistake: raised when the test leaves the server
            connection.transport.abort()

    def _peer_closed(self, connection: _Connection) -> None:
        with self._changed:
            for seen in connection.seen:
                seen.peer_closed_at = connection.closed_at
            self._changed.notify_all()

    def _closed(self, connection: _Connection) -> None:
        with self._changed:
            del self._open[connection]
            self._changed.notify_all()

    def _seen(self, seen: SeenRequest) -> Play:
        with self._changed:
            self.requests.append(seen)
            self._changed.notify_all()
        plays = self._routes.get((seen.method, seen.path))
        return plays.next(seen) if plays else json_answer({"error": {"message": "no such route"}}, status=404)
