"""Keeps what was said in a conversation, from the lines of the calls that named it. Part of the recorder's batch."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.utils import timezone

from registry.models import Conversation, Message, MessageRole, UsageRecord
from registry.usage.columns import key, plain_json, text

Turn = tuple[UsageRecord, Mapping[str, Any]]


def conversations_of(turns: Iterable[Mapping[str, Any]]) -> dict[uuid.UUID, Any]:
    """The conversations that turns name and that exist, with their owners; they stay until the transaction ends."""
    named = {found for turn in turns if (found := key(turn.get("conversation_id"))) is not None}
    if not named:
        return {}
    rows = Conversation.objects.select_for_update(no_key=True).filter(pk__in=named).order_by("pk")
    return dict(rows.values_list("pk", "owner_id"))


def write_turns(turns: Sequence[Turn], owners: Mapping[uuid.UUID, Any]) -> None:
    """Keep what was said in the conversations that are the caller's own."""
    messages: list[Message] = []
    for row, turn in turns:
        conversation = key(turn.get("conversation_id"))
        if conversation is not None and conversation in owners and owners[conversation] == row.user_id:
            messages.extend(_messages(conversation, row, turn))
    if not messages:
        return
    moments = {message.pk: message.created_at for message in messages}
    Message.objects.bulk_create(messages, ignore_conflicts=True)
    # The insert stamps its own time on every row; a backlog would come out in the order of files.
    for message in messages:
        message.created_at = moments[message.pk]
    Message.objects.bulk_update(messages, ["created_at"])
    Conversation.objects.filter(pk__in={message.conversation_id for message in messages}).update(
        updated_at=timezone.now()
    )


def _messages(conversation_id: uuid.UUID, row: UsageRecord, turn: Mapping[str, Any]) -> list[Message]:
    said, parts = text(turn.get("user_text")), turn.get("user_parts")
    asked = answered = None
    if said or parts:
        asked = Message(role=MessageRole.USER, content=said, parts=plain_json(parts) or [], created_at=row.created_at)
    reply, parts = text(turn.get("reply_text")), turn.get("reply_parts")
    if reply or parts:
        answered = Message(
            role=MessageRole.ASSISTANT,
            content=reply,
            parts=plain_json(parts) or [],
            created_at=row.settled_at or row.created_at,
            finish_reason=text(turn.get("finish_reason"), 32),
            llm_model_id=row.model_id,
            model_name=row.model_name,
            parent=asked,
        )
    messages = [message for message in (asked, answered) if message is not None]
    for message in messages:
        message.conversation_id, message.request_id = conversation_id, row.request_id
    return messages
