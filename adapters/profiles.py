"""What a provider or a model family can and can't do, as data. A provider that speaks another's dialect is a row here.

Merge order, later wins: the defaults, the adapter kind (`adapters/kinds.py`), the model family, an admin's override.
A codec asks the profile and never for a provider's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

__all__ = ["OPENAI_FAMILIES", "ModelFamily", "ModelProfile", "family_changes", "starts_with"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """Answers with defaults; a codec asks the profile, never for a provider's name."""

    supports_tools: bool = True
    supports_parallel_tools: bool = True
    supports_json_object: bool = True
    supports_json_schema: bool = True
    supports_images: bool = True
    supports_sampling: bool = True  # temperature, top_p, penalties
    supports_stop: bool = True
    supports_stream_usage: bool = True  # understands stream_options.include_usage
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    system_role: Literal["system", "developer"] = "system"
    reasoning_fields: tuple[str, ...] = ("reasoning_content", "reasoning")  # read in this order, first found wins
    default_max_output_tokens: int | None = None  # for dialects that require one
    extra: Mapping[str, Any] = field(default_factory=dict)

    supports_image_urls: bool = True  # fetches http(s) images itself; False: only inline data may be sent
    supports_audio: bool = True
    supports_files: bool = True
    supports_several_choices: bool = True  # n > 1
    # "required" and "named" are refused where absent; "auto" and "none" have a form everywhere.
    tool_choices: tuple[str, ...] = ("auto", "none", "required", "named")
    sampling_needs_effort_none: bool = False  # temperature and friends only while reasoning_effort is "none"
    reasons_by_default: bool = False  # reasons when the request names no effort
    reasoning_efforts: tuple[str, ...] | None = None  # accepted values; () takes none at all, None unknown: sent as is
    # asked -> sent, for servers with fewer levels; read before `reasoning_efforts`
    effort_map: Mapping[str, str] = field(default_factory=dict)
    # where the effort goes: OpenAI's field, OpenRouter's `reasoning: {effort}`, DeepSeek's `thinking: {type}` beside it
    reasoning_request: Literal["reasoning_effort", "reasoning_object", "thinking_switch"] = "reasoning_effort"
    # the field in which an assistant's earlier reasoning must go back ("reasoning_content"); None: it is left out
    reasoning_echo_field: str | None = None
    # vendor fields of an assistant's turn that this server wants back verbatim ("reasoning_details", "extra_content")
    echo_fields: frozenset[str] = frozenset()
    # False: chat/completions answers 400 to function tools while the model reasons, and the call belongs on /responses
    supports_tools_while_reasoning: bool = True
    # Anthropic and Gemini: how thinking is asked for, and what switches it off ("omit": it is off unless asked for)
    thinking_mode: Literal["adaptive", "budget", "level", "none"] = "budget"
    thinking_off: Literal["omit", "disabled", "between_tools", "never"] = "omit"
    supports_system_turns: bool = False  # Anthropic: a system turn may stand inside the conversation
    one_sampling_setting: bool = False  # temperature or top_p, never both
    seed_field: str = "seed"
    tool_call_ids: Literal["any", "alnum9"] = "any"  # alnum9: exactly nine letters and digits (Mistral)
    # wire fields that this server answers with an error; left out, with a warning
    refused_fields: frozenset[str] = frozenset()

    def override(self, changes: Mapping[str, Any]) -> ModelProfile:
        """Answer this profile with `changes` applied; raises TypeError for a name that is no field."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFamily:
    """Changes to a profile for the models whose id matches `pattern` (from its start, any case)."""

    pattern: re.Pattern[str]
    changes: Mapping[str, Any]


def starts_with(prefix: str) -> re.Pattern[str]:
    """A family's pattern for ids that begin with `prefix`."""
    return re.compile(re.escape(prefix), re.IGNORECASE)


def _openai_family(pattern: str, **changes: Any) -> ModelFamily:
    # An id may be a fine-tune (`ft:gpt-4o:org`); what follows the family is a date, a size or nothing.
    return ModelFamily(pattern=re.compile(rf"(?:ft:)?(?:{pattern})(?:$|[-:@.])", re.IGNORECASE), changes=changes)


def _reasoner(efforts: str, **changes: Any) -> dict[str, Any]:
    """A model that reasons with the sampling settings closed; `efforts` are the values it takes on chat/completions."""
    row: dict[str, Any] = {
        "system_role": "developer",
        "supports_sampling": False,
        "supports_stop": False,
        "reasons_by_default": True,
        "reasoning_efforts": tuple(efforts.split()),
    }
    return row | changes


_OPEN_SAMPLING = {"supports_sampling": True, "sampling_needs_effort_none": True, "supports_stop": True}
_RESPONSES_FOR_TOOLS = {"supports_tools_while_reasoning": False}
_MAX_ON_RESPONSES = {"responses_efforts": ("max",)}
_RESPONSES_ONLY = {"responses_only": True}  # there is no chat endpoint for it
_TO_XHIGH = {"max": "xhigh"}  # chat/completions refuses `max` on every model; /responses takes it

# OpenAI's own models, first match wins. Which values a model takes: OpenAI's model pages and the live-verified tables
# of pydantic-ai 2.68 (2026-11-20). A model that matches no row gets what the client sent and nothing else.
OPENAI_FAMILIES: tuple[ModelFamily, ...] = (
    _openai_family(
        r"gpt-6-astra|gpt-6\.1-sol",
        **_reasoner("low medium high xhigh", effort_map=_TO_XHIGH | {"none": "low", "minimal": "low"}),
        **_RESPONSES_FOR_TOOLS,
        extra=_MAX_ON_RESPONSES,
    ),
    _openai_family(
        r"gpt-6(?:\.\d+)?|gpt-5\.6",
        **_reasoner("none low medium high xhigh", effort_map=_TO_XHIGH | {"minimal": "low"})
        | _OPEN_SAMPLING
        | _RESPONSES_FOR_TOOLS,
        extra=_MAX_ON_RESPONSES,
    ),
    _openai_family(
        r"gpt-5\.[2-5]-pro",
        **_reasoner(
            "medium high xhigh", effort_map=_TO_XHIGH | {"none": "medium", "minimal": "medium", "low": "medium"}
        ),
        **_RESPONSES_FOR_TOOLS,
        extra=_RESPONSES_ONLY,
    ),
    _openai_family(
        r"gpt-5\.5",
        **_reasoner("none minimal low medium high xhigh", effort_map=_TO_XHIGH) | _OPEN_SAMPLING | _RESPONSES_FOR_TOOLS,
    ),
    _openai_family(
        r"gpt-5\.\d+-chat-latest", **_reasoner("medium", effort_map=dict.fromkeys(("none", "minimal", "low"), "medium"))
    ),
    _openai_family(
        r"gpt-5\.4",
        **_reasoner("none minimal low medium high xhigh", effort_map=_TO_XHIGH, reasons_by_default=False)
        | _OPEN_SAMPLING
        | _RESPONSES_FOR_TOOLS,
    ),
    _openai_family(
        r"gpt-5\.[1-3]-codex(?:-max|-mini)?",
        **_reasoner("none minimal low medium high xhigh", effort_map=_TO_XHIGH, reasons_by_default=False)
        | _OPEN_SAMPLING,
        extra=_RESPONSES_ONLY,
    ),
    _openai_family(
        r"gpt-5\.[1-3]",
        **_reasoner("none minimal low medium high xhigh", effort_map=_TO_XHIGH, reasons_by_default=False)
        | _OPEN_SAMPLING,
    ),
    _openai_family(r"gpt-5-chat", reasoning_efforts=()),
    _openai_family(
        r"gpt-5-pro",
        **_reasoner("high", effort_map=dict.fromkeys(("none", "minimal", "low", "medium", "xhigh", "max"), "high")),
        extra=_RESPONSES_ONLY,
    ),
    _openai_family(
        r"gpt-5-codex|codex-mini",
        **_reasoner("low medium high", effort_map={"none": "low", "minimal": "low", "xhigh": "high", "max": "high"}),
        extra=_RESPONSES_ONLY,
    ),
    _openai_family(
        r"o1-pro|o3-pro|o[34](?:-mini)?-deep-research",
        **_reasoner("low medium high", effort_map={"none": "low", "minimal": "low", "xhigh": "high", "max": "high"}),
        extra=_RESPONSES_ONLY,
    ),
    _openai_family(
        r"gpt-5", **_reasoner("minimal low medium high", effort_map={"none": "minimal", "xhigh": "high", "max": "high"})
    ),
    _openai_family(
        r"o1|o3|o4",
        **_reasoner("low medium high", effort_map={"none": "low", "minimal": "low", "xhigh": "high", "max": "high"}),
    ),
    # Always answers base64 and has no such field (400 recorded 2025).
    _openai_family(r"gpt-image(?:-\d+(?:\.\d+)?)?", refused_fields=frozenset({"top_k", "response_format"})),
    _openai_family(r"gpt-4|gpt-4o|chatgpt-4o|gpt-3\.5", reasoning_efforts=()),
)


def family_changes(families: tuple[ModelFamily, ...], model: str) -> Mapping[str, Any]:
    """Changes of the first family that `model` belongs to; empty for an unknown model."""
    for family in families:
        if family.pattern.match(model):
            return family.changes
    return {}
