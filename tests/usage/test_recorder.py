"""What the recorder makes of the journals: every call once, whatever happened to the lines."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from django.db import connection
from django.db.models import F, Sum

from adapters.types import Usage
from registry.models import (
    AccessToken,
    Conversation,
    Credential,
    LLMModel,
    Message,
    Provider,
    UsageAttempt,
    UsageRecord,
    UsageRollup,
)
from registry.usage import lines
from registry.usage.journal import Journal
from registry.usage.lag import Lag, LagCollector
from registry.usage.ledger import Cost, Settlement, TryOutcome, TurnText
from registry.usage.recorder import Counts, Recorder, RecorderBusy
from tests.usage.conftest import USAGE, a_call, a_settlement, a_try, now_ms, record_call

pytestmark = pytest.mark.django_db(transaction=True)
Drain = Callable[[], Counts]


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "recorder.lock")


def test_a_settled_call_becomes_one_row_with_its_try(journal: Journal, drain: Drain) -> None:
    call = a_call(username="alice", token_name="laptop", dialect="openai.chat", streamed=True, tags=("a", "b"))
    record_call(journal, call)
    assert drain().settled == 1
    row = UsageRecord.objects.get()
    assert (row.request_id, row.state, row.attempts) == (call.request_id, "ok", 1)
    assert (row.username, row.token_name, row.dialect, row.streamed) == ("alice", "laptop", "openai.chat", True)
    assert (row.model_name, row.provider_slug, row.credential_scope) == ("GPT", "openai", "shared")
    assert (row.input_tokens, row.output_tokens, row.cache_read_tokens, row.reasoning_tokens) == (1000, 200, 400, 50)
    assert row.cache_write_tokens is None
    assert (row.cost, row.cost_input, row.cost_output) == (Decimal("0.0045"), Decimal("0.0015"), Decimal("0.0025"))
    assert (row.cost_status, row.usage_source, row.finish_reason) == ("exact", "provider", "stop")
    assert (row.latency_ms, row.first_token_ms, row.http_status, row.upstream_model) == (120, 30, 200, "gpt-2026")
    assert row.created_at.timestamp() == pytest.approx(call.started_at_ms / 1000, abs=0.001)
    assert row.settled_at >= row.created_at
    assert row.tags == ["a", "b"]
    attempt = row.tries.get()
    assert (attempt.number, attempt.state, attempt.upstream_status, attempt.cost) == (1, "ok", 200, row.cost)


def test_a_call_that_is_open_shows_as_running_and_settles_later(journal: Journal, folder: Path) -> None:
    call = a_call()
    with Recorder(folder) as recorder:
        journal.open(call, a_try())
        recorder.drain()
        row = UsageRecord.objects.get()
        assert (row.state, row.settled_at, row.tries.get().state) == ("running", None, "running")
        assert UsageRollup.objects.count() == 0
        journal.settle(call, a_settlement())
        recorder.drain()
    row = UsageRecord.objects.get()
    assert (row.state, row.cost, row.tries.get().state) == ("ok", Decimal("0.0045"), "ok")
    assert UsageRollup.objects.get().calls == 1


def test_a_fallback_leaves_both_tries_and_shows_the_model_that_answered(journal: Journal, drain: Drain) -> None:
    call = a_call()
    journal.open(call, a_try(1, model_name="First", provider_slug="one"))
    journal.close(call, TryOutcome(number=1, state="error", error_code="overloaded", upstream_status=529))
    journal.open(call, a_try(2, model_name="Second", provider_slug="two", reason="fallback"))
    outcome = TryOutcome(number=2, state="ok", upstream_status=200)
    journal.settle(call, a_settlement(outcome=outcome))
    drain()
    row = UsageRecord.objects.get()
    assert (row.attempts, row.model_name, row.provider_slug, row.reason) == (2, "Second", "two", "fallback")
    told = list(row.tries.values_list("number", "model_name", "state", "error_code", "upstream_status"))
    assert told == [(1, "First", "error", "overloaded", 529), (2, "Second", "ok", "", 200)]


def test_a_call_refused_before_any_try_is_a_row_without_cost(journal: Journal, drain: Drain) -> None:
    journal.settle(a_call(), Settlement(state="rejected", ended_at_ms=now_ms(), http_status=429, error_code="budget"))
    drain()
    row = UsageRecord.objects.get()
    assert (row.state, row.attempts, row.cost, row.cost_status, row.usage_source) == (
        "rejected", 0, None, "unpriced", "none",
    )  # fmt: skip
    sums = UsageRollup.objects.get()
    assert (sums.calls, sums.errors, sums.unpriced_calls) == (1, 1, 0)


def test_a_try_that_nothing_closed_ends_as_its_call_did(journal: Journal, folder: Path) -> None:
    """Once with the try in the same batch, once with the try in the database already."""
    together, apart = a_call("together"), a_call("apart")
    end = Settlement(state="aborted", ended_at_ms=now_ms())
    with Recorder(folder) as recorder:
        journal.open(apart, a_try())
        recorder.drain()
        journal.open(together, a_try())
        journal.settle(together, end)
        journal.settle(apart, end)
        recorder.drain()
    assert set(UsageAttempt.objects.values_list("record__request_id", "state")) == {
        ("together", "aborted"),
        ("apart", "aborted"),
    }


def test_reading_the_same_lines_again_changes_nothing(journal: Journal, drain: Drain) -> None:
    """The journal's newest file stays while its owner lives, so that each new recorder reads it from the start."""
    for _ in range(20):
        record_call(journal)
    first, second = drain(), drain()
    assert (first.settled, second.settled, second.repeated) == (20, 0, 20)
    assert (UsageRecord.objects.count(), UsageAttempt.objects.count()) == (20, 20)
    assert UsageRollup.objects.get().calls == 20


def test_a_call_settled_twice_keeps_its_first_settlement(journal: Journal, drain: Drain) -> None:
    call = record_call(journal)
    journal.settle(call, a_settlement("error", cost=Cost()))
    drain()
    journal.settle(call, a_settlement("timeout"))
    drain()
    assert UsageRecord.objects.get().state == "ok"
    assert UsageRollup.objects.get().calls == 1


def test_rollups_equal_the_sums_of_rows(journal: Journal, folder: Path) -> None:
    hour_ms = 3_600_000
    with Recorder(folder, batch_lines=7) as recorder:
        for number in range(60):
            call = a_call(username=f"user{number % 3}", started_at_ms=now_ms() - (number % 4) * hour_ms)
            journal.open(call, a_try(model_name=f"m{number % 2}"))
            cost = Cost(total=Decimal(number) / 7, status="exact") if number % 5 else Cost()
            state = "error" if number % 6 == 0 else "ok"
            usage = Usage(input_tokens=number, output_tokens=number * 2)
            journal.settle(call, a_settlement(state, cost=cost, usage=usage, first_token_ms=number or None))
            if number % 10 == 0:
                recorder.drain()
        recorder.drain()
    rows = UsageRecord.objects.aggregate(
        tokens=Sum(F("input_tokens") + F("output_tokens")), cost=Sum("cost"), latency=Sum("latency_ms")
    )
    sums = UsageRollup.objects.aggregate(
        calls=Sum("calls"), errors=Sum("errors"), tokens=Sum(F("input_tokens") + F("output_tokens")), cost=Sum("cost"),
        latency=Sum("latency_ms"), unpriced=Sum("unpriced_calls"), first=Sum("first_token_calls"),
    )  # fmt: skip
    assert (sums["calls"], sums["errors"], sums["unpriced"], sums["first"]) == (60, 10, 12, 59)
    assert (sums["tokens"], sums["latency"]) == (rows["tokens"], rows["latency"])
    assert sums["cost"] == pytest.approx(rows["cost"], abs=Decimal("1e-9"))
    assert UsageRollup.objects.count() == 3 * 2 * 4 // 2  # user, model and hour repeat every 12 calls


def test_a_corrupt_line_is_set_aside_and_the_rest_recorded(journal: Journal, folder: Path, drain: Drain) -> None:
    record_call(journal)
    path = next(folder.glob("*.jsonl"))
    with path.open("ab") as file:
        file.write(b'{"v":1,"k":"open","call":\n\xff\xfe not json\n[]\n{"v":1,"k":"dance","call":{}}\n')
    record_call(journal)
    counts = drain()
    assert (counts.settled, counts.bad_lines) == (2, 4)
    bad = next(folder.glob("*.bad"))
    assert bad.read_bytes().count(b"\n") == 4
    assert bad.stat().st_mode & 0o777 == 0o600
    drain()
    assert bad.read_bytes().count(b"\n") == 4
    assert UsageRecord.objects.count() == 2


def test_the_line_that_a_writer_died_in_is_set_aside(journal: Journal, folder: Path, drain: Drain) -> None:
    record_call(journal)
    path = next(folder.glob("*.jsonl"))
    with path.open("ab") as file:
        file.write(lines.encode_open(a_call(), a_try())[:-20])
    assert drain().bad_lines == 0  # its writer may be about to finish it
    journal.release()
    assert drain().bad_lines == 1
    assert UsageRecord.objects.count() == 1
    assert [name.rpartition(".")[2] for name in files_in(folder)] == ["bad"]


def test_lines_of_another_version_stay_where_they_are(journal: Journal, folder: Path, drain: Drain) -> None:
    record_call(journal)
    path = next(folder.glob("*.jsonl"))
    with path.open("ab") as file:
        file.write(b'{"v":2,"k":"open","call":{"request_id":"later"}}\n')
    journal.release()
    assert drain().settled == 1
    assert path.exists()
    assert drain().settled == 0
    assert path.exists()


def test_calls_of_a_dead_owner_are_abandoned_with_what_their_tries_cost(journal: Journal, drain: Drain) -> None:
    call = a_call()
    journal.open(call, a_try(1))
    cost = Cost(total=Decimal("0.25"), status="exact")
    journal.close(call, TryOutcome(number=1, state="truncated", usage=USAGE, cost=cost))
    journal.open(call, a_try(2))
    journal.open(a_call("nothing-known"), a_try())
    drain()
    assert set(UsageRecord.objects.values_list("state", flat=True)) == {"running"}
    journal.release()
    assert drain().abandoned == 2
    row = UsageRecord.objects.get(request_id=call.request_id)
    assert (row.state, row.cost, row.usage_source, row.cost_status) == (
        "abandoned", Decimal("0.25"), "estimated", "estimated",
    )  # fmt: skip
    assert row.input_tokens == 1000
    assert list(row.tries.values_list("state", flat=True)) == ["truncated", "abandoned"]
    other = UsageRecord.objects.get(request_id="nothing-known")
    assert (other.state, other.cost, other.usage_source, other.cost_status) == ("abandoned", None, "none", "unpriced")
    assert UsageRollup.objects.aggregate(calls=Sum("calls"), errors=Sum("errors")) == {"calls": 2, "errors": 2}


def test_files_go_when_they_are_finished_and_their_calls_settled(folder: Path, drain: Drain) -> None:
    journal = Journal(folder, max_file_bytes=2000)
    long_call = a_call()
    journal.open(long_call, a_try())
    for _ in range(10):
        record_call(journal)
    drain()
    # The first file holds the open call's only line; the newest is being written to.
    numbers = {int(path.name.split(".")[1]) for path in folder.glob("*.jsonl")}
    assert 0 in numbers
    journal.settle(long_call, a_settlement())
    drain()
    assert len(list(folder.glob("*.jsonl"))) == 1
    journal.release()
    drain()
    assert files_in(folder) == []
    assert UsageRecord.objects.filter(state="ok").count() == 11


def test_targets_that_are_gone_leave_a_row_with_names(alice, journal: Journal, folder: Path) -> None:
    provider = Provider.objects.create(slug="openai", name="OpenAI", adapter="openai", base_url="https://a.test/v1")
    model = LLMModel.objects.create(provider=provider, model_id="gpt", name="GPT")
    token, _ = AccessToken.mint(owner=alice, name="laptop")
    fields = {"user_id": alice.pk, "username": "alice", "token_id": token.pk, "token_name": "laptop"}
    attempt = a_try(model_id=model.pk, provider_id=provider.pk, credential_id=uuid.uuid4())
    with Recorder(folder) as recorder:
        for number in range(2):
            call = a_call(f"call{number}", **fields)
            journal.open(call, attempt)
            journal.settle(call, a_settlement())
            recorder.drain()
            if number == 0:
                alice.delete()
                provider.delete()
    first, second = UsageRecord.objects.order_by("request_id")
    for row in (first, second):
        assert (row.user_id, row.token_id, row.model_id, row.provider_id, row.credential_id) == (None,) * 5
        assert (row.username, row.token_name, row.model_name, row.state) == ("alice", "laptop", "GPT", "ok")


def test_last_use_is_noted_at_most_once_a_minute(alice, journal: Journal, folder: Path) -> None:
    provider = Provider.objects.create(slug="openai", name="OpenAI", adapter="openai", base_url="https://a.test/v1")
    model = LLMModel.objects.create(provider=provider, model_id="gpt", name="GPT")
    credential = Credential.objects.create(provider=provider, label="key")
    token, _ = AccessToken.mint(owner=alice, name="laptop")
    start = now_ms() - 3_600_000
    noted = []
    with Recorder(folder) as recorder:
        for offset_s in (0, 30, 90):
            call = a_call(user_id=alice.pk, token_id=token.pk)
            moment = start + offset_s * 1000
            journal.open(call, a_try(model_id=model.pk, credential_id=credential.pk, started_at_ms=moment))
            recorder.drain()
            for row in (model, credential, token):
                row.refresh_from_db()
            assert model.last_used_at == credential.last_used_at == token.last_used_at
            noted.append(round(model.last_used_at.timestamp() * 1000) - start)
    assert noted == [0, 0, 90_000]


def test_a_turn_is_kept_in_its_owners_conversation_once(alice, bob, journal: Journal, drain: Drain) -> None:
    mine, other = Conversation.objects.create(owner=alice), Conversation.objects.create(owner=bob)
    before = mine.updated_at
    for conversation in (mine, other):
        turn = TurnText(
            conversation_id=conversation.pk, user_text="Hi\x00 \ud800", reply_text="Hello", finish_reason="stop",
            reply_parts=({"type": "tool_call", "n": None},),
        )  # fmt: skip
        call = a_call(user_id=alice.pk, conversation_id=conversation.pk)
        journal.open(call, a_try())
        journal.settle(call, a_settlement(turn=turn))
    drain()
    drain()
    assert not Message.objects.filter(conversation=other).exists()
    asked, answered = Message.objects.filter(conversation=mine)
    assert (asked.role, asked.content) == ("user", "Hi\ufffd ?")
    assert (answered.role, answered.content, answered.finish_reason) == ("assistant", "Hello", "stop")
    assert (answered.parent, answered.model_name, answered.parts) == (asked, "GPT", [{"type": "tool_call", "n": None}])
    mine.refresh_from_db()
    assert mine.updated_at > before


def test_turns_of_a_backlog_keep_the_order_they_were_said_in(alice, folder: Path, drain: Drain) -> None:
    """Two workers wrote them; the files are read one after the other."""
    conversation = Conversation.objects.create(owner=alice)
    first, second = Journal(folder), Journal(folder)
    start = now_ms() - 60_000
    for number in range(6):
        writer = (first, second)[number % 2]
        call = a_call(user_id=alice.pk, started_at_ms=start + number * 1000)
        writer.open(call, a_try())
        turn = TurnText(conversation_id=conversation.pk, user_text=f"q{number}", reply_text=f"a{number}")
        writer.settle(call, a_settlement(ended_at_ms=start + number * 1000 + 500, turn=turn))
    drain()
    said = list(conversation.messages.values_list("content", flat=True))
    assert said == [text for number in range(6) for text in (f"q{number}", f"a{number}")]
    first.release(), second.release()


def test_values_that_no_column_holds_do_not_stop_the_rest(journal: Journal, folder: Path, drain: Drain) -> None:
    record_call(journal)
    odd = a_call("odd", username="n\x00ul" * 200, requested="x" * 5000, conversation_id="no uuid", user_id=17)
    journal.open(odd, a_try(model_name="\ud800" * 500, model_id="also none"))
    usage = Usage(input_tokens=10**30, output_tokens=-5, provider_cost_usd="NaN")
    cost = Cost(total=Decimal("1e30"), status="exact", input=Decimal("-1"), fee=Decimal("0.1234567894"))
    journal.settle(odd, a_settlement(usage=usage, cost=cost, latency_ms=10**15, http_status=10**9))
    record_call(journal)
    assert drain().settled == 3
    row = UsageRecord.objects.get(request_id="odd")
    assert (row.input_tokens, row.output_tokens, row.provider_cost) == (10**12, None, None)
    assert (row.cost, row.cost_status, row.cost_input, row.cost_fee) == (None, "unpriced", None, Decimal("0.123456789"))
    assert (row.latency_ms, row.http_status, len(row.requested)) == (2**31 - 1, 32767, 300)


def test_a_call_that_the_database_refuses_is_set_aside_alone(journal: Journal, folder: Path, drain: Drain) -> None:
    for number in range(9):
        record_call(journal, a_call(f"call{number}"))
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(
                "CREATE TRIGGER refuse BEFORE INSERT ON registry_usagerecord WHEN NEW.request_id = 'call4' "
                "BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
        else:
            cursor.execute(
                "ALTER TABLE registry_usagerecord ADD CONSTRAINT refuse CHECK (request_id <> 'call4') NOT VALID"
            )
    try:
        assert drain().settled == 8
    finally:
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("DROP TRIGGER refuse")
            else:
                cursor.execute("ALTER TABLE registry_usagerecord DROP CONSTRAINT refuse")
    kept = [orjson.loads(line) for line in next(folder.glob("*.bad")).read_bytes().splitlines()]
    assert [(line["k"], line["call"]["request_id"]) for line in kept] == [("open", "call4"), ("settle", "call4")]
    assert UsageRollup.objects.get().calls == 8


def test_a_second_recorder_is_told_that_the_folder_is_taken(folder: Path) -> None:
    with Recorder(folder), pytest.raises(RecorderBusy), Recorder(folder):
        pass


def test_what_lost_its_journal_is_abandoned_after_a_day(journal: Journal, drain: Drain, folder: Path) -> None:
    day_ms = 86_400_000
    for name, age in (("old", 2 * day_ms), ("young", day_ms // 2)):
        journal.open(a_call(name, started_at_ms=now_ms() - age), a_try())
    drain()
    for path in folder.glob("*.jsonl"):
        path.unlink()
    with Recorder(folder) as recorder:
        recorder._keep_up()
    assert dict(UsageRecord.objects.values_list("request_id", "state")) == {"old": "abandoned", "young": "running"}


def test_a_batch_costs_a_bounded_number_of_queries(
    journal: Journal, folder: Path, django_assert_max_num_queries
) -> None:
    for _ in range(200):
        record_call(journal)
    started = time.perf_counter()
    with Recorder(folder) as recorder, django_assert_max_num_queries(40):
        recorder.drain()
    assert UsageRecord.objects.count() == 200
    assert time.perf_counter() - started < 10


def test_the_lag_is_told_and_read_as_metrics(journal: Journal, folder: Path) -> None:
    moment_ms = now_ms() - 60_000
    call = a_call(started_at_ms=moment_ms)
    journal.open(call, a_try(started_at_ms=moment_ms))
    with Recorder(folder, batch_lines=1) as recorder:
        recorder.drain()
        recorder._tell()
        assert Lag.read(folder).behind_bytes == 0 and Lag.read(folder).lag_s == 0  # type: ignore[union-attr]  # None would fail the test
        journal.settle(call, a_settlement())
        recorder._tail.refresh()
        recorder._told_at = float("-inf")
        recorder._tell()
    lag = Lag.read(folder)
    assert lag is not None and lag.behind_bytes > 100 and 60 <= lag.lag_s < 600
    metrics = {family.name: family.samples[0].value for family in LagCollector(folder).collect()}
    assert metrics["llmhub_usage_behind_bytes"] == lag.behind_bytes
    assert metrics["llmhub_usage_lag_seconds"] == lag.lag_s
    (folder / "recorder.status").write_text("{}")
    assert Lag.read(folder) is None and list(LagCollector(folder).collect()) == []
