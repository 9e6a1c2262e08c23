"""Owns what the hub writes to standard error and what an error report holds: never a secret or a local variable."""

from __future__ import annotations

import json
import logging
from collections.abc import ItemsView
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from adapters.redaction import redact

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("plain", "json")


class PlainFormatter(logging.Formatter):
    """A line for people. Every secret that the process has met is taken out of it, by value, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC, ISO 8601), level, logger, message, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, ensure_ascii=False))


class BareExceptionReporter(ExceptionReporter):
    """Keeps the traceback of Django's error report and drops the request, the settings and every local variable.

    Django hides values by the *name* of a setting or variable; a decrypted key in a variable called `value`, a key in a
    query string or a prompt in the body would be shown. Method and path are in the log line beside the report.
    """

    def __init__(
        self, request: HttpRequest | None, exc_type: Any, exc_value: Any, tb: Any, is_email: bool = False
    ) -> None:
        super().__init__(None, exc_type, exc_value, tb, is_email=is_email)
        self.filter = BareReporterFilter()

    def get_traceback_text(self) -> SafeString:
        return SafeString(redact(super().get_traceback_text()))

    def get_traceback_html(self) -> SafeString:
        return SafeString(redact(super().get_traceback_html()))


class BareReporterFilter(SafeExceptionReporterFilter):
    """Answers "nothing" for settings and for the variables of each frame."""

    def get_safe_settings(self) -> dict[str, Any]:
        return {}

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: Any) -> ItemsView[str, Any]:
        return ItemsView({})


def build_logging(level: str, line_format: str) -> dict[str, Any]:
    """Django's LOGGING: everything to one stream, nothing by e-mail.

    httpx and httpcore log whole URLs at INFO, which may carry a key in the query, so they start at WARNING whatever the
    hub's own level is; aiohttp and asyncio likewise.
    """
    quiet = {name: {"level": "WARNING"} for name in ("httpx", "httpcore", "aiohttp", "asyncio", "urllib3")}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "plain": {
                "()": "llmhub.logs.PlainFormatter",
                "format": "{asctime} {levelname:<7} {name}: {message}",
                "style": "{",
            },
            "json": {"()": "llmhub.logs.JsonFormatter"},
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": line_format}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
        "loggers": {
            # Django's own set-up would add a mail handler and a second console handler to this logger.
            "django": {"handlers": [], "level": "INFO" if level == "debug" else level.upper(), "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
            **quiet,
        },
    }
