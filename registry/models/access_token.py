"""AccessToken: what a client of the hub authenticates with. Only a keyed digest is stored."""

from __future__ import annotations

import datetime as dt
import hmac
import secrets
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, ClassVar, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from adapters.redaction import remember
from registry.models.base import OwnedQuerySet, Record, RegistryQuerySet, RegistryRow

TOKEN_PREFIX = "llmhub_"  # noqa: S105  # the visible start of every token, no secret
MAX_GRACE: Final = dt.timedelta(days=30)
SCOPES = ("chat", "models", "usage", "manage")


def default_scopes() -> list[str]:
    return ["chat", "models", "usage"]


class TokenQuerySet(RegistryQuerySet, OwnedQuerySet):
    shared_when_ownerless = False


class AccessToken(RegistryRow, Record):
    """A key of the hub itself. `llmhub_<prefix>_<secret>`: the prefix finds the row, the digest proves the rest."""

    quiet_fields: ClassVar[frozenset[str]] = RegistryRow.quiet_fields

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="access_tokens")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    # After a rotation the secret before it opens too, until then.
    old_digest = models.CharField(max_length=64, blank=True, editable=False)
    old_digest_until = models.DateTimeField(null=True, blank=True, editable=False)
    # The token that made this one, which may do no more than that one at any time, and ends with it.
    made_with = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.CASCADE, related_name="made", editable=False
    )
    scopes = models.JSONField(default=default_scopes)
    allowed_models = models.JSONField(default=list, blank=True)  # names; empty is every model the owner may use
    networks = models.JSONField(default=list, blank=True)  # CIDR; empty is everywhere
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True)
    concurrency = models.PositiveIntegerField(null=True, blank=True)
    session = models.BooleanField(default=False, editable=False)  # minted for a page of the hub, short-lived
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = TokenQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")

    def __str__(self) -> str:
        return f"{self.name} ({TOKEN_PREFIX}{self.prefix}…)"

    @property
    def is_live(self) -> bool:
        return self.ended_at is None and (self.expires_at is None or self.expires_at > timezone.now())

    def makers(self) -> Iterator[AccessToken]:
        """This token, the one that made it, and so on."""
        token: AccessToken | None = self
        while token is not None:
            yield token
            token = token.made_with

    @property
    def present_scopes(self) -> list[str]:
        """What it may do now: never more than any of its makers."""
        return [scope for scope in self.scopes if all(scope in token.scopes for token in self.makers())]

    @property
    def ended_at(self) -> dt.datetime | None:
        """When it or one of its makers was revoked."""
        return min((token.revoked_at for token in self.makers() if token.revoked_at is not None), default=None)

    @classmethod
    def mint(cls, *, owner: Any, name: str, **fields: Any) -> tuple[AccessToken, str]:
        """Make and save a token; answer the row and the plaintext, which is shown once and stored nowhere."""
        prefix = secrets.token_hex(6)
        plaintext = _new_secret(prefix)
        token = cls(owner=owner, name=name, prefix=prefix, digest=digest_of(plaintext), **fields)
        token.full_clean(exclude=["digest", "made_with"])
        token.save(force_insert=True)
        return token, plaintext

    def rotate(self, grace: dt.timedelta) -> str:
        """Give the token a new secret and answer it; the present one opens for `grace` longer, at most MAX_GRACE.

        The row stays, and its limits, budgets and usage with it. Raises ValidationError for a token that has ended.
        """
        if not self.is_live:
            raise ValidationError("A token that has ended can't be rotated: make another.")
        if not dt.timedelta(0) <= grace <= MAX_GRACE:
            raise ValidationError(f"The old secret may open for up to {MAX_GRACE.days} days more.")
        plaintext = _new_secret(self.prefix)
        self.old_digest, self.old_digest_until = (self.digest, timezone.now() + grace) if grace else ("", None)
        self.digest = digest_of(plaintext)
        self.save(update_fields=["digest", "old_digest", "old_digest_until", "updated_at"])
        return plaintext

    def revoke(self) -> None:
        """End the token everywhere within two seconds, and what it made; a second call changes nothing."""
        if self.revoked_at is None:
            self.revoked_at = timezone.now()
            self.save(update_fields=["revoked_at", "updated_at"])


def _new_secret(prefix: str) -> str:
    plaintext = f"{TOKEN_PREFIX}{prefix}_{secrets.token_urlsafe(32)}"
    remember(plaintext)
    return plaintext


def digest_of(plaintext: str) -> str:
    """HMAC-SHA-256 under the site's secret key: a stolen table alone proves no token."""
    return hmac.digest(_encoded(settings.SECRET_KEY), b"access-token:" + plaintext.encode(), "sha256").hex()


@lru_cache(maxsize=4)  # each call asks for it
def _encoded(secret_key: str) -> bytes:
    return secret_key.encode()


def prefix_of(plaintext: str) -> str | None:
    """The look-up part of a token as a client sent it; None when it has not a token's form."""
    if not plaintext.startswith(TOKEN_PREFIX) or len(plaintext) > 128 or not plaintext.isascii():
        return None
    prefix, separator, secret = plaintext[len(TOKEN_PREFIX) :].partition("_")
    return prefix if separator and len(prefix) == 12 and secret else None
