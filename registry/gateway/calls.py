"""What every call route does alike: from a client's request to an ask and an intent, and the answer's headers."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from uuid import UUID

from adapters.errors import InvalidRequestError, LLMError
from adapters.types import ChatRequest, Dialect
from registry.access.principals import Principal
from registry.gateway.http import Answer, Request, header_safe
from registry.gateway.worker import Worker
from registry.models import Conversation
from registry.routing.fill import needs_of
from registry.routing.requirements import NAMES, Requirements, read_requirements
from registry.routing.resolve import Ask, Candidate
from registry.usage.ledger import CallIntent


class ConversationNotFound(LLMError):
    code = "conversation_not_found"
    status = 404


def take_requirements(body: dict[str, Any], model: str | None) -> Requirements:
    """Take the requirement fields out of a body that asks for `auto`; other bodies keep them as the provider's own."""
    if model != "auto":
        return Requirements()
    asked = {name: body.pop(name) for name in NAMES & body.keys()}
    return read_requirements(asked)


def take_fallbacks(body: dict[str, Any]) -> tuple[str, ...]:
    """Take `models`, the names to fall back to in order."""
    models = body.pop("models", None)
    if models is None:
        return ()
    if not isinstance(models, list) or len(models) > 20 or not all(isinstance(name, str) and name for name in models):
        raise InvalidRequestError("'models' takes a list of up to 20 model names.", param="models")
    return tuple(models)


async def conversation_of(worker: Worker, principal: Principal, text: str | None) -> tuple[UUID | None, UUID | None]:
    """The conversation a caller names and the model it is bound to. Raises ConversationNotFound for another's."""
    if not text:
        return None, None
    try:
        key = UUID(text)
    except ValueError:
        raise ConversationNotFound(f"There is no conversation {text[:64]!r}.") from None
    row = await worker.in_thread(_find_conversation, key, principal.user_id)
    if row is None:
        raise ConversationNotFound(f"There is no conversation {key}.")
    return key, row[0]


def _find_conversation(key: UUID, user_id: Any) -> tuple[UUID | None] | None:
    return Conversation.objects.filter(pk=key, owner_id=user_id).values_list("llm_model_id").first()


def intent_of(
    request: Request,
    principal: Principal,
    ask: Ask,
    *,
    dialect: Dialect | str,
    streamed: bool,
    conversation_id: UUID | None = None,
) -> CallIntent:
    token = principal.token
    tags = request.headers.get("x-llmhub-tags", "")
    return CallIntent(
        request_id=request.id,
        started_at_ms=time.time_ns() // 1_000_000,
        user_id=principal.user_id,
        username=principal.username,
        token_id=token.id if token else None,
        token_name=token.name if token else "",
        conversation_id=conversation_id,
        dialect=dialect,
        streamed=streamed,
        requested=ask.text,
        tags=tuple(tag.strip()[:64] for tag in tags.split(",") if tag.strip())[:16],
    )


async def ask_of(
    worker: Worker,
    request: Request,
    principal: Principal,
    chat: ChatRequest,
    *,
    model: str | None,
    fallbacks: tuple[str, ...] = (),
    requirements: Requirements | None = None,
) -> tuple[Ask, UUID | None]:
    """The ask of a dialect's request, and the conversation it names in its header."""
    conversation_id, bound = await conversation_of(worker, principal, request.headers.get("x-llmhub-conversation"))
    ask = Ask(
        model=model or None,
        models=fallbacks,
        conversation_model_id=bound,
        sticky_id=conversation_id,
        requirements=requirements or Requirements(),
        needs=needs_of(chat),
    )
    return ask, conversation_id


def name_candidate(
    answer: Answer,
    candidate: Candidate,
    attempts: int,
    more: Iterable[tuple[str, str]] = (),
    warnings: tuple[str, ...] = (),
) -> None:
    """Say in headers who answers, whose key pays, at which attempt, how the caller's limits stand (`more`).

    And what was left out of the request on the way (`warnings`): never in silence.
    """
    answer.add([(name.encode(), value.encode()) for name, value in more])
    answer.add(names_of(candidate.entry.name, candidate.provider.slug, candidate.scope, attempts))
    if warnings:
        answer.add([(b"x-llmhub-warnings", header_safe("; ".join(warnings), 1000))])


@lru_cache(maxsize=2048)
def names_of(model: str, provider: str, scope: str, attempts: int) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"x-llmhub-model", header_safe(model)),
        (b"x-llmhub-provider", header_safe(provider)),
        (b"x-llmhub-credential-scope", header_safe(scope)),
        (b"x-llmhub-attempts", b"%d" % attempts),
    )
