"""Adding, testing, replacing, turning off and deleting keys by the pages' forms."""

from __future__ import annotations

from typing import Any

import pytest

from registry.models import Audience, AuditEvent, Credential, EndpointPolicy, LLMModel, Provider, UserSettings
from tests.upstream import Upstream, json_answer
from tests.web.conftest import PLANTED, signed_in


def test_a_key_from_a_template_brings_its_models(alice: Any) -> None:
    client = signed_in(alice)
    response = client.post("/keys/add/?template=openai", {"api_key": f"  {PLANTED}\n", "name": "My OpenAI"})
    credential = Credential.objects.get()
    assert response["Location"] == f"/keys/{credential.pk}/added/"
    assert credential.owner == alice and credential.provider.owner == alice
    assert credential.reveal(credential.owner_id).api_key == PLANTED
    assert LLMModel.objects.usable_by(alice).count() == credential.provider.models.count() > 0
    assert PLANTED not in client.get(response["Location"]).content.decode()
    assert AuditEvent.objects.filter(action="create", actor=alice, row=credential.pk).exists()


def test_a_key_for_a_provider_of_the_hub_makes_no_second_provider(alice: Any, openai: Provider) -> None:
    client = signed_in(alice)
    assert client.post(f"/keys/add/?provider={openai.pk}", {"api_key": PLANTED}).status_code == 302
    assert Provider.objects.get() == openai
    again = client.post(f"/keys/add/?provider={openai.pk}", {"api_key": PLANTED})
    assert again.status_code == 200 and "label already" in again.content.decode()
    assert client.post(f"/keys/add/?provider={openai.pk}", {"api_key": PLANTED, "label": "two"}).status_code == 302


def test_only_an_administrator_makes_a_key_everybodys(alice: Any, admin: Any, openai: Provider) -> None:
    signed_in(alice).post(f"/keys/add/?provider={openai.pk}", {"api_key": PLANTED, "everyone": "on"})
    assert Credential.objects.get().owner == alice
    signed_in(admin).post(f"/keys/add/?provider={openai.pk}", {"api_key": PLANTED, "everyone": "on"})
    assert Credential.objects.filter(owner=None).count() == 1


def test_the_first_shared_key_opens_a_waiting_provider(admin: Any, openai: Provider) -> None:
    Provider.objects.update(enabled=False)
    LLMModel.objects.update(enabled=False)
    signed_in(admin).post("/keys/add/?template=openai", {"api_key": PLANTED, "name": "OpenAI", "everyone": "on"})
    openai.refresh_from_db()
    assert Provider.objects.count() == 1 and openai.enabled
    assert LLMModel.objects.usable_by(admin).exists()


@pytest.mark.parametrize("key", ["", "   ", "two words", "line\nbreak", "sk-\x00", "sk-ü", "k" * 5000])
def test_a_key_that_can_be_none_is_refused_and_not_shown_again(alice: Any, openai: Provider, key: str) -> None:
    response = signed_in(alice).post(f"/keys/add/?provider={openai.pk}", {"api_key": key})
    assert response.status_code == 200
    assert not Credential.objects.exists()
    assert not key.strip() or key not in response.content.decode()


@pytest.mark.parametrize(
    "base_url", ["", "ftp://host/v1", "https://user:secret@host/v1", "not a url", "http://[::1", "https://host/\x00"]
)
def test_an_address_that_can_be_none_is_refused_whole(alice: Any, base_url: str) -> None:
    data = {"api_key": PLANTED, "name": "Mine", "base_url": base_url, "model_names": "m"}
    response = signed_in(alice).post("/keys/add/?template=openai-compatible", data)
    assert response.status_code == 200
    assert not Provider.objects.exists() and not Credential.objects.exists() and not LLMModel.objects.exists()
    assert PLANTED not in response.content.decode()


@pytest.mark.parametrize("query", ["template=nope", "template=stub", "provider=nope", "provider=" + "0" * 32])
def test_a_choice_that_is_none_is_not_found(alice: Any, query: str) -> None:
    assert signed_in(alice).get(f"/keys/add/?{query}").status_code == 404


def test_a_key_is_not_added_to_anothers_provider(charlie: Any, alice: Any) -> None:
    own = Provider.objects.create(owner=alice, slug="p", name="P", adapter="groq", base_url="https://x.test/v1")
    assert signed_in(charlie).post(f"/keys/add/?provider={own.pk}", {"api_key": PLANTED}).status_code == 404


@pytest.fixture
def loopback(admin: Any) -> Any:
    """A global provider at a real server on loopback, which a policy opens, and the administrator's key for it."""
    EndpointPolicy.objects.create(target="127.0.0.1", audience=Audience.ADMINS)
    with Upstream() as upstream:
        provider = Provider.objects.create(
            slug="loop", name="Loop", adapter="openai_compatible", base_url=f"{upstream.base_url}/v1"
        )
        credential = Credential(provider=provider, owner=None)
        credential.set_secret(PLANTED)
        yield upstream, credential


def test_a_test_says_what_came_back(admin: Any, loopback: Any) -> None:
    upstream, credential = loopback
    upstream.on("GET", "/v1/models", json_answer({"data": [{"id": "a"}, {"id": "b"}]}))
    client = signed_in(admin)
    part = client.post(f"/keys/{credential.pk}/test/", headers={"HX-Request": "true"}).content.decode()
    assert "Loop answers. It lists 2 models." in part and "<html" not in part
    page = client.post(f"/keys/{credential.pk}/test/", follow=True).content.decode()
    assert "Loop answers." in page and "<html" in page
    assert upstream.requests[0].headers["authorization"] == f"Bearer {PLANTED}"


def test_a_refused_key_is_said_in_plain_words_and_marked(admin: Any, loopback: Any) -> None:
    upstream, credential = loopback
    upstream.on("GET", "/v1/models", json_answer({"error": {"message": f"bad {PLANTED}"}}, status=401))
    part = signed_in(admin).post(f"/keys/{credential.pk}/test/", headers={"HX-Request": "true"}).content.decode()
    assert "whole key was copied" in part and PLANTED not in part
    listed = signed_in(admin).get("/keys/").content.decode()
    assert "refused by the provider" in listed and PLANTED not in listed


def test_replacing_a_key_destroys_the_old_one(alice: Any, key: Credential) -> None:
    client = signed_in(alice)
    assert client.post(f"/keys/{key.pk}/replace/", {"api_key": "sk-new-0123456789-abcdef-NEWK"}).status_code == 302
    key.refresh_from_db()
    assert (key.reveal(key.owner_id).api_key[-4:], key.last_four) == ("NEWK", "NEWK")


def test_a_key_is_turned_off_and_on(alice: Any, key: Credential) -> None:
    client = signed_in(alice)
    part = client.post(f"/keys/{key.pk}/toggle/", headers={"HX-Request": "true"}).content.decode()
    assert "Turn on" in part
    key.refresh_from_db()
    assert not key.enabled
    client.post(f"/keys/{key.pk}/toggle/")
    key.refresh_from_db()
    assert key.enabled


def test_deleting_asks_first(alice: Any, key: Credential) -> None:
    client = signed_in(alice)
    assert "be undone" in client.get(f"/keys/{key.pk}/delete/").content.decode()
    assert Credential.objects.exists()
    assert client.post(f"/keys/{key.pk}/delete/").status_code == 302
    assert not Credential.objects.exists()


def test_ones_own_provider_goes_with_its_keys_and_models_and_the_hubs_stays(alice: Any, openai: Provider) -> None:
    client = signed_in(alice)
    client.post("/keys/add/?template=groq", {"api_key": PLANTED, "name": "Groq"})
    own = Provider.objects.get(owner=alice)
    assert client.post(f"/keys/providers/{own.pk}/delete/").status_code == 302
    assert not Credential.objects.exists() and not LLMModel.objects.filter(owner=alice).exists()
    assert client.post(f"/keys/providers/{openai.pk}/delete/").status_code == 404


def test_who_pays_is_kept_and_shown_at_the_models(alice: Any, key: Credential, shared_key: Credential) -> None:
    client = signed_in(alice)
    assert "your key" in client.get("/models/").content.decode()
    assert client.post("/keys/", {"key_policy": "shared_only"}).status_code == 302
    assert "shared key" in client.get("/models/").content.decode()
    assert client.post("/keys/", {"key_policy": "nobody"}).status_code == 200
    assert UserSettings.objects.get(user=alice).key_policy == "shared_only"


def test_anothers_key_never_pays(charlie: Any, admin: Any, key: Credential) -> None:
    for user in (charlie, admin):
        assert "add a key" in signed_in(user).get("/models/").content.decode()
