"""Tokens change their secret without a gap, and what a token made never does more than that token."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from registry.access.people import People, token_entry
from registry.access.tokens import TokenError, verify
from registry.models import AccessToken, AuditEvent
from registry.models.access_token import MAX_GRACE
from tests.api.conftest import Caller


def by_token(plaintext: str) -> Caller:
    return Caller(authorization=f"Bearer {plaintext}")


def opens(plaintext: str) -> bool:
    """At the lane and at the API: both or none."""
    row = AccessToken.objects.get(prefix=plaintext.split("_")[1])
    try:
        verify(token_entry(row), plaintext)
        lane = True
    except TokenError:
        lane = False
    api = by_token(plaintext).get("/api/tokens/").status_code != 401
    assert lane == api
    return lane


@pytest.mark.django_db
def test_both_secrets_open_for_the_time_of_grace_and_then_the_new_one_alone(alice: Any) -> None:
    row, old = AccessToken.mint(owner=alice, name="t", scopes=["manage"])
    answer = by_token(old).post(f"/api/tokens/{row.pk}/rotate/", {"grace_s": 600})
    assert answer.status_code == 200, answer.content
    new = answer.json()["token"]
    assert new != old and new.split("_")[1] == old.split("_")[1]
    assert opens(old) and opens(new)
    AccessToken.objects.filter(pk=row.pk).update(old_digest_until=timezone.now() - dt.timedelta(seconds=1))
    assert opens(new) and not opens(old)
    event = AuditEvent.objects.get(action="rotate", row=row.pk)
    for secret in (old, new, row.digest, AccessToken.objects.get().digest):
        assert secret not in f"{event.before}{event.after}"


@pytest.mark.django_db
def test_without_a_grace_the_old_secret_ends_at_once(alice: Any) -> None:
    row, old = AccessToken.mint(owner=alice, name="t", scopes=["manage"])
    new = row.rotate(dt.timedelta(0))
    assert opens(new) and not opens(old)
    newer = row.rotate(dt.timedelta(hours=1))
    assert opens(newer) and opens(new) and not opens(old)


@pytest.mark.django_db
def test_revoking_ends_both_secrets(alice: Any) -> None:
    row, old = AccessToken.mint(owner=alice, name="t", scopes=["manage"])
    new = row.rotate(dt.timedelta(hours=1))
    row.revoke()
    assert not opens(new) and not opens(old)
    with pytest.raises(ValidationError):
        row.rotate(dt.timedelta(0))


@pytest.mark.django_db
@pytest.mark.parametrize("grace", [dt.timedelta(seconds=-1), MAX_GRACE + dt.timedelta(seconds=1)])
def test_a_grace_without_end_is_refused(alice: Any, grace: dt.timedelta) -> None:
    row, old = AccessToken.mint(owner=alice, name="t", scopes=["manage"])
    with pytest.raises(ValidationError):
        row.rotate(grace)
    assert opens(old)


@pytest.mark.django_db
def test_a_narrow_token_does_not_get_a_wider_one_by_rotating_it(alice: Any, bob: Any) -> None:
    wide, _ = AccessToken.mint(owner=alice, name="wide", scopes=["chat", "models", "usage", "manage"])
    _, narrow = AccessToken.mint(owner=alice, name="narrow", scopes=["manage"])
    others, _ = AccessToken.mint(owner=bob, name="others", scopes=["manage"])
    assert by_token(narrow).post(f"/api/tokens/{wide.pk}/rotate/", {}).status_code == 400
    assert by_token(narrow).post(f"/api/tokens/{others.pk}/rotate/", {}).status_code == 404
    assert AccessToken.objects.get(pk=wide.pk).digest == wide.digest


@pytest.mark.django_db
def test_what_a_token_made_is_bounded_by_it_at_the_time_of_use(alice: Any) -> None:
    maker, plaintext = AccessToken.mint(owner=alice, name="maker", scopes=["chat", "models", "manage"])
    answer = by_token(plaintext).post("/api/tokens/", {"name": "made", "scopes": ["chat", "manage"]})
    assert answer.status_code == 201, answer.content
    made, child = AccessToken.objects.get(name="made"), answer.json()["token"]
    grandchild = by_token(child).post("/api/tokens/", {"name": "grand", "scopes": ["manage"]}).json()["token"]
    assert made.made_with == maker and token_entry(made).scopes == {"chat", "manage"}
    AccessToken.objects.filter(pk=maker.pk).update(scopes=["manage"])
    assert token_entry(AccessToken.objects.get(pk=made.pk)).scopes == {"manage"}
    AccessToken.objects.filter(pk=maker.pk).update(scopes=["chat"])
    for token in (child, grandchild):
        assert by_token(token).get("/api/tokens/").status_code == 403
    AccessToken.objects.get(pk=maker.pk).revoke()
    for token in (child, grandchild):
        assert not opens(token)


@pytest.mark.django_db
def test_a_worker_that_knows_a_token_hears_of_its_rotation_and_of_its_makers_end(alice: Any) -> None:
    people = People()
    maker, _ = AccessToken.mint(owner=alice, name="maker", scopes=["chat", "manage"])
    row, old = AccessToken.mint(owner=alice, name="t", scopes=["chat"], made_with=maker)
    assert people.find_token(row.prefix)
    new = row.rotate(dt.timedelta(hours=1))
    people.note_changes(frozenset({"registry_accesstoken"}))
    for plaintext in (old, new):
        assert verify(people.tokens[row.prefix], plaintext).old_digest_until > time.time()
    maker.revoke()
    people.note_changes(frozenset({"registry_accesstoken"}))
    with pytest.raises(TokenError, match="revoked"):
        verify(people.tokens[row.prefix], new)
