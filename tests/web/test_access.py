"""Every page as its owner, a stranger and nobody; forgery, the content policy, secrets and the number of queries."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from registry.models import AccessToken, Conversation, Credential, Experiment, LLMModel, Provider, UsageRecord
from registry.web import account_urls
from registry.web.urls import urlpatterns
from tests.web.conftest import PLANTED, signed_in

OPEN = {"login", "setup", "logout"}
# Accounts, people and service accounts are in the matrix of all routes (tests/matrix), with the roles that open them.
ELSEWHERE = {str(route.name) for route in account_urls.urlpatterns} | {"sessions", "start"}
ELSEWHERE |= {str(route.name) for route in urlpatterns if str(route.pattern).startswith(("people/", "invitation/"))}
ROUTES = {str(route.name) for route in urlpatterns} - ELSEWHERE
WITH_ROW = {str(route.name) for route in urlpatterns if "pk" in str(route.pattern)} - ELSEWHERE
PAGES = (
    "home", "playground", "conversations", "compare", "models", "model_options", "model_choose", "keys", "key_add",
    "tokens", "usage", "model", "experiment", "compare_results",
    "find", "account", "password_change",
)  # fmt: skip
POST_ONLY = (
    "playground_token", "playground_conversations", "playground_conversation", "playground_drop", "conversation_rename",
    "key_test", "key_toggle", "provider_test", "token_revoke", "model_default",
    "playground_place", "compare_start", "experiment_vote", "model_first",
)  # fmt: skip


@pytest.fixture
def rows(alice: Any, key: Credential, conversation: Conversation, stub: LLMModel) -> dict[str, Any]:
    """The row in each route that names one, by the first word of the route's name. All are Alice's own."""
    own = Provider.objects.create(
        owner=alice, slug="groq", name="Alice's Groq", adapter="groq", base_url="https://api.groq.com/openai/v1"
    )
    model = LLMModel.objects.create(owner=alice, provider=own, model_id="oss", name="groq/oss")
    token, _ = AccessToken.mint(owner=alice, name="laptop")
    experiment = Experiment.objects.create(owner=alice, conversation=conversation, prompt="Which?")
    return {
        "experiment": experiment,
        "key": key,
        "conversation": conversation,
        "provider": own,
        "token": token,
        "model": model,
    }


def url_of(name: str, rows: dict[str, Any]) -> str:
    kind = {
        "playground_conversation": "conversation",
        "playground_drop": "conversation",
        "playground_place": "conversation",
    }.get(name, name.split("_")[0])
    return reverse(name, args=[rows[kind].pk]) if name in WITH_ROW else reverse(name)


def test_nobody_is_sent_to_the_sign_in_page(rows: dict[str, Any]) -> None:
    """All routes but signing in itself; a wrong method may be refused before anybody asks who it is."""
    astray = {}
    for name in ROUTES - OPEN:
        for method in ("get", "post"):
            response = getattr(Client(), method)(url_of(name, rows))
            redirected = response.status_code == 302 and response["Location"].startswith("/accounts/login/?next=")
            if not redirected and response.status_code != 405:
                astray[name, method] = response.status_code
    assert astray == {}


def test_a_page_opens_for_its_owner_and_is_not_cached(alice: Any, rows: dict[str, Any]) -> None:
    client = signed_in(alice)
    for name in PAGES:
        response = client.get(url_of(name, rows))
        assert (name, response.status_code) == (name, 200)
        assert "no-store" in response["Cache-Control"]


def test_a_strangers_row_is_not_there(charlie: Any, admin: Any, rows: dict[str, Any]) -> None:
    found = {}
    for user in (charlie, admin):
        client = signed_in(user)
        for name in WITH_ROW:
            answers = {client.get(url_of(name, rows)).status_code, client.post(url_of(name, rows)).status_code}
            if not answers <= {404, 405} or 404 not in answers:
                found[str(user), name] = answers
    assert found == {}


def test_a_strangers_conversation_does_not_open_in_the_playground(charlie: Any, conversation: Conversation) -> None:
    client = signed_in(charlie)
    assert client.get(f"/playground/?conversation={conversation.pk}").status_code == 404
    assert client.get("/playground/?conversation=nonsense").status_code == 404


def test_lists_hold_nothing_of_others(charlie: Any, alice: Any, rows: dict[str, Any]) -> None:
    UsageRecord.objects.create(
        request_id="req_2", user=alice, model_name="alices-model", created_at=rows["token"].created_at
    )
    client = signed_in(charlie)
    text = "".join(client.get(url_of(name, rows)).content.decode() for name in PAGES)
    for planted in ("Alice asks", "groq/oss", "alices-model", rows["token"].prefix):
        assert planted not in text


def test_what_changes_something_takes_no_get(alice: Any, rows: dict[str, Any]) -> None:
    client = signed_in(alice)
    assert {name: client.get(url_of(name, rows)).status_code for name in POST_ONLY} == dict.fromkeys(POST_ONLY, 405)


def test_a_forged_post_is_refused(alice: Any, rows: dict[str, Any]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    names = (
        *POST_ONLY,
        "keys",
        "key_add",
        "key_delete",
        "key_replace",
        "provider_delete",
        "tokens",
        "logout",
        "account",
    )
    assert {name: client.post(url_of(name, rows)).status_code for name in names} == dict.fromkeys(names, 403)


def test_pages_allow_no_foreign_and_no_inline_script(alice: Any, rows: dict[str, Any]) -> None:
    client = signed_in(alice)
    for name in (*PAGES, "login"):
        response = (Client() if name == "login" else client).get(url_of(name, rows))
        policy = response["Content-Security-Policy"]
        assert "script-src 'self'" in policy and "unsafe" not in policy
        text = response.content.decode()
        assert not any(inline in text for inline in (" style=", "<style", " onclick=", "javascript:")), name
        heads = [part.split(">")[0] for part in text.split("<script")[1:]]
        assert all("src=" in head or 'type="application/json"' in head for head in heads), name
        assert not any(f'{attribute}="http' in text for attribute in ("src", "action", "hx-get", "hx-post")), name


def test_no_page_shows_a_stored_key(alice: Any, admin: Any, shared_key: Credential, rows: dict[str, Any]) -> None:
    bodies = [signed_in(user).get(url_of(name, rows)).content.decode() for user in (alice, admin) for name in PAGES]
    client = signed_in(alice)
    bodies += [client.get(url_of(name, rows)).content.decode() for name in ("key_added", "key_replace", "key_delete")]
    assert not any(PLANTED in body or PLANTED[:-4] in body for body in bodies)
    assert any(PLANTED[-4:] in body for body in bodies)


@pytest.mark.parametrize(
    "name", ["models", "model_options", "model_choose", "keys", "conversations", "tokens", "usage", "home"]
)
def test_queries_do_not_grow_with_rows(name: str, alice: Any, rows: dict[str, Any], openai: Any) -> None:
    client = signed_in(alice)

    def count() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert client.get(url_of(name, rows)).status_code == 200
        return len(seen)

    UsageRecord.objects.create(request_id="first", user=alice, created_at=rows["token"].created_at)
    before = count()
    for number in range(4):
        AccessToken.mint(owner=alice, name=f"t{number}")
        Credential(provider=openai, owner=alice, label=f"k{number}").set_secret(f"sk-more-0123456789-{number}")
        Conversation.objects.create(owner=alice, title=f"c{number}")
        LLMModel.objects.create(provider=openai, model_id=f"m{number}", name=f"m{number}")
        UsageRecord.objects.create(request_id=f"r{number}", user=alice, created_at=rows["token"].created_at)
    assert count() <= before <= 14
