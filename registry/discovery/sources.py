"""Where models can be found: `ModelSource` and the sources the hub brings. Needs no Django; knows no capability."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from adapters import Adapter, create_adapter
from adapters.kinds import KINDS
from adapters.types import RemoteModel
from registry.catalog.environment import ENVIRONMENT_MODELS, LOCAL_MODEL, key_of_kind, override_of
from registry.catalog.registry_file import RegistryFile
from registry.catalog.registry_json import load_registry
from registry.catalog.templates import TEMPLATES


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model's identity: whose it is and what they call it."""

    provider: str
    name: str
    family: str | None = None
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "aliases", tuple(self.aliases))

    def __str__(self) -> str:
        return f"{self.provider}:{self.name}"


@runtime_checkable
class ModelSource(Protocol):
    """Finds models. May raise: the registry keeps the error and asks the other sources all the same."""

    async def discover(self) -> Sequence[ModelSpec]: ...


class EnvProviderSource:
    """The usual models of every vendor whose key the environment holds. Asks nobody."""

    def __init__(self, *, include_ollama: bool = False, environ: Mapping[str, str] | None = None) -> None:
        self.include_ollama = include_ollama
        self._environ = environ

    async def discover(self) -> list[ModelSpec]:
        env = os.environ if self._environ is None else self._environ
        found = []
        for name, kind in KINDS.items():
            if kind.local:
                continue
            if override_of(name, env).api_key or key_of_kind(kind, env):
                found += usual_models(name)
        if self.include_ollama:
            found.append(ModelSpec(provider="ollama", name=env.get("OLLAMA_MODEL") or LOCAL_MODEL))
        return found


def usual_models(kind: str) -> list[ModelSpec]:
    """The models that the templates and an old `.env` know of a vendor, each once."""
    families = {
        row.model_id: row.family or None
        for template in TEMPLATES.values()
        if template.kind == kind
        for row in template.models
    }
    for _, model, _ in ENVIRONMENT_MODELS.get(kind, ()):
        families.setdefault(model, None)
    return [ModelSpec(provider=kind, name=name, family=family) for name, family in families.items()]


class AdapterSource:
    """The models that a provider lists: any adapter kind, with the adapter's own egress policy and limits."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter

    async def discover(self) -> list[ModelSpec]:
        """Raises LLMError."""
        rows = await self.adapter.list_models()
        return [ModelSpec(provider=self.adapter.target.provider, name=row.id) for row in rows]


class OllamaSource:
    """The models that an Ollama server has installed. `base_url` is its host; left out, OLLAMA_HOST or this machine."""

    def __init__(
        self, base_url: str | None = None, *, adapter: Adapter | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self.adapter = adapter or ollama_adapter(base_url, environ)

    async def discover(self) -> list[ModelSpec]:
        """Raises LLMError."""
        return [
            ModelSpec(
                provider=self.adapter.target.provider,
                name=row.id,
                family=_family(row.raw),
                aliases=(row.id.removesuffix(":latest"),) if row.id.endswith(":latest") else (),
            )
            for row in await self.adapter.list_models()
        ]


def ollama_adapter(base_url: str | None = None, environ: Mapping[str, str] | None = None) -> Adapter:
    """An adapter for `base_url`, or for the server that the environment names. Raises ConfigurationError."""
    env = os.environ if environ is None else environ
    host = base_url or override_of("ollama", env).base_url or env.get("OLLAMA_BASE_URL") or env.get("OLLAMA_HOST")
    if host and "://" not in host:
        host = f"http://{host}"
    if host:
        host = host.replace("//0.0.0.0", "//127.0.0.1")  # what a server listens on is nothing to call
    return create_adapter("ollama", base_url=host or None, provider="ollama")


def _family(raw: Mapping[str, Any]) -> str | None:
    details = raw.get("details")
    family = details.get("family") if isinstance(details, Mapping) else None
    return family if isinstance(family, str) and family else None


class RemoteHubSource:
    """The models of another LLM Hub, an organisation's central one say: `base_url` is its address, `token` one of its.

    They are all of the provider `provider`, since a call to them goes to that hub. `RemoteHubResolver` knows the rest.
    """

    def __init__(
        self, base_url: str = "", token: str = "", *, provider: str = "hub", adapter: Adapter | None = None
    ) -> None:
        """Raises ConfigurationError, EgressDeniedError."""
        self.adapter = adapter or hub_adapter(base_url, token, provider)

    async def discover(self) -> list[ModelSpec]:
        """Raises LLMError."""
        return [
            ModelSpec(
                provider=self.adapter.target.provider,
                name=row.id,
                family=hub_fields(row).get("family") or None,
                aliases=tuple(hub_fields(row).get("aliases") or ()),
            )
            for row in await self.adapter.list_models()
        ]


def hub_adapter(base_url: str, token: str, provider: str = "hub") -> Adapter:
    """An adapter for another hub's lane."""
    address = base_url.rstrip("/")
    address = address if address.endswith("/v1") else f"{address}/v1"
    return create_adapter("openai_compatible", base_url=address, api_key=token, provider=provider)


def hub_fields(row: RemoteModel) -> Mapping[str, Any]:
    """What a hub says of a model beyond the fields that every client knows."""
    said = row.raw.get("llmhub")
    return said if isinstance(said, Mapping) else {}


class RegistryJsonSource:
    """The models of a registry.json."""

    def __init__(self, source: str | Path | Mapping[str, Any] | RegistryFile) -> None:
        self.source = source

    async def discover(self) -> list[ModelSpec]:
        """Raises RegistryFileError, OSError."""
        return [
            ModelSpec(provider=provider.name, name=model.id, family=model.family or None, aliases=model.aliases)
            for provider, model in load_registry(self.source).iter_models()
        ]
