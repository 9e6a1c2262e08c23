"""People delete what calls point to while those calls are being recorded: neither side fails, and the names stay."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction

from registry.models import Conversation, LLMModel, Message, Provider, UsageAttempt, UsageRecord
from registry.usage.journal import Journal
from registry.usage.ledger import TurnText
from registry.usage.recorder import Recorder
from tests.usage.conftest import a_call, a_settlement, a_try, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]


class Elsewhere:
    """Work on a connection of its own, as another process would do it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.failure: BaseException | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.failure = error
        finally:
            connections.close_all()

    @property
    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure


def somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


def journalled(journal: Journal, owner: Any) -> tuple[LLMModel, Conversation]:
    """A settled call with a turn, in the journal."""
    provider = Provider.objects.create(slug="openai", name="P", adapter="stub", base_url="")
    model = LLMModel.objects.create(provider=provider, name="GPT", model_id="gpt")
    conversation = Conversation.objects.create(owner=owner, llm_model=model)
    call = a_call("call", user_id=owner.pk, conversation_id=conversation.pk)
    journal.open(call, a_try(model_id=model.pk, provider_id=provider.pk))
    turn = TurnText(conversation_id=conversation.pk, user_text="Hi", reply_text="Hello", finish_reason="stop")
    journal.settle(call, a_settlement(turn=turn))
    return model, conversation


@pytest.mark.parametrize("target", ["model", "provider", "conversation", "user"])
def test_a_deletion_that_meets_the_recorder_waits_and_succeeds(
    target: str, journal: Journal, folder: Path, alice: Any
) -> None:
    model, conversation = journalled(journal, alice)
    row = {"model": model, "provider": model.provider, "conversation": conversation, "user": alice}[target]
    deletions: list[Elsewhere] = []

    def delete_now(_: Any) -> None:
        """In the recorder's transaction, when its rows are written and not yet committed."""
        deletions.append(Elsewhere(row.delete))
        if connection.vendor == "postgresql":
            # One that ended says by its failure, or by what is left below, how it met the recorder.
            wait_until(lambda: deletions[0].has_ended or somebody_waits_for_a_lock(), within_s=60)

    with Recorder(folder, on_settled=[delete_now]) as recorder:
        assert recorder.drain().settled == 1
    deletions[0].join()
    assert not type(row).objects.filter(pk=row.pk).exists()
    kept = UsageRecord.objects.get()
    assert (kept.model_name, kept.state) == ("GPT", "ok")
    assert (kept.model_id is None) == (target in ("model", "provider"))
    assert UsageAttempt.objects.get().model_name == "GPT"
    assert Message.objects.count() == (0 if target in ("conversation", "user") else 2)


def test_a_recorder_that_meets_a_deletion_gives_way_and_finds_the_row_gone(
    journal: Journal, folder: Path, alice: Any
) -> None:
    model, _ = journalled(journal, alice)
    deleted, committing = threading.Event(), threading.Event()

    def delete_slowly() -> None:
        with transaction.atomic():
            model.provider.delete()
            deleted.set()
            assert committing.wait(60)

    deletion = Elsewhere(delete_slowly)
    assert deleted.wait(60)
    with Recorder(folder) as recorder:
        if connection.vendor == "postgresql":
            with pytest.raises(OperationalError, match="lock timeout"):
                recorder.drain()
        committing.set()
        deletion.join()
        assert recorder.drain().settled == 1
    kept = UsageRecord.objects.get()
    assert (kept.model_id, kept.provider_id, kept.model_name, kept.state) == (None, None, "GPT", "ok")
