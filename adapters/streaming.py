"""Byte-safe readers of event streams and the assembly of streamed tool calls. Knows no provider and opens no socket.

Lines end at \\n, \\r\\n and \\r only: `str.splitlines` and httpx's `iter_lines` also split at U+2028, U+0085 and their
like, which stand raw inside what models write.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from adapters.errors import UpstreamProtocolError
from adapters.types import StreamEvent, ToolCallDelta, ToolCallStarted
from adapters.wire_json import dump_json

__all__ = ["MAX_EVENT_BYTES", "NDJSONReader", "SSEEvent", "SSEReader", "ToolCallAssembler", "new_tool_call_id"]

MAX_EVENT_BYTES = 16 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")
# Two line ends in a row. `\r(?!\n)` keeps the two bytes of one \r\n from counting as two.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class SSEEvent(NamedTuple):
    """One block of a stream. `raw` of all events in a row is the stream itself, so whole events can be forwarded."""

    data: bytes | None  # the joined data lines; None for a block of comments only
    name: bytes  # of the `event:` line, or empty
    raw: bytes  # with the blank line that ended it; what followed the last one has none


class SSEReader:
    """Splits bytes into events; any split of the bytes gives the same events."""

    __slots__ = ("_buffer", "_carriage_returns", "_failed", "_limit", "_scanned", "_started")

    def __init__(self, *, limit: int = MAX_EVENT_BYTES) -> None:
        self._buffer = bytearray()
        self._scanned = 0  # no event ends before this offset
        self._carriage_returns = False
        self._started = False
        self._failed = False
        self._limit = limit

    def feed(self, data: bytes) -> list[SSEEvent]:
        """Answer the events that `data` completes; raises UpstreamProtocolError for an event beyond the limit.

        Events completed before the one that is too long are answered first; the next call raises.
        """
        if self._failed:
            raise self._too_long()
        buffer = self._buffer
        buffer += data
        if not self._carriage_returns:
            if b"\r" in data:
                self._carriage_returns = True
                self._scanned = 0
            elif b"\n" not in data and len(buffer) <= self._limit:
                return []  # without a line end nothing can be complete
        events: list[SSEEvent] = []
        start = 0
        while (end := self._end_of_event(start)) > 0:
            if end - start > self._limit:
                self._failed = True
                break
            events.append(self._event(bytes(buffer[start:end])))
            start = end
        if start:
            del buffer[:start]
        # Resume a little before the end: the blank line may be cut in two, at worst after three of its four bytes.
        self._scanned = max(0, len(buffer) - 3)
        if self._failed or len(buffer) > self._limit:
            self._failed = True
            if not events:
                raise self._too_long()
        return events

    @property
    def is_empty(self) -> bool:
        """Whether no part of an event is held."""
        return not self._buffer

    def close(self) -> list[SSEEvent]:
        """Answer what the end of the body completes: the last event, though no blank line follows it."""
        if self._failed:
            raise self._too_long()
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._scanned = 0
        if not rest:
            return []
        # The last event may have waited only to see whether \n follows its \r.
        return [self._event(rest)]

    def _end_of_event(self, start: int) -> int:
        """The offset behind the blank line that ends the event at `start`; 0 when it is not here yet."""
        buffer = self._buffer
        begin = max(start, self._scanned)
        if not self._carriage_returns:
            found = buffer.find(b"\n\n", begin)
            return found + 2 if found >= 0 else 0
        match = _BLANK_LINE.search(buffer, begin)
        if match is None:
            return 0
        end = match.end()
        # A \r in the last place may be the first half of \r\n: wait, or the split of the bytes would show.
        return 0 if end == len(buffer) and buffer[end - 1] == 0x0D else end

    def _event(self, raw: bytes) -> SSEEvent:
        if not self._started:
            self._started = True
            block = raw.removeprefix(_BOM)
        else:
            block = raw
        # Nearly every event is one line `data: {...}` and needs no further splitting.
        if block.startswith(b"data: ") and block.find(b"\n") == len(block) - 2 and b"\r" not in block:
            return SSEEvent(block[6:-2], b"", raw)
        name = b""
        lines: list[bytes] = []
        for line in _LINE_END.split(block):
            if line.startswith(b"data:"):
                lines.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif line.startswith(b"event:"):
                name = line[6:].strip()
            elif line == b"data":
                lines.append(b"")
        return SSEEvent(b"\n".join(lines) if lines else None, name, raw)

    def _too_long(self) -> UpstreamProtocolError:
        return UpstreamProtocolError(f"the provider sent an event of more than {self._limit} bytes")


class NDJSONReader:
    """Splits bytes into lines of one JSON value each; any split of the bytes gives the same lines."""

    __slots__ = ("_buffer", "_failed", "_limit", "_scanned")

    def __init__(self, *, limit: int = MAX_EVENT_BYTES) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._failed = False
        self._limit = limit

    def feed(self, data: bytes) -> list[bytes]:
        """Answer the lines that `data` completes, without their ends and without blank ones.

        Raises UpstreamProtocolError for a line beyond the limit; lines before it are answered first.
        """
        if self._failed:
            raise self._too_long()
        buffer = self._buffer
        buffer += data
        lines: list[bytes] = []
        start = 0
        while (end := buffer.find(b"\n", max(start, self._scanned))) >= 0:
            if end - start > self._limit:
                self._failed = True
                break
            # A raw \r can't stand inside JSON text, so this also parts lines that end in \r alone.
            lines.extend(part for piece in bytes(buffer[start:end]).split(b"\r") if (part := piece.strip()))
            start = end + 1
        if start:
            del buffer[:start]
        self._scanned = len(buffer)
        if self._failed or len(buffer) > self._limit:
            self._failed = True
            if not lines:
                raise self._too_long()
        return lines

    def close(self) -> list[bytes]:
        """Answer the last line, though no line end follows it."""
        if self._failed:
            raise self._too_long()
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._scanned = 0
        return [part for piece in rest.split(b"\r") if (part := piece.strip())]

    def _too_long(self) -> UpstreamProtocolError:
        return UpstreamProtocolError(f"the provider sent a line of more than {self._limit} bytes")


def new_tool_call_id(form: Literal["any", "alnum9"] = "any") -> str:
    """An id for a call that came without one."""
    if form == "alnum9":
        return "".join(secrets.choice(_ALPHABET) for _ in range(9))
    return "call_" + "".join(secrets.choice(_ALPHABET) for _ in range(24))


class _OpenCall:
    __slots__ = ("arguments_sent", "id", "index", "metadata", "name", "waiting")

    def __init__(self) -> None:
        self.index = -1  # the client's; -1 until the call is announced
        self.id = ""
        self.name = ""
        self.metadata: Mapping[str, Any] = {}
        self.waiting: list[str] = []  # arguments that came before the name
        self.arguments_sent = False


class ToolCallAssembler:
    """Turns one choice's `delta.tool_calls` into events; indices are renumbered from 0 in order of appearance.

    Seen in the wild: no index, indices from 1, every call at index 0, ids that are empty, absent, repeated or integers,
    a name that comes late, is repeated or is empty (no call at all), arguments as string, object or null.
    """

    __slots__ = ("_by_id", "_by_index", "_calls", "_choice", "_dialect", "_id_form", "_last", "count")

    def __init__(self, *, choice: int, dialect: str, id_form: Literal["any", "alnum9"] = "any") -> None:
        self._choice = choice
        self._dialect = dialect
        self._id_form = id_form
        self._calls: list[_OpenCall] = []
        self._by_index: dict[int, _OpenCall] = {}
        self._by_id: dict[str, _OpenCall] = {}
        self._last: _OpenCall | None = None
        self.count = 0  # calls announced so far

    def add(self, deltas: Iterable[Any], metadata_fields: tuple[str, ...] = ()) -> list[StreamEvent]:
        """Take one chunk's list; `metadata_fields` of a delta are kept for the way back to the same provider."""
        events: list[StreamEvent] = []
        for delta in deltas:
            if isinstance(delta, dict):
                self._add(delta, metadata_fields, events)
        return events

    def finish(self) -> list[StreamEvent]:
        """Close all calls: one that got no arguments gets `{}`, so that every call's arguments can be parsed."""
        events: list[StreamEvent] = []
        for call in self._calls:
            if call.index >= 0 and not call.arguments_sent:
                call.arguments_sent = True
                events.append(ToolCallDelta(index=call.index, arguments="{}", choice=self._choice))
        return events

    def _add(self, delta: dict[str, Any], metadata_fields: tuple[str, ...], events: list[StreamEvent]) -> None:
        body = delta.get("function")
        body = body if isinstance(body, dict) else {}
        arguments = body.get("arguments")
        custom = delta.get("custom")
        metadata: dict[str, Any] = {}
        if not body.get("name") and isinstance(custom, dict) and (custom.get("name") or custom.get("input")):
            body, arguments = custom, custom.get("input")
            metadata["type"] = "custom"
        name = body.get("name")
        name = name if isinstance(name, str) else ""
        call_id = delta.get("id")
        call_id = call_id if isinstance(call_id, str) else ""
        call = self._call_for(delta.get("index"), call_id, name)
        if call_id and not call.id:
            call.id = call_id
        if name and not call.name:
            call.name = name
        metadata.update({field: own for field in metadata_fields if isinstance(own := delta.get(field), dict) and own})
        if metadata:
            call.metadata = {**call.metadata, **metadata}
        self._announce(call, events)
        self._append(call, arguments, events)

    def _call_for(self, index: Any, call_id: str, name: str) -> _OpenCall:
        if isinstance(index, int) and not isinstance(index, bool):
            call = self._by_index.get(index)
            # A whole new call under an index in use: Gemini's compatible endpoint sends each one as index 0.
            is_another = call is not None and bool(name and call.name and call_id and call.id) and call.id != call_id
            if call is None or is_another:
                call = self._by_id.get(call_id) if is_another else None
                call = self._by_index[index] = call or self._open()
        elif call_id:
            call = self._by_id.get(call_id) or self._open()
        elif self._last is not None and not name:
            call = self._last
        else:
            call = self._open()  # no index, no id, but a name: a whole call
        if call_id:
            self._by_id.setdefault(call_id, call)
        self._last = call
        return call

    def _open(self) -> _OpenCall:
        call = _OpenCall()
        self._calls.append(call)
        return call

    def _announce(self, call: _OpenCall, events: list[StreamEvent]) -> None:
        if call.index >= 0 or not call.name:
            return
        call.index = self.count
        self.count += 1
        call.id = call.id or new_tool_call_id(self._id_form)
        metadata = {self._dialect: call.metadata} if call.metadata else {}
        events.append(
            ToolCallStarted(
                index=call.index, id=call.id, name=call.name, choice=self._choice, provider_metadata=metadata
            )
        )
        waiting, call.waiting = call.waiting, []
        for arguments in waiting:
            self._append(call, arguments, events)

    def _append(self, call: _OpenCall, arguments: Any, events: list[StreamEvent]) -> None:
        if arguments is None or arguments == "":
            return
        if not isinstance(arguments, str):
            if call.arguments_sent or call.waiting:
                return  # an object is the whole; a second one is a repetition
            arguments = dump_json(arguments).decode()
        if call.index < 0:
            call.waiting.append(arguments)
            return
        call.arguments_sent = True
        events.append(ToolCallDelta(index=call.index, arguments=arguments, choice=self._choice))
