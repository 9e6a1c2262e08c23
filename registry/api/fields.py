"""Fields that take one JSON type and no look-alike: DRF's own take "yes" as true and full-width digits as a number."""

from __future__ import annotations

import json
import math
import re
import unicodedata
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from django.db import models
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

_DECIMAL: Final = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?")
# Characters that turn the order of what follows, or are not seen at all: names that look alike but are not.
_INVISIBLE: Final = frozenset("\u200b\u200e\u200f\u2028\u2029\u2060\ufeff") | {
    chr(code) for start, stop in ((0x202A, 0x202F), (0x2066, 0x206A)) for code in range(start, stop)
}
_JSON_BYTES: Final = 64 * 1024


class TextField(serializers.CharField):
    """A line of text; `multiline=True` takes line breaks and tabs too."""

    def __init__(self, *, multiline: bool = False, **kwargs: Any) -> None:
        self.multiline = multiline
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise ValidationError("This takes a text.")
        text: str = super().to_internal_value(data)
        for character in text:
            if self.multiline and character in "\n\r\t":
                continue
            if unicodedata.category(character) == "Cc" or (not self.multiline and character in _INVISIBLE):
                raise ValidationError("This holds a control character or an invisible one.")
        return text


class IntegerField(serializers.IntegerField):
    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            raise ValidationError("This takes a whole number.")
        number: int = super().to_internal_value(data)
        return number


class NumberField(serializers.FloatField):
    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float) or not math.isfinite(data):
            raise ValidationError("This takes a number.")
        return float(data)


class FlagField(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise ValidationError("This takes true or false.")
        return data


class MoneyField(serializers.DecimalField):
    """A decimal as text ("0.15", preferred: exact) or as a JSON number; answered as text without trailing zeros."""

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, int | float) and not isinstance(data, bool) and math.isfinite(data):
            data = format(Decimal(repr(data)), "f")
        if not isinstance(data, str) or not _DECIMAL.fullmatch(data):
            raise ValidationError('This takes a decimal number, such as "0.15".')
        number: Decimal = super().to_internal_value(data)
        return number

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        """Null alone is "unknown": DRF's decimals take an empty text for it too."""
        empty: tuple[bool, Any] = serializers.Field.validate_empty_values(self, data)
        return empty

    def to_representation(self, value: Any) -> str:
        return money(Decimal(value))


def money(value: Decimal) -> str:
    return format(value.normalize() if value else Decimal(0), "f")


class JsonField(serializers.JSONField):
    """Any JSON of at most 64 KiB; the parser has bounded its depth and refused what databases can't hold."""

    def to_internal_value(self, data: Any) -> Any:
        if len(json.dumps(data)) > _JSON_BYTES:
            raise ValidationError("This holds more than 64 KiB.")
        return super().to_internal_value(data)


class JsonObjectField(JsonField):
    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise ValidationError("This takes a JSON object.")
        return super().to_internal_value(data)


class TextListField(serializers.ListField):
    """A list of distinct lines of text."""

    def __init__(self, *, max_items: int = 50, max_chars: int = 200, **kwargs: Any) -> None:
        super().__init__(child=TextField(max_length=max_chars), max_length=max_items, **kwargs)

    def to_internal_value(self, data: Any) -> list[str]:
        if not isinstance(data, list):
            raise ValidationError("This takes a list of texts.")
        return list(dict.fromkeys(super().to_internal_value(data)))


@extend_schema_field(OpenApiTypes.STR)
class RowField(serializers.RelatedField[Any, Any, Any]):
    """A row by its id or by its name (`slug_field`), among those that the caller may see: others do not exist.

    A name that both the caller and the hub have means the caller's own.
    """

    def __init__(
        self,
        model: type[models.Model] | None = None,
        *,
        slug_field: str = "",
        among: Callable[[Any, Any], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.model, self.slug_field = model, slug_field
        self.among = among or (lambda manager, user: manager.visible_to(user))
        if not kwargs.get("read_only"):
            assert model is not None
            kwargs["queryset"] = model._default_manager.none()
        super().__init__(**kwargs)

    def use_pk_only_optimization(self) -> bool:
        return not self.slug_field

    def to_internal_value(self, data: Any) -> Any:
        assert self.model is not None
        if not isinstance(data, str) or not data or "\0" in data:
            raise ValidationError(f"This takes the id{' or name' if self.slug_field else ''} of a row.")
        rows = self.among(self.model._default_manager, self.context["request"].user)
        key = _uuid(data) if isinstance(self.model._meta.pk, models.UUIDField) else None
        found = rows.filter(pk=key).first() if key else None
        if found is None and self.slug_field:
            me = self.context["request"].user.pk
            # The caller's own, then everybody's, then (where all rows are open to an admin) somebody's.
            named = sorted(rows.filter(**{self.slug_field: data[:300]})[:50], key=lambda row: _distance(row, me))
            found = next(iter(named), None)
        if found is None:
            raise ValidationError("There is no such row.")
        return found

    def to_representation(self, value: Any) -> str:
        return str(getattr(value, self.slug_field)) if self.slug_field else str(value.pk)


def _distance(row: Any, user_id: Any) -> int:
    owner_id = getattr(row, "owner_id", None)
    return 0 if owner_id == user_id else 1 if owner_id is None else 2


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if len(text) == 36 else None
    except ValueError:
        return None
