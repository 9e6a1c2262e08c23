"""Provider: an endpoint that models are called at. Holds no secret; those are credentials."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils import timezone

from adapters.egress import origin_of
from adapters.errors import LLMError
from adapters.kinds import KINDS
from registry.models.base import (
    OwnedQuerySet,
    Record,
    RegistryChange,
    RegistryQuerySet,
    RegistryRow,
    open_to_groups_of,
    unique_per_owner,
    uuid7,
)
from registry.models.headers import validate_public_headers


class AuthType(models.TextChoices):
    BEARER = "bearer", "Authorization: Bearer"
    API_KEY = "api_key", "The provider's own key header"
    NONE = "none", "No key"


class HealthState(models.TextChoices):
    UNKNOWN = "unknown", "not checked yet"
    OK = "ok", "answers"
    FAILING = "failing", "fails"


def kind_choices() -> list[tuple[str, str]]:
    return [(kind, row.label) for kind, row in KINDS.items()]


class Provider(RegistryRow, Record):
    """An endpoint of one adapter kind, for everybody (`owner` null) or for one user."""

    quiet_fields: ClassVar[frozenset[str]] = RegistryRow.quiet_fields | {
        "health_state",
        "health_checked_at",
        "health_error",
        "health_latency_ms",
    }

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="providers"
    )
    slug = models.SlugField(max_length=64)
    name = models.CharField(max_length=120)
    adapter = models.CharField(max_length=32, choices=kind_choices)
    base_url = models.CharField(max_length=500, blank=True)
    auth_type = models.CharField(max_length=16, choices=AuthType.choices, default=AuthType.BEARER)
    settings = models.JSONField(default=dict, blank=True)  # api_version, anthropic_version, headers (no secrets), ...
    timeout_s = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0.1), MaxValueValidator(3600.0)])
    fee_percent = models.DecimalField(
        max_digits=6, decimal_places=3, default=Decimal(0), validators=[MinValueValidator(0), MaxValueValidator(100)]
    )
    enabled = models.BooleanField(default=True)
    dry_run = models.BooleanField(default=False, help_text="Answer by echo; never call or bill the provider.")
    metadata = models.JSONField(default=dict, blank=True)
    template = models.SlugField(max_length=64, blank=True)  # the template it was made from
    health_state = models.CharField(max_length=16, choices=HealthState.choices, default=HealthState.UNKNOWN)
    health_checked_at = models.DateTimeField(null=True, blank=True)
    health_error = models.CharField(max_length=300, blank=True)
    health_latency_ms = models.PositiveIntegerField(null=True, blank=True)

    class ProviderQuerySet(RegistryQuerySet):
        def visible_to(self, user: Any) -> Any:
            """Not the hub's own providers that other groups alone may use."""
            rows = super().visible_to(user)
            if not user.is_authenticated or user.is_superuser:
                return rows
            return rows.filter(models.Q(owner=user) | open_to_groups_of(user, ProviderAccess, "provider", "pk"))

    objects = ProviderQuerySet.as_manager()

    class Meta:
        ordering = ("name", "id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *unique_per_owner("slug", name="provider_slug"),
            models.CheckConstraint(condition=models.Q(fee_percent__gte=0), name="provider_fee_not_negative"),
            models.CheckConstraint(
                condition=models.Q(timeout_s__isnull=True) | models.Q(timeout_s__gt=0), name="provider_timeout_positive"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=("slug",), name="provider_by_slug")]

    def __str__(self) -> str:
        return self.name

    @property
    def origin(self) -> str:
        """`scheme://host:port` that keys of this provider are bound to; empty where nothing is called."""
        return origin_of(self.base_url) if self.base_url else ""

    def clean(self) -> None:
        """Fill the kind's own URL where none is given; refuse a URL that could not be called by anybody."""
        super().clean()
        kind = KINDS.get(self.adapter)
        if kind is None:
            return  # the choices' own error stands
        if not self.base_url:
            self.base_url = kind.base_url
        if not self.base_url and kind.dialect != "stub":
            raise ValidationError({"base_url": f"{kind.label} needs a base URL."})
        if self.timeout_s is not None and not math.isfinite(self.timeout_s):
            raise ValidationError({"timeout_s": "This takes a number of seconds."})
        for name in ("settings", "metadata"):
            if not isinstance(getattr(self, name), dict):
                raise ValidationError({name: "This takes a JSON object."})
        if "headers" in self.settings:
            try:
                validate_public_headers(self.settings["headers"])
            except ValidationError as error:
                raise ValidationError({"settings": error.messages}) from error
        if self.base_url:
            try:
                origin_of(self.base_url)
            except LLMError as error:
                raise ValidationError({"base_url": str(error)}) from error

    def save(self, **kwargs: Any) -> None:
        """Save; where the base URL's origin changed, keys bound to the old one are cleared in the same transaction."""
        with transaction.atomic():
            super().save(**kwargs)
            if kwargs.get("update_fields") is None or "base_url" in kwargs["update_fields"]:
                for credential in self.credentials.exclude(origin=self.origin):
                    credential.clear_secret(f"The provider's address changed from {credential.origin or 'none'}.")

    def note_health(
        self, *, latency_ms: int | None, error: LLMError | None, models: int | None = None, by: Any = None
    ) -> None:
        """Keep the outcome of the last check, and add it to the history. The text is ours, never the upstream's."""
        self.health_state = HealthState.OK if error is None else HealthState.FAILING
        self.health_checked_at = timezone.now()
        self.health_error = str(error)[:300] if error else ""
        self.health_latency_ms = latency_ms
        self.save(update_fields=["health_state", "health_checked_at", "health_error", "health_latency_ms"])
        HealthCheck.objects.create(
            provider=self,
            checked_at=self.health_checked_at,
            ok=error is None,
            latency_ms=latency_ms,
            model_count=models,
            error_code="" if error is None else error.code[:40],
            error=self.health_error,
            checked_by=by,
        )
        HealthCheck.objects.forget_old(self)


class ProviderAccess(Record):
    """A group that may use a provider. A provider with no such row is open to everybody who sees it.

    A write is noted in the change log as one of the provider, whose models the workers then read again.
    """

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="access")
    # Protected: with its last rule gone, a provider would be open to everybody.
    group = models.ForeignKey(Group, on_delete=models.PROTECT, related_name="+")

    class AccessQuerySet(OwnedQuerySet):
        owner_field = "provider__owner"

        def delete(self) -> tuple[int, dict[str, int]]:
            with transaction.atomic(using=self.db):
                RegistryChange.append(Provider, set(self.values_list("provider_id", flat=True)), using=self.db)
                return super().delete()

        delete.queryset_only = True  # type: ignore[attr-defined]  # Django's own marker

        def bulk_create(self, objs: Any, *args: Any, **kwargs: Any) -> list[Any]:
            rows = list(objs)
            with transaction.atomic(using=self.db):
                RegistryChange.append(Provider, {row.provider_id for row in rows}, using=self.db)
                return super().bulk_create(rows, *args, **kwargs)

    objects = AccessQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "provider access"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("provider", "group"), name="provider_access_once_a_group")
        ]

    def __str__(self) -> str:
        return f"{self.group} may use {self.provider}"

    def save(self, **kwargs: Any) -> None:
        with transaction.atomic():
            super().save(**kwargs)
            RegistryChange.append(Provider, [self.provider_id])

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            RegistryChange.append(Provider, [self.provider_id])
            return super().delete(*args, **kwargs)


class HealthCheck(models.Model):
    """One look at whether a provider answers; the newest KEPT of each are kept."""

    KEPT: ClassVar[int] = 500

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="health_checks")
    checked_at = models.DateTimeField()
    ok = models.BooleanField()
    latency_ms = models.PositiveIntegerField(null=True)
    model_count = models.PositiveIntegerField(null=True)  # how many it lists
    error_code = models.CharField(max_length=40, blank=True)
    error = models.CharField(max_length=300, blank=True)
    checked_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    class CheckQuerySet(OwnedQuerySet):
        owner_field = "provider__owner"

        def forget_old(self, provider: Provider) -> None:
            rows = self.filter(provider=provider).order_by("-checked_at", "-id")
            last = list(rows.values_list("checked_at", flat=True)[HealthCheck.KEPT : HealthCheck.KEPT + 1])
            if last:
                self.filter(provider=provider, checked_at__lte=last[0]).delete()

    objects = CheckQuerySet.as_manager()

    class Meta:
        ordering = ("-checked_at", "-id")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("provider", "-checked_at"), name="health_by_provider")
        ]

    def __str__(self) -> str:
        return f"{self.provider} {'answered' if self.ok else self.error_code}"
