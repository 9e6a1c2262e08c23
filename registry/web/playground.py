"""The playground and compare: pages that are clients of the lane. They call no model; they mint the token that may."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from registry.access.tokens import mint_session_token
from registry.models import Conversation, LLMModel, MessageRole, UsageRecord
from registry.web.choices import ModelChoice, usable_models, with_payers
from registry.web.page import person, preferences_of, show, signed_in

COMPARED = 2
MAX_SHOWN_TURNS = 200


@require_GET
@signed_in
def playground(request: HttpRequest) -> HttpResponse:
    conversation = _conversation(request, request.GET["conversation"]) if request.GET.get("conversation") else None
    params = conversation.params if conversation else {}
    context = {
        "conversation": conversation,
        # As text, whatever the locale: number inputs take a point only.
        "temperature": str(params.get("temperature", "")),
        "max_tokens": str(params.get("max_tokens", "")),
        "turns": turns_of(conversation) if conversation else [],
        "choice": _first_choice(request, conversation),
    }
    return show(request, "web/playground.html", context, section="playground")


@require_GET
@signed_in
def compare(request: HttpRequest) -> HttpResponse:
    rows = usable_models(person(request))[:COMPARED]
    choices: list[ModelChoice | None] = [*with_payers(rows, person(request), preferences_of(request))]
    choices += [None] * (COMPARED - len(choices))
    return show(request, "web/compare.html", {"choices": choices}, section="compare")


@require_POST
@signed_in
def token(request: HttpRequest) -> HttpResponse:
    """A short-lived token of the lane for this person's own page. Its plaintext is in this one answer."""
    plaintext, expires_at = mint_session_token(person(request))
    return JsonResponse({"token": plaintext, "expires_at": expires_at.isoformat()})


class ConversationForm(forms.Form):
    title = forms.CharField(required=False, max_length=200)
    model = forms.ModelChoiceField(queryset=LLMModel.objects.none())
    system_prompt = forms.CharField(required=False, max_length=100_000, strip=False)
    temperature = forms.FloatField(required=False, min_value=0, max_value=2)
    max_tokens = forms.IntegerField(required=False, min_value=1, max_value=1_000_000)

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["model"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = LLMModel.objects.usable_by(user)

    def apply(self, conversation: Conversation) -> None:
        """Write the settings onto the conversation and save it."""
        data = self.cleaned_data
        conversation.title = data["title"].strip() or conversation.title
        conversation.llm_model = data["model"]
        conversation.system_prompt = data["system_prompt"]
        given = {name: data[name] for name in ("temperature", "max_tokens") if data[name] is not None}
        kept = {name: value for name, value in conversation.params.items() if name not in ("temperature", "max_tokens")}
        conversation.params = kept | given
        conversation.save()

    def answer(self, conversation: Conversation) -> JsonResponse:
        if not self.is_valid():
            message = " ".join(f"{name}: {text}" for name, texts in self.errors.items() for text in texts)
            return JsonResponse({"error": {"type": "invalid", "message": message}}, status=400)
        self.apply(conversation)
        url = f"{reverse('playground')}?conversation={conversation.pk}"
        return JsonResponse({"id": str(conversation.pk), "url": url})


@require_POST
@signed_in
def create_conversation(request: HttpRequest) -> HttpResponse:
    user = person(request)
    return ConversationForm(request.POST, user=user).answer(Conversation(owner=user))


@require_POST
@signed_in
def change_conversation(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    return ConversationForm(request.POST, user=person(request)).answer(_conversation(request, pk))


@require_POST
@signed_in
def drop_turns(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Forget the turns of one call, so that another answer can take their place. The usage row stays."""
    conversation = _conversation(request, pk)
    request_id = request.POST.get("request_id", "")
    if not request_id:
        return JsonResponse({"error": {"type": "invalid", "message": "request_id is missing."}}, status=400)
    with transaction.atomic():
        dropped, _ = conversation.messages.filter(request_id=request_id).delete()
    return JsonResponse({"dropped": dropped})


def _conversation(request: HttpRequest, key: Any) -> Conversation:
    try:
        pk = key if isinstance(key, uuid.UUID) else uuid.UUID(str(key))
    except ValueError:
        pk = uuid.UUID(int=0)  # nobody's: 404 like any other that is not yours
    rows = Conversation.objects.visible_to(person(request)).select_related("llm_model")
    row: Conversation = get_object_or_404(rows, pk=pk)
    return row


def turns_of(conversation: Conversation) -> list[dict[str, Any]]:
    """The latest turns in order, each answer with its usage row where there is one."""
    rows = conversation.messages.filter(role__in=(MessageRole.USER, MessageRole.ASSISTANT))
    messages = list(rows.order_by("-created_at", "-id")[:MAX_SHOWN_TURNS])[::-1]
    ids = [message.request_id for message in messages if message.request_id]
    usage = {row.request_id: row for row in UsageRecord.objects.filter(user=conversation.owner_id, request_id__in=ids)}
    return [{"message": message, "usage": usage.get(message.request_id)} for message in messages]


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
