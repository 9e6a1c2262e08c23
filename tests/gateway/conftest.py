"""The hub under its real server: granian and the recorder as processes, on the test database, calling a real upstream.

Rows are committed, so each test names its rows for itself and `clean` takes all away afterwards.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction

from registry.models import (
    AccessToken,
    Conversation,
    Credential,
    EndpointPolicy,
    LLMModel,
    ModelPrice,
    Preset,
    PromptPack,
    Provider,
    Route,
    RuntimeRegistration,
    UsageDay,
    UsageRecord,
    UsageRollup,
    UsageSlice,
    User,
)
from tests.gateway.ports import free_port
from tests.upstream import Upstream

ROOT = Path(__file__).resolve().parents[2]


def database_url() -> str:
    """The test database's address for another process."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    base = os.environ["LLMHUB_TEST_DATABASE_URL"]
    head, _, tail = base.partition("?")
    return head.rsplit("/", 1)[0] + f"/{database['NAME']}" + (f"?{tail}" if tail else "")


@dataclass
class Hub:
    """A running hub. `log` holds what both processes wrote."""

    base_url: str
    journal: Path
    log: Path
    environment: dict[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def client(self, token: str | None = None, **kwargs: Any) -> httpx.Client:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.base_url, headers=headers, timeout=20, trust_env=False, **kwargs)


def start_hub(folder: Path, *, workers: int = 1, **more: str) -> Hub:
    """Start granian on a free port, and the recorder; `more` goes into their environment. The caller stops it."""
    port = free_port()
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "LLMHUB_", "COV_"))
    }
    environment |= {
        "DJANGO_SETTINGS_MODULE": "llmhub.settings",
        "DATABASE_URL": database_url(),
        "DJANGO_SECRET_KEY": settings.SECRET_KEY,
        "LLMHUB_ENCRYPTION_KEYS": settings.LLMHUB_ENCRYPTION_KEYS,
        "LLMHUB_DATA_DIR": str(folder),
        "LLMHUB_JOURNAL_DIR": str(folder / "journal"),
        "LLMHUB_LOG_LEVEL": "debug",
        **more,
    }
    hub = Hub(f"http://127.0.0.1:{port}", folder / "journal", folder / "hub.log", environment)
    server = [sys.executable, "-m", "granian", "--interface", "asginl", "--host", "127.0.0.1", "--port", str(port)]
    server += ["--workers", str(workers), "--workers-kill-timeout", "5", "llmhub.asgi:application"]
    recorder = [sys.executable, "manage.py", "run_recorder"]
    with hub.log.open("ab") as log:
        for command in (server, recorder):
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            hub.processes.append(process)
    try:
        _wait_until_it_answers(hub)
    except BaseException:
        stop_hub(hub)
        raise
    return hub


def _wait_until_it_answers(hub: Hub) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{hub.base_url}/v1/nothing", timeout=5, trust_env=False).status_code == 404:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"the hub did not start: {hub.log.read_text()[-4000:]}")


def stop_hub(hub: Hub) -> None:
    for process in hub.processes:
        process.send_signal(signal.SIGTERM)
    for process in hub.processes:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any) -> Iterator[Hub]:
    """One hub for a module's tests."""
    with django_db_blocker.unblock():
        running = start_hub(tmp_path_factory.mktemp("hub"))
        try:
            yield running
        finally:
            stop_hub(running)
            clean()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
def db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """In place of pytest-django's: rows are committed, because other processes must see them."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(autouse=True)
def rows(hub: Hub, db: None) -> Iterator[None]:
    """Each test begins without rows and leaves none."""
    clean()
    yield
    clean()


def clean() -> None:
    """Take all rows away; again when the recorder was just writing one that points to them."""
    for _ in range(20):
        try:
            return _delete_all()
        except (OperationalError, IntegrityError):
            time.sleep(0.1)
    return _delete_all()


def _delete_all() -> None:
    for sums in (UsageRollup, UsageDay, UsageSlice):
        sums.objects.all().delete()
    for model in (UsageRecord, Conversation, Route, Preset, LLMModel, Credential, Provider):
        model.objects.all().delete()
    for model in (PromptPack, RuntimeRegistration, EndpointPolicy, AccessToken, User):
        for row in model.objects.all():
            row.delete()


@dataclass
class Someone:
    user: User
    token: str


@pytest.fixture
def someone(hub: Hub) -> Someone:
    return make_someone("dora")


def make_someone(name: str, **token_fields: Any) -> Someone:
    user = User.objects.create_user(username=name, password="a-long-password-1")
    return Someone(user, AccessToken.mint(owner=user, name=f"{name}'s", **token_fields)[1])


def open_loopback() -> None:
    EndpointPolicy(target="127.0.0.0/8", audience="all", note="tests").save()


@contextmanager
def rows_at_once(hub: Hub, someone: Someone) -> Iterator[None]:
    """Rows made inside are seen by the hub all together, and at the end they are; those of the test before, which bear
    the same names, are gone from it by then."""
    with transaction.atomic():
        yield
    newest = LLMModel.objects.latest("created_at")
    with hub.client(someone.token) as client:
        wait_for(lambda: client.get(f"/v1/models/{newest.id}").status_code, lambda status: status == 200)


def make_provider(upstream: Upstream, slug: str, *, adapter: str = "openai_compatible", **fields: Any) -> Provider:
    path = fields.pop("path", "/v1")
    provider = Provider(slug=slug, name=slug.title(), adapter=adapter, base_url=upstream.base_url + path, **fields)
    provider.full_clean()
    provider.save()
    return provider


def make_key(provider: Provider, key: str, *, owner: User | None = None, **fields: Any) -> Credential:
    credential = Credential(provider=provider, owner=owner, **fields)
    credential.set_secret(key)
    return credential


def make_model(provider: Provider, name: str, *, prices: dict[str, str] | None = None, **fields: Any) -> LLMModel:
    model = LLMModel(provider=provider, name=name, model_id=fields.pop("model_id", f"up-{name}"), **fields)
    model.full_clean()
    model.save()
    if prices:
        ModelPrice.objects.create(model=model, **prices)
    return model


T = TypeVar("T")


def wait_for(read: Callable[[], T], accept: Callable[[T], Any] = bool, seconds: float = 15) -> T:
    """Read until the answer is accepted; what other processes write arrives when it arrives."""
    deadline = time.monotonic() + seconds
    while True:
        value = read()
        if accept(value):
            return value
        assert time.monotonic() < deadline, f"not seen in {seconds} s; last was {value!r}"
        time.sleep(0.05)


def usage_of(request_id: str) -> UsageRecord:
    """The settled row of a call."""
    return wait_for(
        lambda: UsageRecord.objects.filter(request_id=request_id).exclude(state="running").first(),
        lambda row: row is not None,
    )  # type: ignore[return-value]  # not None when accepted
