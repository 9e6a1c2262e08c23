"""ModelRegistry: layers, failures, queries; against an Ollama on loopback, and without Django."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import InvalidRequestError
from registry import (
    EnvProviderSource,
    ModelCapabilities,
    ModelQuery,
    ModelRegistry,
    ModelSpec,
    OllamaCapabilityResolver,
    OllamaSource,
    QualityTier,
    StaticCapabilityResolver,
    get_registry_sync,
)
from registry.discovery.sources import RegistryJsonSource
from tests.upstream import SeenRequest, Upstream, json_answer, unused_port


class Listed:
    """A source of given models; `calls` counts how often it was asked."""

    def __init__(self, *specs: ModelSpec) -> None:
        self.specs, self.calls = specs, 0

    async def discover(self) -> tuple[ModelSpec, ...]:
        self.calls += 1
        return self.specs


class Broken:
    async def discover(self) -> list[ModelSpec]:
        raise OSError("the list is gone")

    async def get_capabilities(self, spec: ModelSpec) -> ModelCapabilities:
        raise OSError("the table is gone")


class Table:
    def __init__(self, **known: ModelCapabilities) -> None:
        self.known = known

    async def get_capabilities(self, spec: ModelSpec) -> ModelCapabilities:
        return self.known.get(spec.name, ModelCapabilities())


def spec(name: str, provider: str = "acme", **values: Any) -> ModelSpec:
    return ModelSpec(provider=provider, name=name, **values)


def able(quality: str = "unknown", cost: str | None = None, **values: Any) -> ModelCapabilities:
    return ModelCapabilities(quality_tier=QualityTier(quality), input_cost_per_1m=cost and Decimal(cost), **values)


async def test_later_layers_win_and_silence_hides_nothing() -> None:
    first = Table(m=able("best", "1", supports_tools=True, supports_vision=True, max_context=10))
    second = Table(m=ModelCapabilities(supports_tools=False, max_context=20))
    registry = ModelRegistry(sources=[Listed(spec("m"))], resolvers=[first, second, Table()])
    (model,) = await registry.get_models()
    known = model.capabilities
    assert (known.supports_tools, known.supports_vision, known.supports_json_mode) == (False, True, None)
    assert (known.max_context, known.quality_tier, known.input_cost_per_1m) == (20, QualityTier.BEST, Decimal(1))
    assert (known.sources["supports_tools"], known.sources["supports_vision"]) == ("Table#2", "Table")


async def test_a_failing_source_or_resolver_hides_no_other_and_its_error_is_kept() -> None:
    registry = ModelRegistry(
        sources=[Broken(), Listed(spec("m"))], resolvers=[Broken(), Table(m=able("best", supports_tools=True))]
    )
    best = await registry.find_best(requires_tools=True)
    assert best is not None and best.spec.name == "m"
    assert isinstance(registry.errors["Broken"], OSError)


async def test_unknown_meets_no_need() -> None:
    registry = ModelRegistry(sources=[Listed(spec("m"))], resolvers=[])
    assert await registry.find_best(requires_tools=True) is None
    assert await registry.find_best() is not None
    assert await registry.explain(requires_tools=True) == {"acme:m": "It is not known to have tools."}


async def test_the_best_is_better_then_cheaper_and_ties_are_stable() -> None:
    table = Table(
        dear=able("best", "10"), fair=able("best", "2"), also=able("best", "2"), cheap=able("cheap", "1"), free=able()
    )
    registry = ModelRegistry(sources=[Listed(*map(spec, ("free", "cheap", "fair", "dear", "also")))], resolvers=[table])
    assert [model.spec.name for model in await registry.query()] == ["also", "fair", "dear", "cheap", "free"]
    cheap = await registry.find_best(quality_tier="cheap")
    assert cheap is not None and cheap.spec.name == "cheap"
    assert await registry.find_best(cost_tier="cheap") == cheap
    dear = await registry.query(ModelQuery(max_cost_per_1m_input=1.00))
    assert [model.spec.name for model in dear] == ["cheap"]


async def test_every_requirement_is_weighed() -> None:
    table = Table(
        m=able(
            "balanced",
            "1",
            supports_tools=True,
            supports_json_mode=True,
            supports_streaming=True,
            max_context=128_000,
            speed_hint_tps=80.0,
            tags={"fast"},
        )
    )
    registry = ModelRegistry(sources=[Listed(spec("m", family="f"))], resolvers=[table])
    met: dict[str, Any] = {
        "requires_tools": True,
        "requires_json_mode": True,
        "requires_streaming": True,
        "min_context": 100_000,
        "max_cost_per_1m_input": 1,
        "provider": "acme",
        "family": "f",
        "tags": ["fast"],
        "quality_tier": "balanced",
        "min_speed_tps": 50,
    }
    assert await registry.find_best(**met) is not None
    unmet = {
        "requires_vision": True,
        "requires_reasoning": True,
        "min_context": 200_000,
        "max_cost_per_1m_input": 0.5,
        "max_cost_per_1m_output": 5,
        "provider": "other",
        "family": "g",
        "tags": ["slow"],
        "quality_tier": "best",
        "min_speed_tps": 100,
    }
    for name, value in unmet.items():
        assert await registry.find_best(**{**met, name: value}) is None, name


async def test_requirements_that_cant_be_read_are_refused() -> None:
    registry = ModelRegistry(sources=[], resolvers=[])
    with pytest.raises(InvalidRequestError):
        await registry.find_best(quality_tier="superb")
    with pytest.raises(TypeError):
        await registry.find_best(requires_wings=True)


async def test_what_was_found_is_kept_until_a_refresh_is_forced() -> None:
    source = Listed(spec("m"))
    registry = ModelRegistry(sources=[source], resolvers=[])
    await registry.get_models()
    await registry.get_models()
    assert source.calls == 1
    await registry.get_models(force_refresh=True)
    assert source.calls == 2


async def test_a_model_is_found_by_name_and_alias_once_for_two_sources() -> None:
    one, two = Listed(spec("m", family="f")), Listed(spec("m", aliases=["short"]), spec("n"))
    registry = ModelRegistry(sources=[one, two], resolvers=[])
    assert len(await registry.get_models()) == 2
    found = await registry.find_model("acme", "short")
    assert found is not None and (found.spec.name, found.spec.family) == ("m", "f")
    assert await registry.find_model("other", "m") is None


async def test_the_environments_vendors_are_found_and_known() -> None:
    sources = [EnvProviderSource(environ={"OPENAI_API_KEY": "k", "LLMHUB_LLM_GROQ_API_KEY": "k"})]
    registry = ModelRegistry(sources=sources, resolvers=[StaticCapabilityResolver()])
    assert {model.spec.provider for model in await registry.get_models()} == {"openai", "groq"}
    mini = await registry.find_model("openai", "gpt-4o-mini")
    assert mini is not None and mini.capabilities.max_context == 128_000
    assert (mini.capabilities.input_cost_per_1m, mini.capabilities.supports_vision) == (Decimal("0.15"), True)
    fast = await registry.find_best(requires_tools=True, provider="groq")
    assert fast is not None and "fast" in fast.capabilities.tags
    with_ollama = EnvProviderSource(include_ollama=True, environ={})
    assert [str(found) for found in await with_ollama.discover()] == ["ollama:llama3.2"]


@pytest.mark.parametrize(
    ("name", "provider"),
    [("ft:gpt-4o-mini-2024-07-18:org::id", "openai"), ("openai/gpt-4o-mini", "huggingface")],
)
def test_a_fine_tuned_or_resold_model_has_the_familys_capabilities_and_not_its_price(name: str, provider: str) -> None:
    known = StaticCapabilityResolver().lookup(spec(name, provider))
    assert known.supports_tools and known.max_context == 128_000
    assert known.input_cost_per_1m is None and known.output_cost_per_1m is None


def test_a_dated_name_is_its_model_and_an_unknown_one_is_unknown() -> None:
    table = StaticCapabilityResolver()
    assert table.lookup(spec("claude-3-haiku-20240307", "anthropic")).input_cost_per_1m == Decimal("0.25")
    assert table.lookup(spec("nobody-knows", "openai")) == ModelCapabilities()
    own = StaticCapabilityResolver({"openai/nobody-knows": ModelCapabilities(max_context=7)})
    assert own.lookup(spec("nobody-knows", "openai")).max_context == 7


@pytest.fixture
def ollama() -> Iterator[Upstream]:
    shown = {
        "llava:latest": {
            "details": {"family": "llama", "families": ["llama", "clip"], "parameter_size": "7.2B"},
            "model_info": {"general.architecture": "llama", "llama.context_length": 32768},
        },
        "big": {
            "details": {"family": "llama", "parameter_size": "70.6B"},
            "capabilities": ["completion", "tools"],
            "parameters": "stop x\nnum_ctx 8192",
            "model_info": {"general.architecture": "llama", "llama.context_length": 131072},
        },
    }

    def show(seen: SeenRequest) -> Any:
        return json_answer(shown[seen.json["model"]])

    with Upstream() as upstream:
        names = [{"name": name, "model": name, "details": row["details"]} for name, row in shown.items()]
        upstream.on("GET", "/api/tags", json_answer({"models": names}))
        upstream.on("POST", "/api/show", show)
        yield upstream


async def test_ollamas_models_are_found_and_introspected(ollama: Upstream) -> None:
    address = ollama.base_url
    registry = ModelRegistry(sources=[OllamaSource(address)], resolvers=[OllamaCapabilityResolver(address)])
    seen = await registry.find_best(requires_vision=True)
    assert seen is not None and seen.spec == spec("llava:latest", "ollama", family="llama", aliases=("llava",)), (
        registry.errors
    )
    assert (seen.capabilities.max_context, seen.capabilities.quality_tier) == (32768, QualityTier.CHEAP)
    big = await registry.find_model("ollama", "big")
    assert big is not None and big.capabilities.supports_tools is True and big.capabilities.supports_vision is False
    assert (big.capabilities.max_context, big.capabilities.quality_tier) == (8192, QualityTier.BALANCED)
    assert big.capabilities.input_cost_per_1m == 0 and registry.errors == {}


async def test_an_ollama_that_is_not_there_is_an_error_among_others() -> None:
    registry = ModelRegistry(
        sources=[OllamaSource(f"http://127.0.0.1:{unused_port()}"), Listed(spec("m"))], resolvers=[]
    )
    assert [str(model) for model in await registry.get_models()] == ["acme:m"]
    assert set(registry.errors) == {"OllamaSource"}


async def test_a_file_is_a_source() -> None:
    content = {"providers": [{"name": "p", "adapter": "vllm", "models": ["m"]}]}
    assert [str(found) for found in await RegistryJsonSource(content).discover()] == ["p:m"]


async def test_the_best_of_2000_models_is_found_where_only_the_dearest_fits() -> None:
    names = [f"m{n}" for n in range(2000)]
    table = Table(
        **{
            name: able("balanced", str(2000 - n), max_context=100 + n, supports_tools=True, supports_vision=n == 0)
            for n, name in enumerate(names)
        }
    )
    registry = ModelRegistry(sources=[Listed(*map(spec, names))], resolvers=[table])
    best = await registry.find_best(
        requires_tools=True, requires_vision=True, min_context=100, max_cost_per_1m_input=2000, provider="acme"
    )
    assert best is not None and best.spec.name == "m0"


async def test_a_query_and_its_explanation_agree() -> None:
    table = Table(
        a=able("best", "1", supports_tools=True, max_context=10),
        b=able("cheap", "9", supports_tools=False),
        c=able("cheap", None, supports_vision=True, max_context=99, tags={"t"}),
    )
    registry = ModelRegistry(sources=[Listed(*map(spec, "abc"))], resolvers=[table])
    queries: list[dict[str, Any]] = [
        {"requires_tools": True},
        {"requires_vision": True, "tags": ["t"]},
        {"min_context": 10},
        {"max_cost_per_1m_input": 1},
        {"max_cost_per_1m_output": 1},
        {"quality_tier": "cheap"},
        {"provider": "acme"},
    ]
    for asked in queries:
        fitting = {str(model) for model in await registry.query(**asked)}
        assert fitting == {name for name, why in (await registry.explain(**asked)).items() if not why}, asked


@pytest.mark.django_db(transaction=True)
def test_inside_the_hub_its_own_models_are_there_with_an_admins_word(monkeypatch: pytest.MonkeyPatch) -> None:
    from registry.discovery import model_registry
    from registry.discovery.hub import HubCapabilityResolver, HubSource
    from registry.models import LLMModel, Provider

    provider = Provider.objects.create(slug="openai", name="OpenAI", adapter="openai")
    row = LLMModel(provider=provider, model_id="gpt-4o", name="ours", aliases=["best"])
    row.set_capability("tools", "no", source="admin")
    row.save()
    LLMModel.objects.create(provider=provider, model_id="off", name="off", enabled=False)
    registry = ModelRegistry(sources=[HubSource()], resolvers=[StaticCapabilityResolver(), HubCapabilityResolver()])
    (model,) = registry.get_models_sync()
    assert registry.errors == {} and registry.find_model_sync("openai", "best") == model
    assert model.capabilities.supports_tools is False and model.capabilities.supports_vision is True
    monkeypatch.setattr(model_registry, "_shared", None)
    shared = get_registry_sync()
    assert shared is get_registry_sync()
    assert any(isinstance(source, HubSource) for source in shared.sources)
    assert isinstance(shared.resolvers[-1], HubCapabilityResolver)


def test_the_synchronous_forms_answer_the_same() -> None:
    registry = ModelRegistry(sources=[Listed(spec("m"))], resolvers=[Table(m=able(supports_tools=True))])
    best = registry.find_best_sync(requires_tools=True)
    assert best is not None and best == registry.find_model_sync("acme", "m")
    assert registry.query_sync(ModelQuery(requires_tools=True)) == registry.get_models_sync()


def test_it_needs_no_django() -> None:
    code = (
        "import asyncio, sys;"
        "from registry import ModelRegistry, EnvProviderSource, StaticCapabilityResolver, get_registry;"
        "r = ModelRegistry(sources=[EnvProviderSource(environ={'OPENAI_API_KEY': 'k'})],"
        " resolvers=[StaticCapabilityResolver()]);"
        "assert asyncio.run(r.find_best(requires_vision=True)); assert asyncio.run(get_registry()).resolvers;"
        "assert 'django' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=Path(__file__).parents[2])
