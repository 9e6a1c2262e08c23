"""Shows what providers list otherwise than the registry, and with --apply makes the registry follow."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.discovery.refresh import DEADLINE_S, ProviderRefresh, refresh_providers
from registry.models import Provider


class Command(BaseCommand):
    help = (
        "Ask every enabled global provider for its models. New ones come disabled; a vanished one is disabled, "
        "never deleted. Ends with 1 when a provider could not be asked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--provider", metavar="SLUG", action="append", help="ask this one alone; may be repeated")
        parser.add_argument("--apply", action="store_true", help="make the changes that are shown")
        parser.add_argument("--enable", action="store_true", help="with --apply: enable new models")
        parser.add_argument("--deadline", type=float, default=DEADLINE_S, metavar="SECONDS")

    def handle(
        self,
        *args: Any,
        provider: list[str] | None,
        apply: bool,
        enable: bool,
        deadline: float,
        **options: Any,
    ) -> None:
        if enable and not apply:
            raise CommandError("--enable goes with --apply.")
        if not deadline > 0:
            raise CommandError("--deadline takes seconds above 0.")
        rows = self._providers(provider)
        outcomes = refresh_providers(rows, apply=apply, enable_new=enable, deadline_s=deadline)
        for outcome in outcomes:
            self._show(outcome, apply)
        failed = [outcome.provider.slug for outcome in outcomes if outcome.error]
        if failed:
            raise CommandError(f"Could not ask {', '.join(failed)}.")

    def _providers(self, slugs: list[str] | None) -> list[Provider]:
        shared = Provider.objects.shared().order_by("slug")
        if slugs is None:
            return list(shared.filter(enabled=True, dry_run=False).exclude(adapter="stub"))
        rows = {row.slug: row for row in shared.filter(slug__in=slugs)}
        missing = [slug for slug in slugs if slug not in rows]
        if missing:
            raise CommandError(f"There is no provider {missing[0]!r}.")
        return list(rows.values())

    def _show(self, outcome: ProviderRefresh, apply: bool) -> None:
        slug = outcome.provider.slug
        if outcome.error:
            self.stdout.write(f"{slug}: {outcome.error}")
            return
        done = f", {outcome.applied} applied" if apply else ""
        self.stdout.write(f"{slug}: {outcome.listed} models, {len(outcome.changes)} changes{done}")
        for change in outcome.changes:
            details = ", ".join(sorted(change.after)) if change.kind == "changed" else ""
            self.stdout.write(f"  {change.kind} {change.upstream_id}{f' ({details})' if details else ''}")
