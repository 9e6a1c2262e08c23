"""Discovery against the model lists that providers really sent: all that is there is found, and once."""

from __future__ import annotations

import json

import pytest

from registry.discovery.refresh import refresh_providers
from registry.models import Credential, EndpointPolicy, LLMModel, Provider
from tests.adapters.replay import ABSENT, RECORDINGS
from tests.upstream import Upstream, answer

pytestmark = [pytest.mark.django_db, pytest.mark.skipif(not RECORDINGS.is_dir(), reason=ABSENT)]
LISTS = [
    ("openai", "openai_models/get_v1_models__model_alist.json", "/v1", "/v1/models"),
    ("deepseek", "documented/deepseek/get_models.json", "", "/models"),
    ("groq", "documented/groq/get_openai_v1_models.json", "/openai/v1", "/openai/v1/models"),
    ("huggingface", "documented/huggingface/get_v1_models.json", "/v1", "/v1/models"),
    ("mistral", "documented/mistral/get_v1_models.json", "/v1", "/v1/models"),
    ("vllm", "documented/vllm/get_v1_models.json", "/v1", "/v1/models"),
    ("openai_compatible", "openai_compatible/cerebras/get_v1_models__known_model_names.1.json", "/v1", "/v1/models"),
    ("gemini", "gemini/reasoning-get_v1beta_models__cli_gemini_models.1.json", "/v1beta", "/v1beta/models"),
    ("ollama", "ollama/doc-tags_response.json", "", "/api/tags"),
]
PASSED_OVER = {"aqa", "veo-3.1-generate-preview"}  # Gemini's: no chat, no embeddings, no images


@pytest.mark.parametrize(("kind", "recording", "base", "route"), LISTS, ids=[row[0] for row in LISTS])
def test_a_recorded_list_is_found_whole_and_once(kind: str, recording: str, base: str, route: str) -> None:
    body = json.loads((RECORDINGS / recording).read_text())["response_body"]
    rows = json.loads(body)
    ids = {row["id"] for row in rows["data"]} if "data" in rows else {row["name"] for row in rows["models"]}
    EndpointPolicy.objects.create(target="127.0.0.0/8")
    with Upstream() as upstream:
        upstream.on("GET", route, answer(body.encode(), headers={"content-type": "application/json"}))
        provider = Provider.objects.create(slug=kind, name=kind, adapter=kind, base_url=upstream.base_url + base)
        Credential(provider=provider).set_secret("sk-recorded-list-0123456789")
        (first,) = refresh_providers([provider], apply=True)
        assert first.error == ""
        (second,) = refresh_providers([provider], apply=True)
    assert (second.error, second.changes) == ("", [])
    found = set(LLMModel.objects.values_list("model_id", flat=True))
    assert found == {name.removeprefix("models/") for name in ids} - PASSED_OVER and len(found) == first.applied
    assert not LLMModel.objects.filter(enabled=True).exists()
