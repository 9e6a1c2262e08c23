"""One's own layers: overrides in YAML, dotted-path sources and resolvers, another hub as a source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters import EgressPolicy, Transport, create_adapter
from registry import (
    ModelCapabilities,
    ModelRegistry,
    ModelSpec,
    OverridesResolver,
    RemoteHubResolver,
    RemoteHubSource,
    StaticCapabilityResolver,
)
from registry.catalog.entries import ALWAYS, LLMEntry, PriceEntry
from registry.discovery.overrides import OverridesFileError, read_overrides
from registry.discovery.plugins import PluginError, load_resolvers, load_sources
from registry.gateway.models import encode_model
from tests.upstream import Upstream, json_answer

SEED = """
models:
  - provider: custom_proxy
    name: llama-3-custom
    capabilities:
      max_context: 100000
      supports_tools: true
      input_cost_per_1m: 0.0  # Internal proxy
"""


class TwoModels:
    """A source of one's own, as a person would write it."""

    async def discover(self) -> list[ModelSpec]:
        return [
            ModelSpec(provider="custom_proxy", name="llama-3-custom"),
            ModelSpec(provider="openai", name="ft:gpt-4o-mini:acme::1"),
        ]


class Fast:
    async def get_capabilities(self, spec: ModelSpec) -> ModelCapabilities:
        return ModelCapabilities(speed_hint_tps=300.0) if spec.provider == "custom_proxy" else ModelCapabilities()


async def test_the_seeds_overrides_file_is_the_last_word(tmp_path: Path) -> None:
    path = tmp_path / "model_overrides.yaml"
    path.write_text(SEED)
    resolver = OverridesResolver(path)
    registry = ModelRegistry(sources=[TwoModels()], resolvers=[StaticCapabilityResolver(), Fast(), resolver])
    found = await registry.find_model("custom_proxy", "llama-3-custom")
    assert found is not None
    known = found.capabilities
    assert (known.max_context, known.supports_tools, known.input_cost_per_1m) == (100_000, True, Decimal("0.0"))
    assert known.supports_vision is None, "what nobody says stays unknown"
    assert (known.sources["supports_tools"], known.sources["speed_hint_tps"]) == ("OverridesResolver", "Fast")
    tuned = await registry.find_model("openai", "ft:gpt-4o-mini:acme::1")
    assert tuned is not None and tuned.capabilities.supports_tools is True
    assert tuned.capabilities.input_cost_per_1m is None, "a fine-tuned model has its family's abilities, not its price"
    path.write_text(SEED.replace("100000", "200000").replace("llama-3-custom", "llama-*"))
    assert resolver.lookup(found.spec).max_context == 200_000, "the file is read again when it changed"


async def test_a_file_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    spec = ModelSpec(provider="p", name="m")
    assert await OverridesResolver(tmp_path / "none.yaml").get_capabilities(spec) == ModelCapabilities()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("models: [", "YAML"),
        ("- a", "'models'"),
        ("models:\n  - provider: x", r"models\[0\] needs a name"),
        ("models:\n  - name: x\n    surprise: 1", "surprise"),
        ("models:\n  - name: x\n    capabilities: {tools: true}", "tools"),
        ("models:\n  - name: x\n    capabilities: {supports_tools: maybe}", "supports_tools"),
        ("models:\n  - name: x\n    capabilities: {max_context: -1}", "max_context"),
    ],
)
def test_a_broken_overrides_file_is_refused_by_place(text: str, place: str) -> None:
    with pytest.raises(OverridesFileError, match=place):
        read_overrides(text)


async def test_a_broken_overrides_file_hides_no_other_layer(tmp_path: Path) -> None:
    path = tmp_path / "o.yaml"
    path.write_text("models: 7")
    registry = ModelRegistry(sources=[TwoModels()], resolvers=[Fast(), OverridesResolver(path)])
    found = await registry.find_model("custom_proxy", "llama-3-custom")
    assert found is not None and found.capabilities.speed_hint_tps == 300.0
    assert isinstance(registry.errors["OverridesResolver"], OverridesFileError)


def test_sources_and_resolvers_load_by_dotted_path() -> None:
    here = "tests.discovery.test_own_layers"
    assert isinstance(load_sources([f"{here}.TwoModels"])[0], TwoModels)
    assert isinstance(load_resolvers([f"{here}:Fast"])[0], Fast)
    for path in (f"{here}.Nothing", "no.such.module.Thing", f"{here}.Fast"):
        with pytest.raises(PluginError, match=path):
            load_sources([path])


def test_the_hubs_registry_holds_the_configured_layers(settings: Any, tmp_path: Path, db: None) -> None:
    settings.LLMHUB_MODEL_SOURCES = ["tests.discovery.test_own_layers.TwoModels"]
    settings.LLMHUB_CAPABILITY_RESOLVERS = ["tests.discovery.test_own_layers.Fast"]
    settings.LLMHUB_MODEL_OVERRIDES = tmp_path / "o.yaml"
    settings.LLMHUB_MODEL_OVERRIDES.write_text(SEED)
    registry = ModelRegistry()
    names = [type(part).__name__ for part in (*registry.sources, *registry.resolvers)]
    assert names.index("HubSource") < names.index("TwoModels")
    assert names.index("Fast") < names.index("OverridesResolver") < names.index("HubCapabilityResolver")


# --- another hub ------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub() -> Iterator[Upstream]:
    """A central hub's list, written by the encoder that the lane answers with."""
    entry = LLMEntry(
        id=1,
        name="house-model",
        provider="acme",
        model="m",
        family="acme-1",
        aliases=("hm",),
        tags=frozenset({"chat"}),
        capabilities={"tools": "yes", "vision": "no"},
        context_length=64_000,
        speed_tps=80.5,
        prices=(PriceEntry(id=1, effective_from=ALWAYS, rates={"input_per_1m": Decimal("2.5")}),),
    )
    with Upstream() as server:
        server.on("GET", "/v1/models", json_answer(json.loads(json.dumps({"data": [encode_model(entry)]}))))
        yield server


async def test_another_hub_gives_its_models_with_all_that_it_knows(hub: Upstream) -> None:
    transport = Transport()
    adapter = create_adapter(
        "openai_compatible",
        base_url=f"{hub.base_url}/v1",
        api_key="llmhub_planted",
        provider="central",
        policy=EgressPolicy.local(),
        transport=transport,
    )
    registry = ModelRegistry(sources=[RemoteHubSource(adapter=adapter)], resolvers=[RemoteHubResolver(adapter=adapter)])
    found = await registry.find_model("central", "hm")
    await transport.aclose()
    assert registry.errors == {} and found is not None
    known = found.capabilities
    assert (found.spec.name, found.spec.family) == ("house-model", "acme-1")
    assert (known.supports_tools, known.supports_vision, known.supports_reasoning) == (True, False, None)
    assert (known.max_context, known.input_cost_per_1m, known.speed_hint_tps) == (64_000, Decimal("2.5"), 80.5)
    assert known.tags == {"chat"}
    assert hub.requests[0].headers["authorization"] == "Bearer llmhub_planted"
