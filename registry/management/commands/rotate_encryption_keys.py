"""Re-encrypts every stored secret with the first key of the ring, while the hub runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import models, transaction

from registry.access import audit
from registry.models import Credential, CredentialSecret, CredentialState
from registry.vault.fields import EncryptedTextField
from registry.vault.keyring import ENVELOPE, DecryptError, keyring
from registry.vault.row_security import MAINTENANCE, secrets_of
from registry.vault.second_factors import reseal_all


class Command(BaseCommand):
    help = (
        "Re-encrypt what an older key of LLMHUB_ENCRYPTION_KEYS made with its first key. Safe beside a running hub, "
        "safe to kill and start again. Ends with 1 when a row could not be opened."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, default=200, metavar="N", help="rows a transaction (default 200)")

    def handle(self, *args: Any, batch: int, **options: Any) -> None:
        if not 1 <= batch <= 10_000:
            raise CommandError("--batch takes a number from 1 to 10000.")
        try:
            primary = keyring().primary_id
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        told = {"to_key": primary}
        audit.note(None, "begin rotation", CredentialSecret._meta.db_table, "all encrypted columns", told)
        counts: Counter[str] = Counter()
        for model, field in encrypted_columns():
            self.rotate_column(model, field, batch, counts)
        counts.update(reseal_all())
        counts["recovered"] = recover_marked()
        audit.note(None, "rotate", CredentialSecret._meta.db_table, "all encrypted columns", {**told, **counts})
        self.stdout.write(
            f"{counts['rotated']} re-encrypted with key {primary}, {counts['changed']} changed by others meanwhile, "
            f"{counts['recovered']} marked rows open again, {counts['undecryptable']} could not be opened."
        )
        if counts["undecryptable"]:
            raise CommandError(
                f"{counts['undecryptable']} rows could not be opened and are marked: put the key that made them back "
                "into LLMHUB_ENCRYPTION_KEYS and run this again, or enter those keys again."
            )

    def rotate_column(
        self, model: type[models.Model], field: EncryptedTextField, batch: int, counts: Counter[str]
    ) -> None:
        """Walk the column by primary key. Each batch is one short transaction, so a kill loses at most one."""
        rows = stale_rows(model, field)
        with secrets_of(MAINTENANCE):
            total, done, last = rows.count(), 0, None
        while True:
            with transaction.atomic(), secrets_of(MAINTENANCE):
                page = list((rows if last is None else rows.filter(pk__gt=last))[:batch])
                for row in page:
                    counts[rotate_row(row, field)] += 1
            if not page:
                return
            last = page[-1].pk
            done += len(page)
            self.stdout.write(f"{model._meta.db_table}.{field.column}: {done} of {total}")
            self.stdout.flush()


def encrypted_columns() -> Iterator[tuple[type[models.Model], EncryptedTextField]]:
    """Every encrypted column there is: by the field's type, so that a new one can't be forgotten."""
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, EncryptedTextField):
                yield model, field


def stale_rows(model: type[models.Model], field: EncryptedTextField) -> models.QuerySet[Any]:
    """Rows that another key than the first made, with the related rows their ciphertext is bound to."""
    related = {path.rpartition(".")[0].replace(".", "__") for path in field.bound_to if "." in path}
    rows = model._default_manager.exclude(**{f"{field.name}__startswith": f"{ENVELOPE}:{keyring().primary_id}:"})
    rows = rows.exclude(**{field.name: None}).order_by("pk")
    return rows.select_related(*sorted(related)) if related else rows


def rotate_row(row: models.Model, field: EncryptedTextField) -> str:
    """Answer rotated, changed or undecryptable. A row that somebody changed since it was read stays as they made it."""
    before = getattr(row, field.attname)
    try:
        plaintext = field.decrypt(row)
    except DecryptError:
        note = getattr(row, "note_undecryptable", None)
        if note is not None:
            note()
        return "undecryptable"
    written = type(row)._default_manager.filter(pk=row.pk, **{field.name: before})
    return "rotated" if written.update(**{field.name: field.encrypt(row, plaintext)}) else "changed"


def recover_marked() -> int:
    """Take the mark off credentials that open again, now that their key is back in the ring."""
    recovered = 0
    for credential in Credential.objects.filter(state=CredentialState.UNDECRYPTABLE).select_related("provider"):
        try:
            credential.reveal(MAINTENANCE)
        except DecryptError:
            continue
        credential.note_decryptable()
        recovered += 1
    return recovered
