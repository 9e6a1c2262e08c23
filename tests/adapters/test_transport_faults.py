"""Every way an upstream can misbehave ends in one of our errors, in bounded time and memory."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import ipaddress
import resource
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.egress import EgressPolicy
from adapters.errors import UpstreamConnectionError, UpstreamProtocolError, UpstreamTimeoutError
from adapters.transport import Transport
from adapters.types import Timeouts, WireRequest
from tests.upstream import (
    Forever,
    Hangup,
    Play,
    Upstream,
    answer,
    blackhole_port,
    chunked,
    cut_after,
    drip,
    endless,
    gzip_bomb,
    huge_line,
    informational_flood,
    json_answer,
    raw,
    reset_after,
    sse,
    stall_after,
    stall_before_headers,
    unused_port,
    wrong_length,
)

LOCAL = EgressPolicy.local()
PATIENT = Timeouts(connect_s=2.0, first_byte_s=8.0, idle_s=8.0, total_s=20.0)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport()
    yield made
    await made.aclose()


async def call(transport: Transport, upstream: Upstream, play: Play, timeouts: Timeouts = PATIENT) -> bytes:
    upstream.on("GET", "/x", play)
    request = WireRequest(method="GET", url=upstream.base_url + "/x")
    return (await transport.send(request, timeouts, LOCAL)).body


async def test_a_refused_connection_is_told_at_once(transport: Transport) -> None:
    request = WireRequest(method="GET", url=f"http://127.0.0.1:{unused_port()}/")
    async with asyncio.timeout(1):
        with pytest.raises(UpstreamConnectionError) as caught:
            await transport.send(request, PATIENT, LOCAL)
    assert caught.value.retryable and not isinstance(caught.value, UpstreamTimeoutError)


async def test_a_connection_that_never_opens_ends_at_the_connect_deadline(transport: Transport) -> None:
    with blackhole_port() as port:
        request = WireRequest(method="GET", url=f"http://127.0.0.1:{port}/")
        async with asyncio.timeout(3):
            with pytest.raises(UpstreamTimeoutError):
                await transport.send(request, Timeouts(connect_s=0.3), LOCAL)


@pytest.mark.parametrize(
    ("play", "timeouts"),
    [
        (stall_before_headers(), Timeouts(first_byte_s=0.3)),
        (stall_before_headers(), Timeouts(total_s=0.3)),
        (stall_after(), Timeouts(first_byte_s=0.3)),  # headers came, the first byte does not
        (stall_after(b"data: 1\n\n", b"data: 2\n\n"), Timeouts(idle_s=0.3)),
        (stall_after(b"data: 1\n\n"), Timeouts(idle_s=30.0, total_s=0.3)),
        (drip(every_s=0.05), Timeouts(idle_s=5.0, total_s=0.5)),
        (chunked(Forever(b": keep-alive\n\n", 0.05), end=False), Timeouts(idle_s=0.3, total_s=0.8)),
        (endless(), Timeouts(total_s=0.3)),
    ],
    ids=["no-headers", "no-headers-total", "no-body", "idle", "total", "drip", "comments", "endless"],
)
async def test_every_wait_has_a_deadline(upstream: Upstream, play: Play, timeouts: Timeouts) -> None:
    transport = Transport(max_body_bytes=1 << 40)
    try:
        async with asyncio.timeout(2):
            with pytest.raises(UpstreamTimeoutError):
                await call(transport, upstream, play, timeouts)
        await asyncio.to_thread(upstream.wait_closed)
    finally:
        await transport.aclose()


async def test_a_slow_but_steady_stream_outlives_the_idle_deadline(upstream: Upstream, transport: Transport) -> None:
    body = await call(transport, upstream, sse([str(n) for n in range(8)], pause_s=0.1), Timeouts(idle_s=0.5))
    assert body.count(b"data:") == 8


@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("cut", [reset_after, cut_after])
async def test_a_stream_that_breaks_at_any_chunk_is_an_error(
    upstream: Upstream, transport: Transport, after: int, cut: Callable[..., Play]
) -> None:
    chunks = [b"data: %d\n\n" % number for number in range(after)]
    upstream.on("GET", "/x", cut(*chunks))
    received = b""
    with pytest.raises((UpstreamProtocolError, UpstreamConnectionError)):
        async with transport.stream(
            WireRequest(method="GET", url=upstream.base_url + "/x"), PATIENT, LOCAL
        ) as streamed:
            async for chunk in streamed.aiter_bytes():
                received += chunk
    assert received == b"".join(chunks)


async def test_a_body_shorter_than_its_length_is_an_error(upstream: Upstream, transport: Transport) -> None:
    with pytest.raises(UpstreamProtocolError):
        await call(transport, upstream, wrong_length(b'{"a": 1}', declared=500))


async def test_bytes_past_the_declared_length_never_reach_the_next_call(
    upstream: Upstream, transport: Transport
) -> None:
    surplus = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nplante"
    first = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" + surplus)
    upstream.on("GET", "/x", first, json_answer({"second": 1}))
    request = WireRequest(method="GET", url=upstream.base_url + "/x")
    bodies = [(await transport.send(request, PATIENT, LOCAL)).body for _ in range(2)]
    assert bodies == [b"ok", b'{"second": 1}']


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % n for n in range(5000)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nx-big: " + b"y" * 1_000_000 + b"\r\n\r\n",
        b"not http at all\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
    ids=["length-and-chunked", "two-lengths", "bad-chunk", "5000-headers", "huge-header", "no-http", "tls-bytes"],
)
async def test_an_answer_that_is_not_sound_http_is_an_error(
    upstream: Upstream, transport: Transport, head: bytes
) -> None:
    with pytest.raises((UpstreamProtocolError, UpstreamConnectionError)):
        await call(transport, upstream, raw(head, Hangup()))


async def test_a_flood_of_1xx_answers_is_cut_soon(upstream: Upstream, transport: Transport) -> None:
    async with asyncio.timeout(3):
        with pytest.raises(UpstreamProtocolError):
            await call(transport, upstream, informational_flood(100_000))


async def test_a_few_1xx_answers_are_read_past(upstream: Upstream, transport: Transport) -> None:
    assert await call(transport, upstream, informational_flood(8, then=answer(b"ok"))) == b"ok"


@pytest.mark.parametrize("play", [endless(), huge_line(3 * 1024 * 1024), answer(b"x" * 3_000_000)])
async def test_a_body_over_the_cap_is_cut(upstream: Upstream, play: Play) -> None:
    transport = Transport(max_body_bytes=2 * 1024 * 1024)
    try:
        with pytest.raises(UpstreamProtocolError):
            await call(transport, upstream, play)
    finally:
        await transport.aclose()


async def test_a_large_body_under_the_cap_comes_whole(upstream: Upstream, transport: Transport) -> None:
    body = await call(transport, upstream, huge_line(20 * 1024 * 1024))
    assert len(body) == 20 * 1024 * 1024 + 8


async def test_a_gzip_bomb_costs_no_memory(upstream: Upstream, transport: Transport) -> None:
    bomb = gzip_bomb(200 * 1024 * 1024)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    transport = Transport(max_body_bytes=8 * 1024 * 1024)
    try:
        with pytest.raises(UpstreamProtocolError):
            await call(transport, upstream, bomb)
    finally:
        await transport.aclose()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024  # KiB


async def test_gzip_that_was_not_asked_for_is_read(upstream: Upstream, transport: Transport) -> None:
    text = b'{"reply": "' + b"hello " * 10_000 + b'"}'
    for encoding, packed in (("gzip", gzip.compress(text)), ("deflate", zlib.compress(text))):
        assert await call(transport, upstream, answer(packed, headers={"content-encoding": encoding})) == text


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("br", b"x"),
        ("gzip, gzip", b"x"),
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(b"cut short" * 100, mtime=0)[:-20]),  # no clock in the test's name
    ],
)
async def test_a_compression_that_cannot_be_read_is_an_error(
    upstream: Upstream, transport: Transport, encoding: str, body: bytes
) -> None:
    with pytest.raises(UpstreamProtocolError):
        await call(transport, upstream, answer(body, headers={"content-encoding": encoding}))


async def test_a_broken_call_leaves_no_connection_and_does_not_harm_the_next(
    upstream: Upstream, transport: Transport
) -> None:
    for play in (reset_after(b"x"), cut_after(b"x"), wrong_length(b"x", declared=9)):
        with pytest.raises((UpstreamProtocolError, UpstreamConnectionError)):
            await call(transport, upstream, play)
    assert await call(transport, upstream, answer(b"ok")) == b"ok"
    await asyncio.to_thread(upstream.wait_for, lambda seen: seen.open_connections == 1)


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_a_certificate_nobody_vouches_for_is_refused_and_a_trusted_one_works(tmp_path: Path) -> None:
    with Upstream(tls=self_signed(tmp_path)) as upstream:
        upstream.on("GET", "/x", json_answer({}))
        request = WireRequest(method="GET", url=upstream.base_url + "/x")
        wary = Transport()
        trusting = Transport(tls=ssl.create_default_context(cafile=str(tmp_path / "server.pem")))
        try:
            with pytest.raises(UpstreamConnectionError, match="TLS"):
                await wary.send(request, PATIENT, LOCAL)
            assert upstream.requests == []
            assert (await trusting.send(request, PATIENT, LOCAL)).status == 200
        finally:
            await wary.aclose()
            await trusting.aclose()
