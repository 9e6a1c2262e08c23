"""Access tokens: made, narrowed, revoked. A page's own short-lived tokens are not shown."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import audit
from registry.api.permissions import Access
from registry.api.serializers.token import AccessTokenSerializer, MintedTokenSerializer, RotateSerializer
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

    @extend_schema(request=RotateSerializer, responses=MintedTokenSerializer)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """Give the token a new secret, shown once. The present one opens for `grace_s` seconds more."""
        asked = RotateSerializer(data=request.data, context=self.get_serializer_context())
        asked.is_valid(raise_exception=True)
        with transaction.atomic():
            token = self.get_object()
            # Whoever holds a narrow token must not get hold of a wider one by rotating it.
            AccessTokenSerializer(token, data={}, partial=True, context=self.get_serializer_context()).is_valid(
                raise_exception=True
            )
            before = audit.snapshot(token)
            try:
                token.token = token.rotate(dt.timedelta(seconds=asked.validated_data["grace_s"]))
            except DjangoValidationError as error:
                raise ValidationError(error.messages) from error
            self.note("rotate", token, before, audit.snapshot(token))
        return Response(MintedTokenSerializer(token, context=self.get_serializer_context()).data)

    @extend_schema(description="Revoke the token everywhere within two seconds; the row stays and says when.")
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        return super().destroy(request, *args, **kwargs)

    def perform_destroy(self, instance: Any) -> None:
        before = audit.snapshot(instance)
        instance.revoke()
        self.note("revoke", instance, before, audit.snapshot(instance))
