"""What one worker process of the lane holds: the snapshot, the people, the client, the journal; and keeps fresh."""

from __future__ import annotations

import asyncio
import gc
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, close_old_connections

from adapters import Transport
from adapters.errors import LLMError
from registry.access.keys import StoredKeys
from registry.access.people import shared_people
from registry.access.principals import Principal, TokenEntry
from registry.access.tokens import TokenError, check_network, check_role, check_scope, prefix_of, verify
from registry.catalog.snapshot import shared_snapshot
from registry.client import DynamicLLMClient
from registry.gateway.draining import drain_on_sigterm, is_server_process
from registry.gateway.http import Request
from registry.plain_calls import PlainCalls
from registry.routing.budgets import Budgets
from registry.routing.guard import Guard
from registry.routing.limits import Limits, node_limits
from registry.routing.rules import Rules
from registry.usage.holders import begin_holding
from registry.usage.journal import journal_of

if TYPE_CHECKING:
    from registry.routing.shared_limits import SharedLimits

log = logging.getLogger("llmhub.lane")

REFRESH_S = 1.0
CATCH_UP_APART_S = 0.2  # a caller of unknown names may not make the hub read without end
T = TypeVar("T")


class Unavailable(LLMError):
    """The hub itself can't serve just now; the same call may succeed in a moment."""

    code = "hub_unavailable"
    status = 503
    retryable = True


class Worker:
    """Made at the process's first request, on its event loop."""

    def __init__(self) -> None:
        self.snapshot = shared_snapshot()
        self.people = shared_people()
        self.journal = journal_of(settings)
        self.rules = Rules()
        self.snapshot.listeners.append(self.rules.note_changes)
        self.budgets = Budgets(self.in_thread, partial(begin_holding, Path(settings.LLMHUB_JOURNAL_DIR)))
        guard = Guard(self.rules, self.budgets, _limits(), unpriced=settings.LLMHUB_UNPRICED)
        self.transport = Transport()
        self.client = DynamicLLMClient(
            self.snapshot,
            ledger=self.journal,
            transport=self.transport,
            keys=StoredKeys(self.snapshot),
            catch_up=self.catch_up,
            limits=guard,
        )
        self.plain = PlainCalls(self.client, self.snapshot, guard, self.journal)
        # Few threads, of their own: a database that hangs must not use up the threads that others wait for.
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="registry")
        self._principals: dict[tuple[int, int], tuple[TokenEntry, Principal, Principal]] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._first_load = asyncio.Lock()

    async def ready(self) -> None:
        """Have a snapshot that may be served from. Raises Unavailable."""
        if self._refreshing is None:
            async with self._first_load:
                if self._refreshing is None:
                    await self._refresh()
                    if is_server_process():
                        drain_on_sigterm(settings.LLMHUB_DRAIN_S)
                        _settle_memory()
                    self._refreshing = asyncio.create_task(self._keep_fresh())
        if self.snapshot.age_s > settings.LLMHUB_STALE_LIMIT_S:
            raise Unavailable("The hub's database can't be reached.", retry_after_s=5)

    async def authenticate(self, request: Request, scope: str) -> Principal:
        """Who calls. Raises TokenError for a bad token, Unavailable when only the database could tell."""
        presented = presented_token(request.headers)
        if not presented:
            raise TokenError("An access token is needed: Authorization: Bearer llmhub_...", code="missing_api_key")
        prefix = prefix_of(presented)
        token = self.people.tokens.get(prefix) if prefix else None
        if token is None and prefix and not self.people.is_unknown(prefix):
            token = await self.in_thread(self.people.find_token, prefix)
        token = verify(token, presented)
        check_network(token, request.client_address)
        check_scope(token, scope)
        principal = self.people.principals.get(token.owner_id)
        if principal is None:
            principal = await self.in_thread(self.people.find_principal, token.owner_id)
        if principal is None:
            raise TokenError("The access token's owner is not active.", code="inactive_user")
        check_role(principal, scope)
        return self._with_token(principal, token)

    def known_caller(self, presented: str) -> Principal | None:
        """As `authenticate` for the scope `chat`, where all is in memory; None where that has to say more. Raises
        TokenError for a token whose secret is wrong or that has ended."""
        prefix = prefix_of(presented)
        token = self.people.tokens.get(prefix) if prefix else None
        if token is None:
            return None
        verify(token, presented)
        principal = self.people.principals.get(token.owner_id)
        if principal is None or token.networks or "chat" not in token.scopes:
            return None
        if principal.scopes is not None and "chat" not in principal.scopes:
            return None
        return self._with_token(principal, token)

    def _with_token(self, principal: Principal, token: TokenEntry) -> Principal:
        place = (id(principal), id(token))
        kept = self._principals.get(place)
        if kept is None:
            if len(self._principals) > 10_000:
                self._principals.clear()
            kept = self._principals[place] = (token, principal, replace(principal, token=token))
        return kept[2]

    async def in_thread(self, work: Any, *args: Any) -> Any:
        """Run what reads the database. Raises Unavailable when it can't be read, never an answer about a token."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(5):
                return await loop.run_in_executor(self._threads, _with_connection, work, args)
        except (DatabaseError, TimeoutError) as error:
            raise Unavailable("The hub's database can't be reached.", retry_after_s=2) from error

    async def catch_up(self) -> None:
        """Read the change log now; callers that ask meanwhile share the next read, a fifth of a second apart."""
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.create_task(self._refresh_soon())
        await asyncio.shield(self._catching_up)

    async def _refresh_soon(self) -> None:
        await asyncio.sleep(max(0.0, CATCH_UP_APART_S - self.snapshot.age_s))
        await self._refresh()

    async def _refresh(self) -> None:
        try:
            await self.in_thread(self.snapshot.refresh)
            if not self.rules.read_once:  # the snapshot was loaded before this worker listened
                await self.in_thread(self.rules.read)
        except Unavailable as error:
            if self.snapshot.age_s < 5 or self.snapshot.sequence < 0:
                log.warning("The database can't be read (%s).", type(error.__cause__).__name__)

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await self._refresh()
                await self.budgets.tend()
            except Unavailable:
                pass  # said once by the refresh
            except Exception:
                log.exception("The registry's change log could not be applied.")


def _limits() -> Limits | SharedLimits:
    """Counted over all nodes where they share a Valkey, else over this node's workers."""
    local = node_limits(Path(settings.LLMHUB_LIMITS_DIR))
    if not settings.VALKEY_URL:
        return local
    from registry.routing.shared_limits import SharedLimits  # the client is large, and most hubs have no Valkey

    return SharedLimits(settings.VALKEY_URL, local)


def _settle_memory() -> None:
    """What lives as long as the worker is not looked through again, and what a call leaves is looked for rarely.

    Calls make no cycles worth an early hunt; by default one runs every few requests and walks the whole registry.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _with_connection(work: Any, args: tuple[Any, ...]) -> Any:
    close_old_connections()
    try:
        return work(*args)
    finally:
        close_old_connections()


def presented_token(headers: dict[str, str]) -> str:
    """The token in whichever of the four headers clients use."""
    authorization = headers.get("authorization", "")
    if authorization[:7].lower() == "bearer ":
        return authorization[7:].strip()
    for name in ("x-api-key", "api-key", "x-goog-api-key"):
        if headers.get(name):
            return headers[name].strip()
    return ""


_worker: Worker | None = None


def this_worker() -> Worker:
    global _worker
    if _worker is None:
        _worker = Worker()
    return _worker
