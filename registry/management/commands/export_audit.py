"""Writes the audit trail out, one JSON object a line: for an archive, or for a system that watches."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from registry.access import audit
from registry.models import AuditEvent


class Command(BaseCommand):
    help = "Write the audit trail to FILE, or to standard output: one JSON object a line, oldest first. No secrets."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", help="default: standard output")
        parser.add_argument("--since", metavar="TIME", help="only what was done from then on: 2026-11-20T00:00Z")

    def handle(self, *args: Any, file: str | None, since: str | None, **options: Any) -> None:
        events = AuditEvent.objects.all()
        if since is not None:
            events = events.filter(at__gte=read_time(since))
        audit.note(None, "export", AuditEvent._meta.db_table, "the audit trail", {"to": file or "standard output"})
        if file is None:
            for line in audit.lines(events):
                self.stdout.write(line, ending="")
            return
        try:
            with Path(file).open("x", encoding="utf-8") as out:
                out.writelines(audit.lines(events))
        except OSError as error:
            raise CommandError(f"{file} can't be written: {error.strerror}.") from error


def read_time(text: str) -> dt.datetime:
    """Raises CommandError."""
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise CommandError("--since takes a time such as 2026-11-20T00:00Z.")
    return found if timezone.is_aware(found) else timezone.make_aware(found)
