"""People, their groups and preferences. Never what they wrote."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group
from django.db import models, transaction
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse

from registry.access import audit
from registry.admin.base import ReadOnlyAdmin, RecordAdmin, note
from registry.models import Invitation, ModelAccess, RegistryChange, User, UserSettings

admin.site.unregister(Group)
# allauth's own rows hold secrets (an app's key, an issuer's), or say what the pages of people say better.
for _model in (EmailAddress, Authenticator, SocialAccount, SocialApp, SocialToken, UserSession):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


class RankedPeople:
    """Whoever is no admin can't make one, and can't touch one."""

    def may_touch(self, request: HttpRequest, obj: Any) -> bool:
        return bool(getattr(request.user, "is_superuser", False)) or obj is None or not obj.is_superuser


@admin.register(User)
class HubUserAdmin(RankedPeople, RecordAdmin, UserAdmin):  # type: ignore[type-arg]  # generic to the stubs alone
    form = UserChangeForm  # type: ignore[assignment]  # Django's own, with its link to the password
    list_display = (
        "username",
        "email",
        "first_name",
        "last_name",
        "is_staff",
        "is_superuser",
        "role",
        "is_service",
        "is_active",
        "last_login",
    )
    list_filter = ("role", "is_service", "is_superuser", "is_active", "groups")
    fieldsets = (*UserAdmin.fieldsets, ("Role", {"fields": ("role", "is_service", "sponsor")}))  # type: ignore[misc]  # the stubs allow None
    autocomplete_fields = ("sponsor",)
    search_fields = ("username", "first_name", "last_name", "email")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self.may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self.may_touch(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        ranks = (
            ()
            if request.user.is_superuser
            else ("is_staff", "is_superuser", "groups", "user_permissions", "role", "is_service", "sponsor")
        )
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

    form = ModelForm  # type: ignore[assignment]  # every field as it is, instead of GroupAdmin's
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


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    """Made and withdrawn on the page of people, which alone can show a link."""

    list_display = ("note", "rank", "invited_by", "expires_at", "accepted_by", "revoked_at")
    list_filter = ("rank",)
    list_select_related = ("invited_by", "accepted_by")
    search_fields = ("note", "invited_by__username", "accepted_by__username")
    exclude = ("digest",)
