"""What Ctrl+K finds, and for whom."""

from __future__ import annotations

from typing import Any

import pytest

from registry.models import AccessToken, Conversation, Credential
from tests.web.conftest import signed_in


@pytest.mark.parametrize(
    ("text", "kind", "title"),
    [
        ("usage", "page", "Usage"),
        ("luna", "model", "gpt-6-luna"),
        ("alice asks", "conversation", "Alice asks"),
        ("openai", "key", "OpenAI · default"),
        ("lapt", "token", "laptop"),
    ],
)
def test_everything_of_ones_own_is_found(
    alice: Any, charlie: Any, key: Credential, conversation: Conversation, text: str, kind: str, title: str
) -> None:
    AccessToken.mint(owner=alice, name="laptop")
    found = {(one.kind, one.title) for one in signed_in(alice).get("/find/", {"q": text}).context["found"]}
    assert (kind, title) in found
    others = {(one.kind, one.title) for one in signed_in(charlie).get("/find/", {"q": text}).context["found"]}
    assert ((kind, title) in others) == (kind in ("page", "model"))


def test_administration_is_for_administrators_and_nothing_found_is_said(admin: Any, alice: Any) -> None:
    assert "Audit trail" in signed_in(admin).get("/find/?q=audit").content.decode()
    text = signed_in(alice).get("/find/?q=audit%00").content.decode()
    assert "Audit trail" not in text and "Nothing here is called" in text
