"""Single sign-on against a real issuer on loopback: who comes in, and every answer that must not be believed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount, SocialToken
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client

from llmhub.accounts import oidc_providers
from registry.models import User
from tests.web.issuer import CLIENT_ID, CLIENT_SECRET, Issuer
from tests.web.test_people import link_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def issuer(settings: Any) -> Iterator[Issuer]:
    with Issuer() as running:
        settings.LLMHUB_PRIVATE_ENDPOINTS = [f"127.0.0.1:{running.port}"]
        settings.SOCIALACCOUNT_PROVIDERS = oidc_providers(
            running.url, CLIENT_ID, CLIENT_SECRET, "Acme", ["openid", "profile", "email"]
        )
        settings.LLMHUB_OIDC_SIGN_UP = True
        yield running


def go(client: Client, path: str = "/accounts/oidc/login/") -> str:
    """Off to the issuer; answers where it would have the browser go."""
    response = client.post(path)
    assert response.status_code == 302, response.content
    location: str = response["Location"]
    return location


def sign_on(client: Client, issuer: Issuer, path: str = "/accounts/oidc/login/") -> Any:
    return client.get(issuer.authorize(go(client, path)))


def is_in(client: Client) -> bool:
    return bool(client.get("/").status_code == 200)


def test_the_code_flow_signs_on_with_pkce_state_and_nonce(issuer: Issuer, settings: Any) -> None:
    client = Client()
    assert sign_on(client, issuer)["Location"] == "/"
    assert is_in(client)
    ada = User.objects.get(username="ada")
    assert (ada.rank, ada.has_usable_password()) == ("user", False)
    again = Client()
    sign_on(again, issuer)
    assert is_in(again) and User.objects.count() == 1
    assert not SocialToken.objects.exists()  # what the issuer gave is not kept
    assert {path for path, _ in issuer.seen} == {"/.well-known/openid-configuration", "/token", "/userinfo", "/keys"}


def test_the_sign_in_page_offers_it_and_takes_a_post(issuer: Issuer) -> None:
    assert 'action="/accounts/oidc/login/"' in Client().get("/accounts/login/").content.decode()
    response = Client(enforce_csrf_checks=True).post("/accounts/oidc/login/")
    assert response.status_code == 403
    assert Client().get("/accounts/other/login/").status_code == 404


def test_a_stranger_needs_an_invitation_where_not_everybody_may_come(issuer: Issuer, settings: Any, admin: Any) -> None:
    settings.LLMHUB_OIDC_SIGN_UP = False
    client = Client()
    assert "invitation" in sign_on(client, issuer).content.decode()
    assert not is_in(client) and not SocialAccount.objects.exists()
    client.get(link_for(admin, rank="viewer"))
    assert sign_on(client, issuer)["Location"] == "/"
    assert is_in(client) and User.objects.get(username="ada").rank == "viewer"
    issuer.subject, issuer.username = "subject-2", "eve"
    assert not is_in(other := Client()) and "invitation" in sign_on(other, issuer).content.decode()


def test_a_name_or_an_address_alone_is_nobodys_account(issuer: Issuer, admin: Any) -> None:
    User.objects.create_user("ada", "ada@example.test", "ada-password-1")
    User.objects.filter(username="admin").update(email="ada@example.test")
    client = Client()
    sign_on(client, issuer)
    account = SocialAccount.objects.first()
    assert account is None or account.user.username not in ("ada", "admin")


def test_somebody_who_is_here_connects_their_account(issuer: Issuer, alice: Any) -> None:
    client = Client()
    client.force_login(alice)
    client.post("/accounts/reauthenticate/", {"password": "alice-password-1"})
    sign_on(client, issuer, "/accounts/oidc/login/?process=connect")
    assert SocialAccount.objects.get().user == alice
    other = Client()
    sign_on(other, issuer)
    assert other.get("/accounts/").context["user"] == alice


def test_who_is_shut_out_or_a_program_does_not_sign_on(issuer: Issuer) -> None:
    sign_on(Client(), issuer)
    for change in ({"is_active": False}, {"is_active": True, "is_service": True}):
        User.objects.filter(username="ada").update(**change)
        client = Client()
        assert sign_on(client, issuer)["Location"] == "/accounts/inactive/"
        assert not is_in(client)


@pytest.mark.parametrize(
    "claims",
    [{"nonce": "another"}, {"nonce": None}, {"aud": "another"}, {"iss": "https://evil.test"}, {"exp": 1}, {"exp": None},
     {"sub": "somebody-else"}, {"azp": "another", "aud": [CLIENT_ID, "another"]}],
    ids=str,
)  # fmt: skip
def test_an_id_token_that_is_not_ours_signs_nobody_on(claims: dict[str, Any], issuer: Issuer) -> None:
    issuer.claims = claims
    client = Client()
    response = sign_on(client, issuer)
    assert not is_in(client) and not User.objects.filter(username="ada").exists()
    assert "not signed in" in response.content.decode()


@pytest.mark.parametrize("wrong", ["another key", "none", "HS256", "two people", "no ID token"])
def test_an_answer_that_proves_nothing_signs_nobody_on(wrong: str, issuer: Issuer, monkeypatch: Any) -> None:
    if wrong == "another key":
        issuer.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    elif wrong == "two people":
        issuer.userinfo_subject = "somebody-else"
    elif wrong == "no ID token":
        monkeypatch.setattr(Issuer, "id_token", lambda self, query: "")
    else:
        issuer.algorithm = wrong
    client = Client()
    sign_on(client, issuer)
    assert not is_in(client) and not User.objects.filter(username="ada").exists()


def test_another_browsers_answer_and_a_second_use_open_nothing(issuer: Issuer) -> None:
    victim, thief = Client(), Client()
    back = issuer.authorize(go(victim))
    go(thief)
    thief.get(back)
    assert not is_in(thief)
    victim.get(back)
    assert is_in(victim)
    third = Client()
    go(third)
    third.get(back)
    assert not is_in(third)


def test_who_made_the_link_adds_no_scope_and_no_parameter(issuer: Issuer) -> None:
    location = go(Client(), "/accounts/oidc/login/?scope=offline_access&auth_params=prompt%3Dnone%26max_age%3D0")
    assert "offline_access" not in location and "prompt" not in location and "max_age" not in location


def test_an_issuer_on_a_private_address_that_nobody_opened_is_not_called(issuer: Issuer, settings: Any) -> None:
    settings.LLMHUB_PRIVATE_ENDPOINTS = []
    client = Client()
    response = client.post("/accounts/oidc/login/")
    assert response.status_code == 502 and "not signed in" in response.content.decode()
    assert issuer.seen == []


def test_the_client_secret_is_on_no_page(issuer: Issuer, admin: Any) -> None:
    client = Client()
    client.force_login(admin)
    for path in ("/accounts/login/", "/accounts/", "/accounts/sign-on/", "/admin/"):
        assert not re.search(CLIENT_SECRET, client.get(path).content.decode())
