"""What every record shares: UUID keys, visibility on the queryset, and the change log behind the snapshot.

Owns the rules "who sees this row" and "who may change it"; views, admin and the lane ask here and nowhere else.
"""

from __future__ import annotations

import datetime as dt
import os
import time
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

from django.db import connections, models, router, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from registry.models.user import User

AnyUser: TypeAlias = "User | AnonymousUser"


def uuid7() -> uuid.UUID:
    """A UUID version 7 (RFC 9562, method 3): sorts by the quarter of a microsecond it was made in.

    Indexes so grow at their end, and rows that one process makes one after the other keep their order.
    """
    ms, ns = divmod(time.time_ns(), 1_000_000)
    head = ms << 80 | 0x7 << 76 | (ns * 4096 // 1_000_000) << 64
    return uuid.UUID(int=head | 0x2 << 62 | int.from_bytes(os.urandom(8)) >> 2)


class Record(models.Model):
    """A row with a UUID key and its times."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class OwnedQuerySet(models.QuerySet[Any]):
    """Rows that belong to a user, or to everybody (`owner` null: all may see it, admins edit it)."""

    owner_field: ClassVar[str] = "owner"
    shared_when_ownerless: ClassVar[bool] = True

    def visible_to(self, user: AnyUser) -> Self:
        """Rows that `user` may read; none for an anonymous or inactive user."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        own = Q(**{self.owner_field: user})
        if user.is_superuser or self.shared_when_ownerless:
            own |= Q(**{f"{self.owner_field}__isnull": True})
        return self.filter(own)

    def editable_by(self, user: AnyUser) -> Self:
        """Rows that `user` may change: one's own, and the global ones for an admin."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        own = Q(**{self.owner_field: user})
        if user.is_superuser:
            own |= Q(**{f"{self.owner_field}__isnull": True})
        return self.filter(own)

    def shared(self) -> Self:
        return self.filter(**{f"{self.owner_field}__isnull": True})


class LoggedQuerySet(models.QuerySet[Any]):
    """Rows whose bulk writes reach the change log too; `bulk_update` does through `update`."""

    def update(self, **kwargs: Any) -> int:
        if set(kwargs) <= self.model.quiet_fields:
            return super().update(**kwargs)
        with transaction.atomic(using=self.db):
            keys = list(self.values_list("pk", flat=True))
            changed = super().update(**kwargs)
            RegistryChange.append(self.model, keys, using=self.db)
        return changed

    update.alters_data = True  # type: ignore[attr-defined]  # Django's own marker for templates

    def delete(self) -> tuple[int, dict[str, int]]:
        with transaction.atomic(using=self.db):
            RegistryChange.append(self.model, list(self.values_list("pk", flat=True)), using=self.db)
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]  # how Django marks a queryset's method
    delete.queryset_only = True  # type: ignore[attr-defined]  # how Django marks a queryset's method

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        rows = list(objs)
        with transaction.atomic(using=self.db):
            made = super().bulk_create(rows, *args, **kwargs)
            RegistryChange.append(self.model, [row.pk for row in rows], using=self.db)
        return made


class RegistryQuerySet(LoggedQuerySet, OwnedQuerySet):
    """An owned queryset whose bulk writes reach the change log."""


class RegistryRow(models.Model):
    """A row that every worker holds in memory: each write is noted in the change log, in the same transaction.

    Rows deleted by cascade are not noted one by one: whoever reads the log drops what hangs on a deleted row.
    """

    # Fields whose change alone is not worth a note: no worker decides anything by them.
    quiet_fields: ClassVar[frozenset[str]] = frozenset({"last_used_at", "updated_at"})

    class Meta:
        abstract = True

    def save(self, *, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        names = None if update_fields is None else set(update_fields)
        if names is not None and names <= self.quiet_fields:
            super().save(update_fields=names, **kwargs)
            return
        with transaction.atomic(using=using):
            super().save(update_fields=names, **kwargs)
            RegistryChange.append(type(self), [self.pk], using=using)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using):
            RegistryChange.append(type(self), [self.pk], using=using)
            return super().delete(*args, **kwargs)


class RegistryChange(models.Model):
    """One noted write: table and row, numbered in commit order. Workers read it to keep their snapshot fresh."""

    # Registry writes queue behind this lock on PostgreSQL, so that a reader who has seen number n has seen all below.
    ADVISORY_LOCK: ClassVar[int] = 0x11A_0001

    sequence = models.BigAutoField(primary_key=True)
    table = models.CharField(max_length=63)
    row = models.UUIDField()
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("sequence",)

    def __str__(self) -> str:
        return f"{self.sequence} {self.table} {self.row}"

    @classmethod
    def append(cls, model: type[models.Model], keys: Iterable[uuid.UUID], *, using: str = "default") -> None:
        """Note a write of `keys`. Call inside the transaction that writes them."""
        rows = [RegistryChange(table=model._meta.db_table, row=key) for key in keys]
        if not rows:
            return
        if connections[using].vendor == "postgresql":
            with connections[using].cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [cls.ADVISORY_LOCK])
        RegistryChange.objects.using(using).bulk_create(rows)

    @classmethod
    def reaches_back_to(cls, sequence: int) -> bool:
        """Whether all changes after `sequence` are still in the log."""
        return cls.objects.filter(sequence__lte=sequence).exists()

    @classmethod
    def prune(cls, *, older_than: dt.timedelta, at_most: int = 50_000) -> int:
        """Delete old changes, the newest of all excepted; answers how many. A reader that was away for longer finds
        no change up to its own place and loads everything anew."""
        newest = cls.objects.order_by("-sequence").values_list("sequence", flat=True).first()
        old = cls.objects.filter(sequence__lt=newest or 0, at__lt=timezone.now() - older_than)
        # By number: a range is one quick delete, and `at` has no index of its own.
        last = list(old.order_by("sequence").values_list("sequence", flat=True)[:at_most])
        return cls.objects.filter(sequence__lte=last[-1]).delete()[0] if last else 0


def open_to_groups_of(user: Any, rules: type[models.Model], field: str, key: str) -> Q:
    """Rows that no group rule names, or one of `user`'s groups: `rules` are rows of `field` and group."""
    named = rules._default_manager.filter(**{field: OuterRef(key)})
    return Q(~Exists(named) | Exists(named.filter(group__in=user.groups.values("pk"))))


def unique_per_owner(*fields: str, name: str) -> list[models.BaseConstraint]:
    """Unique among the global rows and among each owner's: two constraints, as SQLite has no NULLS NOT DISTINCT."""
    return [
        models.UniqueConstraint(fields=fields, condition=Q(owner__isnull=True), name=f"{name}_global"),
        models.UniqueConstraint(fields=("owner", *fields), condition=Q(owner__isnull=False), name=f"{name}_owned"),
    ]
