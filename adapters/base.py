"""The seam between canonical values and a dialect's bytes. Codecs are stateless and open no socket.

A dialect's module offers a `ProviderCodec` (the hub talks to a provider in it) and, where the hub serves the dialect
to its own clients, a `ClientCodec`. Recorded bytes replay through both as plain function calls.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from adapters.errors import LLMError, UnsupportedFeatureError
from adapters.types import (
    ChatRequest,
    ChatResponse,
    Dialect,
    EmbeddingRequest,
    EmbeddingResponse,
    ImageRequest,
    ImageResponse,
    ModelPage,
    StreamEvent,
    Target,
    WireRequest,
    WireResponse,
)


class StreamDecoder(Protocol):
    """Turns one response's bytes into events; holds all of the stream's state."""

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Answer the events that `data` completes; any split of the bytes gives the same events.

        Raises an `LLMError` for an error inside the stream. Events that came before it in the same bytes are answered
        first; the error is then raised by the next call of `feed` or `close`.
        """
        ...

    def close(self) -> list[StreamEvent]:
        """Answer what the end of the body completes; raise UpstreamProtocolError when the stream was cut short."""
        ...


class ProviderCodec(ABC):
    """Both directions toward a provider that speaks `dialect`."""

    dialect: ClassVar[Dialect]
    counts_tokens: ClassVar[bool] = False  # whether the dialect can ask how many tokens a request is

    def for_request(self, request: ChatRequest, target: Target) -> ProviderCodec:
        """The codec that builds and reads this chat request: this one, unless its endpoint would refuse it."""
        return self

    @abstractmethod
    def build_request(self, request: ChatRequest, target: Target, *, stream: bool) -> WireRequest:
        """Build the call. Raises UnsupportedFeatureError for what can't be carried, ConfigurationError for a bad row.

        A setting that may be left out without changing what was asked is dropped and named in `warnings`.
        """

    @abstractmethod
    def parse_response(self, response: WireResponse, target: Target) -> ChatResponse:
        """Read a whole 2xx body. Raises UpstreamProtocolError, or the error that the body itself reports."""

    @abstractmethod
    def stream_decoder(self, target: Target) -> StreamDecoder: ...

    @abstractmethod
    def parse_error(self, response: WireResponse, target: Target) -> LLMError:
        """Classify by status, then structured code, then (400 and 422 only) text. Never raises."""

    @abstractmethod
    def build_list_models(self, target: Target, *, cursor: str | None = None) -> WireRequest | None:
        """Build the model list's call; None when the provider has none."""

    @abstractmethod
    def parse_list_models(self, response: WireResponse, target: Target) -> ModelPage: ...

    def build_embeddings(self, request: EmbeddingRequest, target: Target) -> WireRequest:
        raise UnsupportedFeatureError(f"{target.kind} has no embeddings", provider=target.provider, model=target.model)

    def parse_embeddings(self, response: WireResponse, target: Target) -> EmbeddingResponse:
        raise UnsupportedFeatureError(f"{target.kind} has no embeddings", provider=target.provider, model=target.model)

    def build_images(self, request: ImageRequest, target: Target) -> WireRequest:
        raise UnsupportedFeatureError(f"{target.kind} makes no images", provider=target.provider, model=target.model)

    def parse_images(self, response: WireResponse, target: Target) -> ImageResponse:
        raise UnsupportedFeatureError(f"{target.kind} makes no images", provider=target.provider, model=target.model)

    def build_count_tokens(self, request: ChatRequest, target: Target) -> WireRequest:
        raise UnsupportedFeatureError(f"{target.kind} counts no tokens", provider=target.provider, model=target.model)

    def parse_count_tokens(self, response: WireResponse, target: Target) -> int:
        raise UnsupportedFeatureError(f"{target.kind} counts no tokens", provider=target.provider, model=target.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRequest:
    """What a client of the hub asked, before any model is chosen."""

    model: str | None  # the name as the client wrote it; None when it named none
    stream: bool
    request: ChatRequest


class StreamEncoder(Protocol):
    """Writes one answer's events in a client's dialect; holds the stream's state."""

    def encode(self, event: StreamEvent) -> bytes:
        """Bytes of whole events; empty when the event has no form in this dialect."""
        ...

    def finish(self) -> bytes:
        """Bytes that close a stream that ended well (`data: [DONE]`, `message_stop`)."""
        ...

    def error(self, error: LLMError, *, request_id: str) -> bytes:
        """Bytes of an error event for a stream that broke. Nothing may follow it that looks like success."""
        ...


class ClientCodec(ABC):
    """Both directions toward a client of the hub that speaks `dialect`."""

    dialect: ClassVar[Dialect]

    @abstractmethod
    def parse_request(self, body: Mapping[str, Any]) -> ClientRequest:
        """Read a client's JSON. Raises InvalidRequestError with `param` naming the field."""

    @abstractmethod
    def encode_response(self, response: ChatResponse, *, request_id: str, model: str) -> dict[str, Any]: ...

    @abstractmethod
    def stream_encoder(self, *, request_id: str, model: str, include_usage: bool) -> StreamEncoder: ...

    @abstractmethod
    def encode_error(self, error: LLMError, *, request_id: str) -> dict[str, Any]:
        """The dialect's error body; the HTTP status is `error.status`. Never the upstream's raw text."""
