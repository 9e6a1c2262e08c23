"""Usage by period, group and filter; whose calls one sees; pages of calls; CSV."""

from __future__ import annotations

import csv
import datetime as dt
import io
from decimal import Decimal
from typing import Any

import pytest
from django.test import AsyncClient
from django.utils import timezone

from registry.models import AccessToken, Budget, Provider, UsageRecord
from registry.usage import rollup
from registry.web import usage_calls
from tests.web.conftest import signed_in

PARTIAL = {"HTTP_HX_REQUEST": "true"}


def call(user: Any, number: int, *, ago: dt.timedelta, **fields: Any) -> UsageRecord:
    at = timezone.now() - ago
    known = {"state": "ok", "input_tokens": 10, "output_tokens": 5, "cost": Decimal("0.5"), "latency_ms": 1000} | fields
    return UsageRecord(
        request_id=f"req_{number}", user=user, username=user.username, created_at=at, settled_at=at, **known
    )


@pytest.fixture
def calls(alice: Any, bob: Any, openai: Provider) -> dict[str, AccessToken]:
    """Alice: three lately and one 20 days ago; Bob: one with his token, yesterday."""
    model = openai.models.get()
    named = {"model": model, "model_name": model.name, "provider_slug": "openai"}
    tokens = {user.username: AccessToken.mint(owner=user, name="notebook")[0] for user in (alice, bob)}
    minute, day = dt.timedelta(minutes=1), dt.timedelta(days=1)
    UsageRecord.objects.bulk_create(
        [
            call(alice, 1, ago=minute, **named, tags=["docs", "fr"], first_token_ms=200),
            call(alice, 2, ago=3 * day, **named, token=tokens["alice"], token_name="notebook"),
            call(
                alice, 3, ago=3 * day, model_name="gone", provider_slug="old", cost=None, state="error", tags=["docs"]
            ),
            call(alice, 4, ago=20 * day, **named, cost=Decimal(7)),
            call(bob, 5, ago=day, **named, token=tokens["bob"], token_name="notebook", cost=Decimal(3)),
        ]
    )
    rollup.rebuild()
    return tokens


def groups_of(page: Any) -> dict[str, tuple[int, str]]:
    return {group.name: (group.row.calls, str(group.row.cost.normalize())) for group in page.context["groups"]}


@pytest.mark.parametrize(
    ("query", "groups"),
    [
        ("", {"gpt-6-luna": (2, "1"), "gone": (1, "0")}),
        ("period=24h", {"gpt-6-luna": (1, "0.5")}),
        ("period=30d", {"gpt-6-luna": (3, "8"), "gone": (1, "0")}),
        ("period=nonsense&by=password", {"gpt-6-luna": (2, "1"), "gone": (1, "0")}),
        ("by=tag", {"docs": (2, "0.5"), "fr": (1, "0.5"), "no tag": (1, "0.5")}),
        ("by=token", {"notebook": (1, "0.5"), "the pages": (2, "0.5")}),
        ("provider=old", {"gone": (1, "0")}),
        ("tag=fr", {"gpt-6-luna": (1, "0.5")}),
        ("tag=do", {}),
        ("who=all&by=user", {"alice": (3, "1")}),
        ("period=custom&since=9999-12-31&until=9999-12-31", {"gpt-6-luna": (2, "1"), "gone": (1, "0")}),
    ],
)
def test_ones_own_calls_by_period_group_and_filter(alice: Any, calls: Any, query: str, groups: dict[str, Any]) -> None:
    page = signed_in(alice).get(f"/usage/?{query}")
    assert groups_of(page) == groups
    assert page.context["report"].total.calls == (3 if "by=t" in query else sum(found for found, _ in groups.values()))


def test_an_admin_finds_what_a_colleagues_token_spent_and_nobody_else_does(
    admin: Any, alice: Any, calls: dict[str, AccessToken]
) -> None:
    client = signed_in(admin)
    assert groups_of(client.get("/usage/?who=all&by=token"))["notebook · bob"] == (1, "3")
    assert groups_of(client.get("/usage/")) == {}  # an admin too begins with their own
    page = client.get(f"/usage/?who=all&by=user&token={calls['bob'].pk}")
    assert groups_of(page) == {"bob": (1, "3")} and "token: notebook" in page.content.decode()
    assert [row.request_id for row in page.context["calls"]] == ["req_5"]
    for query in (f"token={calls['bob'].pk}", f"who=all&token={calls['bob'].pk}", "who=all&period=24h&by=user"):
        text = signed_in(alice).get(f"/usage/?{query}").content.decode()
        assert "bob" not in text and "req_5" not in text


@pytest.mark.parametrize("measure", ["cost", "calls", "tokens", "errors", "latency", "first_token"])
@pytest.mark.parametrize("period", ["7d", "90d"])
def test_every_figure_is_drawn_over_the_whole_time(alice: Any, calls: Any, measure: str, period: str) -> None:
    chart = signed_in(alice).get(f"/usage/?period={period}&measure={measure}").context["chart"]
    assert len(chart["times"]) in ({169, 170} if period == "7d" else {90})
    assert all(len(line["values"]) == len(chart["times"]) for line in chart["series"])
    drawn = [value for line in chart["series"] for value in line["values"] if value]
    total = {"cost": 1.0 if period == "7d" else 8.0, "errors": 1.0, "calls": 3.0 if period == "7d" else 4.0}
    assert drawn and (measure not in total or sum(drawn) == total[measure])


def test_calls_come_in_pages_that_neither_skip_nor_repeat(
    alice: Any, calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = timezone.now()
    UsageRecord.objects.bulk_create([UsageRecord(request_id=f"m{n}", user=alice, created_at=at) for n in range(60)])
    client, cursor, seen = signed_in(alice), "", []
    while cursor is not None:
        page = client.get("/usage/", {"after": cursor} if cursor else {}, **(PARTIAL if cursor else {}))
        seen += [row.request_id for row in page.context["calls"]]
        cursor = page.context["cursor"] or None
    assert len(seen) == len(set(seen)) == 63
    assert len(client.get("/usage/?after=nonsense").context["calls"]) == usage_calls.PER_PAGE


@pytest.mark.django_db(transaction=True)
async def test_csv_streams_all_calls_and_makes_no_formulas(
    alice: Any, calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_calls, "CHUNK", 2)
    await UsageRecord.objects.filter(request_id="req_1").aupdate(model_name="=HYPERLINK(1)")
    client = AsyncClient()
    await client.aforce_login(alice)
    answer = await client.get("/usage/export/")
    assert answer.streaming and "usage-" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(b"".join([part async for part in answer]).decode())))
    assert [row["request_id"] for row in rows] == ["req_1", "req_3", "req_2"]
    assert (rows[0]["model_name"], rows[0]["tags"], rows[1]["cost"]) == ("'=HYPERLINK(1)", "docs fr", "")
    sums = (await client.get("/usage/export/?table=sums&by=tag")).content.decode()
    assert sorted(row["tag"] for row in csv.DictReader(io.StringIO(sums))) == ["docs", "docs", "fr", "no tag"]


def test_budgets_say_what_is_left(alice: Any, bob: Any, calls: dict[str, AccessToken]) -> None:
    Budget.objects.create(user=alice, amount=Decimal(10), window="total")
    Budget.objects.create(token=calls["alice"], amount=Decimal(2), window="day")
    Budget.objects.create(user=bob, amount=Decimal("77.5"), window="month")
    text = signed_in(alice).get("/usage/").content.decode()
    assert "$10.00 left" in text and "$2.00 left" in text and "77.5" not in text
