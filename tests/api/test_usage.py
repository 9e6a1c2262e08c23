from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from registry.models import UsageRecord, UsageRollup
from registry.usage import rollup
from tests.api.conftest import by_session, make_rows

FIELDS = {
    *("request_id", "model", "provider", "state", "input_tokens", "output_tokens", "cost", "cost_status"),
    *("usage_source", "credential_scope", "attempts", "created_at", "latency_ms", "first_token_ms", "reason"),
    *("requested", "token", "username"),
}


def test_a_row_has_the_fields_tools_rely_on(alice: Any) -> None:
    make_rows(alice, "alice")
    row = by_session(alice).get("/api/usage/").json()["results"][0]
    assert row.keys() >= FIELDS
    assert (row["model"], row["provider"], row["cost"], row["username"]) == (
        "alice-model",
        "alice-provider",
        "0.000123",
        "alice",
    )


def test_an_unknown_cost_is_null_and_a_known_zero_is_zero(alice: Any) -> None:
    for number, cost in enumerate((None, 0)):
        UsageRecord.objects.create(request_id=f"r{number}", user=alice, cost=cost, created_at=timezone.now())
    found = {row["request_id"]: row["cost"] for row in by_session(alice).get("/api/usage/").json()["results"]}
    assert found == {"r0": None, "r1": "0"}


def test_a_call_is_shown_with_its_tries(alice: Any) -> None:
    rows = make_rows(alice, "alice")
    found = by_session(alice).get(f"/api/usage/{rows.usage.pk}/").json()
    assert [(row["number"], row["state"]) for row in found["tries"]] == [(1, "ok")]
    assert found["costs"]["input"] is None


@pytest.mark.parametrize("rank", ["admin", "manager"])
def test_admins_and_managers_see_everybodys_calls_and_narrow_by_user(
    charlie: Any, alice: Any, bob: Any, rank: str
) -> None:
    make_rows(alice, "alice")
    make_rows(bob, "bob")
    charlie.give_rank(rank)
    charlie.save()
    caller = by_session(charlie)
    assert len(caller.get("/api/usage/").json()["results"]) == 2
    assert [row["username"] for row in caller.get("/api/usage/?user=bob").json()["results"]] == ["bob"]
    assert by_session(alice).get("/api/usage/?user=bob").json()["results"] == []


def test_the_list_narrows(alice: Any) -> None:
    rows, long_ago = make_rows(alice, "alice"), timezone.now() - dt.timedelta(days=9)
    UsageRecord.objects.create(
        request_id="old",
        user=alice,
        state="error",
        model_name="other",
        created_at=long_ago,
    )
    caller = by_session(alice)
    today = (timezone.now() - dt.timedelta(days=1)).date().isoformat()
    for query, count in {
        "state=error": 1,
        "model=other": 1,
        f"model={rows.model.pk}": 1,
        "provider=alice-provider": 1,
        "provider=none": 0,
        f"since={today}": 1,
        f"until={today}": 1,
        "request_id=old": 1,
    }.items():
        assert len(caller.get(f"/api/usage/?{query}").json()["results"]) == count, query
    for query in ("since=x", "until=2026-99-99", "state=fine", "since=0001-01-01T00:00:00%2B14:00"):
        assert caller.get(f"/api/usage/?{query}").status_code == 400


@pytest.fixture
def sums(alice: Any, bob: Any) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    for number, (user, cost) in enumerate(((alice, "0.5"), (alice, "1.25"), (bob, "9"))):
        UsageRollup.objects.create(
            hour=hour - dt.timedelta(hours=number), user_key=user.pk, username=user.username, digest=str(number),
            model_name=f"m{number}", calls=2, errors=1, input_tokens=10, output_tokens=4, cost=cost, latency_ms=50,
        )  # fmt: skip
    rollup.renew_days()


def test_sums_are_of_ones_own_calls(alice: Any, admin: Any, charlie: Any, sums: None) -> None:
    found = by_session(alice).get("/api/usage/summary/?group_by=model").json()
    assert [(row["label"], row["cost"], row["calls"]) for row in found["results"]] == [
        ("m1", "1.25", 2),
        ("m0", "0.5", 2),
    ]
    assert (found["total"]["cost"], found["total"]["calls"], found["total"]["mean_latency_ms"]) == ("1.75", 4, 25.0)
    charlie.give_rank("manager")
    charlie.save()
    for person in (admin, charlie):
        by_user = by_session(person).get("/api/usage/summary/?group_by=user").json()
        assert [row["label"] for row in by_user["results"]] == ["bob", "alice"]


@pytest.mark.parametrize("query", ["group_by=password", "group_by=", "since=x", "until=%00"])
def test_malformed_sums_are_a_400(alice: Any, query: str) -> None:
    assert by_session(alice).get(f"/api/usage/summary/?{query}").status_code == 400
