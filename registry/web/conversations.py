"""One's own conversations: find, rename, export, delete."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Exists, OuterRef, Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_POST

from registry.models import Conversation, Message
from registry.web.page import is_partial, person, show, signed_in
from registry.web.threads import ROOTS

PER_PAGE = 30


@require_GET
@signed_in
def conversations(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "").strip()[:200]
    rows = (
        Conversation.objects.visible_to(person(request))
        .filter(archived=False)
        .select_related("llm_model")
        .defer("params")
    )
    if text:
        said = Message.objects.filter(conversation=OuterRef("pk"), content__icontains=text)
        rows = rows.filter(Q(title__icontains=text) | Exists(said))
    rows = rows.annotate(message_count=Count("messages")).order_by("-updated_at", "-id")
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    context: dict[str, Any] = {"page": page, "text": text, "query": query.urlencode()}
    template = "web/conversations_results.html" if is_partial(request) else "web/conversations.html"
    return show(request, template, context, section="conversations")


@require_POST
@signed_in
def rename(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    row = _mine(request, pk)
    row.title = request.POST.get("title", "").replace("\x00", "").strip()[:200]
    row.save(update_fields=["title"])  # not updated_at: the list stays in the order of use
    messages.success(request, "Renamed.")
    return redirect("conversations")


@require_GET
@signed_in
def export(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The thread as JSON in the shape of OpenAI's chat messages."""
    row = _mine(request, pk)
    thread = [
        {
            "role": message.role,
            "content": message.parts or message.content,
            "model": message.model_name,
            "created_at": message.created_at.isoformat(),
        }
        for message in row.messages.all()
    ]
    if row.system_prompt:
        thread.insert(0, {"role": "system", "content": row.system_prompt})
    body = {
        "title": row.title,
        "model": row.llm_model.name if row.llm_model else None,
        "params": {name: value for name, value in row.params.items() if name != ROOTS},
        "messages": thread,
    }
    response = JsonResponse(body, json_dumps_params={"indent": 2, "ensure_ascii": False})
    response["Content-Disposition"] = f'attachment; filename="{slugify(row.title)[:60] or "conversation"}.json"'
    return response


@signed_in
def delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    row = _mine(request, pk)
    if request.method != "POST":
        context = {"title": "Delete this conversation?", "what": str(row), "back": "conversations"}
        return show(request, "web/confirm.html", context, section="conversations")
    row.delete()
    messages.success(request, "The conversation was deleted.")
    return redirect("conversations")


def _mine(request: HttpRequest, pk: uuid.UUID) -> Conversation:
    row: Conversation = get_object_or_404(Conversation.objects.editable_by(person(request)), pk=pk)
    return row
