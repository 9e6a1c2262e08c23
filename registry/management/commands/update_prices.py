"""Shows where the models' prices differ from the bundled price list, and with --apply makes them follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.models import LLMModel
from registry.usage.price_list import PACKAGE, list_version
from registry.usage.price_update import PriceChange, apply_prices, plan_prices


class Command(BaseCommand):
    help = (
        "Compare prices (USD per 1M tokens) with the list that the installed genai-prices brings; it asks no server. "
        "Without --apply nothing is written. A price that a person, a registry.json or the provider's own list "
        "gave is never replaced; it is shown as kept."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--provider", metavar="SLUG", action="append", help="only this one's; may be repeated")
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--apply", action="store_true", help="write what is shown")
        which.add_argument("--dry-run", action="store_true", help="write nothing (the default)")

    def handle(self, *args: Any, provider: list[str] | None, apply: bool, **options: Any) -> None:
        models = LLMModel.objects.select_related("provider").prefetch_related("prices")
        models = models.order_by("provider__slug", "model_id")
        if provider is not None:
            models = models.filter(provider__slug__in=provider)
        changes = plan_prices(models)
        for change in changes:
            self._show(change, more=options["verbosity"] > 1)
        counts = Counter(change.kind for change in changes)
        said = ", ".join(f"{counts[kind]} {kind}" for kind in ("new", "changed", "coming", "kept", "unknown"))
        self.stdout.write(f"{PACKAGE} {list_version()}: {said}")
        if not apply:
            if any(change.writes for change in changes):
                self.stdout.write("Nothing was written; --apply writes the new, changed and coming prices.")
            return
        try:
            self.stdout.write(f"{apply_prices(changes)} prices written.")
        except ValidationError as error:
            raise CommandError(f"Nothing was written: {'; '.join(error.messages)}") from error

    def _show(self, change: PriceChange, *, more: bool) -> None:
        if change.kind == "unknown" and not more:
            return
        listing = change.listing
        name = f"{change.model.provider.slug}/{change.model.model_id}"
        if listing is not None and not listing.listed_as.endswith(f"/{change.model.model_id}"):
            name += f" (as {listing.listed_as})"
        since = f" from {change.effective_from:%Y-%m-%d}" if change.kind == "coming" and change.effective_from else ""
        self.stdout.write(f"{change.kind} {name}{since}{_difference(change.before, change.after)}")
        if listing is not None and listing.not_carried:
            self.stdout.write(f"    not carried: {'; '.join(listing.not_carried)}")


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """` input_per_1m 2.5 -> 3, ...`: what differs, kinds in the order of their names."""
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return "".join(f"\n    {name}: {_amount(before.get(name))} -> {_amount(after.get(name))}" for name in names)


def _amount(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
