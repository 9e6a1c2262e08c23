"""create_access_token: the token alone on standard output, and a clear refusal for what can't be."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from registry.models import AccessToken
from registry.models.access_token import digest_of, prefix_of


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("create_access_token", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_prints_the_token_alone_and_keeps_only_its_digest(alice: Any) -> None:
    out, err = run("alice", "--name", "laptop")
    plaintext = out.removesuffix("\n")
    token = AccessToken.objects.get(owner=alice)
    assert out.count("\n") == 1
    assert prefix_of(plaintext) == token.prefix
    assert token.digest == digest_of(plaintext)
    assert plaintext not in err
    assert token.name == "laptop" and token.is_live and token.expires_at is None


def test_takes_scopes_and_expiry(alice: Any) -> None:
    run("alice", "--name", "t", "--scopes", "usage,chat", "--expires-days", "2")
    token = AccessToken.objects.get(owner=alice)
    assert token.scopes == ["chat", "usage"]
    assert token.expires_at is not None and 1 <= (token.expires_at - token.created_at).days <= 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("nobody", "--name", "t"),
        ("alice", "--name", ""),
        ("alice", "--name", "t" * 81),
        ("alice", "--name", "t", "--scopes", "root"),
        ("alice", "--name", "t", "--expires-days", "0"),
        ("alice", "--name", "t", "--expires-days", "99999999999"),
    ],
)
def test_refuses_with_a_message_and_makes_nothing(alice: Any, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run(*arguments)
    assert not AccessToken.objects.exists()


def test_refuses_an_inactive_user(alice: Any) -> None:
    alice.is_active = False
    alice.save()
    with pytest.raises(CommandError, match="not active"):
        run("alice", "--name", "t")
