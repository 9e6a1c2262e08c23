"""What a usage page is asked: which time, whose calls, narrowed to what, grouped by what. Reads addresses, no rows."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any, Final, Literal

from django import forms
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry.models import User
from registry.usage.queries import GroupBy, Narrow

PERIODS: Final = {"24h": dt.timedelta(hours=24), "7d": dt.timedelta(days=7), "30d": dt.timedelta(days=30)} | {
    "90d": dt.timedelta(days=90),
    "365d": dt.timedelta(days=365),
}
# Longer periods are drawn by the day: by the hour, everybody's week is ten thousands of sums.
HOURS_UP_TO: Final = {False: dt.timedelta(days=8), True: dt.timedelta(days=2)}
HOUR: Final = dt.timedelta(hours=1)
MEASURES: Final = ("cost", "calls", "tokens", "errors", "latency", "first_token")
NARROWED: Final = ("model", "provider", "user", "token", "tag")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A usage page's question. `narrow` already holds the person where they see their own calls alone."""

    since: dt.datetime
    until: dt.datetime
    everybody: bool
    group_by: GroupBy
    measure: str
    narrow: Narrow

    @property
    def step(self) -> Literal["hour", "day"]:
        return "hour" if self.until - self.since <= HOURS_UP_TO[self.everybody] else "day"


class UsageForm(forms.Form):
    """The page's address as a form. What makes no sense, and what is not for this person, falls back."""

    period = forms.ChoiceField(
        required=False,
        label=_("Time"),
        choices=[
            ("7d", _("7 days")),
            ("24h", _("24 hours")),
            ("30d", _("30 days")),
            ("90d", _("90 days")),
            ("365d", _("A year")),
            ("custom", _("From and to")),
        ],
    )
    since = forms.DateField(required=False, label=_("From"), widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, label=_("To"), widget=forms.DateInput(attrs={"type": "date"}))
    who = forms.ChoiceField(
        required=False, label=_("Whose"), choices=[("me", _("My calls")), ("all", _("Everybody's"))]
    )
    by = forms.ChoiceField(
        required=False,
        label=_("Grouped by"),
        choices=[
            ("model", _("Model")),
            ("provider", _("Provider")),
            ("user", _("Person")),
            ("token", _("Token")),
            ("tag", _("Tag")),
            ("credential_scope", _("Whose key")),
        ],
    )
    measure = forms.ChoiceField(
        required=False,
        label=_("Drawn"),
        choices=[
            ("cost", _("Cost")),
            ("calls", _("Calls")),
            ("tokens", _("Tokens")),
            ("errors", _("Errors")),
            ("latency", _("Time to the end")),
            ("first_token", _("Time to the first token")),
        ],
    )
    model = forms.UUIDField(required=False)
    provider = forms.CharField(required=False, max_length=64)
    user = forms.UUIDField(required=False)
    token = forms.UUIDField(required=False)
    tag = forms.CharField(required=False, max_length=64)

    def __init__(self, data: QueryDict, *, person: User, sees_all: bool) -> None:
        super().__init__(data)
        self.person, self.sees_all = person, sees_all

    def asked(self) -> Asked:
        self.is_valid()
        values: dict[str, Any] = {name: self.cleaned_data.get(name) for name in self.fields}
        everybody = self.sees_all and values["who"] == "all"
        since, until = _period(values, HOURS_UP_TO[everybody])
        return Asked(
            since=since,
            until=until,
            everybody=everybody,
            group_by=values["by"] or "model",
            measure=values["measure"] or "cost",
            narrow=Narrow(
                model=values["model"],
                provider=values["provider"] or "",
                user=values["user"] if everybody else self.person.pk,
                token=values["token"],
                tag=values["tag"] or "",
            ),
        )


def _period(values: dict[str, Any], hours_up_to: dt.timedelta) -> tuple[dt.datetime, dt.datetime]:
    """From included, to not; dates are whole days of the reader's time zone. "30 days" end today, and are the whole
    days of UTC that are drawn; only what is drawn by the hour is cut at the hour."""
    now = timezone.now()
    if values["period"] == "custom" and (values["since"] or values["until"]):
        last: dt.date = values["until"] or timezone.localdate(now)
        first: dt.date = min(values["since"] or last, last)
        try:
            return _midnight(first), _midnight(last + dt.timedelta(days=1))
        except OverflowError:
            pass  # the year 1 or 9999: no usage there
    length = PERIODS.get(values["period"], PERIODS["7d"])
    if length + HOUR <= hours_up_to:
        return now - length, now + HOUR
    tomorrow = now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0) + dt.timedelta(days=1)
    return tomorrow - length, tomorrow


def _midnight(day: dt.date) -> dt.datetime:
    made = timezone.make_aware(dt.datetime.combine(day, dt.time()))
    made.astimezone(dt.UTC)  # raises where that is outside the calendar
    return made


def key_or_none(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
