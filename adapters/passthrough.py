"""Same dialect in and out: forwards a chat stream's whole events unchanged and reads usage, finish and errors beside.

Only OpenAI's chat dialect so far. Never emits half an event, so that an error event can always follow.
"""

from __future__ import annotations

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

__all__ = ["ChatStreamTap", "rewrite_model"]

_DONE = b"[DONE]"


class ChatStreamTap:
    """Feed it the upstream's bytes; it answers the bytes for the client and remembers what the ledger needs.

    An event is parsed only when it may hold something to read (`"usage"`, `"error"`, `"finish_reason"`) or to change.
    Nothing of an error's own text passes: `feed` raises it, after the events before it were answered.
    """

    __slots__ = (
        "_done",
        "_error",
        "_include_usage",
        "_model",
        "_open",
        "_reader",
        "_target",
        "_usage",
        "finish_reasons",
        "upstream_model",
    )

    def __init__(self, target: Target, *, model: str | None = None, include_usage: bool = True) -> None:
        """`model` replaces the answer's; without `include_usage` the usage that the hub asked for is taken out."""
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

    @property
    def usage(self) -> Usage:
        return parse_usage(self._usage) if self._usage else Usage()

    def feed(self, data: bytes) -> bytes:
        """Bytes of the whole events that `data` completes; raises the error that the stream reports."""
        if self._error is not None:
            raise self._error
        out: list[bytes] = []
        try:
            for event in self._reader.feed(data):
                self._take(event, out)
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
        if not self._done:
            # The dialect's clients wait for it, though some providers leave it out.
            out.append(b"data: [DONE]\n\n")
        return b"".join(out)

    def _remember(self, error: LLMError) -> None:
        error.provider = error.provider or self._target.provider
        error.model = error.model or self._target.model
        self._error = error

    def _take(self, event: SSEEvent, out: list[bytes]) -> None:
        data = event.data
        if self._done:
            return
        if data is None:
            self._take_other(event.raw, out)
            return
        if data.strip().startswith(_DONE):
            self._done = True
            out.append(b"data: [DONE]\n\n")
            return
        if not self._must_read(event, data):
            plain = event.raw if self._model is None else self._renamed(event.raw)
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

    def _renamed(self, raw: bytes) -> bytes | None:
        """The event under the client's name of the model; None when that takes a parser.

        Inside a JSON string the quotes would be escaped, so the bytes searched for can only be a field.
        """
        if self.upstream_model is None or self._model is None:
            return None
        old = b'"model":' + orjson.dumps(self.upstream_model)
        return raw.replace(old, b'"model":' + orjson.dumps(self._model)) if raw.count(old) == 1 else None

    def _must_read(self, event: SSEEvent, data: bytes) -> bool:
        if not self._open or event.name:
            return True
        # `"finish_reason":null` stands in nearly every chunk and tells nothing.
        if b'"error"' in data or b'"finish_reason":"' in data or b'"finish_reason": "' in data:
            return True
        return data.count(b'"usage"') > data.count(b'"usage":null')

    def _read(self, chunk: Mapping[str, Any]) -> None:
        model = chunk.get("model")
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
        if not self._include_usage and "usage" in chunk:
            del chunk["usage"]
            changed = True
            if not chunk.get("choices"):
                return {}  # the chunk that came only because the hub asked for usage
        return chunk if changed else None


def rewrite_model(body: bytes, model: str) -> bytes:
    """A whole answer's body under the name that the client asked for; raises UpstreamProtocolError for no JSON."""
    answer = read_json(body)
    if isinstance(answer, dict) and "model" in answer:
        answer["model"] = model
    return orjson.dumps(answer)
