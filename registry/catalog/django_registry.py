"""`LLMRegistry` over the database, through this process's snapshot. No query on a look-up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Hashable
from typing import Any

from django.db import DatabaseError, connections

from registry.catalog.entries import LLMEntry, LLMTier
from registry.catalog.snapshot import Snapshot, shared_snapshot
from registry.models import Conversation

MAX_AGE_S = 1.0  # a look-up outside the lane reads the change log when it was last read longer ago


class DjangoLLMRegistry:
    """The models of one user and the global ones (`user_id` None: the global ones alone).

    Look-ups from synchronous code read the change log at most once a second; the lane, whose worker reads it in the
    background, passes `refresh=False`.
    """

    def __init__(
        self, *, user_id: Hashable | None = None, snapshot: Snapshot | None = None, refresh: bool = True
    ) -> None:
        self.user_id = user_id
        self.snapshot = snapshot or shared_snapshot()
        self._refresh = refresh

    def fresh(self) -> Snapshot:
        """The snapshot, at most a second old; an older one when the database can't be read and it was loaded once."""
        if self._refresh and self.snapshot.age_s > MAX_AGE_S:
            try:
                _in_a_thread_if_async(self.snapshot)
            except DatabaseError:
                if self.snapshot.sequence < 0:
                    raise
        return self.snapshot

    def get_by_id(self, llm_id: Hashable) -> LLMEntry | None:
        entry = self.fresh().by_id(llm_id)
        return entry if entry is not None and entry.owner_id in (None, self.user_id) else None

    def get_by_name(self, name: str) -> LLMEntry | None:
        return next(iter(self.fresh().index.named(name, self.user_id)), None)

    def get_by_tier(self, tier: LLMTier | str) -> LLMEntry | None:
        return next(self.fresh().index.in_tier(LLMTier(tier), self.user_id), None)

    def get_default(self) -> LLMEntry | None:
        """The admin's default, else the first enabled global model by name."""
        snapshot = self.fresh()
        return snapshot.default() or next(snapshot.alphabetical(), None)

    def list_active(self) -> list[LLMEntry]:
        return list(self.fresh().index.active(self.user_id))

    async def conversation_model_id(self, conversation_id: Any) -> Hashable | None:
        """The model that a conversation of this registry's user is bound to."""
        owner: Any = self.user_id
        return (
            await Conversation.objects.filter(pk=conversation_id, owner=owner)
            .values_list("llm_model_id", flat=True)
            .afirst()
        )


def _in_a_thread_if_async(snapshot: Snapshot) -> None:
    """Refresh where the ORM may be used: an event loop's thread may not, so another one does it and is waited for."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        snapshot.refresh()
        return
    failure: list[BaseException] = []

    def work() -> None:
        try:
            snapshot.refresh()
        except BaseException as error:
            failure.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work, name="registry-refresh")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
