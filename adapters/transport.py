"""The one way out to the network: sends wire requests, holds deadlines and caps, closes at once. Knows no dialect.

No redirects, no cookies, no proxies from the environment, no second reading of a URL. Connections are pooled per event
loop and policy, so that no caller rides on a connection another policy opened.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import zlib
from collections.abc import AsyncIterator, Coroutine, Mapping
from types import TracebackType
from typing import Any, Final, TypeVar

from adapters.connections import Place, Pool, Pools, Resolver
from adapters.egress import EgressPolicy, ParsedOrigin
from adapters.errors import UpstreamProtocolError, UpstreamTimeoutError
from adapters.http1 import Connection, build_head
from adapters.loop_thread import run_sync
from adapters.types import Timeouts, WireRequest, WireResponse

__all__ = ["MAX_BODY_BYTES", "ReadyRequest", "StreamedResponse", "Transport"]

log = logging.getLogger("llmhub.transport")

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
_INFLATE_BYTES: Final = 1024 * 1024

T = TypeVar("T")


class StreamedResponse:
    """An answer whose body is still arriving. Closing it before its end closes the upstream's socket at once."""

    __slots__ = (
        "_connection",
        "_first_byte_at",
        "_inflate",
        "_left",
        "_pool",
        "_timeouts",
        "_total_at",
        "headers",
        "status",
    )

    def __init__(
        self, connection: Connection, pool: Pool, timeouts: Timeouts, started_at: float, max_bytes: int
    ) -> None:
        self._connection: Connection | None = connection
        self._pool = pool
        self._timeouts = timeouts
        self._first_byte_at = started_at + timeouts.first_byte_s
        self._total_at = started_at + timeouts.total_s
        self._left = max_bytes
        self.status = connection.status
        headers = connection.headers
        headers.pop("set-cookie", None)  # a provider's cookie is nobody's business but its own
        self.headers: Mapping[str, str] = headers
        encoding = headers.get("content-encoding")
        self._inflate = None if encoding is None else _inflater(encoding)

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Yield the body's bytes as they arrive, never an empty piece.

        Raises UpstreamTimeoutError (first byte, idle, total), UpstreamProtocolError (cut short, too long, not
        readable), UpstreamConnectionError (reset).
        """
        loop = asyncio.get_running_loop()
        connection = self._connection
        assert connection is not None
        deadline, waited_for = self._first_byte_at, "its first byte"
        while True:
            chunk = connection.take()
            if chunk:
                now = loop.time()
                if now > self._total_at:
                    raise _timed_out(waited_for, True)
                deadline, waited_for = now + self._timeouts.idle_s, "more of its answer"
                if self._inflate is None:
                    self._count(chunk)
                    yield chunk
                else:
                    for piece in self._inflated(chunk):
                        yield piece
            elif connection.complete:
                break
            elif connection.error is not None:
                raise connection.error
            else:
                try:
                    await connection.wait(min(deadline, self._total_at))
                except TimeoutError:
                    raise _timed_out(waited_for, self._total_at <= deadline) from None
        if self._inflate is not None and not self._inflate.eof:
            raise UpstreamProtocolError("the provider's compressed answer ended before it was complete")

    async def aread(self) -> bytes:
        """Read the whole body."""
        connection = self._connection
        if connection is not None and connection.complete and self._inflate is None:
            whole = connection.take()  # it came with the headers, as most short answers do
            self._count(whole)
            return whole
        pieces = [piece async for piece in self.aiter_bytes()]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close the upstream's socket, unless the body was read to its end: then the connection is kept."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.give_back(connection)

    def _count(self, chunk: bytes) -> None:
        self._left -= len(chunk)
        if self._left < 0:
            raise UpstreamProtocolError("the provider's answer is larger than the hub accepts", retryable=False)

    def _inflated(self, chunk: bytes) -> list[bytes]:
        """Undo gzip or deflate that was not asked for, a bounded piece at a time."""
        assert self._inflate is not None
        pieces = []
        try:
            while chunk and not self._inflate.eof:
                piece = self._inflate.decompress(chunk, min(_INFLATE_BYTES, self._left + 1))
                chunk = self._inflate.unconsumed_tail
                if piece:
                    self._count(piece)
                    pieces.append(piece)
        except zlib.error:
            raise UpstreamProtocolError("the provider's compressed answer can't be read") from None
        return pieces


class ReadyRequest:
    """A POST that is sent again and again: its head is made once, and only the body differs. Raises as `send` does."""

    __slots__ = ("after", "before", "policy", "timeouts", "url")

    def __init__(self, request: WireRequest, timeouts: Timeouts, policy: EgressPolicy) -> None:
        self.url = request.url
        self.timeouts = timeouts
        self.policy = policy
        # What the transport sets itself stands before any header of ours, so the first such text is the length.
        head = build_head("", request.headers, 0)
        self.before, _, self.after = head.partition(b"Content-Length: 0\r\n")

    def head(self, place: Place, length: int) -> bytes:
        return b"%b%bContent-Length: %d\r\n%b" % (place.posting, self.before, length, self.after)


class _Opening:
    """`async with transport.stream(...)`: opens on entry, closes the socket on every way out."""

    __slots__ = ("_opening", "_streamed")

    def __init__(self, opening: Coroutine[Any, Any, StreamedResponse]) -> None:
        self._opening = opening

    async def __aenter__(self) -> StreamedResponse:
        self._streamed = await self._opening
        return self._streamed

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._streamed.close()


class Transport:
    """Share one per process: it keeps a pool of connections for each event loop and policy it is used with."""

    def __init__(
        self,
        *,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._pools = Pools(resolver=resolver, tls=tls)
        self._max_body_bytes = max_body_bytes

    async def send(self, request: WireRequest, timeouts: Timeouts, policy: EgressPolicy) -> WireResponse:
        """Send and read the whole answer, whatever its status.

        Raises ConfigurationError, EgressDeniedError, UpstreamConnectionError, UpstreamTimeoutError and
        UpstreamProtocolError. A redirect is an error: it is never followed.
        """
        streamed = await self._open(request, timeouts, policy)
        try:
            return WireResponse(status=streamed.status, headers=streamed.headers, body=await streamed.aread())
        finally:
            streamed.close()

    async def send_ready(self, ready: ReadyRequest, body: bytes) -> WireResponse:
        """As `send`, for a request whose head was made before."""
        streamed = await self._open_ready(ready, body)
        try:
            return WireResponse(status=streamed.status, headers=streamed.headers, body=await streamed.aread())
        finally:
            streamed.close()

    def stream_ready(self, ready: ReadyRequest, body: bytes) -> _Opening:
        """As `stream`, for a request whose head was made before."""
        return _Opening(self._open_ready(ready, body))

    def stream(self, request: WireRequest, timeouts: Timeouts, policy: EgressPolicy) -> _Opening:
        """Send and answer, as an async context manager, once the headers are there. Raises what `send` raises."""
        return _Opening(self._open(request, timeouts, policy))

    async def aclose(self) -> None:
        """Close the running loop's connections. Not needed at a loop's end: asyncio.run and its like do it."""
        await self._pools.aclose()

    def run_sync(self, call: Coroutine[Any, Any, T]) -> T:
        """Run `call` for a synchronous caller, on the one loop thread that all of them share."""
        return run_sync(call)

    async def _open(self, request: WireRequest, timeouts: Timeouts, policy: EgressPolicy) -> StreamedResponse:
        pool = self._pools.get(asyncio.get_running_loop(), policy)
        place = pool.checked(request.url)
        body = request.body
        length = len(body) if body or request.method != "GET" else None
        head = build_head(request.method + place.line, request.headers, length)
        return await self._begin(pool, place, head, body, timeouts)

    def _open_ready(self, ready: ReadyRequest, body: bytes) -> Coroutine[Any, Any, StreamedResponse]:
        pool = self._pools.get(asyncio.get_running_loop(), ready.policy)
        place = pool.checked(ready.url)
        return self._begin(pool, place, ready.head(place, len(body)), body, ready.timeouts)

    async def _begin(self, pool: Pool, place: Place, head: bytes, body: bytes, timeouts: Timeouts) -> StreamedResponse:
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        deadline = started_at + min(timeouts.first_byte_s, timeouts.total_s)
        connection = pool.idle(place.origin)
        try:
            if connection is None:
                async with asyncio.timeout_at(deadline):
                    connection = await pool.connect(place.origin, timeouts.connect_s)
            connection.send(head, body)
            while not connection.status:
                await connection.wait(deadline)
                if connection.error is not None and not connection.status:
                    raise connection.error
            if log.isEnabledFor(logging.DEBUG):
                _log(head, place.parsed, connection.status, loop.time() - started_at)
            if 300 <= connection.status < 400:
                raise UpstreamProtocolError(
                    "the provider answered with a redirect, which is never followed",
                    upstream_status=connection.status,
                    retryable=False,
                )
            return StreamedResponse(connection, pool, timeouts, started_at, self._max_body_bytes)
        except TimeoutError:
            if connection is not None:
                connection.abort()
            raise _timed_out("its first byte", timeouts.total_s <= timeouts.first_byte_s) from None
        except BaseException:
            if connection is not None:
                connection.abort()
            raise


def _inflater(encoding: str) -> zlib._Decompress | None:
    """A decoder for an encoding that was not asked for; chains and other encodings are refused."""
    match encoding.strip().lower():
        case "identity" | "":
            return None
        case "gzip" | "x-gzip":
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        case "deflate":
            return zlib.decompressobj()
    raise UpstreamProtocolError("the provider compressed its answer in a way that was not asked for", retryable=False)


def _timed_out(waited_for: str, total: bool) -> UpstreamTimeoutError:
    if total:
        return UpstreamTimeoutError("the provider's answer took longer than the call may take")
    return UpstreamTimeoutError(f"the provider did not send {waited_for} in time")


def _log(head: bytes, parsed: ParsedOrigin, status: int, seconds: float) -> None:
    method = head[: head.index(b" ")].decode()
    log.debug("%s %s%s %d in %.1f ms", method, parsed.origin, parsed.path, status, seconds * 1000)
