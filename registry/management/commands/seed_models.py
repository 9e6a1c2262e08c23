"""Brings the provider templates, presets and prompt packs into the registry. A second run changes nothing."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from registry.catalog.seed import seed_catalog


class Command(BaseCommand):
    help = (
        "Make a global provider of every template, disabled until it has a key, and the stub, enabled. What an "
        "admin changed or deleted since stays so."
    )

    def handle(self, *args: Any, verbosity: int, **options: Any) -> None:
        summary = seed_catalog()
        if verbosity == 0:
            return
        self.stdout.write(
            f"Made {len(summary.providers)} providers, {len(summary.models)} models, "
            f"{len(summary.policies)} endpoint policies."
        )
        if summary.presets or summary.prompt_packs:
            self.stdout.write(f"Made {len(summary.presets)} presets, {len(summary.prompt_packs)} prompt packs.")
        for slug, variable in sorted(summary.environment_keys.items()):
            self.stdout.write(f"{slug}: {variable} is set; enable the provider in the admin to use it.")
