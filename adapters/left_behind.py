"""Names what a request carries that only another vendor understands: a codec leaves it out, and the caller is told.

What a vendor wrote itself, such as signatures, goes back to it alone as a matter of course and is not named; neither
is the dialect's version, which every client of Anthropic's sends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from adapters.types import ChatRequest, Dialect, ReasoningPart, RefusalPart, ToolCall

__all__ = ["warn_left_behind"]

# The names under which each dialect's codec finds what is its own in `provider_metadata`.
_READS: Final[Mapping[Dialect, frozenset[str]]] = {
    "openai.chat": frozenset({"openai.chat"}),
    "openai.responses": frozenset({"openai.responses"}),
    "anthropic.messages": frozenset({"anthropic"}),
    "gemini.generate_content": frozenset({"gemini"}),
}
_NOT_NAMED: Final = frozenset({"annotations", "audio", "item", "part", "thought_signature", "version"})


def warn_left_behind(request: ChatRequest, dialect: Dialect) -> tuple[str, ...]:
    """One sentence with the fields that `dialect` has no place for; nothing where all of them are understood."""
    if dialect == "stub":
        return ()
    reads = _READS.get(dialect, frozenset())
    found: dict[str, str] = {}  # field -> whose
    for metadata in _hints(request):
        understood = {name for vendor in reads for name in _fields(metadata.get(vendor))}
        for vendor in metadata.keys() - reads:
            for name in _fields(metadata[vendor]):
                if name not in understood:
                    found.setdefault(name, vendor)
    if not found:
        return ()
    named = ", ".join(f"{name} ({vendor})" for name, vendor in sorted(found.items()))
    return (f"left out, the provider has no place for them: {named}",)


def _hints(request: ChatRequest) -> Iterator[Mapping[str, Any]]:
    if request.provider_metadata:
        yield request.provider_metadata
    for tool in request.tools:
        if tool.provider_metadata:
            yield tool.provider_metadata
    for message in request.messages:
        if message.provider_metadata:
            yield message.provider_metadata
        for part in message.parts:
            if not isinstance(part, ReasoningPart | ToolCall | RefusalPart) and part.provider_metadata:
                yield part.provider_metadata


def _fields(own: Any) -> list[str]:
    return [name for name in own if name not in _NOT_NAMED] if isinstance(own, Mapping) else []
