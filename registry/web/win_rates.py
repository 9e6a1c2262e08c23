"""How often each compared model won, what it cost and how fast it was. Counts votes; writes nothing."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from registry.models import Message, UsageRecord, User, Vote

Z = 1.959964  # of a normal distribution, for 95 %
MAX_VOTES = 5000  # the latest ones


@dataclass(slots=True, kw_only=True)
class Score:
    """One model's record. Means are None where nothing was measured."""

    name: str
    model_id: Any = None
    wins: int = 0
    losses: int = 0
    ties: int = 0
    costs: list[Decimal] = field(default_factory=list)
    latencies_ms: list[int] = field(default_factory=list)
    first_tokens_ms: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float | None:
        """Wins of the votes that had a winner, 0 to 1."""
        return self.wins / decided if (decided := self.wins + self.losses) else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson(self.wins, self.wins + self.losses)

    @property
    def in_percent(self) -> tuple[int, int, int] | None:
        """Rate and its interval's ends."""
        if self.rate is None or self.interval is None:
            return None
        return round(100 * self.rate), round(100 * self.interval[0]), round(100 * self.interval[1])

    @property
    def mean_cost(self) -> Decimal | None:
        return sum(self.costs, Decimal(0)) / len(self.costs) if self.costs else None

    @property
    def mean_latency_ms(self) -> float | None:
        return sum(self.latencies_ms) / len(self.latencies_ms) if self.latencies_ms else None

    @property
    def mean_first_token_ms(self) -> float | None:
        return sum(self.first_tokens_ms) / len(self.first_tokens_ms) if self.first_tokens_ms else None


def wilson(wins: int, votes: int) -> tuple[float, float] | None:
    """The 95 % score interval of a share (E. B. Wilson, 1927): sensible for few votes too. None without votes."""
    if votes == 0:
        return None
    share = wins / votes
    middle = share + Z * Z / (2 * votes)
    spread = Z * math.sqrt(share * (1 - share) / votes + Z * Z / (4 * votes * votes))
    whole = 1 + Z * Z / votes
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)


def scores(user: User, *, tag: str | None = None) -> list[Score]:
    """The models of the person's own votes, the surest winner first; of one tag where it is given ("" is untagged)."""
    votes = Vote.objects.visible_to(user).select_related("winner").order_by("-created_at")
    if tag is not None:
        votes = votes.filter(experiment__tag=tag)
    by_experiment = {vote.experiment_id: vote for vote in votes[:MAX_VOTES]}
    variants = Message.objects.filter(experiment__in=by_experiment).order_by("created_at")
    usage = _usage_of(user, variants)
    found: dict[str, Score] = {}
    seen: dict[Any, set[str]] = defaultdict(set)
    for variant in variants:
        score = found.setdefault(variant.model_name, Score(name=variant.model_name))
        score.model_id = variant.llm_model_id or score.model_id
        _add_usage(score, usage.get(variant.request_id))
        vote = by_experiment[variant.experiment_id]
        if variant.model_name in seen[vote.experiment_id]:
            continue  # the same model twice, or a replay of several turns: one vote all the same
        seen[vote.experiment_id].add(variant.model_name)
        if vote.winner is None:
            score.ties += 1
        elif vote.winner.model_name == variant.model_name:
            score.wins += 1
        else:
            score.losses += 1
    return sorted(found.values(), key=lambda score: (-(score.interval or (0, 0))[0], -score.wins, score.name))


def _usage_of(user: User, variants: Any) -> dict[str, UsageRecord]:
    rows = UsageRecord.objects.filter(user=user, request_id__in=variants.values("request_id"))
    return {row.request_id: row for row in rows}


def _add_usage(score: Score, row: UsageRecord | None) -> None:
    if row is None:
        return
    if row.cost is not None:
        score.costs.append(row.cost)
    if row.latency_ms is not None:
        score.latencies_ms.append(row.latency_ms)
    if row.first_token_ms is not None:
        score.first_tokens_ms.append(row.first_token_ms)
