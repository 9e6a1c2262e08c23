"""Invitations, roles, sessions and service accounts: who may give what to whom, and what it is worth afterwards."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from registry.models import AccessToken, AuditEvent, Invitation, LLMModel, User
from tests.web.conftest import signed_in
from tests.web.test_accounts import sign_in

NEW = {"username": "ada", "email": "", "password1": "correct-horse-9", "password2": "correct-horse-9"}


@pytest.fixture
def manager(bob: Any) -> Any:
    bob.give_rank("manager")
    bob.save()
    return bob


def link_for(user: Any, **fields: Any) -> str:
    text = signed_in(user).post("/people/", {"note": "Ada", "rank": "user", **fields}).content.decode()
    found = re.search(r"http://testserver(/invitation/[\w-]+/)", text)
    assert found is not None, text
    return found[1]


def test_an_invitation_makes_one_account_with_its_role_and_groups(manager: Any) -> None:
    team = Group.objects.create(name="team")
    url = link_for(manager, rank="viewer", groups=[team.pk])
    client = Client()
    assert client.get(url).status_code == client.get(url).status_code == 200
    assert client.post(url, NEW)["Location"] == "/"
    ada = User.objects.get(username="ada")
    assert (ada.rank, list(ada.groups.all()), ada.is_staff) == ("viewer", [team], False)
    assert client.get("/").status_code == 200
    assert Client().get(url).status_code == 404
    assert Client().post(url, {**NEW, "username": "eve"}).status_code == 404
    assert not User.objects.filter(username="eve").exists()
    assert set(AuditEvent.objects.values_list("action", flat=True)) >= {"create", "accept", "sign in"}


def test_an_invitations_link_is_shown_once_and_stored_nowhere(manager: Any) -> None:
    secret = link_for(manager).split("/")[2]
    assert secret not in signed_in(manager).get("/people/").content.decode()
    assert secret not in str(Invitation.objects.values()) + str(AuditEvent.objects.values())


@pytest.mark.parametrize("spoilt", ["expired", "withdrawn", "made up"])
def test_a_link_that_is_not_good_opens_nothing(spoilt: str, manager: Any) -> None:
    url = link_for(manager)
    if spoilt == "expired":
        Invitation.objects.update(expires_at=timezone.now() - dt.timedelta(1))
    elif spoilt == "withdrawn":
        row = Invitation.objects.get()
        assert signed_in(manager).post(f"/people/invitations/{row.pk}/withdraw/").status_code == 302
    else:
        url = "/invitation/guess/"
    assert Client().get(url).status_code == Client().post(url, NEW).status_code == 404
    assert not User.objects.filter(username="ada").exists()


def test_a_bad_password_does_not_use_the_invitation_up(manager: Any) -> None:
    url = link_for(manager)
    assert Client().post(url, {**NEW, "password1": "1", "password2": "1"}).status_code == 200
    assert Client().post(url, {**NEW, "is_superuser": "on", "role": "manager", "rank": "admin"}).status_code == 302
    assert User.objects.get(username="ada").rank == "user"


@pytest.mark.parametrize("rank", ["manager", "admin"])
def test_a_manager_gives_no_role_as_high_as_their_own(rank: str, manager: Any, alice: Any) -> None:
    response = signed_in(manager).post("/people/", {"note": "Ada", "rank": rank})
    assert response.context["form"].errors and not Invitation.objects.exists()
    signed_in(manager).post(f"/people/{alice.pk}/", {"rank": rank, "is_active": "on"})
    alice.refresh_from_db()
    assert alice.rank == "user"


def test_a_manager_keeps_those_below_and_nobody_else(manager: Any, alice: Any, admin: Any, charlie: Any) -> None:
    charlie.give_rank("manager")
    charlie.save()
    client = signed_in(manager)
    assert client.post(f"/people/{alice.pk}/", {"rank": "viewer", "is_active": "on"}).status_code == 302
    for other in (admin, charlie, manager):
        assert client.get(f"/people/{other.pk}/").status_code == 200
        assert client.post(f"/people/{other.pk}/", {"rank": "viewer"}).status_code == 403
    for other in (admin, charlie):
        assert client.post(f"/people/{other.pk}/sign-out/").status_code == 403
        assert client.post(f"/people/{other.pk}/second-factor/").status_code == 403
    assert User.objects.get(pk=admin.pk).rank == "admin"
    assert User.objects.get(pk=alice.pk).rank == "viewer"


def test_an_admin_makes_and_unmakes_admins_but_not_themselves(admin: Any, alice: Any) -> None:
    client = signed_in(admin)
    client.post(f"/people/{alice.pk}/", {"rank": "admin", "is_active": "on"})
    assert User.objects.get(pk=alice.pk).is_superuser
    assert client.post(f"/people/{admin.pk}/", {"rank": "viewer", "is_active": "on"}).status_code == 403


def test_the_people_pages_are_not_there_for_others(alice: Any, bob: Any) -> None:
    for path in ("/people/", f"/people/{bob.pk}/", "/people/services/add/"):
        assert signed_in(alice).get(path).status_code == signed_in(alice).post(path).status_code == 404


def test_a_viewer_looks_and_changes_nothing(alice: Any, stub: LLMModel) -> None:
    alice.give_rank("viewer")
    alice.save()
    client = signed_in(alice)
    assert client.get("/").status_code == client.get("/models/").status_code == client.get("/api/models/").status_code
    for path in ("/keys/add/", "/playground/token/", "/playground/conversations/"):
        assert client.post(path).status_code == 403
    refused = client.post("/api/providers/", {"slug": "x"}, content_type="application/json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_role")
    assert client.post("/tokens/", {"name": "t", "scopes": ["chat"], "expires": "7"}).context["form"].errors
    assert client.post("/tokens/", {"name": "t", "scopes": ["models"], "expires": "7"}).status_code == 200


def test_a_token_is_worth_no_more_than_its_owner_by_now(alice: Any) -> None:
    _, token = AccessToken.mint(owner=alice, name="old", scopes=["chat", "models", "usage", "manage"])
    headers = {"Authorization": f"Bearer {token}"}
    body = {"slug": "mine", "name": "Mine", "adapter": "openai"}
    assert Client().post("/api/providers/", body, "application/json", headers=headers).status_code == 201
    alice.give_rank("viewer")
    alice.save()
    refused = Client().post("/api/providers/", body | {"slug": "two"}, "application/json", headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_role")
    assert Client().get("/api/models/", headers=headers).status_code == 200


def test_sessions_are_listed_and_ended_one_by_one_and_all_others(alice: Any) -> None:
    here, laptop, phone = Client(), Client(), Client()
    agents = {laptop: "Mozilla/5.0 (X11; Linux) Firefox/140.0", phone: "Mozilla/5.0 (iPhone) Safari/605"}
    for client in (here, laptop, phone):
        client.post(
            "/accounts/login/",
            {"username": "alice", "password": "alice-password-1"},
            headers={"user-agent": agents.get(client, "")},
        )
    text = here.get("/accounts/sessions/").content.decode()
    assert "Firefox on Linux" in text and "Safari on iPhone" in text
    row = UserSession.objects.get(user_agent__contains="Firefox")
    assert here.post("/accounts/sessions/", {"session": row.pk}).status_code == 302
    assert laptop.get("/").status_code == 302 and phone.get("/").status_code == 200
    here.post("/accounts/sessions/", {"session": "others"})
    assert phone.get("/").status_code == 302 and here.get("/").status_code == 200
    assert AuditEvent.objects.filter(action="end session").count() == 2


def test_nobody_ends_a_strangers_session(alice: Any, charlie: Any) -> None:
    client = Client()
    sign_in(client, "alice", "alice-password-1")
    row = UserSession.objects.get(user=alice)
    signed_in(charlie).post("/accounts/sessions/", {"session": row.pk})
    assert client.get("/").status_code == 200


def test_a_manager_signs_somebody_out_and_takes_the_pages_tokens(manager: Any, alice: Any) -> None:
    client = Client()
    sign_in(client, "alice", "alice-password-1")
    client.post("/playground/token/")
    assert signed_in(manager).post(f"/people/{alice.pk}/sign-out/").status_code == 302
    assert client.get("/").status_code == 302
    assert not AccessToken.objects.get(owner=alice, session=True).is_live


def test_who_is_shut_out_is_out_at_once(manager: Any, alice: Any) -> None:
    client = Client()
    sign_in(client, "alice", "alice-password-1")
    signed_in(manager).post(f"/people/{alice.pk}/", {"rank": "user"})
    assert client.get("/").status_code == 302
    assert sign_in(Client(), "alice", "alice-password-1").status_code == 200


def test_a_service_account_has_tokens_and_never_signs_in(manager: Any, alice: Any) -> None:
    made = signed_in(manager).post("/people/services/add/", {"username": "billing", "sponsor": alice.pk})
    billing = User.objects.get(username="billing")
    assert made["Location"] == f"/people/services/{billing.pk}/"
    billing.set_password("known-password-1")  # as if somebody had given it one past the pages
    billing.save()
    assert sign_in(Client(), "billing", "known-password-1")["Location"] == "/accounts/inactive/"
    page = signed_in(alice).post(f"/people/services/{billing.pk}/",
                                 {"name": "job", "scopes": ["chat", "models"], "expires": "90"})  # fmt: skip
    plaintext = re.search(r"llmhub_[0-9a-f]{12}_[\w-]+", page.content.decode())
    assert plaintext is not None
    headers = {"x-api-key": plaintext[0]}
    assert Client().get("/api/models/", headers=headers).status_code == 200
    signed_in(manager).post(f"/people/services/{billing.pk}/toggle/")
    assert Client().get("/api/models/", headers=headers).status_code == 401


def test_a_service_account_is_its_sponsors_and_no_strangers(manager: Any, alice: Any, charlie: Any) -> None:
    billing = User.objects.create(username="billing", is_service=True, sponsor=alice)
    token, _ = AccessToken.mint(owner=billing, name="job")
    url = f"/people/services/{billing.pk}/"
    assert signed_in(charlie).get(url).status_code == 404
    assert signed_in(charlie).post(f"{url}tokens/{token.pk}/revoke/").status_code == 404
    assert signed_in(alice).post(f"{url}toggle/").status_code == 404  # managers close, sponsors keep tokens
    assert signed_in(alice).post(f"{url}tokens/{token.pk}/revoke/").status_code == 302
    token.refresh_from_db()
    assert not token.is_live


def test_a_service_account_is_no_admin(db: None) -> None:
    from django.db import IntegrityError, transaction

    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(username="root", is_service=True, is_superuser=True)
