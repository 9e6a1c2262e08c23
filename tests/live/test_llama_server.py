"""What the real server does by itself: the ground that the tests through the hub stand on."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.live.conftest import LlamaServer

pytestmark = pytest.mark.live


def ask(server: LlamaServer, **extra: Any) -> httpx.Response:
    messages = [{"role": "user", "content": "Say something."}]
    body = {"model": server.model, "messages": messages, "max_tokens": 8, "temperature": 0, **extra}
    return httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=60)


def test_it_lists_its_one_model(llama_server: LlamaServer) -> None:
    models = httpx.get(f"{llama_server.base_url}/models", timeout=60).json()["data"]
    assert [model["id"] for model in models] == [llama_server.model]


def test_it_answers_words_and_counts_them(llama_server: LlamaServer) -> None:
    answer = ask(llama_server).json()
    assert len(answer["choices"][0]["message"]["content"].split()) == 8
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 8
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + 8


def test_a_stream_says_the_same_and_ends_properly(llama_server: LlamaServer) -> None:
    lines = ask(llama_server, stream=True).text.splitlines()
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"] for event in data[:-1]]
    said = "".join(delta.get("content") or "" for delta in deltas)
    assert said == ask(llama_server).json()["choices"][0]["message"]["content"]
