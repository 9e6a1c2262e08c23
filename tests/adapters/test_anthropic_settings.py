"""What an Anthropic request says besides its turns: tools, formats, thinking, sampling and the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.errors import UnsupportedFeatureError
from adapters.kinds import profile_for
from adapters.types import (
    ChatRequest,
    JsonFormat,
    JsonSchemaFormat,
    NamedTool,
    ToolDefinition,
)
from tests.adapters.test_anthropic_requests import CODEC, HELLO, TOOL, asked, body_of, build, said, target_for, text

# --- tools and formats ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        ("auto", None, {"type": "auto"}),
        ("required", None, {"type": "any"}),
        ("none", False, {"type": "none"}),
        (NamedTool(name="add"), None, {"type": "tool", "name": "add"}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
    ],
)
def test_tool_choice(choice: Any, parallel: bool | None, expected: Any) -> None:
    assert asked(tools=(TOOL,), tool_choice=choice, parallel_tool_calls=parallel).get("tool_choice") == expected


def test_a_choice_without_tools_is_not_sent() -> None:
    assert "tool_choice" not in asked(tool_choice="auto")


def test_a_model_that_can_not_be_forced_refuses() -> None:
    with pytest.raises(UnsupportedFeatureError) as raised:
        asked("claude-opus-5-5", tools=(TOOL,), tool_choice="required")
    assert raised.value.param == "tool_choice"


def test_a_tools_name_anthropic_refuses_is_refused_before_the_call() -> None:
    with pytest.raises(UnsupportedFeatureError):
        asked(tools=(ToolDefinition(name="a.b"),))


def test_a_json_schema_is_closed_and_freed_of_limits() -> None:
    schema = {
        "type": "object",
        "properties": {
            "maximum": {"type": "integer", "maximum": 9},
            "list": {"type": "array", "items": {"type": "object", "properties": {}}, "minItems": 1, "maxItems": 3},
        },
    }
    built = build(ChatRequest(messages=HELLO, response_format=JsonSchemaFormat(name="x", schema=schema)))
    assert json.loads(built.body)["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {
                "maximum": {"type": "integer"},
                "list": {
                    "type": "array",
                    "items": {"type": "object", "properties": {}, "additionalProperties": False},
                    "minItems": 1,
                },
            },
            "additionalProperties": False,
        },
    }
    assert built.warnings == ("left out of the schema, Anthropic refuses them: maximum, maxItems",)


def test_json_without_enforcement_is_asked_for_by_instruction() -> None:
    built = build(ChatRequest(messages=(said("system", "s"), *HELLO), response_format=JsonFormat()))
    system = json.loads(built.body)["system"]
    assert system[0] == text("s") and "JSON object" in system[1]["text"] and len(built.warnings) == 1
    wanted = JsonSchemaFormat(name="x", schema={"type": "object"})
    built = build(ChatRequest(messages=HELLO, response_format=wanted), "claude-3-haiku-20240307")
    body = json.loads(built.body)
    assert "output_config" not in body and '{"type":"object"}' in body["system"][0]["text"]


# --- thinking and sampling -----------------------------------------------------------------------------------------

ADAPTIVE = {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "config"),
    [
        ("claude-opus-5", "xhigh", ADAPTIVE, {"effort": "xhigh"}),
        ("claude-opus-5", "minimal", ADAPTIVE, {"effort": "low"}),
        ("claude-opus-5", "none", {"type": "disabled"}, None),
        ("claude-sonnet-5-5", "none", {"type": "between_tools"}, None),
        ("claude-fable-5", "none", None, {"effort": "low"}),
        ("claude-opus-4-8", "none", None, None),
        # opus-4-6 answers 400 to xhigh.
        ("claude-opus-4-6", "xhigh", ADAPTIVE, {"effort": "high"}),
        ("claude-opus-4-6", "max", ADAPTIVE, {"effort": "max"}),
        ("claude-sonnet-4-5", "low", {"type": "enabled", "budget_tokens": 1024}, None),
        ("claude-sonnet-4-5", "high", {"type": "enabled", "budget_tokens": 24576}, None),
        ("claude-sonnet-4-5", "none", None, None),
        ("claude-3-5-haiku-20241022", "high", None, None),
        ("deepseek-chat", "medium", {"type": "enabled", "budget_tokens": 4095}, None),
    ],
)
def test_effort_by_family(model: str, effort: str, thinking: Any, config: Any) -> None:
    body = asked(model, reasoning_effort=effort)
    assert (body.get("thinking"), body.get("output_config")) == (thinking, config)


def test_a_budget_stays_below_max_tokens_or_thinking_is_left_out() -> None:
    assert asked(reasoning_effort="high", max_output_tokens=5000)["thinking"]["budget_tokens"] == 4999
    built = build(ChatRequest(messages=HELLO, reasoning_effort="high", max_output_tokens=500))
    assert "thinking" not in json.loads(built.body) and "reasoning_effort" in built.warnings[0]


def test_thinking_by_budget_gives_way_to_a_forced_tool() -> None:
    assert "thinking" not in asked(reasoning_effort="high", tools=(TOOL,), tool_choice="required")


def test_an_unknown_effort_is_refused() -> None:
    with pytest.raises(UnsupportedFeatureError) as raised:
        asked(reasoning_effort="enormous")
    assert raised.value.param == "reasoning_effort"


@pytest.mark.parametrize(
    ("model", "thinking", "expected"),
    [
        ("claude-sonnet-4-5", {"type": "enabled", "budget_tokens": 2000}, {"type": "enabled", "budget_tokens": 2000}),
        ("claude-opus-4-6", {"type": "enabled", "budget_tokens": 2000}, {"type": "enabled", "budget_tokens": 2000}),
        ("claude-opus-5", {"type": "enabled", "budget_tokens": 2000}, ADAPTIVE),
        ("claude-sonnet-4-5", {"type": "adaptive"}, {"type": "enabled", "budget_tokens": 8192}),
        ("claude-opus-5", {"type": "adaptive"}, {"type": "adaptive"}),
    ],
)
def test_a_clients_own_thinking_goes_verbatim_where_the_model_takes_it(
    model: str, thinking: Any, expected: Any
) -> None:
    hints = {"anthropic": {"thinking": thinking}}
    assert asked(model, reasoning_effort="medium", provider_metadata=hints)["thinking"] == expected


@pytest.mark.parametrize(
    ("model", "settings", "expected", "warnings"),
    [
        ("claude-sonnet-4-5", {"temperature": 1.7}, {"temperature": 1.0}, 1),
        ("claude-sonnet-4-5", {"temperature": 0.2, "top_p": 0.9}, {"temperature": 0.2}, 1),
        ("claude-sonnet-4-5", {"top_p": 0.9, "top_k": 5}, {"top_p": 0.9, "top_k": 5}, 0),
        ("claude-opus-4-8", {"temperature": 0.2, "top_p": 0.9}, {}, 1),
        ("claude-sonnet-4-5", {"temperature": 0.2, "top_k": 5, "reasoning_effort": "low"}, {}, 2),
        ("claude-sonnet-4-5", {"top_p": 0.96, "reasoning_effort": "low"}, {"top_p": 0.96}, 0),
        ("claude-3-haiku-20240307", {"temperature": 0.2, "top_p": 0.9}, {"temperature": 0.2, "top_p": 0.9}, 0),
    ],
)
def test_sampling_by_family(model: str, settings: dict[str, Any], expected: Any, warnings: int) -> None:
    built = build(ChatRequest(messages=HELLO, **settings), model)
    body = json.loads(built.body)
    assert {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body} == expected
    assert len(built.warnings) == warnings


def test_the_new_version_of_the_api_has_no_sampling_settings() -> None:
    request = ChatRequest(messages=HELLO, temperature=1.0)
    built = build(request, options={"anthropic_version": "2026-10-21"})
    assert "temperature" not in json.loads(built.body) and built.warnings


def test_an_admins_override_opens_what_the_family_closes() -> None:
    profile = profile_for("anthropic", "claude-opus-4-8", {"supports_sampling": True})
    assert body_of(ChatRequest(messages=HELLO, temperature=0.5), profile=profile)["temperature"] == 0.5


# --- the rest ------------------------------------------------------------------------------------------------------


def test_max_tokens_is_always_sent() -> None:
    assert asked(max_output_tokens=7)["max_tokens"] == 7
    assert asked("claude-opus-5")["max_tokens"] == 128_000
    assert asked("deepseek-chat")["max_tokens"] == 4096
    profile = profile_for("anthropic", "x", {"default_max_output_tokens": 99})
    assert body_of(ChatRequest(messages=HELLO), profile=profile)["max_tokens"] == 99


def test_stop_user_and_tier() -> None:
    built = build(ChatRequest(messages=HELLO, stop=("END", "\n\n"), user="u1", service_tier="default"))
    body = json.loads(built.body)
    assert (body["stop_sequences"], body["metadata"], body["service_tier"]) == (
        ["END"],
        {"user_id": "u1"},
        "standard_only",
    )
    assert len(built.warnings) == 1


def test_dropped_settings_are_named() -> None:
    request = ChatRequest(messages=HELLO, seed=1, presence_penalty=0.5, logit_bias={"1": 2}, verbosity="low")
    assert [warning.split()[0] for warning in build(request).warnings] == [
        "seed",
        "presence_penalty",
        "logit_bias",
        "verbosity",
    ]


@pytest.mark.parametrize(
    ("settings", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"extra": {"store": True, "audio": {}}, "dialect": "openai.chat"}, "audio"),
        ({"extra": {"x": 1}}, "x"),
    ],
)
def test_what_anthropic_can_not_carry_is_refused_by_name(settings: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedFeatureError) as raised:
        asked(**settings)
    assert raised.value.param == param
    assert all(name in str(raised.value) for name in settings.get("extra", ()))


def test_extra_of_the_same_dialect_is_forwarded_and_overrides_nothing() -> None:
    own = {"type": "web_search_20250305", "name": "web_search"}
    extra = {"container": "c1", "max_tokens": 1, "tools": [own]}
    body = asked(tools=(TOOL,), extra=extra, dialect="anthropic.messages", max_output_tokens=50)
    assert (body["container"], body["max_tokens"]) == ("c1", 50)
    assert [tool["name"] for tool in body["tools"]] == ["add", "web_search"]


def test_a_request_of_system_messages_only_is_refused() -> None:
    with pytest.raises(UnsupportedFeatureError):
        body_of(ChatRequest(messages=(said("system", "a"),)))


def test_counting_leaves_the_settings_of_an_answer_out() -> None:
    request = ChatRequest(messages=HELLO, temperature=0.5, stop=("x",), tools=(TOOL,), user="u")
    built = CODEC.build_count_tokens(request, target_for())
    assert set(json.loads(built.body)) == {"model", "messages", "tools"}
    assert built.url == "https://api.anthropic.com/v1/messages/count_tokens"


def test_the_key_is_in_no_repr() -> None:
    assert "sk-test" not in repr(build(ChatRequest(messages=HELLO)))
