"""Makes the fuzzer's cases: from a seed, a decoder and a damaged stream's bytes. Deterministic; decodes nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from adapters.base import StreamDecoder
from adapters.create import codec_for
from adapters.kinds import profile_for
from adapters.types import StreamEvent, Target
from tests.adapters import fuzz_vocabulary as vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A decoder under test and the events that its provider may send."""

    name: str
    make: Callable[[], StreamDecoder]
    events: tuple[Any, ...]
    lines: bool = False  # one JSON value a line, no server-sent events
    array: bool = False  # may come as one JSON array
    ends: tuple[bytes, ...] = field(default=(b"",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    seed: int
    subject: Subject
    body: bytes


def _decoder_of(kind: str, codec: Any = None) -> Callable[[], StreamDecoder]:
    target = Target(kind=kind, base_url="https://api.test/v1", model="m", profile=profile_for(kind), provider="p")
    found = codec or codec_for(kind)
    return lambda: found.stream_decoder(target)


class _TapEvents:
    """The pass-through as if it were a decoder: its events are the bytes for the client."""

    def __init__(self, model: str | None) -> None:
        from adapters.passthrough import ChatStreamTap

        target = Target(kind="openai", base_url="https://api.test/v1", model="m", provider="p")
        self._tap = ChatStreamTap(target, model=model, include_usage=model is None)

    def feed(self, data: bytes) -> list[StreamEvent]:
        return _bytes_as_events(self._tap.feed(data))

    def close(self) -> list[StreamEvent]:
        return _bytes_as_events(self._tap.close())


def _bytes_as_events(data: bytes) -> list[Any]:
    return [data] if data else []


def _subjects() -> tuple[Subject, ...]:
    from adapters.openai_responses import OpenAIResponsesCodec

    done = (b"data: [DONE]\n\n", b"data: [DONE]\n\n", b"data:[DONE]\r\n\r\n", b"")
    chat = vocabulary.OPENAI_CHAT
    responses = _decoder_of("openai", OpenAIResponsesCodec())
    return (
        Subject(name="openai.chat", make=_decoder_of("openai"), events=chat, array=True, ends=done),
        Subject(name="mistral", make=_decoder_of("mistral"), events=chat, ends=done),
        Subject(name="openrouter", make=_decoder_of("openrouter"), events=chat, ends=done),
        Subject(name="azure", make=_decoder_of("azure_openai"), events=chat, ends=done),
        Subject(name="openai.responses", make=responses, events=vocabulary.OPENAI_RESPONSES, array=True, ends=done),
        Subject(
            name="anthropic.messages", make=_decoder_of("anthropic"), events=vocabulary.ANTHROPIC, ends=(b"", done[0])
        ),
        Subject(name="gemini", make=_decoder_of("gemini"), events=vocabulary.GEMINI, array=True, ends=(b"", done[0])),
        Subject(name="ollama", make=_decoder_of("ollama"), events=vocabulary.OLLAMA, lines=True),
        Subject(name="tap", make=lambda: _TapEvents(None), events=chat, ends=done),
        Subject(name="tap, renaming", make=lambda: _TapEvents("alias"), events=chat, ends=done),
    )


SUBJECTS = _subjects()


def make_case(seed: int) -> Case:
    """The case of a seed: the same bytes on every machine and under every Python."""
    source = random.Random(seed)
    subject = SUBJECTS[seed % len(SUBJECTS)]
    values = _values(subject, source)
    body = _framed(subject, values, source)
    if source.random() < 0.35:
        body = _damaged(body, source)
    return Case(seed=seed, subject=subject, body=body)


def random_cuts(body: bytes, source: random.Random) -> list[bytes]:
    """The body in pieces, some of them empty."""
    places = sorted(source.randrange(len(body) + 1) for _ in range(source.randrange(1, 12)))
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]


def _values(subject: Subject, source: random.Random) -> list[Any]:
    """Some of the subject's events: in their order, as in a stream that went well, or in any."""
    count = source.choice((1, 1, 2, 2, 3, 3, 4, 6))
    picked = [source.randrange(len(subject.events)) for _ in range(count)]
    if source.random() < 0.6:
        picked.sort()
    values = [subject.events[n] for n in picked]
    damage = source.choice((0, 0, 1, 1, 2, 4))
    for _ in range(damage):
        place = source.randrange(len(values))
        values[place] = _changed(values[place], source)
    return values


def _changed(value: Any, source: random.Random) -> Any:
    """The value with one place inside it made odd, left out or doubled."""
    value = json.loads(json.dumps(value))
    if not isinstance(value, dict | list) or not value:
        return source.choice(vocabulary.ODD_VALUES)
    holder: Any = value
    while True:
        key = source.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner or source.random() < 0.25:
            break
        holder = inner
    match source.randrange(6):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.append(inner)
        case 2:
            holder[key] = [inner]
        case _:
            holder[key] = source.choice(vocabulary.ODD_VALUES)
    return value


def _framed(subject: Subject, values: list[Any], source: random.Random) -> bytes:
    texts = [json.dumps(value, ensure_ascii=source.random() < 0.3).encode("utf-8", "surrogatepass") for value in values]
    if subject.array and source.random() < 0.08:
        return b"[" + b",\n".join(texts) + source.choice((b"]", b""))
    if source.random() < 0.03:
        return texts[0]  # one body where a stream was asked for
    if subject.lines:
        return b"".join(text + source.choice((b"\n", b"\n", b"\r\n", b"\n\n", b"\r")) for text in texts)
    end = source.choice((b"\n", b"\n", b"\n", b"\r\n", b"\r"))
    frames = [_frame(text, value, end, source) for text, value in zip(texts, values, strict=True)]
    start = source.choice((b"",) * 12 + (b"\xef\xbb\xbf", b" \n", b"\n\n", b": hello\n\n"))
    return start + b"".join(frames) + source.choice(subject.ends)


def _frame(text: bytes, value: Any, end: bytes, source: random.Random) -> bytes:
    lead = source.choice((b"data: ", b"data: ", b"data: ", b"data:", b"data:  "))
    name = value.get("type") if isinstance(value, dict) else None
    if isinstance(name, str) and source.random() < 0.5:
        lead = b"event: " + name.encode("utf-8", "replace") + end + lead
    odd = source.random()
    if odd < 0.04:
        lead = source.choice((b": comment", b"id: 1", b"event: error", b"data", b"retry: 1", b"junk")) + end + lead
    elif odd < 0.06:
        text = text.replace(b",", b"," + end + b"data:", 1)  # one event over several lines
    elif odd < 0.07:
        end += source.choice((b"\n", b"\r", b"\r\n"))
    return lead + text + end + end


def _damaged(body: bytes, source: random.Random) -> bytes:
    """The body with bytes changed, left out, doubled or cut off."""
    data = bytearray(body)
    for _ in range(source.choice((1, 1, 1, 2, 5))):
        place = source.randrange(len(data) + 1)
        match source.randrange(5):
            case 0:
                data[place : place + 1] = bytes([source.randrange(256)])
            case 1:
                data[place:place] = source.choice(
                    (b"\n", b"\r", b"\r\n", b"\n\n", b'"', b"\\", b"{", b"]", b"\xff", b"\0")
                )
            case 2:
                del data[place : place + source.randrange(1, 9)]
            case 3:
                data[place:place] = data[max(0, place - 20) : place]
            case _:
                del data[place:]
    return bytes(data)
