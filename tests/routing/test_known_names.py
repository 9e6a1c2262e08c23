"""What a name resolved to is remembered for as long as nothing that decides it changes, and not a moment longer."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from registry.access.principals import Principal
from registry.catalog.snapshot import Snapshot
from registry.routing.known_names import KnownNames
from registry.routing.resolve import Ask, Candidate, Dropped, Gate, Resolution, resolve
from tests.routing.entries import ALICE, MINE, NOW, SHARED, entry, hub, who


def known(*gates: Gate) -> KnownNames:
    return KnownNames(gates, lambda _: None)


def test_a_name_is_resolved_once_and_as_without_memory() -> None:
    catalogue, caller, names = hub(entry("gpt", 1)), who(), known()
    first = names.resolve(catalogue, Ask(model="gpt"), caller)
    assert first == resolve(catalogue, Ask(model="gpt"), caller)
    assert names.resolve(catalogue, Ask(model="gpt"), caller) is first


def test_a_change_of_the_registry_is_seen_at_once() -> None:
    caller, names = who(), known()
    catalogue = hub(entry("gpt", 1))
    assert names.resolve(catalogue, Ask(model="gpt"), caller).candidates
    catalogue.index.replace([replace(catalogue.index.named("gpt", None)[0], is_active=False)], gone=set())
    catalogue.sequence += 1
    found = names.resolve(catalogue, Ask(model="gpt"), caller)
    assert (found.candidates, [drop.code for drop in found.dropped]) == ((), ["disabled"])


def test_another_caller_gets_an_answer_of_their_own() -> None:
    catalogue, names = hub(entry("gpt", 1), keys=(SHARED, MINE)), known()
    scopes = [
        names.resolve(catalogue, Ask(model="gpt"), caller).candidates[0].scope
        for caller in (Principal(user_id=ALICE), Principal(user_id="bob"), Principal(user_id=ALICE))
    ]
    assert scopes == ["own", "shared", "own"]


def test_gates_are_asked_for_every_call() -> None:
    closed: list[bool] = []

    def gate(candidate: Candidate, principal: Principal) -> Dropped | None:
        return Dropped(name=candidate.entry.name, code="breaker_open", reason="open") if closed else None

    catalogue, caller, names = hub(entry("gpt", 1)), who(), known(gate)
    assert names.resolve(catalogue, Ask(model="gpt"), caller).candidates
    closed.append(True)
    refused = names.resolve(catalogue, Ask(model="gpt"), caller)
    assert (refused.candidates, [drop.code for drop in refused.dropped]) == ((), ["breaker_open"])
    closed.clear()
    assert names.resolve(catalogue, Ask(model="gpt"), caller).candidates


def test_what_time_or_chance_decides_is_not_remembered() -> None:
    def twice(catalogue: Snapshot) -> tuple[Resolution, Resolution]:
        names, caller = known(), who()
        return tuple(names.resolve(catalogue, Ask(model="gpt"), caller) for _ in range(2))  # type: ignore[return-value]  # two of two

    it_ends = replace(SHARED, expires_at=NOW + dt.timedelta(days=1))
    second = replace(SHARED, id="second", label="second")
    for keys in ((it_ends,), (SHARED, second)):
        one, other = twice(hub(entry("gpt", 1), keys=keys))
        assert one is not other and len(one.candidates) == len(other.candidates) == len(keys)
