"""Usage pages and API over a million calls: seeds them into a database of its own, times each address, reads the plans.

`make usage-bench`; USAGE_BENCH="--rows 100000" for a short one. On SQLite unless LLMHUB_BENCH_DATABASE_URL names an
empty PostgreSQL database. Ends with 1 when an address takes longer than it may (the median of its rounds) or a plan
reads a whole table.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LIMIT_MS = 300
ROUNDS = 5
CHUNK = 5000
DAYS, USERS, TOKENS, MODELS = 90, 60, 120, 40
TAGS: tuple[list[str], ...] = ([], [], ["docs"], ["support", "fr"], ["nightly"])
ADDRESSES = (
    "/usage/", "/usage/?period=90d", "/usage/?who=all", "/usage/?who=all&period=30d&by=token",
    "/usage/?who=all&period=90d&by=user&measure=latency", "/usage/?who=all&period=365d&by=tag",
    "/usage/?who=all&period=90d&by=model&model={model}", "/usage/?who=all&period=90d&token={token}",
    "/usage/?who=all&period=90d&provider=vendor-3&user={user}", "/usage/?who=all&period=24h&by=token",
    "/usage/?who=all&period=90d&provider=vendor-3", "/usage/?who=all&period=90d&tag=docs",
    "/usage/?who=all&period=custom&since={since}&by=token", "/usage/?who=all&period=90d&after={cursor}",
    "/usage/export/?who=all&period=90d&table=sums&by=provider", "/models/{model}/", "/admin/",
    "/api/usage/", "/api/usage/?user=user-7&since={since}", "/api/usage/?token={token}", "/api/usage/?model={model}",
    "/admin/registry/usagerecord/",
    "/api/usage/summary/", "/api/usage/summary/?group_by=hour&since={since}",
    "/api/usage/summary/?group_by=user", "/api/usage/summary/?group_by=day",
    "/api/usage/summary/?group_by=tag&since={since}", "/api/usage/summary/?group_by=token&since={since}",
)  # fmt: skip


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--write", type=Path, help="a Markdown file for the table")
    options.add_argument(
        "--keep", type=Path, help="a folder for the SQLite database; one that is there is measured again"
    )
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="llmhub-usage-") as folder:
        if chosen.keep:
            chosen.keep.mkdir(parents=True, exist_ok=True)
        _start_django(chosen.keep or Path(folder))
        return _run(chosen.rows, chosen.write)


def _start_django(folder: Path) -> None:
    sys.path.insert(0, str(ROOT))
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    default = f"sqlite:///{folder / 'usage.sqlite3'}"
    os.environ["LLMHUB_TEST_DATABASE_URL"] = os.environ.get("LLMHUB_BENCH_DATABASE_URL", default)
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def _run(rows: int, target: Path | None) -> int:
    from django.db import connection
    from django.test import Client

    known = _known() or _seed(rows)
    client = Client(SERVER_NAME="localhost")
    client.force_login(known.pop("admin"))
    rows = known.pop("rows")
    lines = [
        f"{rows:,} calls in {DAYS} days by {USERS} people with {TOKENS} tokens over {MODELS} models, on "
        f"{connection.vendor}; {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
        f"{ROUNDS} times each, in-process; the median may take {LIMIT_MS} ms.",
        "", "| address | median ms | fastest ms | slowest ms | processor ms | queries | whole tables read |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]  # fmt: skip
    failed = []
    for address in ADDRESSES:
        url = address.format(**known)
        times, busy, queries, scans = _measure(client, url)
        figures = " | ".join(f"{time:.0f}" for time in (statistics.median(times), min(times), max(times), busy))
        lines.append(f"| `{address}` | {figures} | {queries} | {scans or '-'} |")
        print(lines[-1], flush=True)
        if statistics.median(times) > LIMIT_MS or scans:
            failed.append(address)
    print("\n".join(lines[:2]))
    if target:
        target.write_text("# Usage pages and API\n\nMade by `make usage-bench`.\n\n" + "\n".join(lines) + "\n", "utf-8")
    print("FAILED: " + ", ".join(failed) if failed else f"Every address under {LIMIT_MS} ms, no whole table read.")
    return 1 if failed else 0


def _known() -> dict[str, Any]:
    """What the addresses name, of the seeded rows; {} where there are none."""
    from registry.models import AccessToken, LLMModel, UsageRecord, User

    last = UsageRecord.objects.order_by("created_at").last()
    if last is None:
        return {}
    now = last.created_at
    return {
        "rows": UsageRecord.objects.count(),
        "admin": User.objects.get(username="ada"),
        "model": LLMModel.objects.get(name="model-3").pk,
        "token": AccessToken.objects.get(name="token-5").pk,
        "user": User.objects.get(username="user-5").pk,
        "since": f"{now - timedelta(days=30):%Y-%m-%d}",
        "cursor": f"{now - timedelta(days=45):%Y-%m-%dT%H:%M:%S}%2B00:00_{LLMModel.objects.get(name='model-0').pk}",
    }


def _seed(rows: int) -> dict[str, Any]:
    from registry.models import AccessToken, LLMModel, Provider, UsageRecord, User
    from registry.usage import rollup
    from registry.usage.inserts import blank, insert

    started, dice = time.monotonic(), random.Random(7)
    admin = User.objects.create_superuser("ada", "ada@example.test", "x")
    users = User.objects.bulk_create([User(username=f"user-{n}") for n in range(USERS)])
    providers = Provider.objects.bulk_create(
        [Provider(slug=f"vendor-{n}", name=f"Vendor {n}", adapter="stub", auth_type="none") for n in range(8)]
    )
    models = LLMModel.objects.bulk_create(
        [LLMModel(provider=providers[n % 8], model_id=f"m{n}", name=f"model-{n}") for n in range(MODELS)]
    )
    tokens = [AccessToken.mint(owner=users[n % USERS], name=f"token-{n}")[0] for n in range(TOKENS)]
    tokens.append(AccessToken.mint(owner=admin, name="mine")[0])
    liked = {token.pk: dice.sample(models, 3) for token in tokens}
    now = datetime.now(UTC)
    begin, step = now - timedelta(days=DAYS), timedelta(days=DAYS) / rows
    for first in range(0, rows, CHUNK):
        chunk = []
        for number in range(first, min(first + CHUNK, rows)):
            token, at = dice.choice(tokens), begin + number * step
            model, ok = dice.choice(liked[token.pk]), dice.random() > 0.03
            chunk.append(
                blank(
                    UsageRecord, request_id=f"req_{number}", user_id=token.owner_id, username=token.owner.username,
                    token_id=token.pk, token_name=token.name, model_id=model.pk, model_name=model.name,
                    provider_id=model.provider_id, provider_slug=model.provider.slug, credential_scope="shared",
                    tags=TAGS[token.pk.int % len(TAGS)], state="ok" if ok else "error",
                    created_at=at, settled_at=at, attempts=1,
                    input_tokens=dice.randrange(20, 9000), output_tokens=dice.randrange(1, 2000),
                    cost=Decimal(dice.randrange(1, 90_000)) / 1_000_000, latency_ms=dice.randrange(200, 20_000),
                    first_token_ms=dice.randrange(80, 2000),
                )
            )  # fmt: skip
        _in_one_transaction(insert, rollup.add, chunk)
        if first % (CHUNK * 40) == 0:
            print(f"{first:,} of {rows:,} calls, {time.monotonic() - started:.0f} s", flush=True)
    _analyse()
    print(f"seeded in {time.monotonic() - started:.0f} s", flush=True)
    return _known()


def _in_one_transaction(insert: Any, add: Any, chunk: list[Any]) -> None:
    from django.db import transaction

    with transaction.atomic():
        insert(chunk)
        add(chunk)


def _analyse() -> None:
    """PostgreSQL gathers statistics by itself, after a while; SQLite never does in the hub."""
    from django.db import connection

    if connection.vendor == "sqlite":
        return

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _measure(client: Any, url: str) -> tuple[list[float], float, int, str]:
    from django.db import connection

    connection.force_debug_cursor = True
    _get(client, url)
    queries = [query["sql"] for query in connection.queries]
    connection.force_debug_cursor = False
    times, busy = [], []
    for _ in range(ROUNDS):
        started, used = time.perf_counter(), time.process_time()
        _get(client, url)
        times.append((time.perf_counter() - started) * 1000)
        busy.append((time.process_time() - used) * 1000)
    scans = sorted({found for query in queries for found in _scans(query)})
    return times, statistics.median(busy), len(queries), ", ".join(scans)


def _get(client: Any, url: str) -> None:
    answer = client.get(url, **({"HTTP_HX_REQUEST": "true"} if "after=" in url else {}))
    assert answer.status_code == 200, (url, answer.status_code)


def _scans(sql: str) -> list[str]:
    """Usage tables that the query reads from end to end, by the database's own plan. Reading on along an index until a
    page is full is none."""
    from django.db import connection

    if not sql.startswith("SELECT") or "registry_usage" not in sql:
        return []
    sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        cursor.execute(("EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN ") + sql.replace("%", "%%"))
        plan = [str(row[-1]) for row in cursor.fetchall()]
    mark = "SCAN registry_usage" if sqlite else "Seq Scan on registry_usage"
    return [line.strip() for line in plan if mark in line and not (" INDEX " in line and " LIMIT " in sql)]


if __name__ == "__main__":
    sys.exit(main())
