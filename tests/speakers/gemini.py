"""Google's generateContent and streamGenerateContent."""

from __future__ import annotations

from typing import Any

from tests.speakers import INPUT_TOKENS, OUTPUT_TOKENS, Asked, Said, Speaker, data_event, need, pieces
from tests.upstream import SeenRequest

USAGE = {
    "promptTokenCount": INPUT_TOKENS,
    "candidatesTokenCount": OUTPUT_TOKENS,
    "totalTokenCount": INPUT_TOKENS + OUTPUT_TOKENS,
}


def read(seen: SeenRequest) -> Asked:
    body = seen.json
    question, results, images, called, signed = "", [], 0, [], 0
    for content in body["contents"]:
        need(content["role"] in ("user", "model"), "a role of Gemini's")
        for part in content["parts"]:
            if "text" in part and content["role"] == "user":
                question = part["text"]
            images += "inlineData" in part or "fileData" in part
            if "functionCall" in part:
                called.append(part["functionCall"]["name"])
                signed += "thoughtSignature" in part
            if "functionResponse" in part:
                need(part["functionResponse"]["name"] in called, "a response of a function that nobody called")
                results.append(_told(part["functionResponse"]["response"]))
    config = body.get("generationConfig") or {}
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    need(not schema or config["responseMimeType"] == "application/json", "the type of a schema's answer")
    declared = [tool for group in body.get("tools", ()) for tool in group.get("functionDeclarations", ())]
    stream = seen.path.endswith(":streamGenerateContent")
    need(not stream or "alt=sse" in seen.target, "alt=sse")
    tools = tuple(tool["name"] for tool in declared)
    return Asked(question=question, tools=tools, results=tuple(results), images=images, schema=schema, stream=stream)


def _told(response: dict[str, Any]) -> str:
    return str(next(iter(response.values())))


def parts(said: Said) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"text": said.reasoning, "thought": True}] if said.reasoning else []
    found += [{"text": piece} for piece in pieces(said.text)]
    calls: list[dict[str, Any]] = [{"functionCall": {"name": name, "args": given}} for name, given in said.calls]
    if calls:
        calls[0]["thoughtSignature"] = "c2lnbmVk"
    return found + calls


def _body(parts: list[dict[str, Any]], finish: str | None) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
    head = {"modelVersion": "served", "responseId": "r1", "usageMetadata": USAGE}
    return head | {"candidates": [candidate | ({"finishReason": finish} if finish else {})]}


def answer(said: Said) -> dict[str, Any]:
    return _body(parts(said), "STOP")


def stream(said: Said) -> list[bytes]:
    return [data_event(_body([part], None)) for part in parts(said)] + [data_event(_body([{"text": ""}], "STOP"))]


GEMINI = Speaker(
    kind="gemini",
    path="/v1beta",
    routes=("/v1beta/models/up-m:generateContent", "/v1beta/models/up-m:streamGenerateContent"),
    read=read,
    answer=answer,
    stream=stream,
)
