"""Providers and keys that the environment gives: overrides of registered providers, and an old `.env` by itself.

`LLMHUB_LLM_<PROVIDER>_{BASE_URL,API_KEY,HEADERS,TIMEOUT}` and `LLMHUB_LLM_DEFAULT_TIMEOUT`; the `COMFYVN_LLM_*` names
of older installations are read after them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from adapters.egress import origin_of
from adapters.errors import ConfigurationError, EgressDeniedError
from adapters.kinds import KINDS, AdapterKind
from registry.catalog.entries import LLMEntry, LLMTier, ProviderEntry

PREFIXES = ("LLMHUB_LLM_", "COMFYVN_LLM_")
# The older installations' names for providers, by the slug that the hub gives them.
OLDER_NAMES = {
    "openai": "OPENAI_PUBLIC",
    "anthropic": "ANTHROPIC_PUBLIC",
    "gemini": "GOOGLE_GEMINI",
    "azure-openai": "AZURE_OPENAI",
    "openrouter": "OPENROUTER",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentOverride:
    """What the environment says of one provider; None where it says nothing."""

    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float | None = None
    variables: tuple[str, ...] = ()  # names of the variables that were set

    @property
    def is_empty(self) -> bool:
        return not self.variables


def override_of(slug: str, environ: Mapping[str, str] | None = None) -> EnvironmentOverride:
    """Read the variables of a provider. Raises ConfigurationError that names a malformed variable, never its value."""
    env = os.environ if environ is None else environ
    names = [f"LLMHUB_LLM_{variable_part(slug)}", f"COMFYVN_LLM_{variable_part(slug)}"]
    if slug in OLDER_NAMES:
        names[1:1] = [f"LLMHUB_LLM_{OLDER_NAMES[slug]}", f"COMFYVN_LLM_{OLDER_NAMES[slug]}"]
    found: dict[str, tuple[str, str]] = {}
    for suffix in ("BASE_URL", "API_KEY", "HEADERS", "TIMEOUT"):
        for name in names:
            text = env.get(f"{name}_{suffix}", "").strip()
            if text:
                found[suffix] = (f"{name}_{suffix}", text)
                break
    return EnvironmentOverride(
        base_url=found["BASE_URL"][1] if "BASE_URL" in found else None,
        api_key=found["API_KEY"][1] if "API_KEY" in found else None,
        headers=_headers(*found["HEADERS"]) if "HEADERS" in found else {},
        timeout_s=_seconds(*found["TIMEOUT"]) if "TIMEOUT" in found else None,
        variables=tuple(variable for variable, _ in found.values()),
    )


def default_timeout_s(environ: Mapping[str, str] | None = None) -> float | None:
    """`LLMHUB_LLM_DEFAULT_TIMEOUT`, in seconds."""
    env = os.environ if environ is None else environ
    for prefix in PREFIXES:
        text = env.get(f"{prefix}DEFAULT_TIMEOUT")
        if text:
            return _seconds(f"{prefix}DEFAULT_TIMEOUT", text)
    return None


def variable_part(slug: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", slug.upper())


def key_of_kind(kind: AdapterKind, environ: Mapping[str, str] | None = None) -> tuple[str, str] | None:
    """The vendor's own variable (OPENAI_API_KEY ...) and its value, where it is set."""
    env = os.environ if environ is None else environ
    return next(((name, env[name].strip()) for name in kind.api_key_env if env.get(name, "").strip()), None)


def environment_key(provider: ProviderEntry, environ: Mapping[str, str] | None = None) -> str | None:
    """A key from the environment that may be sent to this provider."""
    found = _key_and_variable(provider, os.environ if environ is None else environ)
    return None if found is None else found[1]


def key_variable(provider: ProviderEntry, environ: Mapping[str, str] | None = None) -> str | None:
    """The name of the variable whose key `environment_key` answers."""
    found = _key_and_variable(provider, os.environ if environ is None else environ)
    return None if found is None else found[0]


def _key_and_variable(provider: ProviderEntry, env: Mapping[str, str]) -> tuple[str, str] | None:
    """The vendor's own variable counts only where the provider's address is the vendor's: a key goes nowhere else."""
    override = override_of(provider.slug, env)
    if override.api_key:
        return next(name for name in override.variables if name.endswith("_API_KEY")), override.api_key
    kind = KINDS.get(provider.kind)
    if kind is None or provider.owner_id is not None:
        return None
    found = key_of_kind(kind, env)
    return found if found and _same_origin(override.base_url or provider.base_url, kind.base_url) else None


def _same_origin(one: str, other: str) -> bool:
    try:
        return bool(one and other) and origin_of(one) == origin_of(other)
    except EgressDeniedError:
        return False


def _headers(variable: str, text: str) -> dict[str, str]:
    """`{"X-Title": "hub"}`, or `X-Title: hub; HTTP-Referer: https://...`."""
    try:
        if text.startswith("{"):
            found = json.loads(text)
            if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
                raise ValueError
        else:
            found = {}
            for part in filter(str.strip, text.split(";")):
                name, value = part.split(":", 1)
                found[name.strip()] = value.strip()
    except (ValueError, RecursionError):  # not chained: the cause may repeat the value
        raise ConfigurationError(f"{variable} is no JSON object of texts and no list `Name: value; ...`.") from None
    if any(re.search(r"[\r\n\0]", name + value) for name, value in found.items()):
        raise ConfigurationError(f"{variable} holds a line break.")
    return found


def _seconds(variable: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:  # not chained: it repeats the value
        raise ConfigurationError(f"{variable} is no number of seconds.") from None
    if not 0 < seconds <= 3600:
        raise ConfigurationError(f"{variable} is not between 0 and 3600 seconds.")
    return seconds


# The models an old `.env` stands for, by kind: (tier, model, name). From the seeds' table of tiers.
ENVIRONMENT_MODELS: Mapping[str, tuple[tuple[LLMTier, str, str], ...]] = {
    "openai": (
        (LLMTier.ECONOMY, "gpt-3.5-turbo", "GPT-3.5 Turbo"),
        (LLMTier.STANDARD, "gpt-4o-mini", "GPT-4o-mini"),
        (LLMTier.PREMIUM, "gpt-4o", "GPT-4o"),
    ),
    "anthropic": (
        (LLMTier.ECONOMY, "claude-3-haiku-20240307", "Claude 3 Haiku"),
        (LLMTier.STANDARD, "claude-3-5-sonnet-20240620", "Claude 3.5 Sonnet"),
        (LLMTier.PREMIUM, "claude-3-opus-20240229", "Claude 3 Opus"),
    ),
    "groq": ((LLMTier.ECONOMY, "llama-3.3-70b-versatile", "Llama 3.3 70B"),),
    "gemini": ((LLMTier.STANDARD, "gemini-3.5-flash-lite", "Gemini 3.5 Flash-Lite"),),
    "mistral": ((LLMTier.STANDARD, "mistral-small-latest", "Mistral Small"),),
    "deepseek": ((LLMTier.ECONOMY, "deepseek-chat", "DeepSeek Chat"),),
    "openrouter": ((LLMTier.STANDARD, "openai/gpt-4o-mini", "GPT-4o-mini (OpenRouter)"),),
}
LOCAL_MODEL = "llama3.2"
# USD per 1,000 tokens, input and output, as the vendors listed them for these models.
_COSTS = {
    "gpt-3.5-turbo": (0.0005, 0.0015),
    "gpt-4o-mini": (0.00015, 0.0006),
    "gpt-4o": (0.0025, 0.01),
    "claude-3-haiku-20240307": (0.00025, 0.00125),
    "claude-3-5-sonnet-20240620": (0.003, 0.015),
    "claude-3-opus-20240229": (0.015, 0.075),
    "llama-3.3-70b-versatile": (0.00059, 0.00079),
}


def environment_entries(environ: Mapping[str, str] | None = None) -> list[LLMEntry]:
    """The models an old `.env` gives by itself: one set for each vendor whose key is there, and Ollama's if named."""
    env = os.environ if environ is None else environ
    entries: list[LLMEntry] = []
    for kind_name, models in ENVIRONMENT_MODELS.items():
        kind = KINDS[kind_name]
        override = override_of(kind_name, env)
        key = override.api_key
        # The vendor's own key goes with the vendor's own address, or one in the vendor's own variable; nowhere else.
        if not key and (override.base_url is None or _same_origin(override.base_url, kind.base_url)):
            key = (key_of_kind(kind, env) or ("", ""))[1]
        if key:
            entries += [_entry(len(entries) + i, kind, key, env, *model) for i, model in enumerate(models, 1)]
    host = env.get("OLLAMA_HOST") or env.get("OLLAMA_BASE_URL") or override_of("ollama", env).base_url
    if host:
        url = host if "://" in host else f"http://{host}"
        model = (LLMTier.LOCAL, env.get("OLLAMA_MODEL") or LOCAL_MODEL, "Ollama")
        entries.append(_entry(len(entries) + 1, KINDS["ollama"], None, env, *model, base_url=url))
    return entries


def _entry(
    number: int,
    kind: AdapterKind,
    api_key: str | None,
    env: Mapping[str, str],
    tier: LLMTier,
    model: str,
    name: str,
    *,
    base_url: str | None = None,
) -> LLMEntry:
    override = override_of(kind.kind, env)
    vendor_url = next((env[variable] for variable in kind.base_url_env if env.get(variable)), None)
    provider = ProviderEntry(
        id=f"env:{kind.kind}",
        slug=kind.kind,
        name=kind.label,
        kind=kind.kind,
        base_url=base_url or override.base_url or vendor_url or kind.base_url,
        auth_type=kind.auth_type if api_key else "none",
        headers=override.headers,
        timeout_s=override.timeout_s or default_timeout_s(env),
        from_environment=True,
    )
    costs = _COSTS.get(model, (None, None)) if tier is not LLMTier.LOCAL else (0.0, 0.0)
    return LLMEntry(
        id=number,
        name=name,
        provider=kind.kind,
        model=model,
        tier=tier,
        api_key=api_key,
        api_endpoint=provider.base_url,
        endpoint=provider,
        cost_per_1k_input=costs[0],
        cost_per_1k_output=costs[1],
    )
