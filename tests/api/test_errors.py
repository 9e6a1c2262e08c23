"""Bad input at every door: a clear 4xx in the one shape, nothing written, the same on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection

from registry.models import AuditEvent, Provider
from tests.api.conftest import Caller, by_session, by_token

BODIES = {
    "empty": b"",
    "cut short": b'{"name": "x"',
    "null": b"null",
    "list": b"[]",
    "text": b'"x"',
    "number": b"1",
    "200,000 lists deep": b"[" * 200_000 + b"]" * 200_000,
    "200,000 objects deep": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "65 deep": b'{"name":' + b"[" * 65 + b"]" * 65 + b"}",
    "deep in a JSON column": b'{"name":"x","adapter":"stub","metadata":' + b'{"a":' * 100 + b"1" + b"}" * 101,
    "NaN": b'{"name": "x", "adapter": "stub", "metadata": {"a": NaN}}',
    "Infinity": b'{"name": "x", "adapter": "stub", "fee_percent": -Infinity}',
    "1e400": b'{"name": "x", "adapter": "stub", "fee_percent": 1e400}',
    "5,000 digits": b'{"name": "x", "adapter": "stub", "fee_percent": ' + b"9" * 5000 + b"}",
    "NUL in a text": b'{"name": "a\\u0000b", "adapter": "stub"}',
    "NUL in a JSON column": b'{"name": "x", "adapter": "stub", "metadata": {"a": "\\u0000"}}',
    "NUL in a key": b'{"name": "x", "adapter": "stub", "metadata": {"\\u0000": 1}}',
    "lone surrogate": b'{"name": "\\ud800", "adapter": "stub"}',
    "lone surrogate in a JSON column": b'{"name": "x", "adapter": "stub", "metadata": {"a": "\\udfff"}}',
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "raw control character": b'{"name": "a\x00b"}',
}


def is_error(answer: Any, status: int, type_: str) -> bool:
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (status, type_), answer.content[:500]
    assert error["message"]
    assert error["request_id"] == answer["x-request-id"]
    return True


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("path", ["/api/providers/", "/api/models/test-connection/", "/api/llm/runtime/register"])
def test_a_malformed_body_is_a_400(admin: Any, path: str, body: bytes) -> None:
    assert is_error(by_session(admin).post(path, body), 400, "invalid_request")
    assert Provider.objects.count() == 0
    assert AuditEvent.objects.count() == 0


def test_a_body_over_the_limit_is_a_413(admin: Any) -> None:
    body = b'{"name": "' + b"x" * settings.LLMHUB_MAX_BODY_BYTES + b'"}'
    assert is_error(by_session(admin).post("/api/providers/", body), 413, "body_too_large")


def test_a_big_body_under_the_limit_is_a_400(admin: Any) -> None:
    body = b'{"adapter": "stub", "name": "' + b"x" * (19 * 1024 * 1024) + b'"}'
    assert is_error(by_session(admin).post("/api/providers/", body), 400, "invalid_request")


def test_a_huge_json_column_is_a_400(admin: Any) -> None:
    body = {"name": "x", "adapter": "stub", "metadata": {"a": "x" * 100_000}}
    answer = by_session(admin).post("/api/providers/", body)
    assert answer.json()["error"]["param"] == "metadata"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_another_content_type_is_a_415(admin: Any, content_type: str) -> None:
    answer = by_session(admin).client.post("/api/providers/", data="name=x", content_type=content_type)
    assert is_error(answer, 415, "unsupported_media_type")


def test_no_credentials_is_a_401_that_says_how(client: Any) -> None:
    answer = client.get("/api/providers/")
    assert is_error(answer, 401, "authentication_error")
    assert answer["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "value",
    ["Bearer", "Bearer ", "Basic YTpi", "Bearer llmhub_", "Bearer llmhub_aaaaaaaaaaaa_x", "Bearer ' OR 1=1 --",
     "Bearer " + "x" * 100_000, "Bearer llmhub_\xe9\xe9\xe9_x"],
)  # fmt: skip
@pytest.mark.django_db
def test_a_token_that_opens_nothing_is_a_401(value: str) -> None:
    assert is_error(Caller(authorization=value).get("/api/providers/"), 401, "authentication_error")


def test_two_tokens_that_differ_are_refused(alice: Any, bob: Any) -> None:
    one, two = by_token(alice), by_token(bob)
    mixed = Caller(**{"authorization": one.client.defaults["HTTP_AUTHORIZATION"],
                      "x-api-key": two.client.defaults["HTTP_AUTHORIZATION"].removeprefix("Bearer ")})  # fmt: skip
    assert mixed.get("/api/providers/").status_code == 401


def test_a_session_needs_its_csrf_token_to_write(alice: Any) -> None:
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    body = {"name": "x", "adapter": "stub"}
    answer = client.post("/api/providers/", body, content_type="application/json")
    assert is_error(answer, 403, "permission_denied")
    assert client.get("/api/providers/").status_code == 200
    assert Provider.objects.count() == 0


@pytest.mark.parametrize(
    "path",
    ["/api/", "/api/nothing/", "/api/providers/1/", "/api/providers/..%2f/", "/api/providers/%00/", "/api/%00",
     "/api/providers/00000000-0000-0000-0000-000000000000/", "/api/llm/prompt-pack/none", "/api/llm/prompt-pack/%00"],
)  # fmt: skip
def test_a_path_that_leads_nowhere_is_a_404_in_the_same_shape(admin: Any, path: str) -> None:
    assert is_error(by_session(admin).get(path), 404, "not_found")


def test_a_missing_slash_is_named(admin: Any) -> None:
    assert "/api/providers/" in by_session(admin).get("/api/providers").json()["error"]["message"]


def test_a_method_that_is_not_there_is_a_405(admin: Any) -> None:
    assert is_error(by_session(admin).get("/api/models/test-connection/"), 405, "method_not_allowed")
    assert is_error(by_session(admin).delete("/api/providers/"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "query",
    ["cursor=%00", "cursor=bm90aGluZw%3D%3D", "cursor=cD0lMDA%3D", "limit=-1", "limit=0", "limit=x",
     "limit=999999999999",
     "ordering=owner__password", "ordering=%00", "search=%00", "search=%25%27", "tier=nope", "enabled=maybe",
     "owner=root", "min_context=-5", "min_context=1e400", "min_context=NaN", "capability=flying", "tag=%00",
     "provider=%27%20OR%201=1", "owner__password__startswith=a"],
)  # fmt: skip
def test_a_malformed_query_is_never_a_500(admin: Any, query: str) -> None:
    answer = by_session(admin).get(f"/api/models/?{query}")
    assert answer.status_code in (200, 400, 404), answer.content


@pytest.mark.django_db(transaction=True)  # PostgreSQL refuses some in the query itself, which ends a transaction
def test_a_cursor_of_another_list_is_no_500(admin: Any) -> None:
    import base64

    for text in ("p=not-a-date", "p=2026-13-45", "p=", "o=-1&p=x", "p=9999-12-31T23:59:59.999999-23:59"):
        cursor = base64.b64encode(text.encode()).decode()
        for path in ("/api/usage/", "/api/providers/", "/api/conversations/", "/api/audit/"):
            answer = by_session(admin).get(f"{path}?cursor={cursor}")
            assert answer.status_code in (200, 400, 404), (path, text, answer.content)


def test_a_database_that_is_gone_is_a_503_and_never_a_401(alice: Any) -> None:
    caller = by_token(alice)

    def down(*_: Any) -> None:
        raise OperationalError("gone")

    with connection.execute_wrapper(down):
        answer = caller.get("/api/providers/")
    assert is_error(answer, 503, "unavailable")
    assert answer["retry-after"]


def test_what_nobody_foresaw_tells_nothing(alice: Any, caplog: Any) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the password is hunter2")

    caller = by_token(alice)
    with connection.execute_wrapper(broken):
        answer = caller.get("/api/providers/")
    assert is_error(answer, 500, "internal_error")
    assert "hunter2" not in answer.content.decode()
    assert answer["x-request-id"] in caplog.text
