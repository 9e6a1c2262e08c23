"""Claude's model families as profile rows: what each takes of sampling, thinking, effort and schemas. Data only.

Sources: Anthropic's model pages and the live-verified profiles of pydantic-ai 2.68, both 2026-11-20. An id that
matches no row (another vendor's model behind a compatible endpoint) gets what the client sent and nothing else.
"""

from __future__ import annotations

import re
from typing import Any

from adapters.profiles import ModelFamily

__all__ = ["ANTHROPIC_FAMILIES"]

_LOW_TO_HIGH = ("low", "medium", "high")
_TO_MAX = (*_LOW_TO_HIGH, "max")
_TO_XHIGH_AND_MAX = (*_LOW_TO_HIGH, "xhigh", "max")
_FREE_CHOICE = ("auto", "none")


def _family(names: str, **changes: Any) -> ModelFamily:
    """Matches `claude-<names>` after any prefix (`anthropic/`, `us.anthropic.`), with `4.6` and `4-6` alike."""
    names = names.replace("-", "[-.]")
    pattern = re.compile(rf"(?:.*[/.])?claude-(?:{names})(?![.\d]|-\d{{1,2}}(?!\d))", re.IGNORECASE)
    return ModelFamily(pattern=pattern, changes=changes)


def _adaptive(**changes: Any) -> dict[str, Any]:
    """A model that decides itself how long to think, thinks unless told otherwise, and refuses sampling settings."""
    row: dict[str, Any] = {
        "supports_sampling": False,
        "thinking_mode": "adaptive",
        "thinking_off": "disabled",
        "reasons_by_default": True,
        "reasoning_efforts": _TO_XHIGH_AND_MAX,
        "default_max_output_tokens": 128_000,
    }
    return row | changes


def _budget(**changes: Any) -> dict[str, Any]:
    """A model of 2025: thinking by a token budget, off unless asked for; sampling allowed, one setting at a time."""
    row: dict[str, Any] = {
        "thinking_mode": "budget",
        "one_sampling_setting": True,
        "default_max_output_tokens": 64_000,
    }
    return row | changes


ANTHROPIC_FAMILIES: tuple[ModelFamily, ...] = (
    _family(
        "fable-5-[12]|mythos-5-2",
        **_adaptive(thinking_off="never", tool_choices=_FREE_CHOICE, supports_system_turns=True),
    ),
    _family("fable-5|mythos-5", **_adaptive(thinking_off="never", supports_system_turns=True)),
    _family("opus-5-5", **_adaptive(thinking_off="never", tool_choices=_FREE_CHOICE, supports_system_turns=True)),
    _family(
        "sonnet-5-5", **_adaptive(thinking_off="between_tools", tool_choices=_FREE_CHOICE, supports_system_turns=True)
    ),
    _family("haiku-5-5|opus-5", **_adaptive(supports_system_turns=True)),
    # sonnet-5 answers 200 to a system turn and ignores it, so it keeps the default of no system turns.
    _family("sonnet-5", **_adaptive()),
    _family("opus-4-8", **_adaptive(thinking_off="omit", reasons_by_default=False, supports_system_turns=True)),
    _family("opus-4-7", **_adaptive(thinking_off="omit", reasons_by_default=False)),
    _family(
        "opus-4-6|sonnet-4-6",
        **_budget(thinking_mode="adaptive", reasoning_efforts=_TO_MAX, default_max_output_tokens=128_000),
    ),
    _family("opus-4-5|sonnet-4-5|haiku-4-5", **_budget()),
    _family("opus-4-1", **_budget(default_max_output_tokens=32_000)),
    _family("opus-4(?:-0)?", **_budget(supports_json_schema=False, default_max_output_tokens=32_000)),
    _family("sonnet-4(?:-0)?", **_budget(supports_json_schema=False)),
    _family("3-7-sonnet", **_budget(supports_json_schema=False)),
    _family(
        "3-5-(?:sonnet|haiku)",
        supports_json_schema=False,
        thinking_mode="none",
        default_max_output_tokens=8_192,
    ),
    _family(
        "3-(?:opus|sonnet|haiku)|2|instant",
        supports_json_schema=False,
        thinking_mode="none",
        default_max_output_tokens=4_096,
    ),
    # A Claude newer than this table: refused settings are dropped with a warning rather than answered with a 400.
    _family(r"\w+", **_adaptive()),
)
