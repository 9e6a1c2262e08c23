"""Anthropic's Messages."""

from __future__ import annotations

import json
from typing import Any

from tests.speakers import INPUT_TOKENS, OUTPUT_TOKENS, Asked, Said, Speaker, named_event, need, pieces
from tests.upstream import SeenRequest


def read(seen: SeenRequest) -> Asked:
    body = seen.json
    need(isinstance(body["max_tokens"], int), "max_tokens")
    need(seen.headers["anthropic-version"], "the version")
    question, results, images, called, last = "", [], 0, set(), ""
    for message in body["messages"]:
        need(message["role"] in ("user", "assistant") and message["role"] != last, "turns that alternate")
        last = message["role"]
        content = message["content"]
        for block in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            match block["type"]:
                case "text" if last == "user":
                    question = block["text"]
                case "image":
                    images += bool(block["source"].get("data") or block["source"].get("url"))
                case "tool_use":
                    need(isinstance(block["input"], dict), "input that is an object")
                    called.add(block["id"])
                case "tool_result":
                    need(block["tool_use_id"] in called, "a result of a call that nobody made")
                    told = block["content"]
                    results.append(told if isinstance(told, str) else "".join(part["text"] for part in told))
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format")
    tools = tuple(tool["name"] for tool in body.get("tools", ()) if tool["input_schema"]["type"] == "object")
    return Asked(
        question=question,
        tools=tools,
        results=tuple(results),
        images=images,
        schema=wanted["schema"] if wanted else None,
        stream=body.get("stream", False),
    )


def blocks(said: Said) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if said.reasoning:
        found.append({"type": "thinking", "thinking": said.reasoning, "signature": "c2ln"})
    if said.text:
        found.append({"type": "text", "text": said.text})
    calls = enumerate(said.calls)
    return found + [
        {"type": "tool_use", "id": f"toolu_{n}", "name": name, "input": given} for n, (name, given) in calls
    ]


def answer(said: Said, **fields: Any) -> dict[str, Any]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "served", "content": blocks(said)}
    usage = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
    return head | {"stop_reason": _reason(said), "stop_sequence": None, "usage": usage} | fields


def _reason(said: Said) -> str:
    return "tool_use" if said.calls else "end_turn"


def stream(said: Said) -> list[bytes]:
    start = answer(Said(), stop_reason=None, usage={"input_tokens": INPUT_TOKENS, "output_tokens": 1})
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(blocks(said)):
        empty, deltas = _opened(block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": _reason(said), "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": OUTPUT_TOKENS}})
    return [named_event(event) for event in [*events, {"type": "message_stop"}]]


def _opened(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    match block["type"]:
        case "text":
            return block | {"text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return block | {"thinking": "", "signature": ""}, [*deltas, signed]
        case _:
            given = pieces(json.dumps(block["input"]))
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in given]


def _speaker(kind: str) -> Speaker:
    return Speaker(kind=kind, path="", routes=("/v1/messages",), read=read, answer=answer, stream=stream)


ANTHROPIC = _speaker("anthropic")
ANTHROPIC_COMPAT = _speaker("anthropic_compat")
