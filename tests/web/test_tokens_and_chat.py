"""Tokens, the playground's own token and its threads, conversations, models and usage by their pages."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from typing import Any

import pytest
from django.utils import timezone

from registry.access.people import token_entry
from registry.access.tokens import verify
from registry.models import AccessToken, AuditEvent, Conversation, LLMModel, Message, ModelAccess, UsageRecord
from tests.web.conftest import signed_in

TOKEN = {"name": "laptop", "scopes": ["chat"], "expires": "30"}


def test_a_token_is_shown_once_with_snippets(alice: Any, stub: LLMModel) -> None:
    client = signed_in(alice)
    page = client.post("/tokens/", {**TOKEN, "requests_per_minute": "5", "allowed_models": "stub\n\nstub\n"})
    plaintext = page.context["plaintext"]
    token = AccessToken.objects.get(owner=alice)
    assert (token.scopes, token.requests_per_minute, token.allowed_models) == (["chat"], 5, ["stub"])
    assert token.expires_at and dt.timedelta(29) < token.expires_at - timezone.now() < dt.timedelta(30)
    text = page.content.decode()
    assert plaintext in text and "http://testserver/v1" in text and "http://testserver&quot;" in text
    assert plaintext not in client.get("/tokens/").content.decode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""}, {"name": "x" * 200}, {"scopes": []}, {"scopes": ["root"]}, {"expires": "1000000"},
        {"expires": ""}, {"requests_per_minute": "-1"}, {"tokens_per_minute": "NaN"}, {"concurrency": "9" * 30},
        {"name": "a\x00b"},
    ],
)  # fmt: skip
def test_a_token_that_makes_no_sense_is_refused(alice: Any, wrong: dict[str, Any]) -> None:
    response = signed_in(alice).post("/tokens/", {**TOKEN, **wrong})
    assert response.status_code == 200
    assert not AccessToken.objects.exists()


def test_a_token_is_revoked(alice: Any) -> None:
    token, _ = AccessToken.mint(owner=alice, name="old")
    client = signed_in(alice)
    assert client.post(f"/tokens/{token.pk}/revoke/").status_code == 302
    token.refresh_from_db()
    assert not token.is_live
    assert "revoked" in client.get("/tokens/").content.decode()


def test_a_token_gets_a_new_secret_that_is_shown_once_while_the_old_one_opens_for_a_day(alice: Any, bob: Any) -> None:
    token, old = AccessToken.mint(owner=alice, name="laptop")
    assert signed_in(bob).post(f"/tokens/{token.pk}/rotate/").status_code == 404
    client = signed_in(alice)
    answer = client.post(f"/tokens/{token.pk}/rotate/")
    found = re.search(r'id="plaintext">(llmhub_[^<]+)<', answer.content.decode())
    assert answer.status_code == 200 and answer["Cache-Control"].find("no-store") >= 0 and found
    entry = token_entry(AccessToken.objects.get(pk=token.pk))
    assert verify(entry, found[1]) and verify(entry, old) and found[1] != old
    assert dt.timedelta(hours=23) < dt.timedelta(seconds=entry.old_digest_until - time.time()) <= dt.timedelta(days=1)
    assert found[1] not in client.get("/tokens/").content.decode()
    event = AuditEvent.objects.get(action="rotate", row=token.pk)
    assert found[1] not in f"{event.before}{event.after}"
    token.revoke()
    assert client.post(f"/tokens/{token.pk}/rotate/")["Location"] == "/tokens/"
    assert AccessToken.objects.get(pk=token.pk).digest == entry.digest


def test_the_playgrounds_token_is_short_lived_scoped_and_not_listed(alice: Any) -> None:
    client = signed_in(alice)
    answer = client.post("/playground/token/").json()
    token = AccessToken.objects.get(owner=alice)
    assert token.session and set(token.scopes) == {"chat", "models"}
    assert dt.datetime.fromisoformat(answer["expires_at"]) == token.expires_at
    assert token.expires_at and token.expires_at - timezone.now() <= dt.timedelta(minutes=10)
    assert token.prefix not in client.get("/tokens/").content.decode()
    assert client.post(f"/tokens/{token.pk}/revoke/").status_code == 404


def settings_of(model: LLMModel, /, **changes: Any) -> dict[str, Any]:
    return {"model": str(model.pk), "title": "T", "system_prompt": "", "temperature": "", "max_tokens": ""} | changes


def test_a_conversation_begins_and_takes_new_settings(alice: Any, stub: LLMModel) -> None:
    client = signed_in(alice)
    made = client.post("/playground/conversations/", settings_of(stub, temperature="0.5", system_prompt=" Be brief\n"))
    row = Conversation.objects.get()
    assert (row.owner, row.llm_model, row.params) == (alice, stub, {"temperature": 0.5})
    assert row.system_prompt == " Be brief\n"
    change = settings_of(stub, title="", max_tokens="99")
    assert client.post(f"/playground/conversations/{row.pk}/", change).status_code == 200
    row.refresh_from_db()
    assert (row.title, row.params) == ("T", {"max_tokens": 99})
    assert 'value="99"' in client.get(made.json()["url"]).content.decode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "nope"}, {"model": ""}, {"temperature": "NaN"}, {"temperature": "3"}, {"temperature": "inf"},
        {"max_tokens": "-1"}, {"max_tokens": "1.5"}, {"title": "x" * 201}, {"system_prompt": "x" * 100_001},
        {"title": "\x00"}, {"system_prompt": "a\x00"},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_keep_nothing(alice: Any, stub: LLMModel, wrong: dict[str, str]) -> None:
    response = signed_in(alice).post("/playground/conversations/", settings_of(stub, **wrong))
    assert response.status_code == 400 and response.json()["error"]["message"]
    assert not Conversation.objects.exists()


def test_a_model_one_may_not_use_is_refused(charlie: Any, alice: Any, stub: LLMModel) -> None:
    own = LLMModel.objects.create(owner=alice, provider=stub.provider, model_id="x", name="x")
    assert signed_in(charlie).post("/playground/conversations/", settings_of(own)).status_code == 400
    assert signed_in(charlie).post(f"/models/{own.pk}/default/").status_code == 404


def test_dropping_a_turn_drops_question_and_answer_of_that_call(alice: Any, conversation: Conversation) -> None:
    client = signed_in(alice)
    url = f"/playground/conversations/{conversation.pk}/drop/"
    assert client.post(url, {"request_id": "req_other"}).json() == {"dropped": 0}
    assert client.post(url, {}).status_code == 400
    assert client.post(url, {"request_id": "req_1"}).json() == {"dropped": 2}
    assert not Message.objects.exists()


def test_a_threads_text_reaches_the_page_as_text(alice: Any, conversation: Conversation) -> None:
    Message.objects.create(conversation=conversation, role="assistant", content="</div><script>alert(1)</script>")
    text = signed_in(alice).get(f"/playground/?conversation={conversation.pk}").content.decode()
    assert "\\u003Cscript\\u003Ealert(1)" in text and "<script>alert(1)" not in text
    assert "Be brief." in text


def test_conversations_are_found_renamed_exported_and_deleted(alice: Any, conversation: Conversation) -> None:
    client = signed_in(alice)
    assert "Alice asks" in client.get("/conversations/?q=price+class").content.decode()
    assert "Nothing found" in client.get("/conversations/?q=zebra").content.decode()
    client.post(f"/conversations/{conversation.pk}/rename/", {"title": "New\x00 name"})
    conversation.refresh_from_db()
    assert conversation.title == "New name"
    exported = client.get(f"/conversations/{conversation.pk}/export/")
    assert 'filename="new-name.json"' in exported["Content-Disposition"]
    roles = [message["role"] for message in json.loads(exported.content)["messages"]]
    assert roles == ["system", "user", "assistant"]
    client.post(f"/conversations/{conversation.pk}/delete/")
    assert not Conversation.objects.exists()


def names(client: Any, query: str) -> set[str]:
    return {choice.model.name for choice in client.get(f"/models/?{query}").context["choices"]}


def test_models_are_narrowed(alice: Any, stub: LLMModel, openai: Any) -> None:
    client = signed_in(alice)
    both = {"stub", "gpt-6-luna"}
    assert names(client, "") == both
    assert names(client, "q=LUNA") == names(client, "q=gpt+openai") == names(client, "q=fast") == {"gpt-6-luna"}
    assert (
        names(client, "tier=economy") == names(client, "tag=fast") == names(client, "can_tools=yes") == {"gpt-6-luna"}
    )
    assert names(client, "can_vision=yes") == set() == names(client, "owned=own") == names(client, "q=%25")
    assert names(client, f"provider={openai.pk}") == {"gpt-6-luna"}
    for nonsense in ("tier=nope", "provider=nope", "can_tools=x'", "owned=all", "page=999", "page=x"):
        assert names(client, nonsense) == both
    assert "$0.10 in · $0.50 out" in client.get("/models/?q=luna").content.decode()


def test_a_model_kept_for_a_group_is_not_listed(alice: Any, stub: LLMModel, django_user_model: Any) -> None:
    from django.contrib.auth.models import Group

    group = Group.objects.create(name="research")
    ModelAccess.objects.create(model=stub, group=group)
    assert names(signed_in(alice), "") == set()
    alice.groups.add(group)
    assert names(signed_in(alice), "") == {"stub"}


def test_a_default_is_kept_and_the_playground_starts_with_it(alice: Any, stub: LLMModel, openai: Any) -> None:
    client = signed_in(alice)
    luna = LLMModel.objects.get(name="gpt-6-luna")
    assert client.get("/playground/").context["choice"].model == stub
    client.post(f"/models/{luna.pk}/default/")
    assert client.get("/playground/").context["choice"].model == luna
    assert client.get(f"/playground/?model={stub.pk}").context["choice"].model == stub
    assert client.get("/playground/?model=nonsense").context["choice"].model == luna


def test_pages_say_what_to_do_when_there_is_nothing(charlie: Any) -> None:
    client = signed_in(charlie)
    for path, words in (
        ("/", "Three steps"), ("/models/", "No models yet"), ("/keys/", "No key of your own yet"),
        ("/usage/", "No calls"), ("/tokens/", "No token yet"), ("/conversations/", "No conversations yet"),
        ("/playground/", "no model to talk to"),
        ("/compare/", "Choose a model"), ("/models/options/", "No model is ready"),
    ):  # fmt: skip
        assert words in client.get(path).content.decode(), path


def test_an_unknown_cost_is_not_shown_as_nothing(alice: Any) -> None:
    UsageRecord.objects.create(request_id="r", user=alice, model_name="m", state="error", created_at=timezone.now())
    text = signed_in(alice).get("/usage/").content.decode()
    assert "unknown" in text and "not reported" in text
