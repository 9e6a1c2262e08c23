"""The performance lab: measures one model by real calls within a ceiling of cost, and keeps the answers with evidence.

Every call goes through `DynamicLLMClient`, so it is in the usage like any other. Answers of people are not replaced.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from django.utils import timezone

from adapters import Adapter, EgressPolicy
from adapters.create import shared_transport
from adapters.errors import InvalidRequestError, LLMError, ModelNotFoundError, UnsupportedFeatureError
from adapters.loop_thread import run_sync
from adapters.types import (
    ChatRequest,
    ImagePart,
    JsonSchemaFormat,
    Message,
    TextDelta,
    TextPart,
    ToolDefinition,
)
from registry.access import audit
from registry.access.people import principal_of
from registry.access.principals import Principal
from registry.catalog.django_registry import DjangoLLMRegistry
from registry.catalog.entries import LLMEntry, Secret
from registry.catalog.prompt_packs import check_answer
from registry.catalog.runtime import costs_nothing
from registry.catalog.targets import endpoint_of, stored_keys_allowed
from registry.client import DynamicLLMClient, new_request_id
from registry.discovery.probe import adapter_for, choose_credential, secret_of
from registry.models import LLMModel
from registry.results import CallResult
from registry.routing.resolve import Ask, Candidate
from registry.usage.ledger import CallIntent, Ledger

CEILING_USD: Final = Decimal("0.05")
STEPS: Final = ("list", "chat", "stream", "tools", "vision", "json_schema")
SOURCE: Final = "measured"
PERSONS: Final = frozenset({"admin", "user", "api", "registry.json", "overrides"})  # whose answers stay
# What each step may use at most, in tokens: for the estimate before it is begun.
_TOKENS: Final = {
    "chat": (20, 16),
    "stream": (40, 256),
    "tools": (200, 512),
    "vision": (1600, 256),
    "json_schema": (150, 512),
}
_RED: Final = base64.b64decode(  # 16 by 16 pixels of pure red
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAFklEQVR42mP4z8BAEmIY1TCqYfhqAACQ+f8B8u7oVwAAAABJRU5ErkJggg=="
)
_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
    "required": ["city", "country"],
    "additionalProperties": False,
}
_TOOL: Final = ToolDefinition(
    name="get_weather",
    description="The weather in a city now.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


class LabError(ValueError):
    """The model can't be measured; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabStep:
    """One measurement. `answer` is yes, no or unknown for the capability; `cost` in USD, None unknown."""

    step: str
    answer: str
    detail: str
    latency_ms: int = 0
    cost: Decimal | None = None
    request_id: str = ""


@dataclass(slots=True, kw_only=True)
class LabReport:
    """What was measured, and what the model's row has learnt from it."""

    steps: list[LabStep] = field(default_factory=list)
    first_token_ms: int | None = None
    tokens_per_s: float | None = None
    spent: Decimal = Decimal(0)
    learnt: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _OneKey:
    """The key that was chosen for this measurement, for the client."""

    secret: Secret
    policy: EgressPolicy

    async def open_key(self, candidate: Candidate, principal: Principal) -> Secret:
        return self.secret

    def policy_for(self, candidate: Candidate, principal: Principal) -> EgressPolicy:
        return self.policy


def measure(
    model: LLMModel,
    user: Any,
    *,
    ceiling_usd: Decimal = CEILING_USD,
    steps: tuple[str, ...] = STEPS,
    allow_unpriced: bool = False,
    ledger: Ledger | None = None,
    address: str | None = None,
) -> LabReport:
    """Measure an enabled model as `user` would call it, and keep what was learnt. Blocks, some ten seconds.

    A step that could take the sum above `ceiling_usd` is left out. Raises LabError, LLMError.
    """
    snapshot = DjangoLLMRegistry(user_id=user.pk).fresh()
    snapshot.refresh()
    entry = snapshot.by_id(model.pk)
    if entry is None or not entry.is_active:
        raise LabError("Only an enabled model of an enabled provider can be measured.")
    if _rates(entry) is None and not allow_unpriced:
        raise LabError("Its price is not known: enter one, or allow a measurement without a ceiling.")
    provider = endpoint_of(entry)
    credential = choose_credential(model.provider, user) if stored_keys_allowed(provider) else None
    secret = secret_of(credential, provider, user)
    adapter = adapter_for(provider, user, model, secret)
    principal = principal_of(user, frozenset(user.groups.values_list("pk", flat=True)))
    client = DynamicLLMClient(
        snapshot,
        ledger=ledger or _journal(),
        transport=shared_transport(),
        keys=_OneKey(secret, adapter.policy),
        principal=principal,
    )
    lab = _Lab(entry=entry, client=client, adapter=adapter, principal=principal, ceiling=ceiling_usd)
    run_sync(lab.run(steps))
    _learn(model, lab.report)
    told: dict[str, Any] = {step.step: step.answer for step in lab.report.steps}
    audit.record(user, "measure", model, None, {**told, "spent_usd": f"{lab.report.spent:f}"}, address)
    return lab.report


def _journal() -> Ledger:
    from django.conf import settings

    from registry.usage.journal import journal_of

    return journal_of(settings)


def _rates(entry: LLMEntry) -> tuple[Decimal, Decimal] | None:
    """USD per 1M tokens in and out; zero for a model on one's own machine, None for one whose price is not known."""
    price = entry.price_at()
    rates = price.rates if price is not None else {}
    if "input_per_1m" in rates and "output_per_1m" in rates:
        return rates["input_per_1m"], rates["output_per_1m"]
    return (Decimal(0), Decimal(0)) if entry.endpoint is not None and costs_nothing(entry.endpoint.kind) else None


@dataclass(slots=True, kw_only=True)
class _Lab:
    """One measurement under way."""

    entry: LLMEntry
    client: DynamicLLMClient
    adapter: Adapter
    principal: Principal
    ceiling: Decimal
    report: LabReport = field(default_factory=LabReport)

    async def run(self, steps: tuple[str, ...]) -> None:
        works: dict[str, Callable[[str], Awaitable[LabStep]]] = {
            "list": self._list,
            "chat": self._chat,
            "stream": self._stream,
            "tools": self._tools,
            "vision": self._vision,
            "json_schema": self._json_schema,
        }
        for name in steps:
            if self._too_dear(name):
                self.report.steps.append(LabStep(step=name, answer="unknown", detail="left out: above the ceiling"))
                continue
            started = time.monotonic()
            request_id = new_request_id()
            try:
                found = await works[name](request_id)
            except LLMError as error:
                refused = isinstance(error, InvalidRequestError | UnsupportedFeatureError)
                refused = refused and not isinstance(error, ModelNotFoundError) and name not in ("list", "chat")
                found = LabStep(step=name, answer="no" if refused else "unknown", detail=f"{error.code}: {error}"[:200])
            took = round((time.monotonic() - started) * 1000)
            used = request_id if name != "list" else ""
            self.report.steps.append(replace(found, latency_ms=took, request_id=used))
            self.report.spent += found.cost or Decimal(0)

    def _too_dear(self, name: str) -> bool:
        rates = _rates(self.entry)
        if name not in _TOKENS or rates is None:
            return False
        most = (rates[0] * _TOKENS[name][0] + rates[1] * _TOKENS[name][1]) / 1_000_000
        return self.report.spent + most > self.ceiling

    async def _call(self, request: ChatRequest, request_id: str) -> CallResult:
        ask = Ask(llm_id=self.entry.id)
        return await self.client.call(ask, request, principal=self.principal, intent=self._intent(request_id))

    def _intent(self, request_id: str, *, streamed: bool = False) -> CallIntent:
        return CallIntent(
            request_id=request_id,
            started_at_ms=time.time_ns() // 1_000_000,
            user_id=self.principal.user_id,
            username=self.principal.username,
            dialect="lab",
            streamed=streamed,
            requested=f"lab: {self.entry.name}"[:300],
            tags=("lab",),
        )

    async def _list(self, request_id: str) -> LabStep:
        names = [row.id for row in await self.adapter.list_models()]
        known = "is" if self.entry.model in names else "is not"
        return LabStep(step="list", answer="yes", detail=f"{len(names)} models; this one {known} among them")

    async def _chat(self, request_id: str) -> LabStep:
        result = await self._call(_asking("Say ok.", most=_TOKENS["chat"][1]), request_id)
        detail = f"answered, {result.usage.output_tokens} tokens"
        return LabStep(step="chat", answer="yes", detail=detail, cost=result.cost.total)

    async def _stream(self, request_id: str) -> LabStep:
        request = _asking("Count from 1 to 60 in words, separated by commas.", most=_TOKENS["stream"][1])
        started = time.monotonic()
        first: float | None = None
        pieces = 0
        intent = self._intent(request_id, streamed=True)
        opened = await self.client.open_stream(
            Ask(llm_id=self.entry.id), request, principal=self.principal, intent=intent
        )
        async with opened:
            async for _, events in opened:
                texts = sum(isinstance(event, TextDelta) for event in events)
                if texts and first is None:
                    first = time.monotonic()
                pieces += texts
        ended = time.monotonic()
        if first is None:
            return LabStep(step="stream", answer="unknown", detail="no text came", cost=opened.record.cost.total)
        self.report.first_token_ms = round((first - started) * 1000)
        tokens = opened.usage.output_tokens
        if tokens and pieces > 1 and ended > first:
            self.report.tokens_per_s = round((tokens - 1) / (ended - first), 1) if tokens > 1 else None
        detail = f"first token after {self.report.first_token_ms} ms, {pieces} pieces"
        return LabStep(step="stream", answer="yes", detail=detail, cost=opened.record.cost.total)

    async def _tools(self, request_id: str) -> LabStep:
        request = _asking("What is the weather in Paris? Use the tool.", most=_TOKENS["tools"][1])
        result = await self._call(replace(request, tools=(_TOOL,)), request_id)
        called = [call.name for call in result.response.tool_calls]
        if "get_weather" in called:
            return LabStep(step="tools", answer="yes", detail="called the tool", cost=result.cost.total)
        return LabStep(step="tools", answer="unknown", detail="answered without the tool", cost=result.cost.total)

    async def _vision(self, request_id: str) -> LabStep:
        image = ImagePart(media_type="image/png", data=_RED)
        text = TextPart(text="Which colour is this picture? Answer one word.")
        turn = Message(role="user", parts=(text, image))
        request = ChatRequest(messages=(turn,), max_output_tokens=_TOKENS["vision"][1])
        result = await self._call(request, request_id)
        sees = "red" in (result.reply or "").lower()
        detail = "saw what is in the picture" if sees else "did not say what is in the picture"
        return LabStep(step="vision", answer="yes" if sees else "unknown", detail=detail, cost=result.cost.total)

    async def _json_schema(self, request_id: str) -> LabStep:
        request = _asking("The capital of France, as JSON.", most=_TOKENS["json_schema"][1])
        wanted = JsonSchemaFormat(name="capital", schema=_SCHEMA, strict=True)
        result = await self._call(replace(request, response_format=wanted), request_id)
        checked = check_answer(_SCHEMA, result.reply or "", trusted=True)
        detail = "followed the schema" if not checked.errors else checked.errors[0]
        answer = "yes" if not checked.errors else "unknown"
        return LabStep(step="json_schema", answer=answer, detail=detail, cost=result.cost.total)


def _asking(text: str, *, most: int) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", parts=(TextPart(text=text),)),), max_output_tokens=most)


_CAPABILITY_OF: Final = {
    "chat": "chat",
    "stream": "streaming",
    "tools": "tools",
    "vision": "vision",
    "json_schema": "json_schema",
}


def _learn(model: LLMModel, report: LabReport) -> None:
    """Keep the answers with what they rest on; a person's answer stays, and an unknown replaces nothing."""
    changed: set[str] = set()
    for step in report.steps:
        name = _CAPABILITY_OF.get(step.step)
        known = model.capabilities.get(name or "", {})
        if name is None or step.answer == "unknown" or known.get("source") in PERSONS:
            continue
        model.set_capability(name, step.answer, source=SOURCE)
        evidence: dict[str, Any] = {"detail": step.detail, "request_id": step.request_id}
        if step.step == "stream":
            evidence |= {"first_token_ms": report.first_token_ms, "tokens_per_s": report.tokens_per_s}
        model.capabilities[name]["evidence"] = {**evidence, "at": timezone.now().isoformat(timespec="seconds")}
        report.learnt.append(f"{name}: {step.answer}")
        changed.add("capabilities")
    if report.tokens_per_s is not None:
        model.speed_tps = report.tokens_per_s
        report.learnt.append(f"{report.tokens_per_s:g} tokens/s")
        changed.add("speed_tps")
    if changed:
        model.save(update_fields=[*changed, "updated_at"])
