"""Which private addresses are open, and to whose providers: admins' rows and `LLMHUB_PRIVATE_ENDPOINTS`."""

from __future__ import annotations

import datetime as dt
import logging
import socket
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from adapters.egress import EgressPolicy, EgressRule
from registry.models import Audience, EndpointPolicy

log = logging.getLogger("llmhub.endpoints")

_NO_GROUPS: frozenset[Hashable] = frozenset()


@dataclass(frozen=True, slots=True)
class OpenedEndpoint:
    """One rule and for whom it holds; `expires_at` None is for good."""

    rule: EgressRule
    audience: str
    group_id: Hashable | None = None
    expires_at: dt.datetime | None = None


@dataclass(slots=True)
class EndpointRules:
    """All opened endpoints. Policies are made once for each owner and kept until the rules change."""

    opened: tuple[OpenedEndpoint, ...] = ()
    closed: tuple[EgressRule, ...] = ()
    _policies: dict[tuple[Hashable | None, frozenset[Hashable]], tuple[float, EgressPolicy]] = field(
        default_factory=dict, repr=False
    )

    def policy_for(self, owner_id: Hashable | None, group_ids: frozenset[Hashable] = frozenset()) -> EgressPolicy:
        """What providers of this owner may call: public addresses, and what is opened for them.

        A global provider (`owner_id` None) is an admin's: it has the rules for admins and for all, and may use plain
        http at public hosts; a user's own provider has https and the rules for all and for their groups.
        """
        key = (owner_id, group_ids if owner_id is not None else _NO_GROUPS)
        kept = self._policies.get(key)
        now_s = time.time()
        if kept is not None and kept[0] > now_s:
            return kept[1]
        now = dt.datetime.fromtimestamp(now_s, dt.UTC)
        live = [opened for opened in self.opened if opened.expires_at is None or opened.expires_at > now]
        rules = [opened.rule for opened in live if _holds(opened, owner_id, group_ids)]
        policy = EgressPolicy.public(https_only=owner_id is not None).with_rules(*rules).with_closed(*self.closed)
        ends = [opened.expires_at.timestamp() for opened in live if opened.expires_at is not None]
        self._policies[key] = (min([now_s + 60, *ends]), policy)
        return policy


def _holds(opened: OpenedEndpoint, owner_id: Hashable | None, group_ids: frozenset[Hashable]) -> bool:
    if opened.audience == Audience.ALL:
        return True
    if opened.audience == Audience.ADMINS:
        return owner_id is None
    return owner_id is not None and opened.group_id in group_ids


def read_rules() -> EndpointRules:
    """Read the rows in force and the setting. A rule that can't be read opens nothing."""
    opened = []
    for text in settings.LLMHUB_PRIVATE_ENDPOINTS:
        try:
            opened.append(OpenedEndpoint(EgressRule.parse(text), Audience.ALL))
        except ValueError:
            log.warning("The entry %r of LLMHUB_PRIVATE_ENDPOINTS can't be read and opens nothing.", text)
    live = EndpointPolicy.objects.filter(enabled=True).filter(
        Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    )
    for row in live:
        try:
            rule = rule_of(row)
        except ValueError:
            log.warning("The endpoint policy %s can't be read and opens nothing.", row.pk)
            continue
        opened.append(OpenedEndpoint(rule, row.audience, row.group_id, row.expires_at))
    return EndpointRules(tuple(opened), own_places(settings.DATABASES["default"], settings.VALKEY_URL))


def own_places(database: Mapping[str, Any], valkey_url: str) -> tuple[EgressRule, ...]:
    """The hub's own database and Valkey: no rule opens them to calls, by name or at their addresses."""
    valkey = urlsplit(valkey_url)
    places = {(str(database.get("HOST") or ""), int(database.get("PORT") or 5432))}
    places.add((valkey.hostname or "", valkey.port or 6379))
    rules: list[EgressRule] = []
    for host, port in sorted(places):
        if host and not host.startswith("/"):  # a socket in the file system is out of reach anyway
            rules.append(EgressRule.parse(f"[{host}]:{port}" if ":" in host else f"{host}:{port}"))
            rules += _addresses_of(host, port)
    return tuple(rules)


@lru_cache(maxsize=64)
def _addresses_of(host: str, port: int) -> tuple[EgressRule, ...]:
    """Looked up once a process: the database's client had to find it too."""
    try:
        found = {str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError:
        return ()
    return tuple(EgressRule(network=ip_network(address), ports=frozenset({port})) for address in sorted(found))


def rule_of(row: EndpointPolicy) -> EgressRule:
    """The egress rule that a row stands for. Raises ValueError for a target or ports that can't be read."""
    if not isinstance(row.ports, list) or not all(type(port) is int for port in row.ports):
        raise ValueError("the ports are no list of numbers")
    base = EgressRule.parse(row.target)
    return EgressRule(host=base.host, network=base.network, ports=frozenset(row.ports) or base.ports)
