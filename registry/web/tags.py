"""Template filters of the pages: numbers and money as people read them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import template

register = template.Library()


@register.filter
def compact(value: int | None) -> str:
    """131072 as 131k, 1050000 as 1.05M; empty for None."""
    if value is None:
        return ""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if value >= size:
            return f"{value / size:.2f}".rstrip("0").rstrip(".") + unit if unit == "M" else f"{value // size}k"
    return str(value)


@register.filter
def usd(value: Decimal | None) -> str:
    """A cost in USD with as many digits as it needs: $0.000123, $1.20; "unknown" for None, which is not free."""
    if value is None:
        return "unknown"
    if value == 0:
        return "$0"
    if abs(value) >= Decimal("0.01"):
        return f"${value:,.2f}"
    return "$" + f"{value:.9f}".rstrip("0")


@register.filter
def price(amount: Decimal | None) -> str:
    """A price in USD with at least two places: $0.075, $2.00; "?" for None, which is not free."""
    if amount is None:
        return "?"
    whole, _, part = f"{amount.normalize():f}".partition(".")
    return f"${whole}.{part.ljust(2, '0')}"


@register.filter
def share_of(part: Any, whole: Any) -> int:
    """How many percent of `whole` the `part` is, 0 to 100; 0 of nothing."""
    return max(0, min(100, round(100 * float(part) / float(whole)))) if whole else 0


@register.filter
def seconds(latency_ms: float | None) -> str:
    """840 as 0.84 s; empty for None."""
    if latency_ms is None:
        return ""
    return f"{latency_ms / 1000:.2f} s" if latency_ms < 10_000 else f"{latency_ms / 1000:.0f} s"


@register.filter
def state_tone(state: Any) -> str:
    """The colour of a usage state: good, warn, bad or none."""
    if state in ("ok", "ok_estimated"):
        return "good"
    return "" if state == "running" else "warn" if state in ("aborted", "rejected") else "bad"


@register.filter
def item(mapping: Any, key: Any) -> Any:
    """What `mapping` has for `key`, or None."""
    return mapping.get(key)
