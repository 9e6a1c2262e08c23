"""Checks that the hub can serve, then becomes llmhub/supervisor.py, which runs granian and the recorder."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import get_commands
from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.vault.keyring import keyring


class Command(BaseCommand):
    help = "Serve the hub: granian and the recorder, ended together."
    requires_system_checks = "__all__"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
        parser.add_argument("--port", type=int, default=None, help="port to listen on (default $PORT, else 8000)")
        parser.add_argument("--no-recorder", action="store_true", help="the recorder runs elsewhere on this node")

    def handle(self, *args: Any, host: str, port: int | None, no_recorder: bool, **options: Any) -> None:
        from llmhub.bootstrap import CannotStart, check_port, read_port

        try:
            port = read_port(os.environ.get("PORT", "")) if port is None else read_port(str(port))
            check_port(host, port)
        except CannotStart as problem:
            raise CommandError(str(problem)) from None
        self.check_keys()
        self.clear_metrics()
        command = [sys.executable, "-m", "llmhub.supervisor", "--host", host, "--port", str(port)]
        command += ["--workers", str(settings.LLMHUB_WORKERS), "--drain-s", str(settings.LLMHUB_DRAIN_S)]
        command += ["--log-level", "info" if settings.LOG_LEVEL == "debug" else "warning"]
        if not no_recorder and "run_recorder" in get_commands():
            command.append("--recorder")
            command += ["--discover-every-h", str(settings.LLMHUB_DISCOVERY_EVERY_H)]
            command += ["--discover-apply"] if settings.LLMHUB_DISCOVERY_APPLY else []
        self.stdout.flush()
        os.chdir(settings.BASE_DIR)
        os.execv(sys.executable, command)  # noqa: S606 (a fixed program, no shell)

    def check_keys(self) -> None:
        """A hub without its keys would start, and fail at the first stored secret: better not to start."""
        if not settings._wrapped.SECRET_KEY:  # the setting itself raises while it is empty
            raise CommandError(
                "DJANGO_SECRET_KEY is not set: run `manage.py prepare`, which makes a key file, or set it."
            )
        try:
            keyring()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None

    def clear_metrics(self) -> None:
        """Files of workers that are gone would be summed into /metrics for ever."""
        shutil.rmtree(settings.LLMHUB_METRICS_DIR, ignore_errors=True)
        settings.LLMHUB_METRICS_DIR.mkdir(parents=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(settings.LLMHUB_METRICS_DIR)
