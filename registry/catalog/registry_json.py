"""registry.json: reads the file that lists providers, their models and each module's default, and hands on its writer.

Needs neither Django nor the network. What the file says is kept as it is; `registry_import.py` makes rows of it.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from adapters.kinds import KINDS
from registry.catalog.entries import LLMTier, QualityTier
from registry.catalog.registry_file import (
    FileDefaults,
    FileModel,
    FileProvider,
    ModuleDefault,
    ModuleEntry,
    RegistryFile,
)
from registry.catalog.registry_writing import write_registry
from registry.catalog.secret_names import address_without_secrets, is_secret, without_secrets
from registry.catalog.templates import TEMPLATES, ProviderTemplate

__all__ = [
    "RegistryFileError",
    "iter_models",
    "iter_providers",
    "load_registry",
    "read_registry",
    "resolve_provider",
    "write_registry",
]


class RegistryFileError(ValueError):
    """The file can't be read; the message says where in it, and holds no value of it."""


def load_registry(source: str | Path | Mapping[str, Any] | RegistryFile | None = None) -> RegistryFile:
    """Read a file, or its content; None is the hub's own templates. Raises RegistryFileError, OSError."""
    if isinstance(source, RegistryFile):
        return source
    if source is None:
        return template_registry()
    if isinstance(source, Mapping):
        return read_registry(source)
    try:
        content = json.loads(Path(source).read_text(encoding="utf-8"))
    except ValueError as error:  # also no UTF-8
        raise RegistryFileError("The file is no JSON.") from error
    return read_registry(content)


def template_registry() -> RegistryFile:
    """The provider templates in the same shape."""
    return RegistryFile(providers=tuple(_from_template(template) for template in TEMPLATES.values()))


def _from_template(template: ProviderTemplate) -> FileProvider:
    models = tuple(
        FileModel(
            id=row.model_id,
            name=row.hub_name,
            tags=row.tags,
            tier=row.tier,
            quality_tier=row.quality_tier,
            family=row.family,
            description=row.description,
            context_length=row.context_length,
            max_output_tokens=row.max_output_tokens,
            capabilities={
                **{name: {"value": "yes", "source": "template"} for name in row.yes},
                **{name: {"value": "no", "source": "template"} for name in row.no},
            },
            prices=row.prices,
        )
        for row in template.models
    )
    return FileProvider(
        name=template.slug, label=template.label, adapter=template.kind, base=template.base_url, models=models
    )


Source = str | Path | Mapping[str, Any] | RegistryFile | None


def resolve_provider(
    name: str | None = None, source: Source = None, *, environ: Mapping[str, str] | None = None
) -> FileProvider:
    """`RegistryFile.resolve_provider` of a file, its content, or the hub's templates."""
    return load_registry(source).resolve_provider(name, environ=environ)


def iter_providers(source: Source = None, *, tag: str | None = None) -> Iterator[FileProvider]:
    return load_registry(source).iter_providers(tag)


def iter_models(
    provider: str | None = None, source: Source = None, *, tag: str | None = None
) -> Iterator[tuple[FileProvider, FileModel]]:
    return load_registry(source).iter_models(provider, tag)


# --- reading -------------------------------------------------------------------------------------------------------

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
CAPABILITY_NAMES = frozenset(
    {
        *("chat", "tools", "parallel_tools", "vision", "json_mode", "json_schema", "streaming", "reasoning"),
        *("embeddings", "images", "audio_input"),
    }
)
PRICE_NAMES = frozenset(
    {
        *("input_per_1m", "output_per_1m", "cache_read_per_1m", "cache_write_per_1m", "cache_write_1h_per_1m"),
        *("reasoning_per_1m", "audio_input_per_1m", "audio_output_per_1m", "image_input_per_1m"),
        *("image_output_per_1m", "per_request", "per_image"),
    }
)
# What GET /api/llm/registry adds, which says nothing that could be taken over.
_ANSWERS_OWN = frozenset({"uuid", "has_key", "health", "health_checked_at", "health_latency_ms"})


class _Reader:
    """Notes what it does not understand and which secrets it met, by place."""

    def __init__(self) -> None:
        self.not_understood: list[str] = []
        self.withheld: list[str] = []

    def fields(self, row: Any, table: Mapping[str, tuple[str, Callable[[Any], Any]]], place: str) -> dict[str, Any]:
        """The row's values by attribute. Raises RegistryFileError where a known name holds another kind of value."""
        if not isinstance(row, Mapping):
            raise RegistryFileError(f"{place} must be an object.")
        found: dict[str, Any] = {}
        for name, value in row.items():
            if name not in table:
                if name not in _ANSWERS_OWN:
                    self.not_understood.append(f"{place}.{name}" if place else str(name))
                continue
            if value is None:
                continue
            attribute, read = table[name]
            try:
                found[attribute] = read(value)
            except (ValueError, TypeError, InvalidOperation) as error:
                raise RegistryFileError(f"{place}.{name} can't be read: {_WANTED[read]} is wanted.") from error
        return found

    def provider(self, name: str | None, row: Any, place: str) -> FileProvider:
        if isinstance(row, Mapping) and "slug" not in row and name is not None:
            row = {"slug": name, **row}
        found = self.fields(row, _PROVIDER, place)
        label, slug = found.pop("name", ""), found.pop("slug", "")
        if not (slug or label):
            raise RegistryFileError(f"{place} needs a name.")
        said_label = found.get("label") or found.get("metadata", {}).get("label")
        if not said_label and label != (slug or label):
            said_label = label
        if not said_label and label and _slug(label) != label:
            said_label = label
        if said_label:
            found["label"] = str(said_label)[:120]
        models = [self.model(item, f"{place}.models[{n}]") for n, item in enumerate(found.pop("models", []))]
        if found.get("api_key"):
            self.withheld.append(f"{place}.api_key")
        for header, value in found.get("headers", {}).items():
            if is_secret(header, value):
                self.withheld.append(f"{place}.headers.{header}")
        if found.get("base") and address_without_secrets(found["base"]) != found["base"]:
            self.withheld.append(f"{place}.base")
        for part in ("settings", "metadata"):
            kept = without_secrets(found.get(part, {}))
            if kept != found.get(part, {}):
                self.withheld.append(f"{place}.{part}")
        said = frozenset(found)
        found.setdefault("label", label or slug)
        return FileProvider(name=_slug(slug or label), **found, models=tuple(models), said=said)

    def model(self, row: Any, place: str) -> FileModel:
        if isinstance(row, str) and row:
            return FileModel(id=row)
        row = dict(row) if isinstance(row, Mapping) else row
        found = self.fields(row, _MODEL, place)
        if "id" not in found:
            if "name" not in found:
                raise RegistryFileError(f"{place} needs an id.")
            found["id"] = found["name"]
        prices = dict(found.pop("prices", {}))
        for thousand, kind in (("cost_per_1k_input", "input_per_1m"), ("cost_per_1k_output", "output_per_1m")):
            if thousand in found:
                prices.setdefault(kind, found.pop(thousand) * 1000)
        if prices:
            self.not_understood += [f"{place}.prices.{name}" for name in sorted(prices.keys() - PRICE_NAMES)]
            found["prices"] = {name: amount for name, amount in prices.items() if name in PRICE_NAMES}
        if "capabilities" in found:
            unknown = sorted(found["capabilities"].keys() - CAPABILITY_NAMES)
            self.not_understood += [f"{place}.capabilities.{name}" for name in unknown]
            found["capabilities"] = {
                name: answer for name, answer in found["capabilities"].items() if name in CAPABILITY_NAMES
            }
        return FileModel(**found, said=frozenset(found))

    def defaults(self, row: Any, providers: RegistryFile) -> FileDefaults:
        if not isinstance(row, Mapping):
            raise RegistryFileError("defaults must be an object.")
        modules: dict[str, ModuleDefault] = {}
        named = row.get("modules") or {}
        if not isinstance(named, Mapping):
            raise RegistryFileError("defaults.modules must be an object.")
        tags = {name: value for name, value in row.items() if name not in ("provider", "model", "modules")}
        for place, source in (("defaults", tags), ("defaults.modules", named)):
            for module, value in source.items():
                if value:
                    modules[str(module)] = self.module(value, providers, f"{place}.{module}")
        chosen = {name: row.get(name) or "" for name in ("provider", "model")}
        if not all(isinstance(value, str) for value in chosen.values()):
            raise RegistryFileError("defaults.provider and defaults.model must be texts.")
        return FileDefaults(**chosen, modules=modules)

    def module(self, value: Any, providers: RegistryFile, place: str) -> ModuleDefault:
        """`"provider/model"`, `{provider, model, options, ...}`, or a list of these, best first."""
        if isinstance(value, list):
            entries = [self.rank(item, providers, f"{place}[{n}]") for n, item in enumerate(value)]
            return ModuleDefault(entries=tuple(entries), is_whole=True)
        if not isinstance(value, Mapping):
            return ModuleDefault(entries=(self.rank(value, providers, place),))
        own = {"fallbacks", "name", "description", "common_options"}
        found = self.fields({name: value[name] for name in own & value.keys()}, _MODULE, place)
        rest = {name: item for name, item in value.items() if name not in own}
        ranks = [self.rank(rest, providers, place)] if rest else []
        ranks += [
            self.rank(item, providers, f"{place}.fallbacks[{n}]") for n, item in enumerate(found.pop("fallbacks", []))
        ]
        return ModuleDefault(entries=tuple(ranks), is_whole="fallbacks" in value, **found)

    def rank(self, value: Any, providers: RegistryFile, place: str) -> ModuleEntry:
        found = {"model": value} if isinstance(value, str) else self.fields(value, _RANK, place)
        if not found.get("model") and not found.get("provider"):
            raise RegistryFileError(f"{place} must name a provider or a model.")
        if found.get("model") and not found.get("provider"):
            found["provider"], found["model"] = providers.reference(found["model"])
        elif not found.get("model"):
            listed = next(providers.iter_models(found["provider"]), None)
            if listed is None:
                raise RegistryFileError(f"{place} names no model, and its provider lists none.")
            found["model"] = listed[1].id
        return ModuleEntry(**found)


def read_registry(content: Any) -> RegistryFile:
    """Read a file's JSON value. Raises RegistryFileError."""
    if not isinstance(content, Mapping):
        raise RegistryFileError("The file must hold an object.")
    reader = _Reader()
    top = {"providers", "defaults", "version", "$schema", "tags", "description", "meta", "metadata"}
    reader.not_understood += [str(name) for name in content if name not in top]
    rows = content.get("providers")
    if isinstance(rows, Mapping):
        pairs: list[tuple[str | None, Any]] = [(str(name), row) for name, row in rows.items()]
    elif isinstance(rows, list):
        pairs = [(None, row) for row in rows]
    else:
        raise RegistryFileError("providers must be a list.")
    providers = tuple(reader.provider(name, row, f"providers[{n}]") for n, (name, row) in enumerate(pairs))
    names = [provider.name for provider in providers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RegistryFileError(f"The provider {twice[0]!r} is there twice.")
    for provider in providers:
        ids = [model.id for model in provider.models]
        if len(ids) != len(set(ids)):
            raise RegistryFileError(f"A model of the provider {provider.name!r} is there twice.")
    listed = RegistryFile(providers=providers)
    defaults = reader.defaults(content.get("defaults") or {}, listed)
    return RegistryFile(
        providers=providers,
        defaults=defaults,
        not_understood=tuple(reader.not_understood),
        withheld=tuple(reader.withheld),
    )


def _slug(name: str) -> str:
    """What the hub calls it; a name that is a slug already stays."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        return name
    slug = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:64]
    if not slug:
        raise RegistryFileError("A provider's name needs letters or digits.")
    return slug


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
        said = {True: "yes", False: "no"}.get(kept.get("value"), kept.get("value"))  # type: ignore[arg-type]
        if said not in ("yes", "no", "unknown"):
            raise ValueError
        extra = {key: str(kept[key]) for key in ("source", "date") if kept.get(key)}
        found[_CAPABILITY_NAMES.get(name, name)] = {"value": str(said), "source": "registry.json", **extra}
    return found


_tier = _one_of(frozenset(LLMTier))
_quality = _one_of(frozenset(QualityTier))
_auth = _one_of(frozenset({"bearer", "api_key", "none"}))
_Table = Mapping[str, tuple[str, Callable[[Any], Any]]]
_PROVIDER: _Table = {
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
_MODEL: _Table = {
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
_RANK: _Table = {
    "provider": ("provider", _text),
    "model": ("model", _text),
    "options": ("options", _object),
    "params": ("options", _object),
    "note": ("note", _text),
}
_MODULE: _Table = {
    "fallbacks": ("fallbacks", _list),
    "name": ("name", _text),
    "description": ("description", _text),
    "common_options": ("options", _object),
}
_WANTED: Mapping[Callable[[Any], Any], str] = {
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
