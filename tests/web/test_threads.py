"""Where turns hang in a conversation: placed by the page that asked, else one after the other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from registry.models import Conversation, LLMModel, Message
from registry.web.threads import nodes_of
from tests.web.conftest import signed_in
from tests.web.test_tokens_and_chat import settings_of

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
CALL = {"type": "tool_call", "id": "c1", "name": "add", "arguments": "{}"}
RESULT = {"type": "tool_result", "id": "c1", "name": "add", "content": "3"}


def say(conversation: Conversation, request_id: str, text: str) -> None:
    """A turn as the recorder writes it."""
    for role, content in (("user", text), ("assistant", f"re: {text}")):
        Message.objects.create(conversation=conversation, role=role, content=content, request_id=request_id)


def place(user: Any, conversation: Conversation, **fields: Any) -> Any:
    return signed_in(user).post(f"/playground/conversations/{conversation.pk}/place/", fields)


def shape(conversation: Conversation) -> dict[str, str | None]:
    conversation.refresh_from_db()
    return {node["id"]: node["parent"] for node in nodes_of(conversation)}


@pytest.fixture
def thread(alice: Any) -> Conversation:
    row = Conversation.objects.create(owner=alice)
    for number in (1, 2, 3):
        say(row, f"r{number}", f"question {number}")
    return row


def test_turns_that_nobody_placed_follow_one_another(thread: Conversation) -> None:
    assert shape(thread) == {"r1": None, "r2": "r1", "r3": "r2"}


def test_a_placed_turn_hangs_where_it_was_asked(alice: Any, thread: Conversation) -> None:
    assert place(alice, thread, request_id="r2", parent="", question="[]").json() == {"placed": 2}
    assert place(alice, thread, request_id="r3", parent="r1").json() == {"placed": 2}
    assert shape(thread) == {"r1": None, "r2": None, "r3": "r1"}
    export = signed_in(alice).get(f"/conversations/{thread.pk}/export/").json()
    assert "roots" not in export["params"] and len(export["messages"]) == 6
    assert place(alice, thread, request_id="r9", parent="r1").json() == {"placed": 0}


def test_images_calls_and_results_are_kept_with_their_turn(alice: Any, thread: Conversation) -> None:
    place(alice, thread, request_id="r1", parent="", question=json.dumps([IMAGE]), answer=json.dumps([CALL]))
    place(alice, thread, request_id="r2", parent="r1", question=json.dumps([RESULT]))
    first, second, _ = nodes_of(thread)
    assert (first["question"]["parts"], first["answer"]["parts"]) == ([IMAGE], [CALL])
    assert second["question"] == {"text": "", "parts": [RESULT]}


@pytest.mark.parametrize(
    "parts",
    [
        '{"type": 1}', "[1]", '[{"type": "html"}]', '[{"type": "image_url", "image_url": {"url": "https://evil.test/p.png"}}]',
        '[{"type": "image_url", "image_url": {"url": "data:image/svg+xml;base64,AAAA"}}]', '[{"type": "tool_call"}]',
        "x",
    ],
)  # fmt: skip
def test_what_a_page_would_have_to_load_is_not_kept(alice: Any, thread: Conversation, parts: str) -> None:
    assert place(alice, thread, request_id="r1", question=parts).status_code == 400


def test_settings_hold_tools_a_schema_and_documents(alice: Any, stub: LLMModel) -> None:
    client = signed_in(alice)
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    more = {"tools": json.dumps(tools), "schema": '{"type": "object"}', "top_p": "0.5"}
    documents = json.dumps([{"name": "a.md", "text": "</script><b>"}])
    made = client.post("/playground/conversations/", settings_of(stub, **more, documents=documents))
    row = Conversation.objects.get()
    assert row.params["tools"] == tools and row.params["top_p"] == 0.5
    page = client.get(made.json()["url"]).content.decode()
    assert "\\u003C/script" in page and "</script><b>" not in page
    for wrong in (
        {"tools": '{"a": 1}'},
        {"tools": "[1]"},
        {"schema": "[1]"},
        {"documents": '[{"name": "x"}]'},
        {"schema": "{"},
    ):
        assert client.post("/playground/conversations/", settings_of(stub, **wrong)).status_code == 400
