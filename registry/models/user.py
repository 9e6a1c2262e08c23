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


class Role(models.TextChoices):
    """What somebody who is no admin may do; `is_superuser` makes an admin, who may do all of it."""

    VIEWER = "viewer", "Viewer: looks at models and their own usage"
    USER = "user", "User: calls models, keeps keys and tokens"
    MANAGER = "manager", "Manager: a user who invites people, keeps service accounts and sees everybody's usage"


# What a role may do at most, in the scopes of tokens: a token is never worth more than its owner at the time of use.
ROLE_SCOPES: dict[str, frozenset[str]] = {
    Role.VIEWER: frozenset({"models", "usage"}),
    Role.USER: frozenset({"chat", "models", "usage", "manage"}),
    Role.MANAGER: frozenset({"chat", "models", "usage", "manage"}),
}
ADMIN = "admin"


class User(RegistryRow, AbstractUser):
    """A person or a program's account. `is_superuser` is the hub's admin."""

    quiet_fields: ClassVar[frozenset[str]] = frozenset({"last_login", "password"})

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.USER)
    is_service = models.BooleanField(
        "service account", default=False, help_text="A program's account: it has tokens and never signs in."
    )
    # Who answers for a service account; it outlives them, and shows that nobody does.
    sponsor = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="service_accounts"
    )

    objects: ClassVar[Accounts] = Accounts()

    class Meta(AbstractUser.Meta):
        abstract = False
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(is_service=False) | models.Q(is_superuser=False, is_staff=False),
                name="user_service_is_no_admin",
            )
        ]

    @property
    def rank(self) -> str:
        """The role as people see it: admin, manager, user or viewer."""
        return ADMIN if self.is_superuser else self.role

    @property
    def is_manager(self) -> bool:
        return self.is_superuser or self.role == Role.MANAGER

    @property
    def scopes(self) -> frozenset[str]:
        """What this account may do, as the scopes of a token."""
        return ROLE_SCOPES[Role.USER] if self.is_superuser else ROLE_SCOPES.get(self.role, frozenset())

    def give_rank(self, rank: str) -> None:
        """Set role and Django's flags alike; saves nothing."""
        self.is_superuser = self.is_staff = rank == ADMIN
        self.role = Role.USER if rank == ADMIN else rank

    def may_give(self, rank: str) -> bool:
        """Admins give every rank, managers those below their own."""
        return self.is_superuser or (self.role == Role.MANAGER and rank in (Role.VIEWER, Role.USER))

    def may_keep(self, other: User) -> bool:
        """Whether this person may change the other's account: managers keep those below them, admins all."""
        return self.is_superuser or (self.is_manager and self.may_give(other.rank))


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
