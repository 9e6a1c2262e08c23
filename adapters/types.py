"""Canonical values that every dialect translates to and from. Standard library only; no I/O, no provider's name.

The shapes follow OpenAI's chat format because most clients speak it, but nothing here is a wire format: a codec
(`adapters/<dialect>.py`) turns wire JSON into these values and back. Everything is immutable, so that one request
can be tried against several candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from adapters.profiles import ModelProfile

__all__ = [
    "AudioPart",
    "ChatRequest",
    "ChatResponse",
    "ChatResult",
    "Choice",
    "Dialect",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "FilePart",
    "FinishReason",
    "Finished",
    "ImagePart",
    "ImageRequest",
    "ImageResponse",
    "JsonFormat",
    "JsonSchemaFormat",
    "Message",
    "ModelPage",
    "NamedTool",
    "Part",
    "ReasoningDelta",
    "ReasoningPart",
    "RefusalDelta",
    "RefusalPart",
    "RemoteModel",
    "ResponseFormat",
    "ResponseStarted",
    "Role",
    "StreamEvent",
    "Target",
    "TextDelta",
    "TextPart",
    "Timeouts",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallStarted",
    "ToolChoice",
    "ToolDefinition",
    "Usage",
    "UsageReported",
    "WireRequest",
    "WireResponse",
]

Dialect = Literal[
    "openai.chat", "openai.responses", "anthropic.messages", "gemini.generate_content", "ollama.chat", "stub"
]
Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error", "other"]


# --- what a message is made of -------------------------------------------------------------------------------------
# `provider_metadata` carries what only one vendor understands (signatures, cache marks), keyed by dialect or vendor,
# and goes back verbatim to that vendor and to no other.


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    text: str
    provider_metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePart:
    """An image in the conversation: exactly one of `data` (raw bytes) and `url` (http or https) is set."""

    media_type: str | None = None  # "image/png"; required with data, unknown with most urls
    data: bytes | None = None
    url: str | None = None
    detail: str | None = None  # OpenAI: auto, low, high, original
    provider_metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.data is None) == (self.url is None):
            raise ValueError("an image part takes exactly one of data and url")


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioPart:
    data: bytes
    format: str  # "wav", "mp3"
    provider_metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """A document: exactly one of `data`, `url` and `file_id` (a provider's own upload) is set."""

    media_type: str | None = None
    filename: str | None = None
    data: bytes | None = None
    url: str | None = None
    file_id: str | None = None
    provider_metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.data, self.url, self.file_id)) != 1:
            raise ValueError("a file part takes exactly one of data, url and file_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningPart:
    """The model's thinking; `provider_metadata` holds the signature or encrypted blob that must go back with it."""

    text: str
    provider_metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalPart:
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    id: str
    name: str
    arguments: str  # JSON text exactly as the model wrote it; may be invalid JSON
    provider_metadata: Mapping[str, Any] = field(default_factory=dict)


Part = TextPart | ImagePart | AudioPart | FilePart | ReasoningPart | RefusalPart | ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn. A tool's result is a message of role `tool` with `tool_call_id`; an assistant's calls are parts."""

    role: Role
    parts: tuple[Part, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None  # the speaker's, or the tool's where a dialect wants it (Gemini, Ollama)
    is_error: bool = False  # a tool result that reports a failure (Anthropic)
    provider_metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The message's text parts joined; images, reasoning and tool calls are left out."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


# --- the request ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDefinition:
    name: str
    description: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)  # JSON schema of the arguments
    strict: bool | None = None
    provider_metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTool:
    """Forces one tool by name."""

    name: str


ToolChoice = Literal["auto", "none", "required"] | NamedTool


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonFormat:
    """Any JSON object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonSchemaFormat:
    name: str
    schema: Mapping[str, Any]
    strict: bool | None = None
    description: str | None = None


ResponseFormat = JsonFormat | JsonSchemaFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A conversation and how to continue it. `None` and empty mean "the client did not say": nothing is sent."""

    messages: tuple[Message, ...]
    tools: tuple[ToolDefinition, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    n: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    reasoning_effort: str | None = None  # none, minimal, low, medium, high, xhigh, max
    verbosity: str | None = None  # low, medium, high
    user: str | None = None  # the end user's opaque id
    metadata: Mapping[str, str] | None = None
    service_tier: str | None = None
    include_usage: bool = True  # streamed: the client wants the usage event
    extra: Mapping[str, Any] = field(default_factory=dict)  # the client's fields that we don't know, verbatim
    dialect: Dialect | None = None  # the dialect `extra` is written in; forwarded to it, refused elsewhere
    # hints by vendor (cache marks, context editing): verbatim to that vendor, dropped elsewhere without harm
    provider_metadata: Mapping[str, Any] = field(default_factory=dict)


# --- the answer ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens by kind. `None` means the provider did not report it, never 0.

    `input_tokens` includes cache reads and writes, `output_tokens` includes reasoning: a codec whose provider counts
    otherwise (Anthropic's input, xAI's and Gemini's output) adds them up.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None  # the part of cache_write_tokens kept an hour (Anthropic prices it apart)
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    provider_cost_usd: str | None = None  # decimal text as the provider said it (OpenRouter)
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reported(self) -> bool:
        return self.input_tokens is not None or self.output_tokens is not None

    @property
    def total_tokens(self) -> int | None:
        if self.input_tokens is None and self.output_tokens is None:
            return None
        return (self.input_tokens or 0) + (self.output_tokens or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    index: int = 0
    parts: tuple[Part, ...] = ()
    finish_reason: FinishReason = "stop"
    raw_finish_reason: str | None = None
    logprobs: Mapping[str, Any] | None = None  # OpenAI's shape: {"content": [...]}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatResponse:
    id: str | None
    model: str  # what the provider says answered; may differ from what was asked
    choices: tuple[Choice, ...]
    usage: Usage = Usage()
    warnings: tuple[str, ...] = ()  # settings that were dropped, and why
    created: int | None = None  # Unix seconds
    provider_metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.choices[0].parts if self.choices else ()

    @property
    def finish_reason(self) -> FinishReason:
        return self.choices[0].finish_reason if self.choices else "other"

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatResult:
    """What `await adapter.chat(...)` answers: the reply's text, the provider's own JSON, tokens, HTTP status."""

    reply: str
    raw: Mapping[str, Any]
    usage: Usage
    status: int
    response: ChatResponse


# --- the stream ----------------------------------------------------------------------------------------------------
# Order per choice: ResponseStarted once, deltas, Finished; UsageReported anywhere, the last one stands. Errors are
# raised by the decoder, never yielded.


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseStarted:
    id: str | None
    model: str
    created: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    text: str  # empty where `provider_metadata` alone matters: a citation, a vendor's own block
    choice: int = 0
    logprobs: Mapping[str, Any] | None = None
    provider_metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalDelta:
    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningDelta:
    text: str
    choice: int = 0
    provider_metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallStarted:
    """Opens call `index`; indices run from 0 per choice in order of first appearance, whatever the provider sent."""

    index: int
    id: str
    name: str
    choice: int = 0
    provider_metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    index: int
    arguments: str
    choice: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReported:
    usage: Usage  # cumulative: replaces what was reported before


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    reason: FinishReason
    raw_reason: str | None = None
    choice: int = 0
    provider_metadata: Mapping[str, Any] = field(default_factory=dict)  # as `ChatResponse.provider_metadata`


StreamEvent = (
    ResponseStarted
    | TextDelta
    | RefusalDelta
    | ReasoningDelta
    | ToolCallStarted
    | ToolCallDelta
    | UsageReported
    | Finished
)


# --- other operations ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    inputs: tuple[str, ...] | tuple[tuple[int, ...], ...]  # texts, or token ids (OpenAI only)
    dimensions: int | None = None
    user: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    dialect: Dialect | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingResponse:
    model: str
    vectors: tuple[tuple[float, ...], ...]  # one per input, in its order
    usage: Usage = Usage()
    warnings: tuple[str, ...] = ()  # as `ChatResponse.warnings`


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    prompt: str
    n: int | None = None
    size: str | None = None  # "1024x1024", "auto"
    quality: str | None = None
    output_format: str | None = None  # png, jpeg, webp
    response_format: str | None = None  # url, b64_json (dall-e only)
    background: str | None = None
    user: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    dialect: Dialect | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResponse:
    images: tuple[ImagePart, ...]
    created: int | None = None
    revised_prompts: tuple[str | None, ...] = ()
    usage: Usage = Usage()
    warnings: tuple[str, ...] = ()  # as `ChatResponse.warnings`


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteModel:
    """One row of a provider's model list; only what the provider said. `None` is "did not say"."""

    id: str
    name: str | None = None
    created: int | None = None  # Unix seconds
    owned_by: str | None = None
    context_length: int | None = None
    max_output_tokens: int | None = None
    capabilities: Mapping[str, bool] = field(default_factory=dict)  # tools, vision, json, reasoning, ...
    prices_per_1m: Mapping[str, str] = field(default_factory=dict)  # decimal text in USD by kind: input, output, ...
    retires_on: str | None = None  # ISO date
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPage:
    models: tuple[RemoteModel, ...]
    next_cursor: str | None = None  # hand back to `build_list_models(cursor=...)`


# --- the wire ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds. `first_byte_s` covers sending the request and the wait for the first body byte."""

    connect_s: float = 5.0
    first_byte_s: float = 60.0
    idle_s: float = 60.0
    total_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Everything a codec may know of where a request goes. Built from rows or from a config mapping, never the rows."""

    kind: str  # the adapter kind: "openai", "ollama", ...
    base_url: str
    model: str = ""  # the provider's id of the model
    api_key: str | None = field(default=None, repr=False)
    auth_type: Literal["bearer", "api_key", "none"] = "bearer"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # the admin's or user's own; may hold secrets
    options: Mapping[str, Any] = field(default_factory=dict)  # provider settings: api_version, anthropic_version, ...
    profile: ModelProfile = ModelProfile()
    timeouts: Timeouts = Timeouts()
    provider: str = ""  # the provider's slug, for messages and errors


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    method: Literal["GET", "POST"]
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = b""
    stream: bool = False
    warnings: tuple[str, ...] = ()  # settings that were dropped for this provider, and why


@dataclass(frozen=True, slots=True, kw_only=True)
class WireResponse:
    status: int
    headers: Mapping[str, str]  # lower-case names
    body: bytes
