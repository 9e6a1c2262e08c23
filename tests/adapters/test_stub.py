"""The stub behind the same adapter as every provider: deterministic, counted, and never on the network."""

from __future__ import annotations

import pytest

from adapters import create_adapter
from adapters.errors import InvalidRequestError
from adapters.stub import count_tokens
from adapters.types import Finished, Message, ResponseStarted, TextDelta, TextPart, ToolDefinition, UsageReported

CONVERSATION = (
    Message(role="system", parts=(TextPart(text="Be brief."),)),
    Message(role="user", parts=(TextPart(text="first"),)),
    Message(role="assistant", parts=(TextPart(text="first"),)),
    Message(role="user", parts=(TextPart(text="to be  or not\nto be "),)),
)


async def test_it_echoes_the_last_user_message_and_counts_words() -> None:
    result = await create_adapter("stub").chat(CONVERSATION)
    assert result.reply == "to be  or not\nto be "
    assert (result.usage.input_tokens, result.usage.output_tokens) == (10, 6)
    assert result.status == 200 and result.raw["reply"] == result.reply
    assert result.response.finish_reason == "stop"


async def test_the_same_request_gets_the_same_answer() -> None:
    first, again = [await create_adapter("stub", model="m").chat("hi") for _ in range(2)]
    assert first == again and first.response.model == "m"
    assert (await create_adapter("stub", model="m").chat("ho")).response.id != first.response.id


@pytest.mark.parametrize(("limit", "reply", "reason"), [(2, "to be", "length"), (6, "to be  or not\nto be ", "stop")])
async def test_a_limit_on_output_tokens_truncates(limit: int, reply: str, reason: str) -> None:
    result = await create_adapter("stub").chat(CONVERSATION, max_output_tokens=limit)
    assert (result.reply, result.response.finish_reason) == (reply, reason)
    assert result.usage.output_tokens == limit


@pytest.mark.parametrize("text", ["", "   ", "one", "a b", "a b c d e f g h i", "  leading and trailing  \n"])
async def test_it_streams_what_it_would_answer(text: str) -> None:
    adapter = create_adapter("stub")
    whole = await adapter.chat(text)
    events = [event async for event in adapter.stream(text)]
    assert isinstance(events[0], ResponseStarted)
    deltas = [event.text for event in events if isinstance(event, TextDelta)]
    assert "".join(deltas) == whole.reply and len(deltas) <= 4
    assert events[-2:] == [Finished(reason="stop", raw_reason="stop"), UsageReported(usage=whole.usage)]


async def test_tools_are_taken_and_not_called() -> None:
    result = await create_adapter("stub").chat("call it", tools=(ToolDefinition(name="f"),))
    assert result.reply == "call it" and result.response.tool_calls == ()


async def test_there_must_be_something_to_echo() -> None:
    with pytest.raises(InvalidRequestError):
        await create_adapter("stub").chat((Message(role="system", parts=(TextPart(text="x"),)),))


async def test_it_lists_itself_and_passes_its_own_test() -> None:
    report = await create_adapter("stub", model="stub").test()
    assert (report.ok, report.tried, report.models, report.model_listed) == (True, "models", ("stub",), True)


def test_synchronous_code_gets_the_same_answer() -> None:
    assert create_adapter("stub").chat_sync("hello").reply == "hello"


def test_tokens_are_runs_of_non_space() -> None:
    assert [count_tokens(text) for text in ("", " ", "a", " a  b\n", "don't stop")] == [0, 0, 1, 2, 2]
