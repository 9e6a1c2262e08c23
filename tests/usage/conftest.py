"""Calls for the ledger, and an environment in which a real subprocess meets the test's database."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection

from adapters.types import Usage
from registry.usage.journal import Journal
from registry.usage.ledger import CallIntent, Cost, Settlement, TryIntent, TryOutcome
from registry.usage.recorder import Counts, Recorder

ROOT = Path(__file__).resolve().parents[2]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def a_call(request_id: str | None = None, **fields: Any) -> CallIntent:
    request_id = request_id or f"req_{uuid.uuid4().hex}"
    return CallIntent(**{"request_id": request_id, "started_at_ms": now_ms(), "requested": "gpt", **fields})


def a_try(number: int = 1, **fields: Any) -> TryIntent:
    named = {"model_name": "GPT", "provider_slug": "openai", "credential_scope": "shared", "reason": "named"}
    return TryIntent(**{"number": number, "started_at_ms": now_ms(), **named, **fields})


USAGE = Usage(input_tokens=1000, output_tokens=200, cache_read_tokens=400, reasoning_tokens=50)
COST = Cost(
    total=Decimal("0.0045"),
    status="exact",
    input=Decimal("0.0015"),
    output=Decimal("0.0025"),
    cache_read=Decimal("0.0005"),
)


def a_settlement(state: str = "ok", **fields: Any) -> Settlement:
    outcome = TryOutcome(number=1, state=state, upstream_status=200, latency_ms=120, usage=USAGE, cost=COST)
    given = {
        "ended_at_ms": now_ms(),
        "http_status": 200,
        "usage": USAGE,
        "usage_source": "provider",
        "cost": COST,
        "latency_ms": 120,
        "first_token_ms": 30,
        "finish_reason": "stop",
        "upstream_model": "gpt-2026",
        "outcome": outcome,
    }
    return Settlement(state=state, **{**given, **fields})


def record_call(journal: Journal, call: CallIntent | None = None, **fields: Any) -> CallIntent:
    """One whole call with a single try."""
    call = call or a_call()
    journal.open(call, a_try())
    journal.settle(call, a_settlement(**fields))
    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    journal = Journal(folder)
    yield journal
    journal.release()


@pytest.fixture
def drain(folder: Path) -> Callable[[], Counts]:
    """Record what is in the folder, with a recorder that knows nothing of what was before."""

    def drain() -> Counts:
        with Recorder(folder) as recorder:
            return recorder.drain()

    return drain


def process_environment(folder: Path) -> dict[str, str]:
    """For a subprocess of the hub that meets this test's database and journal folder."""
    config = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{config['NAME']}"
    else:
        host = config["HOST"] or config["OPTIONS"].get("host", "")  # a socket's folder comes as an option
        user, password = quote(config["USER"], safe=""), quote(config["PASSWORD"], safe="")
        port = f":{config['PORT']}" if config["PORT"] else ""
        url = f"postgresql://{user}:{password}@{port}/{config['NAME']}?host={quote(host)}"
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "llmhub.settings",
        "DATABASE_URL": url,
        "LLMHUB_DATA_DIR": str(settings.DATA_DIR),
        "LLMHUB_JOURNAL_DIR": str(folder),
        "LLMHUB_ENCRYPTION_KEYS": settings.LLMHUB_ENCRYPTION_KEYS,
        "DJANGO_SECRET_KEY": settings.SECRET_KEY,
    }


def wait_until(condition: Callable[[], Any], *, within_s: float = 10.0) -> None:
    """Poll, bounded: fails the test when `condition` never holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about in time"
        time.sleep(0.02)
