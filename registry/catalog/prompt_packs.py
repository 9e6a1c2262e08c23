"""Prompt packs in use: fills the templates, and checks an answer against the pack's schema. Pure; calls nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, Final

MAX_ERRORS: Final = 5  # told to the model and to the caller; the first ones say enough
_PLACE: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_FENCED: Final = re.compile(r"\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*", re.DOTALL)


class TemplateError(ValueError):
    """A template can't be filled; `variable` is the one that is missing or not known."""

    def __init__(self, message: str, variable: str) -> None:
        super().__init__(message)
        self.variable = variable


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedAnswer:
    """An answer's JSON (None where it is none) and what is wrong with it; nothing wrong is an empty tuple."""

    value: Any = None
    errors: tuple[str, ...] = ()


def variables_of(*templates: str) -> tuple[str, ...]:
    """The names that templates have places for, in their order."""
    return tuple(dict.fromkeys(name for template in templates for name in _PLACE.findall(template)))


def render(template: str, variables: Mapping[str, str]) -> str:
    """The template with its places filled; what a variable holds is never read as a template again.

    Raises TemplateError for a missing variable.
    """

    def fill(place: re.Match[str]) -> str:
        name = place[1]
        if name not in variables:
            raise TemplateError(f"The prompt pack needs the variable {name!r}.", name)
        return variables[name]

    return _PLACE.sub(fill, template)


def _unchecked(validator: Any, keyword: Any, instance: Any, schema: Any) -> Iterator[Any]:
    return iter(())


@cache
def _validator(trusted: bool) -> Any:
    """People write packs of their own, and the schema is checked in a process that serves everybody: patterns and
    references, which can be made to take for ever, are not followed there."""
    from jsonschema import Draft202012Validator  # imported here: most workers never see a pack
    from jsonschema.validators import extend

    if trusted:
        return Draft202012Validator
    skipped = ("pattern", "patternProperties", "$ref", "$dynamicRef", "format")
    return extend(Draft202012Validator, dict.fromkeys(skipped, _unchecked))


def check_answer(schema: Mapping[str, Any], text: str, *, trusted: bool = False) -> CheckedAnswer:
    """Read an answer as JSON, with or without a code fence around it, and check it.

    `trusted` (an admin's schema) follows patterns and references inside the schema; nothing is ever fetched.
    """
    fenced = _FENCED.fullmatch(text)
    try:
        value = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return CheckedAnswer(errors=("The answer is no JSON.",))
    from referencing import Registry

    try:  # with a registry of its own, which is empty: without one a reference would be fetched from the network
        found = list(islice(_validator(trusted)(schema, registry=Registry()).iter_errors(value), 100))
    except Exception as error:  # a schema that is none fails in any way it likes
        return CheckedAnswer(value=value, errors=(f"The pack's schema can't be used ({type(error).__name__}).",))
    found.sort(key=lambda error: [str(part) for part in error.absolute_path])
    return CheckedAnswer(value=value, errors=tuple(_told(error) for error in found[:MAX_ERRORS]))


def _told(error: Any) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return f"{place.lstrip('.') or 'the answer'}: {error.message}"[:300]


def repair_prompt(errors: tuple[str, ...]) -> str:
    """What the model is told about an answer that does not fit."""
    listed = "\n".join(f"- {error}" for error in errors)
    return (
        f"Your answer does not follow the JSON schema:\n{listed}\n"
        "Answer again with the corrected JSON alone: no other text, no code fence."
    )


def example_of(schema: Mapping[str, Any], depth: int = 0) -> Any:
    """The plainest value that a simple schema allows, the same every time; for answers that nobody was asked for."""
    if depth > 8:
        return None
    if "const" in schema or schema.get("enum"):
        return schema["const"] if "const" in schema else schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object" or "properties" in schema:
        return {name: example_of(part, depth + 1) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        item = schema.get("items")
        return [example_of(item, depth + 1)] if isinstance(item, Mapping) else []
    return {"string": "mock", "integer": 0, "number": 0, "boolean": False}.get(str(kind))
