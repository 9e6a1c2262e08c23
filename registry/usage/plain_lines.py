"""The journal's lines of a call that went as most do: one try, an answer, counted by its provider. Writes no file.

The same lines as `registry.usage.lines` writes, with all that is known before the call encoded before it.
"""

from __future__ import annotations

from decimal import Decimal

import orjson

from registry.usage import lines
from registry.usage.ledger import CallIntent, Cost, TryIntent


class PlainLines:
    """For calls that differ in their id, their times and what was counted. Ids, names and texts are JSON already."""

    __slots__ = ("_call", "_settle", "_try")

    def __init__(self, call: CallIntent, attempt: TryIntent) -> None:
        self._call = _after_the_first_two(lines.plain_json(call), "request_id", "started_at_ms")
        self._try = _after_the_first_two(lines.plain_json(attempt), "number", "started_at_ms")

    def open(self, request_id: str, at_ms: int) -> bytes:
        return (
            b'{"v":%d,"k":"open","call":{"request_id":"%b","started_at_ms":%d,%b,'
            b'"try":{"number":1,"started_at_ms":%d,%b}\n'
            % (lines.VERSION, request_id.encode(), at_ms, self._call, at_ms, self._try)
        )

    def settle(
        self,
        request_id: str,
        at_ms: int,
        *,
        ended_at_ms: int,
        finish_reason: str,
        upstream_model: str,
        upstream_status: int,
        upstream_request_id: str,
        usage: bytes,
        cost: bytes,
        latency_ms: int,
        first_token_ms: int | None,
        budgets: bytes,
    ) -> bytes:
        """`usage` and `cost` as `encode_counts` and `encode_cost` write them; `budgets` a JSON list, empty for none."""
        first = b"null" if first_token_ms is None else b"%d" % first_token_ms
        shares = b',"budgets":' + budgets if budgets else b""
        return (
            b'{"v":%d,"k":"settle","call":{"request_id":"%b","started_at_ms":%d,%b,'
            b'"end":{"state":"ok","ended_at_ms":%d,"http_status":200,"error_code":"","finish_reason":%b,'
            b'"upstream_model":%b,"usage":%b,"usage_source":"provider","cost":%b,"latency_ms":%d,"first_token_ms":%b,'
            b'"turn":null%b},"outcome":{"number":1,"state":"ok","error_code":"","upstream_status":%d,'
            b'"upstream_request_id":%b,"latency_ms":%d,"first_token_ms":%b}}\n'
        ) % (
            lines.VERSION,
            request_id.encode(),
            at_ms,
            self._call,
            ended_at_ms,
            lines.plain_json(finish_reason),
            lines.plain_json(upstream_model),
            usage,
            cost,
            latency_ms,
            first,
            shares,
            upstream_status,
            lines.plain_json(upstream_request_id[:200]),
            latency_ms,
            first,
        )


def encode_counts(sent: int, written: int) -> bytes:
    return b'{"input_tokens":%d,"output_tokens":%d}' % (sent, written)


def encode_cost(cost: Cost) -> bytes:
    return lines.plain_json(lines.cost_fields(cost))


def encode_plain_cost(total: Decimal, sent: Decimal, written: Decimal, price_id: bytes) -> bytes:
    """Of exact amounts for input and output alone; `price_id` as JSON."""
    return (
        f'{{"total":"{total}","status":"exact","input":"{sent}","output":"{written}","price_id":'.encode()
        + price_id
        + b"}"
    )


def _after_the_first_two(encoded: bytes, first: str, second: str) -> bytes:
    """An object's JSON without its two first fields and its opening brace: `... }`."""
    fields = orjson.loads(encoded)
    del fields[first], fields[second]
    return orjson.dumps(fields)[1:]
