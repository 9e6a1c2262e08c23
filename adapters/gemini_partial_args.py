"""Puts together a call's arguments that Gemini streams as values at JSON paths. Bounded; knows nothing else."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Final

from adapters.errors import UpstreamProtocolError

__all__ = ["PartialArguments"]

_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d{1,5})\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")
_MOST_STEPS: Final = 64
_MOST_ITEMS: Final = 10_000
_VALUES: Final = ("stringValue", "numberValue", "boolValue")


class PartialArguments:
    """Arguments under construction: `{"jsonPath": "$.a[0].b", "stringValue": "piece"}` after another."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: dict[str, Any] = {}

    def add(self, pieces: Any) -> None:
        """Take a `partialArgs` list; raises UpstreamProtocolError for a path that can't be followed."""
        for piece in pieces if isinstance(pieces, list) else ():
            path = piece.get("jsonPath") if isinstance(piece, dict) else None
            if isinstance(path, str):
                name = next((name for name in _VALUES if name in piece), None)
                if name is not None or "nullValue" in piece:
                    self._set(_steps(path), piece[name] if name else None)

    def _set(self, steps: list[str | int], value: Any) -> None:
        holder: Any = self.value
        for step, following in pairwise(steps):
            holder = _child(holder, step, [] if isinstance(following, int) else {})
        last = steps[-1]
        before = _child(holder, last, None)
        # Texts come in pieces; everything else is whole.
        holder[last] = before + value if isinstance(before, str) and isinstance(value, str) else value


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    end = 1
    for match in _STEP.finditer(path, 1):
        if match.start() != end:
            break
        name = next((group for n, group in enumerate(match.groups()) if n != 1 and group is not None), "")
        steps.append(int(match.group(2)) if match.group(2) is not None else name)
        end = match.end()
    if not path.startswith("$") or end != len(path) or not 0 < len(steps) <= _MOST_STEPS:
        raise UpstreamProtocolError("the provider streamed an argument at a path that can't be read")
    return steps


def _child(holder: Any, step: str | int, fresh: Any) -> Any:
    """What stands at `step`, made when there is nothing yet."""
    if isinstance(step, int) and isinstance(holder, list) and step < _MOST_ITEMS:
        holder.extend([None] * (step + 1 - len(holder)))
        if holder[step] is None:
            holder[step] = fresh
        return holder[step]
    if isinstance(step, str) and isinstance(holder, dict):
        return holder.setdefault(step, fresh)
    raise UpstreamProtocolError("the provider streamed arguments that contradict each other")
