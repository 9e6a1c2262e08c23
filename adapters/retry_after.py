"""How long a provider asks to wait, in every form that they write it. Pure functions of headers and text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["parse_duration_s", "read_retry_after_s"]

_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|µs|ns|d|h|m|s)")
_UNIT_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_TRY_AGAIN = re.compile(r"try again in ((?:\d+(?:\.\d+)?(?:ms|d|h|m|s))+)", re.IGNORECASE)
_LONGEST_S = 31 * 86400.0


def parse_duration_s(text: str) -> float | None:
    """Seconds of "6s", "26ms", "1m26.4s", "2h0m0s" or a bare number; None for anything else."""
    text = text.strip()
    number = _finite(text)
    if number is not None:
        return number
    total = 0.0
    end = 0
    for part in _DURATION_PART.finditer(text):
        if part.start() != end:
            return None
        total += float(part.group(1)) * _UNIT_S[part.group(2)]
        end = part.end()
    return total if end and end == len(text) else None


def read_retry_after_s(headers: Mapping[str, str], text: str = "", *, now: datetime | None = None) -> float | None:
    """Seconds to wait, from 0 up; None when nothing is said. `headers` have lower-case names, `text` is the error's.

    Order: `retry-after-ms`, `retry-after` (seconds or date), the reset of an `x-ratelimit-*` that is used up, Groq's
    "try again in 7.66s".
    """
    milliseconds = _finite(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    wait = _retry_after(headers.get("retry-after", ""), now)
    if wait is None:
        wait = _rate_limit_reset(headers, now)
    if wait is None and (match := _TRY_AGAIN.search(text[:4000])):
        wait = parse_duration_s(match.group(1).lower())
    return _bounded(wait) if wait is not None else None


def _retry_after(value: str, now: datetime | None) -> float | None:
    seconds = parse_duration_s(value)
    if seconds is not None or not value:
        return seconds
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return (date - (now or datetime.now(UTC))).total_seconds()


def _rate_limit_reset(headers: Mapping[str, str], now: datetime | None) -> float | None:
    """The longest reset among the limits that have nothing left; a limit with something left is not why we wait."""
    waits = []
    for name in ("requests", "tokens", ""):
        suffix = f"-{name}" if name else ""
        wait = parse_duration_s(headers.get(f"x-ratelimit-reset{suffix}", ""))
        remaining = _finite(headers.get(f"x-ratelimit-remaining{suffix}", ""))
        if wait is None or (remaining is not None and remaining > 0):
            continue
        if wait > 1e11:  # a moment in Unix milliseconds (OpenRouter)
            wait = wait / 1000 - (now or datetime.now(UTC)).timestamp()
        elif wait > 1e9:  # a moment in Unix seconds
            wait -= (now or datetime.now(UTC)).timestamp()
        waits.append(wait)
    return max(waits, default=None)


def _finite(text: str) -> float | None:
    if "_" in text or not text.isascii():  # Python reads 1_000 and other scripts' digits, HTTP does not
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _LONGEST_S)
