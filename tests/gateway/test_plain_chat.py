"""The short way of a plain chat and the long way give the same: to the provider, to the client, and in the ledger.

A header that only the long way reads (`x-llmhub-tags`) sends the same request there.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from adapters.plain_chat import read_plain_answer, read_plain_request
from registry.models import Budget, UsageAttempt, UsageRecord
from tests.gateway.conftest import (
    Hub,
    Someone,
    make_key,
    make_model,
    make_provider,
    make_someone,
    open_loopback,
    rows_at_once,
    usage_of,
    wait_for,
)
from tests.gateway.test_chat_completions import KEY, completion, streamed
from tests.upstream import Play, Upstream, json_answer

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "Say hi, in two words."}]
LONG = {"x-llmhub-tags": "long"}
# Of a row: what is the same however the call went.
ROW = (
    *("state", "requested", "model_name", "provider_slug", "credential_scope", "attempts", "reason", "dialect"),
    *("streamed", "http_status", "error_code", "finish_reason", "upstream_model", "usage_source", "cost_status"),
    *("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens", "cost", "cost_input", "cost_output"),
    *("cost_cache_read", "cost_reasoning", "cost_fee", "price_version", "token_name", "username", "operation"),
    *("user_id", "token_id", "model_id", "provider_id", "credential_id", "conversation_id", "provider_cost"),
)
TRY = ("number", "state", "error_code", "upstream_status", "upstream_request_id", "input_tokens", "cost")


@pytest.fixture
def served(hub: Hub, upstream: Upstream) -> Someone:
    """A caller with limits and a budget, so that all that a call can hold is held."""
    someone = make_someone("dora", requests_per_minute=10_000, tokens_per_minute=10_000_000, concurrency=50)
    with rows_at_once(hub, someone):
        open_loopback()
        provider = make_provider(upstream, "loop")
        make_key(provider, KEY)
        make_model(provider, "served-model", prices={"input_per_1m": "2.5", "output_per_1m": "10.1"})
        Budget.objects.create(user=someone.user, amount=100)
    return someone


def both(hub: Hub, upstream: Upstream, someone: Someone, body: dict[str, Any], play: Play) -> list[httpx.Response]:
    """The answers of the short way and of the long one; the short one twice, as the first call takes a lease."""
    upstream.on("POST", CHAT, play)
    with hub.client(someone.token) as client:
        client.post(CHAT, json={"model": "served-model", "messages": HI})
        upstream.requests.clear()
        return [client.post(CHAT, json=body), client.post(CHAT, json=body, headers=LONG)]


def seen_by_client(answer: httpx.Response) -> dict[str, Any]:
    """An answer without what differs from call to call."""
    ours = {name: value for name, value in answer.headers.items() if name.startswith(("x-", "content-type", "retry"))}
    for name in ("x-request-id", *(found for found in ours if found.startswith("x-ratelimit-"))):
        ours[name] = "there"
    text = answer.text.replace(answer.headers["x-request-id"], "ID")
    return {"status": answer.status_code, "headers": ours, "body": json.loads(text) if text[:1] == "{" else text}


def rows_of(answer: httpx.Response) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    row: UsageRecord = usage_of(answer.headers["x-request-id"])
    tries = UsageAttempt.objects.filter(record=row).order_by("number")
    said = {name: getattr(row, name) for name in ROW}
    return said, [{name: getattr(one, name) for name in TRY} for one in tries]


def assert_alike(upstream: Upstream, short: httpx.Response, long: httpx.Response) -> None:
    assert seen_by_client(short) == seen_by_client(long)
    middle = len(upstream.requests) // 2
    for one, other in zip(upstream.requests[:middle], upstream.requests[middle:], strict=True):
        assert one.json == other.json
        sent = [{**request.headers, "content-length": ""} for request in (one, other)]
        assert sent[0] == sent[1]
    assert rows_of(short) == rows_of(long)
    assert UsageRecord.objects.get(request_id=short.headers["x-request-id"]).tags == []


def answered(**more: Any) -> dict[str, Any]:
    return completion() | more


def message(**fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello.", **fields}}
    return completion() | {"choices": [choice]}


DETAILS = {"prompt_tokens": 90, "completion_tokens": 70, "total_tokens": 160}
ANSWERS: dict[str, dict[str, Any]] = {
    "plain": completion("Hé, 你好 \U0001f600"),
    "nothing counted": answered(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
    "no usage": answered(usage=None),
    "cached tokens": answered(usage=DETAILS | {"prompt_tokens_details": {"cached_tokens": 64}}),
    "reasoning tokens": answered(usage=DETAILS | {"completion_tokens_details": {"reasoning_tokens": 11}}),
    "hidden tokens": answered(usage=DETAILS | {"total_tokens": 200}),
    "its own cost": answered(usage=DETAILS | {"cost": 0.25}),
    "passed on": answered(service_tier="default", system_fingerprint="fp_1", other="left out"),
    "null passed on": answered(service_tier=None, system_fingerprint=None),
    "cut at the limit": completion() | {"choices": [completion()["choices"][0] | {"finish_reason": "length"}]},
    "filtered": completion() | {"choices": [completion()["choices"][0] | {"finish_reason": "content_filter"}]},
    "refusal": message(content=None, refusal="No."),
    "reasoning": message(reasoning_content="Hm."),
    "annotated": message(annotations=[{"type": "url_citation"}]),
    "not annotated": message(annotations=[], refusal=None),
    "nothing said": message(content=""),
    "a tool call": message(tool_calls=[{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]),
    "no creation time": answered(created=None),
    "no model": answered(model=None),
}


def test_each_answer_is_given_alike(hub: Hub, upstream: Upstream, served: Someone) -> None:
    given = {
        name: both(hub, upstream, served, {"model": "served-model", "messages": HI}, json_answer(answer))
        for name, answer in ANSWERS.items()
    }
    for name, (short, long) in given.items():
        assert short.status_code == 200, name
        if ANSWERS[name].get("created"):  # else it is the hub's own clock
            assert seen_by_client(short) == seen_by_client(long), name
        assert rows_of(short) == rows_of(long), name


REQUESTS: dict[str, dict[str, Any]] = {
    "all plain fields": {
        **{"temperature": 0.5, "top_p": 1, "presence_penalty": -1.5, "frequency_penalty": 2, "seed": 7, "user": "u"},
        **{"max_tokens": 9, "stream": False},
    },
    "the newer limit": {"max_completion_tokens": 12},
    "both limits": {"max_tokens": 4, "max_completion_tokens": 12},
    "a turn before": {
        "messages": [{"role": "system", "content": "S"}, *HI, {"role": "assistant", "content": "Hi"}, *HI]
    },
    "an empty turn": {"messages": [*HI, {"role": "assistant", "content": ""}, *HI]},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
    "a name": {"messages": [{"role": "user", "content": "Hi", "name": "ann"}]},
    "a developer": {"messages": [{"role": "developer", "content": "Hi"}]},
    "an unknown field": {"made_up": {"kept": [1]}},
    "null fields": {"temperature": None, "stream_options": None},
    "a whole number as a fraction": {"max_tokens": 20.0},
    "stop": {"stop": ["a", "b"]},
    "several": {"n": 1},
}
WRONG: dict[str, dict[str, Any]] = {
    "too warm": {"temperature": 3},
    "no messages": {"messages": []},
    "no role": {"messages": [{"role": "nobody", "content": "x"}]},
    "a NUL": {"messages": [{"role": "user", "content": "a\x00b"}]},
    "a limit of none": {"max_tokens": 0},
    "a truth for a number": {"temperature": True},
    "an unknown model": {"model": "nothing-like-it"},
    "messages of another kind": {"messages": "Hi"},
    "a role of another kind": {"messages": [{"role": ["user"], "content": "x"}]},
}


def test_each_request_is_sent_alike(hub: Hub, upstream: Upstream, served: Someone) -> None:
    for name, more in REQUESTS.items():
        body = {"model": "served-model", "messages": HI} | more
        short, long = both(hub, upstream, served, body, json_answer(completion()))
        assert short.status_code == 200, name
        assert_alike(upstream, short, long)


def test_each_wrong_request_is_refused_alike(hub: Hub, upstream: Upstream, served: Someone) -> None:
    for name, more in WRONG.items():
        body = {"model": "served-model", "messages": HI} | more
        short, long = both(hub, upstream, served, body, json_answer(completion()))
        assert seen_by_client(short) == seen_by_client(long), name
        assert short.status_code in (400, 404) and not upstream.requests, name


def test_each_error_that_no_retry_helps_is_told_alike(hub: Hub, upstream: Upstream, served: Someone) -> None:
    body = {"model": "served-model", "messages": HI}
    for status in (400, 403, 404, 422):
        error = json_answer({"error": {"message": "No.", "code": "no"}}, status=status)
        upstream.on("POST", CHAT, json_answer(completion()), error)
        with hub.client(served.token) as client:
            client.post(CHAT, json=body)
            upstream.requests.clear()
            short, long = client.post(CHAT, json=body), client.post(CHAT, json=body, headers=LONG)
        assert short.status_code >= 400
        assert_alike(upstream, short, long)


def test_what_is_plain_is_read_as_plain() -> None:
    """Without it the long way would be compared with itself."""
    names = ("all plain fields", "the newer limit", "a turn before")
    for more in ({}, *(REQUESTS[name] for name in names)):
        assert read_plain_request(json.dumps({"model": "m", "messages": HI} | more).encode()) is not None
    for name in REQUESTS.keys() - set(names):
        assert read_plain_request(json.dumps({"model": "m", "messages": HI} | REQUESTS[name]).encode()) is None, name
    plain = ("plain", "nothing counted", "cached tokens", "reasoning tokens", "hidden tokens", "its own cost")
    for name in (*plain, "passed on", "cut at the limit", "not annotated"):
        answer = {key: value for key, value in ANSWERS[name].items() if key != "other"}
        assert read_plain_answer(json.dumps(answer).encode()) is not None, name


def test_a_failed_try_is_followed_by_a_retry_in_the_same_row(hub: Hub, upstream: Upstream, served: Someone) -> None:
    body = {"model": "served-model", "messages": HI}
    broken = json_answer({"error": {"message": "No."}}, status=500)
    upstream.on("POST", CHAT, json_answer(completion()), broken, json_answer(completion("Second.")))
    with hub.client(served.token) as client:
        client.post(CHAT, json=body)
        answer = client.post(CHAT, json=body)
    assert answer.json()["choices"][0]["message"]["content"] == "Second."
    assert answer.headers["x-llmhub-attempts"] == "2"
    row, tries = rows_of(answer)
    assert (row["state"], row["attempts"]) == ("ok", 2)
    assert [(one["state"], one["upstream_status"]) for one in tries] == [("error", 500), ("ok", 200)]


def test_what_a_call_held_is_free_again(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", CHAT, json_answer(completion()))
    with hub.client(served.token) as client:
        answers = [client.post(CHAT, json={"model": "served-model", "messages": HI}) for _ in range(5)]
    left = [int(answer.headers["x-ratelimit-remaining-tokens"]) for answer in answers]
    # Each answer tells what was left when its call began: those before it counted 1,500, and it its own estimate.
    assert left[0] - left[-1] == 4 * 1500
    spent = wait_for(lambda: Budget.objects.get().spent, lambda found: found > 0)
    wait_for(lambda: Budget.objects.get().spent, lambda found: found >= spent)
    total = sum(usage_of(answer.headers["x-request-id"]).cost or 0 for answer in answers)
    assert wait_for(lambda: Budget.objects.get().spent, lambda found: found == total) == total


def test_streams_are_given_alike(hub: Hub, upstream: Upstream, served: Someone) -> None:
    for more in ({}, {"stream_options": {"include_usage": True}}, {"stream_options": {"include_usage": False}}):
        body = {"model": "served-model", "messages": HI, "stream": True} | more
        short, long = both(hub, upstream, served, body, streamed("One ", "two ", "three."))
        assert "One " in short.text
        assert_alike(upstream, short, long)
