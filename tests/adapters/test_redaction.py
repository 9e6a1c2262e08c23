"""Known secrets come out of text by value, however they were quoted, and nothing else does."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import create_adapter, redaction
from adapters.redaction import REDACTED, redact, remember


@pytest.fixture(autouse=True, scope="module")
def forget() -> Iterator[None]:
    """What odd values are remembered here must not be taken out of other tests' lines."""
    kept = redaction._digests.copy(), {head: set(found) for head, found in redaction._lengths.items()}
    yield
    redaction._digests.clear()
    redaction._lengths.clear()
    redaction._seen.clear()
    redaction._digests.update(kept[0])
    redaction._lengths.update(kept[1])


KEY = "sk-remembered/7Q+planted=0123456789-zyxwv"
FORMS = {
    "as it is": KEY,
    "in a URL": quote(KEY, safe=""),
    "in a path": quote(KEY),
    "in JSON": json.dumps(KEY)[1:-1],
    "in JSON of PHP's kind": KEY.replace("/", "\\/"),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "hexadecimal": KEY.encode().hex(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_remembered_secret_is_taken_out_in_every_form(form: str) -> None:
    remember(KEY)
    for text in (form, f"before {form} after", f"https://h.example/v1?key={form}&x=1", f"{form}{form}"):
        told = redact(text)
        assert form.rstrip("=") not in told
        assert REDACTED in told
    assert redact(f"before {KEY} after") == f"before {REDACTED} after"


def test_other_text_stays_as_it_is() -> None:
    remember(KEY)
    for text in ("", "short", KEY[:20], KEY[1:], KEY[:-1], KEY.upper(), "a" * 10_000, "sk-remembered is a prefix"):
        assert redact(text) == text


def test_secrets_that_are_each_others_forms_are_kept_once() -> None:
    remember(KEY)
    kept = len(redaction._digests)
    remember(quote(KEY, safe=""))
    assert len(redaction._digests) < 2 * kept
    assert redact(f"a {quote(KEY, safe='')} b") == f"a {REDACTED} b"


def test_the_longest_of_two_secrets_that_begin_alike_goes() -> None:
    remember(KEY, KEY + "-and-more")
    assert redact(f"{KEY}-and-more") == REDACTED


def test_short_values_and_none_are_not_remembered() -> None:
    remember(None, "", "password", "elevenchars")
    assert redact("the password of elevenchars") == "the password of elevenchars"


def test_no_plaintext_is_kept() -> None:
    remember(KEY)
    kept = repr((redaction._digests, redaction._lengths, redaction._seen))
    for at in range(len(KEY) - 8):
        assert KEY[at : at + 8] not in kept


def test_what_was_used_last_is_kept_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "MAX_REMEMBERED", 50)
    for number in range(100):
        remember(f"secret-number-{number:05}")
    assert redact("secret-number-00099") == REDACTED
    assert len(redaction._digests) <= 50


def test_an_adapters_key_is_remembered() -> None:
    key = "sk-of-an-adapter-0123456789"
    create_adapter("openai", api_key=key)
    assert redact(f"{sys.platform} {key}") == f"{sys.platform} {REDACTED}"


@given(st.text(max_size=80), st.text(min_size=12, max_size=40), st.text(max_size=80))
def test_a_secret_in_any_text_is_gone_and_the_text_around_it_is_not(before: str, secret: str, after: str) -> None:
    remember(secret)
    told = redact(f"{before}{secret}{after}")
    assert secret not in told
