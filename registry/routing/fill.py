"""What a request needs of a model, and what a model's row and a preset add to a request. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adapters.chat_request import read_chat_request
from adapters.types import ChatRequest, ImagePart
from registry.routing.resolve import Candidate


def needs_of(request: ChatRequest) -> frozenset[str]:
    """Capabilities that a request makes use of."""
    needs = {"tools"} if request.tools else set()
    if any(isinstance(part, ImagePart) for message in request.messages for part in message.parts):
        needs.add("vision")
    return frozenset(needs)


def filled(request: ChatRequest, candidate: Candidate) -> ChatRequest:
    """The request with the preset's options and the model's default parameters where the client said nothing."""
    entry = candidate.entry
    if not candidate.options and not entry.default_params and entry.max_tokens is None and entry.temperature is None:
        return request
    own = {"max_output_tokens": entry.max_tokens, "temperature": entry.temperature}
    changes: dict[str, Any] = {}
    for name, value in {**own, **entry.default_params, **candidate.options}.items():
        field_name = _FIELD_OF.get(name, name)
        if value is not None and field_name in _FILLABLE and getattr(request, field_name) in (None, ()):
            changes[field_name] = tuple(value) if field_name == "stop" and isinstance(value, list) else value
        elif name == "response_format" and value and request.response_format is None:
            changes[name] = read_chat_request("", {name: value}, "openai.chat").response_format
    return replace(request, **changes) if changes else request


_FIELD_OF = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}
_FILLABLE = frozenset(
    {
        "max_output_tokens",
        "temperature",
        "top_p",
        "top_k",
        "presence_penalty",
        "frequency_penalty",
        "seed",
        "stop",
        "reasoning_effort",
        "verbosity",
        "service_tier",
    }
)
