"""Fits a JSON schema to what Anthropic's structured outputs compile. Knows schemas only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.errors import UnsupportedFeatureError

__all__ = ["closed_schema"]

# The compiler answers 400 to limits on numbers and lengths (Anthropic's structured outputs guide, 2026-11-20).
_REFUSED = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
    }
)
_MAPS_OF_SCHEMAS = frozenset({"properties", "$defs", "definitions", "patternProperties"})
_SCHEMAS = frozenset({"items", "additionalProperties", "not"})
_LISTS_OF_SCHEMAS = frozenset({"anyOf", "allOf", "oneOf", "prefixItems"})


def closed_schema(schema: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A copy with `additionalProperties: false` on objects and without refused limits; second, the names left out.

    Raises UnsupportedFeatureError for a schema nested too deep to walk.
    """
    dropped: dict[str, None] = {}
    try:
        closed = _closed(schema, dropped)
    except RecursionError:
        raise UnsupportedFeatureError("the JSON schema is nested too deep", param="response_format") from None
    return closed, tuple(dropped)


def _closed(schema: Mapping[str, Any], dropped: dict[str, None]) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _REFUSED or (name == "minItems" and value not in (0, 1)):
            dropped[name] = None
        elif name in _MAPS_OF_SCHEMAS and isinstance(value, Mapping):
            built[name] = {key: _nested(inner, dropped) for key, inner in value.items()}
        elif name in _SCHEMAS:
            built[name] = _nested(value, dropped)
        elif name in _LISTS_OF_SCHEMAS and isinstance(value, list):
            built[name] = [_nested(inner, dropped) for inner in value]
        else:
            built[name] = value
    if built.get("type") == "object" or "properties" in built:
        built.setdefault("additionalProperties", False)
    return built


def _nested(value: Any, dropped: dict[str, None]) -> Any:
    return _closed(value, dropped) if isinstance(value, Mapping) else value
