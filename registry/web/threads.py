"""A conversation as a tree of turns: each a question with its answer, named by its request. Owns where a turn hangs.

The recorder writes what was said, in the order of time; the page that asked tells afterwards which turn a question
followed and what came with it (images, tools' results). Turns that nobody placed follow the one before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction

from registry.models import Conversation, Message, MessageRole, UsageRecord

MAX_TURNS = 400  # messages read for a page, the latest
ROOTS: Final = "roots"  # in a conversation's params: the turns that begin it, besides the first
_IMAGE = re.compile(r"data:image/(?:png|jpeg|webp|gif);base64,[A-Za-z0-9+/=]+")


def nodes_of(conversation: Conversation) -> list[dict[str, Any]]:
    """The turns in the order of time, as static/hub/js/thread.js takes them."""
    rows = conversation.messages.filter(role__in=(MessageRole.USER, MessageRole.ASSISTANT)).select_related("parent")
    messages = list(rows.order_by("-created_at", "-id")[:MAX_TURNS])[::-1]
    nodes = _paired(messages)
    roots = set(conversation.params.get(ROOTS, ()))
    before = None
    for node in nodes:
        if node["parent"] is None and node["id"] not in roots:
            node["parent"] = before
        before = node["id"]
    known = {node["id"] for node in nodes}
    for node in nodes:
        if node["parent"] not in known:
            node["parent"] = None
    _add_facts(conversation, nodes)
    return nodes


def _paired(messages: Iterable[Message]) -> list[dict[str, Any]]:
    nodes: dict[str, dict[str, Any]] = {}
    for message in messages:
        key = message.request_id or str(message.pk)
        if message.role == MessageRole.ASSISTANT and not message.request_id and nodes:
            last = next(reversed(nodes))
            key = last if nodes[last]["answer"] is None else key
        node = nodes.setdefault(key, {"id": key, "parent": None, "question": None, "answer": None, "usage": None})
        if message.role == MessageRole.USER:
            node["question"] = {"text": message.content, "parts": message.parts}
            if message.parent_id and message.parent is not None:
                node["parent"] = message.parent.request_id or str(message.parent_id)
        else:
            node["answer"] = {"text": message.content, "parts": message.parts, "model": message.model_name}
    return list(nodes.values())


def _add_facts(conversation: Conversation, nodes: list[dict[str, Any]]) -> None:
    rows = UsageRecord.objects.filter(user=conversation.owner_id, request_id__in=[node["id"] for node in nodes])
    usage = {row.request_id: row for row in rows}
    for node in nodes:
        if row := usage.get(node["id"]):
            node["usage"] = {
                "input": row.input_tokens,
                "output": row.output_tokens,
                "cost": None if row.cost is None else float(row.cost),
                "latencyMs": row.latency_ms,
                "firstTokenMs": row.first_token_ms,
                "scope": row.credential_scope,
                "stopped": row.state == "aborted",
            }


def check_parts(value: Any) -> None:
    """Images as data, tools' results and calls; nothing that a page would have to load from somewhere else."""
    if not isinstance(value, list) or len(value) > 32:
        raise ValidationError("This takes a list of at most 32 parts.")
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "image_url":
            image = part.get("image_url")
            url = image.get("url") if isinstance(image, dict) else None
            known = isinstance(url, str) and _IMAGE.fullmatch(url) is not None
        elif kind == "tool_result":
            known = all(isinstance(part.get(name), str) for name in ("id", "name", "content"))
        elif kind == "tool_call":
            known = all(isinstance(part.get(name), str) for name in ("id", "name", "arguments"))
        else:
            known = False
        if not known:
            raise ValidationError("There is a part of a kind that is not kept.")


class PlaceForm(forms.Form):
    """Where a turn hangs and what came with it."""

    request_id = forms.CharField(max_length=64)
    parent = forms.CharField(required=False, max_length=64)  # the turn's before; empty: it begins the conversation
    question = forms.JSONField(required=False, validators=[check_parts])
    answer = forms.JSONField(required=False, validators=[check_parts])

    def place(self, conversation: Conversation) -> int:
        """How many messages of the turn were there to be placed: 0 until the recorder has written them."""
        data = self.cleaned_data
        with transaction.atomic():
            rows = {message.role: message for message in conversation.messages.filter(request_id=data["request_id"])}
            asked, answered = rows.get(MessageRole.USER), rows.get(MessageRole.ASSISTANT)
            if asked is not None:
                _hang(conversation, asked, data["parent"])
                asked.parts = data["question"] or []
                if any(part["type"] == "tool_result" for part in asked.parts):
                    asked.content = ""  # the recorder repeats the question that the tools were called for
                asked.save(update_fields=["parent", "parts", "content"])
            if answered is not None and data["answer"]:
                answered.parts = data["answer"]
                answered.save(update_fields=["parts"])
        return len(rows)


def _hang(conversation: Conversation, asked: Message, parent: str) -> None:
    if parent:
        before = conversation.messages.filter(request_id=parent).exclude(pk=asked.pk)
        asked.parent = before.order_by("role").first()  # the answer, else the question
        return
    asked.parent = None
    locked = Conversation.objects.select_for_update().get(pk=conversation.pk)
    if asked.request_id not in (roots := list(locked.params.get(ROOTS, ()))):
        locked.params = locked.params | {ROOTS: [*roots, asked.request_id]}
        locked.save(update_fields=["params"])
