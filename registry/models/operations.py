"""What the hub notes about itself: opened endpoints, runtime registrations, discovery, the audit trail."""

from __future__ import annotations

import ipaddress
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from registry.models.base import OwnedQuerySet, Record, RegistryQuerySet, RegistryRow, uuid7
from registry.models.llm_model import LLMModel
from registry.models.provider import Provider


class Audience(models.TextChoices):
    ADMINS = "admins", "global providers, which admins edit"
    GROUP = "group", "the providers of a group's members"
    ALL = "all", "everybody's providers"


class AdminOnlyQuerySet(RegistryQuerySet):
    def visible_to(self, user: Any) -> AdminOnlyQuerySet:
        allowed = user.is_authenticated and user.is_active and user.is_superuser
        return self if allowed else self.none()

    editable_by = visible_to


class EndpointPolicy(RegistryRow, Record):
    """Opens a private host or network to calls. Metadata addresses stay closed whatever stands here."""

    target = models.CharField(max_length=255, help_text="A host name, an address, or a network (10.0.0.0/8).")
    ports = models.JSONField(default=list, blank=True, help_text="Ports; an empty list opens all.")
    audience = models.CharField(max_length=8, choices=Audience.choices, default=Audience.ADMINS)
    group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    note = models.CharField(max_length=300, blank=True)
    enabled = models.BooleanField(default=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    objects = AdminOnlyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "endpoint policies"
        ordering = ("target",)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=Q(audience="group", group__isnull=False) | (~Q(audience="group") & Q(group__isnull=True)),
                name="policy_group_when_for_group",
            )
        ]

    def __str__(self) -> str:
        return f"{self.target} for {self.audience}"

    def clean(self) -> None:
        super().clean()
        if not isinstance(self.ports, list) or not all(
            isinstance(port, int) and not isinstance(port, bool) and 0 < port < 65536 for port in self.ports
        ):
            raise ValidationError({"ports": "This takes a list of port numbers."})
        if "/" in self.target:
            try:
                ipaddress.ip_network(self.target)
            except ValueError as error:
                raise ValidationError({"target": "This is no network."}) from error


class RuntimeRegistration(RegistryRow, Record):
    """An adapter that a program announced for a while; gone when it expires."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    slug = models.SlugField(max_length=64, unique=True)
    provider = models.SlugField(max_length=64)
    label = models.CharField(max_length=120)
    modes = models.JSONField(default=list)
    base_url = models.CharField(max_length=500, blank=True)
    model_names = models.JSONField(default=list, blank=True)
    expires_at = models.DateTimeField()

    objects = RegistryQuerySet.as_manager()

    class Meta:
        ordering = ("slug",)

    def __str__(self) -> str:
        return self.label


class DiscoveryRun(Record):
    """One look at where models can be found, and how it went."""

    provider = models.ForeignKey(
        Provider, null=True, blank=True, on_delete=models.CASCADE, related_name="discovery_runs"
    )
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    source = models.CharField(max_length=80)
    state = models.CharField(
        max_length=16, choices=[("running", "running"), ("done", "done"), ("failed", "failed")], default="running"
    )
    error = models.CharField(max_length=300, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class RunQuerySet(OwnedQuerySet):
        owner_field = "provider__owner"

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.source} {self.state}"


class DiscoveryChange(Record):
    """One difference that a run found; applied only when somebody says so, or a schedule may."""

    run = models.ForeignKey(DiscoveryRun, on_delete=models.CASCADE, related_name="changes")
    kind = models.CharField(max_length=16, choices=[("new", "new"), ("changed", "changed"), ("vanished", "vanished")])
    upstream_id = models.CharField(max_length=200)  # as the provider calls it
    model = models.ForeignKey(LLMModel, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    before = models.JSONField(default=dict, blank=True)
    after = models.JSONField(default=dict, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)

    class ChangeQuerySet(OwnedQuerySet):
        owner_field = "run__provider__owner"

    objects = ChangeQuerySet.as_manager()

    class Meta:
        ordering = ("run", "kind", "upstream_id")

    def __str__(self) -> str:
        return f"{self.kind} {self.upstream_id}"


class AuditEvent(models.Model):
    """Who did what to which row, masked before and after. Rows are only ever added."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField(auto_now_add=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    actor_name = models.CharField(max_length=150, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    action = models.CharField(max_length=32)  # create, change, delete, test, reveal, revoke, ...
    table = models.CharField(max_length=63)
    row = models.UUIDField(null=True)
    label = models.CharField(max_length=200, blank=True)
    before = models.JSONField(default=dict, blank=True)
    after = models.JSONField(default=dict, blank=True)

    class AuditQuerySet(models.QuerySet["AuditEvent"]):
        def visible_to(self, user: Any) -> models.QuerySet[AuditEvent]:
            if not user.is_authenticated or not user.is_active:
                return self.none()
            return self if user.is_superuser else self.filter(actor=user)

    objects = AuditQuerySet.as_manager()

    class Meta:
        ordering = ("-at", "-id")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("-at", "-id"), name="audit_by_time"),
            models.Index(fields=("table", "row"), name="audit_by_row"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action} {self.label}"
