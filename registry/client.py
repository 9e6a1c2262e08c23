"""DynamicLLMClient: resolve a model, call its adapter, fall back while nothing was delivered, settle what it cost.

The one way in for every call to a model, for the lane and for scripts. With a `DictRegistry` it needs no database.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

from adapters import Adapter, EgressPolicy, Transport
from adapters.adapter import IMAGE_OPTIONS
from adapters.chat_request import Messages, read_chat_request
from adapters.create import shared_transport
from adapters.errors import LLMError
from adapters.types import (
    ChatRequest,
    ChatResponse,
    EmbeddingRequest,
    ImageRequest,
    StreamEvent,
    Usage,
    WireResponse,
)
from registry.access.key_source import EntryKeys, KeySource
from registry.access.principals import Principal
from registry.catalog.entries import LLMEntry, Secret
from registry.catalog.protocol import LLMRegistry
from registry.catalog.targets import build_adapter
from registry.results import CallResult, EmbeddingResult, ImageResult, TokenCount
from registry.routing.fill import filled, needs_of
from registry.routing.guard import Guard
from registry.routing.health import Health
from registry.routing.known_names import KnownNames
from registry.routing.refusal import NoCandidateError as NoCandidateError
from registry.routing.refusal import missed, refusal
from registry.routing.resolve import Ask, Candidate, Catalogue, Gate, PlainCatalogue, Resolution
from registry.routing.tries import Tries
from registry.tool_rounds import ToolHandler, with_results
from registry.usage.call import CallRecord, turn_of
from registry.usage.estimate import delivered_text, estimate_sent
from registry.usage.ledger import CallIntent, Ledger, NoLedger
from registry.usage.opened_call import OpenedCall

MAX_TOOL_ROUNDS = 8


class DynamicLLMClient:
    """Resolves per request, tier, preset or conversation, then calls. One instance serves many callers at once."""

    def __init__(
        self,
        registry: LLMRegistry | Catalogue,
        *,
        ledger: Ledger | None = None,
        limits: Sequence[Gate] | Guard = (),
        transport: Transport | None = None,
        keys: KeySource | None = None,
        principal: Principal | None = None,
        catch_up: Callable[[], Awaitable[None]] | None = None,
        health: Health | None = None,
    ) -> None:
        """`catch_up` is awaited before a call is refused for want of a model: one made a moment ago is found then."""
        self.registry = registry
        self.catch_up = catch_up
        self.catalogue: Catalogue = _catalogue_of(registry)
        self.ledger = ledger or _ledger_of(registry)
        self.health = health or Health()
        self.guard = limits if isinstance(limits, Guard) else None
        self.tries = Tries(self.health, self.adapter_of, self.guard)
        self.gates: tuple[Gate, ...] = (self.health.gate, *((limits.gate,) if isinstance(limits, Guard) else limits))
        self._names = KnownNames(self.gates, self.health.answer_ms)
        self.transport = transport or shared_transport()
        self.keys = keys or _keys_of(registry)
        self.principal = principal or Principal(user_id=getattr(registry, "user_id", None))
        self._adapters: dict[tuple[int, int, EgressPolicy], tuple[Adapter, LLMEntry, Secret]] = {}

    def resolve(self, ask: Ask | None = None, *, principal: Principal | None = None, **named: Any) -> Resolution:
        """Whom a call would go to and why, without calling. `named`: the fields of `Ask` (model, tier, llm_id, ...)."""
        return self._resolve(ask or Ask(**named), principal or self.principal)

    async def generate(
        self,
        prompt: str,
        *,
        tier: str | None = None,
        llm_id: Hashable | None = None,
        model: str | None = None,
        system_prompt: str | None = None,
        **options: Any,
    ) -> CallResult:
        """Answer one prompt. `options` are OpenAI's request fields (max_tokens, temperature, response_format, ...)."""
        messages: list[dict[str, Any]] = [{"role": "system", "content": system_prompt}] if system_prompt else []
        messages.append({"role": "user", "content": prompt})
        return await self.chat(messages, tier=tier, llm_id=llm_id, model=model, **options)

    async def chat(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        tier: str | None = None,
        llm_id: Hashable | None = None,
        preset: str | None = None,
        conversation: Any = None,
        tools: Sequence[Any] | None = None,
        tool_call_handler: ToolHandler | None = None,
        max_tool_rounds: int = MAX_TOOL_ROUNDS,
        principal: Principal | None = None,
        **options: Any,
    ) -> CallResult:
        """Answer a conversation; with a handler, run its tools until the model answers in words.

        The handler gets a `ToolCall` and answers text (or anything JSON can hold), at once or awaited. Each round is a
        call of its own with its own usage row. After `max_tool_rounds` the last answer stands as it is.
        """
        if tools is not None:
            options["tools"] = list(tools)
        request = read_chat_request(messages, options, "openai.chat")
        ask = await self._ask(request, model, tier, llm_id, preset, conversation)
        rounds = 0
        while True:
            intent = self._intent(ask, conversation=conversation)
            result = await self.call(ask, request, principal=principal or self.principal, intent=intent)
            calls = result.response.tool_calls
            if tool_call_handler is None or not calls or rounds >= max_tool_rounds:
                return result
            rounds += 1
            request = await with_results(request, result.response, tool_call_handler)
            # The model that asked for the tools gets their results.
            ask = replace(ask, llm_id=result.candidate.entry.id, model=None, tier=None, preset=None)

    async def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        tier: str | None = None,
        llm_id: Hashable | None = None,
        preset: str | None = None,
        conversation: Any = None,
        principal: Principal | None = None,
        **options: Any,
    ) -> AsyncIterator[StreamEvent]:
        """Yield an answer's events as they arrive."""
        request = read_chat_request(messages, options, "openai.chat")
        ask = await self._ask(request, model, tier, llm_id, preset, conversation)
        intent = self._intent(ask, streamed=True, conversation=conversation)
        opened = await self.open_stream(ask, request, principal=principal or self.principal, intent=intent)
        async with opened:
            async for _, events in opened:
                for event in events:
                    yield event

    async def embed(
        self,
        inputs: str | Sequence[str] | Sequence[Sequence[int]],
        *,
        model: str | None = None,
        llm_id: Hashable | None = None,
        dimensions: int | None = None,
        principal: Principal | None = None,
        **options: Any,
    ) -> EmbeddingResult:
        """One vector per input: texts, or lists of token ids where the provider takes them. `options` as OpenAI's."""
        given = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        request = EmbeddingRequest(
            inputs=tuple(item if isinstance(item, str) else tuple(item) for item in given),  # type: ignore[arg-type]  # one kind
            dimensions=dimensions,
            user=options.pop("user", None),
            extra=options,
            dialect="openai.chat",
        )
        ask = Ask(model=model, llm_id=llm_id, needs=frozenset({"embeddings"}))
        intent = self._intent(ask, operation="embeddings")
        return await self.call_embeddings(ask, request, principal=principal or self.principal, intent=intent)

    async def image(
        self,
        prompt: str,
        *,
        model: str | None = None,
        llm_id: Hashable | None = None,
        principal: Principal | None = None,
        **options: Any,
    ) -> ImageResult:
        """Make images; `n`, `size`, `quality` and other `options` as OpenAI names them."""
        known = {name: options.pop(name) for name in IMAGE_OPTIONS if name in options}
        request = ImageRequest(prompt=prompt, **known, extra=options, dialect="openai.chat")
        ask = Ask(model=model, llm_id=llm_id, needs=frozenset({"images"}))
        intent = self._intent(ask, operation="images")
        return await self.call_images(ask, request, principal=principal or self.principal, intent=intent)

    # --- what the lane calls ---------------------------------------------------------------------------------------

    async def call(
        self,
        ask: Ask,
        request: ChatRequest,
        *,
        principal: Principal,
        intent: CallIntent,
        rewrite: Callable[[Candidate], Candidate] | None = None,
    ) -> CallResult:
        """One whole answer, from the first candidate that gives one. Raises NoCandidateError or the last LLMError.

        `rewrite` may change each candidate before it is called (an admin's try with another adapter).
        """
        record = CallRecord(self.ledger, intent, request)
        resolution = await self._resolved(ask, principal, record)
        response, wire = await self.tries.first(
            record,
            resolution,
            principal,
            lambda adapter, candidate: adapter.complete(filled(request, candidate)),
            rewrite=rewrite,
        )
        return self.answered(record, resolution, response, wire)

    async def go_on(
        self, record: CallRecord, resolution: Resolution, principal: Principal, error: LLMError
    ) -> CallResult:
        """As `call`, for a call whose first try ended in `error` and was noted: what is left of its candidates."""
        request = record.request
        assert isinstance(request, ChatRequest)
        response, wire = await self.tries.first(
            record,
            resolution,
            principal,
            lambda adapter, candidate: adapter.complete(filled(request, candidate)),
            failed=error,
        )
        return self.answered(record, resolution, response, wire)

    async def open_stream(
        self, ask: Ask, request: ChatRequest, *, principal: Principal, intent: CallIntent, forward_as: str | None = None
    ) -> OpenedCall:
        """A stream whose first events have arrived, from the first candidate that sent any. Raises as `call` does.

        `forward_as`, an answer's id, asks for OpenAI's chat events as they are where the provider sends such
        (`OpenedCall.forwards`).
        """
        record = CallRecord(self.ledger, intent, request)
        resolution = await self._resolved(ask, principal, record)

        work = self._opener(record, resolution, request, forward_as)
        return await self.tries.first(record, resolution, principal, work)

    async def go_on_streaming(
        self, record: CallRecord, resolution: Resolution, principal: Principal, error: LLMError, forward_as: str
    ) -> OpenedCall:
        """As `open_stream`, for a call whose first try ended in `error` and was noted."""
        assert isinstance(record.request, ChatRequest)
        work = self._opener(record, resolution, record.request, forward_as)
        return await self.tries.first(record, resolution, principal, work, failed=error)

    def _opener(
        self, record: CallRecord, resolution: Resolution, request: ChatRequest, forward_as: str | None
    ) -> Callable[[Adapter, Candidate], Awaitable[OpenedCall]]:
        async def begin(adapter: Adapter, candidate: Candidate) -> OpenedCall:
            opened = OpenedCall(record, resolution, request, forward_as=forward_as)
            try:
                await opened.begin(adapter, filled(request, candidate))
            except BaseException:
                await opened.close_upstream()
                raise
            return opened

        return begin

    async def call_embeddings(
        self, ask: Ask, request: EmbeddingRequest, *, principal: Principal, intent: CallIntent
    ) -> EmbeddingResult:
        """Vectors from the first candidate that gives them. Raises as `call` does."""
        record = CallRecord(self.ledger, intent, request)
        resolution = await self._resolved(ask, principal, record)
        response, wire = await self.tries.first(
            record, resolution, principal, lambda adapter, _: adapter.complete_embeddings(request)
        )
        record.note_answer(wire)
        record.succeed(response.usage, finish_reason="", upstream_model=response.model, delivered="")
        return EmbeddingResult(response=response, **_settled(record, resolution))

    async def call_images(
        self, ask: Ask, request: ImageRequest, *, principal: Principal, intent: CallIntent
    ) -> ImageResult:
        """Images from the first candidate that makes them. Raises as `call` does."""
        record = CallRecord(self.ledger, intent, request)
        resolution = await self._resolved(ask, principal, record)
        response, wire = await self.tries.first(
            record, resolution, principal, lambda adapter, _: adapter.complete_images(request)
        )
        record.note_answer(wire)
        made = len(response.images)
        record.succeed(response.usage, finish_reason="", upstream_model="", delivered="", images=made)
        return ImageResult(response=response, **_settled(record, resolution))

    async def count_tokens(
        self, ask: Ask, request: ChatRequest, *, principal: Principal, intent: CallIntent
    ) -> TokenCount:
        """How many tokens the request is for the model that would answer it, by its provider's word or our estimate.

        No vendor bills a count: its row costs nothing and holds no tokens. An estimate calls nobody and leaves no row.
        """
        record = CallRecord(self.ledger, intent, request)
        resolution = await self._resolved(ask, principal, record)
        first = resolution.candidates[0]
        if not (await self.adapter_of(first, principal)).codec.counts_tokens:
            return TokenCount(input_tokens=estimate_sent(request), estimated=True, candidate=first, attempts=0)
        # Another model would count otherwise; another key of the same one does not.
        same = tuple(candidate for candidate in resolution.candidates if candidate.entry.id == first.entry.id)
        counted = await self.tries.first(
            record, replace(resolution, candidates=same), principal, lambda adapter, _: _counted(adapter, request)
        )
        record.succeed(Usage(), finish_reason="", upstream_model="", delivered="")
        assert record.candidate is not None
        return TokenCount(
            input_tokens=estimate_sent(request) if counted is None else counted,
            estimated=counted is None,
            candidate=record.candidate,
            attempts=record.tries,
        )

    # --- inside ----------------------------------------------------------------------------------------------------

    def _catalogue(self) -> Catalogue:
        fresh = getattr(self.registry, "fresh", None)
        if fresh is not None:
            fresh()
        return self.catalogue

    def _resolve(self, ask: Ask, principal: Principal) -> Resolution:
        return self._names.resolve(self._catalogue(), ask, principal)

    async def resolve_fresh(self, ask: Ask, principal: Principal) -> Resolution:
        """Resolve; when a name is not found, once more after the registry has caught up with its database."""
        resolution = self._resolve(ask, principal)
        if self.catch_up is not None and missed(resolution, ask):
            await self.catch_up()
            resolution = self._resolve(ask, principal)
        return resolution

    async def resolve_looked(self, ask: Ask, principal: Principal) -> Resolution:
        """As `resolve_fresh`, for who only looks: asks how the budgets stand, which a call learns when it reserves."""
        resolution = await self.resolve_fresh(ask, principal)
        if self.guard is not None and self.guard.rules.budgets:
            await self.guard.look(resolution.candidates, principal)
            resolution = self._resolve(ask, principal)
        return resolution

    async def _resolved(self, ask: Ask, principal: Principal, record: CallRecord) -> Resolution:
        try:
            if self.guard is not None and (entry := await self.guard.enter(principal, record.request)) is not None:
                record.hold(entry)
                record.headers = entry.standing.headers()
            resolution = await self.resolve_fresh(ask, principal)
            if not resolution.candidates:
                raise refusal(resolution, ask)
        except LLMError as error:
            record.reject(error)
            raise
        except BaseException:
            record.let_all_go()
            raise
        return resolution

    async def _ask(
        self,
        request: ChatRequest,
        model: str | None,
        tier: str | None,
        llm_id: Hashable | None,
        preset: str | None,
        conversation: Any,
    ) -> Ask:
        bound = getattr(conversation, "llm_model_id", None)
        find = getattr(self.registry, "conversation_model_id", None)
        if bound is None and conversation is not None and find is not None:
            bound = await find(getattr(conversation, "id", conversation))
        return Ask(
            model=model,
            tier=tier,
            llm_id=llm_id,
            preset=preset,
            conversation_model_id=bound,
            sticky_id=getattr(conversation, "id", conversation),
            needs=needs_of(request),
        )

    def _intent(
        self, ask: Ask, *, operation: str = "chat", streamed: bool = False, conversation: Any = None
    ) -> CallIntent:
        return CallIntent(
            request_id=new_request_id(),
            started_at_ms=time.time_ns() // 1_000_000,
            user_id=self.principal.user_id,
            username=self.principal.username,
            conversation_id=getattr(conversation, "id", conversation),
            operation=operation,
            dialect="python",
            streamed=streamed,
            requested=ask.text,
        )

    async def adapter_of(self, candidate: Candidate, principal: Principal) -> Adapter:
        """The adapter of a candidate, kept while neither its rows nor its key nor its policy change."""
        key = await self.keys.open_key(candidate, principal)
        policy = self.keys.policy_for(candidate, principal)
        place = (id(candidate.entry), id(key), policy)
        kept = self._adapters.get(place)
        if kept is not None:
            return kept[0]
        adapter = build_adapter(candidate.entry, candidate.provider, key, policy=policy, transport=self.transport)
        if len(self._adapters) > 2000:
            self._adapters.clear()
        # The values are held beside the adapter: an id stands for its object only while that object lives.
        self._adapters[place] = (adapter, candidate.entry, key)
        return adapter

    def answered(
        self, record: CallRecord, resolution: Resolution, response: ChatResponse, wire: WireResponse
    ) -> CallResult:
        """Settle a call whose answer is whole."""
        request = record.request
        assert isinstance(request, ChatRequest)
        record.note_answer(wire)
        turn = turn_of(record.intent.conversation_id, request, response.text, response.finish_reason)
        record.succeed(
            response.usage,
            finish_reason=response.finish_reason,
            upstream_model=response.model,
            delivered="" if response.usage.reported else delivered_text(response),
            turn=turn,
        )
        return CallResult(
            reply=response.text,
            status=wire.status,
            response=response,
            wire=wire,
            **_settled(record, resolution),
        )


def _settled(record: CallRecord, resolution: Resolution) -> dict[str, Any]:
    """What every result says of its call."""
    return {
        "usage": record.usage,
        "cost": record.cost,
        "request_id": record.intent.request_id,
        "candidate": record.candidate,
        "attempts": record.tries,
        "resolution": resolution,
        "headers": record.headers,
    }


async def _counted(adapter: Adapter, request: ChatRequest) -> int | None:
    """The provider's count; None where a compatible server has no such route."""
    try:
        return await adapter.count_tokens(request)
    except LLMError as error:
        if error.upstream_status in (404, 405, 501):
            return None
        raise


def new_request_id() -> str:
    """`req_` and 32 hex digits that sort by time."""
    return f"req_{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def _catalogue_of(registry: LLMRegistry | Catalogue) -> Catalogue:
    snapshot = getattr(registry, "snapshot", registry)
    return snapshot if isinstance(snapshot, Catalogue) else PlainCatalogue(registry)  # type: ignore[arg-type]  # checked


def _keys_of(registry: Any) -> KeySource:
    """Stored keys for the database's registry; those need Django, which a script's registry does without."""
    if not hasattr(registry, "snapshot"):
        return EntryKeys()
    from registry.access.keys import StoredKeys

    return StoredKeys(registry.snapshot)


def _ledger_of(registry: Any) -> Ledger:
    """The hub's journal for the database's registry, so that a script's calls are counted like the lane's."""
    if not hasattr(registry, "snapshot"):
        return NoLedger()
    from django.conf import settings

    from registry.usage.journal import journal_of

    return journal_of(settings)
