"""The presets and prompt packs a new hub starts with, against what older tools were promised; and their seeding."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import call_command

from adapters.chat_request import read_chat_request
from adapters.types import JsonSchemaFormat
from registry.catalog.presets_data import PRESETS, successor_of
from registry.catalog.prompt_packs_data import PROMPT_PACKS, json_answer
from registry.catalog.templates import TEMPLATES
from registry.models import LLMModel, Preset, PresetEntry, PromptPack, Provider
from tests.api.conftest import by_session

LISTS = {row.module: row for row in PRESETS}
TODAY = {f"{template.slug}/{model.model_id}" for template in TEMPLATES.values() for model in template.models}


def seed() -> str:
    out = io.StringIO()
    call_command("seed_models", stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("module", ["translate", "vn-chat", "narrator", "worldbuild", "battle"])
def test_the_five_lists_have_ten_ranks_with_their_options(module: str) -> None:
    ranks = LISTS[module].ranks
    assert len(ranks) == len({rank.model_ref for rank in ranks}) == 10
    assert all({"temperature", "top_p"} <= rank.options.keys() for rank in ranks)


def test_ranks_are_the_promised_ones() -> None:
    first = LISTS["translate"].ranks[0]
    assert (first.model_ref, first.options) == ("openai/gpt-4.1-mini", {"temperature": 0.1, "top_p": 0.8})
    assert LISTS["narrator"].ranks[1].options["presence_penalty"] == 0.6
    assert LISTS["battle"].ranks[1].options["frequency_penalty"] == 0.2
    assert LISTS["worldbuild"].ranks[1].options["max_tokens"] == 2048
    assert LISTS["battle"].ranks[9].model_ref == "openrouter/deepseek/deepseek-chat"


def test_successors_and_todays_lists_are_in_todays_catalogue() -> None:
    named = {successor_of(rank.model_ref) for row in PRESETS for rank in row.ranks} - {None}
    assert named <= TODAY and len(named) >= 8
    for module in ("chat", "json", "long-context"):
        assert {rank.model_ref for rank in LISTS[module].ranks} <= TODAY


@pytest.mark.parametrize("row", PRESETS, ids=lambda row: row.module)
def test_every_option_can_be_sent(row: Any) -> None:
    for rank in row.ranks:
        request = read_chat_request("x", {**row.options, **rank.options}, "openai.chat")
        assert request.extra == {}


def test_a_modules_schema_is_asked_for() -> None:
    wanted = read_chat_request("x", {"response_format": json_answer("translate")}, "openai.chat").response_format
    assert isinstance(wanted, JsonSchemaFormat) and wanted.strict
    assert set(wanted.schema["properties"]) == {"detected_language", "translation"}


def test_schemas_are_closed_and_name_all_that_they_want() -> None:
    def check(schema: Any) -> None:
        if schema["type"] == "object":
            assert schema["additionalProperties"] is False and set(schema["required"]) == set(schema["properties"])
            for inner in schema["properties"].values():
                check(inner)
        elif schema["type"] == "array":
            check(schema["items"])
        else:
            assert schema == {"type": "string"}

    for pack in PROMPT_PACKS:
        check(pack.output_schema)


@pytest.mark.django_db
def test_seeding_makes_each_modules_list_and_links_what_is_there() -> None:
    assert f"Made {len(PRESETS)} presets, {len(PROMPT_PACKS)} prompt packs." in seed()
    for row in PRESETS:
        preset = Preset.objects.get(slug=row.module, owner=None)
        assert preset.is_module_default and preset.options == row.options
        kept = [(entry.model_ref, entry.options) for entry in preset.entries.order_by("position")]
        assert kept == [(rank.model_ref, rank.options) for rank in row.ranks]
    linked = PresetEntry.objects.get(preset__slug="chat", position=0)
    assert linked.model is not None and linked.model.model_id == "gpt-6.1-terra"
    waiting = PresetEntry.objects.get(preset__slug="translate", position=3)
    assert waiting.model is None and "claude-sonnet-5-5" in waiting.note
    provider = Provider.objects.get(slug="anthropic")
    LLMModel.objects.create(provider=provider, model_id="claude-3-5-sonnet-20240620", name="sonnet")
    assert "presets" not in seed()
    waiting.refresh_from_db()
    assert waiting.model is not None and waiting.model.name == "sonnet"


@pytest.mark.django_db
def test_an_admins_own_default_and_deletions_stay() -> None:
    own = Preset.objects.create(slug="ours", name="Ours", module="translate", is_module_default=True)
    seed()
    assert not Preset.objects.get(slug="translate").is_module_default
    Preset.objects.filter(slug="battle").delete()
    PromptPack.objects.filter(module="battle").delete()
    seed()
    own.refresh_from_db()
    assert own.is_module_default and not Preset.objects.filter(slug="battle").exists()
    assert not PromptPack.objects.filter(module="battle").exists()


@pytest.mark.django_db
@pytest.mark.parametrize("row", PROMPT_PACKS, ids=lambda row: row.module)
def test_a_modules_prompt_pack_is_answered(row: Any, alice: Any) -> None:
    seed()
    answer = by_session(alice).get(f"/api/llm/prompt-pack/{row.module}")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["version"], body["output_schema"], body["is_global"]) == (1, row.output_schema, True)
    assert "{{" in body["user_template"] and body["system_template"] and body["options"]["temperature"]
