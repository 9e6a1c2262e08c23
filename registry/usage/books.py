"""Moves what the journal says into the records, each call once. Reads no file; the recorder gives it decoded lines."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import DatabaseError, models, transaction
from django.db.models import Q
from django.utils import timezone

from registry.models import (
    AccessToken,
    Conversation,
    CostStatus,
    Credential,
    CredentialScope,
    LLMModel,
    Message,
    MessageRole,
    Provider,
    UsageAttempt,
    UsageRecord,
    UsageSource,
    UsageState,
    User,
)
from registry.usage import rollup
from registry.usage.inserts import insert, rewrite
from registry.usage.lines import Line
from registry.usage.pricing import SMALLEST

logger = logging.getLogger(__name__)

TOUCH_EVERY = dt.timedelta(minutes=1)
LARGEST_COST = Decimal(10) ** 9
SMALL, PLAIN, BIG = 2**15 - 1, 2**31 - 1, 2**63 - 1  # what the integer columns hold on PostgreSQL
TOKEN_FIELDS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
COST_FIELDS = ("input", "output", "cache_read", "cache_write", "reasoning", "image", "fee")
MAX_REMEMBERED = 20_000

_Targets = tuple[tuple[str, type[models.Model]], ...]
_CALL_TARGETS: _Targets = (("user_id", User), ("token_id", AccessToken))
_TRY_TARGETS: _Targets = (("model_id", LLMModel), ("provider_id", Provider), ("credential_id", Credential))

SettledHook = Callable[[Sequence[UsageRecord]], None]


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
            self.attempts[_whole(line.attempt.get("number"), SMALL) or 1] = line.attempt
        if line.outcome:
            self.outcomes[_whole(line.outcome.get("number"), SMALL) or 1] = line.outcome
        if line.kind == "settle" and self.settlement is None:
            self.settlement = line.settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What a batch did: calls settled now, calls already settled before, calls that still run."""

    settled: int
    repeated: int
    running: frozenset[str]


def changes_of(lines: Iterable[Line]) -> list[Change]:
    """One change a call, calls in the order of their first line."""
    changes: dict[str, Change] = {}
    for line in lines:
        change = changes.get(line.request_id)
        if change is None:
            change = changes[line.request_id] = Change(line.request_id, line.call)
        change.add(line)
    return list(changes.values())


class Books:
    """Writes batches of changes. A change that was written before changes nothing.

    `on_settled` is called inside the transaction that settles them, with rows that were not settled before: whatever
    must count every call exactly once (sums here, budgets elsewhere) hangs there.
    """

    def __init__(self, on_settled: Sequence[SettledHook] = ()) -> None:
        self.on_settled: tuple[SettledHook, ...] = (rollup.add, *on_settled)
        self._there: dict[type[models.Model], set[uuid.UUID]] = {}
        self._touched: dict[tuple[type[models.Model], uuid.UUID], dt.datetime] = {}

    def apply(self, changes: Sequence[Change]) -> Applied:
        """Write the changes in one transaction. Raises what the database raises, and then nothing is written."""
        try:
            with transaction.atomic():
                page = _Page(changes, self._existing_keys(changes))
                page.write()
                if page.settled:
                    for hook in self.on_settled:
                        hook(page.settled)
        except DatabaseError:
            self._there.clear()  # it may have been a target that is gone since it was remembered
            raise
        self._touch(page.used)
        return Applied(settled=len(page.settled), repeated=page.repeated, running=frozenset(page.running))

    def abandon(self, request_ids: Collection[str]) -> int:
        """Settle the calls whose worker died; answers how many still ran. What their closed tries cost is kept."""
        with transaction.atomic():
            rows = list(
                UsageRecord.objects.select_for_update()
                .filter(request_id__in=request_ids, state=UsageState.RUNNING)
                .prefetch_related("tries")
                .order_by("request_id")
            )
            for row in rows:
                _abandon(row)
            if rows:
                UsageRecord.objects.bulk_update(rows, _ABANDON_FIELDS)
                UsageAttempt.objects.filter(record__in=rows, state=UsageState.RUNNING).update(
                    state=UsageState.ABANDONED
                )
                for hook in self.on_settled:
                    hook(rows)
        return len(rows)

    def abandon_stale(self, *, older_than: dt.timedelta, except_for: Collection[str]) -> int:
        """Settle calls whose journal is lost altogether: running for longer than any call may take."""
        stale = UsageRecord.objects.filter(state=UsageState.RUNNING, created_at__lt=timezone.now() - older_than)
        request_ids = [one for one in stale.values_list("request_id", flat=True)[:500] if one not in except_for]
        return self.abandon(request_ids) if request_ids else 0

    def _existing_keys(self, changes: Sequence[Change]) -> dict[type[models.Model], set[uuid.UUID]]:
        """Which of the rows that the changes point to exist. Found ones are remembered until the database objects."""
        wanted: dict[type[models.Model], set[uuid.UUID]] = {}
        for change in changes:
            for name, model in _CALL_TARGETS:
                _want(wanted, model, change.call.get(name))
            for attempt in change.attempts.values():
                for name, model in _TRY_TARGETS:
                    _want(wanted, model, attempt.get(name))
        for model, keys in wanted.items():
            there = self._there.setdefault(model, set())
            if len(there) > MAX_REMEMBERED:
                there.clear()
            if unknown := keys - there:
                there.update(model._default_manager.filter(pk__in=unknown).values_list("pk", flat=True))
        return self._there

    def _touch(self, used: Mapping[tuple[type[models.Model], uuid.UUID], dt.datetime]) -> None:
        """Note when keys, models and tokens were last used: each at most once a minute, and not worth a failure."""
        if len(self._touched) > MAX_REMEMBERED:
            self._touched.clear()
        for (model, key), when in used.items():
            before = self._touched.get((model, key))
            if before is not None and when < before + TOUCH_EVERY:
                continue
            stale = Q(last_used_at__isnull=True) | Q(last_used_at__lte=when - TOUCH_EVERY)
            try:
                model._default_manager.filter(stale, pk=key).update(last_used_at=when)
            except DatabaseError as error:
                logger.info("last_used_at was not noted: %s", error)
                return
            self._touched[(model, key)] = when


class _Page:
    """One batch on its way into the tables. Lives inside one transaction."""

    def __init__(self, changes: Sequence[Change], there: Mapping[type[models.Model], set[uuid.UUID]]) -> None:
        self.changes = changes
        self.there = there
        self.settled: list[UsageRecord] = []
        self.running: set[str] = set()
        self.repeated = 0
        self.used: dict[tuple[type[models.Model], uuid.UUID], dt.datetime] = {}
        self._new_rows: list[UsageRecord] = []
        self._old_rows: list[UsageRecord] = []
        self._new_tries: list[UsageAttempt] = []
        self._old_tries: dict[uuid.UUID, UsageAttempt] = {}
        self._turns: list[tuple[UsageRecord, Mapping[str, Any]]] = []

    def write(self) -> None:
        ids = [change.request_id for change in self.changes]
        rows = {
            row.request_id: row
            for row in UsageRecord.objects.select_for_update().filter(request_id__in=ids).order_by("request_id")
        }
        open_rows = [row for row in rows.values() if row.state == UsageState.RUNNING]
        tries: dict[uuid.UUID, dict[int, UsageAttempt]] = {}
        for attempt in UsageAttempt.objects.filter(record__in=open_rows) if open_rows else ():
            tries.setdefault(attempt.record_id, {})[attempt.number] = attempt
        for change in self.changes:
            row = rows.get(change.request_id)
            if row is None:
                self._new_rows.append(row := self._begin(change))
            elif row.state == UsageState.RUNNING:
                self._old_rows.append(row)
            else:
                self.repeated += change.settlement is not None
                continue
            self._write_tries(row, change, tries.get(row.pk, {}))
            if change.settlement is None:
                self.running.add(change.request_id)
            else:
                self._settle(row, change.settlement)
        self._save()
        _write_turns(self._turns)

    def _save(self) -> None:
        insert(self._new_rows)
        rewrite(self._old_rows)
        insert(self._new_tries)
        rewrite(list(self._old_tries.values()))

    def _begin(self, change: Change) -> UsageRecord:
        call = change.call
        return UsageRecord(
            request_id=change.request_id,
            user_id=self._key(User, call.get("user_id")),
            username=_text(call.get("username"), 150),
            token_id=self._key(AccessToken, call.get("token_id")),
            token_name=_text(call.get("token_name"), 80),
            conversation_id=_uuid(call.get("conversation_id")),
            operation=_text(call.get("operation"), 16) or "chat",
            dialect=_text(call.get("dialect"), 32),
            streamed=call.get("streamed") is True,
            requested=_text(call.get("requested"), 300),
            tags=[_text(tag, 64) for tag in call.get("tags") or () if isinstance(tag, str)],
            created_at=_moment(call.get("started_at_ms")),
        )

    def _write_tries(self, row: UsageRecord, change: Change, tries: dict[int, UsageAttempt]) -> None:
        """`tries` are those that the call has in the database, by number."""
        old = set(tries)
        for number in sorted({*change.attempts, *change.outcomes}):
            if number not in tries:
                tries[number] = UsageAttempt(record=row, number=number, started_at=row.created_at)
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
            if attempt.state == UsageState.RUNNING:  # nothing said how it ended: as the call did
                attempt.state = _ended(change.settlement)
                if number in old:
                    self._old_tries[attempt.pk] = attempt

    def _open(self, row: UsageRecord, attempt: UsageAttempt, said: Mapping[str, Any]) -> None:
        """A try begins: its own row, and the call's, which shows the latest try."""
        attempt.model_id = self._key(LLMModel, said.get("model_id"))
        attempt.model_name = _text(said.get("model_name"), 200)
        attempt.provider_slug = _text(said.get("provider_slug"), 64)
        attempt.credential_id = self._key(Credential, said.get("credential_id"))
        attempt.credential_scope = _choice(CredentialScope, said.get("credential_scope"), CredentialScope.NONE)
        attempt.started_at = _moment(said.get("started_at_ms"))
        if attempt.number < row.attempts:
            return
        row.attempts = attempt.number
        row.model_id, row.model_name = attempt.model_id, attempt.model_name
        row.provider_id, row.provider_slug = self._key(Provider, said.get("provider_id")), attempt.provider_slug
        row.credential_id, row.credential_scope = attempt.credential_id, attempt.credential_scope
        row.reason = _text(said.get("reason"), 300)
        for model, key in (
            (LLMModel, attempt.model_id),
            (Credential, attempt.credential_id),
            (AccessToken, row.token_id),
        ):
            if key is not None:
                self.used[(model, key)] = attempt.started_at

    def _settle(self, row: UsageRecord, said: Mapping[str, Any]) -> None:
        row.state = _ended(said)
        row.settled_at = _moment(said.get("ended_at_ms"))
        row.http_status = _whole(said.get("http_status"), SMALL)
        row.error_code = _text(said.get("error_code"), 64)
        row.finish_reason = _text(said.get("finish_reason"), 32)
        row.upstream_model = _text(said.get("upstream_model"), 200)
        row.latency_ms = _whole(said.get("latency_ms"), PLAIN)
        row.first_token_ms = _whole(said.get("first_token_ms"), PLAIN)
        row.usage_source = _choice(UsageSource, said.get("usage_source"), UsageSource.NONE)
        usage, cost = said.get("usage") or {}, said.get("cost") or {}
        _count(row, usage)
        row.provider_cost = _money(usage.get("provider_cost_usd"))
        row.cost = _money(cost.get("total"))
        row.cost_status = _choice(CostStatus, cost.get("status"), CostStatus.UNPRICED)
        if row.cost is None:
            row.cost_status = CostStatus.UNPRICED
        for name in COST_FIELDS:
            setattr(row, f"cost_{name}", _money(cost.get(name)))
        row.price_version = _uuid(cost.get("price_id"))
        self.settled.append(row)
        if isinstance(turn := said.get("turn"), Mapping):
            self._turns.append((row, turn))

    def _key(self, model: type[models.Model], value: Any) -> uuid.UUID | None:
        """The row's key where the row still exists."""
        key = _uuid(value)
        return key if key is not None and key in self.there.get(model, ()) else None


def _close(attempt: UsageAttempt, said: Mapping[str, Any]) -> None:
    attempt.state = _ended(said)
    attempt.error_code = _text(said.get("error_code"), 64)
    attempt.upstream_status = _whole(said.get("upstream_status"), SMALL)
    attempt.upstream_request_id = _text(said.get("upstream_request_id"), 200)
    attempt.latency_ms = _whole(said.get("latency_ms"), PLAIN)
    attempt.first_token_ms = _whole(said.get("first_token_ms"), PLAIN)
    _count(attempt, said.get("usage") or {})
    attempt.cost = _money((said.get("cost") or {}).get("total"))


_ABANDON_FIELDS = ("state", "settled_at", "usage_source", "cost", "cost_status", *TOKEN_FIELDS)


def _abandon(row: UsageRecord) -> None:
    """What a dead worker's call is known to have used is what its closed tries reported; the rest stays unknown."""
    row.state = UsageState.ABANDONED
    row.settled_at = timezone.now()
    tries = list(row.tries.all())
    for name in TOKEN_FIELDS:
        counts = [count for one in tries if (count := getattr(one, name)) is not None]
        setattr(row, name, sum(counts) if counts else None)
    costs = [one.cost for one in tries if one.cost is not None]
    row.cost = sum(costs, Decimal(0)) if costs else None
    row.cost_status = CostStatus.ESTIMATED if costs else CostStatus.UNPRICED
    row.usage_source = UsageSource.ESTIMATED if row.input_tokens is not None else UsageSource.NONE


def _write_turns(turns: Sequence[tuple[UsageRecord, Mapping[str, Any]]]) -> None:
    """Keep what was said in the conversations that still exist and are the caller's own."""
    if not turns:
        return
    named = {key for _, turn in turns if (key := _uuid(turn.get("conversation_id"))) is not None}
    owners = dict(Conversation.objects.filter(pk__in=named).values_list("pk", "owner_id"))
    messages: list[Message] = []
    for row, turn in turns:
        key = _uuid(turn.get("conversation_id"))
        if key is not None and key in owners and owners[key] == row.user_id:
            messages.extend(_messages(key, row, turn))
    if not messages:
        return
    moments = {message.pk: message.created_at for message in messages}
    Message.objects.bulk_create(messages, ignore_conflicts=True)
    # The insert stamps its own time on every row; a backlog would come out in the order of files.
    for message in messages:
        message.created_at = moments[message.pk]
    Message.objects.bulk_update(messages, ["created_at"])
    Conversation.objects.filter(pk__in={message.conversation_id for message in messages}).update(
        updated_at=timezone.now()
    )


def _messages(conversation_id: uuid.UUID, row: UsageRecord, turn: Mapping[str, Any]) -> list[Message]:
    said, parts = _text(turn.get("user_text")), turn.get("user_parts")
    asked = answered = None
    if said or parts:
        asked = Message(role=MessageRole.USER, content=said, parts=_json(parts) or [], created_at=row.created_at)
    reply, parts = _text(turn.get("reply_text")), turn.get("reply_parts")
    if reply or parts:
        answered = Message(
            role=MessageRole.ASSISTANT,
            content=reply,
            parts=_json(parts) or [],
            created_at=row.settled_at or row.created_at,
            finish_reason=_text(turn.get("finish_reason"), 32),
            llm_model_id=row.model_id,
            model_name=row.model_name,
            parent=asked,
        )
    messages = [message for message in (asked, answered) if message is not None]
    for message in messages:
        message.conversation_id, message.request_id = conversation_id, row.request_id
    return messages


# --- values as columns take them: a line may hold what a client or a provider made up -------------------------------


def _text(value: Any, limit: int | None = None) -> str:
    """Text without NUL, which PostgreSQL refuses; cut at `limit` characters."""
    if not isinstance(value, str):
        return ""
    return value.replace("\x00", "\ufffd")[:limit]


def _json(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, dict):
        return {_text(key): _json(item) for key, item in value.items()}
    return value


def _whole(value: Any, largest: int) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return None
    return min(value, largest)


def _count(row: UsageRecord | UsageAttempt, usage: Mapping[str, Any]) -> None:
    for name in TOKEN_FIELDS:
        setattr(row, name, _whole(usage.get(name), BIG))


def _money(value: Any) -> Decimal | None:
    """USD to nine places; None for what is no amount that the column holds."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        amount = Decimal(str(value))
        if not amount.is_finite() or not 0 <= amount < LARGEST_COST:
            return None
        return amount.quantize(SMALLEST)
    except InvalidOperation:
        return None


def _uuid(value: Any) -> uuid.UUID | None:
    try:
        return uuid.UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _moment(value: Any) -> dt.datetime:
    """Unix milliseconds; now for what is no moment between 2000 and 2200."""
    if isinstance(value, int) and 946_684_800_000 <= value < 7_258_118_400_000:
        return dt.datetime.fromtimestamp(value / 1000, dt.UTC)
    return timezone.now()


def _choice(choices: type[models.TextChoices], value: Any, default: str) -> str:
    return value if isinstance(value, str) and value in _names_of(choices) else default


@functools.cache
def _names_of(choices: type[models.TextChoices]) -> frozenset[str]:
    return frozenset(str(name) for name in choices.values)


def _ended(said: Mapping[str, Any]) -> str:
    """The state that an ending names; what it can't name is an error."""
    state = _choice(UsageState, said.get("state"), UsageState.ERROR)
    return UsageState.ERROR if state == UsageState.RUNNING else state


def _want(wanted: dict[type[models.Model], set[uuid.UUID]], model: type[models.Model], value: Any) -> None:
    if (key := _uuid(value)) is not None:
        wanted.setdefault(model, set()).add(key)
