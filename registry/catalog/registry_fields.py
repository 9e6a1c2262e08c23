"""What the fields of a registry.json are called, and how each one's value is read. Knows no file and no place in it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from adapters.kinds import KINDS
from registry.catalog.entries import LLMTier, QualityTier
from registry.catalog.secret_names import address_without_secrets

# The adapter names of older files.
_OLDER_KINDS = {
    "openai_compat": "openai_compatible",
    "openai-compat": "openai_compatible",
    "anthropic-compat": "anthropic_compat",
    "azure": "azure_openai",
    "google": "gemini",
    "google_gemini": "gemini",
    "lm_studio": "lmstudio",
    "llama.cpp": "llamacpp",
}
# The names the hub gives capabilities, by those that files use.
_CAPABILITY_NAMES = {"json": "json_mode", "audio": "audio_input", "image_output": "images", "stream": "streaming"}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value.strip()) <= 200:
        raise TypeError
    return value.strip()


def _address(value: Any) -> str:
    address = _text(value).strip()
    if address and not address_without_secrets(address).startswith(("http://", "https://")):
        raise ValueError
    return address


def _kind(value: Any) -> str:
    kind = _OLDER_KINDS.get(_text(value), value)
    if kind not in KINDS:
        raise ValueError
    return str(kind)


def _one_of(names: frozenset[str]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError
        return str(value)

    return read


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise TypeError
    return tuple(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _text_map(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise TypeError
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError
    return value


def _money(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    amount = Decimal(str(value))
    if not amount.is_finite() or amount < 0:
        raise ValueError
    return amount


def _seconds(value: Any) -> float:
    seconds = float(_money(value))
    if not 0.1 <= seconds <= 3600:
        raise ValueError
    return seconds


def _prices(value: Any) -> dict[str, Decimal]:
    return {str(name): _money(amount) for name, amount in _object(value).items() if amount is not None}


def _date(value: Any) -> str:
    return dt.date.fromisoformat(_text(value)).isoformat()


def _capabilities(value: Any) -> dict[str, dict[str, str]]:
    """A list of those it has, or an object of yes, no, unknown, true, false or `{"value": ..., "source": ...}`."""
    pairs = {name: "yes" for name in _texts(value)} if isinstance(value, list) else _object(value)
    found = {}
    for name, answer in pairs.items():
        kept = answer if isinstance(answer, dict) else {"value": answer}
        said = {True: "yes", False: "no"}.get(kept.get("value"), kept.get("value"))  # type: ignore[arg-type]  # any value may be asked for; most are no keys
        if said not in ("yes", "no", "unknown"):
            raise ValueError
        extra = {key: str(kept[key]) for key in ("source", "date") if kept.get(key)}
        found[_CAPABILITY_NAMES.get(name, name)] = {"value": str(said), "source": "registry.json", **extra}
    return found


_tier = _one_of(frozenset(LLMTier))
_quality = _one_of(frozenset(QualityTier))
_auth = _one_of(frozenset({"bearer", "api_key", "none"}))
_Table = Mapping[str, tuple[str, Callable[[Any], Any]]]
PROVIDER_FIELDS: _Table = {
    "name": ("name", _name),
    "slug": ("slug", _name),
    "id": ("slug", _name),
    "label": ("label", _text),
    "adapter": ("adapter", _kind),
    "kind": ("adapter", _kind),
    "base": ("base", _address),
    "base_url": ("base", _address),
    "models": ("models", _list),
    "tags": ("tags", _texts),
    "headers": ("headers", _text_map),
    "settings": ("settings", _object),
    "meta": ("metadata", _object),
    "metadata": ("metadata", _object),
    "auth_type": ("auth_type", _auth),
    "timeout": ("timeout_s", _seconds),
    "timeout_s": ("timeout_s", _seconds),
    "fee_percent": ("fee_percent", _money),
    "enabled": ("enabled", _flag),
    "dry_run": ("dry_run", _flag),
    "api_key": ("api_key", _text),
    "api_key_env": ("api_key_env", _text),
}
MODEL_FIELDS: _Table = {
    "id": ("id", _name),
    "model_id": ("id", _name),
    "model": ("id", _name),
    "name": ("name", _name),
    "label": ("name", _name),
    "tags": ("tags", _texts),
    "tier": ("tier", _tier),
    "quality_tier": ("quality_tier", _quality),
    "family": ("family", _text),
    "aliases": ("aliases", _texts),
    "description": ("description", _text),
    "context_length": ("context_length", _count),
    "max_output_tokens": ("max_output_tokens", _count),
    "capabilities": ("capabilities", _capabilities),
    "known_params": ("known_params", _texts),
    "options": ("options", _object),
    "prices": ("prices", _prices),
    "cost_per_1k_input": ("cost_per_1k_input", _money),
    "cost_per_1k_output": ("cost_per_1k_output", _money),
    "retires_on": ("retires_on", _date),
    "enabled": ("enabled", _flag),
}
RANK_FIELDS: _Table = {
    "provider": ("provider", _text),
    "model": ("model", _text),
    "options": ("options", _object),
    "params": ("options", _object),
    "note": ("note", _text),
}
MODULE_FIELDS: _Table = {
    "fallbacks": ("fallbacks", _list),
    "name": ("name", _text),
    "description": ("description", _text),
    "common_options": ("options", _object),
}
WANTED: Mapping[Callable[[Any], Any], str] = {
    _text: "a text",
    _name: "a text of 1 to 200 characters",
    _address: "an address such as https://host/v1",
    _kind: f"an adapter kind ({', '.join(KINDS)})",
    _texts: "a list of texts",
    _list: "a list",
    _object: "an object",
    _text_map: "an object of texts",
    _flag: "true or false",
    _count: "a whole number",
    _money: "an amount",
    _seconds: "a number of seconds from 0.1 to 3600",
    _prices: "an object of amounts",
    _date: "a date (YYYY-MM-DD)",
    _capabilities: "an object of yes, no or unknown",
    _tier: "economy, standard, premium or local",
    _quality: "best, balanced, cheap or unknown",
    _auth: "bearer, api_key or none",
}
