"""What all views share: rows through `visible_to`, writes through `editable_by`, and an audit event for each write."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models, transaction
from rest_framework import mixins, viewsets
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from registry.access import audit
from registry.api.permissions import Access
from registry.api.views.queries import check_query

UUID_PATTERN = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def address_of(request: Request) -> str | None:
    return request.META.get("REMOTE_ADDR") or None


class RowView(viewsets.GenericViewSet[Any]):
    """Rows of `model` as the caller may meet them. A subclass declares `access` and, where needed, `rows`."""

    access: ClassVar[Access | None] = None
    model: ClassVar[type[models.Model]]
    lookup_value_regex = UUID_PATTERN
    # Actions that use POST and change nothing: seeing the row is enough.
    reading_actions: ClassVar[frozenset[str]] = frozenset()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        check_query(request)
        super().initial(request, *args, **kwargs)

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return self.model._default_manager.none()
        return self.rows(self.model._default_manager.visible_to(self.request.user))  # type: ignore[attr-defined]  # every model here has our queryset

    def rows(self, visible: Any) -> Any:
        """Add what the serializer reads (joins, annotations); never widen."""
        return visible

    def get_object(self) -> Any:
        """404 for what the caller may not see, 403 for what they may see and not change."""
        changing = self.request.method not in SAFE_METHODS and self.action not in self.reading_actions
        manager: Any = self.model._default_manager
        if changing:
            # Held until the transaction ends, so that of two changes at once the later sees the earlier.
            list(manager.visible_to(self.request.user).filter(pk=self.kwargs["pk"]).select_for_update().values("pk"))
        row = super().get_object()
        if changing and not manager.editable_by(self.request.user).filter(pk=row.pk).exists():
            raise PermissionDenied("You may read this and not change it.")
        return row

    def note(self, action: str, row: models.Model, before: Any = None, after: Any = None) -> None:
        audit.record(self.request.user, action, row, before, after, address_of(self.request))


class ReadRows(mixins.ListModelMixin, mixins.RetrieveModelMixin, RowView):
    """List and detail."""


class WriteRows(mixins.CreateModelMixin, mixins.UpdateModelMixin, mixins.DestroyModelMixin, ReadRows):
    """All of REST; every write and its audit event are one transaction."""

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        with transaction.atomic():
            return super().create(request, *args, **kwargs)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        with transaction.atomic():
            return super().update(request, *args, **kwargs)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        with transaction.atomic():
            return super().destroy(request, *args, **kwargs)

    def perform_create(self, serializer: Any) -> None:
        row = serializer.save()
        self.note("create", row, None, audit.snapshot(row))

    def perform_update(self, serializer: Any) -> None:
        before = audit.snapshot(serializer.instance)
        row = serializer.save()
        self.note("change", row, before, audit.snapshot(row))

    def perform_destroy(self, instance: Any) -> None:
        self.note("delete", instance, audit.snapshot(instance), None)
        instance.delete()
