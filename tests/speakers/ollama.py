"""Ollama's own /api/chat."""

from __future__ import annotations

import json
from typing import Any

from tests.speakers import INPUT_TOKENS, OUTPUT_TOKENS, Asked, Said, Speaker, need, pieces
from tests.upstream import SeenRequest

COUNTS = {
    "total_duration": 5_000_000_000,
    "load_duration": 1_000_000,
    "prompt_eval_count": INPUT_TOKENS,
    "prompt_eval_duration": 1_000_000,
    "eval_count": OUTPUT_TOKENS,
    "eval_duration": 1_000_000,
}


def read(seen: SeenRequest) -> Asked:
    body = seen.json
    question, results, images = "", [], 0
    for message in body["messages"]:
        need(isinstance(message.get("content", ""), str), "content that is a text")
        need(all(isinstance(c["function"]["arguments"], dict) for c in message.get("tool_calls", ())), "arguments")
        if message["role"] == "user":
            question = message["content"]
            images += len(message.get("images", ()))
        elif message["role"] == "tool":
            results.append(message["content"])
    tools = tuple(tool["function"]["name"] for tool in body.get("tools", ()))
    schema = body.get("format") if isinstance(body.get("format"), dict) else None
    stream = body.get("stream", True)
    return Asked(question=question, tools=tools, results=tuple(results), images=images, schema=schema, stream=stream)


def _line(done: bool, **message: Any) -> dict[str, Any]:
    head = {"model": "served", "created_at": "2026-11-20T10:00:00.123456789Z"}
    body = head | {"message": {"role": "assistant", "content": ""} | message, "done": done}
    return body | ({"done_reason": "stop"} | COUNTS if done else {})


def _calls(said: Said) -> dict[str, Any]:
    return {"tool_calls": [{"function": {"name": name, "arguments": given}} for name, given in said.calls]}


def answer(said: Said) -> dict[str, Any]:
    thinking = {"thinking": said.reasoning} if said.reasoning else {}
    return _line(True, content=said.text, **thinking, **(_calls(said) if said.calls else {}))


def stream(said: Said) -> list[bytes]:
    lines = [_line(False, thinking=piece) for piece in pieces(said.reasoning)]
    lines += [_line(False, content=piece) for piece in pieces(said.text)]
    lines += [_line(False, **_calls(said))] if said.calls else []
    return [json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in [*lines, _line(True)]]


OLLAMA = Speaker(
    kind="ollama",
    path="",
    routes=("/api/chat",),
    read=read,
    answer=answer,
    stream=stream,
    media_type="application/x-ndjson",
)
