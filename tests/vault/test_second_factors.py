"""What authenticator apps and recovery codes are made from: sealed, and sealed anew when the key changes."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core.management.base import CommandError

from registry.management.commands.prepare import Command
from registry.vault.keyring import KeyRing, keyring, new_key
from registry.vault.second_factors import are_any_sealed, open_secret, reseal_all, seal_secret

BOUND_TO = b"mfa_authenticator/data"


def made(user: Any, kind: str, **data: Any) -> Authenticator:
    return Authenticator.objects.create(user=user, type=kind, data=data)


@pytest.mark.django_db
def test_resealing_takes_each_stale_secret_once_and_leaves_the_rest(alice: Any, bob: Any, settings: Any) -> None:
    old, new = new_key(), new_key()
    settings.LLMHUB_ENCRYPTION_KEYS = f"old:{old}"
    app = made(alice, "totp", secret=seal_secret("alice's app"))
    codes = made(alice, "recovery_codes", seed=seal_secret("alice's codes"), used_mask=3)
    passkey = made(alice, "webauthn", credential={"id": "x"})
    settings.LLMHUB_ENCRYPTION_KEYS = f"new:{new},old:{old}"
    current = made(bob, "totp", secret=seal_secret("bob's app"))
    foreign = KeyRing.parse(f"old:{new_key()}").encrypt("lost", additional_data=BOUND_TO)
    lost = made(bob, "recovery_codes", seed=foreign, used_mask=0)
    others_lost = made(bob, "webauthn", secret=foreign)
    kept = {row.pk: row.data for row in (passkey, current, lost, others_lost)}

    assert reseal_all() == {"rotated": 2, "undecryptable": 2}
    app.refresh_from_db()
    codes.refresh_from_db()
    assert keyring().is_current(app.data["secret"]) and open_secret(app.data["secret"]) == "alice's app"
    assert keyring().is_current(codes.data["seed"]) and open_secret(codes.data["seed"]) == "alice's codes"
    assert codes.data["used_mask"] == 3
    assert {row.pk: row.data for row in Authenticator.objects.filter(pk__in=kept)} == kept
    assert reseal_all() == {"undecryptable": 2}


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["totp", "recovery_codes"])
def test_no_fresh_key_is_made_beside_second_factors_of_a_lost_one(
    alice: Any, settings: Any, tmp_path: Any, kind: str
) -> None:
    settings.LLMHUB_ENCRYPTION_KEYS_FILE = tmp_path / "keys"
    made(alice, "webauthn", credential={})  # holds no secret of the hub's
    assert not are_any_sealed()
    made(alice, kind, secret=seal_secret("app"))
    settings.LLMHUB_ENCRYPTION_KEYS = ""
    with pytest.raises(CommandError, match="restore one of the two"):
        Command().make_encryption_keys()
    assert not (tmp_path / "keys").exists()
