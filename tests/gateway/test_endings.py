"""How the lane ends what would not end by itself: a body that drips in, and open streams when the server is to go."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.gateway.conftest import (
    Hub,
    Someone,
    clean,
    make_key,
    make_model,
    make_provider,
    make_someone,
    open_loopback,
    rows_at_once,
    start_hub,
    stop_hub,
    usage_of,
)
from tests.upstream import Forever, Upstream, chunked

STREAMS = 20


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any) -> Iterator[Hub]:
    """One that waits a second for a body and three for open streams."""
    with django_db_blocker.unblock():
        folder = tmp_path_factory.mktemp("hub")
        running = start_hub(folder, LLMHUB_BODY_TIMEOUT_S="1", LLMHUB_DRAIN_S="4")
        try:
            yield running
        finally:
            stop_hub(running)
            clean()


@pytest.fixture
def leaving_hub(hub: Hub, tmp_path: Any) -> Iterator[Hub]:
    """Another on the same database, for a test to end."""
    running = start_hub(tmp_path, LLMHUB_DRAIN_S="2")
    try:
        yield running
    finally:
        stop_hub(running)


def endless_words(upstream: Upstream) -> None:
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "served"}
    word = body | {"choices": [{"index": 0, "delta": {"content": "tick "}, "finish_reason": None}]}
    upstream.on("POST", "/v1/chat/completions", chunked(Forever(f"data: {json.dumps(word)}\n\n".encode(), 0.1)))


def serve(hub: Hub, upstream: Upstream) -> Someone:
    someone = make_someone("dora")
    with rows_at_once(hub, someone):
        open_loopback()
        provider = make_provider(upstream, "loop")
        make_key(provider, "sk-planted-4c1e8e21-secret-key")
        make_model(provider, "served-model", prices={"input_per_1m": "2", "output_per_1m": "8"})
    return someone


def read_to_its_end(hub: Hub, token: str, opened: Any) -> tuple[str, str]:
    """The request's id, and all that its stream said."""
    body = {"model": "served-model", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    text = []
    with hub.client(token) as client, client.stream("POST", "/v1/chat/completions", json=body) as answer:
        for piece in answer.iter_text():
            text.append(piece)
            opened()
        return answer.headers["x-request-id"], "".join(text)


def test_open_streams_end_with_an_error_event_and_a_row_when_the_server_is_told_to_go(
    leaving_hub: Hub, upstream: Upstream
) -> None:
    endless_words(upstream)
    someone = serve(leaving_hub, upstream)
    begun: set[int] = set()
    told = []

    def opened(number: int) -> None:
        begun.add(number)
        if len(begun) == STREAMS and not told:
            told.append(True)
            leaving_hub.processes[0].send_signal(signal.SIGTERM)

    with ThreadPoolExecutor(STREAMS) as threads:
        reading = [
            threads.submit(read_to_its_end, leaving_hub, someone.token, lambda n=number: opened(n))
            for number in range(STREAMS)
        ]
        ended = [stream.result(60) for stream in reading]
    for request_id, text in ended:
        assert "tick" in text and "[DONE]" not in text
        assert json.loads(text.strip().rsplit("data: ", 1)[1])["error"]["code"] == "hub_shutting_down"
        row = usage_of(request_id)
        assert (row.state, row.error_code, row.usage_source) == ("truncated", "hub_shutting_down", "estimated")
    assert leaving_hub.processes[0].wait(20) is not None


def test_a_body_that_drips_in_is_refused_in_the_callers_dialect(hub: Hub, upstream: Upstream) -> None:
    someone = serve(hub, upstream)
    address = urlsplit(hub.base_url)
    head = [
        "POST /v1/chat/completions HTTP/1.1",
        f"host: {address.netloc}",
        f"authorization: Bearer {someone.token}",
        "content-type: application/json",
        "content-length: 1000",
    ]
    with socket.create_connection((address.hostname, address.port), timeout=20) as client:
        client.sendall("\r\n".join(head).encode() + b'\r\n\r\n{"model":')
        answer = client.recv(65536)
        while b'"request_timeout"' not in answer and (more := client.recv(65536)):
            answer += more
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer
