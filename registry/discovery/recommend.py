"""Which model to take for a preset, a module or a sample prompt: ranked, each with its reasons. Calls nobody."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from django.db.models import Count, F, Q
from django.utils import timezone

from registry.access.people import principal_of
from registry.catalog.django_registry import DjangoLLMRegistry
from registry.catalog.entries import LLMEntry, QualityTier, RankedList
from registry.models import Vote
from registry.routing.requirements import Requirements
from registry.routing.resolve import Ask, resolve

MAX_RANKED: Final = 10
# What counts how much; the parts are between 0 and 1.
WEIGHTS: Final = {"quality": 0.35, "price": 0.25, "speed": 0.15, "votes": 0.15, "list": 0.10}
_QUALITY: Final = {QualityTier.BEST: 1.0, QualityTier.BALANCED: 0.7, QualityTier.CHEAP: 0.4, QualityTier.UNKNOWN: 0.3}
_MODULES: Final[Mapping[str, Requirements]] = {
    "translate": Requirements(requires_json_mode=True),
    "worldbuild": Requirements(requires_json_mode=True),
    "narrator": Requirements(requires_json_mode=True),
    "battle": Requirements(requires_json_mode=True),
    "json": Requirements(requires_json_mode=True),
    "long-context": Requirements(min_context=200_000),
}
_ANSWER_TOKENS: Final = 500  # what an answer is taken to be long, for prices


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """One model. `score` is between 0 and 1; `cost` (USD) is what a call like the sample would cost, None unknown."""

    entry: LLMEntry
    score: float
    reasons: tuple[str, ...]
    cost: Decimal | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "model": self.entry.name,
            "provider": self.entry.provider,
            "id": str(self.entry.id),
            "score": round(self.score, 3),
            "estimated_cost": None if self.cost is None else f"{self.cost:f}",
            "reasons": list(self.reasons),
        }


def recommend(
    user: Any,
    *,
    module: str = "",
    prompt: str = "",
    requirements: Requirements | None = None,
    groups: frozenset[Any] | None = None,
    limit: int = MAX_RANKED,
) -> list[Recommendation]:
    """The best models that `user` could call now, best first; ties by price and name, so that the order is stable."""
    found = DjangoLLMRegistry(user_id=user.pk).fresh()
    wanted = _needed(module, prompt, requirements or Requirements())
    held = groups if groups is not None else frozenset(user.groups.values_list("pk", flat=True))
    ask = Ask(model="auto", requirements=wanted)
    callable_now = resolve(found, ask, principal_of(user, held), limit=64).candidates
    entries = list({candidate.entry.id: candidate.entry for candidate in callable_now}.values())
    preset = (found.preset_of_module(module) or found.preset(module, user.pk)) if module else None
    votes = _votes([entry.id for entry in entries])
    scale = _Scale.of(entries, _tokens(prompt))
    ranked = [_judged(entry, scale, wanted, preset, votes.get(entry.id)) for entry in entries]
    return sorted(ranked, key=lambda one: (-one.score, one.entry.cost_order))[:limit]


def _needed(module: str, prompt: str, given: Requirements) -> Requirements:
    """What the caller wants, what the module needs besides, and room for the prompt."""
    module_needs = _MODULES.get(module)
    if module_needs is not None:
        given = replace(
            given,
            requires_json_mode=given.requires_json_mode or module_needs.requires_json_mode,
            min_context=max(given.min_context or 0, module_needs.min_context or 0) or None,
        )
    tokens = _tokens(prompt)
    if tokens > 2000:
        given = replace(given, min_context=max(given.min_context or 0, tokens + _ANSWER_TOKENS))
    return given


def _tokens(prompt: str) -> int:
    """A rough count: four characters a token."""
    return max(1, len(prompt) // 4) if prompt else _ANSWER_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """What the models are measured against: the dearest call and the fastest answer among them."""

    input_tokens: int
    dearest: Decimal
    fastest: float

    @classmethod
    def of(cls, entries: Sequence[LLMEntry], input_tokens: int) -> _Scale:
        costs = [cost for entry in entries if (cost := _cost(entry, input_tokens)) is not None]
        return cls(
            input_tokens=input_tokens,
            dearest=max(costs, default=Decimal(0)),
            fastest=max((entry.speed_tps or 0.0 for entry in entries), default=0.0),
        )


def _cost(entry: LLMEntry, input_tokens: int) -> Decimal | None:
    price = entry.price_at()
    rates = price.rates if price is not None else {}
    if "input_per_1m" not in rates or "output_per_1m" not in rates:
        return None
    spent = rates["input_per_1m"] * input_tokens + rates["output_per_1m"] * _ANSWER_TOKENS
    return (spent / 1_000_000).quantize(Decimal("0.000001"))


def _votes(keys: Sequence[Any]) -> dict[Any, tuple[int, int]]:
    """For each model how often it won a comparison and in how many it took part, over a year; names nobody."""
    since = timezone.now() - dt.timedelta(days=365)
    rows = Vote.objects.filter(created_at__gte=since, experiment__variants__llm_model__in=keys)
    counted = rows.values("experiment__variants__llm_model").annotate(
        won=Count("pk", filter=Q(winner__llm_model=F("experiment__variants__llm_model")), distinct=True),
        seen=Count("pk", distinct=True),
    )
    return {row["experiment__variants__llm_model"]: (row["won"], row["seen"]) for row in counted}


def _judged(
    entry: LLMEntry,
    scale: _Scale,
    wanted: Requirements,
    preset: RankedList | None,
    votes: tuple[int, int] | None,
) -> Recommendation:
    parts: dict[str, float] = {"quality": _QUALITY[entry.quality_tier]}
    reasons = [f"quality tier {entry.quality_tier.value}"]
    reasons += _met(entry, wanted)
    cost = _cost(entry, scale.input_tokens)
    if cost is not None:
        parts["price"] = 1.0 - float(cost / scale.dearest) if scale.dearest else 1.0
        reasons.append("free" if not cost else f"about {cost.normalize():f} USD a call")
    else:
        reasons.append("its price is not known")
    if entry.speed_tps and scale.fastest:
        parts["speed"] = entry.speed_tps / scale.fastest
        reasons.append(f"{entry.speed_tps:.0f} tokens/s measured")
    if votes is not None:
        won, seen = votes
        parts["votes"] = (won + 1) / (seen + 2)  # two imagined votes, one each way: one vote alone decides nothing
        reasons.append(f"won {won} of {seen} comparisons")
    place = _place(entry, preset)
    if preset is not None and place is not None:
        parts["list"] = 1.0 - place / max(1, len(preset.entries))
        reasons.append(f"number {place + 1} of {preset.name}")
    # What nobody knows of a model counts as the middle, a little below: the unknown is neither praise nor blame.
    unknown = {"price": 0.3, "speed": 0.4, "votes": 0.5, "list": 0.0}
    score = sum(weight * parts.get(name, unknown.get(name, 0.0)) for name, weight in WEIGHTS.items())
    return Recommendation(entry=entry, score=score, reasons=tuple(reasons), cost=cost)


def _met(entry: LLMEntry, wanted: Requirements) -> list[str]:
    names = ("tools", "vision", "json_mode", "streaming", "reasoning")
    met = [name.replace("_", " ") for name in names if getattr(wanted, f"requires_{name}")]
    told = [f"has {', '.join(met)}"] if met else []
    if wanted.min_context is not None and entry.context_length:
        told.append(f"context {entry.context_length:,} tokens")
    return told


def _place(entry: LLMEntry, preset: RankedList | None) -> int | None:
    ids = [] if preset is None else [rank.entry_id for rank in preset.entries]
    return ids.index(entry.id) if entry.id in ids else None
