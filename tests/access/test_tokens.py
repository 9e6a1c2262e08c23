"""What a presented token opens, and in which words it is refused."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from adapters.redaction import redact
from registry.access.people import token_entry
from registry.access.principals import Principal, TokenEntry
from registry.access.tokens import (
    TokenError,
    check_network,
    check_role,
    check_scope,
    mint_session_token,
    prefix_of,
    verify,
)
from registry.catalog.entries import LLMEntry
from registry.models import AccessToken
from registry.models.access_token import MAX_GRACE, digest_of

PLAINTEXT = f"llmhub_{'a' * 12}_secret-part"


def held(**fields: Any) -> TokenEntry:
    values = {"id": 1, "name": "t", "prefix": "a" * 12, "digest": digest_of(PLAINTEXT), "owner_id": 1}
    return TokenEntry(**values | fields)


def refusal(check: Any, *arguments: Any) -> TokenError:
    with pytest.raises(TokenError) as caught:
        check(*arguments)
    return caught.value


def test_the_right_secret_opens() -> None:
    token = held(expires_at=time.time() + 60)
    assert verify(token, PLAINTEXT) is token


@pytest.mark.parametrize(
    "presented", [PLAINTEXT[:-1], PLAINTEXT + "x", f"llmhub_{'a' * 12}_other", "", "llmhub_nobody"]
)
def test_a_wrong_secret_and_a_wrong_prefix_are_refused_in_the_same_words(presented: str) -> None:
    one, other = refusal(verify, held(), presented), refusal(verify, None, presented)
    assert (one.message, one.code, one.status) == (other.message, other.code, other.status)
    assert (one.code, one.status) == ("invalid_api_key", 401)


def test_a_revoked_or_expired_token_is_told_to_its_holder_alone() -> None:
    ended = {"token_revoked": held(revoked_at=1.0), "token_expired": held(expires_at=time.time() - 1)}
    for code, token in ended.items():
        assert refusal(verify, token, PLAINTEXT).code == code
        assert refusal(verify, token, PLAINTEXT + "x").code == "invalid_api_key"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sk-abc",
        "llmhub_",
        "llmhub_short_x",
        f"llmhub_{'a' * 12}",
        f"llmhub_{'a' * 12}_",
        "llmhub_" + "é" * 12 + "_x",
        f"llmhub_{'a' * 12}_{'x' * 120}",
    ],
)
def test_what_has_not_a_tokens_form_has_no_prefix(text: str) -> None:
    assert prefix_of(text) is None


@pytest.mark.parametrize(
    ("networks", "address", "opens"),
    [
        ((), "203.0.113.9", True),
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8", "fd00::/8"), "fd00::1", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.0.0.0/8",), "fd00::1", False),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("0.0.0.0/0",), "", False),
        (("0.0.0.0/0",), "unix", False),
        (("nonsense",), "10.1.2.3", False),
        (("10.0.0.1/8", "10.1.0.0/16"), "10.1.2.3", True),
    ],
)
def test_a_token_is_used_from_its_networks_alone(networks: tuple[str, ...], address: str, opens: bool) -> None:
    if opens:
        check_network(held(networks=networks), address)
    else:
        error = refusal(check_network, held(networks=networks), address)
        assert (error.code, error.status) == ("address_not_allowed", 403)


def test_a_scope_that_was_not_given_is_refused() -> None:
    check_scope(held(scopes=frozenset({"chat"})), "chat")
    check_scope(None, "manage")
    error = refusal(check_scope, held(scopes=frozenset({"chat"})), "manage")
    assert (error.code, error.status) == ("insufficient_scope", 403)


@pytest.mark.django_db
def test_a_minted_token_proves_itself_and_only_its_digest_is_stored(alice: Any) -> None:
    row, plaintext = AccessToken.mint(owner=alice, name="t")
    assert prefix_of(plaintext) == row.prefix
    assert verify(token_entry(row), plaintext)
    stored = repr(list(AccessToken.objects.values()))
    assert plaintext not in stored and plaintext.split("_", 2)[2] not in stored


@pytest.mark.django_db
def test_a_pages_token_is_short_lived_and_the_old_ones_go(alice: Any, bob: Any) -> None:
    mint_session_token(bob)
    AccessToken.objects.update(expires_at="2020-01-01T00:00:00Z")
    AccessToken.mint(owner=alice, name="kept")
    mint_session_token(alice)
    plaintext, expires_at = mint_session_token(alice)
    row = AccessToken.objects.get(prefix=prefix_of(plaintext))
    assert (row.scopes, row.session, row.expires_at) == (["chat", "models"], True, expires_at)
    assert AccessToken.objects.filter(owner=bob).exists()
    AccessToken.objects.filter(owner=alice, session=True).update(expires_at="2020-01-01T00:00:00Z")
    mint_session_token(alice)
    assert sorted(AccessToken.objects.filter(owner=alice).values_list("name", flat=True)) == ["browser session", "kept"]


def entry(**fields: Any) -> LLMEntry:
    return LLMEntry(**{"id": 5, "name": "gpt", "provider": "openai", "model": "gpt-4o"} | fields)


def test_a_principal_uses_what_is_theirs_or_everybodys() -> None:
    alice = Principal(user_id=1, group_ids=frozenset({7}))
    assert alice.may_use(entry()) and alice.may_use(entry(owner_id=1))
    assert not alice.may_use(entry(owner_id=2))
    assert alice.may_use(entry(allowed_group_ids=frozenset({7, 8})))
    assert not alice.may_use(entry(allowed_group_ids=frozenset({8})))
    assert not alice.may_use(entry(allowed_group_ids=frozenset()))
    assert Principal(user_id=1, is_admin=True).may_use(entry(allowed_group_ids=frozenset({8})))
    assert not Principal(user_id=1, is_admin=True).may_use(entry(owner_id=2))
    assert not Principal().may_use(entry(owner_id=2))


@pytest.mark.parametrize("name", ["gpt", "gpt-4o", "5"])
def test_a_token_keeps_its_holder_to_its_models(name: str) -> None:
    limited = Principal(user_id=1, token=held(allowed_models=frozenset({name})))
    assert limited.may_use(entry())
    assert not limited.may_use(entry(id=6, name="other", model="other"))
    assert not limited.may_use(entry(owner_id=2))


def test_a_role_that_was_taken_back_takes_the_tokens_scope_along() -> None:
    check_role(Principal(user_id=1, scopes=None), "manage")
    check_role(Principal(user_id=1, scopes=frozenset({"chat"})), "chat")
    error = refusal(check_role, Principal(user_id=1, scopes=frozenset({"chat"})), "manage")
    assert (error.code, error.status, str(error)) == ("insufficient_role", 403, error.message)


def test_the_instant_of_an_end_is_already_past_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.access.tokens.time.time", lambda: 1000.0)
    old = f"llmhub_{'a' * 12}_older"
    rotated = {"old_digest": digest_of(old)}
    assert verify(held(**rotated, old_digest_until=1000.5), old)
    assert refusal(verify, held(**rotated, old_digest_until=1000.0), old).code == "invalid_api_key"
    assert verify(held(expires_at=1000.5), PLAINTEXT)
    assert refusal(verify, held(expires_at=1000.0), PLAINTEXT).code == "token_expired"


def test_a_network_may_be_written_by_any_address_in_it() -> None:
    check_network(held(networks=("10.0.0.1/8",)), "10.1.2.3")


def test_a_presented_token_and_a_new_one_are_known_to_the_redaction() -> None:
    presented = f"llmhub_{'b' * 12}_{'presented-secret-' * 2}"
    assert presented in redact(f"saw {presented}")
    verify(held(digest=digest_of(presented)), presented)
    assert presented not in redact(f"saw {presented}")


@pytest.mark.parametrize(("length", "has"), [(128, True), (129, False)])
def test_a_token_is_at_most_128_characters(length: int, has: bool) -> None:
    text = f"llmhub_{'a' * 12}_"
    assert (prefix_of(text + "x" * (length - len(text))) == "a" * 12) is has


@pytest.mark.django_db
def test_a_new_token_is_checked_long_and_redacted(alice: Any) -> None:
    with pytest.raises(ValidationError):
        AccessToken.mint(owner=alice, name="n" * 81)
    row, plaintext = AccessToken.mint(owner=alice, name="t")
    assert len(plaintext.removeprefix(f"llmhub_{row.prefix}_")) == 43  # 32 random bytes
    assert plaintext not in redact(f"made {plaintext}")


@pytest.mark.django_db
def test_a_token_lives_until_its_expiry_and_is_rotated_no_longer(alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    monkeypatch.setattr("registry.models.access_token.timezone.now", lambda: now)
    later, _ = AccessToken.mint(owner=alice, name="later", expires_at=now + dt.timedelta(seconds=1))
    ended, _ = AccessToken.mint(owner=alice, name="ended", expires_at=now)
    assert later.is_live and later.rotate(MAX_GRACE)
    assert not ended.is_live
    with pytest.raises(ValidationError):
        ended.rotate(dt.timedelta(0))


@pytest.mark.django_db
def test_a_second_revocation_leaves_the_first_ones_time(alice: Any) -> None:
    row, _ = AccessToken.mint(owner=alice, name="t")
    row.revoke()
    first = row.revoked_at
    row.revoke()
    assert row.revoked_at == AccessToken.objects.get(pk=row.pk).revoked_at == first


@pytest.mark.django_db
def test_a_pages_token_ends_ten_minutes_on(alice: Any) -> None:
    _, expires_at = mint_session_token(alice)
    assert dt.timedelta(minutes=5) < expires_at - timezone.now() <= dt.timedelta(minutes=10)
