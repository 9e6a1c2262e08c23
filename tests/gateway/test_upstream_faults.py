"""What a bad upstream does to a call through the running hub: the client is told, the row says so, nothing hangs."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from registry.models import Provider
from tests.gateway.conftest import (
    Hub,
    Someone,
    make_key,
    make_model,
    make_provider,
    open_loopback,
    rows_at_once,
    usage_of,
)
from tests.upstream import (
    Forever,
    Hangup,
    Play,
    Upstream,
    answer,
    chunked,
    cut_after,
    drip,
    gzip_bomb,
    huge_line,
    informational_flood,
    json_answer,
    raw,
    redirect,
    reset_after,
    sse,
    stall_after,
    stall_before_headers,
    unused_port,
    wrong_length,
)

PATH = "/v1/chat/completions"


def event(**delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "served", "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n".encode()


HALF = event(content="half ")
ERROR = b'data: {"error": {"message": "out of memory at 10.0.0.7", "type": "server_error", "code": 500}}\n\n'


@pytest.fixture
def served(hub: Hub, upstream: Upstream, someone: Someone) -> Someone:
    """Two priced models at the same upstream: `patient`, and `hasty`, whose provider may take three seconds in all."""
    with rows_at_once(hub, someone):
        open_loopback()
        for name, timeout_s in (("hasty", 3), ("patient", 60)):
            provider = make_provider(upstream, name, timeout_s=timeout_s)
            make_key(provider, "sk-planted-of-the-faults")
            make_model(provider, name, prices={"input_per_1m": "2", "output_per_1m": "8"})
    return someone


def ask(hub: Hub, someone: Someone, *, stream: bool, model: str = "patient") -> Any:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hi"}]}
    with hub.client(someone.token) as client:
        return client.post(PATH, json=body)


BROKEN_STREAMS: dict[str, tuple[Play, str]] = {
    "stalls": (stall_after(HALF), "timeout"),
    "drips": (chunked(HALF, *drip(b":", every_s=0.05).steps[1:], end=False), "timeout"),
    "comments for ever": (chunked(HALF, Forever(b": keep-alive\n\n", 0.05), end=False), "timeout"),
    "never ends": (chunked(HALF, Forever(HALF, 0.01), end=False), "timeout"),
    "reset after 1": (reset_after(HALF), "truncated"),
    "reset after 2": (reset_after(HALF, HALF), "truncated"),
    "reset after 3": (reset_after(HALF, HALF, HALF), "truncated"),
    "FIN without chunked end": (cut_after(HALF), "truncated"),
    "sound end without [DONE]": (chunked(HALF, HALF), "truncated"),
    "a line of 20 MB": (chunked(HALF, *huge_line().steps[1:-1], end=False), "truncated"),
}


@pytest.mark.parametrize("name", BROKEN_STREAMS)
def test_a_broken_stream_ends_in_an_error_and_never_in_success(
    name: str, hub: Hub, upstream: Upstream, served: Someone
) -> None:
    play, state = BROKEN_STREAMS[name]
    upstream.on("POST", PATH, play)
    got = ask(hub, served, stream=True, model="hasty" if state == "timeout" else "patient")
    assert got.status_code == 200 and "half" in got.text
    assert "[DONE]" not in got.text and '"finish_reason":"stop"' not in got.text
    assert json.loads(got.text.strip().rsplit("data: ", 1)[1])["error"]["message"]
    row = usage_of(got.headers["x-request-id"])
    assert (row.state, row.usage_source, row.cost_status, row.attempts) == (state, "estimated", "estimated", 1)
    assert row.cost and len(upstream.requests) == 1  # no retry once something was delivered


def test_an_error_inside_a_200_is_an_error_and_its_text_is_nobodys_answer(
    hub: Hub, upstream: Upstream, served: Someone
) -> None:
    upstream.on("POST", PATH, chunked(HALF, ERROR))
    got = ask(hub, served, stream=True)
    assert "[DONE]" not in got.text and "10.0.0.7" not in got.text
    assert json.loads(got.text.strip().rsplit("data: ", 1)[1])["error"]
    row = usage_of(got.headers["x-request-id"])
    assert row.state in ("error", "truncated")
    assert row.output_tokens is None or row.output_tokens <= 3  # "half ", and none of the error's text


def test_an_error_before_anything_is_a_status_of_its_own(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", PATH, chunked(ERROR))
    got = ask(hub, served, stream=True)
    assert got.status_code >= 500 and "10.0.0.7" not in got.text
    assert usage_of(got.headers["x-request-id"]).state == "error"


BROKEN_ANSWERS: dict[str, tuple[Play, int]] = {
    "says nothing": (stall_before_headers(), 504),
    "shorter than it says": (wrong_length(b'{"a": 1}', declared=500), 502),
    "a gzip bomb": (gzip_bomb(100 * 1024 * 1024), 502),
    "length and chunked": (raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}"), 502),
    "a bad chunk size": (raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"), 502),
    "5000 headers": (raw(b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % n for n in range(5000)) + b"\r\n"), 502),
    "a flood of 103": (informational_flood(10_000), 502),
    "no HTTP": (raw(b"hello\r\n\r\n", Hangup()), 502),
    "a redirect": (redirect("http://169.254.169.254/latest/meta-data/"), 502),
    "HTML": (answer(b"<html>It works!</html>", headers={"content-type": "text/html"}), 502),
    "an empty body": (answer(b""), 502),
    "a list": (json_answer([]), 502),
}


@pytest.mark.parametrize("name", BROKEN_ANSWERS)
def test_a_broken_answer_is_502_or_504_and_settled(name: str, hub: Hub, upstream: Upstream, served: Someone) -> None:
    play, status = BROKEN_ANSWERS[name]
    upstream.on("POST", PATH, play)
    got = ask(hub, served, stream=False, model="hasty" if status == 504 else "patient")
    assert got.status_code == status, got.text
    assert got.json()["error"]["message"]
    row = usage_of(got.headers["x-request-id"])
    assert row.state in ("error", "timeout", "truncated")
    assert row.attempts == row.tries.count() == len(upstream.requests)


def test_a_refused_connection_is_502(hub: Hub, upstream: Upstream, served: Someone) -> None:
    provider = Provider.objects.get(slug="patient")
    with rows_at_once(hub, served):
        provider.base_url = f"http://127.0.0.1:{unused_port()}/v1"
        provider.auth_type = "none"
        provider.save()
        make_model(provider, "dead-model")
    with hub.client(served.token) as client:
        got = client.post(PATH, json={"model": "dead-model", "messages": [{"role": "user", "content": "Hi"}]})
    assert (got.status_code, got.json()["error"]["code"]) == (502, "upstream_unreachable")
    row = usage_of(got.headers["x-request-id"])
    assert (row.state, row.cost, upstream.requests) == ("error", Decimal(0), [])


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": -1000, "completion_tokens": 5},
        {"prompt_tokens": "many", "completion_tokens": [1]},
        {"prompt_tokens": 1e30, "completion_tokens": 10**40},
        "none",
    ],
    ids=str,
)
def test_odd_usage_costs_nothing_below_zero_and_loses_no_row(
    usage: Any, hub: Hub, upstream: Upstream, served: Someone
) -> None:
    message = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
    body = {"id": None, "object": "chat.completion", "model": "served", "choices": [message], "usage": usage}
    upstream.on("POST", PATH, json_answer(body))
    got = ask(hub, served, stream=False)
    assert got.status_code == 200 and got.json()["choices"][0]["message"]["content"] == "Hello."
    row = usage_of(got.headers["x-request-id"])
    assert row.state in ("ok", "ok_estimated")
    assert row.cost is None or row.cost >= 0


def test_the_same_provider_id_twice_is_two_rows(hub: Hub, upstream: Upstream, served: Someone) -> None:
    message = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
    body = {"id": "'; DROP TABLE x; --" * 500, "model": "served", "choices": [message]}
    upstream.on("POST", PATH, json_answer(body, headers={"x-request-id": "always-the-same"}))
    ids = [ask(hub, served, stream=False).headers["x-request-id"] for _ in range(2)]
    rows = [usage_of(one) for one in ids]
    assert rows[0].pk != rows[1].pk
    assert {row.tries.get().upstream_request_id for row in rows} == {"always-the-same"}


@pytest.mark.parametrize("size", [0, 1, 7])
def test_text_split_inside_a_character_arrives_whole(size: int, hub: Hub, upstream: Upstream, served: Someone) -> None:
    whole = (
        b"\xef\xbb\xbf"
        + event(content="žluť 漢字 🙂").replace(b"\n\n", b"\r\n\r\n")
        + b": comment\r\ndata:"
        + event(content=" ✓")[6:]
        + b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    )
    step = size or len(whole)
    upstream.on("POST", PATH, chunked(*(whole[at : at + step] for at in range(0, len(whole), step))))
    got = ask(hub, served, stream=True)
    # Events may pass as they came: with or without the space that the format leaves open.
    told = [line[5:].strip() for line in got.text.split("\n") if line.startswith("data:")]
    pieces = [json.loads(line) for line in told if line != "[DONE]"]
    text = "".join(choice["delta"].get("content") or "" for piece in pieces for choice in piece["choices"])
    assert text == "žluť 漢字 🙂 ✓" and told[-1] == "[DONE]"


def test_the_next_call_after_each_fault_is_answered(hub: Hub, upstream: Upstream, served: Someone) -> None:
    good = sse(
        [event(content="fine"), b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n', "[DONE]"]
    )
    for play in (reset_after(HALF), cut_after(HALF), chunked(HALF, ERROR)):
        upstream.on("POST", PATH, play, good)
        assert "[DONE]" not in ask(hub, served, stream=True).text
        assert "[DONE]" in ask(hub, served, stream=True).text
