"""Gemini's model families, how much each may think, and the model list. Data and small translations; no request fields.

Facts: ai.google.dev's thinking and models pages and the live-verified tables of pydantic-ai 2.68 (2026-11-20).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from adapters.errors import UnsupportedFeatureError, UpstreamProtocolError
from adapters.profiles import ModelFamily
from adapters.types import ModelPage, RemoteModel, Target

__all__ = ["GEMINI_FAMILIES", "build_thinking", "parse_model_page"]

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS: Final[Mapping[str, int]] = {
    "none": 0,
    "minimal": 512,
    "low": 1_024,
    "medium": 8_192,
    "high": 24_576,
    "xhigh": 32_768,
    "max": 32_768,
}
_MEDIA_IN_TOOL_RESULTS: Final = ("image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain")


def _family(pattern: str, **changes: Any) -> ModelFamily:
    # `models/` is how Google writes its own ids; what follows the family is a version, a size or nothing.
    return ModelFamily(pattern=re.compile(rf"(?:models/)?(?:{pattern})(?:$|[-:@.])", re.IGNORECASE), changes=changes)


def _levels(levels: str, *, always: bool = False) -> dict[str, Any]:
    """A model of generation 3 or later: thinking by level, signatures on its calls, images in tool results."""
    names = tuple(levels.split())
    return {
        "thinking_mode": "level",
        "thinking_off": "never" if always else "omit",
        "reasons_by_default": True,
        "reasoning_efforts": names,
        "extra": {"json_schema": True, "tool_result_media": _MEDIA_IN_TOOL_RESULTS, "tools_with_schema": True},
    }


def _budget(least: int, most: int, *, always: bool = False, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "thinking_mode": "budget",
        "thinking_off": "never" if always else "disabled",
        "reasons_by_default": True,
        "extra": {"json_schema": True, "thinking_budget": (least, most)},
    }
    return row | changes


# First match wins. A Gemini newer than this table is taken for one that knows low, medium and high.
GEMINI_FAMILIES: tuple[ModelFamily, ...] = (
    _family(r"gemma", thinking_mode="none", supports_json_schema=False, extra={"system_instruction": False}),
    _family(r"gemini-[12]\.0|gemini-1\.5", thinking_mode="none", reasoning_efforts=()),
    _family(r"gemini-2\.5-pro", **_budget(128, 32_768, always=True)),
    _family(r"gemini-2\.5-flash-lite", **_budget(512, 24_576, reasons_by_default=False)),
    _family(r"gemini-2\.5-flash-image", thinking_mode="none", reasoning_efforts=()),
    _family(r"gemini-2\.5", **_budget(1, 24_576)),
    _family(r"gemini-3-pro", **_levels("low high", always=True)),
    _family(r"gemini-3\.1-pro", **_levels("low medium high", always=True)),
    _family(r"gemini-3\.5-pro", **_levels("minimal low medium high", always=True)),
    _family(r"gemini-3(?:\.[15])?-flash", **_levels("minimal low medium high")),
    _family(r"gemini", **_levels("low medium high")),
)


def build_thinking(effort: str | None, target: Target, warnings: list[str]) -> dict[str, Any] | None:
    """`generationConfig.thinkingConfig` for an effort; None where nothing is to be sent."""
    if effort is None:
        return None
    if effort not in EFFORTS:
        raise UnsupportedFeatureError(
            f"reasoning_effort {effort!r} is none of {', '.join(EFFORTS)}",
            provider=target.provider,
            model=target.model,
            param="reasoning_effort",
        )
    match target.profile.thinking_mode:
        case "level" | "adaptive":
            return _level(effort, target, warnings)
        case "budget":
            return _budget_for(effort, target, warnings)
        case _:
            if effort != "none":
                warnings.append(f"reasoning_effort {effort} left out: {target.model} does not think")
            return None


def _level(effort: str, target: Target, warnings: list[str]) -> dict[str, Any]:
    levels = target.profile.reasoning_efforts or ("low", "medium", "high")
    wanted = EFFORTS.index(effort)
    below = [level for level in levels if EFFORTS.index(level) <= wanted]
    # gemini-3-pro has low and high alone: what lies between is better thought through than not.
    sent = below[-1] if below else levels[0]
    if effort == "medium" and sent != "medium":
        sent = next((level for level in levels if EFFORTS.index(level) > wanted), sent)
    if sent != effort and effort not in ("xhigh", "max"):
        warnings.append(f"reasoning_effort {effort} sent as {sent}, the nearest that {target.model} takes")
    return {"thinkingLevel": sent.upper(), "includeThoughts": effort != "none"}


def _budget_for(effort: str, target: Target, warnings: list[str]) -> dict[str, Any]:
    least, most = target.profile.extra.get("thinking_budget", (1, 24_576))
    if effort == "none":
        if target.profile.thinking_off != "never":
            return {"thinkingBudget": 0}
        warnings.append(f"{target.model} always thinks: it was asked for the least")
        return {"thinkingBudget": least, "includeThoughts": False}
    return {"thinkingBudget": min(max(_BUDGETS[effort], least), most), "includeThoughts": True}


# --- the model list ------------------------------------------------------------------------------------------------


def parse_model_page(body: Mapping[str, Any], target: Target) -> ModelPage:
    """Read one page. Models that neither answer, embed nor draw (tuning bases, AQA) are passed over."""
    rows = body.get("models")
    if rows is None and not body.get("nextPageToken"):
        rows = []  # an empty list is an empty object
    if not isinstance(rows, list):
        raise UpstreamProtocolError("the provider answered without a list of models", provider=target.provider)
    models = (_read_model(row) for row in rows if isinstance(row, dict) and isinstance(row.get("name"), str))
    following = body.get("nextPageToken")
    return ModelPage(
        models=tuple(model for model in models if model is not None),
        next_cursor=following if isinstance(following, str) and following else None,
    )


def _read_model(row: Mapping[str, Any]) -> RemoteModel | None:
    methods = row.get("supportedGenerationMethods")
    capabilities: dict[str, bool] = {}
    if isinstance(methods, list):
        chat = "generateContent" in methods
        embeds = "embedContent" in methods or "batchEmbedContents" in methods
        images = "predict" in methods
        if not (chat or embeds or images):
            return None
        capabilities = {"chat": chat, "embeddings": embeds, "images": images}
        if chat:
            capabilities["streaming"] = True
            if isinstance(row.get("thinking"), bool):
                capabilities["reasoning"] = row["thinking"]
    title = row.get("displayName")
    return RemoteModel(
        id=str(row["name"]).removeprefix("models/"),
        name=title if isinstance(title, str) and title else None,
        owned_by="google",
        context_length=_positive(row.get("inputTokenLimit")),
        max_output_tokens=_positive(row.get("outputTokenLimit")),
        capabilities=capabilities,
        raw=row,
    )


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
