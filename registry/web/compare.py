"""Compare: one prompt, or a past conversation, put to several models; the vote; the winner's promotion.

A comparison is an experiment with a conversation of its own, kept out of the list of conversations: the lane's journal
keeps what was said, so that a closed tab loses nothing. Calls no model.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from registry.access import audit
from registry.models import Conversation, Experiment, LLMModel, MessageRole, Vote
from registry.web.choices import ModelChoice, usable_models, with_payers
from registry.web.page import address_of, person, preferences_of, show, signed_in
from registry.web.playground import find_conversation
from registry.web.threads import nodes_of

FEWEST, MOST = 2, 6


@require_GET
@signed_in
def compare(request: HttpRequest) -> HttpResponse:
    user = person(request)
    replayed = find_conversation(request, request.GET["conversation"]) if request.GET.get("conversation") else None
    questions = [
        node["question"]["text"] for node in (nodes_of(replayed) if replayed else ()) if node["question"] is not None
    ]
    context = {
        "choices": _choices(request),
        "replayed": replayed,
        "questions": [text for text in questions if text],
        "tags": sorted(set(Experiment.objects.visible_to(user).exclude(tag="").values_list("tag", flat=True)))[:50],
        "limits": {"fewest": FEWEST, "most": MOST},
    }
    return show(request, "web/compare.html", context, section="compare")


def _choices(request: HttpRequest) -> list[ModelChoice | None]:
    """The models that the address names, filled up to two with some that answer."""
    wanted = []
    for text in request.GET.getlist("model")[:MOST]:
        try:
            wanted.append(uuid.UUID(text))
        except ValueError:
            continue
    rows = usable_models(person(request))
    found = {row.pk: row for row in rows.filter(pk__in=wanted)}
    models = [found[key] for key in dict.fromkeys(wanted) if key in found]
    if len(models) < FEWEST:
        models += [row for row in rows.exclude(pk__in=found)[: FEWEST - len(models)]]
    choices: list[ModelChoice | None] = [*with_payers(models, person(request), preferences_of(request))]
    return choices + [None] * (FEWEST - len(choices))


class StartForm(forms.Form):
    prompt = forms.CharField(max_length=200_000, strip=False)
    tag = forms.CharField(required=False, max_length=64)
    blind = forms.BooleanField(required=False)
    system_prompt = forms.CharField(required=False, max_length=100_000, strip=False)


@require_POST
@signed_in
def start(request: HttpRequest) -> HttpResponse:
    form = StartForm(request.POST)
    if not form.is_valid():
        message = " ".join(f"{name}: {text}" for name, texts in form.errors.items() for text in texts)
        return JsonResponse({"error": {"type": "invalid", "message": message}}, status=400)
    data, user = form.cleaned_data, person(request)
    with transaction.atomic():
        thread = Conversation.objects.create(
            owner=user, title=data["prompt"].strip()[:80], system_prompt=data["system_prompt"], archived=True
        )
        row = Experiment.objects.create(
            owner=user, conversation=thread, prompt=data["prompt"], tag=data["tag"].strip(), blind=data["blind"]
        )
    return JsonResponse(
        {
            "id": str(row.pk),
            "conversation": str(thread.pk),
            "vote_url": reverse("experiment_vote", args=[row.pk]),
            "url": reverse("experiment", args=[row.pk]),
        }
    )


@require_POST
@signed_in
def vote(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """`variants`: the requests that were compared, as JSON; `winner`: one of them, or empty for a tie, or absent where
    nobody votes yet. Answers how many of the variants were there, 0 `missing` when all are."""
    row = get_object_or_404(Experiment.objects.editable_by(person(request)), pk=pk)
    try:
        wanted = json.loads(request.POST.get("variants", "[]"))
        known = isinstance(wanted, list) and 0 < len(wanted) <= MOST and all(isinstance(key, str) for key in wanted)
    except ValueError:
        known = False
    winner = request.POST.get("winner")
    if not known or (winner and winner not in wanted):
        return JsonResponse({"error": {"type": "invalid", "message": "variants or winner make no sense."}}, status=400)
    rows = row.conversation.messages.filter(role=MessageRole.ASSISTANT, request_id__in=wanted)
    answers = {message.request_id: message for message in rows}
    missing = len(wanted) - len(answers)
    with transaction.atomic():
        rows.update(experiment=row)
        if winner is not None and (not winner or winner in answers):
            Vote.objects.update_or_create(
                experiment=row, owner=person(request), defaults={"winner": answers[winner] if winner else None}
            )
    chosen = answers.get(winner or "")
    body: dict[str, Any] = {"missing": missing, "model": chosen.model_name if chosen else ""}
    if chosen and chosen.llm_model and _may_put_first(request, chosen.llm_model):
        body["first_url"] = reverse("model_first", args=[chosen.llm_model_id])
        body["tier"] = chosen.llm_model.get_tier_display()
    return JsonResponse(body)


def _may_put_first(request: HttpRequest, model: LLMModel) -> bool:
    return bool(person(request).is_superuser) and model.owner_id is None


@require_POST
@signed_in
def put_first(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Make a shared model the first of its tier: an administrator's matter, since it is everybody's tier."""
    model = get_object_or_404(LLMModel.objects.usable_by(person(request)), pk=pk)
    if not _may_put_first(request, model):
        raise PermissionDenied
    before = audit.snapshot(model)
    with transaction.atomic():
        model.put_first()
        audit.record(person(request), "change", model, before, audit.snapshot(model), address_of(request))
    messages.success(
        request,
        _("%(model)s is now the first of the tier %(tier)s.") % {"model": model, "tier": model.get_tier_display()},
    )
    return redirect("compare_results")
