"""Writes the global registry as a registry.json, without secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.catalog.registry_export import export_registry
from registry.catalog.registry_writing import write_registry


class Command(BaseCommand):
    help = "Write all global providers and models and each module's default; to standard output without FILE."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?")

    def handle(self, *args: Any, file: str | None, **options: Any) -> None:
        text = write_registry(export_registry())
        if file is None:
            self.stdout.write(text, ending="")
            return
        try:
            Path(file).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{file} can't be written: {error.strerror}.") from error
