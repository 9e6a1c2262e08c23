"""What every record's admin shares: who sees and edits which rows, validation, the audit trail. Knows no record."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property

from registry.access import audit


class JSONTextField(forms.JSONField):
    """JSON that every database can hold: no NUL, no lone surrogate, and shallow enough to be read at all."""

    def to_python(self, value: Any) -> Any:
        try:
            read = super().to_python(value)
            check_storable(read)
        except (RecursionError, UnicodeEncodeError):
            raise ValidationError("This JSON can't be stored: it is too deep or holds what is no text.") from None
        return read

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What was typed, for showing it again: as JSON where it is sound, else as the text it was."""
        try:
            read = super().bound_data(data, initial)
            check_storable(read)
        except (RecursionError, UnicodeEncodeError, ValidationError):
            return forms.fields.InvalidJSONInput(data)
        return read


def check_storable(value: Any) -> None:
    """Raises RecursionError, UnicodeEncodeError (a lone surrogate) or ValidationError (NaN, NUL)."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise ValidationError("This JSON can't be stored: it holds a number that is none.") from None
    text.encode()
    if "\\u0000" in text:
        raise ValidationError("This JSON can't be stored: it holds a NUL.")


class RecordForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """Checks every constraint of the row, also those over columns that the form does not show (`owner`)."""

    def _post_clean(self) -> None:
        """Django leaves out every constraint that touches a column the form lacks; the database does not."""
        super()._post_clean()  # type: ignore[misc]  # left out of the stubs
        try:
            self.instance.validate_constraints(exclude=set(self.errors))
        except ValidationError as error:
            new = {name: found for name, found in error.update_error_dict({}).items() if name not in self.errors}
            if new:
                self._update_errors(ValidationError(new))  # type: ignore[attr-defined]  # Django's own, not in the stubs


class RecordAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic to the stubs alone
    """Rows through `visible_to`, changes through `editable_by`, each change in the audit trail with who made it."""

    form = RecordForm
    formfield_overrides: ClassVar[dict[Any, Any]] = {models.JSONField: {"form_class": JSONTextField}}
    list_per_page = 50
    show_full_result_count = False
    everybodys = False  # an admin sees every user's rows, not only the global ones and their own

    def sees_all(self, request: HttpRequest) -> bool:
        return self.everybodys and bool(getattr(request.user, "is_superuser", False))

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        if not self.sees_all(request) and hasattr(rows, "visible_to"):
            rows = rows.visible_to(request.user)
        found: models.QuerySet[Any] = rows
        return found

    def editable(self, request: HttpRequest) -> models.QuerySet[Any]:
        """The rows that this person may change."""
        rows: Any = self.model._default_manager.all()
        if not self.sees_all(request) and hasattr(rows, "editable_by"):
            rows = rows.editable_by(request.user)
        found: models.QuerySet[Any] = rows
        return found

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self._may_edit(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self._may_edit(request, obj)

    def _may_edit(self, request: HttpRequest, obj: Any) -> bool:
        return obj is None or obj._state.adding or self.editable(request).filter(pk=obj.pk).exists()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_foreignkey(db_field, request, **(visible_choices(db_field, request) | kwargs))

    # --- the audit trail ---------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        before = stored_columns(obj) if change else None
        super().save_model(request, obj, form, change)
        note(request, "change" if change else "create", obj, before)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        rows = formset.save(commit=False)
        for row in formset.deleted_objects:
            note(request, "delete", row, audit.snapshot(row))
            row.delete()
        for row in rows:
            before = None if row._state.adding else stored_columns(row)
            row.save()
            note(request, "create" if before is None else "change", row, before)
        formset.save_m2m()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        note(request, "delete", obj, audit.snapshot(obj))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        with transaction.atomic():
            for row in queryset:
                note(request, "delete", row, audit.snapshot(row))
            super().delete_queryset(request, queryset)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """Whoever may delete a row may delete what hangs on it; the pages of those rows are often read-only."""
        nested, counts, _, protected = super().get_deleted_objects(objs, request)
        refused = {str(self.opts.verbose_name) for obj in objs if not self.has_delete_permission(request, obj)}
        return nested, counts, refused, protected

    # --- actions -----------------------------------------------------------------------------------------------

    def change_each(
        self, request: HttpRequest, queryset: models.QuerySet[Any], action: str, change: Callable[[Any], bool]
    ) -> int:
        """Put `change` to every row that may be edited, one at a time, so that the change log and the trail see each.

        `change` saves the row and answers whether it changed; a ValidationError of its own is shown for that row.
        """
        changed = 0
        for row in queryset.filter(pk__in=self.editable(request).values("pk")):
            before = audit.snapshot(row)
            try:
                with transaction.atomic():
                    if change(row):
                        note(request, action, row, before)
                        changed += 1
            except ValidationError as error:
                self.message_user(request, f"{row}: {' '.join(error.messages)}", messages.ERROR)
        return changed


class SwitchableAdmin(RecordAdmin):
    """Records with `enabled`: switched on and off in bulk."""

    actions: tuple[str, ...] = ("enable", "disable")

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        self._switch(request, queryset, enabled=True)

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, queryset: models.QuerySet[Any], *, enabled: bool) -> None:
        def change(row: Any) -> bool:
            if row.enabled == enabled:
                return False
            row.enabled = enabled
            if enabled:
                row.full_clean()  # a template without an address can't be switched on
            row.save(update_fields=["enabled", "updated_at"])
            return True

        count = self.change_each(request, queryset, "enable" if enabled else "disable", change)
        noun = self.opts.verbose_name if count == 1 else self.opts.verbose_name_plural
        self.message_user(request, f"{count} {noun} {'enabled' if enabled else 'disabled'}.")


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # generic to the stubs alone
    """Counts no further than people page: counting a million rows takes seconds. Filters reach the rest."""

    most = 10_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        found: int = rows[: self.most].count()
        return found


class ReadOnlyAdmin(RecordAdmin):
    """Records that the hub writes itself: looked at, never changed here."""

    paginator = BoundedPaginator

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class RecordInline(admin.TabularInline):  # type: ignore[type-arg]  # generic to the stubs alone
    """Rows of a record shown with their parent; whoever may edit the parent may edit them."""

    form = RecordForm
    formfield_overrides: ClassVar[dict[Any, Any]] = {models.JSONField: {"form_class": JSONTextField}}
    extra = 0

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_foreignkey(db_field, request, **(visible_choices(db_field, request) | kwargs))


def visible_choices(db_field: Any, request: HttpRequest) -> dict[str, Any]:
    """Only rows that this person sees can be pointed at."""
    rows = db_field.remote_field.model._default_manager.all()
    return {"queryset": rows.visible_to(request.user)} if hasattr(rows, "visible_to") else {}


def stored_columns(row: models.Model) -> dict[str, Any]:
    """The row as the database has it before the change."""
    return audit.snapshot(type(row)._base_manager.get(pk=row.pk))


def note(request: HttpRequest, action: str, row: models.Model, before: dict[str, Any] | None) -> None:
    """Add to the audit trail; a deletion keeps only what was."""
    after = None if action == "delete" else audit.snapshot(row)
    audit.record(request.user, action, row, before=before, after=after, address=request.META.get("REMOTE_ADDR"))


def admins_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """For the pages that belong to no record: administrators alone."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not getattr(request.user, "is_superuser", False):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return wrapped
