"""Tests a provider's connection as an administrator would by the admin's button."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.discovery.probe import probe_provider
from registry.models import LLMModel, Provider, User


class Command(BaseCommand):
    help = "Call a global provider the cheapest way that shows whether it works. Ends with 1 when it does not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--model", metavar="M", help="name or provider's id of a model to ask for a short answer")
        parser.add_argument("--user", metavar="NAME", help="as whom (default: the first administrator)")

    def handle(self, *args: Any, slug: str, model: str | None, user: str | None, **options: Any) -> None:
        caller = find_user(user)
        provider = Provider.objects.visible_to(caller).filter(slug=slug).order_by("owner").first()
        if provider is None:
            raise CommandError(f"There is no provider {slug!r}.")
        report = probe_provider(provider, caller, model=find_model(provider, model))
        for step in report.tried:
            self.stdout.write(f"{step.step}: {'ok' if step.ok else 'no'}, {step.detail} ({step.latency_ms} ms)")
        if report.error is not None:
            answered = f", the provider answered {report.error.upstream_status}" if report.error.upstream_status else ""
            raise CommandError(f"{slug} does not work: {report.error.message} ({report.error.code}{answered})")
        self.stdout.write(f"{slug} works ({report.latency_ms} ms).")


def find_user(name: str | None) -> User:
    """Raises CommandError."""
    people = User.objects.filter(is_active=True)
    if name is not None:
        found = people.filter(username=name).first()
        if found is None:
            raise CommandError(f"There is no active user {name!r}.")
        return found
    admin = people.filter(is_superuser=True).order_by("date_joined", "pk").first()
    if admin is None:
        raise CommandError("There is no administrator yet to test as: name somebody with --user.")
    return admin


def find_model(provider: Provider, name: str | None) -> LLMModel | None:
    """Raises CommandError."""
    if name is None:
        return None
    rows = provider.models.all()
    found: LLMModel | None = rows.filter(name=name).first() or rows.filter(model_id=name).first()
    if found is None:
        raise CommandError(f"{provider.slug} has no model {name!r}.")
    return found
