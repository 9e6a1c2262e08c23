"""Fields that take a secret and never give one: keys, and headers that carry them. Errors do not repeat the value."""

from __future__ import annotations

import re
from typing import Any, Final

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from adapters.redaction import remember
from registry.api.fields import TextField

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]{1,4096}")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,4096}")
# What the transport writes itself, or what would lead a call elsewhere.
_RESERVED: Final = frozenset(
    (
        *("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "accept-encoding"),
        *("connection", "keep-alive", "upgrade", "te", "trailer", "expect", "cookie", "forwarded"),
    )
)
_RESERVED_STARTS: Final = ("proxy-", "x-forwarded-")
_MAX_HEADERS: Final = 32


class KeyField(TextField):
    """A provider's key, write-only."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("help_text", "Never answered: only its last four characters and a fingerprint are.")
        super().__init__(write_only=True, style={"input_type": "password"}, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        key = data.strip() if isinstance(data, str) else ""
        remember(key)
        if not _KEY.fullmatch(key):
            raise ValidationError("A key is 1 to 4096 visible ASCII characters without spaces.")
        return key


class HeadersField(serializers.DictField):
    """Secret headers by name, write-only."""

    child = serializers.CharField()

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("help_text", "Secret headers sent with every call; never answered.")
        super().__init__(write_only=True, **kwargs)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, dict) or len(data) > _MAX_HEADERS:
            raise ValidationError(f"This takes an object of at most {_MAX_HEADERS} headers.")
        if len({name.lower() for name in data}) != len(data):
            raise ValidationError("A header is named twice.")
        remember(*(value for value in data.values() if isinstance(value, str)))
        for name, value in data.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValidationError("A header's name holds characters that no header name may have.")
            if name.lower() in _RESERVED or name.lower().startswith(_RESERVED_STARTS):
                raise ValidationError(f"The header {name} is set by the hub and can't be given.")
            if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
                raise ValidationError(f"The value of {name} must be 1 to 4096 printable ASCII characters.")
        return dict(data)
