"""The same through the pages: an administrator registers llama.cpp in the admin, tests it, and chats with it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import browser, complaints, hub, open_page, page, session  # noqa: F401 (fixtures)
from tests.browser.test_journeys import ask, choose, reload_until
from tests.live.conftest import LlamaServer

pytestmark = [pytest.mark.live, pytest.mark.browser]


def test_a_real_model_is_registered_tested_and_answers(page: Any, llama_server: LlamaServer) -> None:  # noqa: F811  # a fixture
    page.goto("/admin/registry/provider/add/")
    page.locator("[name=name]").fill("Llama box")
    page.locator("[name=slug]").fill("llama-box")
    page.locator("[name=adapter]").select_option("llamacpp")
    page.locator("[name=base_url]").fill(llama_server.base_url)
    page.locator("[name=auth_type]").select_option("none")
    page.get_by_role("button", name="Save and continue editing").click()
    page.get_by_role("button", name="Test connection").click()
    page.get_by_text("it works").wait_for()

    page.goto("/admin/registry/llmmodel/add/")
    page.locator(".field-provider .select2-selection").click()
    page.locator(".select2-search__field").fill("Llama")
    page.locator(".select2-results__option", has_text="Llama box").click()
    page.locator("[name=model_id]").fill(llama_server.model)
    page.locator("[name=name]").fill("real-tiny")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("was added successfully").wait_for()

    page.goto("/playground/")
    choose(page, "real-tiny")
    page.locator("#max_tokens").fill("16")  # random weights never come to an end by themselves
    turn = ask(page, "Say something.")
    assert turn.locator(".text").inner_text().strip()

    page.goto("/usage/")
    # The sum by model; the single call below it has a row header of the same name.
    reload_until(page, lambda: page.get_by_role("rowheader").get_by_role("link", name="real-tiny").count() == 1)
