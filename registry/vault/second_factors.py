"""Seals what authenticator apps and recovery codes are made from. allauth keeps the rows; it knows no row here."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db import transaction

from registry.vault.keyring import DecryptError, keyring

# allauth gives the text alone, so a ciphertext is bound to its column and not to its row.
_BOUND_TO = b"mfa_authenticator/data"
_KEPT_IN = ("secret", "seed")


def seal_secret(plaintext: str) -> str:
    return keyring().encrypt(plaintext, additional_data=_BOUND_TO)


def open_secret(envelope: str) -> str:
    """Raises DecryptError."""
    return keyring().decrypt(envelope, additional_data=_BOUND_TO)


def are_any_sealed() -> bool:
    """Whether an app or recovery codes are kept, which nothing but the ring opens."""
    from allauth.mfa.models import Authenticator  # allauth's models load after the registry's

    kinds = (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)
    return bool(Authenticator.objects.filter(type__in=kinds).exists())


def reseal_all() -> Counter[str]:
    """Seal what an older key sealed with the first one; answers how many were rotated, and how many are lost."""
    from allauth.mfa.models import Authenticator  # allauth's models load after the registry's

    counts: Counter[str] = Counter()
    for key in Authenticator.objects.values_list("pk", flat=True):
        with transaction.atomic():
            row: Any = Authenticator.objects.select_for_update().filter(pk=key).first()
            stale = [name for name in _KEPT_IN if row and name in row.data and not keyring().is_current(row.data[name])]
            try:
                for name in stale:
                    row.data[name] = seal_secret(open_secret(row.data[name]))
            except DecryptError:
                counts["undecryptable"] += 1
                continue
            if stale:
                row.save(update_fields=["data"])
                counts["rotated"] += 1
    return counts
