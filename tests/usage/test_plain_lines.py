"""The short way's journal lines say what the long way's do."""

from __future__ import annotations

import uuid
from decimal import Decimal

import pytest

from adapters.types import Usage
from registry.usage import lines
from registry.usage.ledger import BudgetShare, CallIntent, Cost, Settlement, TryIntent, TryOutcome
from registry.usage.plain_lines import PlainLines, encode_cost, encode_counts, encode_plain_cost

CALL = CallIntent(
    request_id="req_1",
    started_at_ms=1_700_000_000_123,
    user_id=uuid.UUID(int=1),
    username='Zoë "the" {user}',
    token_id=uuid.UUID(int=2),
    token_name="a % of \\ it",
    dialect="openai.chat",
    streamed=True,
    requested="a model, named %d",
)
TRY = TryIntent(
    number=1,
    started_at_ms=CALL.started_at_ms,
    model_id=uuid.UUID(int=3),
    model_name="model",
    provider_id=uuid.UUID(int=4),
    provider_slug="slug",
    credential_id=uuid.UUID(int=5),
    credential_scope="shared",
    reason="named 'model'",
)
SHARE = BudgetShare(budget_id=uuid.UUID(int=6), holder="h-1", window_start=9)


def test_the_first_line_is_the_same() -> None:
    short = PlainLines(CALL, TRY).open(CALL.request_id, CALL.started_at_ms)
    assert short.endswith(b"}\n") and short.count(b"\n") == 1
    assert lines.decode(short[:-1]) == lines.decode(lines.encode_open(CALL, TRY)[:-1])


@pytest.mark.parametrize("budgets", [(), (SHARE,), (SHARE, SHARE)], ids=["no budget", "one", "two"])
@pytest.mark.parametrize("plain", [True, False], ids=["plain", "with details"])
def test_the_last_line_is_the_same(budgets: tuple[BudgetShare, ...], plain: bool) -> None:
    price = uuid.UUID(int=7)
    sent, written = Decimal("0.000000001"), Decimal("0.000250000")
    usage = (
        Usage(input_tokens=4, output_tokens=5) if plain else Usage(input_tokens=4, output_tokens=5, reasoning_tokens=2)
    )
    cost = Cost(total=sent + written, status="exact", input=sent, output=written, price_id=price)
    outcome = TryOutcome(
        number=1,
        state="ok",
        upstream_status=200,
        upstream_request_id="up 'é\\",
        latency_ms=12,
        first_token_ms=3,
        usage=usage,
        cost=cost,
    )
    settlement = Settlement(
        state="ok",
        ended_at_ms=1_700_000_000_456,
        http_status=200,
        finish_reason="stop",
        upstream_model='served "as" \U0001f600',
        usage=usage,
        usage_source="provider",
        cost=cost,
        latency_ms=12,
        first_token_ms=3,
        outcome=outcome,
        budgets=budgets,
    )
    short = PlainLines(CALL, TRY).settle(
        CALL.request_id,
        CALL.started_at_ms,
        ended_at_ms=settlement.ended_at_ms,
        finish_reason="stop",
        upstream_model=settlement.upstream_model,
        upstream_status=200,
        upstream_request_id=outcome.upstream_request_id,
        usage=encode_counts(4, 5) if plain else lines.plain_json(lines.usage_fields(usage)),
        cost=encode_plain_cost(sent + written, sent, written, lines.plain_json(price)) if plain else encode_cost(cost),
        latency_ms=12,
        first_token_ms=3,
        budgets=lines.plain_json(budgets) if budgets else b"",
    )
    assert short.endswith(b"}\n") and short.count(b"\n") == 1
    found, wanted = lines.decode(short[:-1]), lines.decode(lines.encode_settle(CALL, settlement)[:-1])
    assert (found.kind, found.call) == (wanted.kind, wanted.call)
    assert _said(found.settlement) == _said(wanted.settlement)
    assert _said(found.outcome) == _said(wanted.outcome)


def _said(part: object) -> object:
    """Without what is null in it: a count that is left out and one that is null mean the same."""
    if isinstance(part, dict):
        return {name: _said(value) for name, value in part.items() if value is not None}
    return part
