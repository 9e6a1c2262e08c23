"""Conversations and what belongs to them: each admin sees their own alone, as everybody does."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from registry.admin.base import RecordAdmin
from registry.models import Conversation, Experiment, Message, Vote


class PrivateAdmin(RecordAdmin):
    """Looked at and deleted here; written in the playground and the lane."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Conversation)
class ConversationAdmin(PrivateAdmin):
    list_display = ("__str__", "llm_model", "archived", "updated_at")
    list_filter = ("archived", "updated_at")
    list_select_related = ("llm_model", "owner")
    search_fields = ("title",)


@admin.register(Message)
class MessageAdmin(PrivateAdmin):
    list_display = ("__str__", "conversation", "model_name", "finish_reason", "created_at")
    list_filter = ("role", "created_at")
    list_select_related = ("conversation",)
    search_fields = ("content", "model_name", "=request_id")


@admin.register(Experiment)
class ExperimentAdmin(PrivateAdmin):
    list_display = ("__str__", "tag", "blind", "created_at")
    list_filter = ("blind",)
    list_select_related = ("conversation",)
    search_fields = ("prompt", "tag")


@admin.register(Vote)
class VoteAdmin(PrivateAdmin):
    list_display = ("experiment", "winner", "created_at")
    list_filter = ("created_at",)
    list_select_related = ("experiment", "winner")
    search_fields = ("experiment__prompt", "experiment__tag")
