"""What the documents say is so: examples run, named tests are there, tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adapters.kinds import KINDS
from registry.catalog.environment import OLDER_NAMES
from registry.catalog.presets_data import PRESETS
from registry.catalog.prompt_packs_data import PROMPT_PACKS

ROOT = Path(__file__).resolve().parents[2]
HOOKS = (ROOT / "docs/hooks.md").read_text()
EXAMPLES = re.findall(r"^## ([^\n]+)\n.*?```python\n(.*?)```", HOOKS, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("title", [title for title, _ in EXAMPLES])
def test_the_hooks_examples_run(title: str) -> None:
    exec(compile(dict(EXAMPLES)[title], f"docs/hooks.md: {title}", "exec"), {"__name__": "example"})


def test_every_hook_has_an_example() -> None:
    assert len(EXAMPLES) == HOOKS.count("```python") == HOOKS.count("\n## ")
    for word in ("source", "resolver", "adapter", "context provider"):
        assert any(word in title for title, _ in EXAMPLES), word


def test_every_promise_names_a_test_that_is_there() -> None:
    rows = [line for line in (ROOT / "docs/seeds.md").read_text().splitlines() if line.startswith("| ")]
    rows = [line for line in rows if line != "| promise | shown by |"]
    assert len(rows) > 60
    for line in rows:
        found = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", line)
        assert found, line
        for path, name in found:
            assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{name}"


def test_the_recommendations_name_every_module() -> None:
    text = (ROOT / "docs/recommendations.md").read_text()
    for preset in PRESETS:
        assert f"| `{preset.module}` |" in text, preset.module
    for pack in PROMPT_PACKS:
        assert f"`{pack.module}`" in text, pack.module
        fields = ", ".join(pack.output_schema["properties"])
        assert pack.module == "pov-rewrite" or f"{{{fields}}}" in text, pack.module
    for older in OLDER_NAMES.values():
        assert f"COMFYVN_LLM_{older}_API_KEY" in text
    for kind in ("openai", "anthropic", "gemini", "azure_openai", "openrouter"):
        assert any(f"`{name}`" in text for name in KINDS[kind].api_key_env), kind
