"""Which headers a person may give a provider, and which of them are secrets. Reads no row."""

from __future__ import annotations

import re
from collections.abc import Mapping

from django.core.exceptions import ValidationError

from registry.catalog.secret_names import is_secret

# What frames or routes the call itself, or what the adapter writes: a person's header must not change either.
FORBIDDEN_HEADERS = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\t]{1,8000}")


def validate_headers(headers: Mapping[str, str]) -> None:
    """Refuse names and values that could not be sent as they are, or that would change how the call is framed.

    Raises ValidationError that names the header and never its value.
    """
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ValidationError("A header's name takes letters, digits and -.")
        if name.lower() in FORBIDDEN_HEADERS:
            raise ValidationError(f"The header {name} belongs to the call itself and can't be set.")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise ValidationError(f"The value of the header {name} must be one line of ASCII text.")
    if len({name.lower() for name in headers}) != len(headers):
        raise ValidationError("A header is given twice.")


def validate_public_headers(headers: object) -> None:
    """Headers that are kept in the open beside a provider's settings: no key among them. Raises ValidationError."""
    if not isinstance(headers, dict):
        raise ValidationError("'headers' takes an object of texts.")
    validate_headers(headers)
    for name, value in headers.items():
        if is_secret(name, value):
            raise ValidationError(f"The header {name} holds a secret: enter it with the key, not in the settings.")
