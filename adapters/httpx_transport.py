"""The transport as an `httpx.AsyncBaseTransport`, for SDKs and scripts that bring an httpx client. Adds no rule."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, cast

import httpx

from adapters.egress import EgressPolicy
from adapters.errors import (
    ConfigurationError,
    EgressDeniedError,
    LLMError,
    UpstreamConnectionError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
)
from adapters.transport import StreamedResponse, Transport
from adapters.types import Timeouts, WireRequest

__all__ = ["CheckedTransport"]

# httpx writes these itself; the transport below sets its own.
_LEFT_OUT = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "cookie"})


class CheckedTransport(httpx.AsyncBaseTransport):
    """`httpx.AsyncClient(transport=CheckedTransport(policy=...))`: the same egress rules, deadlines and caps.

    httpx's own timeouts set connect, first byte and idle; `total_s` bounds the whole. Errors come as httpx's.
    """

    def __init__(self, *, policy: EgressPolicy, transport: Transport | None = None, total_s: float = 600.0) -> None:
        self._policy = policy
        self._transport = transport or Transport()
        self._total_s = total_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        wire = WireRequest(
            method=cast(Any, request.method),
            url=str(request.url),
            headers={name: value for name, value in request.headers.items() if name.lower() not in _LEFT_OUT},
            body=await request.aread(),
            stream=True,
        )
        stack = AsyncExitStack()
        try:
            streamed = await stack.enter_async_context(
                self._transport.stream(wire, self._timeouts(request), self._policy)
            )
        except LLMError as error:
            raise _as_httpx(error, request) from error
        headers = {name: value for name, value in streamed.headers.items() if name != "content-encoding"}
        return httpx.Response(streamed.status, headers=headers, stream=_Body(streamed, stack, request))

    async def aclose(self) -> None:
        await self._transport.aclose()

    def _timeouts(self, request: httpx.Request) -> Timeouts:
        given: dict[str, float | None] = request.extensions.get("timeout", {})
        connect, read = given.get("connect"), given.get("read")
        return Timeouts(
            connect_s=self._total_s if connect is None else connect,
            first_byte_s=self._total_s if read is None else read,
            idle_s=self._total_s if read is None else read,
            total_s=self._total_s,
        )


class _Body(httpx.AsyncByteStream):
    def __init__(self, streamed: StreamedResponse, stack: AsyncExitStack, request: httpx.Request) -> None:
        self._streamed = streamed
        self._stack = stack
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._streamed.aiter_bytes():
                yield chunk
        except LLMError as error:
            raise _as_httpx(error, self._request) from error

    async def aclose(self) -> None:
        await self._stack.aclose()


def _as_httpx(error: LLMError, request: httpx.Request) -> httpx.TransportError:
    match error:
        case UpstreamTimeoutError():
            return httpx.ReadTimeout(error.message, request=request)
        case EgressDeniedError() | UpstreamConnectionError():
            return httpx.ConnectError(error.message, request=request)
        case UpstreamProtocolError():
            return httpx.RemoteProtocolError(error.message, request=request)
        case ConfigurationError():
            return httpx.LocalProtocolError(error.message, request=request)
    return httpx.TransportError(error.message, request=request)
