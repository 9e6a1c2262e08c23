"""Conversations and their messages; only their owner meets them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from registry.api.fields import FlagField, JsonObjectField, RowField, TextListField
from registry.api.serializers.base import RowSerializer
from registry.models import Conversation, LLMModel, Message


class ConversationSerializer(RowSerializer):
    llm_model = RowField(
        LLMModel,
        slug_field="name",
        among=lambda manager, user: manager.usable_by(user),
        required=False,
        allow_null=True,
        help_text="Name or id of a model that you may use; null leaves the choice to the hub.",
    )
    llm_model_id = serializers.UUIDField(read_only=True)
    params = JsonObjectField(required=False)
    tags = TextListField(required=False, max_chars=64)
    archived = FlagField(required=False)

    class Meta:
        model = Conversation
        fields = (
            *("id", "title", "llm_model", "llm_model_id", "system_prompt", "params", "tags", "archived"),
            *("created_at", "updated_at"),
        )
        read_only_fields = ("created_at", "updated_at")

    def create(self, validated_data: dict[str, Any]) -> Any:
        return super().create({**validated_data, "owner": self.user})


class MessageSerializer(RowSerializer):
    class Meta:
        model = Message
        fields = (
            *("id", "parent", "role", "content", "parts", "llm_model", "model_name", "request_id", "finish_reason"),
            *("experiment", "created_at"),
        )
        read_only_fields = fields
