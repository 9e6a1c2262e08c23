"""What a provider or a model family can and can't do, as data. A provider that speaks another's dialect is a row here.

Merge order, later wins: the defaults, the adapter kind, the model family, an admin's override.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal


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

    def override(self, changes: Mapping[str, Any]) -> ModelProfile:
        """Answer this profile with `changes` applied; raises TypeError for a name that is no field."""
        return replace(self, **changes)
