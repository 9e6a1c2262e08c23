"""What is compared: the bare upstream, nginx, the hub, Portkey's gateway, LiteLLM's proxy; each on one core."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import processes, tools
from benchmarks.load import Target
from benchmarks.processes import GATEWAY_CORE, OTHER_CORE, ROOT, running


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One that runs now. `pids` are its processes on the measured core."""

    name: str
    target: Target
    switched_on: str
    version: str = ""
    pids: tuple[int, ...] = ()
    folder: Path | None = None
    recorder_pids: tuple[int, ...] = field(default=())


@contextlib.contextmanager
def bare_upstream(folder: Path) -> Iterator[Subject]:
    port = processes.free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "benchmarks.upstream", str(port)]
    with running(command, core=OTHER_CORE, log=folder / "upstream.log", ready_url=f"{url}/count") as process:
        target = Target(url=f"{url}/v1/chat/completions", headers={"authorization": "Bearer sk-bench"})
        yield Subject(name="bare upstream", target=target, switched_on="-", pids=(process.pid,))


@contextlib.contextmanager
def nginx(upstream_url: str, folder: Path) -> Iterator[Subject]:
    program = tools.ensure_command("nginx", "nginx-light")
    port = processes.free_port()
    home = folder / "nginx"
    home.mkdir()
    address = upstream_url.removeprefix("http://")
    paths = "".join(f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (home / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; {paths}\n"
        f"  upstream provider {{ server {address}; keepalive 256; keepalive_requests 1000000; }}\n"
        f"  server {{ listen 127.0.0.1:{port}; keepalive_requests 1000000;\n"
        "    location / { proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection '';\n"
        "      proxy_buffering off; } } }\n"
    )
    command = [program, "-p", str(home), "-e", str(home / "error.log"), "-c", str(home / "nginx.conf")]
    url = f"http://127.0.0.1:{port}"
    with running(command, core=GATEWAY_CORE, log=folder / "nginx.log", ready_url=f"{url}/count") as process:
        target = Target(url=f"{url}/v1/chat/completions", headers={"authorization": "Bearer sk-bench"})
        yield Subject(
            name="nginx",
            target=target,
            version=_first_line([program, "-v"]).removeprefix("nginx version: "),
            switched_on="a plain proxy: no log, no token, no usage",
            pids=(process.pid, *processes.descendants(process.pid)),
        )


@contextlib.contextmanager
def hub(upstream_url: str, folder: Path) -> Iterator[Subject]:
    """`manage.py serve` on a data folder of its own, everything on; the server on its core, the recorder off it."""
    home = folder / "hub"
    home.mkdir()
    port = processes.free_port()
    env = hub_environment(home)
    manage = [sys.executable, "-W", "ignore", "manage.py"]
    subprocess.run([*manage, "prepare", "--no-static"], cwd=ROOT, env=env, check=True, capture_output=True)
    rows = [sys.executable, "-W", "ignore", "-m", "benchmarks.hub_rows", upstream_url]
    token = subprocess.run(rows, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout.split()[-1]
    url = f"http://127.0.0.1:{port}"
    command = [*manage, "serve", "--port", str(port)]
    with running(command, core=GATEWAY_CORE, log=home / "log", ready_url=f"{url}/v1/nothing", env=env) as process:
        family = processes.descendants(process.pid)
        recorder = tuple(pid for pid in family if "run_recorder" in processes.command_of(pid))
        if hasattr(os, "sched_setaffinity"):
            for pid in recorder:
                os.sched_setaffinity(pid, {OTHER_CORE})
        target = Target(url=f"{url}/v1/chat/completions", headers={"authorization": f"Bearer {token}"})
        granian = [pid for pid in family if "granian" in processes.command_of(pid)]
        yield Subject(
            name="LLM Hub",
            target=target,
            version=_first_line(["git", "describe", "--tags", "--always", "--dirty"]),
            switched_on="tokens, prices, a stored key, egress rules, usage journal, recorder; "
            "the token's three limits and two budgets, enforced for every call",
            pids=tuple(granian),
            recorder_pids=recorder,
            folder=home,
        )


def hub_environment(home: Path) -> dict[str, str]:
    """An environment for a hub of its own, whatever the caller's says."""
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("DJANGO_", "LLMHUB_", "COMFYVN_"))}
    dropped = {"DATABASE_URL", "VALKEY_URL", "PORT", "PYTHONDONTWRITEBYTECODE"}
    return {n: v for n, v in inherited.items() if n not in dropped} | {
        "LLMHUB_DATA_DIR": str(home / "data"),
        "LLMHUB_WORKERS": "1",
        "DJANGO_SETTINGS_MODULE": "llmhub.settings",
    }


@contextlib.contextmanager
def portkey(upstream_url: str, folder: Path) -> Iterator[Subject]:
    package = tools.ensure_portkey()
    port = processes.free_port()
    command = [shutil.which("node") or "node", "build/start-server.js", f"--port={port}", "--headless"]
    url = f"http://127.0.0.1:{port}"
    env = {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
    log = folder / "portkey.log"
    with running(command, core=GATEWAY_CORE, log=log, ready_url=url, env=env, cwd=package) as process:
        headers = {
            "authorization": "Bearer sk-bench",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"{upstream_url}/v1",
        }
        yield Subject(
            name="Portkey gateway",
            target=Target(url=f"{url}/v1/chat/completions", headers=headers),
            version=json.loads((package / "package.json").read_text())["version"],
            switched_on="as installed: no tokens, no usage",
            pids=(process.pid, *processes.descendants(process.pid)),
        )


@contextlib.contextmanager
def litellm(upstream_url: str, folder: Path) -> Iterator[Subject]:
    program = tools.ensure_litellm()
    port = processes.free_port()
    key = f"sk-{secrets.token_hex(16)}"
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n  - model_name: bench-model\n    litellm_params:\n      model: openai/bench-model\n"
        f"      api_base: {upstream_url}/v1\n      api_key: sk-bench\n"
        f"general_settings:\n  master_key: {key}\nlitellm_settings:\n  telemetry: false\n"
    )
    command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    url = f"http://127.0.0.1:{port}"
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    log = folder / "litellm.log"
    with running(command, core=GATEWAY_CORE, log=log, ready_url=f"{url}/health/liveliness", env=env) as process:
        shown = [
            str(program.parent / "python"),
            "-c",
            "import importlib.metadata as m; print(m.version('litellm'))",
        ]
        yield Subject(
            name="LiteLLM proxy",
            target=Target(url=f"{url}/v1/chat/completions", headers={"authorization": f"Bearer {key}"}),
            version=_first_line(shown),
            switched_on="master key; no database, so no limits, budgets or usage rows",
            pids=(process.pid, *processes.descendants(process.pid)),
        )


GATEWAYS: tuple[Callable[[str, Path], AbstractContextManager[Subject]], ...] = (nginx, hub, portkey, litellm)


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return ""
    return ((done.stdout or done.stderr).strip().splitlines() or [""])[0]
