"""The adapters lifted out: no Django importable, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.upstream import Upstream, json_answer

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import asyncio, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("django", "rest_framework", "registry", "llmhub"):
            raise ImportError(name + " is not to be had here")

sys.meta_path.insert(0, Blocked())
from adapters import create_adapter

async def main():
    adapter = create_adapter("openai_compatible", base_url=sys.argv[1], api_key="k", model="m")
    result = await adapter.chat([{"role": "user", "content": "hi"}], temperature=0)
    print(result.reply, result.status, result.usage.output_tokens)

asyncio.run(main())
print((create_adapter("stub")).chat_sync("echo").reply)
assert not [name for name in sys.modules if name.partition(".")[0] == "django"]
"""

REPLY = {
    "id": "1",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
}


def test_a_script_without_django_chats_and_ends_without_a_warning() -> None:
    with Upstream() as upstream:
        upstream.on("POST", "/v1/chat/completions", json_answer(REPLY))
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT, upstream.base_url + "/v1"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.split("\n")[:2] == ["Hello! 200 2", "echo"]


def test_importing_the_values_alone_loads_no_http_client() -> None:
    code = (
        "import sys, adapters.types, adapters; print([m for m in ('httptools', 'httpx', 'django') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "[]"
