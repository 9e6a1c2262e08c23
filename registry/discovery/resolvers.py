"""What models can do: `CapabilityResolver` and the resolvers the hub brings. Needs no Django; finds no model.

`None` is "unknown" everywhere: a resolver that knows nothing of a model has no opinion, and hides no other's.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol, runtime_checkable

from adapters import Adapter
from adapters.types import RemoteModel
from registry.catalog.entries import QualityTier
from registry.catalog.static_models import STATIC_MODELS
from registry.catalog.templates import TEMPLATES, TemplateModel
from registry.discovery.sources import ModelSpec, hub_adapter, hub_fields, ollama_adapter


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCapabilities:
    """What is known of a model; each answer yes (True), no (False) or unknown (None). Costs are USD."""

    max_context: int | None = None
    max_output_tokens: int | None = None
    supports_tools: bool | None = None
    supports_vision: bool | None = None
    supports_json_mode: bool | None = None
    supports_streaming: bool | None = None
    supports_reasoning: bool | None = None
    known_params: frozenset[str] = frozenset()
    input_cost_per_1m: Decimal | None = None
    output_cost_per_1m: Decimal | None = None
    speed_hint_tps: float | None = None
    quality_tier: QualityTier = QualityTier.UNKNOWN
    tags: frozenset[str] = frozenset()
    sources: Mapping[str, str] = field(default_factory=dict)  # field -> the resolver that answered it

    def __post_init__(self) -> None:
        object.__setattr__(self, "known_params", frozenset(self.known_params))
        object.__setattr__(self, "tags", frozenset(self.tags))
        object.__setattr__(self, "quality_tier", QualityTier(self.quality_tier))
        for name in ("input_cost_per_1m", "output_cost_per_1m"):
            cost = getattr(self, name)
            if cost is not None and not isinstance(cost, Decimal):
                object.__setattr__(self, name, Decimal(str(cost)))

    def answered(self) -> dict[str, Any]:
        """The fields that hold an opinion."""
        values = {name: getattr(self, name) for name in ANSWERS}
        empty: tuple[Any, ...] = (None, frozenset(), QualityTier.UNKNOWN)
        return {name: value for name, value in values.items() if value not in empty}

    def overlaid(self, later: ModelCapabilities, source: str) -> ModelCapabilities:
        """These with the opinions of a later layer over them; `source` is named for each."""
        answers = later.answered()
        if not answers:
            return self
        return replace(self, **answers, sources={**self.sources, **dict.fromkeys(answers, source)})


ANSWERS = tuple(field.name for field in fields(ModelCapabilities) if field.name != "sources")


@runtime_checkable
class CapabilityResolver(Protocol):
    """Says what it knows of a model. May raise: the registry keeps the error and the other layers' answers."""

    async def get_capabilities(self, spec: ModelSpec) -> ModelCapabilities: ...


class StaticCapabilityResolver:
    """A table: the templates' models and older well-known ones.

    A fine-tuned model, or one that another provider resells, has its family's capabilities and not its price.
    """

    def __init__(self, extra: Mapping[str, ModelCapabilities] | None = None) -> None:
        """`extra` adds to the table and wins over it, by `provider/model` or by the model's name alone."""
        self._extra = dict(extra or {})

    async def get_capabilities(self, spec: ModelSpec) -> ModelCapabilities:
        return self.lookup(spec)

    def lookup(self, spec: ModelSpec) -> ModelCapabilities:
        own = self._extra.get(f"{spec.provider}/{spec.name}") or self._extra.get(spec.name)
        if own is not None:
            return own
        for name in _plainer(spec.name):
            if (spec.provider, name) in _TABLE:
                return _TABLE[spec.provider, name]
        base = spec.name.split(":")[1] if spec.name.startswith("ft:") and spec.name.count(":") else None
        tail = spec.name.rpartition("/")[2].partition(":")[0] if "/" in spec.name else None
        for name in filter(None, (base, tail)):
            for plain in _plainer(name):
                found = _TABLE.get((spec.provider, plain)) if base else _BY_NAME.get(plain)
                if found is not None:
                    return replace(found, input_cost_per_1m=None, output_cost_per_1m=None)
        return ModelCapabilities()


def _plainer(name: str) -> Iterable[str]:
    """The name, then without what only dates it: `-2024-07-18`, `-20241022`, `-latest`, `-001`."""
    yield name
    shorter = re.sub(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest|\d{3})$", "", name)
    if shorter != name:
        yield shorter


def _of_template(row: TemplateModel) -> ModelCapabilities:
    def answer(name: str) -> bool | None:
        return True if name in row.yes else False if name in row.no else None

    return ModelCapabilities(
        max_context=row.context_length,
        max_output_tokens=row.max_output_tokens,
        supports_tools=answer("tools"),
        supports_vision=answer("vision"),
        supports_json_mode=answer("json_mode"),
        supports_streaming=answer("streaming"),
        supports_reasoning=answer("reasoning"),
        input_cost_per_1m=row.prices.get("input_per_1m"),
        output_cost_per_1m=row.prices.get("output_per_1m"),
        quality_tier=QualityTier(row.quality_tier),
        tags=frozenset(row.tags),
    )


_TABLE: dict[tuple[str, str], ModelCapabilities] = {
    (kind, row.model_id): _of_template(row) for kind, rows in STATIC_MODELS.items() for row in rows
} | {(template.kind, row.model_id): _of_template(row) for template in TEMPLATES.values() for row in template.models}
_BY_NAME = {name: capabilities for (_, name), capabilities in reversed(_TABLE.items())}


class OllamaCapabilityResolver:
    """What an Ollama server says of its models (/api/show): context, tools, vision, and quality by their size."""

    provider = "ollama"

    def __init__(self, base_url: str | None = None, *, adapter: Adapter | None = None) -> None:
        self.adapter = adapter or ollama_adapter(base_url)

    async def get_capabilities(self, spec: ModelSpec) -> ModelCapabilities:
        """Raises LLMError."""
        if spec.provider != self.adapter.target.provider:
            return ModelCapabilities()
        shown = await self.adapter.show_model(spec.name)
        return capabilities_of(shown)


class ProviderListResolver:
    """What a provider's own list says of its models: context, capabilities, prices (OpenRouter, Mistral, another hub).

    The list is asked for once and kept for five minutes.
    """

    kept_s = 300.0

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self._listed: asyncio.Task[dict[str, RemoteModel]] | None = None
        self._asked_at = 0.0

    async def get_capabilities(self, spec: ModelSpec) -> ModelCapabilities:
        """Raises LLMError."""
        if spec.provider != self.adapter.target.provider:
            return ModelCapabilities()
        listed, now = self._listed, time.monotonic()
        failed = listed is not None and listed.done() and (listed.cancelled() or listed.exception() is not None)
        if listed is None or failed or now - self._asked_at > self.kept_s:
            self._listed, self._asked_at = asyncio.ensure_future(self._list()), now
        assert self._listed is not None
        row = (await asyncio.shield(self._listed)).get(spec.name)
        return ModelCapabilities() if row is None else capabilities_of_listed(row)

    async def _list(self) -> dict[str, RemoteModel]:
        return {row.id: row for row in await self.adapter.list_models()}


class RemoteHubResolver(ProviderListResolver):
    """What another LLM Hub knows of its models; pass it the adapter of a `RemoteHubSource`, or an address and token."""

    def __init__(
        self, base_url: str = "", token: str = "", *, provider: str = "hub", adapter: Adapter | None = None
    ) -> None:
        super().__init__(adapter or hub_adapter(base_url, token, provider))


def capabilities_of_listed(row: RemoteModel) -> ModelCapabilities:
    """A row of a provider's list as capabilities; what it does not say stays unknown."""
    said, hub = row.capabilities, hub_fields(row)
    speed = hub.get("speed_tps")
    return ModelCapabilities(
        max_context=row.context_length,
        max_output_tokens=row.max_output_tokens,
        supports_tools=said.get("tools"),
        supports_vision=said.get("vision"),
        supports_json_mode=said.get("json_mode", said.get("json")),
        supports_streaming=said.get("streaming"),
        supports_reasoning=said.get("reasoning"),
        input_cost_per_1m=_amount(row.prices_per_1m.get("input")),
        output_cost_per_1m=_amount(row.prices_per_1m.get("output")),
        speed_hint_tps=float(speed) if isinstance(speed, int | float) else None,
        quality_tier=_quality(hub.get("quality_tier")),
        tags=frozenset(tag for tag in row.raw.get("tags") or () if isinstance(tag, str)) if hub else frozenset(),
    )


def _amount(text: str | None) -> Decimal | None:
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation:
        return None


def _quality(value: Any) -> QualityTier:
    return QualityTier(value) if value in tuple(QualityTier) else QualityTier.UNKNOWN


def capabilities_of(shown: RemoteModel) -> ModelCapabilities:
    """A model on one's own machine costs nothing; its quality is guessed from the number of its parameters."""
    said = shown.capabilities
    families = shown.raw.get("details", {}).get("families") or ()
    sees = any(family in ("clip", "mllama", "llava") for family in families)
    parameters = _billions(str(shown.raw.get("details", {}).get("parameter_size", "")))
    quality = QualityTier.UNKNOWN
    if parameters is not None:
        quality = QualityTier.BALANCED if parameters >= 30 else QualityTier.CHEAP
    return ModelCapabilities(
        max_context=_num_ctx(shown.raw.get("parameters")) or shown.context_length,
        supports_tools=said.get("tools"),
        supports_vision=True if sees else said.get("vision"),
        supports_json_mode=True,  # every model: the server constrains the output by a grammar
        supports_streaming=True,
        supports_reasoning=said.get("reasoning"),
        input_cost_per_1m=Decimal(0),
        output_cost_per_1m=Decimal(0),
        quality_tier=quality,
    )


def _num_ctx(parameters: Any) -> int | None:
    """The context that the model is run with, from the lines of its Modelfile."""
    found = re.search(r"(?m)^num_ctx\s+(\d{1,9})\s*$", parameters) if isinstance(parameters, str) else None
    return int(found[1]) if found else None


def _billions(size: str) -> float | None:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MB])", size.strip(), re.IGNORECASE)
    return None if found is None else float(found[1]) / (1000 if found[2].upper() == "M" else 1)
