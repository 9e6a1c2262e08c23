"""The audit trail: who did what to which row, masked before and after. Owns masking; decides nothing.

Call `record` in the transaction that writes the row, so that there is no change without its event.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from django.contrib.auth.hashers import is_password_usable
from django.db import models

from adapters.redaction import redact
from registry.models import AuditEvent, Conversation, Experiment, Message
from registry.vault.fields import EncryptedTextField

MASK: Final = "••••"
PRIVATE: Final = "(private)"

# Columns that prove something although they hold no ciphertext, by the name they have in any table.
_PROOF_COLUMNS: Final = frozenset({"digest", "old_digest", "password"})
# What people write is between them and the model: admins read the trail, so it names the columns and no more.
_PRIVATE_TABLES: Final = frozenset(model._meta.db_table for model in (Conversation, Message, Experiment))
# Columns whose every change is noise.
_SILENT_COLUMNS: Final = frozenset({"created_at", "updated_at", "last_used_at", "last_login"})
# JSON columns (settings, metadata, headers) may hold secrets that somebody put in the wrong place.
_SECRET_KEY: Final = re.compile(r"(?i)key|token|secret|passw|authorization|cookie|credential")
_MAX_TEXT: Final = 500


def snapshot(row: models.Model) -> dict[str, Any]:
    """The row's columns as they may be kept: secrets masked, private text left out, everything fit for JSON."""
    private = row._meta.db_table in _PRIVATE_TABLES
    return {
        field.name: _column(field, getattr(row, field.attname), private=private)
        for field in row._meta.concrete_fields
        if field.name not in _SILENT_COLUMNS
    }


def _column(field: models.Field[Any, Any], value: Any, *, private: bool) -> Any:
    if isinstance(field, EncryptedTextField) or field.name in _PROOF_COLUMNS:
        return _proof(value)
    if private and isinstance(field, models.CharField | models.TextField | models.JSONField) and not field.choices:
        return PRIVATE if value else ""
    return _plain(value)


def _proof(value: Any) -> str:
    """Enough to see that it changed (the mask is the same for all), and whether there is one."""
    return MASK if value and is_password_usable(value) else ""


def _plain(value: Any, *, key: str = "") -> Any:
    if key and _SECRET_KEY.search(key) and isinstance(value, str) and value:
        return MASK
    if isinstance(value, str):
        value = redact(value)
        return value if len(value) <= _MAX_TEXT else value[:_MAX_TEXT] + "…"
    if isinstance(value, Mapping):
        return {str(name): _plain(inner, key=str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, key=key) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, uuid.UUID | dt.datetime | dt.date):
        return str(value)
    return json.loads(json.dumps(value, default=str))


def record(
    actor: Any,
    action: str,
    row: models.Model,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    address: str | None = None,
) -> AuditEvent:
    """Note that `actor` (None: the hub itself) did `action` to `row`; `before` and `after` come from `snapshot`.

    Where both are given only the columns that differ are kept. Actions: create, change, delete, revoke, test, ...
    """
    old, new = dict(before or {}), dict(after or {})
    if before is not None and after is not None:
        changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
        old = {name: old[name] for name in changed if name in old}
        new = {name: new[name] for name in changed if name in new}
    private = row._meta.db_table in _PRIVATE_TABLES
    known = actor is not None and getattr(actor, "is_authenticated", False)
    return AuditEvent.objects.create(
        actor=actor if known else None,
        actor_name=actor.get_username()[:150] if known else "",
        address=address or None,
        action=action[:32],
        table=row._meta.db_table,
        row=row.pk if isinstance(row.pk, uuid.UUID) else None,
        label=f"{row._meta.verbose_name} {row.pk}" if private else redact(str(row))[:200],
        before=old,
        after=new,
    )


def note(
    actor: Any, action: str, table: str, label: str, details: Mapping[str, Any], address: str | None = None
) -> AuditEvent:
    """Note something that was done to no one row, such as the test of a configuration that was not saved.

    `actor` None is the hub itself, or somebody at its command line.
    """
    return AuditEvent.objects.create(
        actor=actor,
        actor_name="" if actor is None else actor.get_username()[:150],
        address=address or None,
        action=action[:32],
        table=table[:63],
        label=redact(label)[:200],
        after={name: _plain(value, key=name) for name, value in details.items()},
    )


def lines(events: models.QuerySet[AuditEvent]) -> Iterator[str]:
    """The events as JSON, one object a line, oldest first."""
    columns = [field.attname for field in AuditEvent._meta.concrete_fields]
    for event in events.order_by("at", "id").values(*columns).iterator(chunk_size=1000):
        yield json.dumps(event, default=str, ensure_ascii=False) + "\n"


__all__ = ["MASK", "PRIVATE", "lines", "note", "record", "snapshot"]
