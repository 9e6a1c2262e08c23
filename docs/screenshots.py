"""Makes docs/screenshots/*.png of a hub seeded with sample rows: `make screenshots`. Calls no provider."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, sync_playwright  # noqa: E402

from tests.browser.hub import PASSWORD, USERNAME, find_chromium, manage, serving  # noqa: E402

TARGET = ROOT / "docs" / "screenshots"
SHOTS = (
    ("playground", "light", 1200),
    ("models", "light", 1200),
    ("keys", "dark", 390),
    ("compare", "dark", 1200),
    ("usage", "light", 1200),
    ("tokens", "light", 1200),
    ("start", "light", 1200),
    ("admin", "light", 1200),
)

# Run by `manage.py shell` in the hub of the screenshots alone. The keys are made up.
SEED = """
import datetime as dt
from decimal import Decimal
from django.utils import timezone
from registry.models import AccessToken, Conversation, Credential, LLMModel, Message, Provider, UsageRecord, User
from registry.usage import rollup
from registry.catalog.from_template import create_from_template
from registry.catalog.templates import TEMPLATES

ada = User.objects.get(username="ada")
for slug, owner in (("openai", None), ("anthropic", ada), ("groq", ada), ("gemini", None)):
    provider = Provider.objects.shared().filter(template=slug).first() or create_from_template(TEMPLATES[slug])
    Provider.objects.filter(pk=provider.pk).update(enabled=True)
    LLMModel.objects.filter(provider=provider).update(enabled=True)
    if slug != "gemini":
        Credential(provider=provider, owner=owner).set_secret(f"sample-{slug}-0123456789-ABCD")
model = LLMModel.objects.get(name="claude-sonnet-5-5")
row = Conversation.objects.create(owner=ada, title="What is a circuit breaker?", llm_model=model)
Message.objects.create(conversation=row, role="user", content="What is a circuit breaker, in three lines?")
Message.objects.create(
    conversation=row, role="assistant", model_name=model.name,
    content='''A **circuit breaker** stops calls to something that keeps failing.

| state | what happens |
|---|---|
| closed | calls pass |
| open | calls are refused at once |
| half-open | one call tries |

```python
if breaker.is_open(provider):
    raise UpstreamUnavailableError(provider)
```''',
)
tokens = [AccessToken.mint(owner=ada, name=name)[0] for name in ("laptop", "nightly job", "billing")]
chosen = list(LLMModel.objects.filter(provider__slug__in=("openai", "anthropic", "gemini"))[:5])
calls = []
for number in range(400):
    used, token = chosen[number * number % len(chosen)], tokens[number % 3]
    at = timezone.now() - dt.timedelta(hours=number * 0.41)
    calls.append(UsageRecord(
        request_id=f"sample-{number}", user=ada, username="ada", token=token, token_name=token.name, model=used,
        model_name=used.name, provider=used.provider, provider_slug=used.provider.slug, credential_scope="shared",
        state="error" if number % 37 == 5 else "ok", error_code="upstream_timeout" if number % 37 == 5 else "",
        created_at=at, settled_at=at, attempts=1, input_tokens=200 + number * 53 % 4000, cost_status="exact",
        output_tokens=50 + number * 31 % 900, cost=Decimal(number * 71 % 900 + 20) / 100000,
        latency_ms=600 + number * 97 % 5000, first_token_ms=150 + number * 13 % 600,
    ))
UsageRecord.objects.bulk_create(calls)
rollup.rebuild()
"""


def main() -> None:
    path = find_chromium()
    if path is None:
        sys.exit("No Chromium was found: install it or name it in LLMHUB_CHROMIUM.")
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="llmhub-screenshots-") as folder:
        data_dir = Path(folder) / "data"
        with serving(data_dir) as url, sync_playwright() as playwright:
            manage(data_dir, "shell", "-v", "0", "-c", SEED)
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            for name, scheme, width in SHOTS:
                take(browser, url, name, scheme, width)
            browser.close()


def take(browser: Browser, url: str, name: str, scheme: str, width: int) -> None:
    context = browser.new_context(
        base_url=url, color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": 800}
    )
    page = context.new_page()
    page.goto(f"/accounts/login/?next=/{name}/")
    page.get_by_label("Username").fill(USERNAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{url}/{name}/")
    if name == "playground":
        page.goto("/conversations/")
        page.get_by_role("link", name="What is a circuit breaker?").click()
        page.locator(".turn .text.rendered").wait_for()
        page.evaluate("document.activeElement.blur()")
    if name == "usage":
        page.goto("/usage/?who=all&period=7d&by=model")
        page.locator(".u-legend").wait_for()
    page.screenshot(path=TARGET / f"{name}.png")
    print(f"docs/screenshots/{name}.png")
    context.close()


if __name__ == "__main__":
    main()
