"""The one way out to the network: sends wire requests, holds deadlines and caps, closes at once. Knows no dialect.

aiohttp does the HTTP; what its defaults would do to a gateway is turned off: no cookie jar, no redirects, no proxies
from the environment, no decompression, no second reading of the URL, and literal addresses are checked like names.
Connections are pooled per event loop and policy, so that no caller rides on a connection another policy opened.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import zlib
from collections.abc import AsyncIterator, Coroutine, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, TypeVar

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from adapters.connections import Pools, Resolver, TooManyInformational
from adapters.egress import EgressPolicy, ParsedOrigin
from adapters.errors import (
    ConfigurationError,
    LLMError,
    UpstreamConnectionError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
)
from adapters.loop_thread import run_sync
from adapters.types import Timeouts, WireRequest, WireResponse

__all__ = ["MAX_BODY_BYTES", "StreamedResponse", "Transport"]

log = logging.getLogger("llmhub.transport")

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
_INFLATE_BYTES: Final = 1024 * 1024

# Set here or by aiohttp alone: another value would change where a request ends, whose it is, or what comes back.
_RESERVED_HEADERS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-real-ip",
    }
)
_RESERVED_PREFIXES: Final = ("proxy-", "x-forwarded-")

T = TypeVar("T")


class StreamedResponse:
    """An answer whose body is still arriving. Closing it before its end closes the upstream's socket at once."""

    __slots__ = (
        "_body",
        "_first_byte_at",
        "_inflate",
        "_left",
        "_response",
        "_timeouts",
        "_total_at",
        "headers",
        "status",
    )

    def __init__(self, response: aiohttp.ClientResponse, timeouts: Timeouts, started_at: float, max_bytes: int) -> None:
        self._response = response
        self._body = response.content
        self._timeouts = timeouts
        self._first_byte_at = started_at + timeouts.first_byte_s
        self._total_at = started_at + timeouts.total_s
        self._left = max_bytes
        self.status: int = response.status
        headers = {name.lower(): value for name, value in response.headers.items()}
        headers.pop("set-cookie", None)  # a provider's cookie is nobody's business but its own
        self.headers: Mapping[str, str] = headers
        self._inflate = _inflater(self.headers.get("content-encoding"))

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Yield the body's bytes as they arrive, never an empty piece.

        Raises UpstreamTimeoutError (first byte, idle, total), UpstreamProtocolError (cut short, too long, not
        readable), UpstreamConnectionError (reset).
        """
        loop = asyncio.get_running_loop()
        body = self._body
        deadline, waited_for = self._first_byte_at, "its first byte"
        while True:
            try:
                # Only a real wait pays for a timer; bytes that are there already are taken without one.
                chunk = _take_all(body)
                if not chunk:
                    if body.at_eof():
                        break
                    async with asyncio.timeout_at(min(deadline, self._total_at)):
                        chunk = await body.readany()
            except TimeoutError:
                raise _timed_out(waited_for, self._total_at <= deadline) from None
            except aiohttp.ClientError as error:
                raise _broken_body(error) from None
            now = loop.time()
            if now > self._total_at:
                raise _timed_out(waited_for, True)
            deadline, waited_for = now + self._timeouts.idle_s, "more of its answer"
            if not chunk:
                continue
            if self._inflate is None:
                self._count(chunk)
                yield chunk
            else:
                for piece in self._inflated(chunk):
                    yield piece
        if self._inflate is not None and not self._inflate.eof:
            raise UpstreamProtocolError("the provider's compressed answer ended before it was complete")

    async def aread(self) -> bytes:
        """Read the whole body."""
        if (
            self._inflate is None and self._body.is_eof() and self._body.exception() is None
        ):  # it came with the headers, as most short answers do
            whole = self._body.read_nowait()
            self._count(whole)
            return whole
        pieces = [piece async for piece in self.aiter_bytes()]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close the upstream's socket, unless the body was read to its end: then the connection is kept."""
        self._response.close()

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
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        pool = self._pools.get(loop, policy)
        url, parsed = pool.checked(request.url)
        _check_header_names(tuple(request.headers))
        deadline = started_at + min(timeouts.first_byte_s, timeouts.total_s)
        try:
            async with asyncio.timeout_at(deadline):
                response = await pool.request(request, url, timeouts.connect_s)
        except LLMError:
            raise
        except aiohttp.ConnectionTimeoutError:
            raise UpstreamTimeoutError("the provider could not be connected to in time") from None
        except TimeoutError:
            raise _timed_out("its first byte", timeouts.total_s <= timeouts.first_byte_s) from None
        except (aiohttp.ClientError, HttpProcessingError, TooManyInformational, OSError) as error:
            raise _unanswered(error) from None
        except ValueError:
            raise ConfigurationError("a header holds characters that HTTP does not allow") from None
        if log.isEnabledFor(logging.DEBUG):
            _log(request, parsed, response.status, loop.time() - started_at)
        if 300 <= response.status < 400:
            response.close()
            raise UpstreamProtocolError(
                "the provider answered with a redirect, which is never followed",
                upstream_status=response.status,
                retryable=False,
            )
        try:
            return StreamedResponse(response, timeouts, started_at, self._max_body_bytes)
        except LLMError:
            response.close()
            raise


def _take_all(body: aiohttp.StreamReader) -> bytes:
    """The bytes that have arrived. aiohttp keeps HTTP chunks apart, and takes as long for one as for all of them."""
    pieces = body._buffer
    if len(pieces) > 1 and not body._buffer_offset:
        joined = b"".join(pieces)
        pieces.clear()
        pieces.append(joined)
    return body.read_nowait()


@lru_cache(maxsize=1024)  # calls to one provider bear the same names
def _check_header_names(names: tuple[str, ...]) -> None:
    for name in names:
        lowered = name.lower()
        if lowered in _RESERVED_HEADERS or lowered.startswith(_RESERVED_PREFIXES):
            raise ConfigurationError(f"the header {lowered!r} can't be set")


def _inflater(encoding: str | None) -> zlib._Decompress | None:
    """A decoder for an encoding that was not asked for; chains and other encodings are refused."""
    match (encoding or "identity").strip().lower():
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


def _broken_body(error: aiohttp.ClientError) -> LLMError:
    """Name why a body could not be read to its end; nothing of the upstream's text is repeated."""
    if isinstance(error, aiohttp.ClientOSError) or "ConnectionResetError" in str(error):
        return UpstreamConnectionError("the provider's connection broke in the middle of its answer")
    return UpstreamProtocolError("the provider's answer ended before it was complete, or can't be read")


def _unanswered(error: Exception) -> LLMError:
    """Name why no answer came; the order is from the special to the general."""
    match error:
        case aiohttp.ClientSSLError():
            return UpstreamConnectionError("the provider's TLS certificate or handshake was not accepted")
        case aiohttp.ClientConnectorError():
            return UpstreamConnectionError("the provider refused the connection or is not reachable")
        case aiohttp.ClientResponseError() | HttpProcessingError() | TooManyInformational():
            return UpstreamProtocolError("the provider's answer is not readable HTTP")
        case _:
            return UpstreamConnectionError("the provider closed the connection without an answer")


def _log(request: WireRequest, parsed: ParsedOrigin, status: int, seconds: float) -> None:
    log.debug("%s %s%s %d in %.1f ms", request.method, parsed.origin, parsed.path, status, seconds * 1000)
