"""A list costs the same number of queries whatever its length."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry.access import audit
from registry.models import Budget, EndpointPolicy, Message, PresetEntry, RuntimeRegistration
from tests.api.conftest import by_session, make_rows

LISTS = [
    *("providers", "credentials", "models", "tokens", "conversations", "presets", "routes", "prompt-packs"),
    *("budgets", "usage", "endpoint-policies", "audit"),
]


def fill(owner: Any, count: int, start: int = 0) -> Any:
    rows = None
    for number in range(start, start + count):
        rows = make_rows(owner, f"n{number}")
        PresetEntry.objects.create(preset=rows.preset, position=1, model_ref="a/b")
        Message.objects.create(conversation=rows.conversation, role="assistant", content="x")
        Budget.objects.create(user=owner, amount=1)
        Budget.objects.create(model=rows.model, amount=1)
        Budget.objects.create(token=rows.token, amount=1)
        EndpointPolicy.objects.create(target=f"10.0.0.{number}")
        RuntimeRegistration.objects.create(
            owner=owner, slug=f"r{number}", provider="p", label="L", expires_at=timezone.now() + dt.timedelta(hours=1)
        )
        audit.record(owner, "change", rows.provider)
    return rows


def queries_of(caller: Any, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert caller.get(path).status_code == 200
    return len(captured)


@pytest.mark.parametrize(
    "path", [*(f"/api/{name}/?limit=100" for name in LISTS), "/api/llm/registry", "/api/llm/runtime"]
)
def test_more_rows_cost_no_more_queries(admin: Any, path: str) -> None:
    caller = by_session(admin)
    fill(admin, 2)
    few = queries_of(caller, path)
    fill(admin, 5, start=2)
    assert queries_of(caller, path) == few
    assert few <= 10


def test_a_conversations_messages(alice: Any) -> None:
    caller, rows = by_session(alice), fill(alice, 1)
    path = f"/api/conversations/{rows.conversation.pk}/messages/"
    few = queries_of(caller, path)
    for number in range(6):
        Message.objects.create(conversation=rows.conversation, role="user", content=str(number), llm_model=rows.model)
    assert queries_of(caller, path) == few
