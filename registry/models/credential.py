"""Credential: somebody's key for a provider, and the one table that holds ciphertexts.

`Credential.reveal()` is the only way from a row to a plaintext key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils import timezone

from adapters.redaction import remember
from registry.catalog.entries import Secret
from registry.models.base import Record, RegistryQuerySet, RegistryRow, unique_per_owner, uuid7
from registry.models.headers import validate_headers
from registry.models.provider import Provider
from registry.vault.fields import EncryptedTextField
from registry.vault.keyring import DecryptError
from registry.vault.row_security import MAINTENANCE, secrets_of


class CredentialState(models.TextChoices):
    OK = "ok", "usable"
    MISSING = "missing", "the key has to be entered again"
    UNDECRYPTABLE = "undecryptable", "can't be opened with the present encryption keys"
    REJECTED = "rejected", "refused by the provider"


class CredentialQuerySet(RegistryQuerySet):
    def usable(self) -> CredentialQuerySet:
        return self.filter(enabled=True).exclude(state__in=(CredentialState.MISSING, CredentialState.UNDECRYPTABLE))


class Credential(RegistryRow, Record):
    """A key for `provider`: shared (`owner` null) or one user's own. What may be shown of it, and never the key."""

    quiet_fields: ClassVar[frozenset[str]] = RegistryRow.quiet_fields | {"last_error"}

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="credentials")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="credentials"
    )
    label = models.CharField(max_length=80, default="default")
    last_four = models.CharField(max_length=4, blank=True, editable=False)
    fingerprint = models.CharField(max_length=16, blank=True, editable=False)
    origin = models.CharField(max_length=300, blank=True, editable=False)
    header_names = models.JSONField(default=list, blank=True, editable=False)
    weight = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(1000)])
    enabled = models.BooleanField(default=True)
    state = models.CharField(
        max_length=16, choices=CredentialState.choices, default=CredentialState.MISSING, editable=False
    )
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.CharField(max_length=300, blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)

    objects = CredentialQuerySet.as_manager()

    class Meta:
        ordering = ("provider", "label", "id")
        constraints: ClassVar[list[models.BaseConstraint]] = unique_per_owner(
            "provider", "label", name="credential_label"
        )

    def __str__(self) -> str:
        return f"{self.provider} · {self.label}" + (f" ····{self.last_four}" if self.last_four else "")

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    def set_secret(self, api_key: str, headers: Mapping[str, str] | None = None) -> None:
        """Encrypt and save a key (may be empty when headers carry it), bound to the provider's present origin.

        Raises ValidationError for headers that can't be sent.
        """
        remember(api_key, *(headers or {}).values())
        validate_headers(headers or {})
        self.origin = self.provider.origin
        self.last_four = api_key[-4:] if len(api_key) >= 20 else ""
        self.fingerprint = fingerprint_of(api_key) if api_key else ""
        self.header_names = sorted(headers or {})
        self.state = CredentialState.OK
        self.last_error = ""
        plaintext = json.dumps({"api_key": api_key, "headers": dict(headers or {})})
        with transaction.atomic():
            self.save()
            self._store(plaintext)

    def _store(self, plaintext: str) -> None:
        with secrets_of(self.owner_id):
            stored = CredentialSecret.objects.filter(credential=self).first() or CredentialSecret(credential=self)
            stored.credential = self
            stored.seal("ciphertext", plaintext)
            stored.save()

    def change_secret(self, *, api_key: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        """Replace the key, the secret headers or both; None keeps what is stored, where that can still be opened."""
        if api_key is None or headers is None:
            try:
                stored = self.reveal(self.owner_id)
            except DecryptError:
                stored = Secret(api_key="")
            api_key = (stored.api_key or "") if api_key is None else api_key
            headers = stored.headers if headers is None else headers
        if api_key or headers:
            self.set_secret(api_key, headers)
        else:
            self.clear_secret("The key was removed.")

    def clear_secret(self, reason: str) -> None:
        """Destroy the ciphertext; the row stays and says why."""
        with transaction.atomic():
            with secrets_of(self.owner_id):
                CredentialSecret.objects.filter(credential=self).delete()
            self.state = CredentialState.MISSING
            self.origin = self.provider.origin
            self.last_error = f"{reason} Enter the key again."[:300]
            self.last_four = self.fingerprint = ""
            self.header_names = []
            self.save()

    def reveal(self, caller: Hashable | None) -> Secret:
        """Decrypt for a call by `caller`: a user's id, None for nobody's (the schedule, a script), or MAINTENANCE.

        Raises DecryptError when the key is another user's or none is stored, and, after marking the row, when no key
        of the ring opens it.
        """
        if caller != MAINTENANCE and self.owner_id is not None and self.owner_id != caller:
            raise DecryptError("the key belongs to somebody else")
        try:
            with secrets_of(caller):
                stored = CredentialSecret.objects.select_related("credential").get(credential=self)
            content = json.loads(stored.open("ciphertext"))
        except CredentialSecret.DoesNotExist as error:
            raise DecryptError("no key is stored for this credential") from error
        except DecryptError:
            self.note_undecryptable()
            raise
        return Secret(api_key=content["api_key"] or None, headers=content["headers"])

    def note_undecryptable(self) -> None:
        """Mark the row, once."""
        if self.state != CredentialState.UNDECRYPTABLE:
            self.state = CredentialState.UNDECRYPTABLE
            self.last_error = "The stored key can't be opened with the present encryption keys."
            self.save(update_fields=["state", "last_error", "updated_at"])

    def note_decryptable(self) -> None:
        """Take the mark away, after the key that was missing came back to the ring."""
        if self.state == CredentialState.UNDECRYPTABLE:
            self.state = CredentialState.OK
            self.last_error = ""
            self.save(update_fields=["state", "last_error", "updated_at"])


class CredentialSecret(models.Model):
    """The ciphertext of one credential. No list, page, serializer or export reads this table."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    credential = models.OneToOneField(Credential, on_delete=models.CASCADE, related_name="secret")
    ciphertext = EncryptedTextField(bound_to=("id", "credential.owner_id", "credential.origin"))
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"secret of {self.credential_id}"

    def seal(self, name: str, plaintext: str) -> None:
        """Encrypt `plaintext` into the field `name`; does not save."""
        field_: Any = self._meta.get_field(name)
        setattr(self, name, field_.encrypt(self, plaintext))

    def open(self, name: str) -> str:
        """Decrypt the field `name`. Raises DecryptError."""
        field_: Any = self._meta.get_field(name)
        plaintext: str = field_.decrypt(self)
        return plaintext

    def note_undecryptable(self) -> None:
        self.credential.note_undecryptable()


def fingerprint_of(api_key: str) -> str:
    """Sixteen hex digits that tell two keys apart and nothing else: keyed, so that a guess can't be checked offline."""
    return hmac.new(settings.SECRET_KEY.encode(), b"fingerprint:" + api_key.encode(), hashlib.sha256).hexdigest()[:16]
