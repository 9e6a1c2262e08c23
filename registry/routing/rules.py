"""Budgets and rate limits as one process holds them: found by whom they are for. Decides nothing."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from registry.access.principals import Principal
from registry.routing.resolve import Candidate

_TABLES = frozenset({"registry_budget", "registry_ratelimit"})

Subject = tuple[str, Hashable]  # "user", its id


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRule:
    """A budget without its counters. `words` names it for the person whom it stops."""

    id: Hashable
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRule:
    """What one subject may use; None is no limit. `place` is the same in every process."""

    place: str
    words: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


class Rules:
    """Readers take what they find without a lock; `read` replaces all at once."""

    def __init__(
        self, budgets: Iterable[tuple[Subject, BudgetRule]] = (), limits: dict[Subject, LimitRule] | None = None
    ):
        self.read_once = False
        self.budgets: dict[Subject, tuple[BudgetRule, ...]] = {}
        self.limits: dict[Subject, LimitRule] = {}
        self._put(budgets)

    def note_changes(self, tables: frozenset[str]) -> None:
        """Read all again: they are few. `*` is everything."""
        if "*" in tables or not _TABLES.isdisjoint(tables):
            self.read()

    def read(self) -> None:
        """Raises DatabaseError; not for an event loop's thread."""
        from registry.models import Budget, RateLimit

        found: list[tuple[Subject, BudgetRule]] = []
        for budget in Budget.objects.filter(enabled=True).order_by("pk"):
            kind = next(name for name in ("user", "group", "token", "model") if getattr(budget, f"{name}_id"))
            words = f"The {kind}'s budget of {budget.amount.normalize():f} USD {budget.get_window_display()}"
            found.append(((kind, getattr(budget, f"{kind}_id")), BudgetRule(id=budget.pk, words=words)))
        limits: dict[Subject, LimitRule] = {}
        kinds = ("user", "group", "model", "provider", "credential")
        for row in RateLimit.objects.filter(enabled=True):
            kind = next(name for name in kinds if getattr(row, f"{name}_id"))
            key = getattr(row, f"{kind}_id")
            limits[(kind, key)] = LimitRule(
                place=f"{kind}:{key}",
                words=f"The {kind}'s limit",
                requests_per_minute=row.requests_per_minute,
                tokens_per_minute=row.tokens_per_minute,
                concurrency=row.concurrency,
            )
        self._put(found)
        self.limits = limits
        self.read_once = True

    def _put(self, found: Iterable[tuple[Subject, BudgetRule]]) -> None:
        budgets: dict[Subject, tuple[BudgetRule, ...]] = {}
        for subject, rule in found:
            budgets[subject] = (*budgets.get(subject, ()), rule)
        self.budgets = budgets

    def budgets_of(self, principal: Principal, candidate: Candidate | None) -> tuple[BudgetRule, ...]:
        """All that would pay for a call, in an order that is the same for every call."""
        if not self.budgets:
            return ()
        return tuple(rule for key in _callers(principal) for rule in self.budgets.get(key, ())) + (
            self.budgets.get(("model", candidate.entry.id), ()) if candidate is not None else ()
        )

    def limits_of(self, principal: Principal) -> list[LimitRule]:
        """Of the caller: the token's own, the user's, the groups'."""
        found = []
        token = principal.token
        if token is not None and (token.requests_per_minute or token.tokens_per_minute or token.concurrency):
            found.append(
                LimitRule(
                    place=f"token:{token.id}",
                    words="The token's limit",
                    requests_per_minute=token.requests_per_minute,
                    tokens_per_minute=token.tokens_per_minute,
                    concurrency=token.concurrency,
                )
            )
        if self.limits:
            found += [rule for key in _callers(principal) if (rule := self.limits.get(key)) is not None]
        return found

    def limits_of_candidate(self, candidate: Candidate) -> list[LimitRule]:
        if not self.limits:
            return []
        keys: list[Subject] = [("model", candidate.entry.id), ("provider", candidate.provider.id)]
        if candidate.credential is not None:
            keys.append(("credential", candidate.credential.id))
        return [rule for key in keys if (rule := self.limits.get(key)) is not None]


def _callers(principal: Principal) -> list[Subject]:
    keys: list[Subject] = [("user", principal.user_id)]
    if principal.token is not None:
        keys.append(("token", principal.token.id))
    keys += [("group", key) for key in sorted(principal.group_ids, key=str)]
    return keys
