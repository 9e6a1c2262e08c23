"""The "Test connection" button and action: what was tried, what came back, how long it took. Never by GET.

Several are tested by a page that asks for one after the other, so that each is shown as it answers.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.views.decorators.http import require_POST

from registry.admin.base import SwitchableAdmin
from registry.discovery.probe import ConnectionReport, probe_provider
from registry.models import Credential, LLMModel, Provider

MAX_TESTED = 200  # in one action; each may take as long as a probe's deadline


class TestableAdmin(SwitchableAdmin):
    """For providers, credentials and models."""

    __test__ = False  # no test class, whatever its name begins with
    actions = (*SwitchableAdmin.actions, "test_selected")
    change_form_template = "admin/registry/testable_change_form.html"

    def may_test(self, request: HttpRequest, obj: Any) -> bool:
        """Whether this person may call upstream with what `obj` names."""
        return True

    @property
    def test_url_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_test_connection"

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(require_POST(self.test_connection_view))
        # Before the record's own addresses: the last of those takes everything.
        return [path("<path:object_id>/test-connection/", view, name=self.test_url_name), *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = kwargs.get("obj")
        context["may_test"] = (
            row is not None and self.has_change_permission(request, row) and self.may_test(request, row)
        )
        context["test_url_name"] = f"admin:{self.test_url_name}"
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    def test_connection_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not self.has_change_permission(request, row) or not self.may_test(request, row):
            raise PermissionDenied
        if request.headers.get("HX-Request") == "true":
            context = {"row": row, "report": run_test(row, request), **self._names()}
            return TemplateResponse(request, "admin/registry/test_row.html", context)
        return self.show_report(request, row)

    @admin.action(description="Test connection", permissions=["change"])
    def test_selected(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> HttpResponse | None:
        rows = list(queryset.filter(pk__in=self.editable(request).values("pk"))[: MAX_TESTED + 1])
        rows = [row for row in rows if self.may_test(request, row)]
        if not rows or len(rows) > MAX_TESTED:
            text = f"Choose at most {MAX_TESTED} at a time." if rows else "You may test none of these."
            self.message_user(request, text, messages.WARNING)
            return None
        if len(rows) == 1:
            return self.show_report(request, rows[0])
        title = f"{len(rows)} connection tests"
        context = {**self.admin_site.each_context(request), "title": title, "rows": rows, **self._names()}
        return TemplateResponse(request, "admin/registry/test_many.html", context)

    def show_report(self, request: HttpRequest, row: Any) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"Connection test of {row}",
            "row": row,
            "report": run_test(row, request),
            **self._names(),
        }
        return TemplateResponse(request, "admin/registry/test_connection.html", context)

    def _names(self) -> dict[str, Any]:
        return {
            "opts": self.opts,
            "list_url_name": f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist",
            "change_url_name": f"admin:{self.opts.app_label}_{self.opts.model_name}_change",
            "test_url_name": f"admin:{self.test_url_name}",
        }


def run_test(row: Any, request: HttpRequest) -> ConnectionReport:
    """Call upstream as the row says; the probe itself keeps health and the audit event."""
    address = request.META.get("REMOTE_ADDR")
    provider: Provider = row if isinstance(row, Provider) else row.provider
    return probe_provider(
        provider,
        request.user,
        model=row if isinstance(row, LLMModel) else None,
        credential=row if isinstance(row, Credential) else None,
        address=address,
    )
