"""The lane's ASGI application: every call to a model comes in here. Routes, authenticates, answers errors.

No DRF, no session, and no database query except what a request itself asks for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from adapters.base import ClientCodec
from adapters.errors import LLMError
from registry.access.tokens import TokenError
from registry.client import new_request_id
from registry.gateway import chat, embeddings, hub, images, messages, metrics, models, plain_chat, responses
from registry.gateway.http import Answer, ClientGone, Request, name_waiting
from registry.gateway.worker import Unavailable, Worker, this_worker
from registry.usage.journal import JournalError

log = logging.getLogger("llmhub.lane")

Endpoint = Callable[[Worker, Request, Answer], Awaitable[None]]

ROUTES: dict[str, dict[str, Endpoint]] = {
    "/v1/chat/completions": {"POST": plain_chat.completions},
    "/v1/embeddings": {"POST": embeddings.embeddings},
    "/v1/images/generations": {"POST": images.generations},
    "/v1/messages": {"POST": messages.messages},
    "/v1/messages/count_tokens": {"POST": messages.count_tokens},
    "/v1/responses": {"POST": responses.responses},
    "/v1/models": {"GET": models.list_models},
    "/api/llm/chat": {"POST": hub.chat},
    "/api/llm/resolve": {"POST": hub.resolve},
    "/api/llm/test-call": {"POST": hub.test_call},
}
# Whose dialect a path belongs to; others are Anthropic's when the client sends Anthropic's header.
DIALECTS: dict[str, ClientCodec] = {
    "/v1/messages": messages.CODEC,
    "/v1/responses": responses.CODEC,
    "/v1/chat": chat.CODEC,
    "/v1/embeddings": chat.CODEC,
    "/v1/images": chat.CODEC,
    "/api/llm": chat.CODEC,
}


class Refused(LLMError):
    """The lane's own no, before any model: a bad token, an unknown path."""

    def __init__(self, message: str, *, code: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI callable that llmhub.asgi sends `/v1/` and the call routes to."""
    if scope["type"] != "http":
        return
    request = Request(scope, receive, new_request_id())
    answer = Answer(send, request.id)
    started = time.monotonic()
    await _serve(request, answer)
    metrics.count(_route(request), answer.status, time.monotonic() - started)


async def _serve(request: Request, answer: Answer) -> None:
    """Answer whatever happens, in the client's dialect; nothing is raised."""
    try:
        worker = this_worker()
        await worker.ready()
        await _endpoint(request)(worker, request, answer)
    except ClientGone:
        return
    except TokenError as error:
        await refuse(answer, request, Refused(error.message, code=error.code, status=error.status))
    except LLMError as error:
        await refuse(answer, request, error)
    except JournalError:
        log.error("The usage journal can't be written: calls are refused until it can.")
        await refuse(answer, request, Unavailable("The hub can't note usage just now.", retry_after_s=5))
    except Exception:
        log.exception("%s failed", request.id)
        await refuse(answer, request, Refused("The hub failed.", code="internal_error", status=500))


def _route(request: Request) -> str:
    """The request's route as a label: a known path or `other`, so that nobody can make labels without end."""
    path = request.path.rstrip("/")
    return path if path in ROUTES else "/v1/models/{id}" if path.startswith("/v1/models/") else "other"


def _endpoint(request: Request) -> Endpoint:
    path = request.path.rstrip("/")
    methods = ROUTES.get(path)
    if methods is None and path.startswith("/v1/models/"):
        methods = {"GET": models.show_model}
    if methods is None:
        raise Refused(f"There is nothing at {path or '/'}.", code="not_found", status=404)
    endpoint = methods.get(request.method)
    if endpoint is None:
        allowed = ", ".join(methods)
        raise Refused(f"{path} takes {allowed}, not {request.method}.", code="method_not_allowed", status=405)
    return endpoint


def codec_of(request: Request) -> ClientCodec:
    """The dialect that the caller understands an error in."""
    for start, codec in DIALECTS.items():
        if request.path == start or request.path.startswith(f"{start}/"):
            return codec
    return messages.CODEC if "anthropic-version" in request.headers else chat.CODEC


async def refuse(answer: Answer, request: Request, error: LLMError) -> None:
    """Answer an error in the client's dialect, when nothing was answered yet."""
    if answer.started:
        return
    if error.status == 401:
        answer.set("www-authenticate", 'Bearer realm="llmhub"')
    name_waiting(answer, error)
    await answer.json(error.status, codec_of(request).encode_error(error, request_id=request.id))
