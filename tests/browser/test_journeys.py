"""What people do, as they do it: a real hub, a real browser, a real upstream on loopback."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.axe import violations
from tests.browser.conftest import chunk
from tests.upstream import Forever, Upstream, chunked, json_answer

pytestmark = pytest.mark.browser

KEY = "sk-planted-browser-0123456789-WXYZ"
PAGES = (
    "",
    "playground/",
    "conversations/",
    "compare/",
    "compare/results/",
    "models/",
    "models/?view=cards",
    "models/choose/",
    "keys/",
    "keys/add/",
    "tokens/",
    "usage/",
    "accounts/",
    "admin/",
    "admin/registry/usagerecord/",
    "admin/health/",
)


def ask(page: Any, text: str) -> Any:
    """Send a message; answers the turn that replies to it, once it is finished."""
    page.get_by_label("Your message").fill(text)
    page.get_by_label("Your message").press("Enter")
    page.locator(".turn[data-role=assistant]:not([aria-busy]) .retry").wait_for()
    return page.locator(".turn[data-role=assistant]").last


def choose(page: Any, name: str) -> None:
    page.get_by_role("button", name="Model", exact=False).and_(page.locator("#model")).click()
    page.get_by_label("Search models").fill(name)
    page.locator(f'.option[data-name="{name}"]').click()


@pytest.fixture(scope="module")
def tiny(browser: Any, hub: str, session: Any, upstream: Upstream) -> str:
    """A model at the loopback upstream, added through the pages as its owner would."""
    page = browser.new_context(base_url=hub, storage_state=session).new_page()
    page.goto("/keys/")
    page.get_by_role("button", name="Add a key").first.click()
    page.get_by_role("link", name="OpenAI-compatible").click()
    page.get_by_label("Key", exact=False).and_(page.locator("[type=password]")).fill(KEY)
    page.locator("[name=name]").fill("Loopback")
    page.locator("[name=base_url]").fill(f"{upstream.base_url}/v1")
    page.locator("[name=model_names]").fill("tiny")
    page.get_by_role("button", name="Save and test").click()
    page.get_by_text("Loopback answers. It lists 1 model.").wait_for()
    assert KEY not in page.content()
    page.goto("/keys/")
    assert "····WXYZ" in page.content() and KEY not in page.content()
    page.context.close()
    return "tiny"


def test_own_key_to_a_streamed_answer(page: Any, tiny: str, upstream: Upstream) -> None:
    page.goto("/playground/")
    choose(page, tiny)
    turn = ask(page, "Wie geht es?")
    assert turn.locator(".text").inner_text().strip() == "Grüße aus dem Netz ☃"
    assert turn.locator(".text strong").inner_text() == "dem"
    assert "7 in · 3 out" in turn.locator("footer").inner_text()
    sent = [seen for seen in upstream.requests if seen.path == "/v1/chat/completions"][-1]
    assert sent.headers["authorization"] == f"Bearer {KEY}"


def test_the_stub_answers_without_a_key_and_the_thread_is_kept(page: Any) -> None:
    page.goto("/playground/")
    turn = ask(page, "Remember **me**")
    assert turn.locator(".text strong").inner_text() == "me"
    assert "conversation=" in page.url
    reload_until(page, lambda: page.locator(".turn").count() == 2)
    assert page.locator(".turn[data-role=user] .text").inner_text() == "Remember **me**"
    assert page.locator(".turn[data-role=assistant] strong").inner_text() == "me"
    page.goto("/conversations/")
    assert page.get_by_role("link", name="Remember **me**").count() == 1


def test_an_answer_brings_no_markup_picture_or_script_with_it(page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/playground/")
    turn = ask(
        page,
        "<img src=x onerror=alert(1)> ![secret](https://evil.test/p.png) [go](javascript:alert(1)) "
        "[ok](https://example.test/) <style>body{display:none}</style>",
    )
    text = turn.locator(".text")
    assert text.locator("img, style, script").count() == 0
    assert "<img src=x" in text.inner_text() and "image not loaded: secret" in text.inner_text()
    links = text.locator("a").evaluate_all("links => links.map(a => [a.getAttribute('href'), a.rel])")
    assert [href for href, _ in links if href] == ["https://example.test/"]
    assert all("noopener" in rel for _, rel in links)
    assert not [url for url in asked if "evil.test" in url]


def test_stop_ends_the_answer_here_and_upstream(page: Any, tiny: str, upstream: Upstream) -> None:
    frame = f"data: {chunk('more ')}\n\n".encode()
    before = upstream._routes["POST", "/v1/chat/completions"]
    upstream.on("POST", "/v1/chat/completions", chunked(Forever(frame, 0.05)))
    try:
        page.goto("/playground/")
        choose(page, tiny)
        page.get_by_label("Your message").fill("Go on for ever")
        page.get_by_role("button", name="Send").click()
        page.get_by_text("more more more").wait_for()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("stopped", exact=True).wait_for()
        assert page.get_by_role("button", name="Send").is_visible()
        upstream.wait_for(lambda seen: seen.requests[-1].peer_closed_at is not None)
    finally:
        upstream._routes["POST", "/v1/chat/completions"] = before


def test_a_conversation_branches_and_changes_its_model_on_the_way(page: Any, tiny: str) -> None:
    page.goto("/playground/")
    ask(page, "First")
    page.get_by_role("button", name="Try again").click()
    page.get_by_text("2 / 2").wait_for()
    page.locator(".turn[data-role=assistant]:not([aria-busy]) .retry").wait_for()
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Your question, changed").fill("```python\nprint(1)\n```")
    page.get_by_role("button", name="Ask this").click()
    page.get_by_text("3 / 3").wait_for()
    page.locator(".turn[data-role=assistant]:not([aria-busy]) .hljs-built_in").wait_for()
    choose(page, tiny)
    page.get_by_label("Your message").fill("And now?")
    page.get_by_label("Your message").press("Enter")
    page.locator(".turn[data-role=assistant]").nth(1).locator(".retry").wait_for()
    reload_until(page, lambda: page.locator(".turn").count() == 4 and page.get_by_text("3 / 3").count() == 1)
    assert page.locator(".turn[data-role=assistant] header").all_inner_texts() == ["stub-echo", tiny]
    page.get_by_label("The variant before").click()
    assert page.locator(".turn .text").all_inner_texts() == ["First", "First"]


def test_a_refused_key_is_said_in_plain_words_with_the_request(
    open_page: Callable[..., Any], tiny: str, upstream: Upstream
) -> None:
    before = upstream._routes["POST", "/v1/chat/completions"]
    upstream.on("POST", "/v1/chat/completions", json_answer({"error": {"message": f"bad key {KEY}"}}, status=401))
    try:
        page = open_page()
        page.goto("/playground/")
        choose(page, tiny)
        turn = ask(page, "Hello")
        words = turn.get_by_role("alert").inner_text()
        assert "refused the key" in words and "Request " in words and KEY not in words
    finally:
        upstream._routes["POST", "/v1/chat/completions"] = before


def test_a_token_is_shown_once_works_is_rotated_and_is_revoked(page: Any, hub: str) -> None:
    page.goto("/tokens/")
    page.get_by_label("Name").fill("browser test")
    page.get_by_role("button", name="Make token").click()
    token = page.locator("#plaintext").inner_text()
    assert f'base_url="{hub}/v1"' in page.content().replace("&quot;", '"')
    assert status_with(hub, token) == 200
    page.get_by_role("button", name="Done").click()
    assert token not in page.content()
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("tr", has_text="browser test").get_by_role("button", name="Rotate").click()
    page.get_by_text("browser test has a new secret").wait_for()
    newer = page.locator("#plaintext").inner_text()
    assert newer != token and status_with(hub, token) == 200
    page.get_by_role("button", name="Done").click()
    page.locator("tr", has_text="browser test").get_by_role("button", name="Revoke").click()
    page.get_by_text("browser test was revoked").wait_for()
    deadline = time.monotonic() + 5
    while status_with(hub, token) != 401:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_three_models_are_compared_blind_and_the_winner_comes_first(
    open_page: Callable[..., Any], complaints: list[str], tiny: str, width: int, scheme: str
) -> None:
    page = open_page(width=width, scheme=scheme)
    page.goto("/compare/")
    for column, name in enumerate(("stub-echo", tiny, "stub-echo")):
        if column == 2:
            page.get_by_role("button", name="Add a model").click()
        else:
            page.locator(".column .pick").nth(column).click()
        page.get_by_label("Search models").fill(name)
        page.locator(f'.option[data-name="{name}"]').click()
    page.get_by_label("Blind", exact=False).check()
    page.get_by_label("Prompt", exact=True).fill("Same for all")
    page.get_by_role("button", name="Ask them").click()
    page.get_by_text("Grüße aus").wait_for()
    assert not page.get_by_text(tiny, exact=True).first.is_visible()
    best = page.locator(".column", has_text="Same for all").first
    best.get_by_role("button", name="is best").click()
    page.get_by_text("stub-echo won").wait_for()
    page.get_by_role("button", name="first of the tier").click()
    page.get_by_text("stub-echo is now the first of the tier").wait_for()
    assert page.locator("tr", has_text="stub-echo").get_by_text("100 %").count() == 1
    page.get_by_role("link", name="Same for all").first.click()
    page.locator(".column.winner .text.rendered").wait_for()
    assert violations(page) == [] and complaints == []


def test_what_a_token_spent_is_found_by_person_token_and_time(page: Any, hub: str) -> None:
    page.goto("/tokens/")
    page.get_by_label("Name").fill("nightly job")
    page.get_by_role("button", name="Make token").click()
    token = page.locator("#plaintext").inner_text()
    body = json.dumps({"model": "stub-echo", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json", "x-llmhub-tags": "nightly"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{hub}/v1/chat/completions", body, headers), timeout=20
    ) as response:
        assert response.status == 200
    page.goto("/usage/?who=all&by=token")
    reload_until(page, lambda: page.get_by_role("link", name="nightly job · ada").count() == 1)
    page.locator(".u-legend").wait_for()
    page.get_by_role("link", name="nightly job · ada").click()
    page.get_by_label("Grouped by").select_option("tag")
    page.wait_for_url("**by=tag**")
    page.locator("#results th", has_text="nightly").first.wait_for()
    assert violations(page) == []


def test_models_are_found_as_one_types(page: Any, tiny: str) -> None:
    page.goto("/models/")
    page.get_by_label("Search").fill("tin")
    page.wait_for_url("**/models/?q=tin*")
    assert page.locator("tbody tr").count() == 1
    page.get_by_label("Search").fill("no such model")
    page.get_by_text("Nothing matches").wait_for()


def test_the_keyboard_alone_reaches_a_model(page: Any, tiny: str) -> None:
    page.goto("/playground/")
    page.locator("#model").focus()
    page.keyboard.press("Enter")
    page.locator(".option").first.wait_for()
    page.keyboard.type(tiny)
    page.locator(".option").filter(has_not_text=tiny).first.wait_for(state="detached")
    page.locator(".option", has_text=tiny).wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("#model", has_text=tiny).wait_for()
    page.locator("#prompt:focus").wait_for()


def test_enter_takes_what_was_typed_before_its_answer_has_come(page: Any, tiny: str) -> None:
    page.goto("/playground/")
    page.locator("#model").focus()
    page.keyboard.press("Enter")
    page.locator(".option").filter(has_not_text=tiny).first.wait_for()
    page.keyboard.type(tiny)
    page.keyboard.press("Enter")
    page.locator("#model", has_text=tiny).wait_for()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_overflows_or_complains(
    open_page: Callable[..., Any], complaints: list[str], width: int, scheme: str
) -> None:
    page = open_page(width=width, scheme=scheme)
    for path in PAGES:
        page.goto(f"/{path}")
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert (path, over) == (path, 0)
        if (width, scheme) in ((1440, "light"), (390, "dark")):
            assert (path, violations(page)) == (path, [])
        if path.startswith("admin/"):
            continue  # Django's own lists name their boxes otherwise; axe looks at them
        fields = "document.querySelectorAll('input:not([type=hidden]), select, textarea')"
        unnamed = f"[...{fields}].filter(field => !field.labels.length)"
        assert (path, page.evaluate(f"{unnamed}.length")) == (path, 0)
    assert complaints == []


def test_events_survive_any_split(page: Any) -> None:
    """static/hub/js/sse.js on text cut at every place, and on bytes cut inside a letter."""
    page.goto("/playground/")
    found = page.evaluate(
        """async () => {
            const { EventParser, readEvents } = await import('/static/hub/js/sse.js');
            const text = ': hello\\n\\ndata: {"a":"☃\\u2028"}\\r\\n\\r\\nevent: error\\ndata:one\\ndata: two\\n\\n'
                + 'id: 7\\n\\ndata: [DONE]\\n\\ndata: lost';
            const whole = JSON.stringify(new EventParser().feed(text));
            const differing = [];
            for (let cut = 0; cut <= text.length; cut += 1) {
                const parser = new EventParser();
                const events = [...parser.feed(text.slice(0, cut)), ...parser.feed(text.slice(cut))];
                if (JSON.stringify(events) !== whole) differing.push(cut);
            }
            const bytes = new TextEncoder().encode(text);
            const start = (out) => { for (const byte of bytes) out.enqueue(Uint8Array.of(byte)); out.close(); };
            const stream = new ReadableStream({ start });
            const slow = [];
            for await (const event of readEvents(stream)) slow.push(event);
            return { whole: JSON.parse(whole), differing, same: JSON.stringify(slow) === whole };
        }"""
    )
    assert found["differing"] == [] and found["same"]
    assert [(event["event"], event["data"]) for event in found["whole"]] == [
        ("message", '{"a":"☃\u2028"}'), ("error", "one\ntwo"), ("message", "[DONE]"),
    ]  # fmt: skip


def reload_until(page: Any, condition: Callable[[], bool]) -> None:
    """Turns reach the database a moment after the answer ended."""
    deadline = time.monotonic() + 15
    page.reload()
    while not condition():
        assert time.monotonic() < deadline, "the thread was not kept in time"
        time.sleep(0.2)
        page.reload()


def status_with(hub: str, token: str) -> int:
    request = urllib.request.Request(f"{hub}/v1/models", headers={"authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            json.load(response)
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_ctrl_k_goes_to_anything(page: Any) -> None:
    page.goto("/tokens/")
    page.keyboard.press("Control+k")
    page.get_by_label("Go to", exact=True).fill("stub-ec")
    page.locator("#palette-results a", has_text="stub-echo").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="stub-echo").wait_for()
    assert violations(page) == []
