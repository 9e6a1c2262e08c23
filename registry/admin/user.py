"""People, their groups and preferences. Never what they wrote."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group
from django.db import models, transaction
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse

from registry.access import audit
from registry.admin.base import RecordAdmin, note
from registry.models import ModelAccess, RegistryChange, User, UserSettings

admin.site.unregister(Group)


class RankedPeople:
    """Whoever is no admin can't make one, and can't touch one."""

    def may_touch(self, request: HttpRequest, obj: Any) -> bool:
        return bool(getattr(request.user, "is_superuser", False)) or obj is None or not obj.is_superuser


@admin.register(User)
class HubUserAdmin(RankedPeople, RecordAdmin, UserAdmin):  # type: ignore[type-arg]
    form = UserChangeForm  # type: ignore[assignment]  # Django's own, with its link to the password
    list_display = (
        "username",
        "email",
        "first_name",
        "last_name",
        "is_staff",
        "is_superuser",
        "is_active",
        "last_login",
    )
    list_filter = ("is_staff", "is_superuser", "is_active", "groups")
    search_fields = ("username", "first_name", "last_name", "email")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self.may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self.may_touch(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        ranks = () if request.user.is_superuser else ("is_staff", "is_superuser", "groups", "user_permissions")
        return (*ranks, "last_login", "date_joined")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """Name the people and count the rest: a list of what goes with them would show their conversations."""
        _, counts, refused, protected = super().get_deleted_objects(objs, request)
        return [str(person) for person in objs], counts, refused, protected

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        person = self.get_object(request, id)
        before = None if person is None else audit.snapshot(person)
        stored = None if person is None else person.password
        with transaction.atomic():
            answer = super().user_change_password(request, id, form_url)
            if person is not None and User.objects.filter(pk=person.pk).exclude(password=stored).exists():
                note(request, "password", person, before)
        return answer


@admin.register(Group)
class HubGroupAdmin(RecordAdmin, GroupAdmin):
    """Groups are Django's own rows: what a group decides is noted in the change log here."""

    form = ModelForm  # type: ignore[assignment]
    list_display = ("name",)
    search_fields = ("name",)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        note_group_gone([obj.pk])
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        note_group_gone(list(queryset.values_list("pk", flat=True)))
        super().delete_queryset(request, queryset)


def note_group_gone(keys: list[int]) -> None:
    """Rules and memberships go with the group by cascade, which the change log does not see by itself."""
    RegistryChange.append(ModelAccess, ModelAccess.objects.filter(group__in=keys).values_list("pk", flat=True))
    RegistryChange.append(User, User.objects.filter(groups__in=keys).values_list("pk", flat=True).distinct())


@admin.register(UserSettings)
class UserSettingsAdmin(RecordAdmin):
    everybodys = True
    list_display = ("user", "key_policy", "default_model", "time_zone")
    list_filter = ("key_policy",)
    list_select_related = ("user", "default_model")
    search_fields = ("user__username", "default_model__name")
    autocomplete_fields = ("user", "default_model")
