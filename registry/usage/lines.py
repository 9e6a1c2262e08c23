"""The journal's line: one JSON object with a version. Knows its shape both ways; opens no file, asks no database.

Every line names the whole call, so that a line that was lost or spoiled takes no other with it. A key is in none of
what the ledger is told; text of messages only in `turn`, which the user asked the hub to keep.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal

import orjson

from adapters.types import Usage
from registry.usage.ledger import CallIntent, Cost, Settlement, TryIntent, TryOutcome

VERSION = 1
LineKind = Literal["open", "close", "settle"]
_KINDS = frozenset({"open", "close", "settle"})
_USAGE_FIELDS = tuple(name.name for name in dataclasses.fields(Usage) if name.name != "raw")
_COST_FIELDS = tuple(name.name for name in dataclasses.fields(Cost))
_usage_values, _cost_values = attrgetter(*_USAGE_FIELDS), attrgetter(*_COST_FIELDS)
_LARGEST_INTEGER = 2**63 - 1


class CorruptLine(ValueError):
    """Bytes that are no line of a journal."""


class UnknownVersion(ValueError):
    """A line that another release of the hub wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A decoded line: plain JSON values, unchecked beyond its frame."""

    kind: LineKind
    request_id: str
    call: Mapping[str, Any]
    attempt: Mapping[str, Any] = field(default_factory=dict)  # of `open`
    outcome: Mapping[str, Any] = field(default_factory=dict)  # of `close`, and of `settle` where something was sent
    settlement: Mapping[str, Any] = field(default_factory=dict)  # of `settle`

    @property
    def moment_ms(self) -> int:
        """When the call settled or its try began, in Unix milliseconds; else when the call did."""
        for moment in (self.settlement.get("ended_at_ms"), self.attempt.get("started_at_ms")):
            if isinstance(moment, int):
                return moment
        started_at_ms: int = self.call["started_at_ms"]
        return started_at_ms


def encode_open(call: CallIntent, attempt: TryIntent) -> bytes:
    return _encode({"v": VERSION, "k": "open", "call": call, "try": attempt})


def encode_close(call: CallIntent, outcome: TryOutcome) -> bytes:
    return _encode({"v": VERSION, "k": "close", "call": call, "outcome": _outcome(outcome)})


def encode_settle(call: CallIntent, settlement: Settlement) -> bytes:
    body: dict[str, Any] = {
        "state": settlement.state,
        "ended_at_ms": settlement.ended_at_ms,
        "http_status": settlement.http_status,
        "error_code": settlement.error_code,
        "finish_reason": settlement.finish_reason,
        "upstream_model": settlement.upstream_model,
        "usage": _usage(settlement.usage),
        "usage_source": settlement.usage_source,
        "cost": _cost(settlement.cost),
        "latency_ms": settlement.latency_ms,
        "first_token_ms": settlement.first_token_ms,
        "turn": settlement.turn,
    }
    if settlement.budgets:
        body["budgets"] = settlement.budgets
    outcome = None if settlement.outcome is None else _outcome(settlement.outcome, settlement)
    return _encode({"v": VERSION, "k": "settle", "call": call, "end": body, "outcome": outcome})


def plain_json(value: Any) -> bytes:
    """A part of a line: JSON as `encode_open` and its like would write it."""
    return _encode(value)[:-1]


def usage_fields(usage: Usage) -> dict[str, Any] | None:
    return _usage(usage)


def cost_fields(cost: Cost) -> dict[str, Any] | None:
    return _cost(cost)


def decode(raw: bytes) -> Line:
    """Raises CorruptLine or UnknownVersion. `raw` is without its line end."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise CorruptLine(f"not JSON: {error.msg}") from None
    if not isinstance(value, dict) or not isinstance(value.get("v"), int):
        raise CorruptLine("no JSON object with a version")
    if value["v"] != VERSION:
        raise UnknownVersion(f"version {value['v']}, this release reads {VERSION}")
    call = value.get("call")
    if value.get("k") not in _KINDS or not isinstance(call, dict):
        raise CorruptLine("no kind that is known, or no call")
    request_id = call.get("request_id")
    if not isinstance(request_id, str) or not 0 < len(request_id) <= 64 or "\x00" in request_id:
        raise CorruptLine("a call without a usable id")
    if not isinstance(call.get("started_at_ms"), int):
        raise CorruptLine("a call without its start")
    settlement, outcome = _mapping(value.get("end")), _mapping(value.get("outcome"))
    if settlement and outcome:
        outcome = {"usage": settlement.get("usage"), "cost": settlement.get("cost"), **outcome}
    return Line(
        kind=value["k"],
        request_id=request_id,
        call=call,
        attempt=_mapping(value.get("try")),
        outcome=outcome,
        settlement=settlement,
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    """What was reported, without the provider's raw object."""
    if usage is None:
        return None
    return dict(zip(_USAGE_FIELDS, _usage_values(usage), strict=True))


def _cost(cost: Cost | None) -> dict[str, Any] | None:
    if cost is None:
        return None
    return {name: str(value) for name, value in zip(_COST_FIELDS, _cost_values(cost), strict=True) if value is not None}


def _outcome(outcome: TryOutcome, of: Settlement | None = None) -> dict[str, Any]:
    """How a try ended. What the last try shares with its call is written once, by the call."""
    said: dict[str, Any] = {
        "number": outcome.number,
        "state": outcome.state,
        "error_code": outcome.error_code,
        "upstream_status": outcome.upstream_status,
        "upstream_request_id": outcome.upstream_request_id,
        "latency_ms": outcome.latency_ms,
        "first_token_ms": outcome.first_token_ms,
    }
    if of is None or outcome.usage is not of.usage:
        said["usage"] = _usage(outcome.usage)
    if of is None or outcome.cost is not of.cost:
        said["cost"] = _cost(outcome.cost)
    return said


def _encode(value: Any) -> bytes:
    try:
        return orjson.dumps(value, default=_default, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        # A lone surrogate, or a number beyond 64 bits: what a client or a provider sent must not cost us the line.
        return orjson.dumps(_plain(value), option=orjson.OPT_APPEND_NEWLINE)


def _default(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, bytes | bytearray):
        return f"<{len(value)} bytes>"
    return str(value)  # Decimal, and ids of whatever kind


def _plain(value: Any) -> Any:
    """The same in values that any JSON writer takes."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return max(min(value, _LARGEST_INTEGER), -_LARGEST_INTEGER)
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if dataclasses.is_dataclass(value):
        return {name.name: _plain(getattr(value, name.name)) for name in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _plain(_default(value))
