"""Headers and addresses of calls to providers. Builds values only; the transport sends them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from adapters.errors import ConfigurationError
from adapters.types import Target

__all__ = ["build_headers", "checked_key", "join_url", "same_origin_url"]

# Framing and hop-by-hop headers belong to the transport; a custom one could smuggle a second request.
_NOT_CUSTOM = frozenset(
    (
        *("host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer"),
        *("expect", "accept-encoding", "content-encoding", "content-type", "cookie"),
    )
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def build_headers(target: Target, own: Mapping[str, str]) -> dict[str, str]:
    """Merge the registered custom headers with `own` (lower-case names), which win.

    Raises ConfigurationError for a name or value that can't stand in a header; the value is not in the message.
    """
    headers: dict[str, str] = {}
    for name, value in target.headers.items():
        lower = name.lower()
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError("a custom header's name is not valid in HTTP", provider=target.provider)
        if lower in _NOT_CUSTOM or lower.startswith("proxy-"):
            continue
        _check_value(lower, value, target)
        headers[lower] = value
    for name, value in own.items():
        _check_value(name, value, target)
        headers[name] = value
    return headers


def checked_key(target: Target) -> str | None:
    """The key without the blanks that come along when it is pasted; None when there is none."""
    key = (target.api_key or "").strip()
    return key or None


def join_url(base_url: str, path: str) -> str:
    """Put `path` behind the base URL's own path, before its query."""
    if not base_url.startswith(("https://", "http://")):
        raise ConfigurationError("the base URL must start with https:// or http://")
    base, mark, query = base_url.partition("?")
    return base.rstrip("/") + path + mark + query


def same_origin_url(base_url: str, reference: str) -> str:
    """Resolve a link that the provider sent; raises ConfigurationError when it leaves the base URL's origin.

    The key goes with the request, so a link to another host would hand it over.
    """
    url = urljoin(base_url, reference)
    here, there = urlsplit(base_url), urlsplit(url)
    if (here.scheme, here.netloc) != (there.scheme, there.netloc):
        raise ConfigurationError("the provider's list of models continues on another host, which is not followed")
    return url


def _check_value(name: str, value: str, target: Target) -> None:
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        pass
    else:
        if not any(character in value for character in "\r\n\0"):
            return
    raise ConfigurationError(
        f"the header {name} holds a character that HTTP does not allow; paste the key or value again",
        provider=target.provider,
        model=target.model,
    )
