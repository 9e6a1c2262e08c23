"""No key or address of this machine's environment gets into a resolution."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from registry.catalog import targets


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OLLAMA_HOST", "OLLAMA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    targets.override_for.cache_clear()
    yield
    targets.override_for.cache_clear()
