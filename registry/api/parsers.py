"""Reads JSON bodies strictly: what a database or a log could choke on is refused here, once, with a 400."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import IO, Any, Final

import orjson
from django.conf import settings
from django.http import RawPostDataException
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

MAX_DEPTH: Final = 64


class BodyTooLarge(APIException):
    status_code = 413
    default_code = "body_too_large"


class StrictJSONParser(BaseParser):
    """UTF-8 JSON without NaN, Infinity, lone surrogates or NUL, at most 64 levels deep and 20 MiB long."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        return parse_json(_read(stream))


def _read(stream: IO[Any]) -> bytes:
    limit: int = settings.LLMHUB_MAX_BODY_BYTES
    try:
        body: bytes = stream.read(limit + 1)
    except RawPostDataException as error:  # pragma: no cover  # something before us read the stream
        raise ParseError("The body was read already.") from error
    if len(body) > limit:
        raise BodyTooLarge(f"The body is larger than {limit // (1024 * 1024)} MiB.")
    return body


def parse_json(body: bytes) -> Any:
    """Raises ParseError whose text does not repeat the body."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ParseError(f"The body is no valid JSON: {error.msg} (line {error.lineno}).") from None
    check_value(value)
    return value


def check_value(value: Any) -> None:
    """Walk without recursion, so that no depth ends the walk in an error of its own. Raises ParseError."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, dict):
                for key in item:
                    _check_text(key)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, float) and not math.isfinite(item):
                raise ParseError("The body holds a number that is not finite.")
        if not below:
            return
        level = below
    raise ParseError(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ParseError("The body holds a NUL character.")
