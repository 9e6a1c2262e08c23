"""registry.json: reads the file that lists providers, their models and each module's default, and hands on its writer.

Needs neither Django nor the network. What the file says is kept as it is; `registry_import.py` makes rows of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import InvalidOperation
from pathlib import Path
from typing import Any

from registry.catalog.registry_fields import MODEL_FIELDS, MODULE_FIELDS, PROVIDER_FIELDS, RANK_FIELDS, WANTED
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
                raise RegistryFileError(f"{place}.{name} can't be read: {WANTED[read]} is wanted.") from error
        return found

    def provider(self, name: str | None, row: Any, place: str) -> FileProvider:
        if isinstance(row, Mapping) and "slug" not in row and name is not None:
            row = {"slug": name, **row}
        found = self.fields(row, PROVIDER_FIELDS, place)
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
        found = self.fields(row, MODEL_FIELDS, place)
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
        found = self.fields({name: value[name] for name in own & value.keys()}, MODULE_FIELDS, place)
        rest = {name: item for name, item in value.items() if name not in own}
        ranks = [self.rank(rest, providers, place)] if rest else []
        ranks += [
            self.rank(item, providers, f"{place}.fallbacks[{n}]") for n, item in enumerate(found.pop("fallbacks", []))
        ]
        return ModuleDefault(entries=tuple(ranks), is_whole="fallbacks" in value, **found)

    def rank(self, value: Any, providers: RegistryFile, place: str) -> ModuleEntry:
        found = {"model": value} if isinstance(value, str) else self.fields(value, RANK_FIELDS, place)
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
