"""In which order equals are tried: a route's strategy, keys by weight, and the same choice for one conversation."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from registry.catalog.entries import LLMEntry, RankedList, RankedModel

T = TypeVar("T")
SpeedOf = Callable[[Hashable], float | None]  # milliseconds until a model begins its answer; None is not known


def by_weight(items: Sequence[T], weight: Callable[[T], int], place: Callable[[T], Hashable], stick_to: str) -> list[T]:
    """A random order in which each item comes first as often as its weight says; weight 0 comes last.

    With `stick_to` the order is always the same for the same text, in every process, and an item that goes away moves
    no other (rendezvous hashing).
    """

    def lateness(item: T) -> float:
        share = weight(item)
        if share <= 0:
            return math.inf
        drawn = _fraction(f"{stick_to}/{place(item)}") if stick_to else random.random()  # noqa: S311  # no secret
        return -math.log(1.0 - drawn) / share

    return sorted(items, key=lateness)


def _fraction(text: str) -> float:
    """From 0 up to 1 without it, spread evenly."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest()) / 2**48


def in_order_of(
    ranked: RankedList, entry_of: Callable[[Hashable], LLMEntry | None], *, sticky_id: Hashable | None, speed: SpeedOf
) -> list[RankedModel]:
    """A route's models as its strategy orders them; its fallbacks follow in their own order."""
    choices = [item for item in ranked.entries if not item.is_fallback]
    fallbacks = [item for item in ranked.entries if item.is_fallback]
    if ranked.strategy == "weighted":
        stick_to = f"{ranked.id}/{sticky_id}" if ranked.sticky and sticky_id is not None else ""
        choices = by_weight(choices, lambda item: item.weight, lambda item: item.entry_id, stick_to)
    elif ranked.strategy == "cheapest":
        choices = _known_first(choices, entry_of, lambda entry: entry.cost_order)
    elif ranked.strategy == "fastest":
        # One that was not called yet comes first, so that each is measured; then what was seen, then what is declared.
        choices = _known_first(choices, entry_of, lambda entry: (speed(entry.id) or 0.0, -(entry.speed_tps or 0.0)))
    return choices + fallbacks


def _known_first(
    choices: Iterable[RankedModel],
    entry_of: Callable[[Hashable], LLMEntry | None],
    key: Callable[[LLMEntry], tuple[object, ...]],
) -> list[RankedModel]:
    known: list[tuple[RankedModel, LLMEntry]] = []
    unknown: list[RankedModel] = []
    for item in choices:
        entry = entry_of(item.entry_id) if item.entry_id is not None else None
        if entry is None:
            unknown.append(item)
        else:
            known.append((item, entry))
    ordered = sorted(known, key=lambda pair: key(pair[1]))
    return [item for item, _ in ordered] + unknown
