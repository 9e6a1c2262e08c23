"""A registry.json as values: its providers, models and defaults, and what can be asked of them. Reads no file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from adapters.kinds import KINDS
from registry.catalog.entries import ALWAYS, LLMEntry, LLMTier, PriceEntry, ProviderEntry, QualityTier
from registry.catalog.environment import default_timeout_s, environment_key, override_of
from registry.catalog.secret_names import is_secret
from registry.catalog.templates import tier_of_kind


@dataclass(frozen=True, slots=True, kw_only=True)
class FileModel:
    """A model as the file says it; `said` names the attributes that stand there, the rest are defaults."""

    id: str
    name: str = ""
    tags: tuple[str, ...] = ()
    tier: str = ""
    quality_tier: str = "unknown"
    family: str = ""
    aliases: tuple[str, ...] = ()
    description: str = ""
    context_length: int | None = None
    max_output_tokens: int | None = None
    capabilities: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # name -> value, source, date
    known_params: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    prices: Mapping[str, Decimal] = field(default_factory=dict)  # USD by kind: input_per_1m, ...
    retires_on: str | None = None
    enabled: bool = True
    said: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProvider:
    """A provider as the file says it. `headers` and `api_key` may hold secrets and are never written."""

    name: str  # what `resolve_provider` and the environment's variables call it: the hub's slug
    label: str = ""
    adapter: str = "openai_compatible"
    base: str = ""
    models: tuple[FileModel, ...] = ()
    tags: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)  # may hold what should not stand there
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    auth_type: str = ""
    timeout_s: float | None = None
    fee_percent: Decimal = Decimal(0)
    enabled: bool = True
    dry_run: bool = False
    api_key: str | None = field(default=None, repr=False)
    api_key_env: str = ""
    said: frozenset[str] = frozenset()

    @property
    def address(self) -> str:
        return self.base or KINDS[self.adapter].base_url

    def config(self) -> dict[str, Any]:
        """What `adapters.adapter_from_config` takes."""
        config = {
            "name": self.name,
            "adapter": "stub" if self.dry_run else self.adapter,
            "base_url": self.base or None,
            "api_key": self.api_key,
            "headers": dict(self.headers) or None,
            "settings": dict(self.settings) or None,
            "timeout_s": self.timeout_s,
            "models": [model.id for model in self.models],
        }
        return {name: value for name, value in config.items() if value is not None}

    def overridden(self, environ: Mapping[str, str] | None = None) -> FileProvider:
        """With what the environment says of it: address, key, headers, timeout. Raises ConfigurationError.

        Where the environment gives the address, a key or secret header of the file is not sent there.
        """
        env = os.environ if environ is None else environ
        override = override_of(self.name, env)
        entry = ProviderEntry(id=self.name, slug=self.name, kind=self.adapter, base_url=self.address)
        moved = override.base_url is not None and override.base_url.rstrip("/") != self.address.rstrip("/")
        own_key = None if moved else self.api_key or (env.get(self.api_key_env) if self.api_key_env else None)
        kept = {name: value for name, value in self.headers.items() if not (moved and is_secret(name, value))}
        return replace(
            self,
            base=override.base_url or self.base,
            api_key=override.api_key or own_key or environment_key(entry, env),
            headers={**kept, **override.headers},
            timeout_s=override.timeout_s or self.timeout_s or default_timeout_s(env),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleEntry:
    """One rank of a module's list; `provider` empty where the file names none."""

    provider: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleDefault:
    """What a module uses. `is_whole` when the file lists all ranks, and not the first alone."""

    entries: tuple[ModuleEntry, ...]
    is_whole: bool = False
    name: str = ""
    description: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)  # for every rank


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDefaults:
    provider: str = ""
    model: str = ""
    modules: Mapping[str, ModuleDefault] = field(default_factory=dict)  # of `modules.<module>` and of `<tag>`


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryFile:
    """A whole file. `not_understood` and `withheld` name places in it, such as `providers[0].colour`."""

    providers: tuple[FileProvider, ...] = ()
    defaults: FileDefaults = FileDefaults()
    not_understood: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()  # secrets, which no import takes and no export writes

    def iter_providers(self, tag: str | None = None) -> Iterator[FileProvider]:
        """Providers in the file's order; with `tag` those that have it, or a model that does."""
        for provider in self.providers:
            if tag is None or tag in provider.tags or any(tag in model.tags for model in provider.models):
                yield provider

    def iter_models(
        self, provider: str | None = None, tag: str | None = None
    ) -> Iterator[tuple[FileProvider, FileModel]]:
        """Models with their provider, in the file's order. A model without tags has its provider's."""
        for owner in self.providers:
            if provider is not None and owner.name != provider:
                continue
            for model in owner.models:
                if tag is None or tag in (model.tags or owner.tags):
                    yield owner, model

    def resolve_provider(self, name: str | None = None, *, environ: Mapping[str, str] | None = None) -> FileProvider:
        """The provider of this name (None: the default one, else the first), with the environment's overrides.

        Raises LookupError that names the providers there are, ConfigurationError for a malformed variable.
        """
        wanted = name or self.defaults.provider or (self.providers[0].name if self.providers else "")
        found = next((provider for provider in self.providers if wanted in (provider.name, provider.label)), None)
        if found is None:
            names = ", ".join(provider.name for provider in self.providers) or "none"
            raise LookupError(f"There is no provider {wanted!r}; there are: {names}.")
        return found.overridden(environ)

    def reference(self, text: str) -> tuple[str, str]:
        """Provider and model of `provider/model` or of a model's id; the provider is empty where nobody lists it."""
        first, _, rest = text.partition("/")
        if rest and any(provider.name == first for provider in self.providers):
            return first, rest
        for provider, model in self.iter_models():
            if text in (model.id, model.name):
                return provider.name, model.id
        return "", text

    def entries(self, environ: Mapping[str, str] | None = None) -> list[LLMEntry]:
        """The models as they can be called from here, by `DictRegistry`; ids are `provider/model`."""
        found = []
        for provider in self.providers:
            ready = provider.overridden(environ)
            endpoint = _endpoint(ready)
            found += [_entry(ready, endpoint, model) for model in provider.models]
        return found

    def default_id(self) -> str | None:
        """The id, among `entries`, of the model that `defaults` names."""
        if not self.defaults.model:
            return None
        provider, model = self.defaults.provider, self.defaults.model
        if not provider:
            provider, model = self.reference(model)
        return f"{provider}/{model}"


def _endpoint(provider: FileProvider) -> ProviderEntry:
    kind = KINDS[provider.adapter]
    return ProviderEntry(
        id=f"file:{provider.name}",
        slug=provider.name,
        name=provider.label or provider.name,
        kind=provider.adapter,
        base_url=provider.address,
        auth_type=provider.auth_type or (kind.auth_type if provider.api_key else "none"),
        settings=provider.settings,
        headers=provider.headers,
        timeout_s=provider.timeout_s,
        fee_percent=provider.fee_percent,
        enabled=provider.enabled,
        dry_run=provider.dry_run,
        from_environment=True,
        metadata=provider.metadata,
    )


def _entry(provider: FileProvider, endpoint: ProviderEntry, model: FileModel) -> LLMEntry:
    key = f"{provider.name}/{model.id}"
    prices = (PriceEntry(id=f"{key}:price", effective_from=ALWAYS, rates=model.prices),) if model.prices else ()
    return LLMEntry(
        id=key,
        name=model.name or model.id,
        provider=provider.name,
        model=model.id,
        tier=LLMTier(model.tier or tier_of_kind(provider.adapter)),
        api_key=provider.api_key,
        api_endpoint=provider.address,
        is_active=provider.enabled and model.enabled,
        endpoint=endpoint,
        description=model.description,
        family=model.family,
        aliases=model.aliases,
        tags=frozenset(model.tags or provider.tags),
        quality_tier=QualityTier(model.quality_tier),
        capabilities={name: answer["value"] for name, answer in model.capabilities.items()},
        known_params=frozenset(model.known_params),
        context_length=model.context_length,
        max_output_tokens=model.max_output_tokens,
        default_params=model.options,
        prices=prices,
    )
