"""DynamicLLMClient: resolve a model, call its adapter, fall back while nothing was delivered, settle what it cost.

The one way in for every call to a model, for the lane and for scripts. With a `DictRegistry` it needs no database.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from adapters import Adapter, EgressPolicy, Transport
from adapters.chat_request import Messages, read_chat_request
from adapters.errors import (
    AuthenticationError,
    ConfigurationError,
    EgressDeniedError,
    InvalidRequestError,
    LLMError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    UnsupportedFeatureError,
)
from adapters.types import (
    ChatRequest,
    ChatResponse,
    Message,
    StreamEvent,
    TextPart,
    ToolCall,
    Usage,
    WireResponse,
)
from registry.access.principals import Principal
from registry.catalog.entries import LLMEntry, Secret
from registry.catalog.protocol import LLMRegistry
from registry.catalog.targets import build_adapter
from registry.routing.resolve import Ask, Candidate, Catalogue, Gate, PlainCatalogue, Resolution, resolve
from registry.usage.call import CallRecord, delivered_text, turn_of
from registry.usage.ledger import CallIntent, Cost, Ledger, NoLedger
from registry.usage.opened_call import OpenedCall

MAX_TOOL_ROUNDS = 8
ToolHandler = Callable[[ToolCall], Any | Awaitable[Any]]


class NoCandidateError(LLMError):
    """Nothing can be called for what was asked; `resolution` says why."""

    code = "model_not_found"
    status = 404

    def __init__(self, message: str, *, resolution: Resolution, code: str, status: int) -> None:
        super().__init__(message)
        self.resolution = resolution
        self.code = code
        self.status = status


class KeySource(Protocol):
    """Opens the key of a candidate, and says which addresses its provider may be called at."""

    async def open_key(self, candidate: Candidate) -> Secret:
        """Raises ConfigurationError when the key can't be opened or is bound to another address."""
        ...

    def policy_for(self, candidate: Candidate, principal: Principal) -> EgressPolicy: ...


class EntryKeys:
    """For registries whose entries carry their own keys: a script's own machine may be called too."""

    async def open_key(self, candidate: Candidate) -> Secret:
        return Secret(api_key=candidate.entry.api_key)

    def policy_for(self, candidate: Candidate, principal: Principal) -> EgressPolicy:
        return EgressPolicy.local()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """A whole answer: the text, the provider's JSON, tokens and cost, and how it came about."""

    reply: str
    raw: Mapping[str, Any]
    usage: Usage
    status: int
    response: ChatResponse
    cost: Cost
    request_id: str
    candidate: Candidate
    attempts: int
    resolution: Resolution
    wire: WireResponse | None = field(default=None, repr=False)


def _fits_elsewhere(error: LLMError) -> bool:
    """Whether the next candidate may do better; a request that is wrong in itself is wrong everywhere."""
    own_fault = AuthenticationError | PermissionDeniedError | QuotaExceededError | ModelNotFoundError
    unfit = ConfigurationError | EgressDeniedError | UnsupportedFeatureError
    return error.retryable or isinstance(error, own_fault | unfit)


class DynamicLLMClient:
    """Resolves per request, tier, preset or conversation, then calls. One instance serves many callers at once."""

    def __init__(
        self,
        registry: LLMRegistry | Catalogue,
        *,
        ledger: Ledger | None = None,
        limits: Sequence[Gate] = (),
        transport: Transport | None = None,
        keys: KeySource | None = None,
        principal: Principal | None = None,
        catch_up: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`catch_up` is awaited before a call is refused for want of a model: one made a moment ago is found then."""
        self.registry = registry
        self.catch_up = catch_up
        self.catalogue: Catalogue = _catalogue_of(registry)
        self.ledger = ledger or _ledger_of(registry)
        self.gates = tuple(limits)
        self.transport = transport or Transport()
        self.keys = keys or _keys_of(registry)
        self.principal = principal or Principal(user_id=getattr(registry, "user_id", None))
        self._adapters: dict[tuple[int, int, EgressPolicy], tuple[Adapter, LLMEntry, Secret]] = {}

    def resolve(self, ask: Ask | None = None, *, principal: Principal | None = None, **named: Any) -> Resolution:
        """Whom a call would go to and why, without calling. `named`: the fields of `Ask` (model, tier, llm_id, ...)."""
        return resolve(self._catalogue(), ask or Ask(**named), principal or self.principal, gates=self.gates)

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
            request = await _with_results(request, result.response, tool_call_handler)
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
        try:
            for position, candidate in enumerate(map(rewrite or _unchanged, resolution.candidates)):
                record.begin(candidate)
                last = position + 1 == len(resolution.candidates)
                try:
                    adapter = await self._adapter(candidate, principal)
                    response, wire = await adapter.complete(_prepared(request, candidate))
                except LLMError as error:
                    if last or not _fits_elsewhere(error):
                        record.fail(error)
                        raise
                    record.drop(error)
                    continue
                return self._answered(record, resolution, request, response, wire)
        except asyncio.CancelledError:
            record.abort()
            raise
        raise AssertionError("a resolution without candidates is refused before")

    async def open_stream(
        self, ask: Ask, request: ChatRequest, *, principal: Principal, intent: CallIntent
    ) -> OpenedCall:
        """A stream whose first events have arrived, from the first candidate that sent any. Raises as `call` does."""
        record = CallRecord(self.ledger, intent, request)
        resolution = await self._resolved(ask, principal, record)
        try:
            for position, candidate in enumerate(resolution.candidates):
                record.begin(candidate)
                last = position + 1 == len(resolution.candidates)
                opened = OpenedCall(record, resolution, request)
                try:
                    adapter = await self._adapter(candidate, principal)
                    await opened.begin(adapter, _prepared(request, candidate))
                except LLMError as error:
                    await opened.close_upstream()
                    if last or not _fits_elsewhere(error):
                        record.fail(error)
                        raise
                    record.drop(error)
                    continue
                except asyncio.CancelledError:
                    await opened.close_upstream()
                    raise
                return opened
        except asyncio.CancelledError:
            record.abort()
            raise
        raise AssertionError("a resolution without candidates is refused before")

    # --- inside ----------------------------------------------------------------------------------------------------

    def _catalogue(self) -> Catalogue:
        fresh = getattr(self.registry, "fresh", None)
        if fresh is not None:
            fresh()
        return self.catalogue

    async def resolve_fresh(self, ask: Ask, principal: Principal) -> Resolution:
        """Resolve; when nothing is found, once more after the registry has caught up with its database."""
        resolution = resolve(self._catalogue(), ask, principal, gates=self.gates)
        if not resolution.candidates and self.catch_up is not None:
            await self.catch_up()
            resolution = resolve(self._catalogue(), ask, principal, gates=self.gates)
        return resolution

    async def _resolved(self, ask: Ask, principal: Principal, record: CallRecord) -> Resolution:
        resolution = await self.resolve_fresh(ask, principal)
        if not resolution.candidates:
            error = refusal(resolution, ask)
            record.reject(error)
            raise error
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
            needs=needs_of(request),
        )

    def _intent(self, ask: Ask, *, streamed: bool = False, conversation: Any = None) -> CallIntent:
        return CallIntent(
            request_id=new_request_id(),
            started_at_ms=time.time_ns() // 1_000_000,
            user_id=self.principal.user_id,
            username=self.principal.username,
            conversation_id=getattr(conversation, "id", conversation),
            dialect="python",
            streamed=streamed,
            requested=ask.text,
        )

    async def _adapter(self, candidate: Candidate, principal: Principal) -> Adapter:
        """The adapter of a candidate, kept while neither its rows nor its key nor its policy change."""
        key = await self.keys.open_key(candidate)
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

    def _answered(
        self,
        record: CallRecord,
        resolution: Resolution,
        request: ChatRequest,
        response: ChatResponse,
        wire: WireResponse,
    ) -> CallResult:
        record.note_upstream(wire.status, wire.headers.get("x-request-id") or wire.headers.get("request-id") or "")
        turn = turn_of(record.intent.conversation_id, request, response.text, response.finish_reason)
        record.succeed(
            response.usage,
            finish_reason=response.finish_reason,
            upstream_model=response.model,
            delivered="" if response.usage.reported else delivered_text(response),
            turn=turn,
        )
        assert record.candidate is not None
        return CallResult(
            reply=response.text,
            raw=_raw(wire),
            usage=record.usage,
            status=wire.status,
            response=response,
            cost=record.cost,
            request_id=record.intent.request_id,
            candidate=record.candidate,
            attempts=record.tries,
            resolution=resolution,
            wire=wire,
        )


def refusal(resolution: Resolution, ask: Ask) -> NoCandidateError:
    """The error for a resolution without candidates, in words for the person who asked."""
    codes = {drop.code for drop in resolution.dropped}
    if not resolution.dropped:
        message = "No model is set up yet: an admin enables one, or you add a key of your own."
        return NoCandidateError(message, resolution=resolution, code="model_not_found", status=404)
    reasons = " ".join(dict.fromkeys(f"{drop.name}: {drop.reason}" for drop in resolution.dropped[:3]))
    if codes == {"not_found"}:
        return NoCandidateError(resolution.dropped[0].reason, resolution=resolution, code="model_not_found", status=404)
    if codes <= {"not_found", "not_allowed"}:
        return NoCandidateError(reasons, resolution=resolution, code="model_not_allowed", status=403)
    if codes & {"breaker_open", "rate_limited"}:
        return NoCandidateError(reasons, resolution=resolution, code="no_candidate", status=503)
    code = "no_key" if "no_key" in codes else "no_candidate"
    return NoCandidateError(reasons, resolution=resolution, code=code, status=400)


def needs_of(request: ChatRequest) -> frozenset[str]:
    """Capabilities that a request makes use of."""
    needs = {"tools"} if request.tools else set()
    for message in request.messages:
        for part in message.parts:
            if type(part).__name__ == "ImagePart":
                needs.add("vision")
    return frozenset(needs)


def _unchanged(candidate: Candidate) -> Candidate:
    return candidate


def new_request_id() -> str:
    """`req_` and 32 hex digits that sort by time."""
    return f"req_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def _prepared(request: ChatRequest, candidate: Candidate) -> ChatRequest:
    """The request with the preset's options and the model's default parameters where the client said nothing."""
    entry = candidate.entry
    if not candidate.options and not entry.default_params and entry.max_tokens is None and entry.temperature is None:
        return request
    own = {"max_output_tokens": entry.max_tokens, "temperature": entry.temperature}
    changes: dict[str, Any] = {}
    for name, value in {**own, **entry.default_params, **candidate.options}.items():
        field_name = _FIELD_OF.get(name, name)
        if value is not None and field_name in _FILLABLE and getattr(request, field_name) in (None, ()):
            changes[field_name] = tuple(value) if field_name == "stop" and isinstance(value, list) else value
        elif name == "response_format" and value and request.response_format is None:
            changes[name] = read_chat_request("", {name: value}, "openai.chat").response_format
    return replace(request, **changes) if changes else request


_FIELD_OF = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}
_FILLABLE = frozenset(
    {
        "max_output_tokens",
        "temperature",
        "top_p",
        "top_k",
        "presence_penalty",
        "frequency_penalty",
        "seed",
        "stop",
        "reasoning_effort",
        "verbosity",
        "service_tier",
    }
)


async def _with_results(request: ChatRequest, response: ChatResponse, handler: ToolHandler) -> ChatRequest:
    """The conversation after its tools ran: the assistant's turn, then each result. A handler's failure is a result."""
    turns: list[Message] = [Message(role="assistant", parts=response.parts)]
    for call in response.tool_calls:
        failed = False
        try:
            answer = handler(call)
            if inspect.isawaitable(answer):
                answer = await answer
        except LLMError:
            raise
        except Exception as error:  # the model is told, as it would be of any failing tool
            answer, failed = f"The tool failed: {type(error).__name__}", True
        text = answer if isinstance(answer, str) else _json(answer)
        part = TextPart(text=text)
        turns.append(Message(role="tool", parts=(part,), tool_call_id=call.id, name=call.name, is_error=failed))
    return replace(request, messages=(*request.messages, *turns), tool_choice=None)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError("A tool's answer can't be written as JSON.") from error


def _raw(wire: WireResponse) -> Mapping[str, Any]:
    try:
        raw = json.loads(wire.body)
    except ValueError:
        return {}
    return raw if isinstance(raw, dict) else {}


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
