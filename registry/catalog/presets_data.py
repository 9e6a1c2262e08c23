"""The shortlists that a new hub starts with, by module. Data; `seed.py` makes rows of it once and never again.

The first five are the lists of ten that older tools keep for their modules; a model of theirs that a vendor has
replaced since says what by. The last three name today's models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from registry.catalog.prompt_packs_data import json_answer


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetRank:
    """`model_ref` is provider/model_id, whether the hub has such a model or not."""

    model_ref: str
    note: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetRow:
    module: str  # also its slug
    name: str
    description: str
    ranks: tuple[PresetRank, ...]
    options: Mapping[str, Any] = field(default_factory=dict)  # for every rank that does not say otherwise


# What today's catalogue has in the place of an older model, by how the older one's reference begins; longest first.
_SUCCESSORS = (
    ("openai/gpt-4.1-mini", "openai/gpt-6-luna"),
    ("openai/gpt-4o-mini", "openai/gpt-6-luna"),
    ("openai/gpt-4.1", "openai/gpt-6.1-sol"),
    ("openai/gpt-4o", "openai/gpt-6.1-terra"),
    ("anthropic/claude-3-haiku", "anthropic/claude-haiku-5-5"),
    ("anthropic/claude-3.5-haiku", "anthropic/claude-haiku-5-5"),
    ("anthropic/claude-3.5-sonnet", "anthropic/claude-sonnet-5-5"),
    ("anthropic/claude-3-opus", "anthropic/claude-opus-5-5"),
    ("anthropic/claude-3.5-opus", "anthropic/claude-opus-5-5"),
    ("gemini/gemini-1.5-flash", "gemini/gemini-3.8-flash"),
    ("gemini/gemini-1.5-pro", "gemini/gemini-4-argon"),
    ("gemini/gemini-1.5-ultra", "gemini/gemini-4-argon"),
    ("openrouter/mistralai/mistral-large-2", "openrouter/mistralai/mistral-large-4-0"),
    ("openrouter/deepseek/deepseek-chat", "openrouter/deepseek/deepseek-v4.1-flash"),
)


def successor_of(model_ref: str) -> str | None:
    """Today's model in the place of an older one; None where none is known."""
    return next((now for older, now in _SUCCESSORS if model_ref.startswith(older)), None)


_ANY_JSON = {"type": "json_object"}


def _rank(model_ref: str, temperature: float, top_p: float, note: str, **options: Any) -> PresetRank:
    successor = successor_of(model_ref)
    return PresetRank(
        model_ref=model_ref,
        note=f"{note}. Today's successor: {successor}." if successor else f"{note}.",
        options={"temperature": temperature, "top_p": top_p, **options},
    )


def _today(*references: str) -> tuple[PresetRank, ...]:
    return tuple(PresetRank(model_ref=reference) for reference in references)


PRESETS = (
    PresetRow(
        module="translate",
        name="Translate",
        description="Translations as JSON, with the language that was found.",
        options={"response_format": json_answer("translate")},
        ranks=(
            _rank("openai/gpt-4.1-mini", 0.1, 0.8, "JSON schema enforced; cost and quality in balance"),
            _rank("openai/gpt-4o-mini", 0.15, 0.85, "Fast localisation of user interfaces"),
            _rank("anthropic/claude-3-haiku-20240307", 0.2, 0.8, "Thinking off; JSON in blocks"),
            _rank("anthropic/claude-3.5-sonnet-20240620", 0.2, 0.85, "Long context, steady output"),
            _rank("gemini/gemini-1.5-flash", 0.15, 0.6, "JSON by response_mime_type"),
            _rank("gemini/gemini-1.5-pro", 0.1, 0.4, "For large documents"),
            _rank("azure-openai/gpt-4o-mini", 0.15, 0.85, "A deployment; api_version 2024-06-01"),
            _rank("azure-openai/gpt-35-turbo", 0.1, 0.7, "Batches on a budget", response_format=_ANY_JSON),
            _rank("openrouter/google/gemini-flash-1.5", 0.15, 0.6, "Wants the header X-Title"),
            _rank("openrouter/mistralai/mistral-large-2", 0.2, 0.75, "Steady fallback"),
        ),
    ),
    PresetRow(
        module="vn-chat",
        name="VN chat",
        description="Roleplay in a visual novel's dialogue.",
        ranks=(
            _rank("openai/gpt-4o", 0.65, 0.95, "Expressive dialogue"),
            _rank("openai/gpt-4.1", 0.6, 0.9, "Strong reasoning"),
            _rank("openai/gpt-4.1-mini", 0.7, 0.95, "Easy on the budget"),
            _rank("anthropic/claude-3.5-sonnet-20240620", 0.65, 0.95, "Long, coherent turns"),
            _rank("anthropic/claude-3-opus-20240229", 0.55, 0.9, "Consistent narrative"),
            _rank("gemini/gemini-1.5-pro", 0.7, 0.95, "Give safety settings along"),
            _rank("azure-openai/gpt-4o", 0.65, 0.95, "For a company's compliance"),
            _rank("openrouter/meta-llama/llama-3.1-70b-instruct", 0.75, 0.95, "Open weights, as fallback"),
            _rank("openrouter/perplexity/llama-3.1-sonar-large-128k-chat", 0.6, 0.9, "Good with retrieved text"),
            _rank("openrouter/qwen/qwen-2.5-72b-instruct", 0.7, 0.92, "Roleplay in many languages"),
        ),
    ),
    PresetRow(
        module="narrator",
        name="Narrator",
        description="Voice-over as JSON.",
        options={"response_format": json_answer("narrator")},
        ranks=(
            _rank("openai/gpt-4.1", 0.6, 0.92, "Answers a narration"),
            _rank("openai/gpt-4o", 0.7, 0.94, "With a presence penalty", presence_penalty=0.6),
            _rank("openai/gpt-4.1-mini", 0.7, 0.95, "Rapid drafts"),
            _rank("anthropic/claude-3.5-opus-20240808", 0.65, 0.9, "Thinking off"),
            _rank("anthropic/claude-3.5-sonnet", 0.7, 0.95, "Lyrical tone"),
            _rank("gemini/gemini-1.5-pro", 0.75, 0.96, "JSON by response_mime_type"),
            _rank("gemini/gemini-1.5-ultra", 0.65, 0.9, "Long context"),
            _rank("azure-openai/gpt-4o", 0.7, 0.94, "With your own telemetry"),
            _rank("openrouter/meta-llama/llama-3.1-405b-instruct", 0.62, 0.9, "Premium quality"),
            _rank("openrouter/nousresearch/hermes-3-llama-3.1-70b", 0.72, 0.95, "Descriptive prose"),
        ),
    ),
    PresetRow(
        module="worldbuild",
        name="Worldbuild",
        description="Structured lore: regions, factions, hooks.",
        options={"response_format": json_answer("worldbuild")},
        ranks=(
            _rank("openai/gpt-4.1", 0.45, 0.75, "Regions, factions, hooks"),
            _rank("openai/gpt-4o", 0.5, 0.8, "Up to 2,048 tokens", max_tokens=2048),
            _rank("openai/gpt-4.1-mini", 0.5, 0.82, "Notes on a budget"),
            _rank("anthropic/claude-3.5-sonnet", 0.45, 0.78, "Wants the schema as a tool"),
            _rank("anthropic/claude-3-opus", 0.4, 0.75, "Consistency first"),
            _rank("gemini/gemini-1.5-pro", 0.5, 0.7, "Arrays of biomes and events"),
            _rank("gemini/gemini-1.5-flash", 0.55, 0.75, "For trying ideas again and again"),
            _rank("azure-openai/gpt-4o", 0.48, 0.78, "For companies"),
            _rank("openrouter/perplexity/sonar-medium-chat", 0.5, 0.8, "Lore with retrieved text"),
            _rank("openrouter/mistralai/mixtral-8x22b-instruct", 0.52, 0.82, "Long, steady output"),
        ),
    ),
    PresetRow(
        module="battle",
        name="Battle narration",
        description="Summaries of fights, with what may follow.",
        options={"response_format": json_answer("battle")},
        ranks=(
            _rank("openai/gpt-4o", 0.75, 0.94, "Summary and next hooks"),
            _rank("openai/gpt-4.1", 0.7, 0.9, "With a frequency penalty", frequency_penalty=0.2),
            _rank("openai/gpt-4.1-mini", 0.8, 0.96, "Quick recaps"),
            _rank("anthropic/claude-3.5-sonnet", 0.78, 0.96, "Creative in balance"),
            _rank("anthropic/claude-3.5-haiku-20241001", 0.82, 0.97, "Good for streaming"),
            _rank("gemini/gemini-1.5-flash", 0.85, 0.98, "Quick overlays"),
            _rank("gemini/gemini-1.5-pro", 0.8, 0.95, "Tactical detail"),
            _rank("azure-openai/gpt-4o", 0.78, 0.94, "With your own telemetry"),
            _rank("openrouter/meta-llama/llama-3.1-70b-instruct", 0.82, 0.96, "Long combat logs"),
            _rank("openrouter/deepseek/deepseek-chat", 0.85, 0.97, "Cheap beats of action"),
        ),
    ),
    PresetRow(
        module="chat",
        name="Chat",
        description="Everyday conversation with today's models.",
        options={"temperature": 0.7},
        ranks=_today(
            "openai/gpt-6.1-terra",
            "anthropic/claude-sonnet-5-5",
            "gemini/gemini-3.8-flash",
            "mistral/mistral-medium-3-5",
            "groq/openai/gpt-oss-120b",
            "ollama/llama3.2",
        ),
    ),
    PresetRow(
        module="json",
        name="JSON",
        description="Answers that a program reads.",
        options={"temperature": 0.1, "response_format": _ANY_JSON},
        ranks=_today(
            "openai/gpt-6-luna",
            "gemini/gemini-3.5-flash-lite",
            "mistral/mistral-small-2603",
            "groq/openai/gpt-oss-20b",
            "ollama/qwen3",
        ),
    ),
    PresetRow(
        module="long-context",
        name="Long context",
        description="Prompts of hundreds of thousands of tokens.",
        options={"temperature": 0.3},
        ranks=_today(
            "gemini/gemini-4-argon",
            "openai/gpt-6.1-terra",
            "anthropic/claude-sonnet-5-5",
            "deepseek/deepseek-v4-pro",
            "xai/grok-4.3",
        ),
    ),
)
