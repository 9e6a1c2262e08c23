from __future__ import annotations

import json
import logging
import logging.config
import sys

from django.test import RequestFactory
from django.views.debug import get_exception_reporter_class

from adapters.redaction import remember
from llmhub.logs import JsonFormatter, build_logging

SECRET = "-".join(["sk", "planted", "0123456789"])  # in parts: the report quotes lines of this file


def fail_with_secret() -> None:
    plain_name = SECRET
    raise ValueError(len(plain_name))


def test_an_error_report_holds_no_local_variable_header_body_or_setting(settings: object) -> None:
    settings.INNOCENT_NAME = SECRET  # type: ignore[attr-defined]  # pytest-django's settings take any name
    request = RequestFactory().post(
        f"/somewhere?key={SECRET}", {"field": SECRET}, headers={"x-custom": SECRET, "cookie": f"sessionid={SECRET}"}
    )
    try:
        fail_with_secret()
    except ValueError:
        reporter = get_exception_reporter_class(request)(request, *sys.exc_info())
    for report in (reporter.get_traceback_text(), reporter.get_traceback_html()):
        assert "fail_with_secret" in report
        assert SECRET not in report


def test_json_lines_hold_one_object_each() -> None:
    record = logging.LogRecord("hub", logging.WARNING, __file__, 1, "two\nlines %s", ("äö",), None)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == "two\nlines äö"


def test_http_client_libraries_stay_quiet_at_debug_level() -> None:
    loggers = build_logging("debug", "plain")["loggers"]
    assert loggers["httpx"]["level"] == loggers["httpcore"]["level"] == "WARNING"


def test_a_secret_the_process_met_is_in_no_line_and_in_no_report() -> None:
    remember(SECRET)
    try:
        raise ValueError(f"the provider said {SECRET}")
    except ValueError:
        caught = sys.exc_info()
    record = logging.LogRecord("hub", logging.ERROR, __file__, 1, "sent %s", (SECRET,), caught)
    for line_format in ("plain", "json"):
        setup = build_logging("info", line_format)
        formatter = logging.config.DictConfigurator(setup).configure_formatter(setup["formatters"][line_format])
        record.exc_text = None
        line = formatter.format(record)
        assert SECRET not in line and line.count("[redacted]") == 2
    reporter = get_exception_reporter_class(None)(None, *caught)  # type: ignore[arg-type]  # it takes None for no request
    for report in (reporter.get_traceback_text(), reporter.get_traceback_html()):
        assert SECRET not in report and "the provider said [redacted]" in report
