"""Every route of the API x who asks x how they come in: generated from the routes, so that a new one is tested too."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import Group

from registry.access import audit
from registry.api.permissions import Access, DeclaredAccess
from registry.api.urls import routes
from registry.api.views.base import UUID_PATTERN
from registry.models import AuditEvent, Budget, EndpointPolicy, RateLimit
from tests.api.conftest import Caller, Rows, by_session, by_token, make_rows

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CARRIERS = {"session": by_session, "token": by_token}
ADMINS_ONLY = {"budget", "rate-limit", "endpoint-policy", "audit"}
PUBLIC = {"schema", "docs"}


class Route(NamedTuple):
    name: str
    view: Any
    pattern: str
    methods: frozenset[str]

    @property
    def noun(self) -> str:
        return self.view.__name__ if "-" not in self.name else self.name

    @property
    def is_detail(self) -> bool:
        return "pk>" in self.pattern

    def path(self, pk: Any = "") -> str:
        text = self.pattern.replace(f"(?P<pk>{UUID_PATTERN})", str(pk)).replace("<slug:module>", "alice-module")
        return "/api/" + text.removeprefix("^").removesuffix("\\Z").removesuffix("$")


def all_routes() -> list[Route]:
    found = []
    for row in routes:
        callback: Any = getattr(row, "callback", None)
        if callback is None or not hasattr(callback, "cls"):
            continue  # the 404 of everything else
        actions = getattr(callback, "actions", None) or {
            method.lower(): method for method in METHODS if hasattr(callback.cls, method.lower())
        }
        methods = frozenset(method.upper() for method in actions) & set(METHODS)
        found.append(Route(row.name or "", callback.cls, str(row.pattern), methods))
    return found


ROUTES = all_routes()
CLOSED = [route for route in ROUTES if route.name not in PUBLIC]
DETAILS = [route for route in CLOSED if route.is_detail]
LISTS = [route for route in CLOSED if not route.is_detail and "GET" in route.methods]


def ids(routes_: list[Route]) -> list[str]:
    return [route.name for route in routes_]


def basename(route: Route) -> str:
    """`prompt-pack-detail` -> `prompt-pack`; actions come after the noun too."""
    nouns = ("provider", "credential", "model", "token", "conversation", "preset", "route", "prompt-pack", "budget",
             "rate-limit", "usage", "endpoint-policy", "audit")  # fmt: skip
    return next(noun for noun in nouns if route.name.startswith(noun))


READABLE = [route for route in DETAILS if "GET" in route.methods and basename(route) not in ADMINS_ONLY]
# Rows that may be everybody's; testing a connection changes nothing, so it is open to all who see the row.
SHARED = [
    route
    for route in DETAILS
    if basename(route) not in ADMINS_ONLY | {"usage", "token", "conversation"} and "test" not in route.name
]


@pytest.fixture
def rows(alice: Any, bob: Any, charlie: Any) -> Rows:
    """Alice's rows; bob shares a group with her, charlie nothing."""
    team = Group.objects.create(name="team")
    alice.groups.add(team)
    bob.groups.add(team)
    return make_rows(alice, "alice")


def row_for(route: Route, rows: Rows, alice: Any) -> Any:
    noun = basename(route)
    if noun == "budget":
        return Budget.objects.create(user=alice, amount="5")
    if noun == "rate-limit":
        return RateLimit.objects.create(user=alice, requests_per_minute=5)
    if noun == "endpoint-policy":
        return EndpointPolicy.objects.create(target="10.0.0.5")
    if noun == "audit":
        return audit.record(alice, "change", rows.provider)
    return getattr(rows, noun.replace("-", "_"))


def state_of(row: Any) -> Any:
    found = type(row)._default_manager.filter(pk=row.pk).first()
    return found and {field.attname: getattr(found, field.attname) for field in found._meta.concrete_fields}


def test_the_routes_are_all_there() -> None:
    names = {route.name for route in ROUTES}
    assert len(DETAILS) >= 14
    assert {"provider-list", "model-test-connection", "llm-registry", "settings", "usage-summary"} <= names


@pytest.mark.parametrize("route", ROUTES, ids=ids(ROUTES))
def test_every_route_declares_who_may_use_it(route: Route) -> None:
    assert isinstance(route.view.access, Access)
    assert DeclaredAccess in route.view.permission_classes
    assert route.view.access.public == (route.name in PUBLIC)


@pytest.mark.parametrize("route", CLOSED, ids=ids(CLOSED))
def test_anonymous_is_a_401_everywhere(route: Route, rows: Rows, alice: Any) -> None:
    pk = row_for(route, rows, alice).pk if route.is_detail else ""
    for caller in (Caller(), Caller(authorization="Bearer llmhub_000000000000_nothing"), Caller(**{"x-api-key": "x"})):
        for method in METHODS:
            assert caller.call(method, route.path(pk), {}).status_code == 401, method


@pytest.mark.parametrize("who", ["bob", "charlie", "admin"])
@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("route", DETAILS, ids=ids(DETAILS))
def test_another_persons_row_is_a_404_and_stays_as_it_is(
    route: Route, carrier: str, who: str, rows: Rows, alice: Any, request: pytest.FixtureRequest
) -> None:
    user = request.getfixturevalue(who)
    row = row_for(route, rows, alice)
    before = state_of(row)
    events = AuditEvent.objects.count()
    caller = CARRIERS[carrier](user)
    for method in METHODS:
        answer = caller.call(method, route.path(row.pk), {"name": "taken", "title": "taken", "enabled": False})
        if basename(route) in ADMINS_ONLY and who != "admin":
            expected = {403}
        elif method not in route.methods:
            expected = {405}
        elif who == "admin" and basename(route) in ADMINS_ONLY | {"usage"}:
            continue  # an administrator's own
        else:
            expected = {404}
        assert answer.status_code in expected, (method, answer.status_code, answer.content)
        if answer.status_code == 404:
            assert answer.json()["error"]["message"] in ("Not found.", "There is nothing at this path.")
    if who != "admin" or basename(route) not in ADMINS_ONLY:
        assert state_of(row) == before
        assert AuditEvent.objects.count() == events


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("route", READABLE, ids=ids(READABLE))
def test_the_owner_reads_their_row(route: Route, carrier: str, rows: Rows, alice: Any) -> None:
    assert CARRIERS[carrier](alice).get(route.path(row_for(route, rows, alice).pk)).status_code == 200


@pytest.mark.parametrize("who", ["bob", "charlie", "admin"])
@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("route", LISTS, ids=ids(LISTS))
def test_a_list_shows_nothing_of_anothers(
    route: Route, carrier: str, who: str, rows: Rows, request: pytest.FixtureRequest
) -> None:
    user = request.getfixturevalue(who)
    answer = CARRIERS[carrier](user).get(route.path())
    if basename_or_none(route) in ADMINS_ONLY and who != "admin":
        assert answer.status_code == 403
        return
    if route.name == "llm-prompt-pack":
        assert answer.status_code == 404
        return
    assert answer.status_code == 200, answer.content
    if who == "admin" and route.name.startswith("usage"):
        return  # an administrator sees whom calls cost
    text = answer.getvalue().decode()
    for row in (rows.provider, rows.credential, rows.model, rows.token, rows.conversation, rows.preset, rows.usage):
        assert str(row.pk) not in text
    assert "alice" not in text


def basename_or_none(route: Route) -> str:
    return basename(route) if not route.name.startswith(("llm", "settings")) else ""


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("route", SHARED, ids=ids(SHARED))
def test_a_shared_row_is_read_by_all_and_changed_by_admins_alone(
    route: Route, carrier: str, bob: Any, admin: Any
) -> None:
    noun = basename(route)
    row = getattr(make_rows(None, "shared"), noun.replace("-", "_"))
    caller, before = CARRIERS[carrier](bob), state_of(row)
    for method in sorted(route.methods):
        answer = caller.call(method, route.path(row.pk), {"enabled": False})
        assert answer.status_code == (200 if method == "GET" else 403)
    assert state_of(row) == before
    if "PATCH" in route.methods:
        body = {"description": "x"} if noun == "model" else {"enabled": False}
        assert CARRIERS[carrier](admin).patch(route.path(row.pk), body).status_code == 200


@pytest.mark.parametrize("route", CLOSED, ids=ids(CLOSED))
def test_a_token_without_a_fitting_scope_opens_nothing(route: Route, rows: Rows, admin: Any, alice: Any) -> None:
    pk = row_for(route, rows, alice).pk if route.is_detail else ""
    for method in sorted(route.methods):
        wanted = route.view.access.read if method == "GET" else route.view.access.write
        others = tuple(scope for scope in ("chat", "models", "usage", "manage") if scope not in wanted)
        answer = by_token(admin, scopes=others).call(method, route.path(pk), {})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")


@pytest.mark.parametrize("carrier", CARRIERS)
def test_someone_who_was_shut_out_is_out(rows: Rows, alice: Any, carrier: str) -> None:
    caller = CARRIERS[carrier](alice)
    assert caller.get("/api/providers/").status_code == 200
    alice.is_active = False
    alice.save()
    assert caller.get("/api/providers/").status_code == 401


def test_a_revoked_an_expired_and_a_foreign_networks_token_open_nothing(alice: Any) -> None:
    import datetime as dt

    from django.utils import timezone

    from registry.models import AccessToken

    revoked = by_token(alice)
    AccessToken.objects.get(owner=alice).revoke()
    assert revoked.get("/api/providers/").status_code == 401
    assert by_token(alice, expires_at=timezone.now() - dt.timedelta(1)).get("/api/providers/").status_code == 401
    assert by_token(alice, networks=["10.0.0.0/8"]).get("/api/providers/").status_code == 403
    assert by_token(alice, networks=["127.0.0.0/8"]).get("/api/providers/").status_code == 200
