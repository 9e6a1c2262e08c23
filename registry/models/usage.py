"""Usage: one row a call, one a try upstream, hourly sums. Names are kept, so that rows outlive what they point to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models

from registry.models.access_token import AccessToken
from registry.models.base import OwnedQuerySet, uuid7
from registry.models.credential import Credential
from registry.models.llm_model import LLMModel
from registry.models.provider import Provider


class UsageState(models.TextChoices):
    RUNNING = "running", "running"
    OK = "ok", "ok"
    OK_ESTIMATED = "ok_estimated", "ok, usage estimated"
    ABORTED = "aborted", "the client left"
    TRUNCATED = "truncated", "the upstream broke off"
    TIMEOUT = "timeout", "timed out"
    ERROR = "error", "failed"
    REJECTED = "rejected", "never sent"
    ABANDONED = "abandoned", "the worker died"


class UsageSource(models.TextChoices):
    PROVIDER = "provider", "reported by the provider"
    ESTIMATED = "estimated", "estimated"
    NONE = "none", "none"


class CostStatus(models.TextChoices):
    EXACT = "exact", "exact"
    ESTIMATED = "estimated", "estimated"
    UNPRICED = "unpriced", "no price known"


class CredentialScope(models.TextChoices):
    OWN = "own", "the caller's own key"
    SHARED = "shared", "a shared key"
    ENVIRONMENT = "environment", "a key from the environment"
    NONE = "none", "no key"


def token_count() -> models.PositiveBigIntegerField[Any, Any]:
    """Tokens; null is "not reported"."""
    return models.PositiveBigIntegerField(null=True, blank=True)


def cost_field() -> models.DecimalField[Any, Any]:
    """USD; null is unknown, never 0."""
    return models.DecimalField(max_digits=18, decimal_places=9, null=True, blank=True)


class TokenCounts(models.Model):
    """Tokens by kind, and what they cost."""

    input_tokens = token_count()
    output_tokens = token_count()
    cache_read_tokens = token_count()
    cache_write_tokens = token_count()
    reasoning_tokens = token_count()
    cost = cost_field()

    class Meta:
        abstract = True


class UsageQuerySet(OwnedQuerySet):
    owner_field = "user"
    shared_when_ownerless = False

    def visible_to(self, user: Any) -> UsageQuerySet:
        """One's own calls; admins and managers see everybody's (whom they cost, never what was said)."""
        if user.is_authenticated and user.is_active and user.is_manager:
            return self
        return super().visible_to(user)

    def editable_by(self, user: Any) -> UsageQuerySet:
        return self.none()


class UsageRecord(TokenCounts):
    """One call, settled or running. Written by the recorder alone, idempotent by `request_id`."""

    # The budgets that paid, as the journal says: kept until the row is saved, in no column.
    budget_shares: Any = ()

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    request_id = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="usage_records"
    )
    username = models.CharField(max_length=150, blank=True)
    token = models.ForeignKey(AccessToken, null=True, on_delete=models.SET_NULL, related_name="usage_records")
    token_name = models.CharField(max_length=80, blank=True)
    model = models.ForeignKey(LLMModel, null=True, on_delete=models.SET_NULL, related_name="usage_records")
    model_name = models.CharField(max_length=200, blank=True)
    upstream_model = models.CharField(max_length=200, blank=True)  # what the provider says answered
    provider = models.ForeignKey(Provider, null=True, on_delete=models.SET_NULL, related_name="usage_records")
    provider_slug = models.CharField(max_length=64, blank=True)
    credential = models.ForeignKey(Credential, null=True, on_delete=models.SET_NULL, related_name="usage_records")
    credential_scope = models.CharField(max_length=16, choices=CredentialScope.choices, default=CredentialScope.NONE)
    conversation_id = models.UUIDField(null=True, blank=True)
    operation = models.CharField(max_length=16, default="chat")  # chat, embeddings, images
    dialect = models.CharField(max_length=32, blank=True)  # the client's
    streamed = models.BooleanField(default=False)
    requested = models.CharField(max_length=300, blank=True)  # what the client named
    reason = models.CharField(max_length=300, blank=True)  # why this model was chosen
    tags = models.JSONField(default=list, blank=True)
    state = models.CharField(max_length=16, choices=UsageState.choices, default=UsageState.RUNNING)
    error_code = models.CharField(max_length=64, blank=True)
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    finish_reason = models.CharField(max_length=32, blank=True)
    usage_source = models.CharField(max_length=16, choices=UsageSource.choices, default=UsageSource.NONE)
    cost_status = models.CharField(max_length=16, choices=CostStatus.choices, default=CostStatus.UNPRICED)
    cost_input = cost_field()
    cost_output = cost_field()
    cost_cache_read = cost_field()
    cost_cache_write = cost_field()
    cost_reasoning = cost_field()
    cost_image = cost_field()
    cost_fee = cost_field()
    provider_cost = cost_field()  # what the provider says it was
    price_version = models.UUIDField(null=True, blank=True)  # the ModelPrice used
    attempts = models.PositiveSmallIntegerField(default=0)
    latency_ms = models.PositiveIntegerField(null=True, blank=True)
    first_token_ms = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)

    objects = UsageQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("-created_at", "-id"), name="usage_by_time"),
            models.Index(fields=("user", "-created_at", "-id"), name="usage_by_user"),
            models.Index(fields=("token", "-created_at"), name="usage_by_token"),
            models.Index(fields=("model", "-created_at"), name="usage_by_model"),
            models.Index(fields=("provider", "-created_at"), name="usage_by_provider"),
            models.Index(fields=("created_at",), condition=models.Q(state="running"), name="usage_still_running"),
        ]

    def __str__(self) -> str:
        return f"{self.request_id} {self.state}"


class UsageAttempt(TokenCounts):
    """One try upstream within a call."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    record = models.ForeignKey(UsageRecord, on_delete=models.CASCADE, related_name="tries")
    number = models.PositiveSmallIntegerField()
    model = models.ForeignKey(LLMModel, null=True, on_delete=models.SET_NULL, related_name="+")
    model_name = models.CharField(max_length=200, blank=True)
    provider_slug = models.CharField(max_length=64, blank=True)
    credential = models.ForeignKey(Credential, null=True, on_delete=models.SET_NULL, related_name="+")
    credential_scope = models.CharField(max_length=16, choices=CredentialScope.choices, default=CredentialScope.NONE)
    state = models.CharField(max_length=16, choices=UsageState.choices, default=UsageState.RUNNING)
    error_code = models.CharField(max_length=64, blank=True)
    upstream_status = models.PositiveSmallIntegerField(null=True, blank=True)
    upstream_request_id = models.CharField(max_length=200, blank=True)
    latency_ms = models.PositiveIntegerField(null=True, blank=True)
    first_token_ms = models.PositiveIntegerField(null=True, blank=True)
    started_at = models.DateTimeField()

    class AttemptQuerySet(UsageQuerySet):
        owner_field = "record__user"

    objects = AttemptQuerySet.as_manager()

    class Meta:
        ordering = ("record", "number")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("record", "number"), name="attempt_number")
        ]

    def __str__(self) -> str:
        return f"{self.record_id} try {self.number}: {self.state}"


def hour_of(when: dt.datetime) -> dt.datetime:
    return when.replace(minute=0, second=0, microsecond=0)


class SumsQuerySet(models.QuerySet[Any]):
    def visible_to(self, user: Any) -> Self:
        if not user.is_authenticated or not user.is_active:
            return self.none()
        return self.all() if user.is_manager else self.filter(user_key=user.pk)


class Sums(models.Model):
    """What is added up of settled calls. Written with the rows that it sums."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    digest = models.CharField(max_length=64)  # of the time and all dimensions: one row each, null or not
    calls = models.PositiveBigIntegerField(default=0)
    errors = models.PositiveBigIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cache_read_tokens = models.PositiveBigIntegerField(default=0)
    reasoning_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=20, decimal_places=9, default=Decimal(0))
    unpriced_calls = models.PositiveBigIntegerField(default=0)
    latency_ms = models.PositiveBigIntegerField(default=0)  # sum
    first_token_ms = models.PositiveBigIntegerField(default=0)  # sum over calls that have one
    first_token_calls = models.PositiveBigIntegerField(default=0)

    class Meta:
        abstract = True


class UsageSums(Sums):
    """Sums by who, what, whose key and which tags."""

    user_key = models.UUIDField(null=True)  # keys without constraint: sums outlive what they point to
    username = models.CharField(max_length=150, blank=True)
    token_key = models.UUIDField(null=True)
    token_name = models.CharField(max_length=80, blank=True)
    model_key = models.UUIDField(null=True)
    model_name = models.CharField(max_length=200, blank=True)
    provider_slug = models.CharField(max_length=64, blank=True)
    credential_scope = models.CharField(max_length=16, blank=True)
    tags = models.TextField(blank=True, default="")  # as `tags_key` writes them

    objects = SumsQuerySet.as_manager()

    class Meta:
        abstract = True


class UsageRollup(UsageSums):
    """Sums of an hour."""

    hour = models.DateTimeField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("digest",), name="rollup_once")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("hour",), name="rollup_by_hour"),
            models.Index(fields=("user_key", "hour"), name="rollup_by_user"),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00 {self.model_name} {self.calls}"


class UsageDay(UsageSums):
    """Sums of a UTC day: the hours again, so that a year stays quick to read."""

    day = models.DateTimeField()  # midnight

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("digest",), name="usage_day_once")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("day",), name="usage_day_by_day"),
            models.Index(fields=("user_key", "day"), name="usage_day_by_user"),
            models.Index(fields=("token_key", "day"), name="usage_day_by_token"),
            models.Index(fields=("model_key", "day"), name="usage_day_by_model"),
            models.Index(fields=("provider_slug", "day"), name="usage_day_by_provider"),
        ]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.model_name} {self.calls}"


class UsageSlice(Sums):
    """Everybody's sums by one thing alone: what a page over all calls reads, whatever the number of people and tokens.

    `kind` "hour": all calls of the hour `at`. "day": all of the UTC day `at`. Else a grouping ("model", "token", ...)
    of the UTC day: one row for each model, token, ..., and for each tag of a call.
    """

    kind = models.CharField(max_length=16)
    at = models.DateTimeField()
    key = models.UUIDField(null=True)  # of the model, user or token
    label = models.CharField(max_length=200, blank=True)  # what people read

    class SliceQuerySet(models.QuerySet[Any]):
        def visible_to(self, user: Any) -> Self:
            return self.all() if user.is_authenticated and user.is_active and user.is_manager else self.none()

    objects = SliceQuerySet.as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("digest",), name="usage_slice_once")
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=("kind", "at"), name="usage_slice_by_kind")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H}:00 {self.kind} {self.label} {self.calls}"


def tags_key(tags: Iterable[str]) -> str:
    """Several tags as one text, "" for none: ",a,b,", in order, so that ",a," finds each row that has it."""
    known = sorted({tag.replace(",", " ") for tag in tags if tag})
    return f",{','.join(known)}," if known else ""
