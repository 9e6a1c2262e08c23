"""The playground: a page that is a client of the lane. It calls no model; it mints the token that may."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET, require_POST

from registry.access.tokens import mint_session_token
from registry.models import Conversation
from registry.web.choices import ModelChoice, usable_models, with_payers
from registry.web.conversation_form import ConversationForm
from registry.web.page import person, preferences_of, show, signed_in
from registry.web.threads import PlaceForm, nodes_of


@require_GET
@signed_in
def playground(request: HttpRequest) -> HttpResponse:
    conversation = find_conversation(request, request.GET["conversation"]) if request.GET.get("conversation") else None
    params = conversation.params if conversation else {}
    context = {
        "conversation": conversation,
        # As text, whatever the locale: number inputs take a point only.
        "temperature": str(params.get("temperature", "")),
        "top_p": str(params.get("top_p", "")),
        "max_tokens": str(params.get("max_tokens", "")),
        "tools": json.dumps(params["tools"], indent=2) if params.get("tools") else "",
        "schema": json.dumps(params["schema"], indent=2) if params.get("schema") else "",
        "documents": params.get("documents", []),
        "nodes": nodes_of(conversation) if conversation else [],
        "choice": _first_choice(request, conversation),
    }
    return show(request, "web/playground.html", context, section="playground")


@require_POST
@signed_in
def token(request: HttpRequest) -> HttpResponse:
    """A short-lived token of the lane for this person's own page. Its plaintext is in this one answer."""
    plaintext, expires_at = mint_session_token(person(request))
    return JsonResponse({"token": plaintext, "expires_at": expires_at.isoformat()})


@require_POST
@signed_in
def create_conversation(request: HttpRequest) -> HttpResponse:
    user = person(request)
    return ConversationForm(request.POST, user=user).answer(Conversation(owner=user))


@require_POST
@signed_in
def change_conversation(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    return ConversationForm(request.POST, user=person(request)).answer(find_conversation(request, pk))


@require_POST
@signed_in
def drop_turns(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Forget the turns of one call, so that another answer can take their place. The usage row stays."""
    conversation = find_conversation(request, pk)
    request_id = request.POST.get("request_id", "")
    if not request_id:
        return JsonResponse({"error": {"type": "invalid", "message": "request_id is missing."}}, status=400)
    with transaction.atomic():
        dropped, _ = conversation.messages.filter(request_id=request_id).delete()
    return JsonResponse({"dropped": dropped})


@require_POST
@signed_in
def place_turn(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Say where a turn hangs: after which other, with which images and tools' results."""
    conversation = find_conversation(request, pk)
    form = PlaceForm(request.POST)
    if not form.is_valid():
        message = " ".join(f"{name}: {text}" for name, texts in form.errors.items() for text in texts)
        return JsonResponse({"error": {"type": "invalid", "message": message}}, status=400)
    return JsonResponse({"placed": form.place(conversation)})


def find_conversation(request: HttpRequest, key: Any) -> Conversation:
    try:
        pk = key if isinstance(key, uuid.UUID) else uuid.UUID(str(key))
    except ValueError:
        pk = uuid.UUID(int=0)  # nobody's: 404 like any other that is not yours
    rows = Conversation.objects.visible_to(person(request)).select_related("llm_model")
    row: Conversation = get_object_or_404(rows, pk=pk)
    return row


def _first_choice(request: HttpRequest, conversation: Conversation | None) -> ModelChoice | None:
    """The model that the page starts with: asked for by URL, the conversation's, one's default, the hub's, any."""
    user, preferences = person(request), preferences_of(request)
    wanted: list[Any] = [conversation.llm_model_id if conversation else None, preferences.default_model_id]
    try:
        wanted.insert(0, uuid.UUID(request.GET.get("model", "")))
    except ValueError:
        pass  # no model in the URL, or none that could be one
    rows = usable_models(user)
    found = {model.pk: model for model in rows.filter(pk__in=[key for key in wanted if key])}
    model = next((found[key] for key in wanted if key in found), None)
    model = model or rows.order_by("-is_default", "name").first()
    return with_payers([model], user, preferences)[0] if model else None
