"""Bytes that an Anthropic upstream sends, after its API reference (synthetic)."""

from __future__ import annotations

import json
from typing import Any

from tests.upstream import Play, sse


def anthropic_message(text: str = "Hello there.", **more: Any) -> dict[str, Any]:
    return {
        "id": "msg_up1",
        "type": "message",
        "role": "assistant",
        "model": "served",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1000, "output_tokens": 500},
    } | more


def anthropic_frame(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def anthropic_events(*pieces: str) -> list[dict[str, Any]]:
    start = anthropic_message(content=[], stop_reason=None, usage={"input_tokens": 1000, "output_tokens": 1})
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
            for piece in pieces
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 500},
        },
        {"type": "message_stop"},
    ]


def anthropic_streamed(*pieces: str) -> Play:
    return sse(map(anthropic_frame, anthropic_events(*pieces)))
