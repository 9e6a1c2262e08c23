"""Routes' strategies, keys by weight, and the same choice for one conversation."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from registry.catalog.entries import CredentialEntry, LLMEntry, RankedList, RankedModel
from registry.routing.resolve import Ask, Dropped, resolve
from tests.routing.entries import MINE, SHARED, entry, hub, names, who

A, B, C, SPARE = entry("a", 5), entry("b", 1), entry("c", 3), entry("spare", 0)


@pytest.fixture(autouse=True)
def same_luck() -> Iterator[None]:
    random.seed(4)
    yield
    random.seed()


def ranks(*entries: LLMEntry, weights: tuple[int, ...] = ()) -> tuple[RankedModel, ...]:
    given = weights or (1,) * len(entries)
    return tuple(
        RankedModel(entry_id=one.id, label=one.name, weight=weight) for one, weight in zip(entries, given, strict=True)
    )


def a_route(strategy: str, *, weights: tuple[int, ...] = (), **fields: Any) -> Any:
    spare = RankedModel(entry_id=SPARE.id, label="spare", is_fallback=True)
    entries = (*ranks(A, B, C, weights=weights), spare)
    ranked = RankedList(id="r", name="virtual", strategy=strategy, entries=entries, **fields)
    return hub(A, B, C, SPARE, routes={"virtual": (ranked,)})


ROUTE = Ask(model="virtual")


def test_priority_keeps_the_order_and_fallbacks_come_last() -> None:
    assert names(resolve(a_route("priority"), ROUTE, who())) == ["a", "b", "c", "spare"]


def test_cheapest_goes_by_price_and_fallbacks_come_last() -> None:
    assert names(resolve(a_route("cheapest"), ROUTE, who())) == ["b", "c", "a", "spare"]


def test_fastest_goes_by_what_was_measured_and_measures_the_unknown_first() -> None:
    seen = {A.id: 50.0, C.id: 20.0}
    assert names(resolve(a_route("fastest"), ROUTE, who(), speed=seen.get)) == ["b", "c", "a", "spare"]


def test_weights_share_the_calls_out() -> None:
    catalogue = a_route("weighted", weights=(8, 2, 0))
    orders = [names(resolve(catalogue, ROUTE, who())) for _ in range(2000)]
    first = Counter(order[0] for order in orders)
    assert 1500 < first["a"] < 1700 and first["a"] + first["b"] == 2000
    assert {tuple(order[-2:]) for order in orders} == {("c", "spare")}


def test_a_conversation_keeps_its_choice_and_conversations_share_by_weight() -> None:
    catalogue = a_route("weighted", weights=(8, 2, 0), sticky=True)
    first = Counter()
    for number in range(500):
        ask = replace(ROUTE, sticky_id=f"conversation-{number}")
        choices = {names(resolve(catalogue, ask, who()))[0] for _ in range(3)}
        assert len(choices) == 1
        first.update(choices)
    assert 360 < first["a"] < 440


def test_a_conversation_whose_choice_is_gone_moves_and_no_other_does() -> None:
    catalogue = a_route("weighted", weights=(1, 1, 1), sticky=True)

    def no_a(candidate: Any, principal: Any) -> Dropped | None:
        return Dropped(name="a", code="breaker_open", reason="gone") if candidate.entry.id == A.id else None

    for number in range(50):
        ask = replace(ROUTE, sticky_id=f"conversation-{number}")
        before, after = names(resolve(catalogue, ask, who())), names(resolve(catalogue, ask, who(), gates=[no_a]))
        assert after == [name for name in before if name != "a"]


def test_a_route_that_is_not_sticky_draws_each_time() -> None:
    catalogue = a_route("weighted", sticky=False)
    ask = replace(ROUTE, sticky_id="one")
    assert len({names(resolve(catalogue, ask, who()))[0] for _ in range(100)}) == 3


def test_the_reason_names_the_strategy() -> None:
    found = resolve(a_route("cheapest"), ROUTE, who())
    assert found.candidates[0].reason == "number 1 of virtual, cheapest"


def test_several_keys_share_the_calls_by_weight_and_the_rest_follow() -> None:
    heavy = CredentialEntry(id="heavy", provider_id="p", label="heavy", weight=9)
    catalogue = hub(A, keys=(heavy, SHARED))
    orders = [[one.credential.id for one in resolve(catalogue, Ask(model="a"), who()).candidates] for _ in range(1000)]
    first = Counter(order[0] for order in orders)
    assert 850 < first["heavy"] < 950
    assert all(sorted(order) == ["heavy", "shared"] for order in orders)


def test_own_keys_are_followed_by_own_keys_alone() -> None:
    second = CredentialEntry(id="mine2", provider_id="p", owner_id="alice", label="second")
    for _ in range(20):
        found = resolve(hub(A, keys=(SHARED, MINE, second)), Ask(model="a"), who()).candidates
        assert {one.credential.id for one in found} == {"mine", "mine2"}
