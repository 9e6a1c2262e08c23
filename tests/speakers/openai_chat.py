"""OpenAI's chat completions, and what others made of them: Azure, Mistral, TGI, DeepSeek, Ollama's /v1, ..."""

from __future__ import annotations

import json
from typing import Any

from tests.speakers import INPUT_TOKENS, OUTPUT_TOKENS, Asked, Said, Speaker, data_event, need, pieces
from tests.upstream import SeenRequest

USAGE = {
    "prompt_tokens": INPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
}


def read(seen: SeenRequest) -> Asked:
    body = seen.json
    question, results, images, called = "", [], 0, set()
    for message in body["messages"]:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        match message["role"]:
            case "user":
                question = text
                images += sum(part["type"] == "image_url" and bool(part["image_url"]["url"]) for part in parts)
            case "assistant":
                called |= {call["id"] for call in message.get("tool_calls", ())}
                need(all(json.loads(c["function"]["arguments"]) for c in message.get("tool_calls", ())), "arguments")
            case "tool":
                need(message["tool_call_id"] in called, "a result of a call that nobody made")
                results.append(text)
            case role:
                need(role in ("system", "developer"), f"role {role}")
    wanted = body.get("response_format") or {}
    schema = wanted["json_schema"]["schema"] if wanted.get("type") == "json_schema" else None
    tools = tuple(tool["function"]["name"] for tool in body.get("tools", ()) if tool["type"] == "function")
    stream = body.get("stream", False)
    return Asked(question=question, tools=tools, results=tuple(results), images=images, schema=schema, stream=stream)


def _calls(said: Said) -> list[dict[str, Any]]:
    return [
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for n, (name, arguments) in enumerate(said.calls)
    ]


def answer(said: Said) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.text or None, "refusal": None}
    if said.calls:
        message["tool_calls"] = _calls(said)
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if said.calls else "stop", "logprobs": None}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1760000000, "model": "served"}
    return head | {"choices": [choice], "usage": USAGE}


def chunk(delta: dict[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1760000000, "model": "served"}
    return head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} | fields


def stream(said: Said) -> list[bytes]:
    chunks = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": piece}) for piece in pieces(said.text))]
    for n, call in enumerate(_calls(said)):
        function = call["function"]
        chunks.append(chunk({"tool_calls": [call | {"index": n, "function": function | {"arguments": ""}}]}))
        for piece in pieces(function["arguments"]):
            chunks.append(chunk({"tool_calls": [{"index": n, "function": {"arguments": piece}}]}))
    chunks.append(chunk({}, "tool_calls" if said.calls else "stop"))
    chunks.append(chunk({}) | {"choices": [], "usage": USAGE})
    return [*map(data_event, chunks), b"data: [DONE]\n\n"]


OPENAI = Speaker(kind="openai", path="/v1", routes=("/v1/chat/completions",), read=read, answer=answer, stream=stream)


# --- those who speak it with an accent -------------------------------------------------------------------------------


def tgi_answer(said: Said) -> dict[str, Any]:
    """Hugging Face's TGI: an integer for an id, arguments that are an object, `eos_token`."""
    body = answer(said)
    message = body["choices"][0]["message"]
    for call, (_, arguments) in zip(message.get("tool_calls", ()), said.calls, strict=True):
        call |= {"id": 0, "function": {"name": call["function"]["name"], "arguments": arguments, "description": None}}
    body["choices"][0]["finish_reason"] = "eos_token"
    return body


def tgi_stream(said: Said) -> list[bytes]:
    """No blank after `data:`, usage in the last chunk, no [DONE]."""
    return [frame.replace(b"data: ", b"data:", 1) for frame in stream(said)[:-1]]


def mistral_stream(said: Said) -> list[bytes]:
    """Calls come whole, without type and index; usage stands in the chunk that finishes."""
    calls = [{"id": f"call{n:05}", "function": call["function"]} for n, call in enumerate(_calls(said))]
    last = chunk({"content": "", **({"tool_calls": calls} if calls else {})}, "tool_calls" if calls else "stop")
    texts = [chunk({"content": piece}) for piece in pieces(said.text)]
    chunks = [chunk({"role": "assistant", "content": ""}), *texts, last | {"usage": USAGE}]
    return [*map(data_event, chunks), b"data: [DONE]\n\n"]


def mistral_read(seen: SeenRequest) -> Asked:
    need("stream_options" not in seen.json, "Mistral answers 422 to stream_options")
    calls = [call for message in seen.json["messages"] for call in message.get("tool_calls") or ()]
    need(all(len(call["id"]) == 9 and call["id"].isalnum() for call in calls), "ids of nine letters and digits")
    return read(seen)


def azure_stream(said: Said) -> list[bytes]:
    """Filter results come first, in a chunk without choices, id and model."""
    first = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []}
    return [data_event(first), *stream(said)]


def openrouter_stream(said: Said) -> list[bytes]:
    """Comments while it waits for the provider, and reasoning in two fields at once."""
    frames = [b": OPENROUTER PROCESSING\n\n", b": OPENROUTER PROCESSING\n\n"]
    if said.reasoning:
        details = [{"type": "reasoning.text", "text": said.reasoning, "index": 0}]
        frames.append(data_event(chunk({"content": "", "reasoning": said.reasoning, "reasoning_details": details})))
    return frames + stream(said)


def deepseek_stream(said: Said) -> list[bytes]:
    thoughts = [chunk({"content": None, "reasoning_content": piece}) for piece in pieces(said.reasoning)]
    return [*map(data_event, thoughts), *stream(said)]


def _like_openai(kind: str, path: str = "/v1", **fields: Any) -> Speaker:
    named: dict[str, Any] = {"routes": (f"{path}/chat/completions",), "read": read, "answer": answer, "stream": stream}
    return Speaker(kind=kind, path=path, **named | fields)


AZURE = _like_openai(
    "azure_openai",
    "",
    routes=("/openai/deployments/up-m/chat/completions",),
    stream=azure_stream,
    settings={"api_version": "2024-10-21"},
)
AZURE_V1 = _like_openai(
    "azure_openai", "", routes=("/openai/v1/chat/completions",), stream=azure_stream, settings={"api_version": "v1"}
)
HUGGINGFACE = _like_openai("huggingface", answer=tgi_answer, stream=tgi_stream)
MISTRAL = _like_openai("mistral", read=mistral_read, stream=mistral_stream)
OPENROUTER = _like_openai("openrouter", "/api/v1", stream=openrouter_stream)
DEEPSEEK = _like_openai("deepseek", "", stream=deepseek_stream)
PLAIN = tuple(
    _like_openai(kind) for kind in ("openai_compatible", "groq", "xai", "together", "lmstudio", "vllm", "llamacpp")
)
