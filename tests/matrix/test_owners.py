"""Every page that names a row x its owner, a colleague, a stranger and an administrator: another's row is not there.

The REST routes have theirs in tests/api/test_matrix.py, the lane in tests/gateway/test_lane_matrix.py.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import transaction
from django.test import Client
from django.urls import reverse

from registry.models import Experiment
from registry.web.urls import urlpatterns
from tests.api.conftest import Rows, make_rows
from tests.matrix.test_every_route import METHODS, Undo

# Which of alice's rows a page is about.
PRIVATE = {
    **dict.fromkeys(
        ("key_added", "key_models", "key_models_add", "key_test", "key_replace", "key_toggle"), "credential"
    ),
    **dict.fromkeys(("key_delete",), "credential"),
    **dict.fromkeys(("provider_added", "provider_test", "provider_delete"), "provider"),
    **dict.fromkeys(("model", "model_default", "model_first"), "model"),
    **dict.fromkeys(("conversation_rename", "conversation_export", "conversation_delete"), "conversation"),
    **dict.fromkeys(("playground_conversation", "playground_place", "playground_drop"), "conversation"),
    **dict.fromkeys(("experiment", "experiment_vote", "experiment_delete"), "experiment"),
    **dict.fromkeys(("token_rotate", "token_revoke"), "token"),
}
# Whom these are about is a matter of rank, not of owning: test_every_route.py and tests/web/test_people.py ask.
OF_RANK = {"someone", "someone_sign_out", "someone_second_factor", "invitation_withdraw", "invitation", "setup",
           "service", "service_toggle", "service_token_revoke"}  # fmt: skip


@pytest.fixture
def rows(alice: Any, bob: Any, charlie: Any) -> Rows:
    """Alice's rows; bob shares a group with her, charlie nothing."""
    team = Group.objects.create(name="team")
    alice.groups.add(team)
    bob.groups.add(team)
    return make_rows(alice, "alice")


def row_of(name: str, rows: Rows, alice: Any) -> Any:
    if PRIVATE[name] == "experiment":
        return Experiment.objects.create(owner=alice, conversation=rows.conversation, prompt="alice asked")
    return getattr(rows, PRIVATE[name])


def state_of(row: Any) -> Any:
    found = type(row)._default_manager.filter(pk=row.pk).first()
    return found and {field.attname: getattr(found, field.attname) for field in found._meta.concrete_fields}


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_every_page_about_a_row_is_here() -> None:
    named = {pattern.name for pattern in urlpatterns if "<" in str(pattern.pattern)}
    of_accounts = {
        name for name in named if name and name.startswith(("mfa_", "account_", "socialaccount_", "openid_"))
    }
    assert named - of_accounts == set(PRIVATE) | OF_RANK


@pytest.mark.parametrize("who", ["bob", "charlie", "admin"])
@pytest.mark.parametrize("name", PRIVATE)
def test_another_persons_row_is_not_there(
    name: str, who: str, rows: Rows, alice: Any, request: pytest.FixtureRequest
) -> None:
    row, client = row_of(name, rows, alice), signed_in(request.getfixturevalue(who))
    before = state_of(row)
    for method in METHODS:
        answer = client.generic(method, reverse(name, args=[row.pk]), b"", content_type="application/json")
        assert answer.status_code in (404, 405), (method, answer.status_code)
        assert b"alice-" not in answer.content and b"alice talk" not in answer.content
    assert client.get(reverse(name, args=[row.pk])).status_code in (404, 405)
    assert state_of(row) == before


@pytest.mark.parametrize("name", sorted(set(PRIVATE) - {"model_first"}))  # that is for admins, and shared models
def test_the_owner_opens_it(name: str, rows: Rows, alice: Any) -> None:
    type(rows.provider).objects.filter(pk=rows.provider.pk).update(adapter="stub")  # a test of a key calls nobody
    row, client = row_of(name, rows, alice), signed_in(alice)
    seen = set()
    for method in ("GET", "POST"):
        try:
            with transaction.atomic():
                answer = client.generic(method, reverse(name, args=[row.pk]), b"", content_type="application/json")
                seen.add(answer.status_code)
                raise Undo
        except Undo:
            pass
    assert seen - {404, 405, 403}, seen
