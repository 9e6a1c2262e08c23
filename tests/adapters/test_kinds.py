"""The table of adapter kinds and the merge of profiles."""

from __future__ import annotations

import pytest

from adapters.errors import ConfigurationError
from adapters.kinds import KINDS, get_kind, profile_for

FIXED_KINDS = (  # noqa: SIM905  # one line a reader can compare with the list of kinds
    "openai openai_compatible azure_openai anthropic anthropic_compat gemini ollama lmstudio vllm llamacpp huggingface "
    "openrouter groq mistral deepseek xai together stub"
).split()


def test_the_kinds_are_the_fixed_list() -> None:
    assert list(KINDS) == FIXED_KINDS


@pytest.mark.parametrize("kind", FIXED_KINDS)
def test_a_base_url_has_a_scheme_and_no_trailing_slash(kind: str) -> None:
    url = KINDS[kind].base_url
    assert url == "" or (url.startswith(("https://", "http://localhost")) and not url.endswith("/"))


def test_unknown_kind_names_the_kinds_there_are() -> None:
    with pytest.raises(ConfigurationError, match="openrouter"):
        get_kind("openia")


@pytest.mark.parametrize(
    ("model", "efforts", "sampling", "tools_while_reasoning"),
    [
        ("gpt-6-astra", ("low", "medium", "high", "xhigh"), False, False),
        ("gpt-6.1-terra", ("none", "low", "medium", "high", "xhigh"), True, False),
        ("gpt-5.6-luna-2026-08-01", ("none", "low", "medium", "high", "xhigh"), True, False),
        ("gpt-5.4-pro", ("medium", "high", "xhigh"), False, False),
        ("gpt-5.3-codex", ("none", "minimal", "low", "medium", "high", "xhigh"), True, True),
        ("gpt-5-2025-08-07", ("minimal", "low", "medium", "high"), False, True),
        ("o4-mini", ("low", "medium", "high"), False, True),
        ("ft:gpt-4o:acme", (), True, True),
        ("gpt-50", None, True, True),  # a longer name is another family
        ("somebody/gpt-5", None, True, True),
    ],
)
def test_openai_families(
    model: str, efforts: tuple[str, ...] | None, sampling: bool, tools_while_reasoning: bool
) -> None:
    profile = profile_for("openai", model)
    assert profile.reasoning_efforts == efforts
    assert profile.supports_sampling is sampling
    assert profile.supports_tools_while_reasoning is tools_while_reasoning
    assert profile.max_tokens_field == "max_completion_tokens"


def test_openai_family_rules_stay_with_openai() -> None:
    assert profile_for("openrouter", "gpt-5").supports_sampling


def test_an_override_wins_and_none_inherits() -> None:
    profile = profile_for("openai", "gpt-5", {"supports_stop": True, "system_role": None})
    assert profile.supports_stop
    assert profile.system_role == "developer"


def test_an_override_of_no_field_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="supports_magic"):
        profile_for("openai", "gpt-5", {"supports_magic": True})


def test_the_effort_map_ends_at_accepted_values() -> None:
    for row in KINDS.values():
        for family in row.families:
            profile = row.profile.override(family.changes)
            if profile.reasoning_efforts:
                assert set(profile.effort_map.values()) <= set(profile.reasoning_efforts), family.pattern.pattern
