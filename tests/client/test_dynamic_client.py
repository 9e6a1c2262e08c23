"""DynamicLLMClient over registries without a database, against a real loopback upstream."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import InvalidRequestError, LLMError, RateLimitedError, UpstreamUnavailableError
from adapters.types import TextDelta, ToolCall
from registry import DictRegistry, DynamicLLMClient, LLMEntry, LLMTier
from registry.client import NoCandidateError
from registry.usage.ledger import CallIntent, Settlement, TryIntent, TryOutcome
from tests.upstream import Forever, Play, Upstream, json_answer, raw, reset_after, sse


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


class Book:
    """A ledger that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Any]] = []

    def open(self, call: CallIntent, attempt: TryIntent) -> None:
        self.lines.append(("open", attempt))

    def close(self, call: CallIntent, outcome: TryOutcome) -> None:
        self.lines.append(("close", outcome))

    def settle(self, call: CallIntent, settlement: Settlement) -> None:
        self.lines.append(("settle", settlement))

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.lines]

    @property
    def settlement(self) -> Settlement:
        assert self.kinds.count("settle") == 1
        settled: Settlement = self.lines[-1][1]
        return settled


def completion(text: str, *, tool_calls: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if tool_calls:
        message |= {"content": None, "tool_calls": tool_calls}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "served-model",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if tool_calls else "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def entry(upstream: Upstream, number: int, *, path: str = "/v1", **fields: Any) -> LLMEntry:
    values: dict[str, Any] = {
        "id": number,
        "name": f"model-{number}",
        "provider": "openai_compatible",
        "model": f"upstream-{number}",
        "api_key": f"key-{number}",
        "api_endpoint": upstream.base_url + path,
    }
    return LLMEntry(**(values | fields))


async def test_generate_by_tier_calls_the_cheapest_of_it(upstream: Upstream) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion("hi")))
    registry = DictRegistry(
        [
            entry(upstream, 1, tier=LLMTier.STANDARD, cost_per_1k_input=0.5, cost_per_1k_output=1),
            entry(upstream, 2, tier=LLMTier.STANDARD, cost_per_1k_input=0.1, cost_per_1k_output=9),
            entry(upstream, 3, tier=LLMTier.STANDARD),
            entry(upstream, 4, tier=LLMTier.PREMIUM, cost_per_1k_input=0.01),
        ]
    )
    result = await DynamicLLMClient(registry).generate("Write a story", tier=LLMTier.STANDARD)
    assert result.reply == "hi"
    assert upstream.requests[0].json["model"] == "upstream-2"
    assert upstream.requests[0].headers["authorization"] == "Bearer key-2"


async def test_generate_by_id_calls_that_model(upstream: Upstream) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion("two")))
    registry = DictRegistry([entry(upstream, 1), entry(upstream, 2)])
    result = await DynamicLLMClient(registry).generate("x", llm_id=2, max_tokens=7)
    assert result.candidate.entry.id == 2
    assert upstream.requests[0].json["max_tokens"] == 7


async def test_the_settled_call_says_what_it_cost(upstream: Upstream) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion("hi")))
    book = Book()
    registry = DictRegistry([entry(upstream, 1, cost_per_1k_input="0.002", cost_per_1k_output="0.004")])
    await DynamicLLMClient(registry, ledger=book).generate("x")
    assert book.kinds == ["open", "settle"]
    assert book.settlement.state == "ok"
    assert book.settlement.cost.total == Decimal("0.00004")  # 10 x 2e-6 + 5 x 4e-6
    assert book.settlement.upstream_model == "served-model"


async def test_an_unpriced_model_costs_an_unknown_amount(upstream: Upstream) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion("hi")))
    book = Book()
    await DynamicLLMClient(DictRegistry([entry(upstream, 1)]), ledger=book).generate("x")
    assert book.settlement.cost.total is None
    assert book.settlement.cost.status == "unpriced"


async def test_a_failing_model_falls_back_to_the_next_of_the_tier(upstream: Upstream) -> None:
    upstream.on("POST", "/a/chat/completions", json_answer({"error": {"message": "busy"}}, status=503))
    upstream.on("POST", "/b/chat/completions", json_answer(completion("from b")))
    registry = DictRegistry(
        [
            entry(upstream, 1, path="/a", cost_per_1k_input=0.1, cost_per_1k_output=1),
            entry(upstream, 2, path="/b", cost_per_1k_input=0.2, cost_per_1k_output=1),
        ]
    )
    book = Book()
    result = await DynamicLLMClient(registry, ledger=book).generate("x", tier="standard")
    assert (result.reply, result.attempts) == ("from b", 2)
    assert book.kinds == ["open", "close", "open", "settle"]
    assert book.lines[1][1].upstream_status == 503


async def test_a_wrong_request_is_not_tried_elsewhere(upstream: Upstream) -> None:
    refusal = {"error": {"message": "bad value", "type": "invalid_request_error", "param": "x", "code": None}}
    upstream.on("POST", "/v1/chat/completions", json_answer(refusal, status=400))
    registry = DictRegistry([entry(upstream, 1), entry(upstream, 2)])
    book = Book()
    with pytest.raises(InvalidRequestError):
        await DynamicLLMClient(registry, ledger=book).generate("x", tier="standard")
    assert len(upstream.requests) == 1
    assert book.settlement.state == "error"
    assert book.settlement.cost.total == 0


async def test_a_named_model_is_never_replaced(upstream: Upstream) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer({"error": {"message": "slow down"}}, status=429))
    registry = DictRegistry([entry(upstream, 1), entry(upstream, 2)])
    with pytest.raises(RateLimitedError):
        await DynamicLLMClient(registry).generate("x", model="model-1")
    assert {request.json["model"] for request in upstream.requests} == {"upstream-1"}


async def test_tools_run_until_the_model_answers_in_words(upstream: Upstream) -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "add", "arguments": '{"a":2,"b":3}'}}
    upstream.on(
        "POST",
        "/v1/chat/completions",
        json_answer(completion("", tool_calls=[call])),
        json_answer(completion("It is 5.")),
    )
    book = Book()
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    asked: list[ToolCall] = []

    async def handler(tool_call: ToolCall) -> dict[str, int]:
        asked.append(tool_call)
        return {"sum": 5}

    client = DynamicLLMClient(DictRegistry([entry(upstream, 1)]), ledger=book)
    result = await client.chat("What is 2 + 3?", tools=[tool], tool_call_handler=handler)
    assert result.reply == "It is 5."
    assert [item.arguments for item in asked] == ['{"a":2,"b":3}']
    assert upstream.requests[1].json["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "t1",
        "content": '{"sum": 5}',
    }
    assert book.kinds == ["open", "settle", "open", "settle"]


async def test_the_tool_loop_is_bounded(upstream: Upstream) -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "again", "arguments": "{}"}}
    upstream.on("POST", "/v1/chat/completions", json_answer(completion("", tool_calls=[call])))
    tool = {"type": "function", "function": {"name": "again", "parameters": {"type": "object"}}}
    client = DynamicLLMClient(DictRegistry([entry(upstream, 1)]))
    await client.chat("x", tools=[tool], tool_call_handler=lambda _: "more", max_tool_rounds=3)
    assert len(upstream.requests) == 4


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def played(*chunks: dict[str, Any]) -> Play:
    return sse([*map(json.dumps, chunks), "[DONE]"])


async def test_a_stream_yields_text_and_settles(upstream: Upstream) -> None:
    usage = {**chunk({}), "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
    events = [chunk({"role": "assistant", "content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop"), usage]
    upstream.on("POST", "/v1/chat/completions", played(*events))
    book = Book()
    client = DynamicLLMClient(DictRegistry([entry(upstream, 1)]), ledger=book)
    pieces = [event.text async for event in client.stream("x") if isinstance(event, TextDelta)]
    assert "".join(pieces) == "Hello"
    assert book.settlement.state == "ok"
    assert book.settlement.usage.output_tokens == 2
    assert book.settlement.first_token_ms is not None


async def test_a_stream_without_usage_is_settled_on_an_estimate(upstream: Upstream) -> None:
    upstream.on("POST", "/v1/chat/completions", played(chunk({"content": "Hello you"}), chunk({}, "stop")))
    book = Book()
    priced = entry(upstream, 1, cost_per_1k_input=1, cost_per_1k_output=1)
    async for _ in DynamicLLMClient(DictRegistry([priced]), ledger=book).stream("some question"):
        pass
    assert book.settlement.state == "ok_estimated"
    assert book.settlement.usage_source == "estimated"
    assert book.settlement.cost.status == "estimated"
    assert book.settlement.cost.total


async def test_a_stream_that_is_left_early_is_aborted_and_its_upstream_closed(upstream: Upstream) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    line = b"data: " + json.dumps(chunk({"content": "tick "})).encode() + b"\n\n"
    upstream.on("POST", "/v1/chat/completions", raw(head, Forever(line, every_s=0.01)))
    book = Book()
    stream = DynamicLLMClient(DictRegistry([entry(upstream, 1)]), ledger=book).stream("x")
    async for event in stream:
        if isinstance(event, TextDelta):
            break
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator
    assert book.settlement.state == "aborted"
    assert book.settlement.usage_source == "estimated"
    await asyncio.to_thread(upstream.wait_closed)  # closing takes a turn of this loop


async def test_a_stream_broken_before_its_first_event_falls_back(upstream: Upstream) -> None:
    upstream.on("POST", "/a/chat/completions", reset_after())
    upstream.on("POST", "/b/chat/completions", played(chunk({"content": "b"}), chunk({}, "stop")))
    registry = DictRegistry(
        [
            entry(upstream, 1, path="/a", cost_per_1k_input=0.1, cost_per_1k_output=1),
            entry(upstream, 2, path="/b", cost_per_1k_input=0.2, cost_per_1k_output=1),
        ]
    )
    texts = [e.text async for e in DynamicLLMClient(registry).stream("x", tier="standard") if isinstance(e, TextDelta)]
    assert texts == ["b"]


async def test_a_stream_broken_after_its_first_event_is_an_error_and_never_retried(upstream: Upstream) -> None:
    line = b"data: " + json.dumps(chunk({"content": "half"})).encode() + b"\n\n"
    upstream.on("POST", "/v1/chat/completions", reset_after(line))
    registry = DictRegistry([entry(upstream, 1), entry(upstream, 2)])
    book = Book()
    texts = []
    with pytest.raises(LLMError):
        async for event in DynamicLLMClient(registry, ledger=book).stream("x", tier="standard"):
            if isinstance(event, TextDelta):
                texts.append(event.text)
    assert texts == ["half"]
    assert len(upstream.requests) == 1
    assert book.settlement.state == "truncated"


async def test_nothing_to_call_says_why_and_is_rejected_in_the_ledger() -> None:
    book = Book()
    registry = DictRegistry([LLMEntry(id=1, name="off", provider="stub", model="s", is_active=False)])
    with pytest.raises(NoCandidateError, match="disabled") as refused:
        await DynamicLLMClient(registry, ledger=book).generate("x", model="off")
    assert refused.value.resolution.dropped[0].code == "disabled"
    assert book.settlement.state == "rejected"


async def test_a_conversations_model_is_honoured(upstream: Upstream) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion("x")))

    class Thread:
        id = None
        llm_model_id = 2

    registry = DictRegistry([entry(upstream, 1), entry(upstream, 2)])
    result = await DynamicLLMClient(registry).chat("hi", conversation=Thread())
    assert result.candidate.entry.id == 2
    named = await DynamicLLMClient(registry).chat("hi", conversation=Thread(), model="model-1")
    assert named.candidate.entry.id == 1


async def test_a_client_made_for_one_call_leaves_no_connection_behind(upstream: Upstream) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion("x")))
    registry = DictRegistry([entry(upstream, 1)])
    for _ in range(3):
        await DynamicLLMClient(registry).chat("hi", model="model-1")
        gc.collect()  # an unclosed connector says so here, and warnings are errors
    assert upstream.connections == 1


async def test_a_registry_of_ones_own_needs_only_the_seeds_three_methods() -> None:
    stub = LLMEntry(id=7, name="echo", provider="stub", model="stub", tier=LLMTier.LOCAL)

    class Mine:
        def get_by_id(self, llm_id: Any) -> LLMEntry | None:
            return stub if llm_id == 7 else None

        def get_by_tier(self, tier: LLMTier) -> LLMEntry | None:
            return stub if tier == LLMTier.LOCAL else None

        def list_active(self) -> list[LLMEntry]:
            return [stub]

    client = DynamicLLMClient(Mine())  # type: ignore[arg-type]  # what a caller may do wrong
    assert (await client.generate("ping", tier=LLMTier.LOCAL)).reply == "ping"
    assert (await client.generate("ping", llm_id=7)).reply == "ping"
    assert (await client.generate("ping")).reply == "ping"


async def test_upstream_down_raises_and_is_settled(upstream: Upstream) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer({"error": "no"}, status=500))
    book = Book()
    with pytest.raises(UpstreamUnavailableError) as failed:
        await DynamicLLMClient(DictRegistry([entry(upstream, 1)]), ledger=book).generate("x")
    assert failed.value.status == 502
    assert book.settlement.error_code == "upstream_unavailable"


def test_a_chat_works_where_django_cannot_be_imported() -> None:
    script = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name == "django" or name.startswith("django."):
            raise ImportError("django is blocked")
sys.meta_path.insert(0, Blocked())
import asyncio
from registry import DictRegistry, DynamicLLMClient, LLMEntry
entries = DictRegistry([LLMEntry(id=1, name="echo", provider="stub", model="stub")])
print(asyncio.run(DynamicLLMClient(entries).generate("hello")).reply)
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "hello", done.stderr


async def test_a_models_own_answer_format_is_asked_for_unless_the_caller_names_one(upstream: Upstream) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion("{}")))
    own = {"type": "json_schema", "json_schema": {"name": "own", "schema": {"type": "object"}}}
    client = DynamicLLMClient(DictRegistry([entry(upstream, 1, default_params={"response_format": own})]))
    await client.generate("Translate.", llm_id=1)
    await client.generate("Translate.", llm_id=1, response_format={"type": "json_object"})
    sent = [seen.json["response_format"] for seen in upstream.requests]
    assert sent[0]["json_schema"]["name"] == "own" and sent[1] == {"type": "json_object"}
