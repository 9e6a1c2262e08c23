"""Who may call which private address, until when."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from adapters.egress import EgressPolicy, EgressRule
from adapters.errors import EgressDeniedError
from registry.catalog import endpoints
from registry.catalog.endpoints import EndpointRules, OpenedEndpoint, own_places, read_rules
from registry.catalog.snapshot import Snapshot
from registry.models import EndpointPolicy

pytestmark = pytest.mark.django_db


def opens(policy: EgressPolicy, url: str = "http://10.1.2.3:8000/v1") -> bool:
    try:
        policy.check_url(url)
    except EgressDeniedError:
        return False
    return True


def test_nothing_private_is_open_by_itself(alice: Any) -> None:
    rules = read_rules()
    for owner in (None, alice.pk):
        for url in ("http://10.1.2.3:8000/v1", "http://127.0.0.1:11434", "http://localhost:11434"):
            assert not opens(rules.policy_for(owner), url)
        assert opens(rules.policy_for(owner), "https://api.openai.com/v1")


def test_plain_http_at_public_hosts_is_for_global_providers(alice: Any) -> None:
    rules = read_rules()
    assert opens(rules.policy_for(None), "http://93.184.216.34/v1")
    assert not opens(rules.policy_for(alice.pk), "http://93.184.216.34/v1")


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        ("admins", {"global"}),
        ("group", {"member"}),
        ("all", {"global", "member", "stranger"}),
    ],
)
def test_a_rule_holds_for_its_audience_alone(audience: str, expected: set[str], alice: Any, charlie: Any) -> None:
    team, other = Group.objects.create(name="team"), Group.objects.create(name="other")
    group = team if audience == "group" else None
    EndpointPolicy.objects.create(target="10.0.0.0/8", audience=audience, group=group)
    rules = read_rules()
    policies = {
        "global": rules.policy_for(None, frozenset({team.pk})),
        "member": rules.policy_for(alice.pk, frozenset({team.pk})),
        "stranger": rules.policy_for(charlie.pk, frozenset({other.pk})),
    }
    assert {name for name, policy in policies.items() if opens(policy)} == expected
    assert not any(opens(policy, "http://11.0.0.1:1/x") and name != "global" for name, policy in policies.items())


def test_leaving_the_group_closes_the_endpoint(alice: Any) -> None:
    team = Group.objects.create(name="team")
    EndpointPolicy.objects.create(target="10.0.0.0/8", audience="group", group=team)
    rules = read_rules()
    assert opens(rules.policy_for(alice.pk, frozenset({team.pk})))
    assert not opens(rules.policy_for(alice.pk, frozenset()))


def test_ports_limit_a_rule(alice: Any) -> None:
    EndpointPolicy.objects.create(target="10.1.2.3", audience="all", ports=[8000])
    EndpointPolicy.objects.create(target="10.1.2.4:9000", audience="all")
    policy = read_rules().policy_for(alice.pk)
    assert opens(policy) and opens(policy, "http://10.1.2.4:9000/v1")
    assert not opens(policy, "http://10.1.2.3:8001/v1") and not opens(policy, "http://10.1.2.4:8000/v1")


def test_a_disabled_or_expired_rule_opens_nothing() -> None:
    EndpointPolicy.objects.create(target="10.1.2.3", audience="all", enabled=False)
    past = timezone.now() - dt.timedelta(seconds=1)
    EndpointPolicy.objects.create(target="10.1.2.3", audience="all", expires_at=past)
    assert read_rules().opened == ()


def test_a_rule_ends_at_its_minute_without_a_new_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    EndpointPolicy.objects.create(target="10.1.2.3", audience="all", expires_at=now + dt.timedelta(seconds=10))
    rules = read_rules()
    assert opens(rules.policy_for(None))
    monkeypatch.setattr(endpoints, "time", SimpleNamespace(time=lambda: now.timestamp() + 11))
    assert not opens(rules.policy_for(None))


def test_a_policy_is_made_once_while_it_holds() -> None:
    EndpointPolicy.objects.create(target="10.1.2.3", audience="all")
    rules = read_rules()
    assert rules.policy_for(None) is rules.policy_for(None)


def test_the_setting_opens_for_all(settings: Any, alice: Any) -> None:
    settings.LLMHUB_PRIVATE_ENDPOINTS = ["10.1.2.3:8000", "http://ollama:11434"]
    rules = read_rules()
    for owner in (None, alice.pk):
        policy = rules.policy_for(owner)
        assert opens(policy) and opens(policy, "http://ollama:11434/api/chat")
        assert not opens(policy, "http://10.1.2.3:8001/v1") and not opens(policy, "http://10.1.2.4:8000/v1")


def test_metadata_stays_closed_whatever_is_opened(settings: Any) -> None:
    settings.LLMHUB_PRIVATE_ENDPOINTS = ["0.0.0.0/0", "169.254.169.254"]
    EndpointPolicy.objects.create(target="169.254.0.0/16", audience="all")
    policy = read_rules().policy_for(None)
    assert opens(policy)
    for url in ("http://169.254.169.254/latest", "http://100.100.100.200/", "http://metadata.google.internal/"):
        assert not opens(policy, url)


@pytest.mark.parametrize(
    ("target", "ports"),
    [
        *((target, []) for target in ("10.0.0.0/99", "a b", "")),
        *(("10.1.2.3", ports) for ports in ([[1]], 5, "8000", {}, ["8000"], "")),
    ],
)
def test_a_rule_that_can_not_be_read_opens_nothing_and_leaves_the_others(target: str, ports: Any) -> None:
    EndpointPolicy.objects.create(target=target, ports=ports, audience="all")
    EndpointPolicy.objects.create(target="10.9.9.9", audience="all")
    rules = read_rules()
    assert len(rules.opened) == 1
    assert not opens(rules.policy_for(None)) and opens(rules.policy_for(None), "http://10.9.9.9/")


def test_an_entry_of_the_setting_that_can_not_be_read_opens_nothing_and_leaves_the_others(settings: Any) -> None:
    settings.LLMHUB_PRIVATE_ENDPOINTS = ["10.0.0.0/99", "10.9.9.9"]
    assert len(read_rules().opened) == 1


def test_a_rule_arrives_and_goes_by_the_change_log() -> None:
    snapshot = Snapshot()
    snapshot.refresh()
    assert not opens(snapshot.rules.policy_for(None))
    row = EndpointPolicy.objects.create(target="10.1.2.3")
    snapshot.refresh()
    assert opens(snapshot.rules.policy_for(None))
    row.delete()
    snapshot.refresh()
    assert not opens(snapshot.rules.policy_for(None))


def test_no_rule_opens_the_hubs_own_database_and_valkey() -> None:
    opened = tuple(OpenedEndpoint(EgressRule.parse(text), "all") for text in ("127.0.0.0/8", "localhost"))
    closed = own_places({"HOST": "127.0.0.1", "PORT": "5432"}, "redis://:secret@localhost:6379/0")
    policy = EndpointRules(opened, closed).policy_for(None)
    policy.check_address("127.0.0.1", 11434, "localhost")
    for host, port in (("127.0.0.1", 5432), ("localhost", 6379), ("another.name.of.it", 6379)):
        with pytest.raises(EgressDeniedError):
            policy.check_address("127.0.0.1", port, host)
    assert own_places({"NAME": "hub.sqlite3", "HOST": ""}, "") == own_places({"HOST": "/run/postgresql"}, "") == ()
