"""Second factors by the forms: codes, recovery codes, guessing, whom they are asked of, and where the secrets lie."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.core.cache import cache
from django.test import Client

from registry.models import AuditEvent
from registry.vault.keyring import KeyRing, keyring, new_key
from registry.vault.second_factors import open_secret, reseal_all
from registry.web import throttle
from tests.web.test_accounts import sign_in

AUTHENTICATE = "/accounts/2fa/authenticate/"


def code_of(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))


def guarded(user: Any) -> tuple[str, list[str]]:
    """Set up an authenticator app by the pages; answers its key and the recovery codes."""
    client = Client()
    assert sign_in(client, user.username, f"{user.username}-password-1").status_code == 302
    client.post("/accounts/reauthenticate/", {"password": f"{user.username}-password-1"})
    page = client.get("/accounts/2fa/totp/activate/").content.decode()
    secret = re.search(r'id="authenticator_secret">([A-Z2-7]+)<', page)
    assert secret is not None
    response = client.post("/accounts/2fa/totp/activate/", {"code": code_of(secret[1])}, follow=True)
    codes = re.findall(r"^([0-9a-f]{8})$", response.content.decode().replace('id="recovery_codes">', ">\n"), re.M)
    return secret[1], codes


def half_signed_in(user: Any) -> Client:
    client = Client()
    assert sign_in(client, user.username, f"{user.username}-password-1")["Location"] == AUTHENTICATE
    assert client.get("/").status_code == 302  # not in yet
    return client


def test_a_password_alone_signs_nobody_in_who_has_an_app(alice: Any) -> None:
    secret, _ = guarded(alice)
    client = half_signed_in(alice)
    assert client.post(AUTHENTICATE, {"code": "000000"}).status_code == 200
    assert client.get("/").status_code == 302
    cache.clear()  # the code that set the app up was used, and no code is good twice
    assert client.post(AUTHENTICATE, {"code": code_of(secret)})["Location"] == "/"
    assert client.get("/").status_code == 200


def test_a_recovery_code_signs_in_once(alice: Any) -> None:
    _, codes = guarded(alice)
    assert len(set(codes)) == 10
    assert half_signed_in(alice).post(AUTHENTICATE, {"code": codes[0]})["Location"] == "/"
    assert half_signed_in(alice).post(AUTHENTICATE, {"code": codes[0]}).status_code == 200


def test_codes_are_guessed_a_few_times_from_wherever(alice: Any) -> None:
    _, codes = guarded(alice)
    for number in range(throttle.MAX_WRONG_CODES):
        address = f"192.0.2.{number}"
        client = half_signed_in(alice)
        assert client.post(AUTHENTICATE, {"code": "000000"}, REMOTE_ADDR=address).status_code == 200
    response = half_signed_in(alice).post(AUTHENTICATE, {"code": codes[0]})
    assert response.status_code == 200
    assert "Too many" in response.content.decode()


def test_the_admin_is_entered_by_the_same_door(admin: Any) -> None:
    response = Client().get("/admin/login/?next=/admin/registry/provider/")
    assert response["Location"] == "/accounts/login/?next=/admin/registry/provider/"
    assert Client().post("/admin/login/", {"username": "admin", "password": "admin-password-1"}).status_code == 302
    guarded(admin)
    client = Client()
    sign_in(client, "admin", "admin-password-1", next="/admin/")
    assert client.get("/admin/").status_code == 302


def test_the_apps_key_and_the_recovery_seed_lie_in_the_vault(alice: Any) -> None:
    secret, codes = guarded(alice)
    rows = {row.type: row.data for row in Authenticator.objects.all()}
    text = str(rows)
    assert secret not in text and not any(code in text for code in codes)
    assert open_secret(rows["totp"]["secret"]) == secret


def test_a_new_key_of_the_ring_seals_them_anew(alice: Any, settings: Any) -> None:
    secret, _ = guarded(alice)
    old = settings.LLMHUB_ENCRYPTION_KEYS
    settings.LLMHUB_ENCRYPTION_KEYS = f"new:{new_key()},{old}"
    assert reseal_all() == {"rotated": 2}
    assert reseal_all() == {}
    settings.LLMHUB_ENCRYPTION_KEYS = settings.LLMHUB_ENCRYPTION_KEYS.split(",")[0]
    assert isinstance(keyring(), KeyRing)
    assert open_secret(Authenticator.objects.get(type="totp").data["secret"]) == secret


@pytest.mark.parametrize(("wanted", "asked"), [("nobody", set()), ("managers", {"admin", "bob"}),
                                                ("all", {"admin", "bob", "alice"})])  # fmt: skip
def test_a_second_factor_is_asked_of_whom_the_setting_names(
    wanted: str, asked: set[str], alice: Any, bob: Any, admin: Any, settings: Any
) -> None:
    settings.LLMHUB_REQUIRE_MFA = wanted
    bob.give_rank("manager")
    bob.save()
    found = set()
    for user in (alice, bob, admin):
        client = Client()
        client.force_login(user)
        if client.get("/").status_code == 302:
            found.add(user.username)
            assert client.get("/accounts/2fa/").status_code == 200
            assert client.get("/admin/").status_code == 302
            refused = client.get("/api/providers/")
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "second_factor_needed")
    assert found == asked


def test_where_one_is_asked_for_the_last_one_stays(alice: Any, settings: Any) -> None:
    guarded(alice)
    settings.LLMHUB_REQUIRE_MFA = "all"
    client = Client()
    client.force_login(alice)
    client.post("/accounts/reauthenticate/", {"password": "alice-password-1"})
    client.post("/accounts/2fa/totp/deactivate/")
    assert Authenticator.objects.filter(type="totp").exists()


def test_setting_one_up_asks_for_the_password_again(alice: Any) -> None:
    client = Client()
    client.force_login(alice)
    for path in ("totp/activate/", "webauthn/add/", "recovery-codes/generate/"):
        response = client.get(f"/accounts/2fa/{path}")
        assert response.status_code == 302, path
        assert response["Location"].startswith(("/accounts/reauthenticate/", "/accounts/2fa/")), path


def test_signing_in_is_on_record(alice: Any) -> None:
    sign_in(Client(REMOTE_ADDR="192.0.2.7"), "alice", "alice-password-1")
    event = AuditEvent.objects.get(action="sign in")
    assert (event.actor, event.address) == (alice, "192.0.2.7")
