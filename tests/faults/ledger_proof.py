"""The ledger against the upstream's own count, under kills, outages, resets and clients that hang up.

    python -m tests.faults.ledger_proof --requests 100000 --kills 20 --outages 5 --outage-s 60

A whole hub (two workers, recorder, PostgreSQL of its own) is called; each request has a number, which the upstream
reads in the prompt and the ledger keeps as a tag. Ends with 1 when a call is lost, doubled, invented or wrongly priced.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from tests.faults.own_hub import OwnHub, OwnPostgres, running_hub
from tests.faults.prepare import INPUT_PER_1M, OUTPUT_PER_1M
from tests.upstream import Pause, Play, Reset, SeenRequest, Upstream, chunked, json_answer, raw, sse

HANG_UPS, RESETS = 0.10, 0.05
OUTPUT_TOKENS = 7
# Refused before a call began: no worker listened, or a new one had no database to begin from. Sent again.
NEVER_TAKEN = {"never taken", "503"}
UNSURE = {"abandoned", "aborted", "error", "timeout"}  # may have been written down and never have arrived


@dataclass(slots=True)
class Counted:
    """What the upstream and the clients saw, by request number."""

    upstream: Counter[int] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    whole: set[int] = field(default_factory=set)  # answered with 200 and to the end


def play_of(seen: SeenRequest, counted: Counted, upstream: Upstream) -> Play:
    number, reset = seen.json["messages"][0]["content"].split()
    counted.upstream[int(number)] += 1
    if len(upstream.requests) > 2000:
        upstream.requests.clear()
    usage = {"prompt_tokens": int(number) + 1, "completion_tokens": OUTPUT_TOKENS}
    usage["total_tokens"] = sum(usage.values())
    base = {"id": "c", "created": 1, "model": "served"}
    if not seen.json.get("stream"):
        if reset == "reset":
            return raw(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{", Pause(0.02), Reset())
        message = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
        return json_answer({**base, "object": "chat.completion", "choices": [message], "usage": usage})
    events = [{**base, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "tick "}}]}] * 5
    frames = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
    if reset == "reset":
        return chunked(*frames[:3], Pause(0.02), Reset(), end=False)
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    last = {**base, "object": "chat.completion.chunk", "choices": [end], "usage": usage}
    return sse([*frames, json.dumps(last), "[DONE]"], pause_s=0.005)


class Load:
    """Sends the requests, `at_once` at a time, and notes how each ended for its client."""

    def __init__(self, hub: OwnHub, token: str, counted: Counted, options: argparse.Namespace) -> None:
        self.hub, self.counted, self.options = hub, counted, options
        self.headers = {"authorization": f"Bearer {token}", "connection": "keep-alive"}
        self.chance = random.Random(options.seed)
        self.sent = 0

    async def run(self) -> None:
        connector = aiohttp.TCPConnector(limit=self.options.at_once, force_close=False)
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self.headers) as session:
            await asyncio.gather(*(self._send_on(session) for _ in range(self.options.at_once)))

    async def _send_on(self, session: aiohttp.ClientSession) -> None:
        while self.sent < self.options.requests:
            number, self.sent = self.sent, self.sent + 1
            fate = self.chance.random()
            hangs_up, reset = fate < HANG_UPS, HANG_UPS <= fate < HANG_UPS + RESETS
            streamed = self.chance.random() < 0.5
            ended = "never taken"
            while ended in NEVER_TAKEN:
                try:
                    ended = await self._send(session, number, streamed=streamed, hangs_up=hangs_up, reset=reset)
                except aiohttp.ClientConnectorError:
                    ended = "never taken"
                except (aiohttp.ClientError, OSError, TimeoutError):
                    ended = "broken off"
                if ended in NEVER_TAKEN:
                    self.counted.answers[f"{ended}, sent again"] += 1
                    await asyncio.sleep(0.2)
            self.counted.answers[ended] += 1

    async def _send(
        self, session: aiohttp.ClientSession, number: int, *, streamed: bool, hangs_up: bool, reset: bool
    ) -> str:
        text = f"{number} {'reset' if reset else 'plain'}"
        body = {"model": "served-model", "stream": streamed, "messages": [{"role": "user", "content": text}]}
        if streamed:
            body["stream_options"] = {"include_usage": True}
        request = session.post(
            f"{self.hub.base_url}/v1/chat/completions", json=body, headers={"x-llmhub-tags": str(number)}
        )
        if hangs_up and not streamed:
            try:
                async with asyncio.timeout(self.chance.uniform(0.001, 0.03)), request as answer:
                    await answer.read()
            except TimeoutError:
                return "hung up"
            return f"{answer.status}"
        async with request as answer:
            if answer.status == 200 and hangs_up:
                await answer.content.readany()
                answer.close()
                return "hung up"
            said = await answer.read()
        if answer.status == 200 and (not streamed or b"[DONE]" in said):
            self.counted.whole.add(number)
            return "200 whole"
        return "200 with an error at its end" if answer.status == 200 else f"{answer.status}"


async def harm(load: Load, postgres: OwnPostgres, options: argparse.Namespace) -> None:
    """Kill and stop, spread over the requests in a shuffled order. A kill in five takes the recorder."""
    chance = random.Random(options.seed + 1)
    deeds = ["recorder" if number % 5 == 4 else "worker" for number in range(options.kills)]
    deeds += ["outage"] * options.outages
    chance.shuffle(deeds)
    for number, deed in enumerate(deeds):
        due = (number + 1) * options.requests // (len(deeds) + 1)
        while load.sent < due:
            await asyncio.sleep(0.01)
        if deed == "outage":
            await asyncio.to_thread(postgres.stop)
            await asyncio.sleep(options.outage_s)
            await asyncio.to_thread(postgres.start)
        else:
            await kill_one(load.hub, deed, chance)
        print(f"  {deed} at request {load.sent}", flush=True)


async def kill_one(hub: OwnHub, deed: str, chance: random.Random) -> None:
    for _ in range(600):  # the one killed last may not be back yet
        pids = hub.recorder_pids if deed == "recorder" else hub.worker_pids
        if pids:
            os.kill(chance.choice(pids), signal.SIGKILL)
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"there is no {deed} to kill")


ROWS = """
SELECT tags ->> 0, state, attempts, input_tokens, output_tokens, cost, cost_status, request_id,
       (SELECT count(*) FROM registry_usageattempt a WHERE a.record_id = r.id)
FROM registry_usagerecord r
"""
SUMS = "SELECT coalesce(sum(calls), 0), coalesce(sum(cost), 0) FROM registry_usagerollup"


def faults_of(counted: Counted, rows: list[tuple[Any, ...]], sums: tuple[Any, ...]) -> dict[str, int]:
    """How often the ledger and the upstream disagree, by kind; all 0 is the proof."""
    found: dict[int, list[tuple[Any, ...]]] = {}
    for row in rows:
        found.setdefault(int(row[0]), []).append(row)
    attempts = {number: sum(row[2] for row in of) for number, of in found.items()}
    faults = Counter(lost=0, doubled=0, invented=0, unsettled=0, mispriced=0, attempts_amiss=0, rollups_amiss=0)
    for number, times in counted.upstream.items():
        faults["lost"] += max(0, times - attempts.get(number, 0))
    for number, of in found.items():
        faults["doubled"] += len(of) - 1
        sure = sum(row[2] for row in of if row[1] not in UNSURE)
        faults["invented"] += max(0, sure - counted.upstream[number])
        faults["unsettled"] += sum(row[1] == "running" for row in of)
        faults["attempts_amiss"] += sum(row[2] != row[8] for row in of)
    for number in counted.whole:
        expected = (Decimal(INPUT_PER_1M) * (number + 1) + OUTPUT_PER_1M * OUTPUT_TOKENS) / 1_000_000
        told = [row[1:2] + row[3:7] for row in found.get(number, ())]
        faults["mispriced"] += told != [("ok", number + 1, OUTPUT_TOKENS, expected, "exact")]
    cost = sum((row[5] for row in rows if row[5] is not None), Decimal(0))
    faults["rollups_amiss"] += (sums[0], sums[1]) != (len(rows), cost)
    return dict(faults)


def prove(options: argparse.Namespace) -> int:
    counted = Counted()
    with tempfile.TemporaryDirectory(prefix="llmhub-proof-") as folder, Upstream() as upstream:
        upstream.on("POST", "/v1/chat/completions", lambda seen: play_of(seen, counted, upstream))
        with running_hub(Path(folder), upstream.base_url) as (hub, postgres, token):
            started = time.monotonic()
            load = Load(hub, token, counted, options)
            asyncio.run(both(load, postgres, options))
            took_s = time.monotonic() - started
            hub.stop()
            print(hub.flush())
            rows, sums = postgres.rows(ROWS), postgres.rows(SUMS)[0]
    faults = faults_of(counted, rows, sums)
    states = Counter(row[1] for row in rows)
    print(f"{load.sent} requests in {took_s:.0f} s, {options.kills} kills, {options.outages} outages")
    print(f"clients: {dict(counted.answers)}")
    print(f"upstream: {counted.upstream.total()} calls of {len(counted.upstream)} requests")
    print(f"ledger: {len(rows)} rows, {sum(row[2] for row in rows)} attempts, {dict(states)}")
    faults["refused_with_401"] = counted.answers["401"]
    print(f"faults: {faults}")
    return int(any(faults.values()))


async def both(load: Load, postgres: OwnPostgres, options: argparse.Namespace) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        group.create_task(harm(load, postgres, options))


def main() -> int:
    parser = argparse.ArgumentParser(prog="ledger_proof", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--outages", type=int, default=5)
    parser.add_argument("--outage-s", type=float, default=60.0)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    return prove(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
