"""Six planted secrets go in by every door; then every place that the hub writes to or shows is searched for them.

By value, in six encodings. The upstream repeats the key in body, header and reason, so that failures are swept too.
"""

from __future__ import annotations

import base64
import copy
import io
import json
import logging
import pickle
import secrets
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.apps import apps
from django.conf import settings as hub_settings
from django.contrib import admin as django_admin
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client, RequestFactory
from django.urls import reverse
from django.views.debug import get_exception_reporter_class, technical_500_response

from llmhub.logs import PlainFormatter
from registry.catalog.snapshot import Snapshot
from registry.models import AccessToken, Credential, EndpointPolicy, LLMModel, Provider
from registry.vault.row_security import MAINTENANCE, secrets_of
from tests.upstream import Upstream, json_answer, reset_after

SWEPT_AT_LEAST = 30
PAGES = ("/", "/keys/", "/keys/add/", "/tokens/", "/models/", "/usage/", "/playground/", "/conversations/", "/compare/")
NOUNS = ("providers", "credentials", "models", "tokens", "conversations", "presets", "routes", "prompt-packs", "usage")
NOUNS += ("budgets", "endpoint-policies", "audit")


def canary(kind: str) -> str:
    return f"{kind}-canary/7Q+{secrets.token_urlsafe(24)}="


def forms(secret: str) -> set[bytes]:
    texts = {
        secret,
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        secret.replace("/", "\\/"),
        base64.b64encode(secret.encode()).decode().rstrip("="),
        secret.encode().hex(),
    }
    return {text.encode() for text in texts} | {secret.encode("utf-16-le")}


class Sweep:
    """Looks into one sink after another and remembers which."""

    def __init__(self, planted: dict[str, str]) -> None:
        self.planted = {kind: forms(secret) for kind, secret in planted.items()}
        self.sinks: dict[str, int] = {}

    def __call__(self, sink: str, content: Any) -> None:
        raw = content if isinstance(content, bytes) else str(content).encode("utf-8", "surrogatepass")
        for kind, found in self.planted.items():
            for form in found:
                assert form not in raw, f"the {kind} is in: {sink}"
        self.sinks[sink] = self.sinks.get(sink, 0) + len(raw)

    def answer(self, sink: str, response: Any) -> Any:
        body = b"".join(response.streaming_content) if response.streaming else response.content
        self(sink, body + str(dict(response.headers)).encode() + str(response.reason_phrase).encode())
        return response


@pytest.fixture
def planted() -> dict[str, str]:
    found = {kind: canary(kind) for kind in ("shared key", "own key", "secret header", "typed key")}
    found = {kind: secret.replace(" ", "-") for kind, secret in found.items()}
    ring = hub_settings.LLMHUB_ENCRYPTION_KEYS.rpartition(":")[2]
    return {**found, "ring": ring, "signing key": hub_settings.SECRET_KEY}


@pytest.fixture
def upstream(planted: dict[str, str]) -> Iterator[Upstream]:
    """It repeats whatever it could have been sent."""
    said = " ".join(planted.values())
    with Upstream() as server:
        echo = json_answer(
            {"error": {"message": f"you sent {said}", "code": said}}, status=401, headers={"x-echo": "y"}
        )
        listed = json_answer({"data": [{"id": "m-1"}]}, headers={"x-echo": planted["shared key"]})
        server.on("GET", "/v1/models", echo, listed, json_answer({"data": said}), reset_after(b"HTTP/1.1 200 "), echo)
        server.on("POST", "/v1/chat/completions", echo)
        yield server


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Everything that any logger says, at DEBUG, SQL with its parameters included, as the hub formats it."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(PlainFormatter())
    root, level = logging.getLogger(), logging.getLogger().level
    quiet = [
        logging.getLogger(name) for name in ("httpx", "httpcore", "aiohttp", "asyncio", "django", "django.db.backends")
    ]
    levels = [logger.level for logger in quiet]
    root.addHandler(handler)
    for logger in (root, *quiet):
        logger.setLevel(logging.DEBUG)
    connection.force_debug_cursor = True
    yield out
    connection.force_debug_cursor = False
    root.removeHandler(handler)
    root.setLevel(level)
    for logger, before in zip(quiet, levels, strict=True):
        logger.setLevel(before)


@pytest.mark.timeout(600)
@pytest.mark.django_db
def test_no_place_holds_a_planted_secret(
    planted: dict[str, str], upstream: Upstream, lines: io.StringIO, admin: Any, alice: Any, settings: Any, capfd: Any
) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("the sinks are the hub's own and the same on both: swept once")
    begun = time.time() - 1
    _, plaintext = AccessToken.mint(owner=alice, name="canary")
    sweep = Sweep({**planted, "access token": plaintext})
    EndpointPolicy.objects.create(target="127.0.0.1", audience="all")
    clients = {"admin": Client(raise_request_exception=False), "alice": Client(raise_request_exception=False)}
    clients["admin"].force_login(admin)
    clients["alice"].force_login(alice)
    put_in(sweep, clients, planted, upstream)
    for _ in range(5):
        try_keys(sweep, clients, planted, upstream)
    clients["token"] = Client(headers={"authorization": f"Bearer {plaintext}"}, raise_request_exception=False)
    sweep_faces(sweep, clients)
    sweep_admin(sweep, clients["admin"])
    sweep_reports(sweep, planted, settings)
    sweep_values(sweep, alice)
    sweep_commands(sweep)
    sweep_stores(sweep, begun)
    elsewhere(sweep, clients["admin"])
    sweep("log lines at DEBUG", lines.getvalue())
    out, err = capfd.readouterr()
    sweep("standard output and error", out + err)
    assert "[redacted]" in lines.getvalue() or sweep.sinks["log lines at DEBUG"] > 1000
    assert len(sweep.sinks) >= SWEPT_AT_LEAST, sorted(sweep.sinks)


def put_in(sweep: Sweep, clients: dict[str, Client], planted: dict[str, str], upstream: Upstream) -> None:
    def send(who: str, path: str, body: Any, method: str = "POST") -> Any:
        return sweep.answer(
            f"answers to writes, {method}", clients[who].generic(method, path, json.dumps(body), "application/json")
        )

    base = {"adapter": "openai", "base_url": f"{upstream.base_url}/v1"}
    headers = {"X-Extra": planted["secret header"]}
    shared = {**base, "name": "shared", "is_global": True, "api_key": planted["shared key"], "headers": headers}
    assert send("admin", "/api/providers/", shared).status_code == 201
    own = {"provider": "shared", "label": "mine", "api_key": planted["own key"]}
    assert send("alice", "/api/credentials/", own).status_code == 201
    LLMModel.objects.create(provider=Provider.objects.get(slug="shared"), model_id="m-1", name="m-1")
    for bad in (
        {**shared, "slug": "shared"},
        {**shared, "adapter": "nope", "api_key": planted["typed key"]},
        {**shared, "name": "x", "base_url": f"https://u:{planted['typed key']}@example.com"},
        {**shared, "name": "y", "headers": {"X-A": f"{planted['typed key']}\r\n"}},
        {"name": 5, "api_key": planted["typed key"]},
    ):
        assert send("admin", "/api/providers/", bad).status_code >= 400
    raw = b'{"api_key": "' + planted["typed key"].encode() + b'", '
    sweep.answer(
        "answers to what is no JSON", clients["admin"].generic("POST", "/api/providers/", raw, "application/json")
    )


def try_keys(sweep: Sweep, clients: dict[str, Client], planted: dict[str, str], upstream: Upstream) -> None:
    config = {"adapter": "openai", "base_url": f"{upstream.base_url}/v1", "api_key": planted["typed key"]}
    provider = Provider.objects.get(slug="shared")
    for who in ("admin", "alice"):
        post = clients[who].post
        sweep.answer("connection tests of a provider", post(f"/api/providers/{provider.pk}/test-connection/"))
        asked = json.dumps({"config": config})
        sweep.answer(
            "connection tests of what is not saved",
            post("/api/models/test-connection/", asked, content_type="application/json"),
        )
    for credential in Credential.objects.filter(owner__isnull=False):
        sweep.answer("connection tests of a key", clients["alice"].post(f"/api/credentials/{credential.pk}/test/"))


def sweep_faces(sweep: Sweep, clients: dict[str, Client]) -> None:
    for who, client in clients.items():
        for noun in NOUNS:
            listed = sweep.answer(f"lists of the API, as {who}", client.get(f"/api/{noun}/"))
            rows = listed.json().get("results", []) if listed.status_code == 200 else []
            for row in rows[:5]:
                sweep.answer(f"details of the API, as {who}", client.get(f"/api/{noun}/{row.get('id')}/"))
        sweep.answer("the registry and its diagnostics", client.get("/api/llm/registry?diagnostics=1"))
        sweep.answer("OPTIONS", client.options("/api/providers/"))
        sweep.answer("answers to wrong paths and methods", client.get("/api/nothing/?key=1"))
        sweep.answer("answers to wrong paths and methods", client.delete("/api/providers/"))
    sweep.answer("the audit trail, exported", clients["admin"].get("/api/audit/export/"))
    for path in ("/api/schema/", "/healthz", "/readyz", "/metrics"):
        sweep.answer(path, clients["admin"].get(path))
    for path in PAGES:
        for who in ("admin", "alice"):
            sweep.answer(f"the page {path}", clients[who].get(path))


def sweep_admin(sweep: Sweep, client: Client) -> None:
    for model, model_admin in django_admin.site._registry.items():
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        sweep.answer("lists of the admin", client.get(reverse(f"admin:{name}_changelist")))
        if model_admin.has_add_permission(_request(client)):
            sweep.answer("empty forms of the admin", client.get(reverse(f"admin:{name}_add")))
        row = model._default_manager.order_by("-pk").first()
        if row is not None:
            for page in ("change", "history", "delete"):
                answer = client.get(reverse(f"admin:{name}_{page}", args=[row.pk]))
                sweep.answer(f"pages of the admin: {page}", answer)


def _request(client: Client) -> Any:
    request = RequestFactory().get("/admin/")
    request.user = client.get("/admin/").wsgi_request.user
    return request


def sweep_reports(sweep: Sweep, planted: dict[str, str], settings: Any) -> None:
    """An error report with DEBUG off and on, the secret in a local variable, the message, query, header and body."""
    key = planted["shared key"]
    request = RequestFactory().post(f"/x?key={quote(key)}", {"field": key}, headers={"x-custom": key})
    try:
        held = {"value": key}
        raise ValueError(f"the provider refused {held['value']}")
    except ValueError:
        caught = sys.exc_info()
    reporter = get_exception_reporter_class(request)(request, *caught)
    sweep("error report, text", reporter.get_traceback_text())
    sweep("error report, HTML", reporter.get_traceback_html())
    settings.DEBUG = True
    sweep("error page with DEBUG", technical_500_response(request, *caught).content)
    record = logging.LogRecord("hub", logging.ERROR, __file__, 1, "failed with %s", (key,), caught)
    sweep("traceback in a log line", PlainFormatter().format(record))


def sweep_values(sweep: Sweep, alice: Any) -> None:
    for row in [*Credential.objects.all(), *AccessToken.objects.all(), *Provider.objects.all()]:
        sweep("repr, str and vars of rows", f"{row!r} {row} {vars(row)}")
        sweep("rows, pickled", pickle.dumps(row))
    credential = Credential.objects.get(owner=alice)
    secret = credential.reveal(alice.pk)
    sweep("repr of an opened secret", f"{secret!r} {secret} {[secret]} {secret.__class__}")
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            take(secret)
    snapshot = Snapshot()
    snapshot.refresh()
    snapshot.reveal(credential.pk, alice.pk)
    sweep("repr of the registry in memory", f"{snapshot!r} {snapshot._revealed!r} {snapshot.credentials!r}")
    try:
        Credential.objects.get(pk=credential.pk).reveal("somebody else")
    except Exception as error:
        sweep("traceback of a refused key, with its local variables", "".join(_with_locals(error)))


def _with_locals(error: BaseException) -> Iterable[str]:
    return traceback.TracebackException.from_exception(error, capture_locals=True).format()


def sweep_commands(sweep: Sweep) -> None:
    for command in (
        ("rotate_encryption_keys",),
        ("export_registry",),
        ("export_audit",),
        ("test_provider", "shared"),
        ("discover_models", "--provider", "shared"),
        ("check",),
    ):
        out, err = io.StringIO(), io.StringIO()
        try:
            call_command(*command, stdout=out, stderr=err)
        except CommandError as error:
            err.write(str(error))
        sweep(f"output of {command[0]}", out.getvalue() + err.getvalue())


def sweep_stores(sweep: Sweep, begun: float) -> None:
    with secrets_of(MAINTENANCE):
        for model in apps.get_models(include_auto_created=True):
            rows = model._base_manager.all()
            sweep("every column of every table", "\n".join(str(row) for row in rows.values_list(*_names(model))))
        dump = io.StringIO()
        call_command("dumpdata", stdout=dump)
        sweep("dumpdata", dump.getvalue())
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            script = "\n".join(cursor.connection.iterdump())
        sweep("SQLite's own dump", script)
    sweep("the cache", repr(getattr(cache, "_cache", {})))
    folders = {
        "the journal": Path(hub_settings.LLMHUB_JOURNAL_DIR),
        "counters and metrics": Path(hub_settings.LLMHUB_LIMITS_DIR),
    }
    for sink, folder in folders.items():
        files = [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
        sweep(sink, b"".join(path.read_bytes() for path in files))
    fresh = [path for path in Path(tempfile.gettempdir()).iterdir() if _is_fresh_file(path, begun)]
    sweep("temporary files", b"".join(path.read_bytes() for path in fresh))
    sweep(
        "this process's command line", Path("/proc/self/cmdline").read_bytes() if Path("/proc/self").exists() else b""
    )


def _names(model: Any) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


def _is_fresh_file(path: Path, begun: float) -> bool:
    try:
        return path.is_file() and path.stat().st_mtime >= begun and path.stat().st_size < 10_000_000
    except OSError:
        return False


def elsewhere(sweep: Sweep, client: Client) -> None:
    """Another address for the provider: nothing that was stored goes there."""
    with Upstream() as canary_listener:
        provider = Provider.objects.get(slug="shared")
        body = json.dumps({"base_url": f"{canary_listener.base_url}/v1"})
        assert client.patch(f"/api/providers/{provider.pk}/", body, content_type="application/json").status_code == 200
        client.post(f"/api/providers/{provider.pk}/test-connection/")
        sent = [f"{request.path} {request.headers} {request.body!r}" for request in canary_listener.requests]
        sweep("what another address was sent", "\n".join(sent))
