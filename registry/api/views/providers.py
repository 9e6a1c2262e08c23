"""Providers and credentials."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import audit
from registry.api.filters import CredentialFilter, ProviderFilter
from registry.api.permissions import Access
from registry.api.serializers.credential import CredentialSerializer
from registry.api.serializers.probe import ReportSerializer, report_body
from registry.api.serializers.provider import ProviderSerializer
from registry.api.views.base import WriteRows, address_of
from registry.discovery.probe import probe_provider
from registry.models import Credential, Provider


class ProviderViewSet(WriteRows):
    """Where models are called: one's own providers, and those of everybody."""

    model = Provider
    access = Access(read=("models", "manage"))
    serializer_class = ProviderSerializer
    filterset_class = ProviderFilter
    reading_actions = frozenset({"test_connection"})

    def rows(self, visible: Any) -> Any:
        keys = Credential.objects.visible_to(self.request.user).usable().filter(provider=OuterRef("pk"))
        return visible.annotate(has_key=Exists(keys))

    def perform_create(self, serializer: Any) -> None:
        super().perform_create(serializer)
        self._note_key(serializer)

    def perform_update(self, serializer: Any) -> None:
        super().perform_update(serializer)
        self._note_key(serializer)

    def _note_key(self, serializer: Any) -> None:
        if serializer.credential is not None:
            done, credential = serializer.credential
            self.note(done, credential, None, audit.snapshot(credential))
        # The annotation was made before the key was.
        serializer.instance.__dict__.pop("has_key", None)

    @extend_schema(request=None, responses=ReportSerializer)
    @action(detail=True, methods=["post"], url_path="test-connection")
    def test_connection(self, request: Request, pk: str) -> Response:
        """Try the provider with the key that you would use: list its models, or ask for one word."""
        report = probe_provider(self.get_object(), request.user, address=address_of(request))
        return Response(report_body(report))


class CredentialViewSet(WriteRows):
    """Keys: written and replaced, never read back."""

    model = Credential
    access = Access(read=("manage",))
    serializer_class = CredentialSerializer
    filterset_class = CredentialFilter

    def rows(self, visible: Any) -> Any:
        return visible.select_related("provider")

    @extend_schema(request=None, responses=ReportSerializer)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Try the provider with this key."""
        credential = self.get_object()
        report = probe_provider(credential.provider, request.user, credential=credential, address=address_of(request))
        return Response(report_body(report))
