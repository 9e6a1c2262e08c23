"""The commonest chat of OpenAI's dialect read and written without canonical values: texts in, one text out. Pure.

What is plain here means the same through `openai_chat_client`, `openai_chat`, `openai_answers` and
`openai_chat_encode`, which know everything else: a part that is not plain is None, and the caller goes their way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeGuard

import orjson

from adapters.openai_chat import OpenAIChatCodec
from adapters.openai_usage import encode_usage, parse_usage
from adapters.profiles import ModelProfile
from adapters.types import ChatRequest, Message, Target, TextPart, Usage

__all__ = [
    "PlainAnswer",
    "PlainRequest",
    "encode_plain_answer",
    "read_plain_answer",
    "read_plain_request",
    "takes_plain",
]

_LARGEST_INT: Final = 2**31 - 1
_LARGEST_COUNT: Final = 2**53
_ROLES: Final = ("user", "assistant", "system")
_LIMITS: Final = ("max_tokens", "max_completion_tokens")


def _between(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: (type(value) is float or type(value) is int) and low <= value <= high


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _is_usage_option(value: Any) -> bool:
    return type(value) is dict and len(value) == 1 and type(value.get("include_usage")) is bool


# Which fields a plain request may have, and what they may hold: as `openai_chat_client` takes them and no wider.
_FIELDS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "model": lambda value: type(value) is str and 0 < len(value) <= 512,
    "messages": lambda value: type(value) is list and len(value) > 0,
    "stream": lambda value: type(value) is bool,
    "stream_options": _is_usage_option,
    "temperature": _between(0, 2),
    "top_p": _between(0, 1),
    "presence_penalty": _between(-2, 2),
    "frequency_penalty": _between(-2, 2),
    "max_tokens": _whole(1, _LARGEST_INT),
    "max_completion_tokens": _whole(1, _LARGEST_INT),
    "seed": _whole(-(2**63) + 1, 2**63 - 1),
    "user": lambda value: type(value) is str and len(value) <= 512,
}


class PlainRequest(NamedTuple):
    """What must be known of a plain request; `body` is the client's, as it was."""

    body: dict[str, Any]
    model: str
    stream: bool
    include_usage: bool
    max_tokens: int | None
    text: str  # of all messages, to be counted

    def encoded(self, target: Target) -> bytes:
        """The provider's request."""
        body = {**self.body, "model": target.model}
        if self.max_tokens is not None:
            for name in _LIMITS:
                body.pop(name, None)
            body[target.profile.max_tokens_field] = self.max_tokens
        body.pop("stream_options", None)
        if self.stream:
            if target.profile.supports_stream_usage:
                body["stream_options"] = {"include_usage": True}
        else:
            body.pop("stream", None)
        return orjson.dumps(body)


def read_plain_request(data: bytes) -> PlainRequest | None:
    """A client's request when all of it is plain. Never raises: what is wrong is for the long way to say."""
    if b"\\u0000" in data:
        return None
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if type(body) is not dict or "model" not in body or "messages" not in body:
        return None
    for name, value in body.items():
        accepts = _FIELDS.get(name)
        if accepts is None or not accepts(value):
            return None
    texts = []
    for message in body["messages"]:
        if type(message) is not dict or len(message) != 2 or message.get("role") not in _ROLES:
            return None
        text = message.get("content")
        if type(text) is not str or not text:
            return None
        texts.append(text)
    limit = body.get("max_tokens")
    if "max_completion_tokens" in body:
        if limit is not None:
            return None
        limit = body["max_completion_tokens"]
    options = body.get("stream_options")
    return PlainRequest(
        body,
        body["model"],
        body.get("stream", False),
        options is not None and options["include_usage"],
        limit,
        texts[0] if len(texts) == 1 else "".join(texts),
    )


def takes_plain(codec: Any, target: Target) -> bool:
    """Whether a provider is called with a plain request as it stands: its codec and profile would change nothing."""
    kind, profile = type(codec), target.profile
    if not isinstance(codec, OpenAIChatCodec) or kind.build_request is not OpenAIChatCodec.build_request:
        return False
    if kind.parse_response is not OpenAIChatCodec.parse_response or kind._post is not OpenAIChatCodec._post:
        return False
    plain = ChatRequest(messages=(Message(role="user", parts=(TextPart(text="?"),)),), dialect="openai.chat")
    return (
        codec.for_request(plain, target) is codec
        and profile.supports_sampling
        and not profile.sampling_needs_effort_none
        and not profile.reasons_by_default
        and profile.system_role == "system"
        and profile.seed_field == ModelProfile().seed_field
        and profile.refused_fields.isdisjoint(_FIELDS)
    )


# --- answers -------------------------------------------------------------------------------------------------------

_TOP: Final = frozenset({"id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint"})
_PASSED_ON: Final = ("service_tier", "system_fingerprint")
_CHOICE: Final = frozenset({"index", "message", "finish_reason", "logprobs"})
_MESSAGE: Final = frozenset({"role", "content", "refusal", "annotations"})
_ENDS: Final = ("stop", "length")
_COUNTS: Final = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})


class PlainAnswer(NamedTuple):
    """An answer of one text, with its usage. `usage` is None where `sent` and `written` are all that was counted."""

    body: dict[str, Any]
    text: str
    finish_reason: str
    upstream_model: str
    sent: int
    written: int
    usage: Usage | None


def read_plain_answer(data: bytes) -> PlainAnswer | None:
    """A provider's whole answer when all of it is plain; None also for what is no answer at all. Never raises."""
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if type(body) is not dict or not body.keys() <= _TOP or body.get("object") == "error":
        return None
    choices, counts = body.get("choices"), body.get("usage")
    if type(choices) is not list or len(choices) != 1 or type(counts) is not dict or type(body.get("model")) is not str:
        return None
    choice = choices[0]
    if type(choice) is not dict or not choice.keys() <= _CHOICE or choice.get("logprobs") is not None:
        return None
    message, finish = choice.get("message"), choice.get("finish_reason")
    if finish not in _ENDS or type(choice.get("index", 0)) is not int or type(message) is not dict:
        return None
    text = message.get("content")
    if type(text) is not str or not text or not message.keys() <= _MESSAGE or message.get("annotations"):
        return None
    if message.get("refusal") or type(body.get("created")) is not int or body["created"] <= 0 or not body["model"]:
        return None
    sent, written = counts.get("prompt_tokens"), counts.get("completion_tokens")
    if not _is_count(sent) or not _is_count(written):
        return None
    total = counts.get("total_tokens", 0)
    if counts.keys() <= _COUNTS and _is_count(total) and total <= sent + written:
        return PlainAnswer(body, text, finish, body["model"], sent, written, None)
    usage = parse_usage(counts)
    return PlainAnswer(body, text, finish, body["model"], usage.input_tokens or 0, usage.output_tokens or 0, usage)


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < _LARGEST_COUNT


def encode_plain_answer(answer: PlainAnswer, *, answer_id: str, model: str, cost_usd: str | None) -> bytes:
    """The client's answer; `cost_usd` is what the hub reckons."""
    given = answer.body
    usage: dict[str, Any] | None
    if answer.usage is None:
        usage = {
            "prompt_tokens": answer.sent,
            "completion_tokens": answer.written,
            "total_tokens": answer.sent + answer.written,
        }
    else:
        usage = encode_usage(answer.usage)
        assert usage is not None
        usage.pop("cost", None)  # the provider's: the hub tells its own
    if cost_usd is not None:
        usage["cost"] = float(cost_usd)
    body = {
        "id": answer_id,
        "object": "chat.completion",
        "created": given["created"],
        "model": model,
        "choices": [
            {
                "index": given["choices"][0].get("index", 0),
                "message": {"role": "assistant", "content": answer.text, "refusal": None},
                "logprobs": None,
                "finish_reason": answer.finish_reason,
            }
        ],
        "usage": usage,
    }
    for name in _PASSED_ON:
        if given.get(name) is not None:
            body[name] = given[name]
    return orjson.dumps(body)
