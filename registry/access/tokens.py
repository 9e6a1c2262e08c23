"""From what a client presents to the principal it stands for, and tokens that the hub's own pages use.

Looks only in the snapshot: whether the database answers has no say in whether a token is good.
"""

from __future__ import annotations

import datetime as dt
import hmac
import ipaddress
import time
from typing import Any, Final, Protocol

from django.utils import timezone

from adapters.redaction import remember
from registry.access.principals import NO_DIGEST, Principal, TokenEntry
from registry.models.access_token import AccessToken, digest_of, prefix_of

SESSION_TOKEN_S = 600
# Stands for a token that nobody knows: its digest is of nothing that anybody could present.
_NOBODY: Final = TokenEntry(id=None, name="", prefix="", digest=NO_DIGEST, owner_id=None)


class TokenError(Exception):
    """The presented token opens nothing: `code` says why, in words that help its holder and nobody else."""

    def __init__(self, message: str, *, code: str = "invalid_api_key", status: int = 401) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status


class Tokens(Protocol):
    """Where tokens and users are looked up: the snapshot."""

    def principal_of(self, token: TokenEntry) -> Principal | None: ...


def verify(token: TokenEntry | None, presented: str) -> TokenEntry:
    """Check the secret and the token's life. Raises TokenError, in the same words for a wrong prefix or secret."""
    # The same steps for every token, known or not, rotated or not, without a fork in the way: the time tells nothing.
    held, now = (token, _NOBODY)[token is None] or _NOBODY, time.time()
    digest = digest_of(presented)
    is_present = hmac.compare_digest(digest, held.digest)
    is_old = hmac.compare_digest(digest, held.old_digest) & (held.old_digest_until > now)
    matches = is_present | is_old
    if not matches or token is None:
        raise TokenError("The access token is not valid.")
    remember(presented)
    if token.revoked_at is not None:
        raise TokenError("The access token was revoked.", code="token_revoked")
    if token.expires_at is not None and token.expires_at <= now:
        raise TokenError("The access token has expired.", code="token_expired")
    return token


def check_network(token: TokenEntry, address: str) -> None:
    """Refuse a token used from outside its networks. Raises TokenError."""
    if not token.networks:
        return
    if not any(_is_inside(address, network) for network in token.networks):
        raise TokenError("The access token may not be used from this address.", code="address_not_allowed", status=403)


def _is_inside(address: str, network: str) -> bool:
    """False too for what can't be read: a malformed network opens nothing."""
    try:
        client, inside = ipaddress.ip_address(address), ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
    client = getattr(client, "ipv4_mapped", None) or client  # how a dual-stack socket names an IPv4 client
    return client.version == inside.version and client in inside


def check_scope(token: TokenEntry | None, scope: str) -> None:
    """Raises TokenError when the token was not given `scope`; a caller without a token has all."""
    if token is not None and scope not in token.scopes:
        raise TokenError(f"The access token has no scope {scope!r}.", code="insufficient_scope", status=403)


def check_role(principal: Principal, scope: str) -> None:
    """Refuse what the token's owner may not do themselves by now. Raises TokenError."""
    if principal.scopes is not None and scope not in principal.scopes:
        raise TokenError("The role of the token's owner does not allow this.", code="insufficient_role", status=403)


def mint_session_token(user: Any) -> tuple[str, dt.datetime]:
    """A short-lived token for one of the hub's own pages: answers the plaintext and when it ends."""
    expires_at = timezone.now() + dt.timedelta(seconds=SESSION_TOKEN_S)
    AccessToken.objects.filter(owner=user, session=True, expires_at__lt=timezone.now()).delete()
    _, plaintext = AccessToken.mint(
        owner=user, name="browser session", session=True, expires_at=expires_at, scopes=["chat", "models"]
    )
    return plaintext, expires_at


__all__ = [
    "SESSION_TOKEN_S",
    "TokenError",
    "Tokens",
    "check_network",
    "check_role",
    "check_scope",
    "mint_session_token",
    "prefix_of",
    "verify",
]
