"""A planted key goes in by every door and through every failure; it comes out of none."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection

from registry.models import AuditEvent, Credential, EndpointPolicy, Provider
from tests.api.conftest import Caller, by_session
from tests.database_file import files_that_hold, sqlite_files
from tests.upstream import Upstream, json_answer, reset_after

KEY = "sk-canary/7Q+planted=0123456789-zyxwv"
HEADER = "hdr-canary/7Q+planted=0123456789-zyxwv"


def forms(secret: str) -> set[str]:
    return {
        secret,
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        secret.replace("/", "\\/"),
        base64.b64encode(secret.encode()).decode().rstrip("="),
        secret.encode().hex(),
        secret[:-4],  # more than the last four is too much
    }


class Sieve:
    """Calls and looks into every answer, headers included."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.seen = 0

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.caller.call(method, path, body)
        text = answer.content.decode() + str(dict(answer.headers))
        for secret in (KEY, HEADER):
            for form in forms(secret):
                assert form not in text, (method, path, text[:300])
        self.seen += 1
        return answer


@pytest.fixture
def upstream(db: None) -> Iterator[Upstream]:
    """An upstream that repeats the key in everything it says."""
    with Upstream() as server:
        echo = json_answer({"error": {"message": f"you sent {KEY} and {HEADER}", "code": KEY}}, status=401)
        listed = json_answer({"data": [{"id": "m-1", "owned_by": "x"}]}, headers={"x-echo": KEY})
        garbage = json_answer({"data": KEY})
        server.on("GET", "/v1/models", echo, listed, garbage, reset_after(b"HTTP/1.1 200 " + KEY.encode()), echo)
        port = int(server.base_url.rpartition(":")[2])
        EndpointPolicy.objects.create(target="127.0.0.1", ports=[port], audience="all")
        yield server


@pytest.mark.parametrize("who", ["alice", "admin"])
def test_no_answer_holds_a_key(who: str, upstream: Upstream, request: pytest.FixtureRequest, caplog: Any) -> None:
    caplog.set_level("DEBUG")
    call = Sieve(by_session(request.getfixturevalue(who)))
    secrets = {"api_key": KEY, "headers": {"X-Extra": HEADER}}
    base = {"name": "p", "adapter": "openai", "base_url": f"{upstream.base_url}/v1"}
    made = call("POST", "/api/providers/", {**base, **secrets}).json()
    credential = call("POST", "/api/credentials/", {"provider": made["id"], "label": "two", **secrets}).json()
    call("POST", "/api/providers/", {**base, **secrets, "adapter": "nope"})
    call("POST", "/api/providers/", {**base, **secrets, "slug": "p"})
    call("POST", "/api/providers/", {**base, "name": "x", "base_url": f"https://u:{KEY}@example.com"})
    call("POST", "/api/providers/", {**base, "name": "y", "headers": {"X-A": f"{KEY}\r\n"}})
    call("POST", "/api/credentials/", {"provider": KEY, "api_key": KEY})
    call("POST", "/api/credentials/", {"provider": made["id"], "label": "bad", "api_key": f"{KEY}\n{KEY}"})
    call("POST", "/api/models/from-template/", {"template": "openai", "name": "t", "api_key": KEY})
    for _ in range(5):
        call("POST", f"/api/providers/{made['id']}/test-connection/")
        call("POST", f"/api/credentials/{credential['id']}/test/")
        call("POST", "/api/models/test-connection/", {"config": {**base, **secrets, "name": None}})
        config = {name: value for name, value in base.items() if name != "name"}
        call("POST", "/api/models/test-connection/", {"config": {**config, **secrets}})
    call("PATCH", f"/api/providers/{made['id']}/", {"api_key": KEY, "name": "renamed"})
    call("PUT", f"/api/credentials/{credential['id']}/", {"provider": made["id"], "label": "two", "api_key": KEY})
    call("PATCH", f"/api/providers/{made['id']}/", {"base_url": "https://elsewhere.example.org"})
    for path in ("providers", "credentials", "models", "audit", "tokens", "usage"):
        call("GET", f"/api/{path}/")
    call("GET", f"/api/providers/{made['id']}/")
    call("GET", f"/api/credentials/{credential['id']}/")
    call("GET", "/api/llm/registry?diagnostics=1")
    call("DELETE", f"/api/credentials/{credential['id']}/")
    assert call.seen > 35
    kept = str([list(model.objects.values()) for model in (Provider, Credential, AuditEvent)]) + caplog.text
    for secret in (KEY, HEADER):
        assert not [form for form in forms(secret) if form in kept]


@pytest.mark.django_db(transaction=True)
def test_no_key_is_in_the_database_file(alice: Any) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("one file is SQLite's alone")
    body = {"name": "p", "adapter": "openai", "api_key": KEY, "headers": {"X-Extra": HEADER}}
    assert by_session(alice).post("/api/providers/", body).status_code == 201
    files = sqlite_files()
    assert files_that_hold(["registry_credential"], files)  # the search itself finds what is there
    assert not files_that_hold(forms(KEY) | forms(HEADER), files)
