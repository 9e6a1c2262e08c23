"""The adapter kinds: a row per provider with its dialect, addresses, key variables and profile. Data, no behaviour.

Adding a provider that speaks a known dialect is one row of `KINDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from adapters.anthropic_models import ANTHROPIC_FAMILIES
from adapters.errors import ConfigurationError
from adapters.gemini_models import GEMINI_FAMILIES
from adapters.profiles import OPENAI_FAMILIES, ModelFamily, ModelProfile, family_changes, starts_with
from adapters.types import Dialect

__all__ = ["KINDS", "AdapterKind", "get_kind", "profile_for"]

AuthType = Literal["bearer", "api_key", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterKind:
    """A provider, or a server that people run themselves, as the hub knows it before anybody registers one."""

    kind: str
    label: str
    dialect: Dialect
    base_url: str = ""  # as the vendor documents it; empty: every registration brings its own
    auth_type: AuthType = "bearer"
    api_key_env: tuple[str, ...] = ()  # environment variables read for a key, first set wins
    base_url_env: tuple[str, ...] = ()
    docs_url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)  # defaults of `Target.options`
    profile: ModelProfile = ModelProfile()
    families: tuple[ModelFamily, ...] = ()
    local: bool = False  # usually run on one's own machine: works without a key, first answer may take minutes

    @property
    def requires_api_key(self) -> bool:
        return self.auth_type != "none" and not self.local


_OPENAI = ModelProfile(max_tokens_field="max_completion_tokens", refused_fields=frozenset({"top_k"}))

# Servers that people run themselves keep OpenAI's fields and ignore what they don't know, so little needs saying.
_SELF_HOSTED = ModelProfile(reasoning_fields=("reasoning_content", "reasoning"))

_ROWS = (
    AdapterKind(
        kind="openai",
        label="OpenAI",
        dialect="openai.chat",
        base_url="https://api.openai.com/v1",
        api_key_env=("OPENAI_API_KEY",),
        base_url_env=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        docs_url="https://platform.openai.com/docs/api-reference/chat",
        profile=_OPENAI,
        families=OPENAI_FAMILIES,
    ),
    AdapterKind(
        kind="openai_compatible",
        label="OpenAI-compatible",
        dialect="openai.chat",
        docs_url="https://platform.openai.com/docs/api-reference/chat",
        profile=ModelProfile(echo_fields=frozenset({"reasoning_details", "extra_content"})),
        local=True,
    ),
    AdapterKind(
        kind="azure_openai",
        label="Azure OpenAI",
        dialect="openai.chat",
        auth_type="api_key",
        api_key_env=("AZURE_OPENAI_API_KEY",),
        base_url_env=("AZURE_OPENAI_ENDPOINT",),
        docs_url="https://learn.microsoft.com/azure/ai-foundry/openai/reference",
        options={"api_version": "2024-10-21"},
        # No `file` parts on Azure's chat (2026-11-20).
        profile=_OPENAI.override({"supports_files": False}),
        families=(
            # Foundry's Mistral answers 422 to max_completion_tokens (2026-11-20).
            ModelFamily(pattern=starts_with("mistral"), changes={"max_tokens_field": "max_tokens"}),
            *OPENAI_FAMILIES,
        ),
    ),
    AdapterKind(
        kind="anthropic",
        label="Anthropic",
        dialect="anthropic.messages",
        base_url="https://api.anthropic.com",
        auth_type="api_key",
        api_key_env=("ANTHROPIC_API_KEY",),
        base_url_env=("ANTHROPIC_BASE_URL",),
        docs_url="https://docs.anthropic.com/en/api/messages",
        families=ANTHROPIC_FAMILIES,
    ),
    AdapterKind(
        kind="anthropic_compat",
        label="Anthropic-compatible",
        dialect="anthropic.messages",
        docs_url="https://docs.anthropic.com/en/api/messages",
        families=ANTHROPIC_FAMILIES,
        local=True,
    ),
    AdapterKind(
        kind="gemini",
        label="Google Gemini",
        dialect="gemini.generate_content",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        auth_type="api_key",
        api_key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        docs_url="https://ai.google.dev/api/generate-content",
        profile=ModelProfile(thinking_mode="none"),
        families=GEMINI_FAMILIES,
    ),
    AdapterKind(
        kind="ollama",
        label="Ollama",
        dialect="ollama.chat",
        base_url="http://localhost:11434",
        auth_type="none",
        api_key_env=("OLLAMA_API_KEY",),
        base_url_env=("OLLAMA_BASE_URL", "OLLAMA_HOST"),
        docs_url="https://docs.ollama.com/api",
        local=True,
    ),
    AdapterKind(
        kind="lmstudio",
        label="LM Studio",
        dialect="openai.chat",
        base_url="http://localhost:1234/v1",
        auth_type="none",
        api_key_env=("LMSTUDIO_API_KEY",),
        base_url_env=("LMSTUDIO_BASE_URL",),
        docs_url="https://lmstudio.ai/docs/developer/openai-compat",
        # tool_choice is a string only; images must come inline.
        profile=_SELF_HOSTED.override(
            {"tool_choices": ("auto", "none", "required"), "supports_image_urls": False, "supports_audio": False}
        ),
        local=True,
    ),
    AdapterKind(
        kind="vllm",
        label="vLLM",
        dialect="openai.chat",
        base_url="http://localhost:8000/v1",
        auth_type="none",
        api_key_env=("VLLM_API_KEY",),
        base_url_env=("VLLM_BASE_URL",),
        docs_url="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
        # It would fetch an http image from inside its own network.
        profile=_SELF_HOSTED.override(
            {"reasoning_fields": ("reasoning", "reasoning_content"), "supports_image_urls": False}
        ),
        local=True,
    ),
    AdapterKind(
        kind="llamacpp",
        label="llama.cpp",
        dialect="openai.chat",
        base_url="http://localhost:8080/v1",
        auth_type="none",
        api_key_env=("LLAMA_API_KEY",),
        base_url_env=("LLAMACPP_BASE_URL",),
        docs_url="https://github.com/ggml-org/llama.cpp/tree/master/tools/server",
        profile=_SELF_HOSTED.override({"supports_image_urls": False}),
        local=True,
    ),
    AdapterKind(
        kind="huggingface",
        label="Hugging Face",
        dialect="openai.chat",
        base_url="https://router.huggingface.co/v1",
        api_key_env=("HF_TOKEN", "HUGGINGFACE_API_KEY", "HUGGINGFACEHUB_API_TOKEN"),
        base_url_env=("HUGGINGFACE_BASE_URL",),
        docs_url="https://huggingface.co/docs/inference-providers",
        profile=ModelProfile(supports_files=False),
    ),
    AdapterKind(
        kind="openrouter",
        label="OpenRouter",
        dialect="openai.chat",
        base_url="https://openrouter.ai/api/v1",
        api_key_env=("OPENROUTER_API_KEY",),
        base_url_env=("OPENROUTER_BASE_URL",),
        docs_url="https://openrouter.ai/docs/api-reference",
        profile=ModelProfile(
            reasoning_fields=("reasoning", "reasoning_details", "reasoning_content"),
            reasoning_request="reasoning_object",
            echo_fields=frozenset({"reasoning_details"}),
        ),
    ),
    AdapterKind(
        kind="groq",
        label="Groq",
        dialect="openai.chat",
        base_url="https://api.groq.com/openai/v1",
        api_key_env=("GROQ_API_KEY",),
        base_url_env=("GROQ_BASE_URL",),
        docs_url="https://console.groq.com/docs/api-reference",
        profile=ModelProfile(
            max_tokens_field="max_completion_tokens",
            reasoning_fields=("reasoning", "reasoning_content"),
            supports_several_choices=False,
            supports_files=False,
            supports_audio=False,
            refused_fields=frozenset({"logprobs", "top_logprobs", "logit_bias", "top_k", "verbosity"}),
        ),
        families=(
            # qwen3 switches reasoning on or off and knows no levels (console.groq.com/docs/reasoning, 2026-11-20).
            ModelFamily(
                pattern=starts_with("qwen/qwen3"),
                changes={
                    "reasoning_efforts": ("none", "default"),
                    "effort_map": {"minimal": "none"}
                    | dict.fromkeys(("low", "medium", "high", "xhigh", "max"), "default"),
                },
            ),
            ModelFamily(
                pattern=starts_with("openai/gpt-oss"),
                changes={
                    "reasoning_efforts": ("low", "medium", "high"),
                    "effort_map": {"none": "low", "minimal": "low", "xhigh": "high", "max": "high"},
                },
            ),
        ),
    ),
    AdapterKind(
        kind="mistral",
        label="Mistral",
        dialect="openai.chat",
        base_url="https://api.mistral.ai/v1",
        api_key_env=("MISTRAL_API_KEY",),
        base_url_env=("MISTRAL_BASE_URL",),
        docs_url="https://docs.mistral.ai/api",
        # Answers 422 to a field it doesn't know. Usage comes in the last chunk without being asked for.
        profile=ModelProfile(
            supports_stream_usage=False,
            seed_field="random_seed",
            tool_call_ids="alnum9",
            supports_files=False,
            reasoning_efforts=("none", "high"),
            effort_map={"minimal": "none"} | dict.fromkeys(("low", "medium", "xhigh", "max"), "high"),
            refused_fields=frozenset(
                {
                    "logprobs",
                    "top_logprobs",
                    "logit_bias",
                    "top_k",
                    "user",
                    "verbosity",
                    "service_tier",
                    "store",
                    "stream_options",
                }
            ),
        ),
    ),
    AdapterKind(
        kind="deepseek",
        label="DeepSeek",
        dialect="openai.chat",
        base_url="https://api.deepseek.com",
        api_key_env=("DEEPSEEK_API_KEY",),
        base_url_env=("DEEPSEEK_BASE_URL",),
        docs_url="https://api-docs.deepseek.com",
        profile=ModelProfile(
            supports_json_schema=False,
            supports_images=False,
            supports_audio=False,
            supports_files=False,
            supports_several_choices=False,
            reasoning_request="thinking_switch",
            reasoning_echo_field="reasoning_content",
            effort_map={"minimal": "low", "medium": "high", "xhigh": "max"},
            refused_fields=frozenset({"top_k", "logit_bias"}),
        ),
        families=(ModelFamily(pattern=starts_with("deepseek-reasoner"), changes={"tool_choices": ("auto", "none")}),),
    ),
    AdapterKind(
        kind="xai",
        label="xAI",
        dialect="openai.chat",
        base_url="https://api.x.ai/v1",
        api_key_env=("XAI_API_KEY",),
        base_url_env=("XAI_BASE_URL",),
        docs_url="https://docs.x.ai/docs/api-reference",
        profile=ModelProfile(refused_fields=frozenset({"top_k"})),
    ),
    AdapterKind(
        kind="together",
        label="Together AI",
        dialect="openai.chat",
        base_url="https://api.together.xyz/v1",
        api_key_env=("TOGETHER_API_KEY",),
        base_url_env=("TOGETHER_BASE_URL",),
        docs_url="https://docs.together.ai/reference/chat-completions-1",
        profile=ModelProfile(reasoning_fields=("reasoning", "reasoning_content")),
    ),
    AdapterKind(
        kind="stub",
        label="Stub (echo, no network)",
        dialect="stub",
        auth_type="none",
        local=True,
    ),
)

KINDS: Mapping[str, AdapterKind] = {row.kind: row for row in _ROWS}


def get_kind(kind: str) -> AdapterKind:
    """Answer the row of `kind`; raises ConfigurationError that lists the kinds there are."""
    row = KINDS.get(kind)
    if row is None:
        raise ConfigurationError(f"there is no adapter kind {kind!r}; the kinds are: {', '.join(KINDS)}")
    return row


@lru_cache(maxsize=4096)
def _merged(kind: str, model: str) -> ModelProfile:
    row = get_kind(kind)
    return row.profile.override(family_changes(row.families, model))


def profile_for(kind: str, model: str = "", override: Mapping[str, Any] | None = None) -> ModelProfile:
    """Merge the kind's row, the family that `model` belongs to and an admin's `override` (field names to values).

    An `override` value of None means "inherit". Raises ConfigurationError for an unknown kind or field.
    """
    profile = _merged(kind, model)
    changes = {name: value for name, value in (override or {}).items() if value is not None}
    if not changes:
        return profile
    try:
        return profile.override(changes)
    except TypeError as error:
        unknown = sorted(set(changes) - set(ModelProfile.__dataclass_fields__))
        raise ConfigurationError(f"the profile has no field named {', '.join(unknown)}") from error
