"""One HTTP/1.1 connection to a provider: writes requests, takes answers as they arrive. Knows no policy and no pool.

httptools (llhttp, strict) does the parsing and calls no Python for a body's pieces; here are the caps, the deadlines,
flow control, and the rule when a connection may serve another call.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, cast

import httptools

from adapters.errors import ConfigurationError, LLMError, UpstreamConnectionError, UpstreamProtocolError

__all__ = ["Connection", "build_head"]

MAX_INFORMATIONAL: Final = 8  # 1xx answers before the real one
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 128
PAUSE_AT_BYTES: Final = 128 * 1024  # that nobody took yet: then the provider waits

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Set here alone: another value would change where a request ends, whose it is, or what comes back.
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
_DEFAULTS: Final = {"accept": "Accept: */*\r\n", "user-agent": "User-Agent: llmhub\r\n"}


def build_head(line: str, headers: Mapping[str, str], body_bytes: int | None) -> bytes:
    """A request's head: `line` (request line and Host, with their line ends), then the headers.

    Raises ConfigurationError for a header that may not be set, or one that would begin another.
    """
    defaults = _defaults_beside(tuple(headers))
    fields = "\r\n".join([f"{name}: {value}" for name, value in headers.items()])
    breaks = max(len(headers) - 1, 0)
    if fields.count("\n") != breaks or fields.count("\r") != breaks or "\0" in fields:
        raise ConfigurationError("a header holds characters that HTTP does not allow")
    length = "" if body_bytes is None else f"Content-Length: {body_bytes}\r\n"
    end = "\r\n\r\n" if fields else "\r\n"
    try:
        return f"{line}{defaults}{length}{fields}{end}".encode("latin-1")
    except UnicodeEncodeError:
        raise ConfigurationError("a header holds characters that HTTP does not allow") from None


@lru_cache(maxsize=1024)  # calls to one provider bear the same names
def _defaults_beside(names: tuple[str, ...]) -> str:
    """The headers that every request bears, except those that it names itself."""
    lowered = {name.lower() for name in names}
    for name in names:
        if name.lower() in _RESERVED_HEADERS or name.lower().startswith(_RESERVED_PREFIXES):
            raise ConfigurationError(f"the header {name.lower()!r} can't be set")
        if not _TOKEN.fullmatch(name):
            raise ConfigurationError("a header's name is not valid in HTTP")
    return "Accept-Encoding: identity\r\n" + "".join(text for name, text in _DEFAULTS.items() if name not in lowered)


class Connection(asyncio.Protocol):
    """Serves one call after another. `on_lost` is told when it is gone; `take` and `wait` read the answer under way."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[Connection], None]) -> None:
        self._loop = loop
        self._on_lost = on_lost
        self._pieces: list[bytes] = []  # of the body, whole chunks of what arrived
        self.on_body = self._pieces.append  # the parser's, so that no Python runs for a piece
        self._parser: Any = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = self._timer_at = 0.0
        self._waiting_bytes = 0
        self._paused = False
        self.idle_since = 0.0
        self.in_use = True
        self.lost = False
        self._begin_answer()

    def _begin_answer(self) -> None:
        self.status = 0  # 0 until the head is there
        self.headers: dict[str, str] = {}
        self.complete = False
        self.error: LLMError | None = None
        self._begun = False  # any byte of an answer arrived
        self._head_bytes = 0
        self._fields = 0
        self._informational = 0
        self._to_the_end = False  # the body ends with the connection
        self._surplus = False
        self._kept = False

    # --- for the transport -------------------------------------------------------------------------------------------

    def send(self, head: bytes, body: bytes) -> None:
        """Begin a call. Its answer is read by `wait` and `take`."""
        self._begin_answer()
        self._transport.write(head + body if len(body) < PAUSE_AT_BYTES else head)
        if len(body) >= PAUSE_AT_BYTES:
            self._transport.write(body)

    def take(self) -> bytes:
        """The body's bytes that have arrived since the last time; empty when there are none."""
        pieces = self._pieces
        if not pieces:
            return b""
        taken = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._waiting_bytes = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return taken

    def wait(self, deadline: float) -> asyncio.Future[None]:
        """Await it: something arrives, or the connection ends. Raises TimeoutError at `deadline` (the loop's time)."""
        waiter = self._waiter = self._loop.create_future()
        self._deadline = deadline
        # A timer is left running for the next wait: most calls set none of their own.
        if self._timer is None or deadline < self._timer_at:
            self._set_timer()
        return waiter

    @property
    def reusable(self) -> bool:
        """Whether the answer ended cleanly and the provider keeps the connection."""
        return (
            self.complete
            and self._kept
            and not (self.lost or self._surplus or self._to_the_end or self._pieces)
            and not self._transport.get_write_buffer_size()
        )

    def abort(self) -> None:
        """Close the socket at once."""
        self._drop_timer()
        self._transport.abort()

    # --- asyncio's calls ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._awaits_more:
            self._surplus = True  # said without being asked: nothing that follows can be trusted
            self._transport.abort()
            return
        self._begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(UpstreamProtocolError("the provider wants to speak something else than HTTP"))
        except httptools.HttpParserError:
            if self.complete:
                self._surplus = True
            else:
                self._fail(_unreadable(headed=self.status > 0))
        if not self.status and not self._refused_head(len(data)):
            return
        self._waiting_bytes += len(data)
        if self._waiting_bytes > PAUSE_AT_BYTES and not self._paused and not self.complete:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Nothing more comes; the connection closes itself."""

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._drop_timer()
        if self._awaits_more:
            if self._to_the_end and error is None:
                self.complete = True
            else:
                self._fail(_broken(error, begun=self._begun, headed=self.status > 0))
        self._wake()
        self._parser = None  # it holds this object
        self._on_lost(self)

    # --- the parser's calls ------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:
            raise _NotWanted

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        if self._fields > MAX_HEADERS:
            raise _NotWanted
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._informational += 1
            if self._informational > MAX_INFORMATIONAL:
                raise _NotWanted
            self.headers = {}
            return
        coding = self.headers.get("transfer-encoding", "chunked").lower()
        if coding != "chunked":
            raise _NotWanted
        framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        self._to_the_end = not framed and status not in (204, 304)
        self.status = status

    def on_message_complete(self) -> None:
        if self.status:
            self.complete = True
            self._kept = self._parser.should_keep_alive()  # asked later, the parser has forgotten

    # --- inside ------------------------------------------------------------------------------------------------------

    @property
    def _awaits_more(self) -> bool:
        return self.in_use and not self.complete and self.error is None

    def _refused_head(self, more_bytes: int) -> bool:
        """Whether the head under way is none, or grows beyond what any provider sends."""
        self._head_bytes += more_bytes
        if self._head_bytes > MAX_HEAD_BYTES and self.error is None:
            self._fail(_unreadable(headed=False))
        return self.error is not None

    def _fail(self, error: LLMError) -> None:
        self.error = error
        if not self.lost:
            self._transport.abort()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._deadline
        self._timer = self._loop.call_at(self._timer_at, self._on_timer)

    def _drop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _on_timer(self) -> None:
        self._timer = None
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if self._loop.time() >= self._deadline:
            waiter.set_exception(TimeoutError())
        else:
            self._set_timer()


class _NotWanted(Exception):
    """Ends the parser's work: another answer follows the one that was asked for, or the head is none."""


def _unreadable(*, headed: bool) -> UpstreamProtocolError:
    if headed:
        return UpstreamProtocolError("the provider's answer ended before it was complete, or can't be read")
    return UpstreamProtocolError("the provider's answer is not readable HTTP")


def _broken(error: Exception | None, *, begun: bool, headed: bool) -> LLMError:
    """Why an answer stopped; nothing of the upstream's text is repeated."""
    if isinstance(error, ssl.SSLError):
        return UpstreamConnectionError("the provider's TLS certificate or handshake was not accepted")
    if not begun:
        return UpstreamConnectionError("the provider closed the connection without an answer")
    if error is not None:
        return UpstreamConnectionError("the provider's connection broke in the middle of its answer")
    return _unreadable(headed=headed)
