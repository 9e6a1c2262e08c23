"""Feeds bytes to stream decoders in every way, and finds the recordings beside the project when they are there."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from adapters.base import StreamDecoder
from adapters.errors import LLMError
from adapters.types import (
    Finished,
    Part,
    ReasoningDelta,
    ReasoningPart,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
    WireResponse,
)

# LLMHUB_RECORDINGS names another folder; an empty one shows what the suite proves without recordings.
RECORDINGS = Path(os.environ.get("LLMHUB_RECORDINGS") or Path(__file__).parents[3] / "shared" / "recordings")
ABSENT = f"no recordings at {RECORDINGS}"
_MADE_UP = re.compile(r"call_[A-Za-z0-9]{24}|[A-Za-z0-9]{9}")  # see `new_tool_call_id`


@dataclass(frozen=True, slots=True)
class Recording:
    name: str  # path below the recordings folder
    content: dict[str, Any]

    @property
    def body(self) -> bytes:
        return str(self.content["response_body"]).encode()

    @property
    def response(self) -> WireResponse:
        return WireResponse(
            status=self.content["status"], headers=self.content.get("response_headers") or {}, body=self.body
        )

    @property
    def is_stream(self) -> bool:
        return self.content["status"] < 300 and self.body.lstrip()[:1] not in (b"{", b"[")


def load(*folders: str) -> list[Recording]:
    """Recordings below the named folders; empty where there are none."""
    if not RECORDINGS.is_dir():
        return []
    files = (file for folder in folders for file in sorted((RECORDINGS / folder).rglob("*.json")))
    return [Recording(str(file.relative_to(RECORDINGS)), json.loads(file.read_text())) for file in files]


def recordings(folder: str, keep: Callable[[dict[str, Any]], bool] = lambda _: True) -> list[Any]:
    """Pytest parameters: one a recording of `folder`; a single skipped one where there are no recordings."""
    files = sorted((RECORDINGS / folder).glob("*.json"))
    if not files:
        reason = f"no recordings at ../shared/recordings/{folder}"
        return [pytest.param({}, id="none", marks=pytest.mark.skip(reason=reason))]
    loaded = ((file.stem, json.loads(file.read_bytes())) for file in files)
    return [pytest.param(value, id=name) for name, value in loaded if keep(value)]


def decode(decoder: StreamDecoder, chunks: Iterator[bytes] | list[bytes]) -> tuple[list[StreamEvent], LLMError | None]:
    """All events, and the error that ended them."""
    events: list[StreamEvent] = []
    try:
        for chunk in chunks:
            events += decoder.feed(chunk)
        events += decoder.close()
    except LLMError as error:
        return events, error
    return events, None


def one_at_a_time(data: bytes) -> Iterator[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


def randomly_split(data: bytes, seed: int) -> list[bytes]:
    source = random.Random(seed)
    cuts = sorted({0, len(data), *(source.randrange(len(data) + 1) for _ in range(source.randrange(1, 60)))})
    return [data[start:end] for start, end in pairwise(cuts)]


def cuts(body: bytes, seed: int) -> Iterator[list[bytes]]:
    """The body byte by byte, then in pieces of random sizes, some of them empty."""
    yield [body[n : n + 1] for n in range(len(body))]
    source = random.Random(seed)
    for _ in range(3):
        pieces, start = [], 0
        while start < len(body):
            size = source.choice((0, 1, 2, 3, 7, 50, 400, 5000))
            pieces.append(body[start : start + size])
            start += size
        yield pieces


def outcome(decoder: StreamDecoder, pieces: list[bytes]) -> list[StreamEvent | str]:
    """All events without made-up ids, and as the last item the class of the error that ended the stream, if one did."""
    events, error = decode(decoder, pieces)
    return [*without_new_ids(events), *([type(error).__name__] if error is not None else [])]


def assert_splits_agree(make_decoder: Callable[[], StreamDecoder], data: bytes) -> list[StreamEvent]:
    """Decode whole, one byte at a time and at random splits; the same events and error each time."""
    events, error = decode(make_decoder(), [data])
    for chunks in (one_at_a_time(data), *(randomly_split(data, seed) for seed in range(5))):
        again, error_again = decode(make_decoder(), chunks)
        assert without_new_ids(again) == without_new_ids(events)
        assert (type(error_again), str(error_again)) == (type(error), str(error))
    return events


def without_new_ids(events: list[StreamEvent]) -> list[StreamEvent]:
    """Ids that a decoder makes up differ each time."""
    return [
        replace(event, id="") if isinstance(event, ToolCallStarted) and _MADE_UP.fullmatch(event.id) else event
        for event in events
    ]


def text_of(events: list[StreamEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def reasoning_of(events: list[StreamEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, ReasoningDelta))


def calls_of(events: list[StreamEvent]) -> list[tuple[str, str]]:
    """Name and arguments of each call, in order of index."""
    names = {event.index: event.name for event in events if isinstance(event, ToolCallStarted)}
    arguments = dict.fromkeys(names, "")
    for event in events:
        if isinstance(event, ToolCallDelta):
            arguments[event.index] += event.arguments
    return [(names[index], arguments[index]) for index in sorted(names)]


def finished(events: list[StreamEvent]) -> Finished:
    (event,) = [event for event in events if isinstance(event, Finished)]
    return event


def last_usage(events: list[StreamEvent]) -> Any:
    return [event.usage for event in events if isinstance(event, UsageReported)][-1]


def assembled(events: list[StreamEvent]) -> list[Part]:
    """The events' content as parts, neighbours of one kind joined."""
    parts: list[Part] = []
    for event in events:
        last = parts[-1] if parts else None
        match event:
            case TextDelta() if isinstance(last, TextPart) and not event.provider_metadata:
                parts[-1] = TextPart(text=last.text + event.text)
            case TextDelta():
                parts.append(TextPart(text=event.text, provider_metadata=event.provider_metadata))
            case ReasoningDelta() if isinstance(last, ReasoningPart) and not last.provider_metadata:
                parts[-1] = ReasoningPart(text=last.text + event.text, provider_metadata=event.provider_metadata)
            case ReasoningDelta():
                parts.append(ReasoningPart(text=event.text, provider_metadata=event.provider_metadata))
            case ToolCallStarted():
                metadata = event.provider_metadata
                parts.append(ToolCall(id=event.id, name=event.name, arguments="", provider_metadata=metadata))
            case ToolCallDelta():
                call = [part for part in parts if isinstance(part, ToolCall)][event.index]
                parts[parts.index(call)] = ToolCall(
                    id=call.id,
                    name=call.name,
                    arguments=call.arguments + event.arguments,
                    provider_metadata=call.provider_metadata,
                )
    return parts
