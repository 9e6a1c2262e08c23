"""Answers the fuzzer's cases over one database: cases in, statuses out, as JSON. Started by tests.api.fuzz."""

from __future__ import annotations

import base64
import json
import logging
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django


class Undo(Exception):
    """Rolls a case back."""


def main() -> None:
    out = sys.stdout
    sys.stdout = sys.stderr
    django.setup()
    logging.disable(logging.CRITICAL)
    from django.conf import settings
    from django.test.utils import get_runner, setup_test_environment

    setup_test_environment()
    runner = get_runner(settings)(verbosity=0, interactive=False)
    databases = runner.setup_databases()
    try:
        answer(out)
    finally:
        runner.teardown_databases(databases)


def answer(out: Any) -> None:
    rows, clients, schema = begin()
    print(json.dumps({"schema": schema, "rows": rows}), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps([status_of(case, clients) for case in json.loads(line)]), file=out, flush=True)


def begin() -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
    """Rows by noun, a client for each person, and the API's schema."""
    from django.test import Client
    from drf_spectacular.generators import SchemaGenerator

    rows, tokens = plant()
    clients = {name: Client(headers={"authorization": f"Bearer {token}"}, raise_request_exception=False)
               for name, token in tokens.items()}  # fmt: skip
    schema = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]  # it has no types
    return rows, clients, json.loads(json.dumps(schema, default=str))


def status_of(case: dict[str, Any], clients: dict[str, Any]) -> int:
    """How the API answers the case; nothing is changed by it."""
    from django.db import transaction

    found = 0
    try:
        with transaction.atomic():
            client = clients[case["who"]]
            found = client.generic(
                case["method"], case["path"], base64.b64decode(case["body"]), content_type=case["type"]
            ).status_code
            raise Undo
    except Undo:
        return found


def plant() -> tuple[dict[str, str], dict[str, str]]:
    """The same rows with the same keys in every database, and a token for an administrator and for a user."""
    from registry.models import SCOPES, AccessToken, Budget, EndpointPolicy, User
    from tests.api.conftest import make_rows

    with same_keys():
        admin = User.objects.create_superuser("admin", "admin@example.test", "admin-password-1")
        alice = User.objects.create_user("alice", "alice@example.test", "alice-password-1")
        made = make_rows(alice, "alice")
        make_rows(None, "shared")
        budget = Budget.objects.create(user=alice, amount="5")
        policy = EndpointPolicy.objects.create(target="10.0.0.5")
        tokens = {user.username: AccessToken.mint(owner=user, name="fuzz", scopes=list(SCOPES))[1]
                  for user in (admin, alice)}  # fmt: skip
    nouns = {"providers": made.provider, "credentials": made.credential, "models": made.model, "tokens": made.token,
             "conversations": made.conversation, "presets": made.preset, "routes": made.route,
             "prompt-packs": made.prompt_pack, "usage": made.usage, "budgets": budget,
             "endpoint-policies": policy}  # fmt: skip
    return {noun: str(row.pk) for noun, row in nouns.items()}, tokens


@contextmanager
def same_keys() -> Iterator[None]:
    """Keys counted up instead of drawn, while rows are planted: every model's default is asked for one."""
    from registry.models.base import uuid7

    from django.apps import apps  # isort: skip

    count = iter(range(1, 10_000))

    def next_key() -> uuid.UUID:
        return uuid.UUID(int=0x01900000_0000_7000_8000_000000000000 + next(count))

    fields = [field for model in apps.get_models() for field in model._meta.local_fields if field.default is uuid7]
    try:
        for field in fields:
            field.default = next_key
            field.__dict__.pop("_get_default", None)
        yield
    finally:
        for field in fields:
            field.default = uuid7
            field.__dict__.pop("_get_default", None)


if __name__ == "__main__":
    main()
