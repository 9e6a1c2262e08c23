"""What the environment gives: names old and new, malformed values, and whose key goes where."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import ConfigurationError
from adapters.kinds import KINDS
from registry.catalog import targets
from registry.catalog.dict_registry import DictRegistry
from registry.catalog.entries import CredentialEntry, LLMTier, ProviderEntry
from registry.catalog.environment import (
    default_timeout_s,
    environment_entries,
    environment_key,
    key_variable,
    override_of,
    variable_part,
)

OPENAI = ProviderEntry(id=1, slug="openai", kind="openai", base_url="https://api.openai.com/v1")


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The process's own environment, read afresh before and after."""
    targets.override_for.cache_clear()
    yield monkeypatch
    targets.override_for.cache_clear()


def test_the_hubs_own_names_give_all_four_values() -> None:
    found = override_of(
        "my-llm",
        {
            "LLMHUB_LLM_MY_LLM_BASE_URL": " https://llm.example/v1 ",
            "LLMHUB_LLM_MY_LLM_API_KEY": "sk-planted-1\n",
            "LLMHUB_LLM_MY_LLM_HEADERS": '{"X-Title": "hub"}',
            "LLMHUB_LLM_MY_LLM_TIMEOUT": "2.5",
        },
    )
    assert (found.base_url, found.api_key, found.timeout_s) == ("https://llm.example/v1", "sk-planted-1", 2.5)
    assert found.headers == {"X-Title": "hub"}
    assert len(found.variables) == 4
    assert "sk-planted" not in repr(found) and "hub" not in repr(found).replace("LLMHUB", "")


@pytest.mark.parametrize(
    ("slug", "name"),
    [
        ("openai", "OPENAI_PUBLIC"),
        ("anthropic", "ANTHROPIC_PUBLIC"),
        ("gemini", "GOOGLE_GEMINI"),
        ("azure-openai", "AZURE_OPENAI"),
        ("openrouter", "OPENROUTER"),
        ("lmstudio", "LMSTUDIO"),
    ],
)
@pytest.mark.parametrize("prefix", ["LLMHUB_LLM_", "COMFYVN_LLM_"])
def test_older_names_are_read(slug: str, name: str, prefix: str) -> None:
    found = override_of(slug, {f"{prefix}{name}_API_KEY": "k", f"{prefix}{name}_BASE_URL": "https://x.example"})
    assert (found.api_key, found.base_url) == ("k", "https://x.example")


def test_the_hubs_own_name_goes_before_older_ones() -> None:
    env = {"COMFYVN_LLM_OPENAI_API_KEY": "4", "COMFYVN_LLM_OPENAI_PUBLIC_API_KEY": "3"}
    assert override_of("openai", env).api_key == "3"
    assert override_of("openai", env | {"LLMHUB_LLM_OPENAI_API_KEY": "1"}).api_key == "1"


@pytest.mark.parametrize("value", ["", " ", "\t\n"])
@pytest.mark.parametrize("suffix", ["BASE_URL", "API_KEY", "HEADERS", "TIMEOUT"])
def test_an_empty_variable_says_nothing(suffix: str, value: str) -> None:
    found = override_of("openai", {f"LLMHUB_LLM_OPENAI_{suffix}": value})
    assert found.is_empty
    assert (found.base_url, found.api_key, found.timeout_s, dict(found.headers)) == (None, None, None, {})


@pytest.mark.parametrize("slug", ["a.b", "a-b", "A_B"])
def test_a_slug_becomes_a_variable(slug: str) -> None:
    assert variable_part(slug) == "A_B"


MALFORMED = [
    ("TIMEOUT", "sk-planted-oops"),
    ("TIMEOUT", "0"),
    ("TIMEOUT", "-1"),
    ("TIMEOUT", "nan"),
    ("TIMEOUT", "inf"),
    ("TIMEOUT", "3600.1"),
    ("HEADERS", '{"X": sk-planted-oops'),
    ("HEADERS", '{"X": 5, "Y": "sk-planted-oops"}'),
    ("HEADERS", "sk-planted-oops"),
    ("HEADERS", "X: a; sk-planted-oops"),
    ("HEADERS", '{"X": "sk-planted-oops\\nY: b"}'),
]


@pytest.mark.parametrize(("suffix", "value"), MALFORMED)
def test_a_malformed_value_is_named_by_variable_and_never_shown(suffix: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        override_of("openai", {f"COMFYVN_LLM_OPENAI_PUBLIC_{suffix}": value})
    assert f"COMFYVN_LLM_OPENAI_PUBLIC_{suffix}" in str(caught.value)
    assert "sk-planted" not in "".join(traceback.format_exception(caught.value))


def test_headers_may_be_a_list_of_names_and_values() -> None:
    text = "X-Title: hub; HTTP-Referer: https://hub.example ;"
    found = override_of("openai", {"LLMHUB_LLM_OPENAI_HEADERS": text})
    assert found.headers == {"X-Title": "hub", "HTTP-Referer": "https://hub.example"}


def test_the_default_timeout_has_both_names() -> None:
    assert default_timeout_s({}) is None
    assert default_timeout_s({"COMFYVN_LLM_DEFAULT_TIMEOUT": "7"}) == 7
    assert default_timeout_s({"COMFYVN_LLM_DEFAULT_TIMEOUT": "7", "LLMHUB_LLM_DEFAULT_TIMEOUT": "8"}) == 8
    with pytest.raises(ConfigurationError, match="LLMHUB_LLM_DEFAULT_TIMEOUT"):
        default_timeout_s({"LLMHUB_LLM_DEFAULT_TIMEOUT": "soon"})


@pytest.mark.parametrize(
    "base_url",
    [
        "https://canary.example/v1",
        "http://api.openai.com/v1",
        "https://api.openai.com:8443/v1",
        "https://api.openai.com.canary.example/v1",
        "https://api.openai.com@canary.example/v1",
        "nonsense",
        "",
    ],
)
def test_a_vendors_key_goes_to_the_vendors_origin_alone(base_url: str) -> None:
    env = {"OPENAI_API_KEY": "sk-planted-1"}
    elsewhere = ProviderEntry(id=1, slug="proxy", kind="openai", base_url=base_url)
    assert environment_key(OPENAI, env) == "sk-planted-1"
    assert environment_key(elsewhere, env) is None
    moved = env | {"LLMHUB_LLM_OPENAI_BASE_URL": base_url}
    assert environment_key(OPENAI, moved) == ("sk-planted-1" if not base_url else None)


def test_a_vendors_key_is_not_for_personal_providers() -> None:
    mine = ProviderEntry(id=1, slug="openai", kind="openai", base_url=OPENAI.base_url, owner_id=7)
    assert environment_key(mine, {"OPENAI_API_KEY": "sk-planted-1"}) is None


def test_an_overridden_address_takes_the_key_given_for_it() -> None:
    env = {"LLMHUB_LLM_OPENAI_BASE_URL": "https://proxy.example/v1", "LLMHUB_LLM_OPENAI_API_KEY": "proxy-key"}
    assert environment_key(OPENAI, env | {"OPENAI_API_KEY": "sk-planted-1"}) == "proxy-key"


def test_stored_keys_never_go_to_an_address_from_the_environment(environ: pytest.MonkeyPatch) -> None:
    credential = CredentialEntry(id=1, provider_id=1, origin="https://api.openai.com:443")
    assert targets.stored_keys_allowed(OPENAI)
    targets.check_bound(credential, OPENAI)
    environ.setenv("COMFYVN_LLM_OPENAI_PUBLIC_BASE_URL", "https://canary.example/v1")
    targets.override_for.cache_clear()
    assert not targets.stored_keys_allowed(OPENAI)
    assert targets.address_of(OPENAI) == "https://canary.example/v1"
    with pytest.raises(ConfigurationError):
        targets.check_bound(credential, OPENAI)
    mine = ProviderEntry(id=2, slug="openai", kind="openai", base_url=OPENAI.base_url, owner_id=7)
    assert targets.stored_keys_allowed(mine) and targets.address_of(mine) == OPENAI.base_url


@pytest.mark.parametrize("origin", ["", "https://canary.example:443", "http://api.openai.com:80"])
def test_a_key_of_another_origin_is_not_bound_here(origin: str) -> None:
    with pytest.raises(ConfigurationError):
        targets.check_bound(CredentialEntry(id=1, provider_id=1, origin=origin), OPENAI)


# --- an old .env by itself --------------------------------------------------------------------------------------------

SEED_TABLE = {  # tier: OpenAI, Anthropic, Groq, Ollama
    LLMTier.ECONOMY: ("GPT-3.5 Turbo", "Claude 3 Haiku", "Llama 3.3 70B", None),
    LLMTier.STANDARD: ("GPT-4o-mini", "Claude 3.5 Sonnet", None, None),
    LLMTier.PREMIUM: ("GPT-4o", "Claude 3 Opus", None, None),
    LLMTier.LOCAL: (None, None, None, "Ollama"),
}
VENDORS: dict[str, dict[str, str]] = {
    "openai": {"OPENAI_API_KEY": "k1"},
    "anthropic": {"ANTHROPIC_API_KEY": "k2"},
    "groq": {"GROQ_API_KEY": "k3"},
    "ollama": {"OLLAMA_HOST": "127.0.0.1:11434"},
}


def test_the_table_of_tiers_is_the_documented_one() -> None:
    """The page that asked for it, where this machine has it, has the same cells."""
    for number, (vendor, env) in enumerate(VENDORS.items()):
        registry = DictRegistry.from_env(env)
        for tier, row in SEED_TABLE.items():
            found = registry.get_by_tier(tier)
            assert (found.name if found else None) == row[number], (vendor, tier)
    pages = sorted((Path(__file__).parents[3] / "shared" / "seeds").glob("004*"))
    if pages:
        text = pages[0].read_text()
        for row in SEED_TABLE.values():
            assert all(f"- {name}\n" in text for name in row if name)


def test_all_vendors_together_have_ids_of_their_own_and_the_cheapest_answers() -> None:
    env: dict[str, str] = {}
    for given in VENDORS.values():
        env |= given
    registry = DictRegistry.from_env(env)
    entries = registry.list_active()
    assert sorted(entry.id for entry in entries) == list(range(1, len(entries) + 1))  # type: ignore[type-var]  # ids are numbers here
    assert registry.get_by_tier("standard").name == "GPT-4o-mini"  # type: ignore[union-attr]  # None would fail the test
    assert registry.get_by_tier("local").api_key is None  # type: ignore[union-attr]  # None would fail the test
    with pytest.raises(ValueError):
        registry.get_by_tier("luxury")


def test_no_key_no_model() -> None:
    registry = DictRegistry.from_env({"OPENAI_API_KEY": " ", "PATH": "/bin"})
    assert registry.list_active() == [] and registry.get_default() is None
    assert registry.get_by_name("gpt-4o") is None and registry.get_by_id(1) is None


def test_an_entrys_key_is_not_in_its_repr() -> None:
    for entry in environment_entries({"OPENAI_API_KEY": "sk-planted-1"}):
        assert entry.api_key == "sk-planted-1" and "sk-planted" not in repr(entry)


def test_an_old_env_does_not_send_the_vendors_key_to_another_address() -> None:
    env = {"OPENAI_API_KEY": "sk-planted-1", "LLMHUB_LLM_OPENAI_BASE_URL": "https://canary.example/v1"}
    assert environment_entries(env) == []
    [first, *_] = environment_entries(env | {"LLMHUB_LLM_OPENAI_API_KEY": "proxy-key"})
    assert (first.api_key, first.api_endpoint) == ("proxy-key", "https://canary.example/v1")
    [first, *_] = environment_entries(env | {"LLMHUB_LLM_OPENAI_BASE_URL": "https://api.openai.com/v2"})
    assert (first.api_key, first.api_endpoint) == ("sk-planted-1", "https://api.openai.com/v2")


def test_a_vendors_own_address_variable_goes_with_its_key() -> None:
    [first, *_] = environment_entries({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://eu.api.openai.com/v1"})
    assert (first.api_key, first.api_endpoint) == ("k", "https://eu.api.openai.com/v1")


def test_a_named_ollama_gives_a_free_local_model() -> None:
    [entry] = environment_entries({"OLLAMA_HOST": "box:11434", "OLLAMA_MODEL": "qwen3"})
    assert (entry.model, entry.api_endpoint, entry.tier) == ("qwen3", "http://box:11434", LLMTier.LOCAL)
    price = entry.price_at()
    assert price is not None and price.rates["input_per_1m"] == 0
    assert entry.endpoint is not None and entry.endpoint.auth_type == "none"


def test_every_vendor_of_the_environment_is_a_kind() -> None:
    everything: dict[str, Any] = {name: "k" for kind in KINDS.values() for name in kind.api_key_env}
    found = {entry.provider for entry in environment_entries(everything)}
    assert found == {"openai", "anthropic", "groq", "gemini", "mistral", "deepseek", "openrouter"}


def test_the_variable_that_holds_a_key_is_named_by_older_names_too() -> None:
    openai = ProviderEntry(id=1, slug="openai", kind="openai", base_url="https://api.openai.com/v1")
    elsewhere = replace(openai, base_url="https://proxy.example/v1")
    older = {"COMFYVN_LLM_OPENAI_PUBLIC_API_KEY": "sk-1"}
    vendor = {"OPENAI_API_KEY": "sk-2"}
    assert key_variable(openai, older) == "COMFYVN_LLM_OPENAI_PUBLIC_API_KEY"
    assert key_variable(openai, vendor) == "OPENAI_API_KEY"
    assert key_variable(elsewhere, vendor) is None, "a vendor's key is not offered to another address"
    assert key_variable(elsewhere, older) == "COMFYVN_LLM_OPENAI_PUBLIC_API_KEY"
    assert key_variable(openai, {}) is None
