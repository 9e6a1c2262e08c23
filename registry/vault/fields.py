"""A text column that holds only envelopes. The plaintext never sits on the model instance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from registry.vault.keyring import ENVELOPE, keyring


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]  # generic in the stubs only
    """Ciphertext bound to its table, column and the row's `bound_to` values (dotted attribute paths).

    Assigning anything that is no envelope fails at save: a plaintext can't be stored by mistake.
    """

    def __init__(self, *args: Any, bound_to: Sequence[str] = ("id",), **kwargs: Any) -> None:
        self.bound_to = tuple(bound_to)
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        kwargs["bound_to"] = self.bound_to
        return name, path, args, kwargs

    def additional_data(self, row: models.Model) -> bytes:
        """The bytes a ciphertext of `row` is bound to; length-prefixed, so that no two rows give the same."""
        values = [row._meta.db_table, self.column or self.attname]
        values += [str(reduce(getattr, path.split("."), row)) for path in self.bound_to]
        return b"".join(len(value.encode()).to_bytes(4) + value.encode() for value in values)

    def encrypt(self, row: models.Model, plaintext: str) -> str:
        return keyring().encrypt(plaintext, additional_data=self.additional_data(row))

    def decrypt(self, row: models.Model) -> str:
        """Raises DecryptError."""
        return keyring().decrypt(getattr(row, self.attname), additional_data=self.additional_data(row))

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        if value is not None and not value.startswith(f"{ENVELOPE}:"):
            raise ValidationError("Only a ciphertext may be stored here.")
        return value
