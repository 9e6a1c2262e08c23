"""Shows what providers list otherwise than the registry, and with --apply makes the registry follow."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, close_old_connections

from registry.discovery.apply_overrides import apply_overrides
from registry.discovery.hub import configured_sources
from registry.discovery.overrides import OverridesFileError
from registry.discovery.plugins import PluginError
from registry.discovery.refresh import DEADLINE_S, ProviderRefresh, refresh_providers, refresh_sources
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
        parser.add_argument("--every", type=float, metavar="HOURS", help="again and again, until SIGTERM")
        parser.add_argument("--deadline", type=float, default=DEADLINE_S, metavar="SECONDS")

    def handle(
        self,
        *args: Any,
        provider: list[str] | None,
        apply: bool,
        enable: bool,
        deadline: float,
        every: float | None = None,
        **options: Any,
    ) -> None:
        if enable and not apply:
            raise CommandError("--enable goes with --apply.")
        if not deadline > 0:
            raise CommandError("--deadline takes seconds above 0.")
        if every is not None:
            if not every > 0:
                raise CommandError("--every takes hours above 0.")
            self._again_and_again(every, provider, apply, enable, deadline)
            return
        failed = self._look(provider, apply, enable, deadline)
        if failed:
            raise CommandError(f"Could not ask {', '.join(failed)}.")

    def _look(self, slugs: list[str] | None, apply: bool, enable: bool, deadline: float) -> list[str]:
        """One look; answers who could not be asked."""
        outcomes = refresh_providers(self._providers(slugs), apply=apply, enable_new=enable, deadline_s=deadline)
        failed = [outcome.provider.slug for outcome in outcomes if outcome.error]
        for outcome in outcomes:
            self._show(outcome, apply)
        if slugs is None:
            failed += self._look_at_own(apply, enable, deadline)
        return failed

    def _look_at_own(self, apply: bool, enable: bool, deadline: float) -> list[str]:
        """The sources of LLMHUB_MODEL_SOURCES, and with --apply the overrides file."""
        failed: list[str] = []
        try:
            sources = configured_sources()
            outcomes, errors = refresh_sources(sources, apply=apply, enable_new=enable, deadline_s=deadline)
            for outcome in outcomes:
                self._show(outcome, apply)
            for name, error in errors.items():
                self.stdout.write(f"{name}: {error}")
                failed.append(name)
            if apply:
                done = apply_overrides()
                for name in done.changed:
                    self.stdout.write(f"overrides: changed {name}")
                for name in done.unmatched:
                    self.stdout.write(f"overrides: no model is called {name}")
        except (PluginError, OverridesFileError, OSError) as error:
            self.stdout.write(str(error))
            failed.append("one's own sources")
        return failed

    def _again_and_again(
        self, hours: float, slugs: list[str] | None, apply: bool, enable: bool, deadline: float
    ) -> None:
        """Look every so many hours until SIGTERM; what goes wrong is shown and tried again next time."""
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        while not stop.is_set():
            close_old_connections()
            try:
                self._look(slugs, apply, enable, deadline)
            except DatabaseError as error:
                self.stderr.write(f"The database can't be used just now ({type(error).__name__}).")
            close_old_connections()
            self.stdout.flush()
            stop.wait(hours * 3600)

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
