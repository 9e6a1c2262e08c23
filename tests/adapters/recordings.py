"""Recorded provider traffic for replay tests: finds it beside the repository, cuts it, and runs decoders over it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.base import StreamDecoder
from adapters.errors import LLMError
from adapters.types import StreamEvent, ToolCallStarted, WireResponse

ROOT = Path(__file__).resolve().parents[2].parent / "shared" / "recordings"
ABSENT = f"no recordings at {ROOT}"


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
    if not ROOT.is_dir():
        return []
    files = (file for folder in folders for file in sorted((ROOT / folder).rglob("*.json")))
    return [Recording(str(file.relative_to(ROOT)), json.loads(file.read_text())) for file in files]


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


def decode(decoder: StreamDecoder, pieces: list[bytes]) -> list[StreamEvent | str]:
    """All events, and as the last item the class of the error that ended the stream, if one did."""
    events: list[StreamEvent | str] = []
    try:
        for piece in pieces:
            events.extend(_without_random_ids(decoder.feed(piece)))
        events.extend(_without_random_ids(decoder.close()))
    except LLMError as error:
        events.append(type(error).__name__)
    return events


def _without_random_ids(events: list[StreamEvent]) -> list[StreamEvent]:
    return [
        ToolCallStarted(index=event.index, id="", name=event.name, choice=event.choice)
        if isinstance(event, ToolCallStarted)
        else event
        for event in events
    ]
