"""What Gemini and the Responses API say goes back to them as they said it, whatever the answer is made of."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.types import ChatRequest, Message
from tests.adapters import gemini_values, responses_values
from tests.adapters.gemini_values import BUDGET
from tests.adapters.replay import decode, finished

names = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
# Half a surrogate pair has no form in JSON; models do not get it past their own servers.
texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40)
objects = st.dictionaries(
    names, st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts, st.lists, max_leaves=5)
)
signatures = st.fixed_dictionaries({}, optional={"thoughtSignature": names})


def with_signature(part: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda wire, signature: wire | signature, part, signatures)


gemini_parts = st.lists(
    st.one_of(
        with_signature(st.fixed_dictionaries({"text": texts})),
        st.fixed_dictionaries({"text": texts, "thought": st.just(True), "thoughtSignature": names}),
        with_signature(
            st.fixed_dictionaries(
                {"functionCall": st.fixed_dictionaries({"name": names, "args": objects, "id": names})}
            )
        ),
        st.fixed_dictionaries({"executableCode": st.fixed_dictionaries({"code": texts})}),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(gemini_parts)
def test_geminis_parts_go_back_each_with_its_own_signature(parts: list[dict[str, Any]]) -> None:
    answer = gemini_values.read(gemini_values.answer(*parts))
    history = (*gemini_values.HELLO, Message(role="assistant", parts=answer.parts))
    assert gemini_values.turns(*history, model=BUDGET)[1] == {"role": "model", "parts": parts}
    # The stream that says the same ends the same.
    body = gemini_values.sse(gemini_values.answer(*parts))
    events, error = decode(gemini_values.CODEC.stream_decoder(gemini_values.target_for()), [body])
    assert error is None and finished(events).reason == answer.finish_reason


@st.composite
def response_items(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Reasoning only before what it led to, messages before calls: as the API writes them."""
    items: list[dict[str, Any]] = []

    def number() -> str:
        return str(len(items))

    def add(item: dict[str, Any]) -> None:
        if draw(st.booleans()):
            items.append({"type": "reasoning", "id": "rs_" + number(), "summary": [], "encrypted_content": draw(names)})
        items.append(item)

    for _ in range(draw(st.integers(0, 3))):
        pieces = [{"type": "output_text", "text": draw(texts)} for _ in range(draw(st.integers(1, 2)))]
        phase = draw(st.sampled_from([{}, {"phase": "commentary"}, {"phase": "final_answer"}]))
        add({"type": "message", "role": "assistant", "content": pieces, "id": "msg_" + number()} | phase)
    for _ in range(draw(st.integers(0, 3))):
        arguments = json.dumps(draw(objects))
        call = {"type": "function_call", "call_id": "call_" + number(), "name": draw(names), "arguments": arguments}
        add(call | {"id": "fc_" + number()})
    return items


@settings(max_examples=40, deadline=None)
@given(response_items())
def test_response_items_go_back_with_their_ids_in_their_order(items: list[dict[str, Any]]) -> None:
    answer = responses_values.read(*items)
    message = Message(role="assistant", parts=answer.parts)
    sent = responses_values.body_of(ChatRequest(messages=(message,)))["input"]
    assert sent == (items or [{"role": "assistant", "content": ""}])
