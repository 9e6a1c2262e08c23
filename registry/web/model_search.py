"""What narrows the catalogue and in which order it comes. Reads rows that are already the person's to see."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.db.models import F, OuterRef, Q, QuerySet, Subquery, TextField
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry.models import LLMModel, ModelPrice, Tier
from registry.web.choices import CAPABILITY_LABELS, SHOWN_CAPABILITIES

ORDERS: Final = {
    "": ("provider__name", "name", "id"),
    "name": ("name", "id"),
    "price": (F("input_price").asc(nulls_last=True), "name", "id"),
    "context": (F("context_length").desc(nulls_last=True), "name", "id"),
    "speed": (F("speed_tps").desc(nulls_last=True), "name", "id"),
}
STATES = (("", _("any")), ("yes", _("yes")), ("no", _("no")), ("unknown", _("not known")))
CONTEXTS = (("8000", "8k"), ("32000", "32k"), ("128000", "128k"), ("200000", "200k"), ("1000000", "1M"))
MAX_WORDS = 8


class ModelFilter(forms.Form):
    """The catalogue's filters as its address has them. A value that makes no sense narrows nothing."""

    q = forms.CharField(required=False, max_length=200)
    provider = forms.UUIDField(required=False)
    tier = forms.ChoiceField(required=False, choices=[("", _("Any tier")), *Tier.choices])
    owned = forms.ChoiceField(
        required=False, choices=[("", _("Own and shared")), ("own", _("Only my own")), ("shared", _("Only shared"))]
    )
    tag = forms.CharField(required=False, max_length=64)
    min_context = forms.ChoiceField(required=False, choices=[("", _("any")), *CONTEXTS])
    max_input = forms.DecimalField(
        required=False,
        min_value=Decimal(0),
        max_digits=12,
        decimal_places=6,
        widget=forms.NumberInput(attrs={"step": "any", "placeholder": _("any")}),
    )
    sort = forms.ChoiceField(
        required=False,
        choices=[
            ("", _("Provider")),
            ("name", _("Name")),
            ("price", _("Cheapest first")),
            ("context", _("Longest context")),
            ("speed", _("Fastest first")),
        ],
    )
    view = forms.ChoiceField(required=False, choices=[("", _("Table")), ("cards", _("Cards"))])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in SHOWN_CAPABILITIES:
            label = CAPABILITY_LABELS[name]
            self.fields[f"can_{name}"] = forms.ChoiceField(required=False, choices=STATES, label=label)

    @property
    def capability_fields(self) -> list[forms.BoundField]:
        return [self[f"can_{name}"] for name in SHOWN_CAPABILITIES]

    def values(self) -> dict[str, Any]:
        """What was given and makes sense."""
        self.is_valid()
        given = {name: self.cleaned_data.get(name) for name in self.fields}
        return {name: value for name, value in given.items() if value not in (None, "")}

    def narrow(self, rows: QuerySet[LLMModel]) -> QuerySet[LLMModel]:
        values = self.values()
        wanted = {name: values[f"can_{name}"] for name in SHOWN_CAPABILITIES if f"can_{name}" in values}
        rows = with_text(rows, values.get("q", ""))
        if provider := values.get("provider"):
            rows = rows.filter(provider=provider)
        if tier := values.get("tier"):
            rows = rows.filter(tier=tier)
        if tag := values.get("tag"):
            rows = rows.filter(Q(tags_text__contains=f'"{tag}"'))  # the name that `with_text` gave
        if owned := values.get("owned"):
            rows = rows.filter(owner__isnull=owned == "shared")
        if size := values.get("min_context"):
            rows = rows.filter(context_length__gte=int(size))
        for name, state in wanted.items():
            rows = rows.filter(capability_is(name, state))
        if values.get("max_input") is not None or values.get("sort") == "price":
            rows = rows.annotate(input_price=Subquery(present_prices().values("input_per_1m")[:1]))
        if values.get("max_input") is not None:
            rows = rows.filter(Q(input_price__lte=values["max_input"]))
        return rows.order_by(*ORDERS[values.get("sort", "")])

    @property
    def opens_more(self) -> bool:
        """Whether a filter of the second line is in use."""
        return any(name.startswith("can_") or name in ("tag", "min_context", "max_input") for name in self.values())

    @property
    def is_narrowed(self) -> bool:
        return bool(self.values().keys() - {"sort", "view"})


def present_prices() -> QuerySet[ModelPrice]:
    """The prices of the model in the outer query, the one in force first."""
    return ModelPrice.objects.filter(model=OuterRef("pk"), effective_from__lte=timezone.now()).order_by(
        "-effective_from"
    )


def capability_is(name: str, state: str) -> Q:
    """`yes`, `no`, or `unknown`, which is what nobody has said anything of too. `name` is a known capability."""
    value = f"capabilities__{name}__value"
    if state in ("yes", "no"):
        return Q(**{value: state})
    return Q(**{value: "unknown"}) | Q(**{f"{value}__isnull": True})


def with_text(rows: QuerySet[LLMModel], text: str) -> QuerySet[LLMModel]:
    """Rows with every word of `text` somewhere in name, id, family, description, provider, aliases or tags."""
    rows = rows.annotate(tags_text=Cast("tags", TextField()), aliases_text=Cast("aliases", TextField()))
    places = ("name", "model_id", "family", "description", "provider__name", "tags_text", "aliases_text")
    for word in text.split()[:MAX_WORDS]:
        found = Q()
        for place in places:
            found |= Q(**{f"{place}__icontains": word})
        rows = rows.filter(found)
    return rows


def tags_of(rows: QuerySet[LLMModel]) -> list[str]:
    """All tags of the rows, in order."""
    return sorted({tag for tags in rows.order_by().values_list("tags", flat=True) for tag in tags})


def provider_names(rows: QuerySet[LLMModel]) -> list[tuple[uuid.UUID, str]]:
    """The rows' providers by name."""
    return sorted(set(rows.order_by().values_list("provider_id", "provider__name")), key=lambda pair: pair[1])
