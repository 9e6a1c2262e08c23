"""Every route of the URL conf x every role x every way to carry a credential: no cell open that is not meant to be.

Generated from the URL conf: a route that stands in no rule here fails. Pages and the admin are opened by a session
alone, REST by a session or a token in two headers, and nothing by a query string or a form field.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLResolver, get_resolver

from registry.models import SCOPES, AccessToken, User

OPEN = {"healthz", "readyz", "metrics", "login", "account_login", "account_inactive", "account_signup", "setup",
        "invitation", "schema", "docs", "mfa_authenticate", "mfa_login_webauthn", "openid_connect_login",
        "openid_connect_callback", "socialaccount_login_cancelled", "socialaccount_login_error", "logout",
        "account_logout"}  # fmt: skip
MANAGERS = {"people", "someone", "someone_sign_out", "someone_second_factor", "invitation_withdraw", "service_add",
            "service_toggle"}  # fmt: skip
ADMINS = {"start"}  # pages outside the admin site that are for administrators alone
# Whoever signed in opens these; whose row it is is asked in test_owners.py.
PAGES = {"home", "account", "password_change", "sessions", "account_reauthenticate", "socialaccount_connections",
         "mfa_index", "mfa_reauthenticate", "mfa_view_recovery_codes", "mfa_download_recovery_codes",
         "mfa_generate_recovery_codes", "mfa_activate_totp", "mfa_deactivate_totp", "mfa_list_webauthn",
         "mfa_add_webauthn", "mfa_edit_webauthn", "mfa_remove_webauthn", "mfa_reauthenticate_webauthn",
         "compare", "compare_start", "compare_results", "experiment", "experiment_vote", "experiment_delete",
         "model_first", "conversations", "conversation_rename", "conversation_export", "conversation_delete", "find",
         "keys", "key_add", "key_added", "key_models", "key_models_add", "key_test", "key_replace", "key_toggle",
         "key_delete", "provider_added", "provider_test", "provider_delete", "models", "model", "model_default",
         "model_choose", "model_options", "service", "service_token_revoke", "playground", "playground_token",
         "playground_conversations", "playground_conversation", "playground_place", "playground_drop", "tokens",
         "token_rotate", "token_revoke", "usage", "usage_export"}  # fmt: skip
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ROLES = ("viewer", "user", "manager", "admin")
UNKNOWN = "01900000-0000-7000-8000-00000000dead"


class Route(NamedTuple):
    path: str
    name: str
    kind: str  # open, page, managers, admin, api; unknown: nobody said who may open it


def routes_of(resolver: Any, before: str = "", space: str = "") -> Iterator[Route]:
    for found in resolver.url_patterns:
        pattern = before + str(found.pattern)
        if isinstance(found, URLResolver):
            yield from routes_of(found, pattern, found.namespace or space)
            continue
        name = found.name or ""
        yield Route(as_path(pattern), name, kind_of(pattern, name))


def as_path(pattern: str) -> str:
    """An address of the route, which names no row that there is."""
    text = re.sub(r"\(\?P<\w+>[^()]*(?:\([^()]*\)[^()]*)*\)", UNKNOWN, pattern)
    text = re.sub(r"<(?:uuid|path|str|slug):\w+>|<object_id>", UNKNOWN, text)
    text = re.sub(r"<int:\w+>", "999999", text)
    return "/" + text.replace("^", "").replace("\\Z", "").replace("$", "").replace("\\.", ".").replace("?", "")


def kind_of(pattern: str, name: str) -> str:
    if name in OPEN:
        return "open"
    if pattern.startswith("admin/") or name in ADMINS:
        return "admin"
    if pattern.startswith("api/"):
        return "api"
    return "managers" if name in MANAGERS else "page" if name in PAGES else "unknown"


def methods_of(route: Route) -> tuple[str, ...]:
    """The admin site takes whatever is no POST for a GET."""
    return METHODS if route.kind != "admin" else METHODS[:2]


ROUTES = sorted(set(routes_of(get_resolver())))
ids = [f"{route.kind}:{route.name or route.path}" for route in ROUTES]


def is_closed(response: Any) -> bool:
    """Refused, not there, or sent to sign in."""
    doors = ("/accounts/", "/admin/login/")
    to_sign_in = response.status_code in (301, 302) and response.get("Location", "").startswith(doors)
    return to_sign_in or response.status_code in (401, 403, 404, 405, 429)


class Undo(Exception):
    """Rolls a request back."""


def ask(client: Client, method: str, path: str, **extra: Any) -> Any:
    """The answer, with nothing changed by it."""
    kept: list[Any] = []
    try:
        with transaction.atomic():
            kept.append(client.generic(method, path, b"", content_type="application/json", **extra))
            raise Undo
    except Undo:
        return kept[0]


def carriers(token: str) -> dict[str, Client | tuple[Client, str]]:
    """Ways that tokens come in elsewhere, each on a client without a session."""
    named = ("api_key", "key", "access_token", "token")
    return {
        "bearer": Client(headers={"authorization": f"Bearer {token}"}),
        "x-api-key": Client(headers={"x-api-key": token}),
        "api-key": Client(headers={"api-key": token}),
        "x-goog-api-key": Client(headers={"x-goog-api-key": token}),
        "basic": Client(headers={"authorization": f"Basic {token}"}),
        "query": (Client(), "?" + "&".join(f"{name}={token}" for name in named)),
        "cookie": Client(headers={"cookie": "; ".join(f"{name}={token}" for name in (*named, "sessionid"))}),
    }


@pytest.fixture
def people(db: None) -> dict[str, User]:
    found = {}
    for role in ROLES:
        found[role] = User(username=role)
        found[role].give_rank(role)
        found[role].save()
    return found


def test_the_routes_are_all_there() -> None:
    assert len(ROUTES) > 250
    assert {route.kind for route in ROUTES} == {"open", "page", "managers", "admin", "api"}
    assert {route.name for route in ROUTES} | {"account_login", "account_logout"} >= OPEN | MANAGERS
    assert uuid.UUID(UNKNOWN)


def test_every_route_says_who_may_open_it() -> None:
    assert [route for route in ROUTES if route.kind == "unknown"] == []
    assert [name for name in PAGES if name not in {route.name for route in ROUTES}] == []


@pytest.mark.parametrize("method", METHODS)
def test_nobody_gets_in_anywhere(method: str, db: None) -> None:
    wrong = []
    for route in ROUTES:
        if route.kind != "open" and not is_closed(answer := ask(Client(), method, route.path)):
            wrong.append((route.path, answer.status_code))
    assert wrong == []


def test_no_carrier_but_a_session_opens_a_page_and_two_headers_alone_open_rest(people: dict[str, User]) -> None:
    _, token = AccessToken.mint(owner=people["admin"], name="all", scopes=list(SCOPES))
    wrong = []
    for carrier, made in carriers(token).items():
        client, query = made if isinstance(made, tuple) else (made, "")
        for route in ROUTES:
            if route.kind == "open" or (route.kind == "api" and carrier in ("bearer", "x-api-key")):
                continue
            for method in methods_of(route) if carrier == "bearer" else METHODS[:2]:
                answer = ask(client, method, route.path + query)
                if not is_closed(answer):
                    wrong.append((carrier, method, route.path, answer.status_code))
    assert wrong == []


@pytest.mark.parametrize("role", ["viewer", "user", "manager"])
def test_a_role_opens_what_it_should_and_no_more(role: str, people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people[role])
    cookies = dict(client.cookies)
    wrong = []
    for route in ROUTES:
        for method in methods_of(route):
            client.cookies.update(cookies)
            closed = is_closed(ask(client, method, route.path))
            meant = route.kind == "admin" or (route.kind == "managers" and role != "manager")
            if meant and not closed:
                wrong.append((method, route.path))
    assert wrong == []


def test_a_viewer_writes_nowhere_but_in_their_own_account(people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["viewer"])
    own = {"account", "password_change", "tokens", "token_revoke", "model_default", "sessions"}
    opened = set()
    for route in ROUTES:
        for method in METHODS[1:]:
            if route.kind in ("page", "managers") and not is_closed(ask(client, method, route.path)):
                opened.add(route.name)
    assert {name for name in opened if not name.startswith(("mfa_", "account_", "socialaccount_"))} <= own


@pytest.mark.parametrize("carrier", ["session", "bearer", "x-api-key"])
def test_rest_refuses_a_viewer_every_change(carrier: str, people: dict[str, User]) -> None:
    _, token = AccessToken.mint(owner=people["viewer"], name="all", scopes=list(SCOPES))
    client = Client() if carrier == "session" else carriers(token)[carrier]
    assert isinstance(client, Client)
    if carrier == "session":
        client.force_login(people["viewer"])
    wrong = []
    for route in ROUTES:
        if route.kind != "api" or route.name == "llm-recommend":  # asks by POST, and changes nothing
            continue
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = ask(client, method, route.path)
            if not is_closed(answer):
                wrong.append((method, route.path, answer.status_code))
    assert wrong == []
