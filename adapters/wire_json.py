"""JSON on the wire: strict, bounded in depth, and never an exception other than ours. Knows no dialect."""

from __future__ import annotations

import re
from typing import Any

import orjson

from adapters.errors import InvalidRequestError, UpstreamProtocolError

__all__ = ["dump_client_json", "dump_json", "read_json"]

# A backslash that escapes something else is consumed by the first branch, so `\\ud800` (a literal backslash) is safe.
_ESCAPE = re.compile(
    rb"\\(?:[^u]|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|u)"
)


def read_json(data: bytes | bytearray) -> Any:
    """Parse one JSON value as a provider sent it; raises UpstreamProtocolError, also for depth and for NaN.

    Padding and a byte order mark are taken off. Text that is no Unicode (half a surrogate pair, bytes that are no
    UTF-8) becomes U+FFFD rather than an error: models do write it, and the rest of the answer is good.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return orjson.loads(_repaired(bytes(data)))
    except orjson.JSONDecodeError as error:
        # orjson's own words hold no input, but `error.doc` does: it must not travel with ours.
        raise UpstreamProtocolError(f"the provider sent something that is not JSON: {error.msg}") from None


def _repaired(data: bytes) -> bytes:
    data = data.strip().removeprefix(b"\xef\xbb\xbf").strip()
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        data = data.decode("utf-8", "replace").encode("utf-8")
    return _ESCAPE.sub(_whole_pair_or_replacement, data)


def _whole_pair_or_replacement(match: re.Match[bytes]) -> bytes:
    escape = match.group()
    return b"\\ufffd" if len(escape) == 6 else escape


def dump_json(value: Any) -> bytes:
    """Write what we built ourselves, compactly."""
    return orjson.dumps(value)


def dump_client_json(value: Any) -> bytes:
    """Write a body that holds a client's own values; raises InvalidRequestError when they have no JSON form."""
    try:
        return orjson.dumps(value)
    except (TypeError, RecursionError) as error:
        reason = str(error) if len(str(error)) < 100 else "a value has no JSON form"
        raise InvalidRequestError(f"The request can't be written as JSON: {reason}.") from None
