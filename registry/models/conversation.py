"""Conversations, their messages, and experiments that compare models on one turn. All are one user's own."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models, router, transaction

from registry.models.base import OwnedQuerySet, Record
from registry.models.llm_model import LLMModel


class PrivateQuerySet(OwnedQuerySet):
    """Rows that are only their owner's; an admin has no way in either."""

    shared_when_ownerless = False


class Conversation(Record):
    """A thread of turns that keeps its own model."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conversations")
    title = models.CharField(max_length=200, blank=True)
    llm_model = models.ForeignKey(
        LLMModel, null=True, blank=True, on_delete=models.SET_NULL, related_name="conversations"
    )
    system_prompt = models.TextField(blank=True)
    params = models.JSONField(default=dict, blank=True)
    tags = models.JSONField(default=list, blank=True)
    archived = models.BooleanField(default=False)

    objects = PrivateQuerySet.as_manager()

    class Meta:
        ordering = ("-updated_at", "-id")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("owner", "-updated_at"), name="conversation_by_owner")
        ]

    def __str__(self) -> str:
        return self.title or f"Conversation {self.id}"

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Wait for a recorder that is adding a turn just now: what it adds goes with the rest."""
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using):
            list(Conversation.objects.using(using).select_for_update().filter(pk=self.pk).values_list("pk"))
            return super().delete(*args, **kwargs)


class Experiment(Record):
    """One prompt put to several models."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="experiments")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="experiments")
    prompt = models.TextField()
    tag = models.CharField(max_length=64, blank=True)
    blind = models.BooleanField(default=False)

    objects = PrivateQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return self.prompt[:60]


class MessageRole(models.TextChoices):
    SYSTEM = "system", "System"
    USER = "user", "User"
    ASSISTANT = "assistant", "Assistant"
    TOOL = "tool", "Tool"


class Message(Record):
    """One turn. `parent` makes branches; several answers with one `experiment` are variants of the same turn."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="children")
    role = models.CharField(max_length=16, choices=MessageRole.choices)
    content = models.TextField(blank=True)
    parts = models.JSONField(default=list, blank=True)  # OpenAI-shaped, where text is not all
    llm_model = models.ForeignKey(LLMModel, null=True, blank=True, on_delete=models.SET_NULL, related_name="messages")
    model_name = models.CharField(max_length=200, blank=True)
    request_id = models.CharField(max_length=64, blank=True, db_index=True)
    finish_reason = models.CharField(max_length=32, blank=True)
    experiment = models.ForeignKey(
        Experiment, null=True, blank=True, on_delete=models.SET_NULL, related_name="variants"
    )

    class MessageQuerySet(PrivateQuerySet):
        owner_field = "conversation__owner"

    objects = MessageQuerySet.as_manager()

    class Meta:
        ordering = ("created_at", "id")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("conversation", "created_at"), name="message_by_conversation")
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=("request_id", "role"), condition=~models.Q(request_id=""), name="message_once_a_request"
            )
        ]

    def __str__(self) -> str:
        return f"{self.role}: {self.content[:60]}"


class Vote(Record):
    """Which variant of an experiment was preferred; null winner is a tie."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="votes")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="votes")
    winner = models.ForeignKey(Message, null=True, blank=True, on_delete=models.CASCADE, related_name="votes_won")

    objects = PrivateQuerySet.as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("experiment", "owner"), name="vote_once")
        ]

    def __str__(self) -> str:
        return f"vote on {self.experiment_id}"
