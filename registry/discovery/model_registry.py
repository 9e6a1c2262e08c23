"""ModelRegistry: what sources find, what resolvers know of it, and the model that fits. Needs no Django.

`get_registry()` is the one for scripts; inside the hub it holds the hub's own models too.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Final, TypeVar

from adapters.loop_thread import run_sync
from registry.catalog.entries import ALWAYS, LLMEntry, PriceEntry
from registry.discovery.overrides import DEFAULT_FILE, OverridesResolver
from registry.discovery.plugins import load_resolvers, load_sources, paths_in
from registry.discovery.resolvers import (
    CapabilityResolver,
    ModelCapabilities,
    OllamaCapabilityResolver,
    StaticCapabilityResolver,
)
from registry.discovery.sources import EnvProviderSource, ModelSource, ModelSpec, OllamaSource
from registry.routing.requirements import Requirements, read_requirements

T = TypeVar("T")
KEPT_S: Final = 300.0  # how long what was found is believed
DEADLINE_S: Final = 15.0  # for one source, and for one resolver's word on one model
_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuery(Requirements):
    """What a model must do, by the names that REST and the lane's `auto` use. Prices may be given as numbers.

    Raises InvalidRequestError for a value that can't be read.
    """

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(Requirements)}
        read = read_requirements({name: list(value) if name == "tags" else value for name, value in given.items()})
        for name in given:
            object.__setattr__(self, name, getattr(read, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelWithCapabilities:
    """A model and all that is known of it."""

    spec: ModelSpec
    capabilities: ModelCapabilities

    def __str__(self) -> str:
        return str(self.spec)


@dataclass(frozen=True, slots=True)
class _Found:
    """Everything of one discovery, in the order of preference, with the form that requirements are checked on."""

    models: tuple[ModelWithCapabilities, ...]
    entries: tuple[LLMEntry, ...]
    by_name: dict[tuple[str, str], ModelWithCapabilities]
    at: float


class ModelRegistry:
    """Models from `sources`, enriched by `resolvers` in turn: a later one's answers win, its silence hides nothing.

    `errors` holds what went wrong at the last look, by the source's or resolver's name.
    """

    def __init__(
        self,
        sources: Iterable[ModelSource] | None = None,
        resolvers: Iterable[CapabilityResolver] | None = None,
        *,
        kept_s: float = KEPT_S,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.sources = default_sources() if sources is None else list(sources)
        self.resolvers = default_resolvers() if resolvers is None else list(resolvers)
        self.errors: dict[str, Exception] = {}
        self._kept_s, self._deadline_s = kept_s, deadline_s
        self._found: _Found | None = None

    async def get_models(self, *, force_refresh: bool = False) -> list[ModelWithCapabilities]:
        """All models, best first; what was found is kept for five minutes. Raises nothing: see `errors`."""
        return list((await self._look(force_refresh)).models)

    async def find_best(self, query: ModelQuery | None = None, **requirements: Any) -> ModelWithCapabilities | None:
        """The best model that meets all requirements: better quality first, then cheaper; None when none does.

        Raises InvalidRequestError for a requirement that can't be read, TypeError for one there is not.
        """
        wanted = query or _read(requirements)
        found = await self._look()
        fits = wanted.predicate()
        return next((found.models[n] for n, entry in enumerate(found.entries) if fits(entry)), None)

    async def query(self, query: ModelQuery | None = None, **requirements: Any) -> list[ModelWithCapabilities]:
        """Every model that meets all requirements, in `find_best`'s order."""
        wanted = query or _read(requirements)
        found = await self._look()
        fits = wanted.predicate()
        return [found.models[n] for n, entry in enumerate(found.entries) if fits(entry)]

    async def explain(self, query: ModelQuery | None = None, **requirements: Any) -> dict[str, str]:
        """Every model as `provider:name`, and in a sentence why it does not fit; an empty text where it does."""
        wanted = query or _read(requirements)
        found = await self._look()
        refusals = {entry.id: wanted.refusal(entry) for entry in found.entries}
        return {str(model): (refusals[str(model)] or ("", ""))[1] for model in found.models}

    async def find_model(self, provider: str, name: str) -> ModelWithCapabilities | None:
        """The model of this provider by name or alias."""
        return (await self._look()).by_name.get((provider, name))

    def get_models_sync(self, *, force_refresh: bool = False) -> list[ModelWithCapabilities]:
        """The `_sync` forms are for synchronous code. Raise RuntimeError inside a running event loop."""
        return run_sync(self.get_models(force_refresh=force_refresh))

    def find_best_sync(self, query: ModelQuery | None = None, **requirements: Any) -> ModelWithCapabilities | None:
        return run_sync(self.find_best(query, **requirements))

    def query_sync(self, query: ModelQuery | None = None, **requirements: Any) -> list[ModelWithCapabilities]:
        return run_sync(self.query(query, **requirements))

    def find_model_sync(self, provider: str, name: str) -> ModelWithCapabilities | None:
        return run_sync(self.find_model(provider, name))

    async def _look(self, force_refresh: bool = False) -> _Found:
        kept = self._found
        if kept is not None and not force_refresh and time.monotonic() - kept.at < self._kept_s:
            return kept
        errors: dict[str, Exception] = {}
        specs = await self._discover(errors)
        turns = asyncio.Semaphore(_AT_ONCE)
        models = await asyncio.gather(*(self._resolve(spec, errors, turns) for spec in specs))
        self._found, self.errors = _in_order(models), errors
        return self._found

    async def _discover(self, errors: dict[str, Exception]) -> list[ModelSpec]:
        """Each source's models; the same one from two sources counts once, as the later source says it."""
        names = _names(self.sources)
        calls = [
            self._guarded(source.discover(), name, errors) for source, name in zip(self.sources, names, strict=True)
        ]
        found: dict[tuple[str, str], ModelSpec] = {}
        for specs in await asyncio.gather(*calls):
            for spec in specs or ():
                known = found.get((spec.provider, spec.name))
                if known is not None:
                    aliases = tuple(dict.fromkeys((*known.aliases, *spec.aliases)))
                    family = spec.family or known.family
                    spec = ModelSpec(provider=spec.provider, name=spec.name, family=family, aliases=aliases)
                found[spec.provider, spec.name] = spec
        return list(found.values())

    async def _resolve(
        self, spec: ModelSpec, errors: dict[str, Exception], turns: asyncio.Semaphore
    ) -> ModelWithCapabilities:
        capabilities = ModelCapabilities()
        async with turns:
            for resolver, name in zip(self.resolvers, _names(self.resolvers), strict=True):
                said = await self._guarded(resolver.get_capabilities(spec), name, errors)
                if said is not None:
                    capabilities = capabilities.overlaid(said, name)
        return ModelWithCapabilities(spec=spec, capabilities=capabilities)

    async def _guarded(self, call: Coroutine[Any, Any, T], name: str, errors: dict[str, Exception]) -> T | None:
        """The answer, or None with the error kept: anybody's source may raise anything."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await call
        except Exception as error:
            errors[name] = error
            return None


def _names(parts: Sequence[Any]) -> list[str]:
    """A name for each, by its class; a second of one class is numbered."""
    names: list[str] = []
    for part in parts:
        name = type(part).__name__
        count = sum(known.partition("#")[0] == name for known in names)
        names.append(f"{name}#{count + 1}" if count else name)
    return names


def _read(requirements: dict[str, Any]) -> ModelQuery:
    """`cost_tier` is an older name of `quality_tier`."""
    if "cost_tier" in requirements:
        requirements.setdefault("quality_tier", requirements.pop("cost_tier"))
    return ModelQuery(**requirements)


def _in_order(models: Iterable[ModelWithCapabilities]) -> _Found:
    """Sorted once, so that the best of any query is the first that fits."""
    pairs = sorted(((_entry(model), model) for model in models), key=lambda pair: Requirements().rank(pair[0]))
    by_name: dict[tuple[str, str], ModelWithCapabilities] = {}
    for _, model in pairs:
        for alias in model.spec.aliases:
            by_name.setdefault((model.spec.provider, alias), model)
    by_name |= {(model.spec.provider, model.spec.name): model for _, model in pairs}
    return _Found(tuple(pair[1] for pair in pairs), tuple(pair[0] for pair in pairs), by_name, time.monotonic())


def _entry(model: ModelWithCapabilities) -> LLMEntry:
    spec, known = model.spec, model.capabilities
    answers = {
        "tools": known.supports_tools,
        "vision": known.supports_vision,
        "json_mode": known.supports_json_mode,
        "streaming": known.supports_streaming,
        "reasoning": known.supports_reasoning,
    }
    costs = {"input_per_1m": known.input_cost_per_1m, "output_per_1m": known.output_cost_per_1m}
    rates: dict[str, Decimal] = {kind: cost for kind, cost in costs.items() if cost is not None}
    return LLMEntry(
        id=str(spec),
        name=spec.name,
        provider=spec.provider,
        model=spec.name,
        family=spec.family or "",
        aliases=spec.aliases,
        tags=known.tags,
        quality_tier=known.quality_tier,
        capabilities={name: "yes" if value else "no" for name, value in answers.items() if value is not None},
        context_length=known.max_context,
        speed_tps=known.speed_hint_tps,
        prices=(PriceEntry(id=str(spec), effective_from=ALWAYS, rates=rates),) if rates else (),
    )


def default_sources() -> list[ModelSource]:
    """The environment's vendors and this machine's Ollama; inside the hub its own models after them; then one's own."""
    sources: list[ModelSource] = [EnvProviderSource(), OllamaSource()]
    if not _in_the_hub():
        return [*sources, *load_sources(paths_in("LLMHUB_MODEL_SOURCES"))]
    from registry.discovery.hub import HubSource, configured_sources

    return [*sources, HubSource(), *configured_sources()]


def default_resolvers() -> list[CapabilityResolver]:
    """From the table to the person's own word; inside the hub its rows come last, which hold what admins said."""
    resolvers: list[CapabilityResolver] = [StaticCapabilityResolver(), OllamaCapabilityResolver()]
    if not _in_the_hub():
        own = load_resolvers(paths_in("LLMHUB_CAPABILITY_RESOLVERS"))
        return [*resolvers, *own, OverridesResolver(os.environ.get("LLMHUB_MODEL_OVERRIDES") or DEFAULT_FILE)]
    from registry.discovery.hub import HubCapabilityResolver, configured_resolvers

    return [*resolvers, *configured_resolvers(), HubCapabilityResolver()]


def _in_the_hub() -> bool:
    """Whether this process has set up Django; a script that has not must not have to install it."""
    apps = getattr(sys.modules.get("django.apps"), "apps", None)
    return bool(apps is not None and apps.ready and apps.is_installed("registry"))


_shared: ModelRegistry | None = None


async def get_registry(*, force_refresh: bool = False) -> ModelRegistry:
    """This process's registry. `force_refresh` looks again at once."""
    global _shared
    if _shared is None:
        _shared = ModelRegistry()
    if force_refresh:
        await _shared.get_models(force_refresh=True)
    return _shared


def get_registry_sync(*, force_refresh: bool = False) -> ModelRegistry:
    """`get_registry` for synchronous code. Raises RuntimeError inside a running event loop."""
    return run_sync(get_registry(force_refresh=force_refresh))
