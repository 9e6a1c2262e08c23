"""Texts put before a question: attached ones, and those of one's own providers (retrieval, a ticket, a wiki page).

A provider is named in `context` of POST /api/llm/chat with whatever it takes. It gets the caller's id and the
conversation so far, and answers texts; it never gets a key and calls no model by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Final, Protocol, runtime_checkable

from django.conf import settings

from adapters.errors import InvalidRequestError, LLMError
from adapters.types import ChatRequest, Message, TextPart

DEADLINE_S: Final = 10.0
MAX_TEXTS: Final = 50
MAX_CHARACTERS: Final = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextText:
    """One text with the name that the model may refer to it by."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextAsk:
    """What a provider is told: who asks, what was said so far, and what the request gave it."""

    user_id: Hashable | None
    messages: tuple[Message, ...]
    given: Any

    @property
    def question(self) -> str:
        """The last thing the user said."""
        return next((turn.text for turn in reversed(self.messages) if turn.role == "user"), "")


@runtime_checkable
class ContextProvider(Protocol):
    """Finds texts for a question. Raises ValueError for input that it can't read: the caller is told the message."""

    async def provide(self, ask: ContextAsk) -> Sequence[ContextText]: ...


class AttachedText:
    """Texts that the request itself brings: `[{"name": "notes.md", "text": "..."}]`."""

    async def provide(self, ask: ContextAsk) -> list[ContextText]:
        """Raises ValueError."""
        if not isinstance(ask.given, list):
            raise ValueError("takes a list of objects with name and text")
        return [self._read(item) for item in ask.given]

    def _read(self, item: Any) -> ContextText:
        if not isinstance(item, Mapping) or set(item) - {"name", "text"} or not isinstance(item.get("text"), str):
            raise ValueError("takes a list of objects with name and text")
        name = item.get("name", "text")
        if not isinstance(name, str) or not name.isprintable() or len(name) > 200:
            raise ValueError("a text's name is a short printable text")
        return ContextText(name=name, text=item["text"])


class ContextFailedError(LLMError):
    """A provider of one's own failed, or took too long."""

    code = "context_unavailable"
    status = 502
    retryable = True


_loaded: dict[str, ContextProvider] = {"attached": AttachedText()}


def provider_named(name: str) -> ContextProvider | None:
    """`attached`, or one of LLMHUB_CONTEXT_PROVIDERS (`name=dotted.path`)."""
    for row in settings.LLMHUB_CONTEXT_PROVIDERS:
        known, _, path = row.partition("=")
        if known == name and name not in _loaded:
            module, _, attribute = path.rpartition(".")
            found = getattr(import_module(module), attribute)
            _loaded[name] = found() if isinstance(found, type) else found
    return _loaded.get(name)


async def with_context(request: ChatRequest, body: Mapping[str, Any], user_id: Hashable | None) -> ChatRequest:
    """The request with the texts of the providers that `context` names, before the last turn of the user.

    Raises InvalidRequestError, ContextFailedError.
    """
    wanted = body.get("context")
    if wanted is None:
        return request
    if not isinstance(wanted, dict) or len(wanted) > 8:
        raise InvalidRequestError("'context' takes an object: what each provider is given.", param="context")
    texts: list[ContextText] = []
    for name, given in wanted.items():
        provider = provider_named(name)
        if provider is None:
            raise InvalidRequestError(f"There is no context provider {name!r}.", param=f"context.{name}")
        texts += await _provided(provider, name, ContextAsk(user_id=user_id, messages=request.messages, given=given))
    if len(texts) > MAX_TEXTS or sum(len(one.text) for one in texts) > MAX_CHARACTERS:
        raise InvalidRequestError("The context is too long.", param="context")
    return _put(request, texts) if texts else request


async def _provided(provider: ContextProvider, name: str, ask: ContextAsk) -> Sequence[ContextText]:
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await provider.provide(ask)
    except ValueError as error:
        raise InvalidRequestError(f"context.{name}: {error}", param=f"context.{name}") from error
    except Exception as error:  # anybody's provider may raise anything; its words are not the caller's to read
        raise ContextFailedError(f"The context provider {name!r} failed.") from error


def _put(request: ChatRequest, texts: Sequence[ContextText]) -> ChatRequest:
    """In front of the question and in the user's turn: what was found is no instruction of the system's."""
    turns = list(request.messages)
    at = next((n for n in range(len(turns) - 1, -1, -1) if turns[n].role == "user"), len(turns))
    blocks = [f'<document name="{one.name.replace(chr(34), chr(39))}">\n{one.text}\n</document>' for one in texts]
    turns.insert(at, Message(role="user", parts=(TextPart(text="\n\n".join(blocks)),)))
    return replace(request, messages=tuple(turns))
