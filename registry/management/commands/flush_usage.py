"""`manage.py flush_usage`: have all usage that is written in the journals in the database now."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from registry.models import UsageRecord, UsageState
from registry.usage.recorder import Counts, Recorder, RecorderBusy, ask_to_flush


class Command(BaseCommand):
    help = "Record all usage that is in the journals now, by the running recorder or else here, and say how much."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--timeout", type=float, default=60.0, help="Seconds to wait for a running recorder.")

    def handle(self, *, timeout: float, **options: Any) -> None:
        counts = flush(timeout_s=timeout)
        running = UsageRecord.objects.filter(state=UsageState.RUNNING).count()
        self.stdout.write(
            f"Recorded {counts.settled} settled calls from {counts.lines} lines; {counts.abandoned} abandoned, "
            f"{counts.bad_lines} lines set aside, {running} calls running."
        )


def flush(*, timeout_s: float) -> Counts:
    """Drain here where no recorder runs, else ask the one that does. Raises CommandError when neither ends in time."""
    deadline = time.monotonic() + timeout_s
    while (left_s := deadline - time.monotonic()) > 0:
        try:
            with Recorder(settings.LLMHUB_JOURNAL_DIR) as recorder:
                return recorder.drain()
        except RecorderBusy:
            if (counts := ask_to_flush(settings.LLMHUB_JOURNAL_DIR, timeout_s=left_s)) is not None:
                return counts
        except Error as error:
            raise CommandError(f"The database can't be written ({type(error).__name__}).") from None
    raise CommandError(f"The recorder did not finish within {timeout_s:g} s; nothing is lost, it goes on.")
