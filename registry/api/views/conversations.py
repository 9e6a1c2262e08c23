"""Conversations and their messages, each its owner's alone."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.filters import ConversationFilter
from registry.api.paging import RowPagination
from registry.api.permissions import Access
from registry.api.serializers.conversation import ConversationSerializer, MessageSerializer
from registry.api.views.base import WriteRows
from registry.models import Conversation, Message


class OldestFirst(RowPagination):
    ordering = ("created_at", "id")


class LastTouchedFirst(RowPagination):
    ordering = ("-updated_at", "-id")


class ConversationViewSet(WriteRows):
    """One's own conversations; no administrator reads them here."""

    model = Conversation
    # What a client of the lane may do by chatting it may do here too.
    access = Access(read=("chat", "manage"), write=("chat", "manage"))
    serializer_class = ConversationSerializer
    filterset_class = ConversationFilter
    pagination_class = LastTouchedFirst

    def rows(self, visible: Any) -> Any:
        return visible.select_related("llm_model")

    @extend_schema(responses=MessageSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], filter_backends=(), pagination_class=OldestFirst)
    def messages(self, request: Request, pk: str) -> Response:
        """The conversation's turns, oldest first."""
        conversation = self.get_object()
        rows = Message.objects.visible_to(request.user).filter(conversation=conversation)
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(
            MessageSerializer(page, many=True, context=self.get_serializer_context()).data
        )
