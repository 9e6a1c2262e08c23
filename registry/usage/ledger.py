"""What a call tells the ledger, and the ledger's face toward the client. Writes nothing itself.

Order for one call: `open` before each try upstream, `close` when a try failed and another follows, `settle` once at
the end whatever happened. A call refused before any try is only settled.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, Protocol

from adapters.types import Usage

CallState = Literal["ok", "ok_estimated", "aborted", "truncated", "timeout", "error", "rejected"]
CostStatus = Literal["exact", "estimated", "unpriced"]
UsageSourceName = Literal["provider", "estimated", "none"]
Scope = Literal["own", "shared", "environment", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """USD by component; None is unknown. `total` is the sum of the known, and None unless everything used is priced."""

    total: Decimal | None = None
    status: CostStatus = "unpriced"
    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    reasoning: Decimal | None = None
    image: Decimal | None = None
    fee: Decimal | None = None
    price_id: Hashable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallIntent:
    """Who calls and what was asked; known before anything is sent."""

    request_id: str
    started_at_ms: int  # Unix milliseconds
    user_id: Hashable | None = None
    username: str = ""
    token_id: Hashable | None = None
    token_name: str = ""
    conversation_id: Hashable | None = None
    operation: str = "chat"
    dialect: str = ""
    streamed: bool = False
    requested: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TryIntent:
    """One try upstream, about to begin. `number` runs from 1."""

    number: int
    started_at_ms: int
    model_id: Hashable | None = None
    model_name: str = ""
    provider_id: Hashable | None = None
    provider_slug: str = ""
    credential_id: Hashable | None = None
    credential_scope: Scope = "none"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TryOutcome:
    """How a try ended. `usage` only where this try produced or was billed any."""

    number: int
    state: CallState
    error_code: str = ""
    upstream_status: int | None = None
    upstream_request_id: str = ""
    latency_ms: int | None = None
    first_token_ms: int | None = None
    usage: Usage | None = None
    cost: Cost | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnText:
    """What a conversation keeps of a call: the user's new message and the answer. Only for a call that names one."""

    conversation_id: Hashable
    user_text: str
    reply_text: str
    finish_reason: str = ""
    user_parts: tuple[dict[str, object], ...] = ()
    reply_parts: tuple[dict[str, object], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetShare:
    """A budget that pays for a call: through which holder's lease, in the window that began then (Unix seconds)."""

    budget_id: Hashable
    holder: str
    window_start: int


class Hold(Protocol):
    """What a call holds of somebody's limits or money until it is settled."""

    @property
    def shares(self) -> tuple[BudgetShare, ...]: ...

    def settle(self, usage: Usage | None, cost: Decimal | None) -> None:
        """Give back what was not used. `usage` None: nothing was sent, or nothing came of it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """How the call ended as a whole. `outcome` is the last try's, None when nothing was sent."""

    state: CallState
    ended_at_ms: int
    http_status: int | None = None
    error_code: str = ""
    finish_reason: str = ""
    upstream_model: str = ""
    usage: Usage = field(default_factory=Usage)
    usage_source: UsageSourceName = "none"
    cost: Cost = field(default_factory=Cost)
    latency_ms: int | None = None
    first_token_ms: int | None = None
    outcome: TryOutcome | None = None
    turn: TurnText | None = None
    budgets: tuple[BudgetShare, ...] = ()


class Ledger(Protocol):
    """Keeps what calls did. Each method returns when the line is durable against the death of this process."""

    def open(self, call: CallIntent, attempt: TryIntent) -> None: ...

    def close(self, call: CallIntent, outcome: TryOutcome) -> None: ...

    def settle(self, call: CallIntent, settlement: Settlement) -> None: ...


class NoLedger:
    """For scripts without a database: keeps nothing."""

    def open(self, call: CallIntent, attempt: TryIntent) -> None:
        return None

    def close(self, call: CallIntent, outcome: TryOutcome) -> None:
        return None

    def settle(self, call: CallIntent, settlement: Settlement) -> None:
        return None
