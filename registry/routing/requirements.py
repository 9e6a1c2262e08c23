"""What a model must do, by the same names in Python, REST and the lane's `auto`; and the order of those that do it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from heapq import nsmallest
from typing import Any

from adapters.errors import InvalidRequestError
from registry.catalog.entries import LLMEntry, QualityTier

_CAPABILITY_OF = {
    "requires_tools": "tools",
    "requires_vision": "vision",
    "requires_json_mode": "json_mode",
    "requires_streaming": "streaming",
    "requires_reasoning": "reasoning",
}
_QUALITY_RANK = {QualityTier.BEST: 0, QualityTier.BALANCED: 1, QualityTier.CHEAP: 2, QualityTier.UNKNOWN: 3}
_CONSIDERED = 64  # best ones kept of a catalogue of any size


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """`None`, False and `any` ask for nothing. Prices are USD per million tokens, context is tokens, speed tokens/s."""

    requires_tools: bool = False
    requires_vision: bool = False
    requires_json_mode: bool = False
    requires_streaming: bool = False
    requires_reasoning: bool = False
    min_context: int | None = None
    max_cost_per_1m_input: Decimal | None = None
    max_cost_per_1m_output: Decimal | None = None
    provider: str | None = None
    family: str | None = None
    tags: frozenset[str] = frozenset()
    quality_tier: str = "any"
    min_speed_tps: float | None = None

    @property
    def is_empty(self) -> bool:
        return self == _NOTHING

    def refusal(self, entry: LLMEntry) -> tuple[str, str] | None:
        """Why `entry` does not meet them, as code and sentence; None when it does. Unknown does not meet a need."""
        for name, capability in _CAPABILITY_OF.items():
            if getattr(self, name) and entry.capability(capability) != "yes":
                answer = "has no" if entry.capability(capability) == "no" else "is not known to have"
                return "no_capability", f"It {answer} {capability.replace('_', ' ')}."
        if self.min_context is not None and (entry.context_length or 0) < self.min_context:
            return "too_small", f"Its context is {entry.context_length or 'not known'}, {self.min_context} is wanted."
        return self._refusal_by_price(entry) or self._refusal_by_kind(entry)

    def predicate(self) -> Callable[[LLMEntry], bool]:
        """Whether an entry meets them, as a function for many entries: what `refusal` says, without the words."""
        needed = [capability for name, capability in _CAPABILITY_OF.items() if getattr(self, name)]
        ceilings = [
            (kind, ceiling)
            for kind, ceiling in (
                ("input_per_1m", self.max_cost_per_1m_input),
                ("output_per_1m", self.max_cost_per_1m_output),
            )
            if ceiling is not None
        ]
        least, now = self.min_context, dt.datetime.now(dt.UTC)

        def fits(entry: LLMEntry) -> bool:
            if least is not None and (entry.context_length or 0) < least:
                return False
            known = entry.capabilities
            for capability in needed:
                if known.get(capability) != "yes":
                    return False
            if ceilings:
                price = entry.price_at(now)
                if price is None:
                    return False
                for kind, ceiling in ceilings:
                    rate = price.rates.get(kind)
                    if rate is None or rate > ceiling:
                        return False
            return self._refusal_by_kind(entry) is None

        return fits

    def _refusal_by_price(self, entry: LLMEntry) -> tuple[str, str] | None:
        price = entry.price_at()
        for kind, ceiling in (("input", self.max_cost_per_1m_input), ("output", self.max_cost_per_1m_output)):
            if ceiling is None:
                continue
            rate = price.rates.get(f"{kind}_per_1m") if price else None
            if rate is None:
                return "unpriced", f"Its {kind} price is not known."
            if rate > ceiling:
                return (
                    "over_price",
                    f"Its {kind} price is {rate.normalize():f} USD, {ceiling.normalize():f} is the most.",
                )
        return None

    def _refusal_by_kind(self, entry: LLMEntry) -> tuple[str, str] | None:
        if self.provider is not None and entry.provider != self.provider:
            return "wrong_provider", f"It is at {entry.provider}, not at {self.provider}."
        if self.family is not None and entry.family != self.family:
            return "wrong_family", f"It is not of the family {self.family}."
        if not self.tags <= entry.tags:
            return "no_tag", f"It lacks the tag {', '.join(sorted(self.tags - entry.tags))}."
        if self.quality_tier != "any" and entry.quality_tier != self.quality_tier:
            return "wrong_quality", f"Its quality tier is {entry.quality_tier.value}."
        if self.min_speed_tps is not None and (entry.speed_tps or 0) < self.min_speed_tps:
            return "too_slow", f"Its speed is {entry.speed_tps or 'not known'} tokens/s."
        return None

    def in_order(
        self, entries: Iterable[LLMEntry], *, refusal: Callable[[LLMEntry], object] | None = None
    ) -> list[LLMEntry]:
        """The fitting entries, better quality first, then cheaper; all when none fits, for the reasons.

        `refusal` judges instead of `self.refusal`, where a caller has more to say than these requirements.
        """
        fits = self.predicate() if refusal is None else lambda entry: refusal(entry) is None
        pool = list(entries)
        fitting = [entry for entry in pool if fits(entry)]
        return nsmallest(_CONSIDERED, fitting or pool, key=self.rank)

    def rank(self, entry: LLMEntry) -> tuple[Any, ...]:
        """Sort key "best first": quality (unless one is asked for), then cost, then name."""
        quality = _QUALITY_RANK[entry.quality_tier] if self.quality_tier == "any" else 0
        return (quality, entry.cost_order)


_NOTHING = Requirements()
NAMES = frozenset(field.name for field in fields(Requirements))


def read_requirements(body: Mapping[str, Any]) -> Requirements:
    """Read them from JSON or a query string's values. Raises InvalidRequestError with `param`."""
    values: dict[str, Any] = {}
    for name in NAMES & body.keys():
        value = body[name]
        if value is None or value == "":
            continue
        try:
            values[name] = _READERS.get(name, _text)(value)
        except (ValueError, TypeError, InvalidOperation) as error:
            raise InvalidRequestError(
                f"{name!r} can't be read: {_EXPECTED.get(name, 'a text')} is wanted.", param=name
            ) from error
    if values.get("quality_tier", "any") not in ("any", *QualityTier):
        raise InvalidRequestError("'quality_tier' is any, best, balanced, cheap or unknown.", param="quality_tier")
    return Requirements(**values)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false", "1", "0"):
        return value.lower() in ("true", "1")
    raise ValueError


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str) or int(value) < 0:
        raise ValueError
    return int(value)


def _money(value: Any) -> Decimal:
    if isinstance(value, bool):
        raise ValueError
    amount = Decimal(str(value))
    if not amount.is_finite() or amount < 0:
        raise ValueError
    return amount


def _speed(value: Any) -> float:
    return float(_money(value))


def _tags(value: Any) -> frozenset[str]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple | set | frozenset) or not all(isinstance(item, str) for item in items):
        raise ValueError
    return frozenset(item.strip() for item in items if item.strip())


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


_READERS: Mapping[str, Any] = {
    **dict.fromkeys(_CAPABILITY_OF, _flag),
    "min_context": _count,
    "max_cost_per_1m_input": _money,
    "max_cost_per_1m_output": _money,
    "tags": _tags,
    "min_speed_tps": _speed,
}
_EXPECTED = {
    **dict.fromkeys(_CAPABILITY_OF, "true or false"),
    "min_context": "a number of tokens",
    "max_cost_per_1m_input": "a price in USD",
    "max_cost_per_1m_output": "a price in USD",
    "tags": "a list of texts",
    "min_speed_tps": "a number",
}
