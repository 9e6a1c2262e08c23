"""Who uses the hub, and what each person prefers."""

from __future__ import annotations

import zoneinfo
from typing import ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.core.exceptions import ValidationError
from django.db import models

from registry.models.base import LoggedQuerySet, RegistryQuerySet, RegistryRow, uuid7


class Accounts(UserManager["User"]):
    """Django's, with bulk writes in the change log: admin's "delete selected" must end the tokens of those users."""

    use_in_migrations = False

    def get_queryset(self) -> LoggedQuerySet:
        return LoggedQuerySet(self.model, using=self._db)


class User(RegistryRow, AbstractUser):
    """A person or a program's account. `is_superuser` is the hub's admin."""

    quiet_fields: ClassVar[frozenset[str]] = frozenset({"last_login", "password"})

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    objects: ClassVar[Accounts] = Accounts()

    class Meta(AbstractUser.Meta):
        abstract = False


class KeyPolicy(models.TextChoices):
    """Whose key pays: the order in which a user's own and the shared credentials are tried."""

    OWN_FIRST = "own_first", "My own key first, then the shared one"
    OWN_ONLY = "own_only", "Only my own key"
    SHARED_ONLY = "shared_only", "Only the shared key"


def validate_time_zone(value: str) -> None:
    if value not in zoneinfo.available_timezones():
        raise ValidationError(f"{value!r} is not a known time zone.")


class UserSettings(RegistryRow):
    """One row a user, made when first needed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="settings")
    default_model = models.ForeignKey(
        "registry.LLMModel", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    key_policy = models.CharField(max_length=16, choices=KeyPolicy.choices, default=KeyPolicy.OWN_FIRST)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])

    class SettingsQuerySet(RegistryQuerySet):
        owner_field = "user"
        shared_when_ownerless = False

    objects = SettingsQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "user settings"

    def __str__(self) -> str:
        return f"settings of {self.user}"
