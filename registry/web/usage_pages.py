"""Usage as people look at it: a period's sums, drawn and by group; budgets and what is left; single calls; CSV."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from registry.models import AccessToken, Budget, LLMModel, UsageDay, UsageRecord, User
from registry.models.budget import window_of
from registry.usage.queries import Report, SummaryRow, report
from registry.web.page import is_partial, person, show, signed_in
from registry.web.usage_calls import PER_PAGE, calls_of, csv_of, cursor_of, line
from registry.web.usage_chart import build_chart, moments_of, most
from registry.web.usage_period import NARROWED, Asked, UsageForm

MAX_GROUPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A line of the table of groups."""

    row: SummaryRow
    name: str
    narrow: str  # the query that narrows the page to it; "" where it can't


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLine:
    budget: Budget
    subject: str
    ends_at: dt.datetime | None


@require_GET
@signed_in
def usage(request: HttpRequest) -> HttpResponse:
    form, asked = _asked(request)
    user = person(request)
    if is_partial(request) and request.GET.get("after"):
        return show(request, "web/usage_more.html", _calls(request, asked))
    found = report(
        user,
        since=asked.since,
        until=asked.until,
        group_by=asked.group_by,
        step=asked.step,
        narrow=asked.narrow,
        choose=lambda groups: most(groups, asked.measure),
    )
    names = _names(found, asked)
    context = {
        "form": form,
        "asked": asked,
        "report": found,
        "zone": timezone.get_current_timezone_name(),
        "by_day": asked.step == "day",
        "groups": _groups(found, asked, names),
        "more_groups": max(0, len(found.groups) - MAX_GROUPS),
        "chart": build_chart(found, asked.measure, moments_of(asked.since, asked.until, asked.step), names),
        "chips": _chips(request, asked),
        "query": _query(request),
        **_calls(request, asked),
    }
    if is_partial(request):
        return show(request, "web/usage_results.html", context)
    context["budgets"] = budgets_of(user, everybody=asked.everybody)
    return show(request, "web/usage.html", context, section="usage")


@require_GET
@signed_in
def export(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """The period's calls as CSV, or with `?table=sums` its sums by time and group."""
    _form, asked = _asked(request)
    response: HttpResponse | StreamingHttpResponse
    if request.GET.get("table") == "sums":
        response = HttpResponse(_sums_as_csv(person(request), asked), content_type="text/csv; charset=utf-8")
    else:
        rows = csv_of(person(request), asked, timezone.get_current_timezone())
        response = StreamingHttpResponse(rows, content_type="text/csv; charset=utf-8")
    first, last = timezone.localtime(asked.since), timezone.localtime(asked.until)
    response["Content-Disposition"] = f'attachment; filename="usage-{first:%Y%m%d}-{last:%Y%m%d}.csv"'
    return response


def _asked(request: HttpRequest) -> tuple[UsageForm, Asked]:
    user = person(request)
    form = UsageForm(request.GET, person=user, sees_all=user.is_manager)
    return form, form.asked()


def _calls(request: HttpRequest, asked: Asked) -> dict[str, Any]:
    rows = calls_of(person(request), asked, request.GET.get("after", ""))
    calls: list[UsageRecord] = list(rows[: PER_PAGE + 1])
    more = len(calls) > PER_PAGE
    return {
        "calls": calls[:PER_PAGE],
        "everybody": asked.everybody,
        "cursor": cursor_of(calls[PER_PAGE - 1]) if more else "",
        "query": _query(request),
    }


def _query(request: HttpRequest) -> str:
    query = request.GET.copy()
    for name in ("after", "table"):
        query.pop(name, None)
    return query.urlencode()


def _names(found: Report, asked: Asked) -> dict[Any, str]:
    """What each group is called. Two people's tokens may have one name: there the owner is told too."""
    owners: dict[Any, str] = {}
    if asked.group_by == "token" and asked.everybody:
        keys = [row.key for row in found.groups if row.key]
        owners = dict(AccessToken.objects.filter(pk__in=keys).values_list("pk", "owner__username"))
    empty = {"tag": _("no tag"), "token": _("the pages"), "user": _("nobody")}.get(asked.group_by, _("unknown"))
    return {
        (row.label, row.key): f"{row.label or empty} · {owners[row.key]}" if row.key in owners else row.label or empty
        for row in found.groups
    }


def _groups(found: Report, asked: Asked, names: dict[Any, str]) -> list[Group]:
    groups = []
    for row in found.groups[:MAX_GROUPS]:
        value = row.label if asked.group_by in ("provider", "tag") else row.key
        narrow = f"{asked.group_by}={value}" if value and asked.group_by in NARROWED else ""
        groups.append(Group(row=row, name=names[row.label, row.key], narrow=narrow))
    return groups


def _chips(request: HttpRequest, asked: Asked) -> list[dict[str, str]]:
    """What the page is narrowed to, each with the address without it."""
    narrow = asked.narrow
    labels = {
        "model": (narrow.model, _name_of(LLMModel, narrow.model)),
        "provider": (narrow.provider, narrow.provider),
        "user": (narrow.user if asked.everybody else None, _name_of(User, narrow.user)),
        "token": (narrow.token, _name_of(AccessToken, narrow.token)),
        "tag": (narrow.tag, narrow.tag),
    }
    chips = []
    for name, (value, label) in labels.items():
        if value:
            query = request.GET.copy()
            query.pop(name, None)
            query.pop("after", None)
            chips.append({"name": name, "value": str(value), "label": label, "without": query.urlencode()})
    return chips


def _name_of(table: type[LLMModel | User | AccessToken], key: Any) -> str:
    """What a narrowed page calls a row, as its calls' sums do: rows may be gone, and are not everybody's to look up."""
    at, name = {LLMModel: ("model_key", "model_name"), User: ("user_key", "username")}.get(
        table, ("token_key", "token_name")
    )
    found = UsageDay.objects.filter(**{at: key}).values_list(name, flat=True).first() if key else ""
    return found or str(key or "")


def budgets_of(user: User, *, everybody: bool) -> list[BudgetLine]:
    """Budgets that a person's calls are paid from; all of them for whoever looks at everybody's calls."""
    rows = Budget.objects.filter(enabled=True).select_related("user", "group", "token", "model")
    if not everybody:
        rows = rows.filter(Q(user=user) | Q(token__owner=user) | Q(group__in=user.groups.all())).distinct()
    now = timezone.now()
    return [
        BudgetLine(
            budget=row,
            subject=str(row.user or row.group or (row.token and row.token.name) or row.model),
            ends_at=window_of(row.window, now, row.created_at)[1],
        )
        for row in rows[:MAX_GROUPS]
    ]


def _sums_as_csv(user: User, asked: Asked) -> str:
    found = report(
        user, since=asked.since, until=asked.until, group_by=asked.group_by, step=asked.step, narrow=asked.narrow
    )
    names = _names(found, asked)
    columns = ("calls", "errors", "input_tokens", "output_tokens", "cost", "unpriced_calls", "mean_latency_ms")
    lines = [line((asked.step, asked.group_by, *columns, "mean_first_token_ms"))]
    for key in sorted(found.cells, key=str):
        for moment, row in sorted(found.cells[key].items()):
            values = [getattr(row, name) for name in (*columns, "mean_first_token_ms")]
            lines.append(line((moment.isoformat(), names[key], *values)))
    return "".join(lines)
