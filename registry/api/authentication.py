"""Access tokens for the REST face, read from the table at every request: a revoked one opens nothing at once."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from registry.access.people import token_entry
from registry.access.tokens import TokenError, check_network, verify
from registry.models import AccessToken, User
from registry.models.access_token import prefix_of

_USED_EVERY: Final = dt.timedelta(minutes=1)
_REFUSED = "The access token is not valid."


class AccessTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer llmhub_...` or `x-api-key: llmhub_...`. `request.auth` is the token's row."""

    def authenticate(self, request: Request) -> tuple[User, AccessToken] | None:
        presented = _presented(request)
        if presented is None:
            return None
        token = _find(presented)
        owner: User = token.owner
        if not owner.is_active:
            raise AuthenticationFailed(_REFUSED)
        try:
            check_network(token, request.META.get("REMOTE_ADDR", ""))  # type: ignore[arg-type]  # reads `networks` only
        except TokenError as error:
            raise PermissionDenied(error.message, code=error.code) from None
        _note_use(token)
        return owner, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="llmhub"'


def _presented(request: Request) -> str | None:
    """The one token of a request; two that differ are refused, since nobody could say which one counts."""
    scheme, _, value = get_authorization_header(request).decode("latin-1").partition(" ")
    found = set()
    if scheme:
        if scheme.lower() != "bearer" or not value.strip():
            raise AuthenticationFailed("The Authorization header takes: Bearer <access token>.")
        found.add(value.strip())
    if "HTTP_X_API_KEY" in request.META:
        found.add(request.META["HTTP_X_API_KEY"].strip())
    if len(found) > 1:
        raise AuthenticationFailed("The request carries two different access tokens.")
    return found.pop() if found else None


def _find(presented: str) -> AccessToken:
    """The live row; a wrong prefix and a wrong secret cost the same and read the same."""
    prefix = prefix_of(presented)
    row: AccessToken | None = None
    if prefix is not None and "\0" not in prefix:
        row = AccessToken.objects.select_related("owner", "made_with").filter(prefix=prefix).first()
    try:
        verify(token_entry(row) if row is not None else None, presented[:256])
    except TokenError as error:
        raise AuthenticationFailed(error.message, code=error.code) from None
    assert row is not None
    return row


def _note_use(token: AccessToken) -> None:
    """Keep the time of use, at most once a minute and without a note in the change log."""
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - _USED_EVERY:
        stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - _USED_EVERY)
        AccessToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
