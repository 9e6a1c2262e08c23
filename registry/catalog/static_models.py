"""Well-known models that no template brings any more, for files and `.env`s that still name them. Data.

Context windows and prices (USD per 1M tokens) as the vendors last listed them; a retired model keeps what it had.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from registry.catalog.templates import TemplateModel

_CHAT = ("chat", "streaming")
_JSON = (*_CHAT, "json_mode")
_TOOLS = (*_JSON, "tools")
_SEES = (*_TOOLS, "vision")
_BLIND = ("vision", "reasoning")
_QUICK = ("reasoning",)


def _row(
    model_id: str,
    quality: str,
    context: int,
    prices: tuple[str, str] | None,
    yes: tuple[str, ...],
    no: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
) -> TemplateModel:
    rates = {} if prices is None else {"input_per_1m": Decimal(prices[0]), "output_per_1m": Decimal(prices[1])}
    return TemplateModel(
        model_id=model_id,
        quality_tier=quality,
        context_length=context,
        prices=rates,
        yes=yes,
        no=no,
        tags=tags,
    )


STATIC_MODELS: Mapping[str, tuple[TemplateModel, ...]] = {
    "openai": (
        _row("gpt-3.5-turbo", "cheap", 16_385, ("0.5", "1.5"), _TOOLS, _BLIND),
        _row("gpt-4-turbo", "best", 128_000, ("10", "30"), _SEES, _QUICK),
        _row("gpt-4o", "best", 128_000, ("2.5", "10"), (*_SEES, "json_schema"), _QUICK),
        _row("gpt-4o-mini", "balanced", 128_000, ("0.15", "0.6"), (*_SEES, "json_schema"), _QUICK),
        _row("gpt-4.1", "best", 1_047_576, ("2", "8"), (*_SEES, "json_schema"), _QUICK),
        _row("gpt-4.1-mini", "balanced", 1_047_576, ("0.4", "1.6"), (*_SEES, "json_schema"), _QUICK),
        _row("gpt-4.1-nano", "cheap", 1_047_576, ("0.1", "0.4"), (*_SEES, "json_schema"), _QUICK),
    ),
    "azure_openai": (  # as deployments are usually called; what they cost differs by region and contract
        _row("gpt-4o", "best", 128_000, None, _SEES, _QUICK),
        _row("gpt-4o-mini", "balanced", 128_000, None, _SEES, _QUICK),
        _row("gpt-35-turbo", "cheap", 16_385, None, _TOOLS, _BLIND),
    ),
    "anthropic": (
        _row("claude-3-haiku", "cheap", 200_000, ("0.25", "1.25"), (*_CHAT, "tools", "vision"), _QUICK),
        _row("claude-3-opus", "best", 200_000, ("15", "75"), (*_CHAT, "tools", "vision"), _QUICK),
        _row("claude-3-5-sonnet", "best", 200_000, ("3", "15"), (*_CHAT, "tools", "vision"), _QUICK),
        _row("claude-3-5-haiku", "balanced", 200_000, ("0.8", "4"), (*_CHAT, "tools"), _QUICK),
    ),
    "gemini": (
        _row("gemini-1.5-flash", "cheap", 1_048_576, ("0.075", "0.3"), (*_SEES, "json_schema"), _QUICK),
        _row("gemini-1.5-pro", "best", 2_097_152, ("1.25", "5"), (*_SEES, "json_schema"), _QUICK),
        _row("gemini-2.0-flash", "balanced", 1_048_576, ("0.1", "0.4"), (*_SEES, "json_schema"), _QUICK),
        _row("gemini-2.0-flash-exp", "balanced", 1_048_576, None, _SEES, _QUICK),
    ),
    "groq": (
        _row("llama-3.3-70b-versatile", "balanced", 131_072, ("0.59", "0.79"), _TOOLS, _BLIND, ("fast",)),
        _row("llama-3.1-8b-instant", "cheap", 131_072, ("0.05", "0.08"), _TOOLS, _BLIND, ("fast",)),
    ),
    "mistral": (
        _row("mistral-large", "best", 131_072, ("2", "6"), _TOOLS, _QUICK),
        _row("mistral-small", "cheap", 131_072, ("0.1", "0.3"), _TOOLS, _QUICK),
    ),
    "deepseek": (
        _row("deepseek-chat", "balanced", 65_536, ("0.27", "1.1"), _TOOLS, _BLIND),
        _row("deepseek-reasoner", "best", 65_536, ("0.55", "2.19"), (*_CHAT, "reasoning"), ("vision",)),
    ),
    "openrouter": (
        _row("openai/gpt-4o-mini", "balanced", 128_000, ("0.15", "0.6"), _SEES, _QUICK),
        _row("meta-llama/llama-3.1-70b-instruct", "balanced", 131_072, None, _CHAT, _BLIND),
        _row("meta-llama/llama-3.1-405b-instruct", "best", 131_072, None, _CHAT, _BLIND),
        _row("qwen/qwen-2.5-72b-instruct", "balanced", 131_072, None, _CHAT, _BLIND),
        _row("mistralai/mixtral-8x22b-instruct", "balanced", 65_536, None, _CHAT, _BLIND),
    ),
}
