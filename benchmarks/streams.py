"""Opens many streams at once on the hub, holds them, lets go of all at once; says what they cost and how they ended."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit

from benchmarks.load import chat_body
from benchmarks.processes import resident_mb
from benchmarks.subjects import Subject

HELD_S = 3.0
HANG_UPS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFigures:
    """`all_closed_s`: from the clients' leaving until the upstream saw its last connection closed; None: it did not."""

    opened: int
    asked: int
    before_mb: float
    with_all_mb: float
    all_closed_s: float | None
    hang_up_ms: tuple[float, ...] = ()  # of streams alone: from the client's leaving until the upstream saw it

    @property
    def each_kb(self) -> float:
        return (self.with_all_mb - self.before_mb) * 1000 / max(self.opened, 1)


def open_many(subject: Subject, upstream_url: str, count: int) -> StreamFigures:
    return asyncio.run(_open_many(subject, upstream_url, count))


async def _open_many(subject: Subject, upstream_url: str, count: int) -> StreamFigures:
    hang_up_ms = [await _hang_up(subject, upstream_url) for _ in range(HANG_UPS)]
    before_mb = resident_mb(*subject.pids)
    gate = asyncio.Semaphore(100)  # connecting at once
    tries = [_open(subject, gate) for _ in range(count)]
    streams = [got for got in await asyncio.gather(*tries, return_exceptions=True) if isinstance(got, tuple)]
    await asyncio.sleep(HELD_S)
    with_all_mb = resident_mb(*subject.pids)
    opened = min(len(streams), _open_upstream(upstream_url))
    left_at = time.monotonic()
    for _, writer in streams:
        writer.transport.abort()
    closed_s = None
    while time.monotonic() - left_at < 20:
        if await asyncio.to_thread(_open_upstream, upstream_url) == 0:
            closed_s = time.monotonic() - left_at
            break
        await asyncio.sleep(0.02)
    return StreamFigures(
        opened=opened,
        asked=count,
        before_mb=before_mb,
        with_all_mb=with_all_mb,
        all_closed_s=closed_s,
        hang_up_ms=tuple(sorted(hang_up_ms)),
    )


async def _hang_up(subject: Subject, upstream_url: str) -> float:
    """One stream whose client leaves half a second into it: milliseconds until its upstream is closed."""
    _, writer = await _open(subject, asyncio.Semaphore(1))
    await asyncio.sleep(0.5)
    left_at = time.monotonic()
    writer.transport.abort()
    while await asyncio.to_thread(_open_upstream, upstream_url) and time.monotonic() - left_at < 20:
        await asyncio.sleep(0.002)
    return (time.monotonic() - left_at) * 1000


async def _open(subject: Subject, gate: asyncio.Semaphore) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """One stream whose first event has arrived."""
    parts = urlsplit(subject.target.url)
    body = chat_body(stream=True, model="bench-open").encode()
    lines = [f"POST {parts.path} HTTP/1.1", f"host: {parts.netloc}", "content-type: application/json"]
    lines += [f"content-length: {len(body)}", *(f"{name}: {value}" for name, value in subject.target.headers.items())]
    async with gate:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=4096)
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await asyncio.wait_for(reader.readuntil(b"word"), 60)
    return reader, writer


def _open_upstream(upstream_url: str) -> int:
    with urllib.request.urlopen(f"{upstream_url}/count", timeout=10) as answer:
        return int(json.load(answer)["open"])
