"""How an asked effort becomes Anthropic's `thinking` and `output_config`, by the model's profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.anthropic_blocks import vendor_data
from adapters.errors import UnsupportedFeatureError
from adapters.types import ChatRequest, NamedTool, Target

__all__ = ["BUDGETS", "EFFORTS", "Thinking", "build_thinking", "effort_for_budget"]

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
BUDGETS: Mapping[str, int] = {
    "minimal": 1_024,
    "low": 1_024,
    "medium": 8_192,
    "high": 24_576,
    "xhigh": 32_768,
    "max": 32_768,
}
_LEAST_BUDGET = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    thinking: Mapping[str, Any] | None = None
    output_config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def enabled(self) -> bool:
        return self.thinking is not None and self.thinking.get("type") in ("enabled", "adaptive")


def effort_for_budget(budget_tokens: int) -> str:
    """The level whose budget is nearest above; what a client's explicit budget means elsewhere."""
    for level in ("low", "medium", "high"):
        if budget_tokens <= BUDGETS[level]:
            return level
    return "max"


def build_thinking(request: ChatRequest, target: Target, *, max_tokens: int, warnings: list[str]) -> Thinking:
    """Translate `reasoning_effort`; a client's own `thinking` goes verbatim where the model takes its form."""
    hints = vendor_data(request.provider_metadata)
    asked = hints.get("thinking")
    config = hints.get("output_config")
    config = dict(config) if isinstance(config, Mapping) else {}
    effort = request.reasoning_effort
    if isinstance(asked, Mapping) and _takes(asked, target):
        return Thinking(thinking=asked, output_config=config | _effort(effort, target, explicit="effort" in config))
    config.pop("effort", None)
    if effort is None:
        return Thinking(output_config=config)
    if effort not in EFFORTS:
        raise UnsupportedFeatureError(
            f"reasoning_effort {effort!r} is none of {', '.join(EFFORTS)}", param="reasoning_effort"
        )
    if not isinstance(asked, Mapping) and isinstance(hints.get("output_config"), Mapping):
        # A client of this dialect that named an effort and left thinking to the model.
        return Thinking(output_config=config | _effort(effort, target, explicit=True))
    built = _switched_off(target, warnings) if effort == "none" else _switched_on(effort, request, target, max_tokens)
    if effort != "none" and built.thinking is None:
        warnings.append(f"reasoning_effort was left out: {target.model} can't think within this request")
    return Thinking(thinking=built.thinking, output_config=config | dict(built.output_config))


def _takes(asked: Mapping[str, Any], target: Target) -> bool:
    """Whether the model takes this form of `thinking`."""
    mode, off = target.profile.thinking_mode, target.profile.thinking_off
    match asked.get("type"):
        case "enabled":
            # The models that refuse sampling settings refuse budgets too.
            return mode == "budget" or (mode == "adaptive" and target.profile.supports_sampling)
        case "adaptive":
            return mode == "adaptive"
        case "disabled":
            return off in ("omit", "disabled")
        case "between_tools":
            return off == "between_tools"
        case _:
            return True


def _effort(effort: str | None, target: Target, *, explicit: bool) -> dict[str, str]:
    levels = target.profile.reasoning_efforts
    if not explicit or effort in (None, "none"):
        return {}
    if levels is None:  # unknown model: the client knows what it asks
        return {"effort": effort} if target.profile.thinking_mode == "adaptive" and effort else {}
    return {"effort": _nearest(effort or "", levels)} if levels else {}


def _nearest(effort: str, levels: tuple[str, ...]) -> str:
    """The highest level that is not above what was asked, else the lowest."""
    ceiling = EFFORTS.index(effort) if effort in EFFORTS else len(EFFORTS)
    below = [level for level in levels if EFFORTS.index(level) <= ceiling]
    return max(below or levels[:1], key=EFFORTS.index)


def _switched_off(target: Target, warnings: list[str]) -> Thinking:
    match target.profile.thinking_off:
        case "disabled" | "between_tools" as kind:
            return Thinking(thinking={"type": kind})
        case "never":
            warnings.append(f"{target.model} always thinks: it was asked for the least")
            return Thinking(output_config={"effort": (target.profile.reasoning_efforts or ("low",))[0]})
        case _:
            return Thinking()


def _switched_on(effort: str, request: ChatRequest, target: Target, max_tokens: int) -> Thinking:
    mode = target.profile.thinking_mode
    if mode == "adaptive":
        levels = target.profile.reasoning_efforts
        config = {"effort": _nearest(effort, levels)} if levels else {}
        # Newer models leave the text of their thinking out unless it is asked for.
        return Thinking(thinking={"type": "adaptive", "display": "summarized"}, output_config=config)
    forced = request.tool_choice == "required" or isinstance(request.tool_choice, NamedTool)
    budget = min(BUDGETS[effort], max_tokens - 1)
    if mode == "none" or budget < _LEAST_BUDGET or (forced and request.tools):
        return Thinking()
    return Thinking(thinking={"type": "enabled", "budget_tokens": budget})
