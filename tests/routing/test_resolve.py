"""From names to candidates: the fixed order, every reason, whose key pays."""

from __future__ import annotations

import datetime as dt
import sys
from decimal import Decimal
from typing import Any

import pytest

from registry.access.principals import Principal, TokenEntry
from registry.catalog.dict_registry import DictRegistry
from registry.catalog.entries import (
    CredentialEntry,
    LLMEntry,
    LLMTier,
    PriceEntry,
    ProviderEntry,
    QualityTier,
    RankedList,
    RankedModel,
)
from registry.routing.requirements import Requirements
from registry.routing.resolve import MAX_CANDIDATES, Ask, Candidate, Dropped, PlainCatalogue, resolve
from tests.routing.entries import ALICE, BOB, LOCAL, NOW, PROVIDER, SHARED, codes, entry, hub, names, number, who

# --- the fixed order --------------------------------------------------------------------------------------------------


def test_the_order_is_request_conversation_user_admin_name_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {name: entry(name) for name in ("named", "talk", "mine", "default", "aaa", "zzz")}
    ask = {"model": "named", "conversation_model_id": rows["talk"].id}
    principal = who(default_model_id=rows["mine"].id)
    catalogue = hub(*rows.values(), default_model_id=rows["default"].id)
    seen = []
    for gone in ("named", "talk", "mine", "default", "aaa", "zzz"):
        found = resolve(catalogue, Ask(**ask), principal)
        seen.append((found.source, names(found)))
        catalogue.index.remove(rows[gone].id)
        ask.pop("model", None)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-1")
    found = resolve(catalogue, Ask(**ask), principal)
    seen.append((found.source, names(found)[:1]))
    assert seen == [
        ("request", ["named"]),
        ("conversation", ["talk"]),
        ("user_default", ["mine"]),
        ("admin_default", ["default"]),
        ("admin_default", ["aaa"]),
        ("admin_default", ["zzz"]),
        ("environment", ["GPT-3.5 Turbo"]),
    ]
    assert found.candidates[0].scope == "environment"


def test_what_the_request_names_is_never_replaced_by_a_default() -> None:
    default = entry("default")
    found = resolve(hub(default, default_model_id=default.id), Ask(model="unknown"), who())
    assert (found.source, names(found), codes(found)) == ("request", [], [("unknown", "not_found")])


def test_a_step_that_can_not_be_used_says_why_and_the_next_is_taken() -> None:
    talk, mine, default = entry("talk", is_active=False), entry("mine", allowed_group_ids=frozenset()), entry("d")
    catalogue = hub(talk, mine, default, default_model_id=default.id)
    found = resolve(catalogue, Ask(conversation_model_id=talk.id), who(default_model_id=mine.id))
    assert (found.source, names(found)) == ("admin_default", ["d"])
    assert codes(found) == [("talk", "disabled"), ("mine", "not_allowed")]


def test_nothing_at_all_is_an_answer_without_candidates() -> None:
    found = resolve(hub(), Ask(), who())
    assert (found.source, found.candidates, found.dropped) == ("environment", (), ())


def test_another_users_model_is_no_first_by_name() -> None:
    found = resolve(hub(entry("aaa", owner_id=BOB), entry("bbb")), Ask(), who())
    assert names(found) == ["bbb"] and codes(found) == []


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["gpt", "upstream", "p/upstream", "fast", "id", "llm_id"])
def test_a_model_is_named_in_every_way(how: str) -> None:
    row = entry("gpt", model="upstream", aliases=("fast",))
    ask = Ask(llm_id=row.id) if how == "llm_id" else Ask(model=str(row.id) if how == "id" else how)
    found = resolve(hub(row, entry("other")), ask, who())
    assert names(found) == ["gpt"] and found.source == "request"


def test_ones_own_model_of_a_name_goes_before_everybodys() -> None:
    own = entry("gpt", id=number(1), owner_id=ALICE)
    catalogue = hub(own, entry("gpt", id=number(2)))
    assert resolve(catalogue, Ask(model="gpt"), who()).candidates[0].entry is own
    assert resolve(catalogue, Ask(model="gpt"), who(user_id=BOB)).candidates[0].entry.id == number(2)


def test_names_to_fall_back_to_are_tried_in_order_and_once() -> None:
    catalogue = hub(*(entry(name) for name in "abc"))
    found = resolve(catalogue, Ask(model="b", models=("c", "b", "nope", "a")), who())
    assert names(found) == ["b", "c", "a"]
    assert codes(found) == [("nope", "not_found")]


def ask_for(row: LLMEntry, how: str) -> Ask:
    return {
        "id": Ask(llm_id=row.id),
        "id as text": Ask(model=str(row.id)),
        "conversation": Ask(conversation_model_id=row.id),
        "preset": Ask(preset="s"),
        "route": Ask(model="virtual"),
    }[how]


@pytest.mark.parametrize("how", ["id", "id as text", "conversation", "preset", "route"])
def test_another_users_model_can_not_be_told_from_none(how: str) -> None:
    theirs = entry("bob's secret project", owner_id=BOB, id=number(7))
    label = str(number(7))
    ranked = (RankedModel(entry_id=number(7), label=label),)
    lists = {
        "presets": {"s": (RankedList(id=1, name="s", entries=ranked),)},
        "routes": {"virtual": (RankedList(id=2, name="virtual", entries=ranked),)},
    }
    met = resolve(hub(theirs, **lists), ask_for(theirs, how), who())
    none = resolve(hub(**lists), ask_for(theirs, how), who())
    assert met.as_dict() == none.as_dict()
    assert "secret project" not in repr(met)


def test_another_users_model_is_not_met_by_name_or_tier_or_auto() -> None:
    catalogue = hub(entry("theirs", 1, owner_id=BOB))
    for ask in (Ask(model="theirs"), Ask(tier="standard"), Ask(model="auto")):
        assert "theirs" not in {drop.name for drop in resolve(catalogue, ask, who()).dropped if ask.model != "theirs"}
        assert names(resolve(catalogue, ask, who())) == []
        assert names(resolve(catalogue, ask, who(user_id=BOB))) == ["theirs"]


# --- reasons ----------------------------------------------------------------------------------------------------------

REASONS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("disabled", {"is_active": False}, {}, {}),
    ("not_allowed", {"allowed_group_ids": frozenset({2})}, {}, {"group_ids": frozenset({1})}),
    (
        "not_allowed",
        {},
        {},
        {"token": TokenEntry(id=1, name="", prefix="", digest="", owner_id=ALICE, allowed_models=frozenset({"other"}))},
    ),
    ("wrong_provider", {}, {"provider": "elsewhere"}, {}),
    ("no_capability", {"capabilities": {"vision": "no"}}, {"needs": frozenset({"vision"})}, {}),
    ("no_capability", {}, {"requirements": Requirements(requires_tools=True)}, {}),
    ("too_small", {"context_length": 100}, {"requirements": Requirements(min_context=101)}, {}),
    ("too_small", {}, {"requirements": Requirements(min_context=1)}, {}),
    ("over_price", {"price": 2}, {"requirements": Requirements(max_cost_per_1m_input=Decimal("1.99"))}, {}),
    ("over_price", {"price": 2}, {"requirements": Requirements(max_cost_per_1m_output=Decimal("3.99"))}, {}),
    ("unpriced", {}, {"requirements": Requirements(max_cost_per_1m_output=Decimal(9))}, {}),
    ("wrong_provider", {}, {"requirements": Requirements(provider="elsewhere")}, {}),
    ("wrong_family", {"family": "gpt"}, {"requirements": Requirements(family="claude")}, {}),
    ("no_tag", {"tags": frozenset({"a"})}, {"requirements": Requirements(tags=frozenset({"a", "b"}))}, {}),
    ("wrong_quality", {}, {"requirements": Requirements(quality_tier="best")}, {}),
    ("too_slow", {"speed_tps": 9.9}, {"requirements": Requirements(min_speed_tps=10)}, {}),
]


@pytest.mark.parametrize(("code", "fields", "ask", "principal"), REASONS)
@pytest.mark.parametrize("how", ["name", "id"])
def test_a_dropped_model_has_its_reason(code: str, fields: Any, ask: Any, principal: Any, how: str) -> None:
    price = fields.get("price")
    row = entry("m", price, **{name: value for name, value in fields.items() if name != "price"})
    named = {"model": "m"} if how == "name" else {"llm_id": row.id}
    found = resolve(hub(row), Ask(**named, **ask), who(**principal))
    assert (names(found), codes(found)) == ([], [("m", code)])
    assert found.dropped[0].reason and found.dropped[0].model_id == row.id


def test_the_same_model_fits_where_it_meets_the_need() -> None:
    row = entry("m", 2, context_length=100, capabilities={"tools": "yes", "vision": "unknown"}, speed_tps=10.0)
    fitting = Requirements(
        requires_tools=True,
        min_context=100,
        max_cost_per_1m_input=Decimal(2),
        max_cost_per_1m_output=Decimal(4),
        min_speed_tps=10,
        provider="p",
    )
    found = resolve(hub(row), Ask(model="m", requirements=fitting, needs=frozenset({"vision", "tools"})), who())
    assert names(found) == ["m"]


def test_a_disabled_provider_is_told_apart_from_a_disabled_model() -> None:
    off = ProviderEntry(id="p", slug="p", kind="openai", enabled=False)
    said = [
        resolve(hub(entry("m", at=at, is_active=False)), Ask(model="m"), who()).dropped[0].reason
        for at in (PROVIDER, off)
    ]
    assert said == ["The model is disabled.", "Its provider is disabled."]


@pytest.mark.parametrize(
    "ask",
    [
        Ask(tier="luxury"),
        Ask(model="tier:luxury"),
        Ask(preset="x"),
        Ask(model="preset:x"),
        Ask(module="x"),
        Ask(model="tier:premium"),
        Ask(llm_id="x"),
        Ask(model="nope"),
    ],
)
def test_what_there_is_not_is_not_found(ask: Ask) -> None:
    found = resolve(hub(entry("m")), ask, who())
    assert [drop.code for drop in found.dropped] == ["not_found"] and not found.candidates


# --- tiers, presets, routes, auto -------------------------------------------------------------------------------------


def test_a_tier_is_cheapest_first_and_unpriced_last() -> None:
    rows = [
        entry("unpriced"),
        entry("b", 2),
        entry("a", 2),
        entry("dear", 9),
        entry("free", 0),
        entry("own", 1, owner_id=ALICE),
    ]
    rows += [entry("other tier", 0, tier=LLMTier.PREMIUM), entry("off", 0, is_active=False)]
    expected = ["free", "own", "a", "b", "dear", "unpriced"]
    for ask in (Ask(tier="standard"), Ask(model="tier:standard")):
        assert names(resolve(hub(*rows), ask, who())) == expected
    assert names(resolve(hub(*rows), Ask(tier="standard"), who(user_id=BOB))) == [n for n in expected if n != "own"]


def test_output_prices_decide_between_equal_input_prices() -> None:
    def at(name: str, output: Any) -> LLMEntry:
        rates = {"input_per_1m": Decimal(1)} | ({} if output is None else {"output_per_1m": Decimal(output)})
        return entry(name, prices=(PriceEntry(id=name, effective_from=NOW - dt.timedelta(1), rates=rates),))

    found = resolve(hub(at("unknown", None), at("dear", 3), at("cheap", 2)), Ask(tier="standard"), who())
    assert names(found) == ["cheap", "dear", "unknown"]


def test_a_tier_skips_what_can_not_be_used_and_says_why() -> None:
    elsewhere = ProviderEntry(id="q", slug="q", kind="anthropic", base_url="https://api.anthropic.com")
    rows = [entry("no key", 1, at=elsewhere), entry("not mine", 2, allowed_group_ids=frozenset({9})), entry("m", 3)]
    found = resolve(hub(*rows), Ask(tier="standard"), who())
    assert names(found) == ["m"]
    assert codes(found) == [("no key", "no_key"), ("not mine", "not_allowed")]


def ranked(name: str, *items: tuple[Any, dict[str, Any]], **fields: Any) -> RankedList:
    rows = tuple(RankedModel(entry_id=key, label=f"label {key}", options=options) for key, options in items)
    return RankedList(**{"id": name, "name": name, "entries": rows} | fields)


def test_a_presets_entries_come_in_order_with_their_options_over_the_presets_own() -> None:
    a, b = entry("a", 9), entry("b", 1)
    preset = ranked("s", (a.id, {"temperature": 0.1}), (None, {}), (b.id, {}), options={"temperature": 1, "top_p": 0.5})
    catalogue = hub(a, b, presets={"s": (preset,)})
    for ask in (Ask(preset="s"), Ask(model="preset:s")):
        found = resolve(catalogue, ask, who())
        assert names(found) == ["a", "b"]
        assert [dict(c.options) for c in found.candidates] == [
            {"temperature": 0.1, "top_p": 0.5},
            {"temperature": 1, "top_p": 0.5},
        ]
        assert codes(found) == [("label None", "not_found")]
        assert [c.reason for c in found.candidates] == ["number 1 of preset:s", "number 3 of preset:s"]


def test_a_modules_default_preset_answers_for_the_module() -> None:
    a, b = entry("a"), entry("b")
    presets = {
        "first": (ranked("first", (a.id, {}), module="chat"),),
        "chosen": (ranked("chosen", (b.id, {}), module="chat", is_module_default=True),),
        "battle": (ranked("battle", (a.id, {}), module="x"),),
    }
    catalogue = hub(a, b, presets=presets)
    assert names(resolve(catalogue, Ask(module="chat"), who())) == ["b"]
    assert names(resolve(catalogue, Ask(module="battle"), who())) == ["a"]
    assert names(resolve(catalogue, Ask(module="chat", preset="first"), who())) == ["a"]


def test_a_route_stands_for_its_models_and_a_model_of_that_name_goes_first() -> None:
    a, b = entry("a"), entry("b")
    routes = {"virtual": (ranked("virtual", (b.id, {}), (a.id, {})),), "a": (ranked("a", (b.id, {})),)}
    catalogue = hub(a, b, routes=routes)
    assert names(resolve(catalogue, Ask(model="virtual"), who())) == ["b", "a"]
    assert names(resolve(catalogue, Ask(model="a"), who())) == ["a"]


def test_auto_takes_the_best_quality_then_the_cheapest_of_those_that_fit() -> None:
    tools = {"capabilities": {"tools": "yes"}}
    rows = [
        entry("best but dear", 9, quality_tier=QualityTier.BEST, **tools),
        entry("best", 5, quality_tier=QualityTier.BEST, **tools),
        entry("cheap", 1, quality_tier=QualityTier.CHEAP, **tools),
        entry("nobody knows", 0, quality_tier=QualityTier.BEST),
        entry("no", 0, quality_tier=QualityTier.BEST, capabilities={"tools": "no"}),
    ]
    needs = Requirements(requires_tools=True)
    for ask in (Ask(model="auto", requirements=needs), Ask(requirements=needs)):
        assert names(resolve(hub(*rows), ask, who())) == ["best", "best but dear", "cheap"]


def test_auto_without_requirements_takes_any_model() -> None:
    assert names(resolve(hub(entry("b", 2), entry("a", 3)), Ask(model="auto"), who())) == ["b", "a"]


def test_auto_that_nothing_fits_says_why_of_each() -> None:
    rows = [entry("a", capabilities={"vision": "no"}), entry("b")]
    found = resolve(hub(*rows), Ask(model="auto", requirements=Requirements(requires_vision=True)), who())
    assert sorted(codes(found)) == [("a", "no_capability"), ("b", "no_capability")]
    assert {drop.reason for drop in found.dropped} == {"It has no vision.", "It is not known to have vision."}


@pytest.mark.parametrize("wanted", ["provider", "group", "need"])
def test_the_one_that_fits_is_found_behind_a_hundred_better_ones(wanted: str) -> None:
    rows = [
        entry(
            f"better {n}",
            n,
            quality_tier=QualityTier.BEST,
            allowed_group_ids=frozenset({9}) if wanted == "group" else None,
            capabilities={"vision": "no"},
        )
        for n in range(100)
    ]
    catalogue = hub(*rows, entry("fits", 1000, at=LOCAL))
    ask = {
        "provider": Ask(provider="local"),
        "group": Ask(model="auto"),
        "need": Ask(model="auto", needs=frozenset({"vision"})),
    }
    assert names(resolve(catalogue, ask[wanted], who())) == ["fits"]


# --- limit, gates, cost -----------------------------------------------------------------------------------------------


def test_no_more_candidates_than_the_limit() -> None:
    catalogue = hub(*(entry(f"m{n}", n) for n in range(20)))
    assert len(resolve(catalogue, Ask(tier="standard"), who()).candidates) == MAX_CANDIDATES
    assert names(resolve(catalogue, Ask(tier="standard"), who(), limit=2)) == ["m0", "m1"]


def test_reasons_told_have_an_end() -> None:
    found = resolve(hub(*(entry(f"m{n}", is_active=True) for n in range(200)), keys=()), Ask(tier="standard"), who())
    assert not found.candidates and len(found.dropped) == 50


def closed(*ids: str) -> Any:
    def gate(candidate: Candidate, principal: Principal) -> Dropped | None:
        key = candidate.credential.id if candidate.credential else candidate.entry.name
        if key in ids or candidate.entry.name in ids:
            return Dropped(name=candidate.entry.name, code="breaker_open", reason="closed", model_id=candidate.entry.id)
        return None

    return gate


def test_a_gate_drops_a_candidate_and_the_next_is_taken() -> None:
    catalogue = hub(entry("a", 1), entry("b", 2))
    found = resolve(catalogue, Ask(tier="standard"), who(), gates=[closed("a")], limit=1)
    assert (names(found), codes(found)) == (["b"], [("a", "breaker_open")])


def test_a_gated_key_takes_no_place_of_the_next_key() -> None:
    second = CredentialEntry(id="second", provider_id="p", label="second")
    found = resolve(hub(entry("m"), keys=(SHARED, second)), Ask(model="m"), who(), gates=[closed("shared")], limit=1)
    assert [candidate.credential.id for candidate in found.candidates if candidate.credential] == ["second"]


def test_every_gate_is_asked() -> None:
    found = resolve(hub(entry("m")), Ask(model="m"), who(), gates=[closed(), closed("m")])
    assert codes(found) == [("m", "breaker_open")]


def work_of(catalogue: Any, ask: Ask) -> int:
    """Function calls that a resolution makes: the same on every machine."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        resolve(catalogue, ask, who(), limit=1)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("how", ["name", "id", "tier", "preset", "route", "first by name", "admin default"])
def test_a_look_up_costs_the_same_in_a_large_catalogue(how: str) -> None:
    costs = []
    for size in (10, 1000):
        rows = [entry(f"m{n:05}", n) for n in range(size)]
        first = rows[3]
        catalogue = hub(
            *rows, presets={"s": (ranked("s", (first.id, {})),)}, routes={"v": (ranked("v", (first.id, {})),)}
        )
        if how == "admin default":
            catalogue.default_model_id = first.id
        asks = {"name": Ask(model="m00003"), "id": Ask(llm_id=first.id), "tier": Ask(tier="standard")}
        asks |= {"preset": Ask(preset="s"), "route": Ask(model="v")}
        costs.append(work_of(catalogue, asks.get(how, Ask())))
    assert costs[1] <= costs[0] * 1.5


# --- anybody's own registry -------------------------------------------------------------------------------------------


def test_a_plain_registry_resolves_by_its_own_rules() -> None:
    registry = DictRegistry(
        [
            LLMEntry(id=1, name="dear", provider="openai", model="d", api_key="k", cost_per_1k_input=2),
            LLMEntry(id=2, name="cheap", provider="openai", model="c", api_key="k", cost_per_1k_input=1),
        ]
    )
    catalogue = PlainCatalogue(registry)
    nobody = Principal()
    assert names(resolve(catalogue, Ask(tier="standard"), nobody)) == ["cheap", "dear"]
    assert names(resolve(catalogue, Ask(llm_id=1), nobody)) == ["dear"]
    assert names(resolve(catalogue, Ask(model="c"), nobody)) == ["cheap"]
    assert names(resolve(catalogue, Ask(), nobody)) == ["cheap"]
    assert resolve(catalogue, Ask(model="preset:s"), nobody).dropped[0].code == "not_found"
