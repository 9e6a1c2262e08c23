"""Same dialect in and out: forwards a chat stream's whole events unchanged and reads usage, finish and errors beside.

Only OpenAI's chat dialect so far. Never emits half an event, so that an error event can always follow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from adapters.errors import LLMError, UpstreamProtocolError
from adapters.openai_answers import map_finish_reason, raise_if_broken
from adapters.openai_errors import error_in_body
from adapters.openai_usage import find_usage, merge_usage, parse_usage
from adapters.streaming import SSEEvent, SSEReader
from adapters.types import FinishReason, Target, Usage
from adapters.wire_json import read_json

__all__ = ["ChatStreamTap", "is_said", "read_text", "reshapes", "rewrite_model"]

_DONE = b"[DONE]"
# What an event must be read for. `"finish_reason":null` and `"usage":null` tell nothing and stand in nearly every one.
_FINISH = re.compile(rb'"finish_reason": ?"')
_USAGE = re.compile(rb'"usage": ?[^n ]')
_NOTABLE = (b'"error"', _DONE, b"\r", b'"finish_reason":"', b'"finish_reason": "')
# Inside a JSON string the quotes would be escaped, so these can only be fields.
_SAID = re.compile(rb'"(?:content|reasoning_content|refusal|text|data)": ?"[^"]|"(?:tool_calls|function_call)": ?[\[{]')
_TEXT = re.compile(rb'"(?:content|reasoning_content|refusal|arguments)": ?("(?:[^"\\]|\\.)*")')
_OTHER_SHAPE = re.compile(
    rb'"(?:reasoning|reasoning_text|reasoning_details|content)": ?(?:\[|\{)|"reasoning(?:_text)?": ?"'
)


class ChatStreamTap:
    """Feed it the upstream's bytes; it answers the bytes for the client and remembers what the ledger needs.

    An event is parsed only when it may hold something to read (`"usage"`, `"error"`, `"finish_reason"`) or to change.
    Nothing of an error's own text passes: `feed` raises it, after the events before it were answered.
    """

    __slots__ = (
        "_answer_id",
        "_done",
        "_ends",
        "_error",
        "_heads",
        "_include_usage",
        "_model",
        "_open",
        "_reader",
        "_swaps",
        "_target",
        "_usage",
        "created",
        "finish_reasons",
        "upstream_model",
    )

    def __init__(
        self,
        target: Target,
        *,
        model: str | None = None,
        answer_id: str | None = None,
        include_usage: bool = True,
        ends: bool = True,
    ) -> None:
        """`model` and `answer_id` replace the answer's own; without `include_usage` the usage is taken out.

        Without `ends` the `[DONE]` is kept back too: the caller has something to say before it.
        """
        self._ends = ends
        self._answer_id = answer_id
        self._swaps: list[tuple[bytes, bytes]] | None = [] if model is None and answer_id is None else None
        self._heads: tuple[bytes, bytes] | None = None
        self._target = target
        self._model = model
        self._include_usage = include_usage
        self._reader = SSEReader()
        self._usage: dict[str, Any] = {}
        self._open = False  # an answer has begun
        self._done = False
        self._error: LLMError | None = None
        self.finish_reasons: dict[int, FinishReason] = {}
        self.upstream_model: str | None = None
        self.created: int | None = None

    @property
    def usage(self) -> Usage:
        return parse_usage(self._usage) if self._usage else Usage()

    def feed(self, data: bytes) -> bytes:
        """Bytes of the whole events that `data` completes; raises the error that the stream reports."""
        if self._error is not None:
            raise self._error
        out: list[bytes] = []
        try:
            while data:
                if self._open and not self._done and self._reader.is_empty and (plain := self._plain(data)):
                    end, passed = plain
                    out.append(passed)
                else:
                    # Up to the answer's first event one by one; then what is left is seen as a whole.
                    end = len(data) if self._open else data.find(b"\n\n") + 2
                    end = end if end > 1 else len(data)
                    for event in self._reader.feed(data if end == len(data) else data[:end]):
                        self._take(event, out)
                data = data[end:]
        except LLMError as error:
            self._remember(error)
            if not out:
                raise
        return b"".join(out)

    def close(self) -> bytes:
        """What the end of the body completes; raises UpstreamProtocolError when the stream was cut short."""
        if self._error is not None:
            raise self._error
        out: list[bytes] = []
        try:
            for event in self._reader.close():
                self._take(event, out)
            if not self._open or not (self._done or self.finish_reasons):
                name = self._target.provider or self._target.kind
                raise UpstreamProtocolError(f"{name} cut the stream short")
        except LLMError as error:
            self._remember(error)
            raise
        if self._ends and not self._done:
            # The dialect's clients wait for it, though some providers leave it out.
            out.append(b"data: [DONE]\n\n")
        return b"".join(out)

    def _remember(self, error: LLMError) -> None:
        error.provider = error.provider or self._target.provider
        error.model = error.model or self._target.model
        self._error = error

    def _plain(self, data: bytes) -> tuple[int, bytes] | None:
        """The whole events at the beginning of `data` that tell nothing but text: where they end, and they themselves.

        Taken together, however many: the bytes are searched, not read. None where that can't be told.
        """
        stops = [found for mark in _NOTABLE if (found := data.find(mark)) >= 0]
        if b'"usage"' in data and (match := _USAGE.search(data)):
            stops.append(match.start())
        end = data.rfind(b"\n\n", 0, min(stops, default=len(data))) + 2
        if end < 2 or not data.startswith(b"data:"):
            return None
        block = data if end == len(data) else data[:end]
        events = block.count(b"\n\n")
        if block.count(b"\n") != 2 * events or block.count(b"\ndata:") != events - 1:
            return None
        swapped = self._swapped(block, events)
        return None if swapped is None else (end, swapped)

    def _take(self, event: SSEEvent, out: list[bytes]) -> None:
        data = event.data
        if self._done:
            return
        if data is None:
            self._take_other(event.raw, out)
            return
        if data.strip().startswith(_DONE):
            self._done = True
            if self._ends:
                out.append(b"data: [DONE]\n\n")
            return
        if not self._must_read(event, data):
            plain = self._swapped(event.raw, 1)
            if plain is not None:
                out.append(plain)
                return
        chunk = read_json(data)
        if event.name == b"error" and not (isinstance(chunk, dict) and chunk.get("error")):
            chunk = {"error": chunk}
        error = error_in_body(chunk, self._target)
        if error is not None:
            raise error
        if not isinstance(chunk, dict):
            raise UpstreamProtocolError("the provider sent a chunk that is no object")
        self._read(chunk)
        if self._swaps is None:
            self._learn_swaps(event.raw, chunk)
        rewritten = self._rewrite(chunk)
        if rewritten is None:
            out.append(event.raw if event.raw.endswith((b"\n", b"\r")) else event.raw + b"\n\n")
        elif rewritten:
            out.append(b"data: " + orjson.dumps(rewritten) + b"\n\n")

    def _take_other(self, raw: bytes, out: list[bytes]) -> None:
        """A block without data: comments pass; a JSON body in a stream's place is an error, whatever it says."""
        if raw.lstrip()[:1] == b"{":
            raise error_in_body(read_json(raw), self._target) or UpstreamProtocolError(
                "the provider answered in one piece where a stream was asked for"
            )
        if raw.endswith((b"\n\n", b"\r\n\r\n", b"\r\r")):
            out.append(raw)

    def _learn_swaps(self, raw: bytes, chunk: Mapping[str, Any]) -> None:
        """Note how the answer's first event writes what is to be replaced: all its events write it alike."""
        swaps = []
        for field, wanted in (("id", self._answer_id), ("model", self._model)):
            given = chunk.get(field)
            if wanted is None or given == wanted:
                continue
            if not isinstance(given, str) or not given:
                return
            for form in (b'"%b":', b'"%b": '):
                old = form % field.encode() + orjson.dumps(given)
                if raw.count(old) == 1:
                    swaps.append((old, form % field.encode() + orjson.dumps(wanted)))
                    break
            else:
                return
        self._swaps = swaps
        self._heads = _heads(raw, swaps)

    def _swapped(self, events: bytes, count: int) -> bytes | None:
        """`count` events under the client's names; None when that takes a parser.

        Inside a JSON string the quotes would be escaped, so the bytes searched for can only be a field.
        """
        if self._swaps is None:
            return None
        if self._heads is not None and events.startswith(self._heads[0]):
            old, new = self._heads
            if events.count(b"\n\n" + old) == count - 1 and events.count(old) == count:
                return events.replace(old, new)
        for old, new in self._swaps:
            pieces = events.split(old)
            if len(pieces) != count + 1:
                return None
            # One in each event, and not two in the one and none in another, which is damaged and must be read.
            if count > 1 and any(piece.count(b"\n\n") != 1 for piece in pieces[1:]):
                return None
            events = new.join(pieces)
        return events

    def _must_read(self, event: SSEEvent, data: bytes) -> bool:
        if not self._open or event.name:
            return True
        if b'"error"' in data or _FINISH.search(data):
            return True
        return _USAGE.search(data) is not None

    def _read(self, chunk: Mapping[str, Any]) -> None:
        model, created = chunk.get("model"), chunk.get("created")
        if isinstance(created, int) and created > 0:
            self.created = created
        if isinstance(model, str) and model:
            self.upstream_model = model
        usage = find_usage(chunk)
        if usage:
            self._usage = merge_usage(self._usage, usage)
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._open = True
                self._read_finish(choice)

    def _read_finish(self, choice: Mapping[str, Any]) -> None:
        finish, index = choice.get("finish_reason"), choice.get("index")
        if not isinstance(finish, str) or not finish:
            return
        raise_if_broken(finish, self._target)
        self.finish_reasons[index if isinstance(index, int) else 0] = map_finish_reason(finish, has_tool_calls=False)

    def _rewrite(self, chunk: dict[str, Any]) -> dict[str, Any] | None:
        """The chunk as the client may see it: None for "unchanged", empty for "not at all"."""
        changed = False
        if self._model is not None and "model" in chunk and chunk["model"] != self._model:
            chunk["model"] = self._model
            changed = True
        if self._answer_id is not None and chunk.get("id") != self._answer_id:
            chunk["id"] = self._answer_id
            changed = True
        if not self._include_usage and "usage" in chunk:
            del chunk["usage"]
            changed = True
            if not chunk.get("choices"):
                return {}  # the chunk that came only because the hub asked for usage
        return chunk if changed else None


def _heads(raw: bytes, swaps: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
    """How an event begins until after all that is replaced, as it is and as it is to be; None without such a beginning.

    Most providers write the same of it in each event of an answer: then one look tells that each event has it.
    """
    if not swaps:
        return None
    head = raw[: max(raw.index(old) + len(old) for old, _ in swaps)]
    if not head.startswith(b"data:") or b"\n" in head or b'"choices"' in head:
        return None
    new_head = head
    for old, new in swaps:
        new_head = new_head.replace(old, new)
    return head, new_head


def is_said(events: bytes) -> bool:
    """Whether whole events hold anything of an answer, not only its opening."""
    return _SAID.search(events) is not None


def reshapes(events: bytes) -> bool:
    """Whether whole events hold what the hub's clients get in another shape: they can't be forwarded then."""
    return _OTHER_SHAPE.search(events) is not None


def read_text(events: bytes) -> str:
    """All that whole events said, of every kind and choice, in order: to be counted, not to be shown."""
    return "".join(orjson.loads(b"[" + b",".join(_TEXT.findall(events)) + b"]"))


def rewrite_model(body: bytes, model: str) -> bytes:
    """A whole answer's body under the name that the client asked for; raises UpstreamProtocolError for no JSON."""
    answer = read_json(body)
    if isinstance(answer, dict) and "model" in answer:
        answer["model"] = model
    return orjson.dumps(answer)
