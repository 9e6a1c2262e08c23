"""How much a call was when its provider does not say: from what was sent and what arrived. Pure; prices nothing."""

from __future__ import annotations

from collections.abc import Iterator

from adapters.types import (
    AudioPart,
    ChatRequest,
    ChatResponse,
    EmbeddingRequest,
    FilePart,
    ImagePart,
    ImageRequest,
    ToolCall,
    Usage,
)
from registry.usage.pricing import TOKENS_PER_IMAGE, estimate_tokens, estimate_usage


def estimate_of(
    request: ChatRequest | EmbeddingRequest | ImageRequest | None, delivered: str, *, partial: Usage
) -> Usage:
    """Usage of a call whose provider reported none, or only a part of it (`partial`)."""
    match request:
        case EmbeddingRequest():
            return Usage(input_tokens=estimate_inputs(request))
        case ChatRequest():
            texts, images = sent_texts(request), _images(request)
        case ImageRequest():
            texts, images = iter((request.prompt,)), 0
        case None:
            texts, images = iter(()), 0
    return estimate_usage(texts, delivered, request_images=images, partial=partial)


def estimate_sent(request: ChatRequest) -> int:
    """About how many input tokens a conversation is, tools and images included."""
    return estimate_tokens(*sent_texts(request)) + _images(request) * TOKENS_PER_IMAGE


def estimate_inputs(request: EmbeddingRequest) -> int:
    """Token ids are counted, texts estimated."""
    return sum(estimate_tokens(item) if isinstance(item, str) else len(item) for item in request.inputs)


def sent_texts(request: ChatRequest) -> Iterator[str]:
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolCall):
                yield part.arguments
            elif not isinstance(part, ImagePart | AudioPart | FilePart):
                yield part.text
    for tool in request.tools:
        yield tool.description or ""
        yield str(tool.parameters)


def _images(request: ChatRequest) -> int:
    return sum(isinstance(part, ImagePart) for message in request.messages for part in message.parts)


def delivered_text(response: ChatResponse) -> str:
    """All that the model wrote: text, reasoning and tool arguments, of every choice."""
    pieces = []
    for choice in response.choices:
        for part in choice.parts:
            if isinstance(part, ToolCall):
                pieces.append(part.arguments)
            elif not isinstance(part, ImagePart | AudioPart | FilePart):
                pieces.append(part.text)
    return "".join(pieces)
