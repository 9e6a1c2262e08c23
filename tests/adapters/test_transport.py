"""The transport against a real server: what is sent, what comes back, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from adapters.egress import EgressPolicy
from adapters.errors import ConfigurationError, EgressDeniedError, UpstreamConnectionError, UpstreamProtocolError
from adapters.httpx_transport import CheckedTransport
from adapters.transport import Transport
from adapters.types import Timeouts, WireRequest
from tests.upstream import Upstream, answer, chunked, json_answer, redirect, set_cookie, sse

LOCAL = EgressPolicy.local()
TIMEOUTS = Timeouts(connect_s=2.0, first_byte_s=5.0, idle_s=5.0, total_s=10.0)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport()
    yield made
    await made.aclose()


def post(url: str, body: bytes = b"{}", **headers: str) -> WireRequest:
    return WireRequest(method="POST", url=url, headers={"content-type": "application/json", **headers}, body=body)


async def test_a_request_arrives_as_it_was_written(upstream: Upstream, transport: Transport) -> None:
    upstream.on("POST", "/a%2Fb/%3A:x", json_answer({"ok": True}, headers={"X-Request-Id": "r1"}))
    request = post(f"{upstream.base_url}/a%2Fb/%3A:x?v=1%202&w=", b'{"a":1}', authorization="Bearer k")
    response = await transport.send(request, TIMEOUTS, LOCAL)
    assert (response.status, response.body, response.headers["x-request-id"]) == (200, b'{"ok": true}', "r1")
    seen = upstream.requests[0]
    assert (seen.method, seen.target, seen.body) == ("POST", "/a%2Fb/%3A:x?v=1%202&w=", b'{"a":1}')
    assert seen.headers["authorization"] == "Bearer k"
    assert seen.headers["accept-encoding"] == "identity"
    assert seen.headers["host"] == f"127.0.0.1:{upstream.port}"
    assert seen.headers["content-length"] == "7"


async def test_an_error_status_is_an_answer_like_any_other(upstream: Upstream, transport: Transport) -> None:
    upstream.on("POST", "/v1", json_answer({"error": "slow down"}, status=429, headers={"Retry-After": "3"}))
    response = await transport.send(post(upstream.base_url + "/v1"), TIMEOUTS, LOCAL)
    assert (response.status, response.headers["retry-after"]) == (429, "3")


async def test_pieces_of_a_stream_arrive_when_they_are_sent(upstream: Upstream, transport: Transport) -> None:
    upstream.on("POST", "/v1", sse(["1", "2", "3"], pause_s=0.1))
    arrived = []
    loop = asyncio.get_running_loop()
    async with transport.stream(post(upstream.base_url + "/v1"), TIMEOUTS, LOCAL) as streamed:
        assert streamed.headers["content-type"] == "text/event-stream"
        async for chunk in streamed.aiter_bytes():
            arrived.append((loop.time(), chunk))
    assert b"".join(chunk for _, chunk in arrived) == b"data: 1\n\ndata: 2\n\ndata: 3\n\n"
    assert arrived[-1][0] - arrived[0][0] >= 0.15


async def test_calls_one_after_another_share_a_connection(upstream: Upstream, transport: Transport) -> None:
    upstream.on("POST", "/v1", sse(["1"]), json_answer({}))
    for _ in range(3):
        await transport.send(post(upstream.base_url + "/v1"), TIMEOUTS, LOCAL)
    assert upstream.connections == 1


async def test_policies_do_not_share_connections(upstream: Upstream, transport: Transport) -> None:
    upstream.on("POST", "/v1", json_answer({}))
    await transport.send(post(upstream.base_url + "/v1"), TIMEOUTS, LOCAL)
    opened = EgressPolicy.public().with_rules(f"127.0.0.1:{upstream.port}")
    await transport.send(post(upstream.base_url + "/v1"), TIMEOUTS, opened)
    with pytest.raises(EgressDeniedError):
        await transport.send(post(upstream.base_url + "/v1"), TIMEOUTS, EgressPolicy.public())
    assert [seen.connection for seen in upstream.requests] == [0, 1]


async def test_pools_of_policies_no_longer_used_are_closed(
    upstream: Upstream, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.connections.MAX_POLICIES", 2)
    upstream.on("POST", "/v1", json_answer({}))
    upstream.on("POST", "/held", sse(["1", "2"], pause_s=0.3))
    async with transport.stream(post(upstream.base_url + "/held"), TIMEOUTS, LOCAL) as held:
        for port in range(4):
            policy = LOCAL.with_rules(f"127.0.0.1:{port + 1}")
            await transport.send(post(upstream.base_url + "/v1"), TIMEOUTS, policy)
        await asyncio.to_thread(upstream.wait_for, lambda seen: seen.open_connections <= 3)
        body = await held.aread()  # a pool with a call under way is not closed
    assert body == b"data: 1\n\ndata: 2\n\n"


async def test_no_cookie_of_one_call_reaches_another(upstream: Upstream, transport: Transport) -> None:
    upstream.on("POST", "/v1", set_cookie("session=tenant-a; Path=/"))
    url = f"http://localhost:{upstream.port}/v1"  # a name: cookie jars ignore literal addresses by themselves
    first = await transport.send(post(url), TIMEOUTS, LOCAL)
    await transport.send(post(url), TIMEOUTS, LOCAL)
    assert "set-cookie" not in first.headers
    assert "cookie" not in upstream.requests[1].headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/other", "//127.0.0.1/", "http://169.254.169.254/", "file:///etc/passwd"])
async def test_a_redirect_is_an_error_and_is_not_followed(
    upstream: Upstream, transport: Transport, status: int, location: str
) -> None:
    upstream.on("POST", "/v1", redirect(location, status=status))
    with pytest.raises(UpstreamProtocolError) as caught:
        await transport.send(post(upstream.base_url + "/v1"), TIMEOUTS, LOCAL)
    assert not caught.value.retryable
    assert len(upstream.requests) == 1


async def test_proxies_and_netrc_of_the_environment_are_not_used(
    upstream: Upstream, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    upstream.on("POST", "/v1", json_answer({}))
    assert (await transport.send(post(upstream.base_url + "/v1"), TIMEOUTS, LOCAL)).status == 200


@pytest.mark.parametrize(
    "name",
    ["Host", "Content-Length", "transfer-encoding", "Connection", "Cookie", "Proxy-Authorization", "X-Forwarded-For"],
)
async def test_a_header_that_would_bend_the_request_is_refused(
    upstream: Upstream, transport: Transport, name: str
) -> None:
    with pytest.raises(ConfigurationError, match=name.lower()):
        await transport.send(post(upstream.base_url + "/v1", **{name: "x"}), TIMEOUTS, LOCAL)
    assert upstream.requests == []


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\0b"])
async def test_a_header_with_a_line_break_is_refused(upstream: Upstream, transport: Transport, value: str) -> None:
    with pytest.raises(ConfigurationError):
        await transport.send(post(upstream.base_url + "/v1", authorization=value), TIMEOUTS, LOCAL)
    assert upstream.requests == []


async def test_leaving_a_stream_closes_the_upstream_at_once(upstream: Upstream, transport: Transport) -> None:
    upstream.on("POST", "/v1", sse([str(number) for number in range(1000)], pause_s=0.02))
    loop = asyncio.get_running_loop()
    async with transport.stream(post(upstream.base_url + "/v1"), TIMEOUTS, LOCAL) as streamed:
        async for _ in streamed.aiter_bytes():
            break
        left_at = loop.time()
    closed_at = await asyncio.to_thread(upstream.wait_closed)
    assert closed_at - left_at < 0.2


@pytest.mark.parametrize("streaming", [True, False])
async def test_cancelling_a_call_closes_the_upstream_at_once(
    upstream: Upstream, transport: Transport, streaming: bool
) -> None:
    upstream.on("POST", "/v1", sse(["x"] * 1000, pause_s=0.02))
    request = post(upstream.base_url + "/v1")

    async def call() -> None:
        if not streaming:
            await transport.send(request, TIMEOUTS, LOCAL)
            return
        async with transport.stream(request, TIMEOUTS, LOCAL) as streamed:
            await streamed.aread()

    task = asyncio.create_task(call())
    await asyncio.to_thread(upstream.wait_for, lambda seen: bool(seen.requests))
    loop = asyncio.get_running_loop()
    cancelled_at = loop.time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(upstream.wait_closed) - cancelled_at < 0.2


async def test_a_debug_line_holds_path_and_status_but_no_query_header_or_key(
    upstream: Upstream, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.on("POST", "/v1/chat", json_answer({}))
    with caplog.at_level(logging.DEBUG):
        request = post(f"{upstream.base_url}/v1/chat?key=sk-canary1", authorization="Bearer sk-canary2")
        await transport.send(request, TIMEOUTS, LOCAL)
        with pytest.raises(UpstreamConnectionError) as caught:
            await transport.send(post("http://127.0.0.1:1/v1?key=sk-canary1"), TIMEOUTS, LOCAL)
    line = next(record.getMessage() for record in caplog.records if record.name == "llmhub.transport")
    assert f"POST {upstream.base_url}/v1/chat 200" in line
    assert "canary" not in caplog.text + str(caught.value) + repr(caught.value)


def test_synchronous_callers_share_one_loop_and_its_connections(upstream: Upstream) -> None:
    upstream.on("POST", "/v1", json_answer({}))
    transport = Transport()
    try:
        for _ in range(3):
            transport.run_sync(transport.send(post(upstream.base_url + "/v1"), TIMEOUTS, LOCAL))
        assert upstream.connections == 1
    finally:
        transport.run_sync(transport.aclose())


async def test_a_synchronous_call_inside_a_loop_is_refused_rather_than_blocking_it(transport: Transport) -> None:
    with pytest.raises(RuntimeError, match="await"):
        transport.run_sync(asyncio.sleep(0))


def test_connections_close_with_their_loop_and_the_transport_works_on_the_next(upstream: Upstream) -> None:
    upstream.on("POST", "/v1", json_answer({}))
    transport = Transport()
    for _ in range(2):  # no aclose: asyncio.run ends the loop; a leak would be a ResourceWarning, an error here
        asyncio.run(transport.send(post(upstream.base_url + "/v1"), TIMEOUTS, LOCAL))
    upstream.wait_for(lambda seen: seen.open_connections == 0)
    assert upstream.connections == 2


async def test_an_httpx_client_goes_through_the_same_rules(upstream: Upstream) -> None:
    upstream.on("POST", "/v1", json_answer({"ok": 1}))
    upstream.on("GET", "/s", chunked(b"a", b"b"))
    async with httpx.AsyncClient(transport=CheckedTransport(policy=LOCAL)) as client:
        assert (await client.post(upstream.base_url + "/v1", json={"a": 1})).json() == {"ok": 1}
        async with client.stream("GET", upstream.base_url + "/s") as response:
            assert b"".join([chunk async for chunk in response.aiter_bytes()]) == b"ab"
        with pytest.raises(httpx.ConnectError):
            await client.get("http://169.254.169.254/latest/")
    assert upstream.requests[0].json == {"a": 1}
    assert upstream.requests[0].headers["accept-encoding"] == "identity"


async def test_an_answer_without_a_body_is_empty(upstream: Upstream, transport: Transport) -> None:
    upstream.on("POST", "/v1", answer(b""))
    assert (await transport.send(post(upstream.base_url + "/v1"), TIMEOUTS, LOCAL)).body == b""
