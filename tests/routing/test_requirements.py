"""Requirements are read by the same names from JSON, a query string and Python; nothing odd gets through."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from adapters.errors import InvalidRequestError
from registry.routing.requirements import NAMES, Requirements, read_requirements

FIXED = {
    *("requires_tools", "requires_vision", "requires_json_mode", "requires_streaming", "requires_reasoning"),
    *("min_context", "max_cost_per_1m_input", "max_cost_per_1m_output", "provider", "family", "tags"),
    *("quality_tier", "min_speed_tps"),
}


def test_the_names_are_the_documented_ones() -> None:
    assert NAMES == FIXED


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"provider": None, "tags": "", "min_context": ""},
        {"model": "x"},
        {"tags": []},
        {"quality_tier": "any"},
        {"requires_tools": False},
    ],
)
def test_asking_for_nothing_is_empty(body: dict[str, Any]) -> None:
    assert read_requirements(body).is_empty


def test_json_and_a_query_string_read_alike() -> None:
    json = {
        "requires_tools": True,
        "min_context": 1000,
        "max_cost_per_1m_input": 0.1,
        "tags": ["a", " b "],
        "quality_tier": "best",
        "min_speed_tps": 5,
    }
    query = {"requires_tools": "true", "min_context": "1000", "max_cost_per_1m_input": "0.1", "tags": "a, b,"}
    query |= {"quality_tier": "best", "min_speed_tps": "5"}
    found = read_requirements(json)
    assert found == read_requirements(query)
    assert (found.max_cost_per_1m_input, found.tags) == (Decimal("0.1"), {"a", "b"})


ODD: list[tuple[str, Any]] = [
    *(("requires_tools", value) for value in ("yes", 1, [], "2")),
    *(("min_context", value) for value in (-1, True, 1.5, "x", "1.5", [])),
    *(("max_cost_per_1m_input", value) for value in (-1, "NaN", "Infinity", True, "x", [], {})),
    *(("min_speed_tps", value) for value in ("nan", "-1", False)),
    *(("tags", value) for value in (5, [5], {"a": 1})),
    *(("provider", value) for value in (5, ["openai"])),
    ("quality_tier", "good"),
    ("quality_tier", ["best"]),
]


@pytest.mark.parametrize(("name", "value"), ODD)
def test_an_odd_value_is_refused_with_its_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_requirements({name: value})
    assert caught.value.param == name
    assert name in str(caught.value)


def test_python_and_readers_make_one_value() -> None:
    assert read_requirements({"tags": "a"}) == Requirements(tags=frozenset({"a"}))
