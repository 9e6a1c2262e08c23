"""Providers played on loopback: each module reads one dialect's requests and writes its answers. Synthetic.

After the vendors' documents as of 2026-11-20, not recordings. Written without our codecs, so that a mistake in one is
not repeated in the other: only `Asked` and `Said` are shared.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.upstream import Play, SeenRequest, chunked, json_answer

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
INPUT_TOKENS, OUTPUT_TOKENS = 12, 5


class Misunderstood(AssertionError):
    """The hub sent something that the vendor would refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request asks, read from the vendor's own fields."""

    question: str
    tools: tuple[str, ...] = ()
    results: tuple[str, ...] = ()  # of tools, as text
    images: int = 0
    schema: dict[str, Any] | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a provider answers; the usage is always the same."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """One dialect: how its requests are read and its answers written. `path` is the test provider's base path."""

    kind: str
    path: str
    routes: tuple[str, ...]  # below the origin
    read: Callable[[SeenRequest], Asked]
    answer: Callable[[Said], dict[str, Any]]
    stream: Callable[[Said], list[bytes]]
    media_type: str = "text/event-stream"
    settings: dict[str, Any] = field(default_factory=dict)
    model_id: str = "up-m"

    def play(self, seen: SeenRequest) -> Play:
        """The scripted conversation of `decide` in this dialect; 400 for what the vendor would refuse."""
        try:
            asked = self.read(seen)
            said = decide(asked)
        except (Misunderstood, KeyError, TypeError, ValueError) as problem:
            return json_answer({"error": {"message": f"misunderstood: {problem!r}", "type": "test"}}, status=400)
        if asked.stream:
            return chunked(*self.stream(said), headers={"content-type": self.media_type})
        return json_answer(self.answer(said))


def decide(asked: Asked) -> Said:
    """A model without a mind: results are told, then tools are called, schemas filled, images seen, texts echoed."""
    if asked.results:
        return Said(text=f"The tool says: {', '.join(asked.results)}.")
    if asked.tools:
        return Said(calls=tuple((name, {"city": "Köln"}) for name in asked.tools))
    if asked.schema is not None:
        return Said(text=json.dumps({name: _filled(rule) for name, rule in asked.schema["properties"].items()}))
    if asked.images:
        return Said(text=f"I see {asked.images} image.")
    return Said(text=f"You said: {asked.question}", reasoning="Let me repeat that.")


def _filled(rule: dict[str, Any]) -> Any:
    return {"string": "Köln", "integer": 7, "boolean": True}[rule["type"].lower()]  # Gemini writes STRING


def need(condition: object, what: str) -> None:
    if not condition:
        raise Misunderstood(what)


def pieces(text: str) -> list[str]:
    """The text in two, as a stream would bring it."""
    half = (len(text) + 1) // 2
    return [piece for piece in (text[:half], text[half:]) if piece]


def data_event(value: Any) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def named_event(value: dict[str, Any]) -> bytes:
    return b"event: " + value["type"].encode() + b"\n" + data_event(value)
