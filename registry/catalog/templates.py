"""Provider templates: what a new provider of each kind starts with. Data; `from_template.py` makes rows of it.

Names, context windows and prices (USD per 1M tokens) as published on 2026-11-20; a price that was not published or
differs by region and contract is left unknown, never guessed. "Tiered" prices hold for prompts of ordinary length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from adapters.kinds import KINDS, AdapterKind

__all__ = ["TEMPLATES", "ProviderTemplate", "TemplateModel", "get_template", "tier_of_kind"]

_CHAT = ("chat", "streaming")
_TOOLS = (*_CHAT, "tools", "json_mode")
_FULL = (*_TOOLS, "vision", "json_schema", "reasoning")
_FREE = {"input_per_1m": Decimal(0), "output_per_1m": Decimal(0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateModel:
    """One model a template brings. `yes` and `no` name capabilities; the rest is unknown."""

    model_id: str  # as the provider calls it
    name: str = ""  # as the hub's clients call it; the provider's id when empty
    tier: str = "standard"
    quality_tier: str = "unknown"
    family: str = ""
    description: str = ""
    yes: tuple[str, ...] = _CHAT
    no: tuple[str, ...] = ()
    context_length: int | None = None
    max_output_tokens: int | None = None
    prices: Mapping[str, Decimal] = field(default_factory=dict)  # PRICE_FIELDS -> USD; empty: unknown
    tags: tuple[str, ...] = ()

    @property
    def hub_name(self) -> str:
        return self.name or self.model_id


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTemplate:
    """A provider as most people would register it. Addresses, key variables and documentation are the kind's own."""

    slug: str
    kind: str  # of adapters.kinds.KINDS
    description: str
    key_hint: str = ""  # what the provider's keys look like, for a form's placeholder
    models: tuple[TemplateModel, ...] = ()
    base_url_hint: str = ""  # for kinds without an address of their own

    @property
    def adapter_kind(self) -> AdapterKind:
        return KINDS[self.kind]

    @property
    def label(self) -> str:
        return self.adapter_kind.label

    @property
    def base_url(self) -> str:
        return self.adapter_kind.base_url

    @property
    def auth_type(self) -> str:
        return self.adapter_kind.auth_type

    @property
    def docs_url(self) -> str:
        return self.adapter_kind.docs_url

    @property
    def env_names(self) -> tuple[str, ...]:
        return self.adapter_kind.api_key_env

    @property
    def requires_api_key(self) -> bool:
        return self.adapter_kind.requires_api_key


def tier_of_kind(kind: str) -> str:
    """The tier of a model that nothing else is known of: `local` for servers of one's own, else `standard`."""
    row = KINDS[kind]
    return "local" if row.local and row.auth_type == "none" else "standard"


def _usd(input_: str, output: str, cached: str = "") -> dict[str, Decimal]:
    prices = {"input_per_1m": Decimal(input_), "output_per_1m": Decimal(output)}
    return prices | ({"cache_read_per_1m": Decimal(cached)} if cached else {})


def _model(
    model_id: str,
    tier: str,
    quality: str,
    context_length: int | None,
    prices: Mapping[str, Decimal],
    *,
    yes: tuple[str, ...] = _FULL,
    no: tuple[str, ...] = (),
    name: str = "",
    family: str = "",
    description: str = "",
    tags: tuple[str, ...] = (),
) -> TemplateModel:
    return TemplateModel(
        model_id=model_id,
        name=name,
        tier=tier,
        quality_tier=quality,
        family=family,
        description=description,
        yes=yes,
        no=no,
        context_length=context_length,
        prices=prices,
        tags=tags,
    )


_TIERED = "Longer prompts cost more."
_OWN_MACHINE = "Runs on your own machine; the name must match what is installed there."

_OPENAI_MODELS = (
    _model("gpt-6-astra", "premium", "best", 1_050_000, _usd("10", "50", "1"), family="gpt-6"),
    _model("gpt-6.1-sol", "premium", "best", 1_050_000, _usd("2", "10", "0.1"), family="gpt-6", description=_TIERED),
    _model(
        "gpt-6.1-terra", "standard", "balanced", 1_050_000, _usd("1", "5", "0.05"), family="gpt-6", description=_TIERED
    ),
    _model(
        "gpt-6-luna", "economy", "cheap", 1_050_000, _usd("0.1", "0.5", "0.01"), family="gpt-6", description=_TIERED
    ),
)

_ANTHROPIC_MODELS = (
    _model("claude-opus-5-5", "premium", "best", 1_000_000, _usd("4", "20", "0.2"), family="claude-5"),
    _model("claude-sonnet-5-5", "standard", "balanced", 1_000_000, _usd("2", "10", "0.1"), family="claude-5"),
    _model(
        "claude-haiku-5-5",
        "economy",
        "cheap",
        1_000_000,
        _usd("0.1", "0.5", "0.01"),
        family="claude-5",
        description="Above 100,000 tokens of prompt five times the price.",
    ),
)

_GEMINI_MODELS = (
    _model("gemini-4-argon", "premium", "best", 1_050_000, _usd("2", "10", "0.1"), family="gemini-4"),
    _model("gemini-3.8-flash", "standard", "balanced", 1_000_000, _usd("0.75", "3.75", "0.075"), family="gemini-3"),
    _model("gemini-3.5-flash-lite", "economy", "cheap", 1_000_000, _usd("0.3", "2.5", "0.03"), family="gemini-3"),
)

_GROQ_MODELS = (
    _model(
        "openai/gpt-oss-120b",
        "standard",
        "balanced",
        131_072,
        _usd("0.15", "0.6", "0.075"),
        yes=(*_TOOLS, "json_schema", "reasoning"),
        no=("vision",),
        name="groq/gpt-oss-120b",
        family="gpt-oss",
        tags=("fast",),
    ),
    _model(
        "openai/gpt-oss-20b",
        "economy",
        "cheap",
        131_072,
        _usd("0.075", "0.3", "0.0375"),
        yes=(*_TOOLS, "json_schema", "reasoning"),
        no=("vision",),
        name="groq/gpt-oss-20b",
        family="gpt-oss",
        tags=("fast",),
    ),
    _model(
        "qwen/qwen3.8-27b",
        "standard",
        "balanced",
        131_072,
        _usd("0.8", "4"),
        yes=(*_TOOLS, "reasoning"),
        name="groq/qwen3.8-27b",
        family="qwen3",
        tags=("fast",),
    ),
)

_MISTRAL_MODELS = (
    _model("mistral-large-4", "premium", "best", 1_050_000, _usd("0.7", "2.1", "0.07"), yes=(*_TOOLS, "json_schema")),
    _model(
        "mistral-medium-3-5", "standard", "balanced", 262_144, _usd("1.5", "7.5", "0.15"), yes=(*_TOOLS, "json_schema")
    ),
    _model(
        "mistral-small-2603", "economy", "cheap", 262_144, _usd("0.15", "0.6", "0.015"), yes=(*_TOOLS, "json_schema")
    ),
)

_DEEPSEEK_MODELS = (
    _model(
        "deepseek-v4-pro",
        "standard",
        "best",
        1_000_000,
        _usd("0.66", "1.98", "0.022"),
        yes=(*_TOOLS, "reasoning"),
        no=("vision", "json_schema"),
        family="deepseek-v4",
    ),
    _model(
        "deepseek-v4-flash",
        "economy",
        "cheap",
        1_000_000,
        _usd("0.15", "0.6", "0.003"),
        yes=(*_TOOLS, "reasoning"),
        no=("vision", "json_schema"),
        family="deepseek-v4",
    ),
)

_OPENROUTER_MODELS = (
    _model(
        "anthropic/claude-opus-5.5",
        "premium",
        "best",
        1_000_000,
        _usd("4", "20", "0.2"),
        name="openrouter/claude-opus-5.5",
        family="claude-5",
    ),
    _model(
        "mistralai/mistral-large-4-0",
        "standard",
        "balanced",
        1_050_000,
        _usd("0.7", "2.1", "0.07"),
        yes=_TOOLS,
        name="openrouter/mistral-large-4",
    ),
    _model(
        "deepseek/deepseek-v4.1-flash",
        "economy",
        "cheap",
        1_050_000,
        _usd("0.21", "0.84", "0.0042"),
        yes=(*_TOOLS, "reasoning"),
        name="openrouter/deepseek-v4.1-flash",
        family="deepseek-v4",
    ),
)

_XAI_MODELS = (
    _model("grok-4.7", "premium", "best", 500_000, _usd("2", "6", "0.5"), family="grok-4", description=_TIERED),
    _model("grok-4.3", "standard", "balanced", 1_000_000, _usd("1.25", "2.5", "0.2"), family="grok-4"),
)

_TOGETHER_MODELS = (
    _model(
        "openai/gpt-oss-120b",
        "standard",
        "balanced",
        131_072,
        {},
        yes=(*_TOOLS, "reasoning"),
        no=("vision",),
        name="together/gpt-oss-120b",
        family="gpt-oss",
    ),
    _model(
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "standard",
        "balanced",
        131_072,
        {},
        yes=_TOOLS,
        no=("vision",),
        name="together/llama-3.3-70b",
        family="llama-3",
    ),
)

_HUGGINGFACE_MODELS = (
    _model(
        "openai/gpt-oss-120b",
        "standard",
        "balanced",
        131_072,
        {},
        yes=(*_TOOLS, "reasoning"),
        no=("vision",),
        name="huggingface/gpt-oss-120b",
        family="gpt-oss",
    ),
    _model(
        "openai/gpt-oss-20b",
        "economy",
        "cheap",
        131_072,
        {},
        yes=(*_TOOLS, "reasoning"),
        no=("vision",),
        name="huggingface/gpt-oss-20b",
        family="gpt-oss",
    ),
)

_OLLAMA_MODELS = (
    _model(
        "llama3.2",
        "local",
        "cheap",
        131_072,
        _FREE,
        yes=_TOOLS,
        no=("vision",),
        family="llama-3",
        description=_OWN_MACHINE,
    ),
    _model(
        "qwen3",
        "local",
        "balanced",
        40_960,
        _FREE,
        yes=(*_TOOLS, "reasoning"),
        no=("vision",),
        family="qwen3",
        description=_OWN_MACHINE,
    ),
)

_STUB_MODELS = (
    _model(
        "stub",
        "local",
        "unknown",
        None,
        _FREE,
        yes=_CHAT,
        no=("vision", "reasoning"),
        description="Echoes the last user message. It needs no key and never touches the network.",
        name="stub-echo",
        tags=("test",),
    ),
)

_ROWS = (
    ProviderTemplate(
        slug="openai",
        kind="openai",
        description="OpenAI's own API.",
        key_hint="sk-...",
        models=_OPENAI_MODELS,
    ),
    ProviderTemplate(
        slug="anthropic",
        kind="anthropic",
        description="Anthropic's Messages API.",
        key_hint="sk-ant-...",
        models=_ANTHROPIC_MODELS,
    ),
    ProviderTemplate(
        slug="gemini",
        kind="gemini",
        description="Google's Gemini API.",
        key_hint="AIza...",
        models=_GEMINI_MODELS,
    ),
    ProviderTemplate(
        slug="azure-openai",
        kind="azure_openai",
        description="OpenAI models deployed in your Azure resource. A model's id is your deployment's name.",
        base_url_hint="https://RESOURCE.openai.azure.com",
    ),
    ProviderTemplate(
        slug="huggingface",
        kind="huggingface",
        description="Hugging Face Inference Providers: open models at many hosts through one router.",
        key_hint="hf_...",
        models=_HUGGINGFACE_MODELS,
    ),
    ProviderTemplate(
        slug="ollama",
        kind="ollama",
        description="Ollama on your own machine or network, in its own dialect.",
        models=_OLLAMA_MODELS,
    ),
    ProviderTemplate(
        slug="lmstudio",
        kind="lmstudio",
        description="LM Studio's local server. Add the models that you have loaded.",
    ),
    ProviderTemplate(
        slug="vllm",
        kind="vllm",
        description="A vLLM server. Add the models that it was started with.",
    ),
    ProviderTemplate(
        slug="llamacpp",
        kind="llamacpp",
        description="A llama.cpp server. Add the model that it was started with.",
    ),
    ProviderTemplate(
        slug="openrouter",
        kind="openrouter",
        description="Many vendors' models behind one key.",
        key_hint="sk-or-...",
        models=_OPENROUTER_MODELS,
    ),
    ProviderTemplate(
        slug="groq",
        kind="groq",
        description="Open models at high speed.",
        key_hint="gsk_...",
        models=_GROQ_MODELS,
    ),
    ProviderTemplate(
        slug="mistral",
        kind="mistral",
        description="Mistral's own API.",
        models=_MISTRAL_MODELS,
    ),
    ProviderTemplate(
        slug="deepseek",
        kind="deepseek",
        description="DeepSeek's own API.",
        key_hint="sk-...",
        models=_DEEPSEEK_MODELS,
    ),
    ProviderTemplate(
        slug="xai",
        kind="xai",
        description="xAI's Grok models.",
        key_hint="xai-...",
        models=_XAI_MODELS,
    ),
    ProviderTemplate(
        slug="together",
        kind="together",
        description="Open models hosted by Together AI.",
        models=_TOGETHER_MODELS,
    ),
    ProviderTemplate(
        slug="openai-compatible",
        kind="openai_compatible",
        description="Any server that speaks OpenAI's chat API. Bring its address, and a key if it asks for one.",
        base_url_hint="https://HOST/v1",
    ),
    ProviderTemplate(
        slug="stub",
        kind="stub",
        description="Answers by echo, for trying the hub and for tests.",
        models=_STUB_MODELS,
    ),
)

TEMPLATES: Mapping[str, ProviderTemplate] = {row.slug: row for row in _ROWS}


def get_template(slug: str) -> ProviderTemplate:
    """Raises KeyError for a slug that no template has."""
    return TEMPLATES[slug]
