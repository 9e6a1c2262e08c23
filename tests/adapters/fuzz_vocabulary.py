"""The events that the fuzzer shuffles and damages: every kind that a vendor's documents or recordings show. Data only.

Each entry is one event's JSON value, written small so that a case stays short. Synthetic.
"""

from __future__ import annotations

from typing import Any, Final


def _chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]} | fields


def _call(**fields: Any) -> dict[str, Any]:
    return _chunk({"tool_calls": [fields]})


_OPENAI_USAGE: Final = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "total_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
    "cost": 0.001,
    "is_byok": True,
    "cost_details": {"upstream_inference_cost": "0.1"},
}

OPENAI_CHAT: Final[tuple[Any, ...]] = (
    _chunk({"role": "assistant", "content": ""}),
    _chunk({"content": "Grüße \u2028"}),
    _chunk({"content": "two"}, index=1),
    _chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"text": "a"}]}),
    _chunk({"reasoning_content": "hm", "reasoning": "hm", "reasoning_details": [{"type": "reasoning.text"}]}),
    _chunk({"refusal": "no"}),
    _chunk({"content": "a"}, logprobs={}),
    _call(index=0, id="c_1", type="function", function={"name": "f", "arguments": ""}),
    _call(index=0, function={"arguments": '{"a":'}),
    _call(index=0, id="", function={"name": "", "arguments": "1}"}),
    _call(index=1, id="c_2", function={"name": "g", "arguments": {"a": 1}}),
    _call(id=0, function={"name": "h", "arguments": None}),
    _call(index=2, id="c_3", type="custom", custom={"name": "k", "input": "free"}),
    _call(index=0, id="c_4", function={"name": "f", "arguments": "{}"}, extra_content={"google": {}}),
    _chunk({"function_call": {"name": "f", "arguments": "{}"}}),
    _chunk({}, "tool_calls"),
    _chunk({}, "stop"),
    _chunk({"content": "x"}, "eos", usage=_OPENAI_USAGE),
    _chunk({}, "length", index=1),
    _chunk({}, "error"),
    {"id": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
    {"id": "c1", "choices": [], "usage": _OPENAI_USAGE},
    {"id": "c1", "choices": [], "x_groq": {"usage": _OPENAI_USAGE}},
    {"error": {"message": "no", "code": 429, "metadata": {"raw": "x"}}, "choices": []},
    {"error": {"message": "no", "type": "invalid_request_error", "status_code": 400}},
)


def _item(kind: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": index, "item_id": f"i{index}"} | fields


_CALL: Final = {"type": "function_call", "id": "i1", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
_CUSTOM: Final = {"type": "custom_tool_call", "id": "i2", "call_id": "c2", "name": "k", "input": "free"}
_THOUGHT: Final = {"type": "reasoning", "id": "i3", "summary": [{"text": "hm"}], "encrypted_content": "e"}
_SAID: Final = {
    "type": "message",
    "id": "i0",
    "phase": "final",
    "content": [{"type": "output_text", "text": "Hello", "annotations": [{"url": "u"}], "logprobs": [{}]}],
}
_RESPONSES_USAGE: Final = {"input_tokens": 9, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 1}}
_RESPONSE: Final = {"id": "r1", "model": "m", "created_at": 1, "status": "completed", "usage": _RESPONSES_USAGE}

OPENAI_RESPONSES: Final[tuple[Any, ...]] = (
    {"type": "response.created", "response": {"id": "r1", "model": "m"}},
    {"type": "response.queued", "response": {"id": "r1"}},
    _item("output_item.added", item={"type": "message", "id": "i0", "content": []}),
    _item("output_text.delta", content_index=0, delta="Hel", logprobs=[{}]),
    _item("output_text.delta", content_index=0, delta="lo"),
    _item("output_text.done", content_index=0, text="Hello"),
    _item("output_item.done", item=_SAID),
    _item("refusal.delta", content_index=1, delta="n"),
    _item("refusal.done", content_index=1, refusal="no"),
    _item("output_item.added", 1, item=_CALL | {"arguments": ""}),
    _item("function_call_arguments.delta", 1, delta='{"a"'),
    _item("function_call_arguments.done", 1, arguments='{"a":1}'),
    _item("output_item.done", 1, item=_CALL),
    _item("output_item.added", 2, item=_CUSTOM | {"input": ""}),
    _item("custom_tool_call_input.delta", 2, delta="fr"),
    _item("custom_tool_call_input.done", 2, input="free"),
    _item("output_item.done", 2, item=_CUSTOM),
    _item("output_item.added", 3, item=_THOUGHT | {"summary": []}),
    _item("reasoning_summary_text.delta", 3, summary_index=0, delta="h"),
    _item("reasoning_summary_text.done", 3, summary_index=0, text="hm"),
    _item("reasoning_text.delta", 3, content_index=0, delta="h"),
    _item("reasoning_text.done", 3, content_index=0, text="hm"),
    _item("output_item.done", 3, item=_THOUGHT),
    _item("output_item.done", 4, item={"type": "web_search_call", "id": "i4", "status": "completed"}),
    {"type": "response.completed", "response": _RESPONSE | {"output": [_SAID, _CALL]}},
    {"type": "response.incomplete", "response": _RESPONSE | {"incomplete_details": {"reason": "max_output_tokens"}}},
    {"type": "response.failed", "response": _RESPONSE | {"error": {"code": "server_error", "message": "no"}}},
    {"type": "error", "code": "insufficient_quota", "message": "no"},
    {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}},
)


def _opened(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind} | fields}


_ANTHROPIC_USAGE: Final = {"input_tokens": 3, "cache_read_input_tokens": 9, "output_tokens": 1}

ANTHROPIC: Final[tuple[Any, ...]] = (
    {"type": "message_start", "message": {"id": "m1", "model": "m", "usage": _ANTHROPIC_USAGE}},
    {"type": "ping"},
    _opened(0, type="text", text=""),
    _delta(0, "text_delta", text="Grüße \u2028"),
    _delta(0, "citations_delta", citation={"cited_text": "x"}),
    {"type": "content_block_stop", "index": 0},
    _opened(1, type="thinking", thinking="", signature=""),
    _delta(1, "thinking_delta", thinking="hm"),
    _delta(1, "signature_delta", signature="c2ln"),
    {"type": "content_block_stop", "index": 1},
    _opened(2, type="redacted_thinking", data="ZGF0YQ=="),
    _opened(3, type="tool_use", id="t1", name="f", input={}),
    _delta(3, "input_json_delta", partial_json=""),
    _delta(3, "input_json_delta", partial_json='{"a":'),
    {"type": "content_block_stop", "index": 3},
    _opened(4, type="server_tool_use", id="s1", name="web_search", input={}),
    _delta(4, "input_json_delta", partial_json='{"q":1}'),
    {"type": "content_block_stop", "index": 4},
    _opened(5, type="web_search_tool_result", tool_use_id="s1", content=[{"type": "x"}]),
    _opened(6, type="compaction", content="a"),
    _delta(6, "compaction_delta", content="b"),
    {"type": "content_block_stop", "index": 6},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
    {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_details": {"category": "x"}}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "context_management": {"applied_edits": []}},
    {"type": "message_stop"},
    {"type": "error", "error": {"type": "overloaded_error", "message": "no"}},
)


def _candidate(*parts: Any, finish: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": index}
    return {"candidates": [candidate | ({"finishReason": finish} if finish else {}) | fields], "modelVersion": "m"}


_GEMINI_USAGE: Final = {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 2}

GEMINI: Final[tuple[Any, ...]] = (
    _candidate({"text": "Grüße \u2028"}),
    _candidate({"text": "hm", "thought": True}),
    _candidate({"text": "", "thoughtSignature": "c2ln"}),
    _candidate({"functionCall": {"name": "f", "args": {"a": 1}, "id": "c1"}, "thoughtSignature": "c2ln"}),
    _candidate({"functionCall": {"name": "g"}}, {"functionCall": {"name": "h", "args": {}}}),
    _candidate({"functionCall": {"name": "f", "willContinue": True}}),
    _candidate({"functionCall": {"partialArgs": [{"jsonPath": "$.a[0].b", "stringValue": "x"}], "willContinue": True}}),
    _candidate({"functionCall": {"partialArgs": [{"jsonPath": "$.a[0].b", "stringValue": "y"}]}}),
    _candidate({"functionCall": {"partialArgs": [{"jsonPath": "$['k']", "numberValue": 1}], "willContinue": True}}),
    _candidate({"functionCall": {}}),
    _candidate({"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}),
    _candidate({"fileData": {"mimeType": "application/pdf", "fileUri": "https://x.test/f"}}),
    _candidate({"executableCode": {"language": "PYTHON", "code": "1"}}, {"codeExecutionResult": {"output": "1"}}),
    _candidate({"text": "two"}, index=1),
    _candidate(finish="STOP", index=1),
    _candidate(finish="STOP"),
    _candidate({"text": "x"}, finish="MAX_TOKENS", groundingMetadata={"webSearchQueries": ["q"]}),
    _candidate(finish="UNEXPECTED_TOOL_CALL", finishMessage="no"),
    _candidate({"text": "x"}, logprobsResult={"chosenCandidates": [{"token": "x", "logProbability": -1}]}),
    {"candidates": [{"content": {}, "finishReason": "SAFETY", "safetyRatings": []}]},
    {"usageMetadata": _GEMINI_USAGE, "responseId": "r1"},
    {"usageMetadata": {"promptTokenCount": 12, "promptTokensDetails": [{"modality": "IMAGE", "tokenCount": 3}]}},
    {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": _GEMINI_USAGE},
    {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "no", "details": [{"retryDelay": "1s"}]}},
)


def _line(**message: Any) -> dict[str, Any]:
    return {"model": "m", "created_at": "2026-11-20T10:00:00.123456789Z", "message": message, "done": False}


OLLAMA: Final[tuple[Any, ...]] = (
    _line(role="assistant", content="Grüße \u2028"),
    _line(role="assistant", content="", thinking="hm"),
    _line(content="", tool_calls=[{"function": {"name": "f", "arguments": {"a": 1}}}]),
    _line(content="", tool_calls=[{"id": "c1", "function": {"index": 0, "name": "g", "arguments": "{}"}}]),
    _line(content="x") | {"logprobs": [{"token": "x", "logprob": -1}]},
    _line(content="") | {"done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 4},
    _line(content="") | {"done": True, "done_reason": "length", "total_duration": 12345678901},
    {"done": True},
    {"error": "an error was encountered while running the model"},
)

# What takes the place of a value: each breaks some assumption about types, ranges or text.
ODD_VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    1,
    -1,
    2**63,
    1.5,
    1e308,
    "",
    "x",
    "\u2028\u0085",
    "\ud800",
    "[DONE]",
    "data: {}",
    [],
    [None],
    [[]],
    ["x"],
    [{}],
    {},
    {"a": None},
    {"error": "x"},
    {"text": []},
)
