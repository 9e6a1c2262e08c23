"""registry.json as values: both shapes of defaults, what is not understood, the environment, and no Django."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adapters import adapter_from_config
from registry.catalog.dict_registry import DictRegistry
from registry.catalog.registry_json import (
    CAPABILITY_NAMES,
    PRICE_NAMES,
    RegistryFileError,
    iter_models,
    iter_providers,
    load_registry,
    resolve_provider,
    write_registry,
)
from registry.models import CAPABILITIES, PRICE_FIELDS

CONTENT: dict[str, Any] = {
    "providers": [
        {
            "name": "lmstudio_local",
            "adapter": "lmstudio",
            "base": "http://127.0.0.1:1234/v1",
            "models": [{"id": "qwen", "tags": ["chat", "json"]}, "phi"],
            "tags": ["local"],
            "headers": {"X-Title": "ComfyVN", "Authorization": "Bearer PLANTED-header"},
            "settings": {"api_version": "1", "api_key": "PLANTED-setting"},
            "meta": {"label": "LM Studio"},
            "colour": "blue",
        },
        {
            "name": "openai_public",
            "adapter": "openai_compat",
            "base": "https://api.openai.com/v1",
            "api_key": "PLANTED-key",
            "models": [
                {
                    "id": "gpt-4o",
                    "tags": ["translate"],
                    "capabilities": {"tools": True, "json": "yes", "telepathy": True},
                    "cost_per_1k_input": 0.0025,
                    "context_length": 128000,
                    "mood": 1,
                }
            ],
        },
    ],
    "defaults": {
        "provider": "openai_public",
        "model": "gpt-4o",
        "chat": "lmstudio_local/qwen",
        "long-context": {"provider": "openai_public"},
        "modules": {"translate": {"provider": "openai_public", "model": "gpt-4o", "options": {"temperature": 0.1}}},
    },
    "flavour": "sweet",
}


def test_both_shapes_of_defaults_are_one() -> None:
    defaults = load_registry(CONTENT).defaults
    assert (defaults.provider, defaults.model) == ("openai_public", "gpt-4o")
    found = {
        name: [(rank.provider, rank.model) for rank in module.entries] for name, module in defaults.modules.items()
    }
    assert found == {
        "chat": [("lmstudio_local", "qwen")],
        "long-context": [("openai_public", "gpt-4o")],
        "translate": [("openai_public", "gpt-4o")],
    }
    assert defaults.modules["translate"].entries[0].options == {"temperature": 0.1}


def test_every_field_that_is_not_understood_is_named() -> None:
    assert set(load_registry(CONTENT).not_understood) == {
        "flavour",
        "providers[0].colour",
        "providers[1].models[0].mood",
        "providers[1].models[0].capabilities.telepathy",
    }


def test_secrets_are_named_and_never_written() -> None:
    file = load_registry(CONTENT)
    assert set(file.withheld) == {
        "providers[0].headers.Authorization",
        "providers[0].settings",
        "providers[1].api_key",
    }
    text = write_registry(file)
    assert "PLANTED" not in text and "PLANTED" not in repr(file)
    assert '"X-Title": "ComfyVN"' in text


def test_a_password_in_an_address_is_named_and_not_written() -> None:
    file = load_registry({"providers": [{"name": "a", "base": "https://me:PLANTED@host.example/v1"}]})
    assert file.withheld == ("providers[0].base",)
    assert "PLANTED" not in write_registry(file) and "https://host.example/v1" in write_registry(file)


def test_what_is_written_reads_the_same_again() -> None:
    once = write_registry(load_registry(CONTENT))
    assert write_registry(load_registry(json.loads(once))) == once
    assert load_registry(json.loads(once)).not_understood == ()


def test_providers_and_models_are_found_by_tag() -> None:
    assert [row.name for row in iter_providers(CONTENT, tag="local")] == ["lmstudio_local"]
    assert [model.id for _, model in iter_models(source=CONTENT, tag="local")] == ["phi"]
    assert [model.id for _, model in iter_models("openai_public", CONTENT)] == ["gpt-4o"]
    assert "openai" in [row.name for row in iter_providers()]


def test_a_provider_is_resolved_with_the_environments_word() -> None:
    env = {"COMFYVN_LLM_LMSTUDIO_LOCAL_TIMEOUT": "7", "LLMHUB_LLM_LMSTUDIO_LOCAL_HEADERS": '{"X-Title": "ours"}'}
    found = resolve_provider("lmstudio_local", CONTENT, environ=env)
    assert (found.timeout_s, found.headers["X-Title"], found.base) == (7.0, "ours", "http://127.0.0.1:1234/v1")
    assert adapter_from_config(found.config()).target.model == "qwen"
    assert resolve_provider(None, CONTENT, environ={}).name == "openai_public"
    with pytest.raises(LookupError, match="lmstudio_local, openai_public"):
        resolve_provider("nothing", CONTENT, environ={})


def test_another_address_from_the_environment_gets_no_key_of_the_file() -> None:
    env = {"LLMHUB_LLM_OPENAI_PUBLIC_BASE_URL": "https://elsewhere.example/v1"}
    assert resolve_provider("openai_public", CONTENT, environ={}).api_key == "PLANTED-key"
    assert resolve_provider("openai_public", CONTENT, environ=env).api_key is None
    env = {"LLMHUB_LLM_LMSTUDIO_LOCAL_BASE_URL": "https://elsewhere.example/v1"}
    assert resolve_provider("lmstudio_local", CONTENT, environ=env).headers == {"X-Title": "ComfyVN"}


def test_a_dict_registry_holds_the_files_models(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    path.write_text(json.dumps(CONTENT))
    registry = DictRegistry.from_registry_json(path, environ={"LLMHUB_LLM_OPENAI_PUBLIC_API_KEY": "from-env"})
    default = registry.get_default()
    assert default is not None and (default.id, default.api_key) == ("openai_public/gpt-4o", "from-env")
    assert default.capability("json_mode") == default.capability("tools") == "yes"
    price = default.price_at()
    assert price is not None and price.rates["input_per_1m"] == 2.5
    local = registry.get_by_tier("local")
    assert local is not None and local.provider == "lmstudio_local"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({}, "providers"),
        ({"providers": [{"adapter": "openai"}]}, r"providers\[0\] needs a name"),
        ({"providers": [{"name": "a", "adapter": "telex"}]}, r"providers\[0\].adapter"),
        ({"providers": [{"name": "a", "base": "localhost:1234/v1"}]}, r"providers\[0\].base"),
        ({"providers": [{"name": "a", "headers": {"X": 1}}]}, r"providers\[0\].headers"),
        ({"providers": [{"name": "a", "models": [{"tier": "x", "id": "m"}]}]}, r"models\[0\].tier"),
        ({"providers": [{"name": "a"}, {"name": "a"}]}, "twice"),
        ({"providers": [], "defaults": {"chat": {"provider": "a"}}}, "defaults.chat"),
        ([], "object"),
    ],
)
def test_what_cant_be_read_is_refused_by_place(content: Any, place: str, tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    path.write_text(json.dumps(content))
    with pytest.raises(RegistryFileError, match=place):
        load_registry(path)


def test_the_names_are_the_records_own() -> None:
    assert set(CAPABILITIES) == CAPABILITY_NAMES
    assert set(PRICE_FIELDS) == PRICE_NAMES


def test_it_needs_no_django() -> None:
    code = (
        "import sys; from registry.catalog.registry_json import iter_models; from registry import DictRegistry;"
        "assert next(iter_models()); DictRegistry.from_registry_json({'providers': []});"
        "assert 'django' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=Path(__file__).parents[2])
