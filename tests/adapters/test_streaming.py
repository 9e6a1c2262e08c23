"""The byte-safe readers and the tool-call assembler."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.errors import UpstreamProtocolError
from adapters.streaming import NDJSONReader, SSEEvent, SSEReader, ToolCallAssembler
from adapters.types import ToolCallDelta, ToolCallStarted


def read_sse(pieces: list[bytes], **options: int) -> list[SSEEvent]:
    reader = SSEReader(**options)
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.close()


def one_by_one(body: bytes) -> list[bytes]:
    return [body[n : n + 1] for n in range(len(body))]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\n\r\ndata: b\r\n\n", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),  # Hugging Face TGI leaves the space out
        (b"data:  a\n\n", [b" a"]),  # and only one is taken off
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\n\n", [b""]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b": OPENROUTER PROCESSING\n\ndata: a\n\n", [None, b"a"]),
        (b": ping\ndata: a\n\n", [b"a"]),
        (b"id: 7\nretry: 10\ndata: a\n\n", [b"a"]),
        (b"data: a\n\ndata: b", [b"a", b"b"]),  # the end of the body dispatches the last one
        (b"\n\n\ndata: a\n\n", [None, b"a"]),
        ("data: \u2028\u2029\u0085\x0b\x0c\x1c\n\n".encode(), ["\u2028\u2029\u0085\x0b\x0c\x1c".encode()]),
        (b"", []),
    ],
)
def test_sse_framing_whole_and_byte_by_byte(body: bytes, expected: list[bytes | None]) -> None:
    assert [event.data for event in read_sse([body])] == expected
    assert [event.data for event in read_sse(one_by_one(body))] == expected


def test_sse_event_names() -> None:
    events = read_sse([b"event: error\ndata: {}\n\nevent:ping\ndata: {}\n\ndata: x\n\n"])
    assert [event.name for event in events] == [b"error", b"ping", b""]


line_ends = st.sampled_from(["\n", "\r\n", "\r"])
lines = st.one_of(
    st.just(""),
    st.text("ab: \u2028\x85\x0bü\U0001f600", max_size=12).map("data: ".__add__),
    st.sampled_from(["data:x", ": comment", "event: e", "data", "id: 1", "\u2028"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(lines, line_ends), max_size=12), st.data())
def test_any_split_gives_the_same_events_and_the_raw_bytes_are_the_stream(
    script: list[tuple[str, str]], data: st.DataObject
) -> None:
    body = "".join(line + end for line, end in script).encode()
    whole = read_sse([body])
    assert b"".join(event.raw for event in whole) == body
    assert read_sse(one_by_one(body)) == whole
    at = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=4)))
    pieces = [body[a:b] for a, b in zip([0, *at], [*at, len(body)], strict=True)]
    assert read_sse(pieces) == whole


def test_an_event_beyond_the_limit_is_a_protocol_error_and_what_came_before_is_not_lost() -> None:
    reader = SSEReader(limit=64)
    assert [event.data for event in reader.feed(b"data: a\n\ndata: " + b"x" * 100)] == [b"a"]
    with pytest.raises(UpstreamProtocolError, match="64 bytes"):
        reader.feed(b"more")
    with pytest.raises(UpstreamProtocolError):
        reader.close()


def test_a_finished_event_beyond_the_limit_is_refused_too() -> None:
    with pytest.raises(UpstreamProtocolError):
        SSEReader(limit=64).feed(b"data: " + b"x" * 100 + b"\n\n")


def test_a_large_event_in_small_pieces_takes_linear_time() -> None:
    reader = SSEReader()
    started = time.monotonic()
    reader.feed(b"data: ")
    for _ in range(3000):
        reader.feed(b"x" * 4096)
    assert len(reader.feed(b"\n\n")[0].data or b"") == 3000 * 4096
    # Rescanning from the start each time would copy and search 18 GB.
    assert time.monotonic() - started < 5


def test_ndjson_lines() -> None:
    body = b'{"a":1}\n\n{"b":"\xe2\x80\xa8"}\r\n {"c":3}'
    expected = [b'{"a":1}', b'{"b":"\xe2\x80\xa8"}', b'{"c":3}']
    for pieces in ([body], one_by_one(body)):
        reader = NDJSONReader()
        found = [line for piece in pieces for line in reader.feed(piece)]
        assert found + reader.close() == expected


def test_an_ndjson_line_beyond_the_limit_is_a_protocol_error() -> None:
    reader = NDJSONReader(limit=8)
    assert reader.feed(b"{}\n" + b"x" * 20) == [b"{}"]
    with pytest.raises(UpstreamProtocolError):
        reader.close()


# --- tool calls ---


def assemble(*chunks: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """(id, name, arguments) of the calls that the chunks' lists give."""
    assembler = ToolCallAssembler(choice=0, dialect="openai.chat")
    events = [event for chunk in chunks for event in assembler.add(chunk)] + assembler.finish()
    calls: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolCallStarted):
            assert event.index == len(calls), "indices run from 0 without gaps"
            calls[event.index] = [event.id, event.name, ""]
        elif isinstance(event, ToolCallDelta):
            calls[event.index][2] += event.arguments
    return [(call_id, name, arguments) for call_id, name, arguments in calls.values()]


def call(arguments: Any = None, **fields: Any) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": fields.pop("name")} if "name" in fields else {})
    return {"function": function, **fields}


def test_openai_deltas() -> None:
    assert assemble(
        [call("", index=0, id="c1", name="f")],
        [call('{"a"', index=0)],
        [call(":1}", index=0)],
        [call("", index=1, id="c2", name="g")],
        [call("{}", index=1)],
    ) == [("c1", "f", '{"a":1}'), ("c2", "g", "{}")]


def test_indices_from_one_are_renumbered() -> None:
    assert assemble([call("{", index=1, id="c", name="f")], [call("}", index=1)]) == [("c", "f", "{}")]


def test_an_empty_id_or_name_neither_overwrites_nor_opens() -> None:
    assert assemble(
        [call('{"a":', index=0, id="c", name="f")], [call("1", index=0, id="", name="")], [call("}", id="", name="")]
    ) == [("c", "f", '{"a":1}')]


def test_a_repeated_name_is_not_joined() -> None:
    assert assemble([call("{", index=0, id="c", name="f")], [call("}", index=0, id="c", name="f")]) == [
        ("c", "f", "{}")
    ]


def test_calls_without_index_are_told_apart_by_id() -> None:
    assert assemble([call("{}", id="a", name="f"), call("{}", id="b", name="f")]) == [
        ("a", "f", "{}"),
        ("b", "f", "{}"),
    ]


def test_whole_calls_without_index_and_id_are_told_apart_by_place_and_get_ids() -> None:
    (first, *_), (second, *_) = assemble([call({"x": 1}, name="f"), call({"x": 2}, name="f")])
    assert first.startswith("call_") and second.startswith("call_") and first != second


def test_whole_calls_that_all_claim_index_zero_are_told_apart_by_id() -> None:
    assert assemble([call("{}", index=0, id="a", name="f")], [call('{"b":1}', index=0, id="b", name="g")]) == [
        ("a", "f", "{}"),
        ("b", "g", '{"b":1}'),
    ]


def test_arguments_as_object_and_null() -> None:
    assert assemble([call(None, index=0, id="a", name="f")], [call({"x": [1]}, index=0)]) == [("a", "f", '{"x":[1]}')]


def test_no_arguments_at_all_become_an_empty_object() -> None:
    assert assemble([call("", index=0, id="a", name="f")]) == [("a", "f", "{}")]


def test_a_name_that_comes_late_holds_the_arguments_back() -> None:
    assert assemble([call('{"a":', index=0, id="c")], [call("1}", index=0, name="f")]) == [("c", "f", '{"a":1}')]


def test_a_call_without_any_name_is_none() -> None:
    assert assemble([{"index": 0, "id": "", "function": {"name": "", "arguments": ""}}]) == []


def test_an_integer_id_is_replaced() -> None:
    [(call_id, name, arguments)] = assemble([call({"q": 1}, id=0, name="f")])
    assert call_id.startswith("call_") and (name, arguments) == ("f", '{"q":1}')


def test_a_custom_tool_call_keeps_its_text() -> None:
    custom = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    assert assemble([custom]) == [("c", "sql", "select 1")]
