"""What naming a model costs at 100, 1,000, 10,000 and 100,000 models, and `find_best` on 2,000. Prints JSON.

python -m benchmarks.resolution
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import django

SIZES = (100, 1_000, 10_000, 100_000)
ROUNDS, CALLS = 7, 300


def _entries(count: int) -> list[Any]:
    from registry.catalog.entries import ALWAYS, LLMEntry, LLMTier, PriceEntry, ProviderEntry

    endpoint = ProviderEntry(id="p", slug="bench", kind="ollama", base_url="http://127.0.0.1:1", auth_type="none")
    tiers = tuple(LLMTier)
    price = {"input_per_1m": Decimal(1), "output_per_1m": Decimal(2)}
    return [
        LLMEntry(
            id=number,
            name=f"model-{number}",
            provider="bench",
            model=f"up-{number}",
            aliases=(f"alias-{number}",),
            tier=tiers[number % len(tiers)],
            endpoint=endpoint,
            prices=(PriceEntry(id=number, effective_from=ALWAYS, rates=price),),
        )
        for number in range(count)
    ]


def resolution_us() -> dict[str, dict[int, float]]:
    """Microseconds of processor time for one resolution, the best of several rounds; the sizes take turns."""
    from registry.access.principals import Principal
    from registry.catalog.index import EntryIndex
    from registry.catalog.snapshot import Snapshot
    from registry.routing.resolve import Ask, resolve

    snapshots: dict[int, Any] = {}
    for size in SIZES:
        snapshots[size] = Snapshot()
        snapshots[size].index = EntryIndex(_entries(size))
    who = Principal(user_id=1)
    asks: dict[str, Callable[[int], Ask]] = {
        "name": lambda size: Ask(model=f"model-{size // 2}"),
        "alias": lambda size: Ask(model=f"alias-{size // 2}"),
        "tier": lambda size: Ask(model="tier:standard"),
    }
    found: dict[str, dict[int, float]] = {kind: dict.fromkeys(SIZES, float("inf")) for kind in asks}
    for _ in range(ROUNDS):
        for kind, ask_for in asks.items():
            for size, snapshot in snapshots.items():
                ask = ask_for(size)
                assert resolve(snapshot, ask, who).candidates
                started = time.thread_time()
                for _ in range(CALLS):
                    resolve(snapshot, ask, who)
                took_us = (time.thread_time() - started) / CALLS * 1e6
                found[kind][size] = min(found[kind][size], took_us)
    return found


class _Listed:
    def __init__(self, specs: list[Any]) -> None:
        self.specs = specs

    async def discover(self) -> list[Any]:
        return self.specs


class _Table:
    def __init__(self, known: dict[str, Any]) -> None:
        self.known = known

    async def get_capabilities(self, spec: Any) -> Any:
        return self.known[spec.name]


async def find_best_ms() -> float:
    """Milliseconds of processor time to find the dearest of 2,000 models, so that all others are looked at."""
    from registry import ModelCapabilities, ModelRegistry, ModelSpec, QualityTier

    specs = [ModelSpec(provider="acme", name=f"m{n}") for n in range(2000)]
    known = {
        f"m{n}": ModelCapabilities(
            quality_tier=QualityTier.BALANCED,
            input_cost_per_1m=Decimal(2000 - n),
            max_context=100 + n,
            supports_tools=True,
            supports_vision=n == 0,
        )
        for n in range(2000)
    }
    registry = ModelRegistry(sources=[_Listed(specs)], resolvers=[_Table(known)])
    await registry.get_models()
    best = float("inf")
    for _ in range(20):
        started = time.thread_time()
        found = await registry.find_best(
            requires_tools=True, requires_vision=True, min_context=100, max_cost_per_1m_input=2000, provider="acme"
        )
        best = min(best, (time.thread_time() - started) * 1000)
        assert found is not None and found.spec.name == "m0"
    return best


if __name__ == "__main__":
    django.setup()
    print(json.dumps({"resolution_us": resolution_us(), "find_best_ms": asyncio.run(find_best_ms())}))
