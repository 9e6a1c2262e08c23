"""OpenAI's Responses, stateless: items in, items out, events by type."""

from __future__ import annotations

import json
from typing import Any

from tests.speakers import INPUT_TOKENS, OUTPUT_TOKENS, Asked, Said, Speaker, named_event, need, pieces
from tests.upstream import SeenRequest

USAGE = {
    "input_tokens": INPUT_TOKENS,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": OUTPUT_TOKENS,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
}


def read(seen: SeenRequest) -> Asked:
    body = seen.json
    question, results, images, called = "", [], 0, set()
    items = body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]
    for item in items:
        match item.get("type", "message"):
            case "function_call":
                called.add(item["call_id"])
                need(isinstance(json.loads(item["arguments"]), dict), "arguments")
            case "function_call_output":
                need(item["call_id"] in called, "an output of a call that nobody made")
                results.append(_text(item["output"]))
            case "message":
                if item["role"] == "user":
                    question = _text(item["content"])
                    parts = item["content"] if isinstance(item["content"], list) else ()
                    images += sum(part["type"] == "input_image" and bool(part["image_url"]) for part in parts)
            case kind:
                need(kind == "reasoning", f"item {kind}")
    wanted = (body.get("text") or {}).get("format") or {}
    schema = wanted["schema"] if wanted.get("type") == "json_schema" else None
    tools = tuple(tool["name"] for tool in body.get("tools", ()) if tool["type"] == "function")
    stream = body.get("stream", False)
    return Asked(question=question, tools=tools, results=tuple(results), images=images, schema=schema, stream=stream)


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def items(said: Said) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if said.text:
        content = [{"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}]
        found.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content})
    for n, (name, arguments) in enumerate(said.calls):
        call = {"type": "function_call", "id": f"fc_{n}", "call_id": f"call_{n}", "name": name, "status": "completed"}
        found.append(call | {"arguments": json.dumps(arguments)})
    return found


def answer(said: Said, **fields: Any) -> dict[str, Any]:
    head = {"id": "resp_1", "object": "response", "created_at": 1760000000, "model": "served", "status": "completed"}
    rest = {
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
    }
    return head | rest | {"tool_choice": "auto", "tools": [], "output": items(said), "usage": USAGE} | fields


def stream(said: Said) -> list[bytes]:
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": answer(Said(), status="in_progress", usage=None)}
    ]
    for index, item in enumerate(items(said)):
        place = {"output_index": index, "item_id": item["id"]}
        if item["type"] == "message":
            events.append({"type": "response.output_item.added", **place, "item": item | {"content": []}})
            part = {"type": "output_text", "text": "", "annotations": []}
            events.append({"type": "response.content_part.added", **place, "content_index": 0, "part": part})
            place |= {"content_index": 0}
            for piece in pieces(said.text):
                events.append({"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []})
            events.append({"type": "response.output_text.done", **place, "text": said.text, "logprobs": []})
            events.append({"type": "response.content_part.done", **place, "part": item["content"][0]})
            del place["content_index"]
        else:
            events.append({"type": "response.output_item.added", **place, "item": item | {"arguments": ""}})
            for piece in pieces(item["arguments"]):
                events.append({"type": "response.function_call_arguments.delta", **place, "delta": piece})
            done = {"arguments": item["arguments"], "name": item["name"]}
            events.append({"type": "response.function_call_arguments.done", **place, **done})
        events.append({"type": "response.output_item.done", **place, "item": item})
    events.append({"type": "response.completed", "response": answer(said)})
    return [named_event(event | {"sequence_number": number}) for number, event in enumerate(events)]


RESPONSES = Speaker(
    kind="openai",
    path="/v1",
    routes=("/v1/responses",),
    read=read,
    answer=answer,
    stream=stream,
    settings={"api": "responses"},
)
