"""import_registry and export_registry: there and back, nothing lost, nothing twice, no secret out."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from registry.catalog.rows import read_providers
from registry.models import Credential, LLMModel, ModelPrice, Preset, PresetEntry, Provider, RegistryChange
from tests.catalog.test_registry_json import CONTENT

pytestmark = pytest.mark.django_db
_TIMES = ("id", "created_at", "updated_at", "effective_from", "provider_id", "model_id", "preset_id")


def run(command: str, *arguments: Any) -> str:
    out = io.StringIO()
    call_command(command, *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "registry.json"
    found.write_text(json.dumps(CONTENT))
    return found


def records() -> dict[str, Any]:
    """All rows but for their keys and times; an entry and a price by the name of what they belong to."""

    def rows(queryset: Any, *parents: str) -> list[Any]:
        names = [field.attname for field in queryset.model._meta.concrete_fields if field.attname not in _TIMES]
        return sorted(json.dumps(row, sort_keys=True, default=str) for row in queryset.values(*names, *parents))

    return {
        "providers": rows(Provider.objects),
        "models": rows(LLMModel.objects, "provider__slug", "model_id"),
        "prices": rows(ModelPrice.objects, "model__name"),
        "presets": rows(Preset.objects),
        "entries": rows(PresetEntry.objects, "preset__slug", "model__name"),
    }


def test_an_import_makes_the_files_records(path: Path) -> None:
    out = run("import_registry", path)
    provider = Provider.objects.get(slug="lmstudio_local")
    assert (provider.name, provider.adapter, provider.base_url) == ("LM Studio", "lmstudio", "http://127.0.0.1:1234/v1")
    assert read_providers([provider.pk])[0].headers == {"X-Title": "ComfyVN"}
    model = LLMModel.objects.get(model_id="gpt-4o")
    assert model.is_default and model.tags == ["translate"] and model.context_length == 128000
    assert model.capability("json_mode") == "yes" and model.capability("vision") == "unknown"
    price = model.price_at()
    assert price is not None and price.input_per_1m == 2.5 and price.output_per_1m is None
    assert LLMModel.objects.get(model_id="phi").tags == ["local"]
    entry = PresetEntry.objects.get(preset__module="translate", preset__is_module_default=True)
    assert entry.model == model and entry.options == {"temperature": 0.1}
    assert "not understood: providers[0].colour" in out and "providers[1].api_key" in out
    assert "PLANTED" not in out + str(records()) and not Credential.objects.exists()


def test_a_dry_run_tells_the_plan_and_does_nothing(path: Path) -> None:
    log = RegistryChange.objects.count()
    out = run("import_registry", path, "--dry-run")
    assert "new provider lmstudio_local" in out and "new model openai_public/gpt-4o" in out and "Dry run" in out
    assert not Provider.objects.exists() and RegistryChange.objects.count() == log


def test_a_second_import_changes_nothing(path: Path) -> None:
    run("import_registry", path)
    before, log = records(), RegistryChange.objects.count()
    assert "0 changes made." in run("import_registry", path)
    assert (records(), RegistryChange.objects.count()) == (before, log)


def test_import_export_import_gives_the_same_records(path: Path, tmp_path: Path) -> None:
    run("import_registry", path)
    first, copy = records(), tmp_path / "copy.json"
    run("export_registry", copy)
    assert "0 changes made." in run("import_registry", copy)
    Provider.objects.all().delete()
    Preset.objects.all().delete()
    out = run("import_registry", copy)
    assert "not understood" not in out and "secret" not in out
    assert records() == first
    assert run("export_registry") == copy.read_text()


def test_a_seeded_hub_goes_there_and_back(tmp_path: Path) -> None:
    run("seed_models")
    copy = tmp_path / "copy.json"
    run("export_registry", copy)
    assert "0 changes made." in run("import_registry", copy)


def test_an_export_holds_no_secret(path: Path) -> None:
    run("import_registry", path)
    provider = Provider.objects.get(slug="openai_public")
    Credential(provider=provider).set_secret("sk-PLANTED-0123456789abcdef", {"X-Auth-Token": "PLANTED"})
    Provider.objects.filter(pk=provider.pk).update(
        base_url="https://me:PLANTED@api.openai.com/v1?key=PLANTED",
        settings={"headers": {"X-Auth": "Bearer PLANTED"}, "nested": {"password": "PLANTED"}},
        metadata={"note": "sk-PLANTED"},
    )
    LLMModel.objects.filter(model_id="gpt-4o").update(default_params={"api_key": "PLANTED", "max_tokens": 7})
    text = run("export_registry")
    assert "PLANTED" not in text and '"max_tokens": 7' in text and "https://api.openai.com/v1" in text


def test_a_default_of_one_rank_goes_before_what_a_module_has(path: Path) -> None:
    preset = Preset.objects.create(slug="chat", name="Ours", module="chat", is_module_default=True)
    PresetEntry.objects.create(preset=preset, position=0, model_ref="openai/later")
    run("import_registry", path)
    preset.refresh_from_db()
    assert preset.name == "Ours"
    assert [entry.model_ref for entry in preset.entries.all()] == ["lmstudio_local/qwen", "openai/later"]


def test_one_bad_row_leaves_nothing_behind(path: Path) -> None:
    content = {**CONTENT, "defaults": {"provider": "openai_public", "model": "nothing"}}
    path.write_text(json.dumps(content))
    with pytest.raises(CommandError, match="nothing"):
        run("import_registry", path)
    assert not Provider.objects.exists()


@pytest.mark.parametrize("headers", [{"Host": "x"}, {"X-A": "line\nbreak"}, {"Bad Name": "x"}])
def test_headers_that_could_change_a_call_are_refused(path: Path, headers: dict[str, str]) -> None:
    path.write_text(json.dumps({"providers": [{"name": "a", "base": "https://a.example", "headers": headers}]}))
    with pytest.raises(CommandError, match="header"):
        run("import_registry", path)


@pytest.mark.parametrize("headers", [{"Authorization": "x"}, {"X-A": "Bearer y"}, {"Host": "x"}, "text"])
def test_a_providers_settings_take_open_headers_alone(headers: Any) -> None:
    row = Provider(slug="a", name="A", adapter="openai", base_url="https://a.example", settings={"headers": headers})
    with pytest.raises(ValidationError, match="header"):
        row.full_clean()
    row.settings = {"headers": {"X-Title": "ours"}}
    row.full_clean()


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="can't be read"):
        run("import_registry", tmp_path / "none.json")
