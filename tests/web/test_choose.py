"""The page that helps to choose: ranked for the person who asks, with reasons."""

from __future__ import annotations

from typing import Any

from registry.models import Credential, LLMModel, Preset
from tests.web.conftest import signed_in


def test_models_are_ranked_with_their_reasons_for_whom_asks(
    alice: Any, bob: Any, key: Credential, stub: LLMModel
) -> None:
    # Only Alice has a key for gpt-6-luna.
    Preset.objects.create(slug="translate", name="Translate", module="translate", is_module_default=True)
    body = {"prompt": "word " * 1000, "requires_tools": "on"}
    page = signed_in(alice).post("/models/choose/", body)
    assert [one.entry.name for one in page.context["ranked"]] == ["gpt-6-luna"]
    text = page.content.decode()
    assert "has tools" in text and "USD a call" in text
    assert "Translate</option>" in text
    assert "No model that you can call meets this" in signed_in(bob).post("/models/choose/", body).content.decode()


def test_bad_input_is_told_by_its_field(alice: Any, stub: LLMModel) -> None:
    client = signed_in(alice)
    for body in ({"module": "nobody"}, {"max_cost_per_1m_input": "NaN"}, {"max_cost_per_1m_input": "-1"}):
        page = client.post("/models/choose/", body)
        assert (page.status_code, page.context["ranked"]) == (200, None)
        assert set(page.context["form"].errors) == set(body)
    bounded = client.post("/models/choose/", {"prompt": "x" * 100_001})
    assert set(bounded.context["form"].errors) == {"prompt"}
