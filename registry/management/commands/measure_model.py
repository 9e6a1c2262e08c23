"""The performance lab from the command line: `manage.py measure_model NAME --ceiling 0.05`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from adapters.errors import LLMError
from registry.discovery.lab import CEILING_USD, STEPS, LabError, measure
from registry.models import LLMModel, User


class Command(BaseCommand):
    help = "Measure a global model by real calls: list, short chat, stream, tool, image, JSON schema. Costs money."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="its name, or provider/model_id")
        parser.add_argument("--user", help="whose keys and groups count; an administrator by default")
        parser.add_argument("--ceiling", default=str(CEILING_USD), metavar="USD", help="spend no more than this")
        parser.add_argument("--step", action="append", choices=STEPS, help="this step alone; may be repeated")
        parser.add_argument("--allow-unpriced", action="store_true", help="measure a model whose price is not known")

    def handle(
        self,
        *args: Any,
        model: str,
        user: str | None,
        ceiling: str,
        step: list[str] | None,
        allow_unpriced: bool,
        **options: Any,
    ) -> None:
        person = self._person(user)
        row = self._model(model)
        try:
            amount = Decimal(ceiling)
        except InvalidOperation:
            raise CommandError("--ceiling takes an amount in USD.") from None
        if not amount.is_finite() or amount < 0:
            raise CommandError("--ceiling takes an amount in USD.")
        try:
            report = measure(row, person, ceiling_usd=amount, steps=tuple(step or STEPS), allow_unpriced=allow_unpriced)
        except (LabError, LLMError) as error:
            raise CommandError(str(error)) from error
        for done in report.steps:
            self.stdout.write(f"{done.step}: {done.answer} ({done.detail}; {done.latency_ms} ms)")
        speed = "" if report.tokens_per_s is None else f", {report.tokens_per_s:g} tokens/s"
        first = "" if report.first_token_ms is None else f", first token after {report.first_token_ms} ms"
        self.stdout.write(f"{row.name}: {report.spent.normalize():f} USD spent{first}{speed}")
        self.stdout.write(f"learnt: {', '.join(report.learnt) or 'nothing'}")

    def _person(self, name: str | None) -> User:
        rows = User.objects.filter(is_active=True).select_related("settings")
        found = rows.filter(username=name) if name else rows.filter(is_superuser=True).order_by("date_joined")
        person = found.first()
        if person is None:
            raise CommandError("There is no such active user." if name else "There is no administrator yet.")
        return person

    def _model(self, name: str) -> LLMModel:
        rows = LLMModel.objects.shared().select_related("provider")
        slug, _, model_id = name.partition("/")
        row = rows.filter(name=name).first() or rows.filter(provider__slug=slug, model_id=model_id).first()
        if row is None:
            raise CommandError(f"There is no global model {name!r}.")
        found: LLMModel = row
        return found
