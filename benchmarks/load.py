"""Load by wrk: what to send, for how long, over how many connections; and what came of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import OTHER_CORE, pin

_SCRIPT = """
wrk.method = "POST"
wrk.body = %s
%s
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests":%%d,"duration_us":%%d,"errors":%%d,"p50_us":%%d,"p99_us":%%d}\\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One run. `errors` are connections that broke, answers over 399 and time-outs; a good run has none."""

    requests: int
    errors: int
    per_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a load goes."""

    url: str
    headers: Mapping[str, str]


def chat_body(*, stream: bool, model: str = "bench-model") -> str:
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Say a hundred words about benchmarks, please."},
    ]
    body = {"model": model, "messages": messages, "temperature": 0.7, "max_tokens": 200}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(body)


def run_wrk(target: Target, *, stream: bool, connections: int, seconds: float, folder: Path) -> Figures:
    """Raises RuntimeError when wrk does."""
    headers = {"content-type": "application/json", **target.headers}
    lines = "\n".join(f"wrk.headers[{_lua(name)}] = {_lua(value)}" for name, value in headers.items())
    script = folder / "load.lua"
    script.write_text(_SCRIPT % (_lua(chat_body(stream=stream)), lines))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "20s", "-s", str(script), target.url]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, preexec_fn=lambda: pin(OTHER_CORE), check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"wrk: {done.stderr.strip() or done.stdout.strip()}"[:400])
    said = json.loads(done.stdout.strip().splitlines()[-1])
    return Figures(
        requests=said["requests"],
        errors=said["errors"],
        per_s=said["requests"] / (said["duration_us"] / 1e6),
        p50_ms=said["p50_us"] / 1000,
        p99_ms=said["p99_us"] / 1000,
    )


def _lua(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
