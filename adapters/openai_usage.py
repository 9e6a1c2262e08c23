"""Token counts in OpenAI's shape, both ways. Counts are inclusive; what is not reported stays None."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from adapters.types import Usage

__all__ = ["encode_usage", "find_usage", "merge_usage", "parse_usage", "read_count", "read_money"]

_LARGEST_COUNT = 2**53


def read_count(value: Any) -> int | None:
    """A token count: a whole number from 0 up, also written as 12.0. Anything else is "not reported"."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value < _LARGEST_COUNT or value != int(value):
        return None
    return int(value)


def read_money(value: Any) -> str | None:
    """An amount as plain decimal text ("0.000012"); None for what is no finite number from 0 up."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    if not amount.is_finite() or amount < 0 or abs(amount.adjusted()) > 40:
        return None
    return format(amount, "f")


def find_usage(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The usage object of a body or chunk, wherever this provider keeps it; None when there is none.

    Groq's older streams have it under `x_groq`, Moonshot's under the first choice.
    """
    usage = body.get("usage")
    if isinstance(usage, dict) and usage:
        return usage
    vendor = body.get("x_groq")
    if isinstance(vendor, dict):
        usage = vendor.get("usage")
        if isinstance(usage, dict) and usage:
            return usage
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        usage = choices[0].get("usage")
        if isinstance(usage, dict) and usage:
            return usage
    return None


_PLAIN = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})


def parse_usage(raw: Mapping[str, Any]) -> Usage:
    """Read a usage object; never raises. Takes chat's names and those of the images API (input_tokens)."""
    prompt_details = _details(raw, "prompt_tokens_details", "input_tokens_details")
    completion_details = _details(raw, "completion_tokens_details", "output_tokens_details")
    prompt = _first_count(raw, "prompt_tokens", "input_tokens")
    completion = _first_count(raw, "completion_tokens", "output_tokens")
    total = read_count(raw.get("total_tokens"))
    reasoning = _first_count(completion_details, "reasoning_tokens")
    if reasoning is None:
        reasoning = _first_count(raw, "reasoning_tokens")
    if raw.keys() <= _PLAIN and prompt is not None and completion is not None and (total or 0) <= prompt + completion:
        return Usage(input_tokens=prompt, output_tokens=completion, raw=raw)
    if prompt is not None and completion is not None and total is not None and total > prompt + completion:
        # xAI leaves reasoning out of completion_tokens, Gemini's compatible endpoint names it nowhere else
        # (recordings of 2025 and 2026); both bill it as output.
        hidden = total - prompt - completion
        completion += hidden
        reasoning = reasoning if reasoning else hidden
    cached = _first_count(prompt_details, "cached_tokens")
    if cached is None:
        cached = _first_count(raw, "prompt_cache_hit_tokens", "cached_tokens")  # DeepSeek, Together
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cache_read_tokens=cached,
        cache_write_tokens=_first_count(prompt_details, "cache_write_tokens"),
        reasoning_tokens=reasoning,
        audio_input_tokens=_first_count(prompt_details, "audio_tokens"),
        audio_output_tokens=_first_count(completion_details, "audio_tokens"),
        image_input_tokens=_first_count(prompt_details, "image_tokens"),
        image_output_tokens=_first_count(completion_details, "image_tokens"),
        provider_cost_usd=_provider_cost(raw),
        raw=raw,
    )


def merge_usage(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a later usage object over an earlier one, field by field; null never hides a number, nothing is summed."""
    merged = dict(before)
    for name, value in after.items():
        old = merged.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            merged[name] = merge_usage(old, value)
        elif value is not None:
            merged[name] = value
    return merged


def encode_usage(usage: Usage) -> dict[str, Any] | None:
    """Build the `usage` object for a client; None when the provider reported nothing.

    A detail that was not reported is left out: 0 would say that it was counted.
    """
    if not usage.reported:
        return None
    body: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens or 0,
        "completion_tokens": usage.output_tokens or 0,
        "total_tokens": usage.total_tokens or 0,
    }
    prompt = {
        "cached_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "audio_tokens": usage.audio_input_tokens,
        "image_tokens": usage.image_input_tokens,
    }
    completion = {
        "reasoning_tokens": usage.reasoning_tokens,
        "audio_tokens": usage.audio_output_tokens,
        "image_tokens": usage.image_output_tokens,
    }
    for name, details in (("prompt_tokens_details", prompt), ("completion_tokens_details", completion)):
        reported = {key: value for key, value in details.items() if value is not None}
        if reported:
            body[name] = reported
    if usage.provider_cost_usd is not None:
        body["cost"] = float(usage.provider_cost_usd)  # USD, a number as OpenRouter writes it
    return body


def _details(raw: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        value = raw.get(name)
        if isinstance(value, dict):
            return value
    return {}


def _first_count(raw: Mapping[str, Any], *names: str) -> int | None:
    if raw:
        for name in names:
            value = raw.get(name)
            if value is not None and (count := read_count(value)) is not None:
                return count
    return None


def _provider_cost(raw: Mapping[str, Any]) -> str | None:
    """OpenRouter's `cost`, in USD. With one's own key (`is_byok`) it is OpenRouter's fee beside the upstream's bill."""
    cost = read_money(raw.get("cost"))
    details = raw.get("cost_details")
    if raw.get("is_byok") is True and isinstance(details, dict):
        upstream = read_money(details.get("upstream_inference_cost"))
        if upstream is not None:
            return format(Decimal(upstream) + Decimal(cost or 0), "f")
    return cost
