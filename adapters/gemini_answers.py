"""What Gemini's answers say: whole bodies, finish reasons, usage, log probabilities. Builds no request.

The three empty answers on record are all valid: a candidate without parts (the thinking ate the budget), with an empty
content (safety), and without any content (Model Armor).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from adapters.errors import LLMError, UpstreamProtocolError
from adapters.gemini_contents import read_part, vendor_metadata
from adapters.gemini_errors import error_in_body
from adapters.openai_usage import read_count
from adapters.types import ChatResponse, Choice, FinishReason, Part, Target, ToolCall, Usage

__all__ = [
    "block_reason",
    "broken_finish",
    "candidate_rest",
    "finish_reason",
    "parts_of",
    "raw_finish",
    "read_logprobs",
    "read_response",
    "read_usage",
]

_FINISH: Final[Mapping[str, FinishReason]] = {
    "STOP": "stop",
    "FINISH_REASON_UNSPECIFIED": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    **dict.fromkeys(
        (
            *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
            *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
        ),
        "content_filter",
    ),
}
# The model wrote something that can't be used; a second try may do. Its calls must not run. The others that we don't
# know (LANGUAGE, OTHER, NO_IMAGE, ...) end an answer as "other".
_BROKEN: Final = frozenset(
    (
        *("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"),
        *("MISSING_THOUGHT_SIGNATURE", "ESCALATION"),
    )
)
_TRY_AGAIN: Final = frozenset({"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL"})
# Vertex writes the enum's number where `enum-encoding=int` was asked for.
_NUMBERS: Final[Mapping[int, str]] = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
_KNOWN_FIELDS: Final = frozenset({"content", "finishReason", "index", "logprobsResult", "avgLogprobs", "tokenCount"})


def raw_finish(candidate: Mapping[str, Any]) -> str | None:
    raw = candidate.get("finishReason")
    if isinstance(raw, int) and not isinstance(raw, bool):
        return _NUMBERS.get(raw, "OTHER") if raw else None
    return raw if isinstance(raw, str) and raw else None


def finish_reason(raw: str | None, *, has_tool_calls: bool) -> FinishReason:
    """The unified reason; Gemini says STOP after tool calls too, so calls that are there decide."""
    reason: FinishReason = _FINISH.get(raw, "other") if raw else "stop"
    return "tool_calls" if reason == "stop" and has_tool_calls else reason


def broken_finish(raw: str | None, target: Target) -> LLMError | None:
    """The error that a finish reason stands for; None for one that ends an answer."""
    if raw not in _BROKEN:
        return None
    name = target.provider or target.kind
    return UpstreamProtocolError(
        f"{name} could not use what its model wrote ({raw})",
        provider=target.provider,
        model=target.model,
        upstream_code=raw,
        retryable=raw in _TRY_AGAIN,
    )


def block_reason(body: Mapping[str, Any]) -> str | None:
    """Why the prompt itself was refused; None when it was not."""
    feedback = body.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    if isinstance(reason, int) and reason:
        return str(reason)
    return reason if isinstance(reason, str) and reason else None


def read_response(body: Any, target: Target) -> ChatResponse:
    """Read a whole body; raises the error that it reports, or UpstreamProtocolError when it holds no answer."""
    error = error_in_body(body, target)
    if error is not None:
        raise error
    candidates = body.get("candidates") if isinstance(body, dict) else None
    blocked = block_reason(body) if isinstance(body, dict) else None
    if not isinstance(candidates, list) or not candidates:
        if blocked is None:
            raise UpstreamProtocolError(
                "the provider answered without any candidate", provider=target.provider, model=target.model
            )
        choices: tuple[Choice, ...] = (Choice(finish_reason="content_filter", raw_finish_reason=blocked),)
    else:
        choices = tuple(_read_choice(item, n, target) for n, item in enumerate(candidates) if isinstance(item, dict))
    usage = body.get("usageMetadata")
    feedback = body.get("promptFeedback") or None
    return ChatResponse(
        id=_text(body.get("responseId")),
        model=_text(body.get("modelVersion")) or target.model,
        choices=choices,
        usage=read_usage(usage) if isinstance(usage, dict) else Usage(),
        provider_metadata=vendor_metadata(promptFeedback=feedback, **candidate_rest(_first(candidates))),
    )


def _first(candidates: Any) -> Any:
    return candidates[0] if isinstance(candidates, list) and candidates else None


def _read_choice(candidate: Mapping[str, Any], position: int, target: Target) -> Choice:
    raw = raw_finish(candidate)
    broken = broken_finish(raw, target)
    if broken is not None:
        raise broken
    parts = tuple(part for wire in parts_of(candidate) if (part := read_part(wire)) is not None)
    index = candidate.get("index")
    reason = finish_reason(raw, has_tool_calls=any(isinstance(part, ToolCall) for part in parts))
    return Choice(
        index=index if isinstance(index, int) else position,
        # A call whose answer was cut by a filter may be half a call; it must not run.
        parts=_without_calls(parts) if reason == "content_filter" else parts,
        finish_reason=reason,
        raw_finish_reason=raw,
        logprobs=read_logprobs(candidate.get("logprobsResult")),
    )


def _without_calls(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple(part for part in parts if not isinstance(part, ToolCall))


def parts_of(candidate: Any) -> list[Mapping[str, Any]]:
    content = candidate.get("content") if isinstance(candidate, dict) else None
    parts = content.get("parts") if isinstance(content, dict) else None
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def candidate_rest(candidate: Any) -> dict[str, Any]:
    """What a candidate says beside its answer: grounding, citations, safety ratings, the finish in words."""
    if not isinstance(candidate, dict):
        return {}
    return {name: value for name, value in candidate.items() if name not in _KNOWN_FIELDS and value}


def read_usage(raw: Mapping[str, Any]) -> Usage:
    """Thoughts are left out of `candidatesTokenCount`, tool pages out of `promptTokenCount`; ours count both in."""
    prompt = _sum(raw, "promptTokenCount", "toolUsePromptTokenCount")
    return Usage(
        input_tokens=prompt,
        output_tokens=_sum(raw, "candidatesTokenCount", "thoughtsTokenCount"),
        cache_read_tokens=read_count(raw.get("cachedContentTokenCount")),
        reasoning_tokens=read_count(raw.get("thoughtsTokenCount")),
        audio_input_tokens=_of_modality(raw.get("promptTokensDetails"), "AUDIO"),
        audio_output_tokens=_of_modality(raw.get("candidatesTokensDetails"), "AUDIO"),
        image_input_tokens=_of_modality(raw.get("promptTokensDetails"), "IMAGE"),
        image_output_tokens=_of_modality(raw.get("candidatesTokensDetails"), "IMAGE"),
        raw=raw,
    )


def _sum(raw: Mapping[str, Any], *names: str) -> int | None:
    counts = [count for name in names if (count := read_count(raw.get(name))) is not None]
    return sum(counts) if counts else None


def _of_modality(details: Any, modality: str) -> int | None:
    rows = [row for row in details if isinstance(row, dict)] if isinstance(details, list) else []
    counts = [read_count(row.get("tokenCount")) for row in rows if row.get("modality") == modality]
    return next((count for count in counts if count is not None), None)


def read_logprobs(result: Any) -> dict[str, Any] | None:
    """`logprobsResult` in OpenAI's shape; None when there is none."""
    chosen = result.get("chosenCandidates") if isinstance(result, dict) else None
    if not isinstance(chosen, list) or not chosen:
        return None
    tops = result.get("topCandidates")
    tops = tops if isinstance(tops, list) else []
    content = []
    for n, token in enumerate(chosen):
        row = tops[n].get("candidates") if n < len(tops) and isinstance(tops[n], dict) else None
        others = [_token(item) for item in row if isinstance(item, dict)] if isinstance(row, list) else []
        if isinstance(token, dict):
            content.append(_token(token) | {"top_logprobs": others})
    return {"content": content}


def _token(token: Mapping[str, Any]) -> dict[str, Any]:
    text = str(token.get("token") or "")
    return {"token": text, "logprob": token.get("logProbability"), "bytes": list(text.encode("utf-8", "replace"))}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
