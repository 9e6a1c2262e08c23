"""Canonical answers to OpenAI's Responses dialect for the hub's clients, whole and streamed. Reads nothing back.

A whole answer is what its stream would have ended in, so both are written by one encoder.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping
from typing import Any

from adapters.errors import LLMError
from adapters.openai_errors import encode_error
from adapters.openai_responses_input import DIALECT, seal_metadata
from adapters.types import (
    ChatResponse,
    Finished,
    ImagePart,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    ResponseStarted,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from adapters.wire_json import dump_json

__all__ = ["ResponsesEncoder", "encode_response"]

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_HIDDEN = frozenset({"origin", "type"})  # the hub's own marks beside a call's fields


def encode_response(response: ChatResponse, *, request_id: str, model: str) -> dict[str, Any]:
    """Build a `response` object; `model` is the name that the client asked for."""
    encoder = ResponsesEncoder(request_id=request_id, model=model)
    for event in _events_of(response):
        encoder.encode(event)
    encoder.finish()
    return encoder.response()


def _events_of(response: ChatResponse) -> Iterator[StreamEvent]:
    yield ResponseStarted(id=response.id, model=response.model, created=response.created)
    index = -1
    for part in response.parts:
        match part:
            case TextPart():
                yield TextDelta(text=part.text, provider_metadata=part.provider_metadata)
            case RefusalPart():
                yield RefusalDelta(text=part.text)
            case ReasoningPart():
                yield ReasoningDelta(text=part.text, provider_metadata=part.provider_metadata)
            case ToolCall():
                index += 1
                yield ToolCallStarted(index=index, id=part.id, name=part.name, provider_metadata=part.provider_metadata)
                yield ToolCallDelta(index=index, arguments=part.arguments)
            case ImagePart(data=bytes() as data):
                image = {"type": "image_generation_call", "id": f"ig_{index + 1}", "status": "completed"}
                image["result"] = base64.b64encode(data).decode("ascii")
                yield TextDelta(text="", provider_metadata={DIALECT: {"item": image}})
            case _:
                continue  # the dialect's answers hold no audio and no files
    yield UsageReported(usage=response.usage)
    yield Finished(reason=response.finish_reason)


def _usage(usage: Usage) -> dict[str, Any] | None:
    """The dialect demands every count, so what nobody reported is written as 0 here; None when nothing was."""
    if not usage.reported:
        return None
    body: dict[str, Any] = {
        "input_tokens": usage.input_tokens or 0,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens or 0,
            "cache_write_tokens": usage.cache_write_tokens or 0,
        },
        "output_tokens": usage.output_tokens or 0,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.total_tokens or 0,
    }
    if usage.provider_cost_usd is not None:
        body["cost"] = float(usage.provider_cost_usd)  # USD
    return body


def _own(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    own = metadata.get(DIALECT) if metadata else None
    return own if isinstance(own, Mapping) else {}


class ResponsesEncoder:
    """A `StreamEncoder` of the dialect's events. One message or thought is open at a time; calls stay open to the end,
    because some upstreams stream them side by side."""

    def __init__(self, *, request_id: str, model: str) -> None:
        self._tail = request_id.removeprefix("req_")
        self._model = model
        self._created = int(time.time())
        self._number = 0
        self._begun = False
        self._output: list[dict[str, Any]] = []
        self._open: int | None = None  # the place of the open message or thought
        self._calls: dict[int, int] = {}  # a call's index -> its place
        self._sealed: dict[str, Any] = {}  # other vendors' blobs of the open thought
        self._usage = Usage()
        self._reason: str | None = None

    def encode(self, event: StreamEvent) -> bytes:
        match event:
            case ResponseStarted():
                self._created = event.created or self._created
                return b""
            case UsageReported():
                self._usage = event.usage
                return b""
            case Finished(choice=0):
                self._reason = event.reason
                return self._head()
            case TextDelta(choice=0):
                return self._head() + self._text(event)
            case RefusalDelta(choice=0):
                return self._head() + self._said("refusal", event.text, {})
            case ReasoningDelta(choice=0):
                return self._head() + self._reasoning(event)
            case ToolCallStarted(choice=0):
                return self._head() + self._close() + self._call(event)
            case ToolCallDelta(choice=0):
                return self._call_delta(event)
            case _:
                return b""  # the dialect has one answer a request

    def finish(self) -> bytes:
        written = self._head() + self._close()
        for place in self._calls.values():
            written += self._call_done(place)
        self._calls = {}
        status = "incomplete" if self._reason in _INCOMPLETE else "completed"
        return written + self._event(f"response.{status}", response=self.response())

    def error(self, error: LLMError, *, request_id: str) -> bytes:
        told = encode_error(error, request_id=request_id)["error"]
        code, message = told["code"], told["message"]
        failed = self.response() | {"status": "failed", "error": {"code": code, "message": message}}
        return (
            self._head()
            + self._event("error", code=code, message=message, param=told["param"])
            + self._event("response.failed", response=failed | {"incomplete_details": None})
        )

    def response(self, status: str | None = None) -> dict[str, Any]:
        """The answer as far as it has come."""
        why = _INCOMPLETE.get(self._reason or "")
        return {
            "id": f"resp_{self._tail}",
            "object": "response",
            "created_at": self._created,
            "status": status or ("incomplete" if why else "completed"),
            "background": False,
            "error": None,
            "incomplete_details": {"reason": why} if why and status is None else None,
            "instructions": None,
            "model": self._model,
            "output": [] if status else self._output,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": False,
            "tool_choice": "auto",
            "tools": [],
            "usage": None if status else _usage(self._usage),
            "metadata": {},
        }

    # --- one item after the other ---

    def _event(self, kind: str, **fields: Any) -> bytes:
        body = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), dump_json(body))

    def _head(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        begun = self.response("in_progress")
        return self._event("response.created", response=begun) + self._event("response.in_progress", response=begun)

    def _add(self, item: dict[str, Any]) -> bytes:
        self._output.append(item)
        return self._event("response.output_item.added", output_index=len(self._output) - 1, item=item)

    def _done(self, place: int) -> bytes:
        return self._event("response.output_item.done", output_index=place, item=self._output[place])

    def _whole(self, item: Mapping[str, Any]) -> bytes:
        """An item that the provider of this dialect sent, and that only this dialect knows."""
        return self._close() + self._add(dict(item)) + self._done(len(self._output) - 1)

    def _text(self, event: TextDelta) -> bytes:
        own = _own(event.provider_metadata)
        if isinstance(own.get("item"), Mapping):
            return self._whole(own["item"])
        notes = own.get("annotations") or ()
        if not event.text and not notes:
            return b""
        tokens = (event.logprobs or {}).get("content") or []
        written = self._said("output_text", event.text, own, tokens)
        place = self._open
        assert place is not None
        known = self._output[place]["content"][-1]["annotations"]
        for note in notes:
            known.append(note)
            where = self._at(place, len(self._output[place]["content"]) - 1)
            written += self._event(
                "response.output_text.annotation.added", **where, annotation_index=len(known) - 1, annotation=note
            )
        return written

    def _said(self, kind: str, text: str, own: Mapping[str, Any], tokens: list[Any] | None = None) -> bytes:
        """Text or refusal: in the open message when it belongs there, else in a new one."""
        written = b""
        name = own.get("id")
        item = self._output[self._open] if self._open is not None else None
        if item is None or item["type"] != "message" or (name and item["id"] != name):
            written += self._close()
            item = {
                "id": name or f"msg_{self._tail}_{len(self._output)}",
                "type": "message",
                "role": "assistant",
                "status": "in_progress",
                "content": [],
            }
            item |= {"phase": own["phase"]} if own.get("phase") else {}
            written += self._add(item)
            self._open = len(self._output) - 1
        assert self._open is not None
        content = item["content"]
        if not content or content[-1]["type"] != kind:
            written += self._part_done(self._open)
            part = {"type": kind, "text": "", "annotations": [], "logprobs": []}
            content.append(part if kind == "output_text" else {"type": kind, "refusal": ""})
            where = self._at(self._open, len(content) - 1)
            written += self._event("response.content_part.added", **where, part=content[-1])
        where = self._at(self._open, len(content) - 1)
        if kind == "refusal":
            content[-1]["refusal"] += text
            return written + self._event("response.refusal.delta", **where, delta=text)
        content[-1]["text"] += text
        content[-1]["logprobs"] += tokens or []
        if text:
            written += self._event("response.output_text.delta", **where, delta=text, logprobs=tokens or [])
        return written

    def _at(self, place: int, content_index: int) -> dict[str, Any]:
        return {"item_id": self._output[place]["id"], "output_index": place, "content_index": content_index}

    def _part_done(self, place: int) -> bytes:
        content = self._output[place]["content"]
        if not content:
            return b""
        part, where = content[-1], self._at(place, len(content) - 1)
        if part["type"] == "refusal":
            written = self._event("response.refusal.done", **where, refusal=part["refusal"])
        else:
            written = self._event("response.output_text.done", **where, text=part["text"], logprobs=part["logprobs"])
        return written + self._event("response.content_part.done", **where, part=part)

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        item = self._output[self._open] if self._open is not None else None
        written = b""
        if event.text and self._sealed:
            written, item = self._close(), None  # the thought before was signed: this is another
        if item is None or item["type"] != "reasoning":
            if not event.text and not event.provider_metadata:
                return written
            written += self._close()
            item = {"id": f"rs_{self._tail}_{len(self._output)}", "type": "reasoning", "summary": []}
            written += self._add(item)
            self._open = len(self._output) - 1
        assert self._open is not None
        if event.text:
            where = {"item_id": item["id"], "output_index": self._open, "summary_index": 0}
            if not item["summary"]:
                item["summary"].append({"type": "summary_text", "text": ""})
                part = item["summary"][0]
                written += self._event("response.reasoning_summary_part.added", **where, part=part)
            item["summary"][0]["text"] += event.text
            written += self._event("response.reasoning_summary_text.delta", **where, delta=event.text)
        whole = _own(event.provider_metadata).get("item")
        if isinstance(whole, Mapping):
            return written + self._close(whole)
        self._sealed |= {name: value for name, value in event.provider_metadata.items() if name != DIALECT}
        return written

    def _close(self, whole: Mapping[str, Any] | None = None) -> bytes:
        """End the open message or thought; `whole` is the thought as its own provider wrote it."""
        place, self._open = self._open, None
        if place is None:
            return b""
        item = self._output[place]
        if item["type"] == "message":
            written = self._part_done(place)
            item["status"] = "incomplete" if self._reason in _INCOMPLETE else "completed"
            return written + self._done(place)
        written = b""
        if item["summary"]:
            where = {"item_id": item["id"], "output_index": place, "summary_index": 0}
            part = item["summary"][0]
            written += self._event("response.reasoning_summary_text.done", **where, text=part["text"])
            written += self._event("response.reasoning_summary_part.done", **where, part=part)
        sealed, self._sealed = seal_metadata(self._sealed), {}
        if sealed:
            item["encrypted_content"] = sealed
        if whole is not None:
            self._output[place] = dict(whole)
        return written + self._done(place)

    def _call(self, event: ToolCallStarted) -> bytes:
        own = _own(event.provider_metadata)
        custom = own.get("type") == "custom" or _is_custom(event.provider_metadata)
        place = len(self._output)
        item: dict[str, Any] = {
            "id": f"{'ctc' if custom else 'fc'}_{self._tail}_{place}",
            "type": "custom_tool_call" if custom else "function_call",
            "call_id": event.id or f"call_{self._tail}_{event.index}",
            "name": event.name,
            "input" if custom else "arguments": "",
            "status": "in_progress",
        }
        item |= {name: value for name, value in own.items() if name not in _HIDDEN}
        if sealed := seal_metadata({} if custom else event.provider_metadata):
            item["encrypted_content"] = sealed  # a signature that the call's own vendor wants back
        self._calls[event.index] = place
        return self._add(item)

    def _call_delta(self, event: ToolCallDelta) -> bytes:
        place = self._calls.get(event.index)
        if place is None or not event.arguments:
            return b""
        item = self._output[place]
        where = {"item_id": item["id"], "output_index": place}
        if item["type"] == "custom_tool_call":
            item["input"] += event.arguments
            return self._event("response.custom_tool_call_input.delta", **where, delta=event.arguments)
        item["arguments"] += event.arguments
        return self._event("response.function_call_arguments.delta", **where, delta=event.arguments)

    def _call_done(self, place: int) -> bytes:
        item = self._output[place]
        where = {"item_id": item["id"], "output_index": place}
        item["status"] = "incomplete" if self._reason in _INCOMPLETE else "completed"
        if item["type"] == "custom_tool_call":
            return self._event("response.custom_tool_call_input.done", **where, input=item["input"]) + self._done(place)
        item["arguments"] = item["arguments"] or "{}"
        named = {"name": item["name"], "arguments": item["arguments"]}
        return self._event("response.function_call_arguments.done", **where, **named) + self._done(place)


def _is_custom(metadata: Mapping[str, Any]) -> bool:
    chat = metadata.get("openai.chat")
    return isinstance(chat, Mapping) and chat.get("type") == "custom"
