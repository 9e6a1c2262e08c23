"""Every route of the lane x who asks x how they come in x whose model it is: no cell open that is not meant to be."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from registry.gateway.app import ROUTES
from registry.models import SCOPES, AccessToken, Conversation, LLMModel, User
from tests.gateway.conftest import Hub, make_provider, make_someone, wait_for
from tests.upstream import Upstream

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SHOWN = "/v1/models/{id}"
# What a call says, by route; a new route has to be added here.
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/embeddings": {"input": "hi"},
    "/v1/images/generations": {"prompt": "hi"},
    "/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5},
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses": {"input": "hi"},
    "/api/llm/chat": {"messages": [{"role": "user", "content": "hi"}]},
    "/api/llm/resolve": {},
    "/api/llm/test-call": {"messages": [{"role": "user", "content": "hi"}]},
}
LISTS = {"/v1/models"}
CALLS = sorted(BODIES)
# These answer 200 with the reason why nothing was found, and with the stub's echo where no provider is named.
EXPLAINS = {"/api/llm/resolve": '"candidates":[]', "/api/llm/test-call": "hi"}
CARRIERS = ("bearer", "x-api-key", "api-key", "x-goog-api-key")
NO_CARRIERS = ("basic", "query", "cookie", "form")


def carried(carrier: str, token: str) -> dict[str, Any]:
    match carrier:
        case "bearer":
            return {"headers": {"authorization": f"Bearer {token}"}}
        case "basic":
            return {"headers": {"authorization": f"Basic {token}"}}
        case "query":
            return {"params": dict.fromkeys(("key", "api_key", "access_token", "token"), token)}
        case "cookie":
            return {"headers": {"cookie": f"sessionid={token}; token={token}; api_key={token}"}}
        case "form":
            return {"headers": {"content-type": "application/x-www-form-urlencoded", "token": token}}
    return {"headers": {carrier: token}}


def call(hub: httpx.Client, route: str, model: Any = "nothing", method: str = "", **how: Any) -> httpx.Response:
    method = method or next(iter(ROUTES.get(route, {"GET": None})))
    body = BODIES.get(route, {}) | {"model": str(model)} if method == "POST" else None
    return hub.request(method, route.replace("{id}", str(model)), json=body, **how)


def is_unknown(route: str, answer: httpx.Response) -> bool:
    """The model is not there for this caller."""
    if route in EXPLAINS:
        return answer.status_code == 200 and EXPLAINS[route] in answer.text
    return answer.status_code in (403, 404)


@pytest.fixture(scope="module")
def lane(hub: Hub) -> Iterator[httpx.Client]:
    with hub.client() as client:
        yield client


@pytest.fixture
def alices_model(upstream: Upstream) -> Iterator[tuple[LLMModel, dict[str, str]]]:
    """A model of alice's own, and the tokens of its owner, a colleague and a stranger."""
    people = {name: make_someone(name, scopes=list(SCOPES)) for name in ("alice", "bob", "charlie")}
    team = Group.objects.create(name="team")
    people["alice"].user.groups.add(team)
    people["bob"].user.groups.add(team)
    provider = make_provider(upstream, "alices", adapter="stub", owner=people["alice"].user, auth_type="none")
    model = LLMModel.objects.create(
        provider=provider, owner=people["alice"].user, name="alices-own", model_id="stub", is_default=False
    )
    yield model, {name: someone.token for name, someone in people.items()}
    team.delete()


def test_every_route_of_the_lane_is_in_the_matrix() -> None:
    assert set(ROUTES) == set(BODIES) | LISTS
    assert all(len(methods) == 1 for methods in ROUTES.values())


def test_nothing_opens_without_a_token_or_by_another_way_to_carry_one(lane: httpx.Client) -> None:
    token = make_someone("dora", scopes=list(SCOPES)).token
    wrong = []
    for route in (*ROUTES, SHOWN):
        for method in METHODS:
            expected = 401 if method in ROUTES.get(route, {"GET": None}) else 405
            wrong_tokens = (carried(carrier, "llmhub_000000000000_x") for carrier in CARRIERS)
            for how in ({}, *wrong_tokens):
                status = call(lane, route, method=method, **how).status_code
                wrong += [] if status == expected else [(route, method, how, status)]
        for carrier in NO_CARRIERS:
            status = call(lane, route, **carried(carrier, token)).status_code
            wrong += [] if status == 401 else [(route, carrier, status)]
    assert wrong == []


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_model_is_its_owners_alone_on_every_route(
    lane: httpx.Client, alices_model: tuple[LLMModel, dict[str, str]], carrier: str
) -> None:
    model, tokens = alices_model
    mine = carried(carrier, tokens["alice"])
    wait_for(lambda: call(lane, SHOWN, model.pk, **mine).status_code, lambda status: status == 200)
    listed = call(lane, "/v1/models", **mine).text
    assert "alices-own" in listed
    wrong = []
    for route in CALLS:
        for name in (model.name, model.pk):
            owners = call(lane, route, name, **mine)
            if owners.status_code in (401, 403, 404) or "not_found" in owners.text:
                wrong.append(("alice", route, owners.status_code, owners.text[:200]))
    for other in ("bob", "charlie"):
        theirs = carried(carrier, tokens[other])
        assert "alices-own" not in call(lane, "/v1/models", **theirs).text
        for route in (*CALLS, SHOWN):
            for name in (model.name, model.pk):
                answer = call(lane, route, name, **theirs)
                if not is_unknown(route, answer):
                    wrong.append((other, route, answer.status_code, answer.text[:200]))
                assert "alices" not in answer.text.replace("alices-own", "")
    assert wrong == []


def test_a_conversation_of_somebody_else_is_not_there(
    lane: httpx.Client, alices_model: tuple[LLMModel, dict[str, str]]
) -> None:
    model, tokens = alices_model
    row = Conversation.objects.create(owner=User.objects.get(username="alice"), title="t", llm_model=model)
    for other in ("bob", "charlie"):
        how = carried("bearer", tokens[other])
        how["headers"]["x-llmhub-conversation"] = str(row.pk)
        for route in ("/v1/chat/completions", "/v1/messages", "/v1/responses"):
            assert call(lane, route, "alices-own", **how).status_code == 404
    assert not row.messages.exists()


@pytest.mark.parametrize("kind", ["revoked", "expired", "elsewhere", "inactive", "scopeless", "other models"])
def test_a_token_that_does_not_fit_opens_no_route(
    lane: httpx.Client, alices_model: tuple[LLMModel, dict[str, str]], kind: str
) -> None:
    model, _ = alices_model
    alice = User.objects.get(username="alice")
    fields: dict[str, Any] = {"scopes": list(SCOPES)}
    fields |= {
        "expired": {"expires_at": timezone.now() - dt.timedelta(seconds=1)},
        "elsewhere": {"networks": ["10.0.0.0/8"]},
        "scopeless": {"scopes": ["manage"]},
        "other models": {"allowed_models": ["another"]},
    }.get(kind, {})
    row, token = AccessToken.mint(owner=alice, name=kind, **fields)
    if kind == "revoked":
        row.revoke()
    if kind == "inactive":
        alice.is_active = False
        alice.save()
    expected = {
        "revoked": 401,
        "expired": 401,
        "inactive": 401,
        "elsewhere": 403,
        "scopeless": 403,
        "other models": 404,
    }
    how = carried("bearer", token)
    wrong = []
    wait_for(lambda: call(lane, SHOWN, model.pk, **how).status_code, lambda status: status == expected[kind])
    for route in (*CALLS, SHOWN):
        answer = call(lane, route, model.pk, **how)
        if not (is_unknown(route, answer) if kind == "other models" else answer.status_code == expected[kind]):
            wrong.append((route, answer.status_code, answer.text[:200]))
    assert wrong == []


@pytest.mark.parametrize(
    "headers", [{f"x-{number}": "x" for number in range(500)}, {"x-long": "x" * 1_000_000}], ids=["many", "long"]
)
def test_headers_without_end_are_refused_before_anything_looks_at_them(
    hub: Hub, lane: httpx.Client, headers: dict[str, str]
) -> None:
    with hub.client() as other:
        try:
            assert other.get("/v1/models", headers=headers).status_code == 431
        except httpx.TransportError:
            pass  # the server may hang up on whoever is still sending
    assert call(lane, "/v1/models").status_code == 401
