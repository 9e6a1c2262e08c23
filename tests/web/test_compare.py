"""Comparisons: begun, voted on, counted with an interval, and the winner put first in its tier."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from registry.catalog.rows import read_models, read_providers
from registry.models import AuditEvent, Conversation, Experiment, LLMModel, Message, ModelPrice, UsageRecord, Vote
from registry.web.win_rates import scores, wilson
from tests.web.conftest import signed_in


@pytest.fixture
def rivals(stub: LLMModel) -> list[LLMModel]:
    return [
        LLMModel.objects.create(provider=stub.provider, model_id=name, name=name, tier="economy")
        for name in ("red", "blue", "green")
    ]


def begin(user: Any, **fields: str) -> Any:
    answer = signed_in(user).post("/compare/start/", {"prompt": "Which colour?", **fields})
    return answer.json()


def answers(experiment: dict[str, str], rivals: list[LLMModel], user: Any, *, ms: int = 1000) -> list[str]:
    """The answers of all, as the recorder writes them."""
    ids = []
    for model in rivals:
        ids.append(f"{experiment['id'][-12:]}-{model.name}")
        Message.objects.create(
            conversation_id=experiment["conversation"], role="assistant", content=model.name, request_id=ids[-1],
            llm_model=model, model_name=model.name,
        )  # fmt: skip
        UsageRecord.objects.create(
            request_id=ids[-1], user=user, created_at=timezone.now(), latency_ms=ms, cost=Decimal("0.25")
        )
    return ids


def test_a_comparison_is_kept_apart_and_waits_for_its_answers(alice: Any, rivals: list[LLMModel]) -> None:
    made = begin(alice, tag="colours", blind="on")
    row = Experiment.objects.get()
    assert (row.tag, row.blind, row.conversation.archived) == ("colours", True, True)
    client = signed_in(alice)
    assert "Which colour?" not in client.get("/conversations/").content.decode()
    early = client.post(made["vote_url"], {"variants": json.dumps(["a", "b"]), "winner": "a"}).json()
    assert early["missing"] == 2 and not Vote.objects.exists()
    ids = answers(made, rivals, alice)
    assert client.post(made["vote_url"], {"variants": json.dumps(ids)}).json()["missing"] == 0
    assert not Vote.objects.exists() and row.variants.count() == 3
    said = client.post(made["vote_url"], {"variants": json.dumps(ids), "winner": ids[1]}).json()
    assert said == {"missing": 0, "model": "blue"}  # nobody but an admin may change the tier
    text = client.get(made["url"]).content.decode()
    assert "Which colour?" in text and "green" in text
    client.post(f"/compare/{row.pk}/delete/")
    assert not Experiment.objects.exists() and not Conversation.objects.exists()


def test_win_rates_by_tag_with_cost_and_speed(alice: Any, bob: Any, rivals: list[LLMModel]) -> None:
    client = signed_in(alice)
    for tag, winner, ms in (("a", 0, 1000), ("a", 0, 3000), ("b", 1, 2000), ("b", None, 2000)):
        made = begin(alice, tag=tag)
        ids = answers(made, rivals[:2], alice, ms=ms)
        winning = "" if winner is None else ids[winner]
        client.post(made["vote_url"], {"variants": json.dumps(ids), "winner": winning})
    red, blue = scores(alice)
    assert (red.name, red.wins, red.losses, red.ties, red.rate) == ("red", 2, 1, 1, 2 / 3)
    assert (red.mean_cost, red.mean_latency_ms) == (Decimal("0.25"), 2000)
    assert (blue.wins, blue.losses, blue.ties) == (1, 2, 1)
    assert [(score.name, score.wins) for score in scores(alice, tag="a")] == [("red", 2), ("blue", 0)]
    assert scores(bob) == []
    assert "67 %" in client.get("/compare/results/").content.decode()
    assert "100 %" in client.get("/compare/results/?tag=a").content.decode()


@pytest.mark.parametrize(
    ("wins", "votes", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (1, 1, 0.2065, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_the_interval_is_wilsons(wins: int, votes: int, low: float, high: float) -> None:
    assert wilson(wins, votes) == pytest.approx((low, high), abs=5e-4)
    assert wilson(0, 0) is None


def test_the_winner_is_put_first_in_its_tier_and_only_by_an_admin(
    admin: Any, alice: Any, rivals: list[LLMModel]
) -> None:
    for model, price in zip(rivals, ("1", "2", "3"), strict=True):
        at = timezone.now() - dt.timedelta(days=1)
        ModelPrice.objects.create(model=model, input_per_1m=Decimal(price), effective_from=at)
    green, blue = rivals[2], rivals[1]
    assert signed_in(alice).post(f"/compare/first/{green.pk}/").status_code == 403
    for model in (blue, green):
        assert signed_in(admin).post(f"/compare/first/{model.pk}/").status_code == 302
    assert list(LLMModel.objects.filter(is_tier_first=True)) == [green]
    assert AuditEvent.objects.filter(row=green.pk, action="change").exists()
    entries = read_models({entry.id: entry for entry in read_providers()})
    economy = sorted((entry for entry in entries if entry.tier == "economy"), key=lambda entry: entry.tier_order)
    assert [entry.name for entry in economy] == ["green", "red", "blue"]


@pytest.mark.parametrize(
    "wrong", [{"variants": "x"}, {"variants": "[]"}, {"variants": '["a"]', "winner": "b"}, {"variants": "[1]"}]
)
def test_votes_that_make_no_sense_are_refused(alice: Any, wrong: dict[str, str]) -> None:
    made = begin(alice)
    assert signed_in(alice).post(made["vote_url"], wrong).status_code == 400
    assert signed_in(alice).post("/compare/start/", {"prompt": ""}).status_code == 400


def test_a_past_conversations_questions_are_asked_again(alice: Any, charlie: Any, conversation: Conversation) -> None:
    page = signed_in(alice).get(f"/compare/?conversation={conversation.pk}")
    assert page.context["questions"] == ["What is a tier?"] and "asked again" in page.content.decode()
    assert signed_in(charlie).get(f"/compare/?conversation={conversation.pk}").status_code == 404
