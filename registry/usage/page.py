"""One batch of changes on its way into the usage tables. Lives inside one transaction of the books."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from registry.models import (
    AccessToken,
    CostStatus,
    Credential,
    CredentialScope,
    LLMModel,
    Provider,
    UsageAttempt,
    UsageRecord,
    UsageSource,
    UsageState,
    User,
)
from registry.usage.columns import LARGEST_COUNT, PLAIN, SMALL, choice, ended, key, mapping, moment, money, text, whole
from registry.usage.inserts import blank, insert, rewrite
from registry.usage.lines import Line
from registry.usage.targets import hold_existing
from registry.usage.turns import Turn, conversations_of, write_turns

TOKEN_FIELDS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
COST_FIELDS = ("input", "output", "cache_read", "cache_write", "reasoning", "image", "fee")

_Targets = tuple[tuple[str, type[models.Model]], ...]
_CALL_TARGETS: _Targets = (("user_id", User), ("token_id", AccessToken))
_TRY_TARGETS: _Targets = (("model_id", LLMModel), ("provider_id", Provider), ("credential_id", Credential))
_RUNNING = UsageState.RUNNING.value

Target = tuple[type[models.Model], uuid.UUID]


@dataclass(slots=True)
class Change:
    """What a batch says of one call."""

    request_id: str
    call: Mapping[str, Any]
    attempts: dict[int, Mapping[str, Any]] = field(default_factory=dict)  # by number, as they were opened
    outcomes: dict[int, Mapping[str, Any]] = field(default_factory=dict)  # by number, as they ended
    settlement: Mapping[str, Any] | None = None

    def add(self, line: Line) -> None:
        if line.kind == "open":
            self.attempts[whole(line.attempt.get("number"), SMALL) or 1] = line.attempt
        if line.outcome:
            self.outcomes[whole(line.outcome.get("number"), SMALL) or 1] = line.outcome
        if line.kind == "settle" and self.settlement is None:
            self.settlement = line.settlement

    @property
    def turn(self) -> Mapping[str, Any] | None:
        turn = self.settlement.get("turn") if self.settlement is not None else None
        return turn if isinstance(turn, Mapping) else None


def changes_of(lines: Iterable[Line]) -> list[Change]:
    """One change a call, calls in the order of their first line."""
    changes: dict[str, Change] = {}
    for line in lines:
        change = changes.get(line.request_id)
        if change is None:
            change = changes[line.request_id] = Change(line.request_id, line.call)
        change.add(line)
    return list(changes.values())


class Page:
    """The rows of one batch. `write` reads, holds and writes; then `settled`, `running`, `repeated`, `used` say what
    it did."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self.changes = changes
        self.settled: list[UsageRecord] = []
        self.running: set[str] = set()
        self.repeated = 0
        self.used: dict[Target, dt.datetime] = {}
        self._there: dict[type[models.Model], set[uuid.UUID]] = {}
        self._new_rows: list[UsageRecord] = []
        self._old_rows: list[UsageRecord] = []
        self._new_tries: list[UsageAttempt] = []
        self._old_tries: dict[uuid.UUID, UsageAttempt] = {}
        self._turns: list[Turn] = []

    def write(self) -> None:
        ids = [change.request_id for change in self.changes]
        rows = {
            row.request_id: row
            for row in UsageRecord.objects.select_for_update().filter(request_id__in=ids).order_by("request_id")
        }
        open_rows = [row for row in rows.values() if row.state == _RUNNING]
        tries: dict[uuid.UUID, dict[int, UsageAttempt]] = {}
        for attempt in UsageAttempt.objects.filter(record__in=open_rows) if open_rows else ():
            tries.setdefault(attempt.record_id, {})[attempt.number] = attempt
        owners = conversations_of(turn for change in self.changes if (turn := change.turn) is not None)
        self._there = hold_existing(_targets_of(self.changes))
        for change in self.changes:
            self._take(change, rows.get(change.request_id), tries)
        insert(self._new_rows)
        rewrite(self._old_rows)
        insert(self._new_tries)
        rewrite(list(self._old_tries.values()))
        write_turns(self._turns, owners)

    def _take(
        self, change: Change, row: UsageRecord | None, tries: Mapping[uuid.UUID, dict[int, UsageAttempt]]
    ) -> None:
        if row is None:
            self._new_rows.append(row := self._begin(change))
        elif row.state == _RUNNING:
            self._old_rows.append(row)
        else:
            self.repeated += change.settlement is not None
            return
        self._write_tries(row, change, tries.get(row.pk, {}))
        if change.settlement is None:
            self.running.add(change.request_id)
        else:
            self._settle(row, change.settlement)
            if change.turn is not None:
                self._turns.append((row, change.turn))

    def _begin(self, change: Change) -> UsageRecord:
        call = change.call
        return blank(
            UsageRecord,
            request_id=change.request_id,
            user_id=self._key(User, call.get("user_id")),
            username=text(call.get("username"), 150),
            token_id=self._key(AccessToken, call.get("token_id")),
            token_name=text(call.get("token_name"), 80),
            conversation_id=key(call.get("conversation_id")),
            operation=text(call.get("operation"), 16) or "chat",
            dialect=text(call.get("dialect"), 32),
            streamed=call.get("streamed") is True,
            requested=text(call.get("requested"), 300),
            tags=[text(tag, 64) for tag in call.get("tags") or () if isinstance(tag, str)],
            created_at=moment(call.get("started_at_ms")),
        )

    def _write_tries(self, row: UsageRecord, change: Change, tries: dict[int, UsageAttempt]) -> None:
        """`tries` are those that the call has in the database, by number."""
        old = set(tries)
        for number in sorted({*change.attempts, *change.outcomes}):
            if number not in tries:
                fields = {"record_id": row.pk, "number": number, "started_at": row.created_at}
                tries[number] = blank(UsageAttempt, **fields)
                self._new_tries.append(tries[number])
            elif number in old:
                self._old_tries[tries[number].pk] = tries[number]
            if number in change.attempts:
                self._open(row, tries[number], change.attempts[number])
            if number in change.outcomes:
                _close(tries[number], change.outcomes[number])
        if change.settlement is None:
            return
        for number, attempt in tries.items():
            if attempt.state == _RUNNING:  # nothing said how it ended: as the call did
                attempt.state = ended(change.settlement)
                if number in old:
                    self._old_tries[attempt.pk] = attempt

    def _open(self, row: UsageRecord, attempt: UsageAttempt, said: Mapping[str, Any]) -> None:
        """A try begins: its own row, and the call's, which shows the latest try."""
        shared = {
            "model_id": self._key(LLMModel, said.get("model_id")),
            "model_name": text(said.get("model_name"), 200),
            "provider_slug": text(said.get("provider_slug"), 64),
            "credential_id": self._key(Credential, said.get("credential_id")),
            "credential_scope": choice(CredentialScope, said.get("credential_scope"), CredentialScope.NONE.value),
        }
        attempt.__dict__.update(shared)
        attempt.started_at = moment(said.get("started_at_ms"))
        if attempt.number < row.attempts:
            return
        row.__dict__.update(shared)
        row.attempts = attempt.number
        row.__dict__["provider_id"] = self._key(Provider, said.get("provider_id"))
        row.reason = text(said.get("reason"), 300)
        for model, used in (
            (LLMModel, shared["model_id"]),
            (Credential, shared["credential_id"]),
            (AccessToken, row.token_id),
        ):
            if isinstance(used, uuid.UUID):
                self.used[(model, used)] = attempt.started_at

    def _settle(self, row: UsageRecord, said: Mapping[str, Any]) -> None:
        usage, cost = mapping(said.get("usage")), mapping(said.get("cost"))
        total = money(cost.get("total"))
        unpriced = CostStatus.UNPRICED.value
        row.__dict__.update(
            _counts(usage),
            state=ended(said),
            settled_at=moment(said.get("ended_at_ms")),
            http_status=whole(said.get("http_status"), SMALL),
            error_code=text(said.get("error_code"), 64),
            finish_reason=text(said.get("finish_reason"), 32),
            upstream_model=text(said.get("upstream_model"), 200),
            latency_ms=whole(said.get("latency_ms"), PLAIN),
            first_token_ms=whole(said.get("first_token_ms"), PLAIN),
            usage_source=choice(UsageSource, said.get("usage_source"), UsageSource.NONE.value),
            provider_cost=money(usage.get("provider_cost_usd")),
            cost=total,
            cost_status=unpriced if total is None else choice(CostStatus, cost.get("status"), unpriced),
            price_version=key(cost.get("price_id")),
        )
        for name in COST_FIELDS:
            row.__dict__[f"cost_{name}"] = money(cost.get(name))
        shares = said.get("budgets")
        row.budget_shares = shares if isinstance(shares, list) else ()
        self.settled.append(row)

    def _key(self, model: type[models.Model], value: Any) -> uuid.UUID | None:
        """The row's key where the row still exists."""
        found = key(value)
        return found if found is not None and found in self._there.get(model, ()) else None


def _targets_of(changes: Sequence[Change]) -> dict[type[models.Model], set[uuid.UUID]]:
    """The keys that the changes name, by model."""
    wanted: dict[type[models.Model], set[uuid.UUID]] = {}
    for change in changes:
        for name, model in _CALL_TARGETS:
            if (found := key(change.call.get(name))) is not None:
                wanted.setdefault(model, set()).add(found)
        for attempt in change.attempts.values():
            for name, model in _TRY_TARGETS:
                if (found := key(attempt.get(name))) is not None:
                    wanted.setdefault(model, set()).add(found)
    return wanted


def _close(attempt: UsageAttempt, said: Mapping[str, Any]) -> None:
    attempt.__dict__.update(
        _counts(mapping(said.get("usage"))),
        state=ended(said),
        error_code=text(said.get("error_code"), 64),
        upstream_status=whole(said.get("upstream_status"), SMALL),
        upstream_request_id=text(said.get("upstream_request_id"), 200),
        latency_ms=whole(said.get("latency_ms"), PLAIN),
        first_token_ms=whole(said.get("first_token_ms"), PLAIN),
        cost=money(mapping(said.get("cost")).get("total")),
    )


def _counts(usage: Mapping[str, Any]) -> dict[str, int | None]:
    return {name: whole(usage.get(name), LARGEST_COUNT) for name in TOKEN_FIELDS}
