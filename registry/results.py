"""What `DynamicLLMClient` answers: the reply beside its tokens, its cost, and how it came about. Values only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.types import ChatResponse, EmbeddingResponse, ImagePart, ImageResponse, Usage, WireResponse
from registry.routing.resolve import Candidate, Resolution
from registry.usage.ledger import Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """A whole answer: the text, the provider's JSON, tokens and cost, and how it came about."""

    reply: str
    usage: Usage
    status: int
    response: ChatResponse
    cost: Cost
    request_id: str
    candidate: Candidate
    attempts: int
    resolution: Resolution
    headers: Sequence[tuple[str, str]] = ()  # how the caller's limits stand, for who answers over HTTP
    wire: WireResponse | None = field(default=None, repr=False)

    @property
    def raw(self) -> Mapping[str, Any]:
        """The provider's JSON, read anew each time; empty when it was no object."""
        try:
            raw = json.loads(self.wire.body) if self.wire is not None else {}
        except ValueError:
            return {}
        return raw if isinstance(raw, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingResult:
    """One vector per input, in the inputs' order."""

    response: EmbeddingResponse
    usage: Usage
    cost: Cost
    request_id: str
    candidate: Candidate
    attempts: int
    resolution: Resolution
    headers: Sequence[tuple[str, str]] = ()  # how the caller's limits stand, for who answers over HTTP

    @property
    def vectors(self) -> tuple[tuple[float, ...], ...]:
        return self.response.vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """The images that were made, as bytes or as the provider's URLs."""

    response: ImageResponse
    usage: Usage
    cost: Cost
    request_id: str
    candidate: Candidate
    attempts: int
    resolution: Resolution
    headers: Sequence[tuple[str, str]] = ()  # how the caller's limits stand, for who answers over HTTP

    @property
    def images(self) -> tuple[ImagePart, ...]:
        return self.response.images


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCount:
    """How many tokens a request is. `estimated` where the provider has no way to say."""

    input_tokens: int
    estimated: bool
    candidate: Candidate
    attempts: int  # calls upstream; 0 where nobody was asked
