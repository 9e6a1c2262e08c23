"""One hub, one upstream and one browser for a module; a fresh signed-in page for each test, watched for complaints."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.hub import PASSWORD, USERNAME, find_chromium, serving
from tests.upstream import Upstream, json_answer, sse

CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "tiny"}


def chunk(text: str | None, finish: str | None = None) -> str:
    delta = {} if text is None else {"content": text}
    return json.dumps({**CHUNK, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        server.on("GET", "/v1/models", json_answer({"object": "list", "data": [{"id": "tiny", "object": "model"}]}))
        usage = json.dumps({**CHUNK, "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
        events = [chunk("Grüße "), chunk("aus **dem** "), chunk("Netz ☃"), chunk(None, "stop"), usage, "[DONE]"]
        server.on("POST", "/v1/chat/completions", sse(events))
        yield server


def need_chromium() -> None:
    if find_chromium() is None and os.environ.get("LLMHUB_REQUIRE_BROWSER") != "1":
        pytest.skip("no Chromium: install it or name it in LLMHUB_CHROMIUM")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    need_chromium()
    with serving(tmp_path_factory.mktemp("hub") / "data") as url:
        yield url


@pytest.fixture(scope="module")
def browser(hub: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    assert path, "LLMHUB_REQUIRE_BROWSER=1, and no Chromium was found"
    # Ended with the module: while it runs, its event loop counts as running, and no asynchronous test could begin.
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def session(browser: Any, hub: str) -> Any:
    """Cookies of a signed-in browser, by the form."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{hub}/accounts/login/")
    page.get_by_label("Username").fill(USERNAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{hub}/")
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained of: exceptions, errors on the console, reports of the content policy among them."""
    return []


@pytest.fixture
def open_page(browser: Any, hub: str, session: Any, complaints: list[str]) -> Iterator[Callable[..., Any]]:
    contexts = []

    def open_page(*, width: int = 1440, scheme: str = "light") -> Any:
        context = browser.new_context(
            base_url=hub, storage_state=session, color_scheme=scheme, viewport={"width": width, "height": 900}
        )
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda message: message.type == "error" and complaints.append(f"{message.text} {message.location}"),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page: Callable[..., Any], complaints: list[str]) -> Iterator[Any]:
    """A wide, light page of an administrator; the test fails when the browser complained."""
    yield open_page()
    assert complaints == []
