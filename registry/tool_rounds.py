"""Runs a script's own tools between two rounds of a conversation. Calls no model."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from adapters.errors import InvalidRequestError, LLMError
from adapters.types import ChatRequest, ChatResponse, Message, TextPart, ToolCall

ToolHandler = Callable[[ToolCall], Any | Awaitable[Any]]


async def with_results(request: ChatRequest, response: ChatResponse, handler: ToolHandler) -> ChatRequest:
    """The conversation after its tools ran: the assistant's turn, then each result. A handler's failure is a result."""
    turns: list[Message] = [Message(role="assistant", parts=response.parts)]
    for call in response.tool_calls:
        failed = False
        try:
            answer = handler(call)
            if inspect.isawaitable(answer):
                answer = await answer
        except LLMError:
            raise
        except Exception as error:  # the model is told, as it would be of any failing tool
            answer, failed = f"The tool failed: {type(error).__name__}", True
        text = answer if isinstance(answer, str) else _json(answer)
        part = TextPart(text=text)
        turns.append(Message(role="tool", parts=(part,), tool_call_id=call.id, name=call.name, is_error=failed))
    return replace(request, messages=(*request.messages, *turns), tool_choice=None)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError("A tool's answer can't be written as JSON.") from error
