"""Invitation: a one-time link by which somebody makes their account. Only the link's digest is stored."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.utils import timezone

from registry.models.base import Record
from registry.models.user import ADMIN, Role

RANKS = (*Role.choices, (ADMIN, "Admin: everything"))


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def visible_to(self, user: Any) -> InvitationQuerySet:
        """Admins see all, managers those that they could have made."""
        if not user.is_authenticated or not user.is_active or not user.is_manager:
            return self.none()
        return self if user.is_superuser else self.filter(rank__in=[Role.VIEWER, Role.USER])

    def editable_by(self, user: Any) -> InvitationQuerySet:
        return self.visible_to(user)

    def open(self) -> InvitationQuerySet:
        return self.filter(accepted_at=None, revoked_at=None, expires_at__gt=timezone.now())


class Invitation(Record):
    """For one person, once, until it expires; it gives a rank and groups."""

    digest = models.CharField(max_length=64, unique=True, editable=False)
    note = models.CharField(max_length=120, help_text="For whom it is.")
    rank = models.CharField("role", max_length=16, choices=RANKS, default=Role.USER)
    groups = models.ManyToManyField(Group, blank=True, related_name="+")
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")

    def __str__(self) -> str:
        return f"{self.note} as {self.rank}"

    @classmethod
    def make(cls, *, invited_by: Any, note: str, rank: str, life: timedelta) -> tuple[Invitation, str]:
        """Answer the row and the link's secret part, which is shown once."""
        secret = secrets.token_urlsafe(32)
        row = cls(
            digest=digest_of(secret), note=note, rank=rank, invited_by=invited_by, expires_at=timezone.now() + life
        )
        row.full_clean()
        row.save(force_insert=True)
        return row, secret

    @classmethod
    def find(cls, secret: str) -> Invitation | None:
        """The invitation that the link still opens."""
        return cls.objects.open().filter(digest=digest_of(secret)).first()

    def use(self, user: Any) -> bool:
        """Use the invitation up for `user`, who is saved. True for one caller alone; call it in a transaction."""
        now = timezone.now()
        used = Invitation.objects.open().filter(pk=self.pk).update(accepted_at=now, accepted_by=user, updated_at=now)
        if not used:
            return False
        user.give_rank(self.rank)
        user.save()
        user.groups.add(*self.groups.all())
        return True


def digest_of(secret: str) -> str:
    """A plain hash will do: the secret has 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
