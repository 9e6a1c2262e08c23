"""A provider ready to be called: a target, its codec, the transport and the egress policy. Keeps no state of a call."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Protocol, runtime_checkable

from adapters.base import ProviderCodec, StreamDecoder
from adapters.chat_request import Messages, read_chat_request
from adapters.egress import EgressPolicy, origin_of
from adapters.errors import LLMError, UnsupportedFeatureError, UpstreamProtocolError
from adapters.kinds import profile_for
from adapters.left_behind import warn_left_behind
from adapters.loop_thread import run_sync
from adapters.passthrough import ChatStreamTap
from adapters.stub import StubTransport
from adapters.transport import ReadyRequest, Transport
from adapters.types import (
    ChatRequest,
    ChatResponse,
    ChatResult,
    EmbeddingRequest,
    EmbeddingResponse,
    ImageRequest,
    ImageResponse,
    RemoteModel,
    StreamEvent,
    Target,
    Timeouts,
    WireRequest,
    WireResponse,
)

__all__ = ["IMAGE_OPTIONS", "Adapter", "ConnectionReport", "OpenStream", "WireTransport", "of_whole"]

IMAGE_OPTIONS: Final = ("n", "size", "quality", "output_format", "response_format", "background", "user")
_MAX_PAGES: Final = 50
_MAX_MODELS: Final = 10_000


@runtime_checkable
class ShowingCodec(Protocol):
    """A codec whose provider describes single models."""

    def build_show(self, target: Target) -> WireRequest: ...
    def parse_show(self, response: WireResponse, target: Target) -> RemoteModel: ...


class StreamedAnswer(Protocol):
    """What an adapter needs of a streamed response."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def aiter_bytes(self) -> AsyncIterator[bytes]: ...
    async def aread(self) -> bytes: ...


class OpeningStream(Protocol):
    async def __aenter__(self) -> StreamedAnswer: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class WireTransport(Protocol):
    """What an adapter needs of a transport: `Transport`, or the stub's own."""

    async def send(self, request: WireRequest, timeouts: Timeouts, policy: EgressPolicy) -> WireResponse: ...
    def stream(self, request: WireRequest, timeouts: Timeouts, policy: EgressPolicy) -> OpeningStream: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionReport:
    """What a test call tried and how it went; holds no key and no upstream text."""

    ok: bool
    tried: str  # "models" or "chat"
    latency_ms: float
    models: tuple[str, ...] = ()  # ids that the provider lists, when it was asked
    model_listed: bool | None = None  # whether the configured model is among them; None when not known
    error: LLMError | None = field(default=None, compare=False)


class OpenStream:
    """A streamed answer that began well. Iterating gives `(raw bytes, events they completed)` as they arrive.

    The raw bytes are the provider's, split anywhere; the last pair has none and brings what the stream's end completed.
    """

    def __init__(
        self, target: Target, opening: Callable[[], OpeningStream], codec: ProviderCodec, warnings: tuple[str, ...] = ()
    ) -> None:
        self._codec = codec
        self.dialect = codec.dialect  # what the raw bytes are written in
        self._target = target
        self._open = opening
        self.warnings = warnings  # what was left out or changed, in plain words
        self.status = 0
        self.headers: Mapping[str, str] = {}

    async def __aenter__(self) -> OpenStream:
        target = self._target
        self._opening = self._open()
        try:
            self._streamed = await self._opening.__aenter__()
        except LLMError as error:
            _name(error, target)
            raise
        self.status, self.headers = self._streamed.status, self._streamed.headers
        if 200 <= self.status < 300:
            return self
        try:
            body = await self._streamed.aread()
            response = WireResponse(status=self.status, headers=self.headers, body=body)
            raise self._codec.parse_error(response, target)
        except LLMError as error:
            _name(error, target)
            raise
        finally:
            await self._opening.__aexit__(None, None, None)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opening.__aexit__(kind, error, trace)

    async def __aiter__(self) -> AsyncIterator[tuple[bytes, list[StreamEvent]]]:
        decoder = self.decoder()
        try:
            async for chunk in self._streamed.aiter_bytes():
                yield chunk, decoder.feed(chunk)
            yield b"", decoder.close()
        except LLMError as error:
            self.name(error)
            raise

    def chunks(self) -> AsyncIterator[bytes]:
        """The raw bytes alone, for who reads them otherwise; errors want a `name`."""
        return self._streamed.aiter_bytes()

    def decoder(self) -> StreamDecoder:
        return self._codec.stream_decoder(self._target)

    def name(self, error: LLMError) -> None:
        """Say in the error which provider and model it came from."""
        _name(error, self._target)

    def tap(self, *, model: str, answer_id: str) -> ChatStreamTap | None:
        """What forwards this stream to a client of OpenAI's chat, under these names; None where it can't be."""
        if self.dialect != "openai.chat" or self._target.profile.tool_call_ids != "any":
            return None
        return ChatStreamTap(self._target, model=model, answer_id=answer_id, include_usage=False, ends=False)


class Adapter:
    """Calls one provider. `await chat(...)`, `stream(...)`, `list_models`, `embed`, `image` and `test`.

    Messages are a text, OpenAI-shaped dicts, canonical messages or a ChatRequest; options are OpenAI's fields, and one
    that is unknown is forwarded to the provider as it is. Raises the errors of `adapters.errors`.
    """

    def __init__(self, target: Target, codec: ProviderCodec, transport: WireTransport, policy: EgressPolicy) -> None:
        self.target = target
        self.codec = codec
        self.policy = policy
        # The stub must never reach the network, whatever transport its caller shares among adapters.
        self._transport: WireTransport = StubTransport() if codec.dialect == "stub" else transport

    def __repr__(self) -> str:
        return f"Adapter(kind={self.target.kind!r}, provider={self.target.provider!r}, model={self.target.model!r})"

    async def chat(
        self,
        messages: Messages,
        model: str | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        tools: Sequence[Any] | None = None,
        **options: Any,
    ) -> ChatResult:
        """Answer when the reply is whole. `params` and keyword options are the same thing; keywords win."""
        request, target = self._read(messages, model, params, tools, options)
        response, wire = await self.complete(request, target)
        return ChatResult(
            reply=response.text,
            raw=_json_object(wire.body),
            usage=response.usage,
            status=wire.status,
            response=response,
        )

    def chat_sync(self, messages: Messages, model: str | None = None, **options: Any) -> ChatResult:
        """`chat` for synchronous code. Raises RuntimeError inside a running event loop."""
        return run_sync(self.chat(messages, model, **options))

    async def stream(
        self,
        messages: Messages,
        model: str | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        tools: Sequence[Any] | None = None,
        **options: Any,
    ) -> AsyncIterator[StreamEvent]:
        """Yield events as they arrive: `async for event in adapter.stream("hi")`."""
        request, target = self._read(messages, model, params, tools, options)
        async with self.open_stream(request, target) as opened:
            async for _, events in opened:
                for event in events:
                    yield event

    async def complete(self, request: ChatRequest, target: Target | None = None) -> tuple[ChatResponse, WireResponse]:
        """Send a canonical request and answer the reply beside the bytes it came in."""
        target = target or self.target
        codec = self.codec.for_request(request, target)
        wire = codec.build_request(request, target, stream=False)
        try:
            answered = await self._send(wire, target, of_whole(target.timeouts), codec)
            response = codec.parse_response(answered, target)
        except LLMError as error:
            _name(error, target)
            raise
        if warnings := wire.warnings + warn_left_behind(request, codec.dialect):
            response = replace(response, warnings=warnings + response.warnings)
        return response, answered

    async def send_ready(self, ready: ReadyRequest, body: bytes) -> WireResponse:
        """Send a request that was made ready of this adapter's own. Raises the provider's error, or the transport's."""
        assert isinstance(self._transport, Transport)
        try:
            answered = await self._transport.send_ready(ready, body)
            if not 200 <= answered.status < 300:
                raise self.codec.parse_error(answered, self.target)
        except LLMError as error:
            _name(error, self.target)
            raise
        return answered

    def read(self, answered: WireResponse) -> ChatResponse:
        """The canonical reply in a whole answer. Raises the error that it reports instead."""
        try:
            return self.codec.parse_response(answered, self.target)
        except LLMError as error:
            _name(error, self.target)
            raise

    def open_stream(self, request: ChatRequest, target: Target | None = None) -> OpenStream:
        """Open a stream as an async context manager; leaving it closes the upstream's socket at once.

        Entering raises the provider's error when it answers with one.
        """
        target = target or self.target
        codec = self.codec.for_request(request, target)
        wire = codec.build_request(request, target, stream=True)
        warnings = wire.warnings + warn_left_behind(request, codec.dialect)
        return OpenStream(target, lambda: self._transport.stream(wire, target.timeouts, self.policy), codec, warnings)

    def open_ready(self, ready: ReadyRequest, body: bytes) -> OpenStream:
        """As `open_stream`, for a request that was made ready of this adapter's own."""
        transport = self._transport
        assert isinstance(transport, Transport)
        return OpenStream(self.target, lambda: transport.stream_ready(ready, body), self.codec)

    async def list_models(self) -> tuple[RemoteModel, ...]:
        """Every model that the provider lists, all pages of it.

        Raises UnsupportedFeatureError when it has no list.
        """
        first = self.codec.build_list_models(self.target)
        if first is None:
            raise UnsupportedFeatureError(
                f"{self.target.kind} has no list of models", provider=self.target.provider, model=self.target.model
            )
        wire: WireRequest | None = first
        models: list[RemoteModel] = []
        cursors: set[str] = set()
        try:
            for _ in range(_MAX_PAGES):
                assert wire is not None
                page = self.codec.parse_list_models(await self._send(wire, self.target, None), self.target)
                models.extend(page.models)
                cursor = page.next_cursor
                if not cursor or cursor in cursors or len(models) >= _MAX_MODELS:
                    break
                cursors.add(cursor)
                wire = self.codec.build_list_models(self.target, cursor=cursor)
                if wire is None or origin_of(wire.url) != origin_of(first.url):
                    raise UpstreamProtocolError("the provider's model list continues at another address")
        except LLMError as error:
            _name(error, self.target)
            raise
        return tuple(models[:_MAX_MODELS])

    async def show_model(self, model: str | None = None) -> RemoteModel:
        """What the provider says of one model beyond its list. Raises UnsupportedFeatureError where it says nothing."""
        target = self._target(model)
        codec = self.codec
        if not isinstance(codec, ShowingCodec):
            raise UnsupportedFeatureError(
                f"{target.kind} tells nothing of single models", provider=target.provider, model=target.model
            )
        try:
            return codec.parse_show(await self._send(codec.build_show(target), target, None), target)
        except LLMError as error:
            _name(error, target)
            raise

    async def embed(
        self, inputs: str | Sequence[str] | EmbeddingRequest, model: str | None = None, **options: Any
    ) -> EmbeddingResponse:
        """One vector per input; `dimensions` and other options as OpenAI names them."""
        if isinstance(inputs, EmbeddingRequest):
            request = inputs
        else:
            texts = (inputs,) if isinstance(inputs, str) else tuple(inputs)
            known = {name: options.pop(name) for name in ("dimensions", "user") if name in options}
            request = EmbeddingRequest(inputs=texts, **known, extra=options, dialect=self.codec.dialect)
        return (await self.complete_embeddings(request, self._target(model)))[0]

    async def complete_embeddings(
        self, request: EmbeddingRequest, target: Target | None = None
    ) -> tuple[EmbeddingResponse, WireResponse]:
        """Send a canonical request and answer the vectors beside the bytes they came in."""
        target = target or self.target
        try:
            wire = self.codec.build_embeddings(request, target)
            answered = await self._send(wire, target, None)
            response = self.codec.parse_embeddings(answered, target)
            if len(response.vectors) != len(request.inputs):
                # A client pairs them by position; a vector too few would go to the wrong text.
                raise UpstreamProtocolError("the provider sent another number of embeddings than it was asked for")
            return replace(response, warnings=wire.warnings), answered
        except LLMError as error:
            _name(error, target)
            raise

    async def image(self, prompt: str | ImageRequest, model: str | None = None, **options: Any) -> ImageResponse:
        """Make images; `size`, `quality`, `n` and other options as OpenAI names them."""
        if isinstance(prompt, ImageRequest):
            request = prompt
        else:
            known = {name: options.pop(name) for name in IMAGE_OPTIONS if name in options}
            request = ImageRequest(prompt=prompt, **known, extra=options, dialect=self.codec.dialect)
        return (await self.complete_images(request, self._target(model)))[0]

    async def complete_images(
        self, request: ImageRequest, target: Target | None = None
    ) -> tuple[ImageResponse, WireResponse]:
        """Send a canonical request and answer the images beside the bytes they came in."""
        target = target or self.target
        try:
            wire = self.codec.build_images(request, target)
            answered = await self._send(wire, target, of_whole(target.timeouts))
            return replace(self.codec.parse_images(answered, target), warnings=wire.warnings), answered
        except LLMError as error:
            _name(error, target)
            raise

    async def count_tokens(self, request: ChatRequest) -> int:
        """Input tokens by the provider's word. Raises UnsupportedFeatureError where it has no way to say."""
        try:
            wire = self.codec.build_count_tokens(request, self.target)
            return self.codec.parse_count_tokens(await self._send(wire, self.target, None), self.target)
        except LLMError as error:
            _name(error, self.target)
            raise

    async def test(self) -> ConnectionReport:
        """Make the cheapest call that shows whether address and key are right; reports errors instead of raising.

        Lists models, which costs nothing; where there is no list, asks for one short answer.
        """
        started = time.monotonic()
        tried = "models"
        try:
            try:
                listed = await self.list_models()
            except LLMError as error:
                if not _no_model_list(error) or not self.target.model:
                    raise
                tried = "chat"
                await self.chat("ping", max_output_tokens=16)
                return ConnectionReport(ok=True, tried=tried, latency_ms=_since(started))
        except LLMError as error:
            return ConnectionReport(ok=False, tried=tried, latency_ms=_since(started), error=error)
        ids = tuple(model.id for model in listed)
        known = self.target.model in ids if self.target.model and ids else None
        return ConnectionReport(ok=True, tried=tried, latency_ms=_since(started), models=ids, model_listed=known)

    async def _send(
        self, wire: WireRequest, target: Target, timeouts: Timeouts | None, codec: ProviderCodec | None = None
    ) -> WireResponse:
        response = await self._transport.send(wire, timeouts or target.timeouts, self.policy)
        if not 200 <= response.status < 300:
            raise (codec or self.codec).parse_error(response, target)
        return response

    def _read(
        self,
        messages: Messages,
        model: str | None,
        params: Mapping[str, Any] | None,
        tools: Sequence[Any] | None,
        options: Mapping[str, Any],
    ) -> tuple[ChatRequest, Target]:
        merged = {**(params or {}), **options}
        if tools is not None:
            merged["tools"] = tools if isinstance(tools, tuple) else list(tools)
        return read_chat_request(messages, merged, self.codec.dialect), self._target(model)

    def _target(self, model: str | None) -> Target:
        if not model or model == self.target.model:
            return self.target
        # Another model may belong to another family; a profile the owner changed by hand is kept.
        profile = self.target.profile
        if profile == profile_for(self.target.kind, self.target.model):
            profile = profile_for(self.target.kind, model)
        return replace(self.target, model=model, profile=profile)


@lru_cache(maxsize=256)
def of_whole(timeouts: Timeouts) -> Timeouts:
    """A whole answer's first byte comes when the model is done, so only the total deadline has a meaning."""
    return replace(timeouts, first_byte_s=timeouts.total_s)


def _name(error: LLMError, target: Target) -> None:
    """Say in the error which provider and model it came from."""
    error.provider = error.provider or target.provider
    error.model = error.model or target.model


def _since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)


def _no_model_list(error: LLMError) -> bool:
    return isinstance(error, UnsupportedFeatureError) or error.upstream_status in (404, 405, 501)


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {"data": parsed}
