"""What providers, users and models wrote is shown and never run: hostile text over the main pages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.test_journeys import ask, choose, reload_until
from tests.upstream import Upstream, json_answer

pytestmark = pytest.mark.browser

BEACON = "https://beacon.invalid"
RUN = "window.ranHere=1"
HOSTILE = {
    "script": f"<script>{RUN}</script>",
    "end of script": f"</script><script>{RUN}</script>",
    "handler": f"<img src=x onerror={RUN}>",
    "svg": f"<svg onload={RUN}>",
    "attribute": f'" autofocus onfocus="{RUN}" x="',
    "textarea": f"</textarea></title><script>{RUN}</script>",
    "link": f"[go](javascript:{RUN}) <a href='javascript:{RUN}'>x</a>",
    "picture": f"![p]({BEACON}/p.png) <img src={BEACON}/i.png>",
    "style": f"<style>@import '{BEACON}/s.css'</style><link rel=stylesheet href={BEACON}/l.css>",
    "frame": f"<iframe srcdoc='<script>parent.ranHere=1</script>'></iframe><base href={BEACON}/>",
    "template": "{{7*7}} {% debug %} ${7*7} #{7*7} {0.__class__}",
    "direction": "safe\u202etxt.exe\u2066\u200b\ufeff",
    "long": "W" * 500,
}
PAGES = ("models/", "models/?view=cards", "models/choose/", "keys/", "playground/", "compare/",
         "conversations/", "usage/?who=all", "usage/?who=all&by=model", "tokens/",
         "admin/registry/provider/", "admin/registry/llmmodel/", "admin/registry/usagerecord/",
         "admin/registry/accesstoken/", "admin/registry/auditevent/", "admin/health/")  # fmt: skip


def post(page: Any, path: str, body: dict[str, Any]) -> Any:
    """By the person's own session."""
    token = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken")
    return page.request.post(path, data=body, headers={"x-csrftoken": token})


@pytest.fixture
def watched(page: Any, hub: str) -> list[str]:
    """What went anywhere but to the hub, and dialogs; violations of the content policy fail `page` itself."""
    seen: list[str] = []
    page.on("request", lambda request: request.url.startswith((hub, "data:", "blob:")) or seen.append(request.url))
    page.on("dialog", lambda dialog: (seen.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.goto("/tokens/")
    return seen


def assert_harmless(page: Any, watched: list[str]) -> None:
    page.wait_for_load_state("networkidle")
    assert page.evaluate("() => window.ranHere") is None, page.url
    assert page.locator(f"[src^='{BEACON}'], [href^='{BEACON}'][rel=stylesheet], [href^='javascript:']").count() == 0
    assert watched == [], page.url


def test_hostile_names_run_nowhere(page: Any, upstream: Upstream, watched: list[str]) -> None:
    made = []
    for number, (kind, text) in enumerate(HOSTILE.items()):
        body = {"name": f"hostile {text}"[:200], "slug": f"hostile-{number}", "adapter": "openai_compatible",
                "base_url": f"{upstream.base_url}/v1", "is_global": True}  # fmt: skip
        answer = post(page, "/api/providers/", body)
        if answer.status == 400:  # refused by its form, which is as good
            answer = post(page, "/api/providers/", body | {"name": f"hostile {kind}"})
        assert answer.status == 201, answer.text()
        model = {"provider": f"hostile-{number}", "model_id": text[:200], "name": text[:120], "description": text,
                 "tags": [text[:40]], "family": text[:60], "is_global": True}  # fmt: skip
        answer = post(page, "/api/models/", model)
        if answer.status == 400:
            kept = model | {"model_id": f"hostile-{number}", "name": f"hostile-{number}", "tags": [], "family": ""}
            answer = post(page, "/api/models/", kept)
        assert answer.status == 201, answer.text()
        made.append(answer.json())
        post(page, "/api/tokens/", {"name": f"hostile {text}"[:80], "scopes": ["chat"]})
        post(page, "/api/conversations/", {"title": f"hostile {text}"[:200], "system_prompt": text})
    assert sum("<" in row["name"] + row["description"] for row in made) >= 6  # the pages do meet markup
    for path in (*PAGES, *(f"models/{row['id']}/" for row in made)):
        page.goto(f"/{path}")
        assert_harmless(page, watched)
    for row in made:
        page.request.delete(f"/api/models/{row['id']}/")


def test_hostile_answers_and_errors_run_nowhere(page: Any, watched: list[str]) -> None:
    page.goto("/playground/")
    whole = "\n\n".join(text for kind, text in HOSTILE.items())
    text = ask(page, whole.replace("\n\n", " ")).locator(".text")
    assert text.locator("img, script, style, iframe, svg, link, base").count() == 0
    assert "{{7*7}}" in text.inner_text()
    assert_harmless(page, watched)
    reload_until(page, lambda: page.locator(".turn").count() == 2)
    assert_harmless(page, watched)
    page.goto("/conversations/")
    assert_harmless(page, watched)


def test_a_providers_hostile_error_runs_nowhere(
    page: Any, upstream: Upstream, watched: list[str], complaints: list[str]
) -> None:
    words = " ".join(HOSTILE[kind] for kind in ("handler", "end of script", "link", "picture", "direction"))
    before = upstream._routes["POST", "/v1/chat/completions"]
    upstream.on("POST", "/v1/chat/completions", json_answer({"error": {"message": words, "type": "x"}}, status=400))
    provider = {"name": "Bad", "slug": "bad-words", "adapter": "openai_compatible", "auth_type": "none",
                "base_url": f"{upstream.base_url}/v1", "is_global": True}  # fmt: skip
    assert post(page, "/api/providers/", provider).status == 201
    model = {"provider": "bad-words", "model_id": "tiny", "name": "bad-words", "is_global": True}
    assert post(page, "/api/models/", model).status == 201
    try:
        page.goto("/playground/")
        choose(page, "bad-words")
        page.get_by_label("Your message").fill("hello")
        page.get_by_label("Your message").press("Enter")
        page.get_by_role("alert").first.wait_for()
        assert_harmless(page, watched)
        for path in ("usage/?who=all", "admin/registry/usagerecord/", "admin/health/"):
            page.goto(f"/{path}")
            assert_harmless(page, watched)
        refused = complaints.pop()  # the browser tells of the answer with 400 that the provider's error became
        assert "400" in refused and "/v1/chat/completions" in refused
    finally:
        upstream._routes["POST", "/v1/chat/completions"] = before
