"""The lane's ASGI application: every call to a model comes in here."""

from __future__ import annotations

import json

from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, Scope


async def application(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Answers 503 in OpenAI's error shape until the lane's routes are in place."""
    error = {"message": "The lane is not in place yet.", "type": "server_error", "param": None, "code": "unavailable"}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 503, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})
