"""Signing in and out, guessing, the first administrator, preferences."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from registry.access import setup_link
from registry.models import AccessToken, User, UserSettings
from registry.web import throttle
from tests.web.conftest import signed_in


def sign_in(client: Client, name: str, password: str, **extra: Any) -> Any:
    return client.post("/accounts/login/", {"username": name, "password": password, **extra})


def test_a_correct_password_leads_home_or_where_one_wanted_to_go(alice: Any) -> None:
    assert sign_in(Client(), "alice", "alice-password-1")["Location"] == "/"
    assert sign_in(Client(), "alice", "alice-password-1", next="/keys/")["Location"] == "/keys/"


def test_signing_in_leads_to_no_foreign_site(alice: Any) -> None:
    assert sign_in(Client(), "alice", "alice-password-1", next="https://evil.test/")["Location"] == "/"


def test_wrong_password_unknown_name_and_closed_account_read_the_same(alice: Any, bob: Any) -> None:
    bob.is_active = False
    bob.save()
    texts = set()
    for name, password in (("alice", "wrong"), ("nobody", "wrong"), ("bob", "bob-password-1")):
        response = sign_in(Client(), name, password)
        assert response.status_code == 200
        texts.add(str(response.context["form"].non_field_errors()))
    assert len(texts) == 1


def test_guessing_is_slowed_down_even_with_the_right_password_at_last(alice: Any) -> None:
    for _ in range(throttle.MAX_FAILURES):
        assert sign_in(Client(), "Alice", "wrong").status_code == 200
    response = sign_in(Client(), "alice", "alice-password-1")
    assert response.status_code == 429
    assert "Too many failed attempts" in response.content.decode()


def test_a_name_that_nobody_has_is_slowed_down_alike(db: None) -> None:
    for _ in range(throttle.MAX_FAILURES):
        sign_in(Client(), "nobody", "wrong")
    assert sign_in(Client(), "nobody", "wrong").status_code == 429


def test_guessing_at_one_name_does_not_lock_another_or_another_address(alice: Any, bob: Any) -> None:
    for _ in range(throttle.MAX_FAILURES):
        sign_in(Client(), "alice", "wrong")
    assert sign_in(Client(), "bob", "bob-password-1").status_code == 302
    assert sign_in(Client(REMOTE_ADDR="192.0.2.9"), "alice", "alice-password-1").status_code == 302


def test_one_address_may_not_try_many_names(alice: Any) -> None:
    for _ in range(throttle.MAX_FAILURES_OF_ADDRESS):
        throttle.note_failure("127.0.0.1")
    assert sign_in(Client(), "alice", "alice-password-1").status_code == 429


@pytest.mark.parametrize("name", ["\x00", "a" * 5000, "\ud800", "", "'; drop table"])
def test_strange_names_are_refused_without_an_error(db: None, name: str) -> None:
    body = urlencode({"username": name.encode("utf-8", "surrogatepass"), "password": "x"})
    response = Client().post("/accounts/login/", body, content_type="application/x-www-form-urlencoded")
    assert response.status_code == 200


def test_signing_out_takes_a_post_and_ends_the_pages_tokens(alice: Any) -> None:
    client = signed_in(alice)
    client.post("/playground/token/")
    laptop, _ = AccessToken.mint(owner=alice, name="laptop")
    assert client.get("/accounts/logout/").status_code == 405
    assert client.post("/accounts/logout/").status_code == 302
    assert client.get("/").status_code == 302
    assert not AccessToken.objects.get(owner=alice, session=True).is_live
    laptop.refresh_from_db()
    assert laptop.is_live


def test_the_sign_in_page_says_when_nobody_administers_the_hub(db: None) -> None:
    assert "set-up link" in Client().get("/accounts/login/").content.decode()
    User.objects.create_superuser("root", password="x")
    assert "set-up link" not in Client().get("/accounts/login/").content.decode()


NEW_ADMIN = {
    "username": "ada", "email": "ada@example.test", "password1": "correct-horse-9", "password2": "correct-horse-9",
}  # fmt: skip


def test_the_setup_link_makes_one_administrator_once(db: None) -> None:
    url = f"/setup/{setup_link.make_setup_link()}/"
    client = Client()
    assert client.get(url).status_code == 200
    assert client.get(url).status_code == 200
    assert client.post(url, NEW_ADMIN)["Location"] == "/start/"
    ada = User.objects.get()
    assert ada.is_superuser and ada.is_staff and ada.check_password("correct-horse-9")
    assert client.get("/start/").status_code == 200
    assert Client().get(url).status_code == 404
    assert Client().post(url, {**NEW_ADMIN, "username": "eve"}).status_code == 404
    assert User.objects.count() == 1


def test_a_weak_password_does_not_use_the_setup_link_up(db: None) -> None:
    url = f"/setup/{setup_link.make_setup_link()}/"
    assert Client().post(url, {**NEW_ADMIN, "password1": "1234", "password2": "1234"}).status_code == 200
    assert not User.objects.exists()
    assert Client().post(url, NEW_ADMIN).status_code == 302


def test_a_made_up_setup_link_opens_nothing(db: None) -> None:
    setup_link.make_setup_link()
    assert Client().get("/setup/guess/").status_code == 404
    assert Client().post("/setup/guess/", NEW_ADMIN).status_code == 404
    assert not User.objects.exists()


def test_a_password_is_changed_with_the_old_one(alice: Any) -> None:
    client = signed_in(alice)
    new = {"new_password1": "another-horse-7", "new_password2": "another-horse-7"}
    assert client.post("/accounts/password/", {"old_password": "wrong", **new}).status_code == 200
    assert client.post("/accounts/password/", {"old_password": "alice-password-1", **new}).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password("another-horse-7")
    assert client.get("/").status_code == 200


def test_a_time_zone_is_kept_and_a_made_up_one_refused(alice: Any) -> None:
    client = signed_in(alice)
    assert client.post("/accounts/", {"time_zone": "Mars/Olympus"}).status_code == 200
    assert not UserSettings.objects.exists()
    assert client.post("/accounts/", {"time_zone": "Europe/Berlin"}).status_code == 302
    assert UserSettings.objects.get(user=alice).time_zone == "Europe/Berlin"
    assert "Europe/Berlin" in client.get("/usage/").content.decode()
