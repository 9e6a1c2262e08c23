"""From a `RegistryFile` to registry.json's text. Writes no secret, whatever the values hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from registry.catalog.registry_file import (
    FileDefaults,
    FileModel,
    FileProvider,
    ModuleDefault,
    ModuleEntry,
    RegistryFile,
)
from registry.catalog.secret_names import address_without_secrets, is_secret, without_secrets


def write_registry(file: RegistryFile) -> str:
    """The file's text. Two exports of one registry are the same bytes."""
    return json.dumps(registry_content(file), indent=2, ensure_ascii=False) + "\n"


def registry_content(file: RegistryFile) -> dict[str, Any]:
    tags = {tag for provider in file.providers for tag in provider.tags}
    tags |= {tag for _, model in file.iter_models() for tag in model.tags}
    return {
        "version": 1,
        "providers": [_provider(provider) for provider in file.providers],
        "defaults": _defaults(file.defaults),
        "tags": sorted(tags),
    }


def _provider(provider: FileProvider) -> dict[str, Any]:
    headers = {name: value for name, value in provider.headers.items() if not is_secret(name, value)}
    return {
        "name": provider.name,
        **_filled({"label": provider.label if provider.label != provider.name else ""}),
        "adapter": provider.adapter,
        "base": address_without_secrets(provider.base),
        **_filled(
            {
                "auth_type": provider.auth_type,
                "tags": list(provider.tags),
                "headers": headers,
                "settings": without_secrets(provider.settings),
                "metadata": without_secrets(provider.metadata),
                "timeout_s": provider.timeout_s,
                "fee_percent": f"{provider.fee_percent.normalize():f}" if provider.fee_percent else None,
                "dry_run": provider.dry_run or None,
            }
        ),
        "enabled": provider.enabled,
        "models": [_model(model) for model in provider.models],
    }


def _model(model: FileModel) -> dict[str, Any]:
    values = {
        "id": model.id,
        "name": model.name if model.name != model.id else "",
        "tags": list(model.tags),
        "tier": model.tier,
        "quality_tier": model.quality_tier if model.quality_tier != "unknown" else "",
        "family": model.family,
        "aliases": list(model.aliases),
        "description": model.description,
        "context_length": model.context_length,
        "max_output_tokens": model.max_output_tokens,
        "capabilities": {name: dict(answer) for name, answer in sorted(model.capabilities.items())},
        "known_params": list(model.known_params),
        "options": without_secrets(model.options),
        "prices": {name: f"{amount.normalize():f}" for name, amount in sorted(model.prices.items())},
        "retires_on": model.retires_on,
    }
    return {**_filled(values), "enabled": model.enabled}


def _defaults(defaults: FileDefaults) -> dict[str, Any]:
    values: dict[str, Any] = _filled({"provider": defaults.provider, "model": defaults.model})
    return {**values, "modules": {name: _module(default) for name, default in sorted(defaults.modules.items())}}


def _module(default: ModuleDefault) -> dict[str, Any]:
    first, *rest = [_rank(entry) for entry in default.entries]
    named = {"name": default.name, "description": default.description, "common_options": dict(default.options)}
    return {**first, "fallbacks": rest, **_filled(named)}


def _rank(entry: ModuleEntry) -> dict[str, Any]:
    rank = {"provider": entry.provider, "model": entry.model}
    return _filled({**rank, "options": without_secrets(entry.options), "note": entry.note})


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """What holds something: an absent field and an empty one are the same."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}
