"""A person's own look at a provider, with their own key: what it lists, and models of their own made from it.

Nothing of such a look is kept: a run's row would show everybody which fine-tuned models one person's key can see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from django.core import signing
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from adapters.errors import LLMError
from adapters.loop_thread import run_sync
from registry.access import audit
from registry.discovery.probe import as_shown_error
from registry.discovery.refresh import DEADLINE_S, apply_change, ask_all, compare, prepare
from registry.models import Credential, DiscoveryChange, DiscoveryRun, LLMModel

MAX_CHANGES: Final = 1000
_SALT: Final = "registry.discovery.personal"
_KEPT_S: Final = 3600


class LookError(ValueError):
    """The provider could not be asked; the message is for the person."""


def look(credential: Credential, user: Any) -> list[DiscoveryChange]:
    """New, changed and vanished models of theirs, unsaved. Blocks up to DEADLINE_S. Raises LookError."""
    provider = credential.provider
    run = DiscoveryRun(provider=provider, started_by=user, source="own key")
    asked = prepare(provider, user, run=run, chosen=credential)
    if asked.adapter is not None:
        run_sync(ask_all([asked], DEADLINE_S))
    failure: LLMError | None = asked.failure
    if failure is not None:
        raise LookError(as_shown_error(failure, user))
    return compare(run, asked.models, owner=user)[:MAX_CHANGES]


def signed(changes: Sequence[DiscoveryChange], credential: Credential, user: Any) -> str:
    """What was shown, so that exactly that can be applied: signed, for this person and key alone."""
    rows = [[change.kind, change.upstream_id, change.after] for change in changes]
    return signing.dumps([str(user.pk), str(credential.pk), rows], salt=_SALT, compress=True)


def apply(text: str, chosen: Iterable[str], credential: Credential, user: Any, *, address: str | None = None) -> int:
    """Apply those of the signed changes whose numbers are chosen; answers how many. Raises LookError."""
    try:
        owner, key, rows = signing.loads(text, salt=_SALT, max_age=_KEPT_S)
    except signing.BadSignature:
        raise LookError("The list is too old: look again.") from None
    if (owner, key) != (str(user.pk), str(credential.pk)):
        raise LookError("The list is too old: look again.")
    numbers = {int(number) for number in chosen if number.isascii() and number.isdecimal() and len(number) < 6}
    provider = credential.provider
    run = DiscoveryRun(provider=provider, started_by=user, source="own key")
    applied = 0
    try:
        with transaction.atomic():
            mine = {row.model_id: row for row in LLMModel.objects.filter(provider=provider, owner=user)}
            for number, row in enumerate(rows):
                if number not in numbers:
                    continue
                change = _change(run, row, mine)
                apply_change(run, change, True, owner=user)
                applied += 1
            told = {"models": [row[1] for number, row in enumerate(rows) if number in numbers][:50]}
            audit.record(user, "discover", provider, None, told, address)
    except (ValidationError, IntegrityError):
        raise LookError("What it lists could not be kept: a model of yours has such a name already.") from None
    return applied


def _change(run: DiscoveryRun, row: Sequence[Any], mine: Mapping[str, LLMModel]) -> DiscoveryChange:
    kind, upstream_id, after = row
    return DiscoveryChange(run=run, kind=kind, upstream_id=upstream_id, after=after, model=mine.get(upstream_id))
