"""From a hub that nobody has seen to a first answer, then what an administrator and a curious person do with it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.browser.axe import violations
from tests.browser.conftest import CHUNK, chunk, need_chromium
from tests.browser.hub import PASSWORD, USERNAME, manage, serving
from tests.browser.test_journeys import choose, reload_until
from tests.upstream import Upstream, sse

pytestmark = pytest.mark.browser

MANY = """
from registry.models import LLMModel, Provider
wide = Provider.objects.create(slug="wide", name="Wide", adapter="stub", auth_type="none")
LLMModel.objects.bulk_create(
    [LLMModel(provider=wide, model_id=f"many-{n:04}", name=f"many-{n:04}") for n in range(2000)], batch_size=500
)
"""
ADMIN_PAGES = ("start/", "admin/", "admin/discovery/", "admin/health/", "admin/prices/", "admin/retirements/")


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRun:
    clicks: int
    seconds: float
    answer: str
    cookies: Any


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("first-run") / "data"


@pytest.fixture(scope="module")
def hub(data_dir: Path) -> Iterator[str]:
    """A hub without anybody in it, in the place of the one that Ada administers."""
    need_chromium()
    with serving(data_dir, administrator=False) as url:
        yield url


@pytest.fixture(scope="module")
def first_run(browser: Any, hub: str, data_dir: Path, upstream: Upstream) -> FirstRun:
    """By the printed link, as a person goes: every click counted, from the link to the end of the answer."""
    printed = manage(data_dir, "prepare", administrator=False)
    link = re.search(r"/setup/[\w-]+/", printed)
    assert link, printed
    page = browser.new_context(base_url=hub).new_page()
    clicks = 0

    def click(role: str, name: str) -> None:
        nonlocal clicks
        page.get_by_role(role, name=name).first.click()
        clicks += 1

    begun = time.monotonic()
    page.goto(link.group())
    for name, text in (("username", USERNAME), ("email", "ada@example.test")):
        page.locator(f"[name={name}]").fill(text)
    for name in ("password1", "password2"):
        page.locator(f"[name={name}]").fill(PASSWORD)
    click("button", "Make the administrator")
    page.wait_for_url("**/start/")
    click("link", "OpenAI-compatible")
    assert page.locator("[name=everyone]").is_checked()
    page.locator("[name=api_key]").fill("sk-planted-first-run-0123456789-WXYZ")
    page.locator("[name=name]").fill("Loopback")
    page.locator("[name=base_url]").fill(f"{upstream.base_url}/v1")
    page.locator("[name=model_names]").fill("tiny")
    click("button", "Save and test")
    page.get_by_text("Loopback answers. It lists 1 model.").wait_for()
    click("link", "tiny")
    page.get_by_label("Your message").fill("Hello?")
    click("button", "Send")
    page.locator(".turn[data-role=assistant] .retry").wait_for()
    answer = page.locator(".turn[data-role=assistant] .text").inner_text().strip()
    run = FirstRun(clicks=clicks, seconds=time.monotonic() - begun, answer=answer, cookies=page.context.storage_state())
    page.context.close()
    return run


@pytest.fixture(scope="module")
def session(first_run: FirstRun) -> Any:
    return first_run.cookies


@pytest.fixture
def tools_answer(upstream: Upstream) -> Iterator[None]:
    """The model asks for a tool, then answers with what came back."""
    call = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"in": "Ulm"}'},
    }
    asks = {**CHUNK, "choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]}
    ends = {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    path = ("POST", "/v1/chat/completions")
    before = upstream._routes[path]
    upstream.on(
        *path, sse([json.dumps(asks), json.dumps(ends), "[DONE]"]), sse([chunk('{"rain": true}', "stop"), "[DONE]"])
    )
    yield
    upstream._routes[path] = before


def send(page: Any, text: str) -> Any:
    """Send a message; the turn that answers it, once it has ended."""
    turns = page.locator(".turn[data-role=assistant]")
    at = turns.count()
    page.get_by_label("Your message").fill(text)
    page.get_by_label("Your message").press("Enter")
    turns.nth(at).locator(".retry").wait_for()
    return turns.nth(at)


def sent(upstream: Upstream) -> Any:
    """The body of the last chat that reached the provider."""
    return json.loads([seen for seen in upstream.requests if seen.path == "/v1/chat/completions"][-1].body)


def test_the_first_run_takes_five_clicks_and_less_than_a_minute(first_run: FirstRun, page: Any) -> None:
    assert first_run.answer == "Grüße aus dem Netz ☃"
    assert first_run.clicks <= 5
    assert first_run.seconds < 60
    page.goto("/start/")
    reload_until(page, lambda: page.locator("#step-provider.done, #step-models.done, #step-ask.done").count() == 3)
    page.locator("#step-token").get_by_role("button", name="Make a token").click()
    page.get_by_role("heading", name="Make a token").wait_for()


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_the_administrators_pages_fit_and_are_open_to_all(
    open_page: Callable[..., Any], complaints: list[str], width: int, scheme: str
) -> None:
    page = open_page(width=width, scheme=scheme)
    for path in ADMIN_PAGES:
        page.goto(f"/{path}")
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert (path, over, violations(page)) == (path, 0, [])
    assert complaints == []


def test_an_administrator_looks_tests_and_measures(page: Any) -> None:
    page.goto("/admin/discovery/")
    page.locator("section", has_text="Loopback").get_by_role("button", name="Look now").click()
    page.locator("section", has_text="Loopback").get_by_text("Nothing to apply").wait_for()
    page.goto("/admin/health/")
    page.get_by_role("button", name="Check all now").click()
    page.locator("tr", has_text="Loopback").locator(".outcome-ok").wait_for()
    page.goto("/admin/registry/provider/?enabled__exact=1")
    for box in page.locator("#result_list .action-select").all():
        box.check()
    page.get_by_label("Action:").select_option("test_selected")
    page.get_by_role("button", name="Go", exact=True).click()
    count = page.locator("#progress").get_attribute("max")
    page.get_by_text(f"{count} of {count} are tested, 0 do not work").wait_for()
    assert violations(page) == []
    page.goto("/admin/registry/llmmodel/?q=tiny")
    page.get_by_role("link", name="tiny", exact=True).first.click()
    page.get_by_role("link", name="Measure").first.click()
    page.get_by_role("button", name="Measure").wait_for()
    assert violations(page) == []


def test_tools_and_a_schema_go_with_the_question(page: Any, upstream: Upstream, tools_answer: None) -> None:
    page.goto("/playground/")
    choose(page, "tiny")
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    page.get_by_text("Tools", exact=True).click()
    page.locator("#tools").fill("no JSON")
    page.get_by_text("JSON schema").click()
    page.locator("#schema").fill('{"type": "object"}')
    page.get_by_label("Your message").fill("Does it rain?")
    page.get_by_label("Your message").press("Enter")
    page.get_by_text("this is no JSON").wait_for()
    page.locator("#tools").fill(json.dumps(tools))
    turn = send(page, "Does it rain?")
    assert turn.locator(".calls code").inner_text() == 'weather({"in": "Ulm"})'
    body = sent(upstream)
    assert body["tools"][0]["function"]["name"] == "weather"
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    turn.locator(".calls textarea").fill("rain since noon")
    turn.get_by_role("button", name="Send the result").click()
    page.locator(".turn[data-role=assistant]").nth(1).locator(".retry").wait_for()
    assert '"rain"' in page.locator(".turn[data-role=assistant]").nth(1).inner_text()
    told = sent(upstream)["messages"]
    assert [message["role"] for message in told] == ["user", "assistant", "tool"]
    assert told[2]["content"] == "rain since noon"


def test_a_document_goes_with_every_question_of_its_conversation(page: Any, upstream: Upstream) -> None:
    page.goto("/playground/")
    choose(page, "tiny")
    page.get_by_text("Documents", exact=True).click()
    file = {"name": "notes.md", "mimeType": "text/markdown", "buffer": b"The password is Zwiebelkuchen."}
    page.locator("#document-file").set_input_files(file)
    page.get_by_text("notes.md (30 characters)").wait_for()
    send(page, "What is the password?")
    assert "Zwiebelkuchen" in json.dumps(sent(upstream)["messages"])
    reload_until(page, lambda: page.locator(".turn").count() == 2)
    page.get_by_text("notes.md (30 characters)").wait_for()
    send(page, "And once more?")
    assert "Zwiebelkuchen" in json.dumps(sent(upstream)["messages"])


def test_a_conversation_is_replayed_and_one_answer_made_of_all(page: Any, upstream: Upstream) -> None:
    page.goto("/playground/")
    choose(page, "stub-echo")
    send(page, "First question")
    send(page, "Second question")
    reload_until(page, lambda: page.locator(".turn").count() == 4)
    page.get_by_role("link", name="Replay in Compare").click()
    page.get_by_text("The 2 questions of").wait_for()
    for column, name in enumerate(("stub-echo", "tiny")):
        page.locator(".column .pick").nth(column).click()
        page.get_by_label("Search models").fill(name)
        page.locator(f'.option[data-name="{name}"]').click()
    page.get_by_role("button", name="Ask them").click()
    page.get_by_role("button", name="Make one answer of all").wait_for()
    echo = page.locator(".column").first
    assert echo.locator(".asked").all_inner_texts() == ["First question", "Second question"]
    assert "Second question" in echo.locator(".turn .text").last.inner_text()
    assert [message["role"] for message in sent(upstream)["messages"]] == ["user", "assistant", "user"]
    page.get_by_role("button", name="Make one answer of all").click()
    page.get_by_label("Search models").fill("tiny")
    page.locator('.option[data-name="tiny"]').click()
    page.locator("#synthesis").get_by_text("Grüße aus dem Netz").wait_for()
    assert '<answer name="A">' in sent(upstream)["messages"][-1]["content"]
    assert violations(page) == []


def test_of_two_thousand_models_only_what_is_seen_is_sent(page: Any, data_dir: Path) -> None:
    manage(data_dir, "shell", "-v", "0", "-c", MANY, administrator=False)
    sizes: list[int] = []
    page.on("response", lambda answer: "/models/" in answer.url and sizes.append(len(answer.body())))
    page.goto("/models/")
    rows = page.locator("tbody tr")
    assert rows.count() <= 41
    page.locator("tbody tr").last.scroll_into_view_if_needed()
    rows.nth(60).wait_for()
    assert rows.count() <= 121 and max(sizes) < 300_000
    page.get_by_label("Search").fill("many-1999")
    page.get_by_role("link", name="many-1999").wait_for()
    page.goto("/playground/")
    page.locator("#model").click()
    page.locator(".option").nth(59).wait_for()
    assert page.locator(".option").count() == 60
