"""The prompt packs that a new hub starts with: what a module says to a model, and the JSON it wants back. Data.

`{{name}}` stands for what the caller fills in. Packs are added in versions and never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptPackRow:
    module: str
    name: str
    system_template: str
    user_template: str
    output_schema: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1


_TEXT = {"type": "string"}


def _list_of(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(item)}


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    """Closed, with every property required: the form that strict schemas take at every vendor."""
    return {
        "type": "object",
        "properties": {name: dict(value) for name, value in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }


PROMPT_PACKS = (
    PromptPackRow(
        module="pov-rewrite",
        name="Point-of-view rewrite",
        system_template=(
            "You rewrite scenes of a story from another character's point of view. Keep what happens, the order it "
            "happens in and who says what. Tell only what {{pov_character}} can see, hear, know or feel. Write in the "
            "language of the scene."
        ),
        user_template="Point of view: {{pov_character}}\nWhat is known of them: {{traits}}\n\nScene:\n{{scene}}",
        output_schema=_object(
            pov=_TEXT,
            narration=_TEXT,
            dialogue=_list_of(_object(speaker=_TEXT, line=_TEXT)),
            inner_thoughts=_list_of(_TEXT),
        ),
        options={"temperature": 0.6, "top_p": 0.92},
    ),
    PromptPackRow(
        module="battle",
        name="Battle narration",
        system_template=(
            "You narrate fights from a log of what happened. Invent no blow, wound or outcome that the log does not "
            "have. Keep to {{tone}} and to at most {{max_sentences}} sentences, then offer hooks for what may follow."
        ),
        user_template="Fighters:\n{{fighters}}\n\nLog:\n{{log}}\n\nOutcome: {{outcome}}",
        output_schema=_object(summary=_TEXT, next_hooks=_list_of(_TEXT)),
        options={"temperature": 0.75, "top_p": 0.94},
    ),
    PromptPackRow(
        module="translate",
        name="Translation",
        system_template=(
            "You translate into {{target_language}}. Keep placeholders, tags and line breaks as they are, keep names "
            "unless the glossary says otherwise, and add nothing. Name the source's language by its ISO 639-1 code."
        ),
        user_template="Glossary:\n{{glossary}}\n\nText:\n{{text}}",
        output_schema=_object(detected_language=_TEXT, translation=_TEXT),
        options={"temperature": 0.1, "top_p": 0.8},
    ),
    PromptPackRow(
        module="worldbuild",
        name="Worldbuilding",
        system_template=(
            "You build the world of a story: places, powers and what could set a story going. Stay within the premise "
            "and what is established, contradict neither, and give every entry something it wants or hides."
        ),
        user_template="Premise: {{premise}}\nEstablished:\n{{established}}\n\nWanted: {{request}}",
        output_schema=_object(
            regions=_list_of(_object(name=_TEXT, description=_TEXT)),
            factions=_list_of(_object(name=_TEXT, goal=_TEXT, description=_TEXT)),
            hooks=_list_of(_TEXT),
        ),
        options={"temperature": 0.45, "top_p": 0.75, "max_tokens": 2048},
    ),
    PromptPackRow(
        module="narrator",
        name="Narrator",
        system_template=(
            "You write the narrator's voice-over for a scene, to be read aloud: present tense, no stage directions, no "
            "dialogue. Keep to {{tone}} and to at most {{max_sentences}} sentences."
        ),
        user_template="Scene:\n{{scene}}",
        output_schema=_object(narration=_TEXT),
        options={"temperature": 0.6, "top_p": 0.92},
    ),
)


def json_answer(module: str) -> dict[str, Any]:
    """A `response_format` that asks for a module's schema. Raises KeyError for a module without a pack."""
    schema = {pack.module: pack.output_schema for pack in PROMPT_PACKS}[module]
    return {"type": "json_schema", "json_schema": {"name": module, "schema": dict(schema), "strict": True}}
