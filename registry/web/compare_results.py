"""What comparisons came to: win rates, past comparisons, one of them with its answers. All are one's own."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from registry.models import Experiment, LLMModel, UsageRecord, Vote
from registry.web.page import person, show, signed_in
from registry.web.win_rates import scores

PER_PAGE = 20


@require_GET
@signed_in
def results(request: HttpRequest) -> HttpResponse:
    user = person(request)
    mine = Experiment.objects.visible_to(user)
    tag = request.GET.get("tag")
    rows = mine.annotate(variant_count=Count("variants")).prefetch_related(
        Prefetch("votes", queryset=Vote.objects.select_related("winner"))
    )
    if tag is not None:
        rows = rows.filter(tag=tag)
    found = scores(user, tag=tag)
    shared = LLMModel.objects.shared().filter(pk__in=[score.model_id for score in found if score.model_id])
    context = {
        "scores": found,
        "page": Paginator(rows.order_by("-created_at", "-id"), PER_PAGE).get_page(request.GET.get("page")),
        "tags": sorted(set(mine.exclude(tag="").values_list("tag", flat=True))),
        "tag": tag,
        "query": f"tag={tag}" if tag else "",
        "shared": {row.pk: row for row in shared} if user.is_superuser else {},
    }
    return show(request, "web/compare_results.html", context, section="compare")


@require_GET
@signed_in
def experiment(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    user = person(request)
    row = get_object_or_404(Experiment.objects.visible_to(user), pk=pk)
    answers = list(row.conversation.messages.filter(role="assistant").order_by("created_at", "id"))
    usage = {
        record.request_id: record
        for record in UsageRecord.objects.filter(user=user, request_id__in=[one.request_id for one in answers])
    }
    vote = row.votes.select_related("winner").first()
    variants = [{"message": one, "usage": usage.get(one.request_id)} for one in answers if one.experiment_id]
    others = [{"message": one, "usage": usage.get(one.request_id)} for one in answers if not one.experiment_id]
    context = {"row": row, "vote": vote, "variants": variants, "others": others}
    return show(request, "web/experiment.html", context, section="compare")


@signed_in
def delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    row = get_object_or_404(Experiment.objects.editable_by(person(request)), pk=pk)
    if request.method != "POST":
        context = {"title": _("Delete this comparison?"), "what": str(row), "back": "compare_results"}
        return show(request, "web/confirm.html", context, section="compare")
    row.conversation.delete()  # the experiment goes with it
    messages.success(request, _("The comparison was deleted."))
    return redirect("compare_results")
