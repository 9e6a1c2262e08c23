"""Makes adapters: from a kind and keywords, or from a mapping such as a registry.json entry. Reads no environment."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from adapters.adapter import Adapter
from adapters.base import ProviderCodec
from adapters.egress import EgressPolicy
from adapters.errors import ConfigurationError
from adapters.kinds import get_kind, profile_for
from adapters.redaction import remember
from adapters.transport import Transport
from adapters.types import Dialect, Target, Timeouts

__all__ = ["adapter_from_config", "codec_for", "create_adapter", "shared_transport"]

# Imported when first used, so that a script pays for the dialects it speaks.
_CODECS: Final[Mapping[Dialect, str]] = {
    "openai.chat": "adapters.openai_chat:OpenAIChatCodec",
    "openai.responses": "adapters.openai_responses:OpenAIResponsesCodec",
    "anthropic.messages": "adapters.anthropic:AnthropicCodec",
    "gemini.generate_content": "adapters.gemini:GeminiCodec",
    "ollama.chat": "adapters.ollama:OllamaCodec",
    "stub": "adapters.stub:StubCodec",
}
_CODECS_BY_KIND: Final[Mapping[str, str]] = {"azure_openai": "adapters.azure_openai:AzureOpenAICodec"}

_LOCAL_FIRST_BYTE_S: Final = 300.0  # a server on one's own machine may first load the model


@cache
def shared_transport() -> Transport:
    """The transport of scripts that bring none."""
    return Transport()


@cache
def codec_for(kind: str) -> ProviderCodec:
    """The codec of an adapter kind; codecs keep no state, so one serves all. Raises ConfigurationError."""
    module, _, name = (_CODECS_BY_KIND.get(kind) or _CODECS[get_kind(kind).dialect]).partition(":")
    codec: ProviderCodec = getattr(importlib.import_module(module), name)()
    return codec


def create_adapter(
    kind: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    model: str | None = None,
    headers: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    timeout_s: float | None = None,
    transport: Transport | None = None,
    policy: EgressPolicy | None = None,
    provider: str = "",
) -> Adapter:
    """Make an adapter of a kind (`openai`, `anthropic`, `ollama`, ...; `adapters.KINDS` lists them).

    `base_url` is what the vendor documents; left out, the kind's own. `settings` are the provider's (api_version, ...).
    Without `policy`, this machine and private networks may be called too, which suits scripts: the hub passes its own.
    No environment variable is read. Raises ConfigurationError.
    """
    row = get_kind(kind)
    address = (base_url or row.base_url).rstrip("/")
    if not address and row.dialect != "stub":
        raise ConfigurationError(f"the adapter kind {kind!r} needs a base_url", param="base_url")
    policy = policy if policy is not None else EgressPolicy.local()
    if address:
        policy.check_url(address, allow_query=False)
    remember(api_key)
    target = Target(
        kind=kind,
        base_url=address,
        model=model or "",
        api_key=api_key or None,
        auth_type=row.auth_type if row.auth_type != "none" or not api_key else "bearer",
        headers={**row.headers, **(headers or {})},
        options={**row.options, **(settings or {})},
        profile=profile_for(kind, model or ""),
        timeouts=read_timeouts(timeout_s, local=row.local),
        provider=provider or kind,
    )
    return Adapter(target, codec_for(kind), transport if transport is not None else shared_transport(), policy)


def read_timeouts(timeout_s: float | None, *, local: bool = False) -> Timeouts:
    """One limit for a whole call, or the defaults; raises ConfigurationError for what is no number of seconds."""
    if timeout_s is not None:
        if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not 0 < timeout_s <= 86_400:
            raise ConfigurationError("timeout_s must be a number of seconds above 0", param="timeout_s")
        limit = float(timeout_s)
        return Timeouts(connect_s=min(5.0, limit), first_byte_s=limit, idle_s=limit, total_s=limit)
    return Timeouts(first_byte_s=_LOCAL_FIRST_BYTE_S) if local else Timeouts()


# The names that a provider's entry of registry.json has, and what they are called here.
_CONFIG_KEYS: Final[Mapping[str, str]] = {
    "kind": "kind",
    "adapter": "kind",
    "base_url": "base_url",
    "base": "base_url",
    "api_key": "api_key",
    "headers": "headers",
    "settings": "settings",
    "timeout": "timeout_s",
    "timeout_s": "timeout_s",
    "model": "model",
}
_CONFIG_OTHER: Final = frozenset({"name", "slug", "label", "models", "tags", "meta", "metadata", "api_key_env"})


def adapter_from_config(
    config: Mapping[str, Any],
    *,
    environ: Mapping[str, str] | None = None,
    transport: Transport | None = None,
    policy: EgressPolicy | None = None,
) -> Adapter:
    """Make an adapter from a mapping, such as a provider's entry of registry.json.

    `api_key_env` names the variable that holds the key; it is read from `environ` and nowhere else, so that a mapping
    that somebody sent can't take a variable out of this process. Raises ConfigurationError that names the key at fault.
    """
    unknown = sorted(set(config) - set(_CONFIG_KEYS) - _CONFIG_OTHER)
    if unknown:
        raise ConfigurationError(f"a provider has no setting named {', '.join(map(repr, unknown))}", param=unknown[0])
    values: dict[str, Any] = {}
    for name, value in config.items():
        known = _CONFIG_KEYS.get(name)
        if known is None or value is None:
            continue
        if known in values:
            raise ConfigurationError(f"{name!r} says again what another setting says", param=name)
        values[known] = value
    kind = values.pop("kind", None)
    if not isinstance(kind, str):
        raise ConfigurationError("a provider needs a 'kind' (or 'adapter')", param="kind")
    _check_types(values)
    variable = config.get("api_key_env")
    if variable and "api_key" not in values:
        if environ is None:
            raise ConfigurationError("api_key_env needs the environment to be passed along", param="api_key_env")
        values["api_key"] = environ.get(variable)
    values.setdefault("model", _first_model(config.get("models")))
    provider = config.get("slug") or config.get("name") or kind
    return create_adapter(kind, **values, transport=transport, policy=policy, provider=str(provider))


def _check_types(values: Mapping[str, Any]) -> None:
    for name in ("base_url", "api_key", "model"):
        if name in values and not isinstance(values[name], str):
            raise ConfigurationError(f"{name!r} must be text", param=name)
    for name in ("headers", "settings"):
        if name in values and not isinstance(values[name], Mapping):
            raise ConfigurationError(f"{name!r} must be an object", param=name)
    for value in values.get("headers", {}).values():
        if not isinstance(value, str):
            raise ConfigurationError("'headers' must hold text only", param="headers")


def _first_model(models: Any) -> str | None:
    """The first id of a `models` list, whose rows are ids or objects with an id."""
    if not isinstance(models, Sequence) or isinstance(models, str) or not models:
        return None
    first = models[0]
    if isinstance(first, Mapping):
        first = first.get("id") or first.get("model_id") or first.get("model") or first.get("name")
    return first if isinstance(first, str) else None
