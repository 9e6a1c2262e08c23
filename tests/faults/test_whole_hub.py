"""Faults that need the whole hub as it is served, on a PostgreSQL of its own: `make test-faults`. Minutes, not seconds.

LLMHUB_OUTAGE_S says for how long the database is away (10 s by default; the books are the same after 60).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.own_hub import OwnHub, OwnPostgres, running_hub
from tests.upstream import Forever, Play, SeenRequest, Upstream, chunked, json_answer

pytestmark = [pytest.mark.slow_faults, pytest.mark.timeout(600)]

PATH = "/v1/chat/completions"
OUTAGE_S = float(os.environ.get("LLMHUB_OUTAGE_S", "10"))
PIECE = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"tick "},"finish_reason":null}]}\n\n'
WHOLE = json_answer(
    {
        "id": "c",
        "object": "chat.completion",
        "model": "served",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    }
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        server.on("POST", PATH, play_as_asked)
        yield server


def play_as_asked(seen: SeenRequest) -> Play:
    """A stream without end where a stream is asked for, else an answer."""
    return chunked(Forever(PIECE, 0.05), end=False) if seen.json.get("stream") else WHOLE


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """The journal's disk: 16 MiB, where this process may mount one; else None."""
    folder = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True)
    yield None if mounted.returncode else folder
    if not mounted.returncode:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, small_disk: Path | None
) -> Iterator[tuple[OwnHub, OwnPostgres, str]]:
    folder = tmp_path_factory.mktemp("hub")
    journal = (small_disk or folder) / "journal"
    options = {"LLMHUB_JOURNAL_DIR": str(journal), "LLMHUB_DRAIN_S": "3"}
    with running_hub(folder, upstream.base_url, workers=2, **options) as made:
        yield made


@pytest.fixture
def hub(whole: tuple[OwnHub, OwnPostgres, str]) -> OwnHub:
    return whole[0]


@pytest.fixture
def postgres(whole: tuple[OwnHub, OwnPostgres, str]) -> OwnPostgres:
    return whole[1]


@pytest.fixture
def token(whole: tuple[OwnHub, OwnPostgres, str]) -> str:
    return whole[2]


def body(**more: Any) -> dict[str, Any]:
    return {"model": "served-model", "messages": [{"role": "user", "content": "Hi"}], **more}


def call(hub: OwnHub, token: str, *, timeout_s: float = 30) -> httpx.Response:
    """One call on a connection of its own, so that either worker may get it."""
    headers = {"authorization": f"Bearer {token}"}
    return httpx.post(f"{hub.base_url}{PATH}", json=body(), headers=headers, timeout=timeout_s, trust_env=False)


def wait_until(condition: Callable[[], Any], within_s: float = 120) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about in time"
        time.sleep(0.1)


def warm(hub: OwnHub, token: str) -> None:
    """Have both workers know the token: a worker that never saw it could only ask the database."""
    for _ in range(40):
        assert call(hub, token).status_code == 200


def rows_of(postgres: OwnPostgres) -> Counter[str]:
    return Counter(dict(postgres.rows("SELECT request_id, state FROM registry_usagerecord")).values())


def wait_for_rows(postgres: OwnPostgres, ids: set[str], state: str = "ok") -> None:
    query = f"SELECT request_id FROM registry_usagerecord WHERE state = '{state}'"
    wait_until(lambda: ids <= {row[0] for row in postgres.rows(query)})


def test_a_stopped_database_costs_no_valid_token_and_no_row(hub: OwnHub, postgres: OwnPostgres, token: str) -> None:
    warm(hub, token)
    hub.flush()
    recorded = rows_of(postgres).total()
    answers: list[httpx.Response] = []
    postgres.stop()
    try:
        ends = time.monotonic() + OUTAGE_S
        while time.monotonic() < ends:
            answers.append(call(hub, token))
        unknown = call(hub, "llmhub_" + "x" * 8 + "_" + "y" * 40)
    finally:
        postgres.start()
    statuses = Counter(one.status_code for one in answers)
    assert set(statuses) == {200}, statuses
    assert unknown.status_code in (401, 503)  # 401 only for what can be no token of this hub by its form alone
    ids = {one.headers["x-request-id"] for one in answers}
    wait_for_rows(postgres, ids)
    assert rows_of(postgres).total() >= recorded + len(ids)
    assert call(hub, token).status_code == 200


def test_a_frozen_database_holds_up_no_known_token(hub: OwnHub, postgres: OwnPostgres, token: str) -> None:
    warm(hub, token)
    postgres.freeze()
    try:
        time.sleep(2)  # the refresh of both workers is stuck by now
        answers = [call(hub, token) for _ in range(20)]
    finally:
        postgres.thaw()
    assert Counter(one.status_code for one in answers) == {200: 20}
    ids = {one.headers["x-request-id"] for one in answers}
    wait_for_rows(postgres, ids)


def test_connections_that_the_database_ended_cost_no_call(hub: OwnHub, postgres: OwnPostgres, token: str) -> None:
    warm(hub, token)
    postgres.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE usename = current_user AND pid <> pg_backend_pid()"
    )
    answers = [call(hub, token) for _ in range(20)]
    assert Counter(one.status_code for one in answers) == {200: 20}
    ids = {one.headers["x-request-id"] for one in answers}
    wait_for_rows(postgres, ids)


REVOKE = """
import time
from registry.models import AccessToken
AccessToken.objects.get(name="short-lived").revoke()
print(time.time())
"""


def test_a_new_token_works_at_once_and_a_revoked_one_stops_within_2_s_on_two_workers_under_load(
    hub: OwnHub, token: str
) -> None:
    short = hub.run("manage.py", "create_access_token", "dora", "--name", "short-lived")
    first = [call(hub, short).status_code for _ in range(20)]
    assert first == [200] * 20  # connections of their own: both workers
    seen: list[tuple[float, int]] = []
    over = threading.Event()

    def load() -> None:
        while not over.is_set():
            started = time.time()
            with contextlib.suppress(httpx.TransportError):
                seen.append((started, call(hub, short).status_code))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        revoked_at = float(hub.run("manage.py", "shell", "-v0", "-c", REVOKE).splitlines()[-1])
        wait_until(lambda: time.time() > revoked_at + 5)
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    accepted = [started - revoked_at for started, status in seen if status == 200]
    after = Counter(status for started, status in seen if started > revoked_at + 2)
    print(f"last accepted {max(accepted):.2f} s after the revocation; later: {dict(after)}")
    assert max(accepted) <= 2
    assert set(after) == {401}


async def open_streams(hub: OwnHub, token: str, count: int, then: Callable[[], None]) -> list[tuple[str, str]]:
    """Open streams, do `then` when all deliver, and read each to its end: request id and text."""
    delivering = asyncio.Semaphore(0)

    async def one(client: httpx.AsyncClient) -> tuple[str, str]:
        text, request_id = "", ""
        with contextlib.suppress(httpx.TransportError):
            async with client.stream("POST", PATH, json=body(stream=True)) as answer:
                request_id = answer.headers["x-request-id"]
                async for piece in answer.aiter_text():
                    if not text:
                        delivering.release()
                    text += piece
        return request_id, text

    limits = httpx.Limits(max_connections=count)
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=hub.base_url, headers=headers, timeout=60, trust_env=False, limits=limits
    ) as client:
        tasks = [asyncio.create_task(one(client)) for _ in range(count)]
        for _ in range(count):
            await asyncio.wait_for(delivering.acquire(), 60)
        await asyncio.to_thread(then)
        return await asyncio.gather(*tasks)


def test_a_killed_workers_streams_are_abandoned_and_others_take_their_place(
    hub: OwnHub, postgres: OwnPostgres, token: str
) -> None:
    warm(hub, token)

    def kill_all() -> None:
        for pid in hub.worker_pids:
            os.kill(pid, signal.SIGKILL)

    ended = asyncio.run(open_streams(hub, token, 10, kill_all))
    ids = {request_id for request_id, _ in ended}
    assert len(ids) == 10 and not any("[DONE]" in text for _, text in ended)
    wait_for_rows(postgres, ids, "abandoned")

    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return call(hub, token).status_code == 200
        return False

    wait_until(answers)


def test_a_full_disk_refuses_calls_and_recovers(
    hub: OwnHub, postgres: OwnPostgres, token: str, small_disk: Path | None
) -> None:
    if small_disk is None:
        pytest.skip("no permission to mount a small disk; tests/usage/test_journal.py limits a file's size instead")
    warm(hub, token)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    refused = []
    try:
        # The journals' last pages still take some lines.
        wait_until(lambda: refused.append(call(hub, token)) or len({r.status_code for r in refused[-10:]} - {503}) == 0)
        assert set(one.status_code for one in refused) <= {200, 503}
    finally:
        ballast.unlink()
    wait_until(lambda: call(hub, token).status_code == 200)
    ids = {one.headers["x-request-id"] for one in refused if one.status_code == 200}
    wait_for_rows(postgres, ids)


def resident_mb(pids: list[int]) -> float:
    pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_a_client_that_reads_nothing_costs_bounded_memory(hub: OwnHub, token: str, upstream: Upstream) -> None:
    """Ten clients with small buffers against an upstream that sends as fast as it may."""
    warm(hub, token)
    wide = PIECE.replace(b"tick ", b"tick " * 2000)
    upstream.on("POST", PATH, chunked(Forever(wide), end=False))
    before = resident_mb(hub.worker_pids)
    payload = json.dumps(body(stream=True)).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {len(payload)}\r\n\r\n"
    clients = []
    try:
        for _ in range(10):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", hub.port))
            client.sendall(head.encode() + payload)
            clients.append(client)
        time.sleep(5)
        grown = resident_mb(hub.worker_pids) - before
    finally:
        upstream.on("POST", PATH, play_as_asked)
        for client in clients:
            client.close()
    print(f"grown by {grown:.0f} MB with ten clients that read nothing")
    assert grown < 64
    assert call(hub, token).status_code == 200


def test_sigterm_ends_fifty_streams_with_an_error_and_settles_them(
    hub: OwnHub, postgres: OwnPostgres, token: str
) -> None:
    """Last: the hub is gone afterwards. The drain (3 s) is shorter than the streams."""
    assert hub.process is not None

    ended = asyncio.run(open_streams(hub, token, 50, lambda: hub.process.send_signal(signal.SIGTERM)))  # type: ignore[union-attr]  # the hub runs
    hub.process.wait(60)
    hub.flush()
    rows = dict(postgres.rows("SELECT request_id, state FROM registry_usagerecord"))
    states = Counter(rows.get(request_id) for request_id, _ in ended)
    told = sum('"error"' in text for _, text in ended)
    print(f"{told} of 50 were told; settled as {dict(states)}")
    assert not any("[DONE]" in text for _, text in ended)
    assert set(states) <= {"aborted", "error", "truncated", "abandoned"} and states.total() == 50
    assert told == 50
    assert "abandoned" not in states
