"""What a vendor's own SDK reads in an answer, and what our codec reads in the same bytes, in one form to compare."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anthropic
import ollama
import openai
from google import genai
from google.genai.types import HttpOptions, HttpRetryOptions
from mistralai.client import Mistral

from adapters.base import ProviderCodec
from adapters.types import (
    Finished,
    Target,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
    WireResponse,
)
from tests.adapters.replay import decode

ASK: Any = [{"role": "user", "content": "Hi"}]


@dataclass
class Read:
    """One choice: its text, the calls with parsed arguments, and why it ended in our words."""

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str | None = None


@dataclass
class Reading:
    choices: dict[int, Read]
    input_tokens: int | None = None
    output_tokens: int | None = None


def parsed(arguments: Any) -> Any:
    """Arguments as a value; text that is no JSON (a custom tool's, or cut off) stays text."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


# --- ours ----------------------------------------------------------------------------------------------------------


def ours(codec: ProviderCodec, target: Target, body: bytes, *, stream: bool) -> Reading:
    if not stream:
        answer = codec.parse_response(WireResponse(status=200, headers={}, body=body), target)
        choices = {
            choice.index: Read(
                text="".join(part.text for part in choice.parts if type(part).__name__ == "TextPart"),  # type: ignore[union-attr]  # by the type's name, without importing ours
                calls=[(c.name, parsed(c.arguments)) for c in choice.parts if type(c).__name__ == "ToolCall"],  # type: ignore[union-attr]  # by the type's name, without importing ours
                finish=choice.finish_reason,
            )
            for choice in answer.choices
        }
        return _with_usage(choices, answer.usage)
    events, error = decode(codec.stream_decoder(target), [body])
    assert error is None, error
    reads: defaultdict[int, Read] = defaultdict(Read)
    usage = Usage()
    arguments: defaultdict[tuple[int, int], str] = defaultdict(str)
    names: dict[tuple[int, int], str] = {}
    for event in events:
        match event:
            case TextDelta():
                reads[event.choice].text += event.text
            case ToolCallStarted():
                names[event.choice, event.index] = event.name
            case ToolCallDelta():
                arguments[event.choice, event.index] += event.arguments
            case Finished():
                reads[event.choice].finish = event.reason
            case UsageReported():
                usage = event.usage
    for (choice, index), name in sorted(names.items()):
        reads[choice].calls.append((name, parsed(arguments[choice, index])))
    return _with_usage(dict(reads), usage)


def _with_usage(choices: dict[int, Read], usage: Usage) -> Reading:
    return Reading(choices, usage.input_tokens, usage.output_tokens)


# --- theirs: each reads what the server at `base_url` plays --------------------------------------------------------

_OPENAI_FINISH = {"function_call": "tool_calls", "model_length": "length", "error": "error"}


def _called(read: Read, finish: str | None) -> str | None:
    """A forced call ends with "stop" on the wire; we name what it ended for."""
    return "tool_calls" if read.calls and finish == "stop" else finish


def read_openai(base_url: str, *, stream: bool) -> Reading:
    with openai.OpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as client:
        if not stream:
            answer = client.chat.completions.create(model="m", messages=ASK)
            choices = {choice.index: _openai_choice(choice) for choice in answer.choices}
            return Reading(choices, *_openai_usage(answer.usage))
        reads: defaultdict[int, Read] = defaultdict(Read)
        deltas: dict[tuple[int, int], list[str]] = {}
        usage = None
        for chunk in client.chat.completions.create(model="m", messages=ASK, stream=True):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                read = reads[choice.index]
                read.text += choice.delta.content or ""
                for call in choice.delta.tool_calls or ():
                    found = deltas.setdefault((choice.index, call.index), ["", ""])
                    found[0] += (call.function and call.function.name) or ""
                    found[1] += (call.function and call.function.arguments) or ""
                read.finish = choice.finish_reason or read.finish
    for (index, _), (name, arguments) in sorted(deltas.items()):
        reads[index].calls.append((name, parsed(arguments)))
    for read in reads.values():
        read.finish = _called(read, _OPENAI_FINISH.get(str(read.finish), read.finish))
    return Reading(dict(reads), *_openai_usage(usage))


def _openai_choice(choice: Any) -> Read:
    message = choice.message
    calls = [
        (c.custom.name, parsed(c.custom.input))
        if c.type == "custom"
        else (c.function.name, parsed(c.function.arguments))
        for c in message.tool_calls or ()
    ]
    if message.function_call and not calls:
        calls = [(message.function_call.name, parsed(message.function_call.arguments))]
    read = Read(message.content or "", calls)
    read.finish = _called(read, _OPENAI_FINISH.get(choice.finish_reason, choice.finish_reason))
    return read


def _openai_usage(usage: Any) -> tuple[int | None, int | None]:
    return (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)


_ANTHROPIC_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def read_anthropic(base_url: str, *, stream: bool) -> Reading:
    with anthropic.Anthropic(base_url=base_url, api_key="k", max_retries=0) as client:
        settings: Any = {"model": "m", "max_tokens": 9, "messages": ASK}
        if stream:
            with client.messages.stream(**settings) as streamed:
                message = streamed.get_final_message()
        else:
            message = client.messages.create(**settings)
    blocks = message.content or ()
    read = Read(
        text="".join(block.text for block in blocks if block.type == "text"),
        calls=[(block.name, block.input) for block in blocks if block.type == "tool_use"],
        finish=_ANTHROPIC_FINISH.get(str(message.stop_reason), str(message.stop_reason)),
    )
    usage = message.usage
    counted = [usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens]
    return Reading({0: read}, sum(count for count in counted if count), usage.output_tokens)


_GEMINI_FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter", "MODEL_ARMOR": "content_filter"}


def read_gemini(base_url: str, *, stream: bool) -> Reading:
    options = HttpOptions(base_url=base_url, api_version="v1beta", retry_options=HttpRetryOptions(attempts=1))
    with genai.Client(api_key="k", vertexai=False, http_options=options) as client:
        if stream:
            chunks = list(client.models.generate_content_stream(model="m", contents="Hi"))
        else:
            chunks = [client.models.generate_content(model="m", contents="Hi")]
    read = Read()
    prompt = output = None
    for chunk in chunks:
        for candidate in chunk.candidates or ():
            for part in (candidate.content and candidate.content.parts) or ():
                read.text += (not part.thought and part.text) or ""
                if part.function_call:
                    read.calls.append((str(part.function_call.name), part.function_call.args))
            if candidate.finish_reason:
                name = str(getattr(candidate.finish_reason, "name", candidate.finish_reason))
                read.finish = _called(read, _GEMINI_FINISH.get(name, name))
        if usage := chunk.usage_metadata:
            counts = [usage.prompt_token_count, usage.tool_use_prompt_token_count]  # both are input, and billed so
            if any(count is not None for count in counts):
                prompt = sum(count or 0 for count in counts)
            counts = [usage.candidates_token_count, usage.thoughts_token_count]
            if any(count is not None for count in counts):
                output = sum(count or 0 for count in counts)
    return Reading({0: read}, prompt, output)


def read_mistral(base_url: str, *, stream: bool) -> Reading:
    with Mistral(api_key="k", server_url=base_url) as client:
        if not stream:
            answer = client.chat.complete(model="m", messages=ASK)
            choices = {choice.index: _mistral_choice(choice.message, choice.finish_reason) for choice in answer.choices}
            return Reading(choices, answer.usage.prompt_tokens, answer.usage.completion_tokens)
        read, usage = Read(), None
        with client.chat.stream(model="m", messages=ASK) as events:
            for event in events:
                for choice in event.data.choices:
                    found = _mistral_choice(choice.delta, choice.finish_reason)
                    read.text += found.text
                    read.calls += found.calls
                    read.finish = found.finish or read.finish
                usage = event.data.usage or usage
    return Reading({0: read}, *((usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)))


def _mistral_choice(message: Any, finish: Any) -> Read:
    content = message.content or ""
    if not isinstance(content, str):
        content = "".join(piece.text for piece in content if piece.type == "text")
    calls = [(call.function.name, parsed(call.function.arguments)) for call in message.tool_calls or ()]
    reason = str(getattr(finish, "value", finish)) if finish else None
    return Read(content, calls, _OPENAI_FINISH.get(str(reason), reason))


def read_ollama(base_url: str, *, stream: bool) -> Reading:
    with ollama.Client(host=base_url) as client:
        answered = client.chat(model="m", messages=ASK, stream=stream)
        lines = list(answered) if stream else [answered]
    read = Read()
    for line in lines:
        read.text += line.message.content or ""
        read.calls += [(call.function.name, dict(call.function.arguments)) for call in line.message.tool_calls or ()]
    reason = lines[-1].done_reason
    read.finish = _called(read, reason if reason == "length" else "stop")  # "load" and "unload" are no other endings
    return Reading({0: read}, lines[-1].prompt_eval_count, lines[-1].eval_count)


READERS: dict[str, Callable[..., Reading]] = {
    "openai": read_openai,
    "anthropic": read_anthropic,
    "gemini": read_gemini,
    "mistral": read_mistral,
    "ollama": read_ollama,
}
