"""Tells by its name whether a header or setting holds a secret, and takes secrets out of what is shown or exported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

_SECRET = re.compile(
    r"(?i)api.?key|access.?key|private.?key|subscription.?key|-key$|^key$|_key$|token|secret|passw|authorization"
    r"|cookie|credential|signature"
)
# Names that hold one of those words and a number or a variable's name, never a secret.
_OPEN = re.compile(r"(?i)_tokens(_field)?$|token_(ids|count|limit)|tokeni[sz]er|_env$|environment_key")
# How the keys of well-known vendors begin.
_KEY = re.compile(r"(?i)^(bearer|basic) |^(sk-|sk_|gsk_|hf_|xai-|AIza|eyJ[\w-]+\.|AKIA|ghp_)")


def is_secret_name(name: str) -> bool:
    """Whether what stands under this name is to be taken for a secret; rather once too often."""
    return bool(_SECRET.search(name)) and not _OPEN.search(name)


def is_secret(name: str, value: Any) -> bool:
    """Whether a setting or header is a secret, by its name or because its text begins as keys do."""
    return is_secret_name(name) or (isinstance(value, str) and bool(_KEY.search(value)))


def without_secrets(value: Any) -> Any:
    """A copy of a JSON value without what stands under secret names."""
    if isinstance(value, Mapping):
        return {name: without_secrets(inner) for name, inner in value.items() if not is_secret(str(name), inner)}
    if isinstance(value, list | tuple):
        return [without_secrets(inner) for inner in value if not is_secret("", inner)]
    return value


def address_without_secrets(url: str) -> str:
    """Scheme, host, port and path; never user name, password or query. Empty for what can't be read."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", "")) if parts.scheme and host else ""
    except ValueError:
        return ""
