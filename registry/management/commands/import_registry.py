"""Reads a registry.json into the registry. A second run changes nothing."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from adapters.errors import LLMError
from registry.access import audit
from registry.catalog.registry_import import RegistryImportError, import_registry
from registry.catalog.registry_json import RegistryFileError, load_registry
from registry.models import Provider


class Command(BaseCommand):
    help = "Make and change global providers, models and module defaults as a registry.json says. Takes no secrets."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file")
        parser.add_argument("--dry-run", action="store_true", help="print what would be done, and do nothing")

    def handle(self, *args: Any, file: str, dry_run: bool, **options: Any) -> None:
        try:
            content = load_registry(file)
            with transaction.atomic():
                plan = import_registry(content, dry_run=dry_run)
                if plan.lines and not dry_run:
                    audit.note(None, "import", Provider._meta.db_table, file, {"changes": plan.lines[:200]})
        except OSError as error:
            raise CommandError(f"{file} can't be read: {error.strerror}.") from error
        except (RegistryFileError, RegistryImportError, LLMError) as error:
            raise CommandError(f"{file}: {error}") from error
        for line in plan.lines:
            self.stdout.write(line)
        for place in content.not_understood:
            self.stdout.write(f"not understood: {place}")
        for place in content.withheld:
            self.stdout.write(f"not taken, as it holds a secret: {place} (enter it as a key)")
        changes = f"{len(plan.lines)} change{'' if len(plan.lines) == 1 else 's'}"
        self.stdout.write(f"Dry run: {changes} would be made." if dry_run else f"{changes} made.")
