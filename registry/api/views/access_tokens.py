"""Access tokens: made, narrowed, revoked. A page's own short-lived tokens are not shown."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from registry.access import audit
from registry.api.permissions import Access
from registry.api.serializers.token import AccessTokenSerializer, MintedTokenSerializer
from registry.api.views.base import WriteRows
from registry.models import AccessToken


class TokenViewSet(WriteRows):
    """One's own access tokens."""

    model = AccessToken
    access = Access(read=("manage",))
    serializer_class = AccessTokenSerializer

    def rows(self, visible: Any) -> Any:
        return visible.filter(session=False)

    @extend_schema(request=AccessTokenSerializer, responses={201: MintedTokenSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        """Make a token. The answer shows it, once."""
        return super().create(request, *args, **kwargs)

    def perform_create(self, serializer: Any) -> None:
        super().perform_create(serializer)
        # On the row for this one answer; no column holds it.
        serializer.instance.token = serializer.plaintext

    def get_serializer_class(self) -> Any:
        return MintedTokenSerializer if self.action == "create" else AccessTokenSerializer

    @extend_schema(description="Revoke the token everywhere within two seconds; the row stays and says when.")
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        return super().destroy(request, *args, **kwargs)

    def perform_destroy(self, instance: Any) -> None:
        before = audit.snapshot(instance)
        instance.revoke()
        self.note("revoke", instance, before, audit.snapshot(instance))
