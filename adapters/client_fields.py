"""Reads a client's JSON field by field; every complaint is an InvalidRequestError that names the field. No dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from adapters.errors import InvalidRequestError

__all__ = ["Fields", "checked_number", "checked_text", "refuse"]


def refuse(param: str, message: str) -> NoReturn:
    raise InvalidRequestError(f"{param}: {message}" if param else message, param=param or None)


class Fields:
    """Takes known fields out of a JSON object, each once; `rest` answers what is left. null counts as absent."""

    __slots__ = ("_path", "_values")

    def __init__(self, values: Any, path: str = "") -> None:
        if not isinstance(values, Mapping):
            refuse(path, "must be a JSON object." if path else "The body must be a JSON object.")
        self._values: dict[str, Any] = dict(values)
        self._path = path

    def path(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def take(self, name: str) -> Any:
        """The raw value, None when absent; a second time it is gone."""
        return self._values.pop(name, None)

    def rest(self) -> dict[str, Any]:
        return {name: value for name, value in self._values.items() if value is not None}

    def nothing_else(self) -> None:
        """Refuse what is left: it has no place on the way to a provider, and nothing is dropped in silence."""
        for name in self.rest():
            refuse(self.path(name), "is not known here and can't be passed on.")

    def text(self, name: str, *, longest: int | None = None) -> str | None:
        value = self.take(name)
        return None if value is None else checked_text(value, self.path(name), longest=longest)

    def required_text(self, name: str, *, longest: int | None = None) -> str:
        value = self.text(name, longest=longest)
        if not value:
            refuse(self.path(name), "is required and must be a string that is not empty.")
        return value

    def flag(self, name: str) -> bool | None:
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            refuse(self.path(name), "must be true or false.")
        return value

    def integer(self, name: str, low: int, high: int) -> int | None:
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            value = int(value)  # some languages write every number as 100.0
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            refuse(self.path(name), f"must be a whole number from {low} to {high}.")
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        value = self.take(name)
        return None if value is None else checked_number(value, self.path(name), low, high)

    def items(self, name: str) -> list[Any] | None:
        value = self.take(name)
        if value is not None and not isinstance(value, list):
            refuse(self.path(name), "must be a list.")
        return value

    def fields(self, name: str) -> Fields | None:
        value = self.take(name)
        return None if value is None else Fields(value, self.path(name))

    def mapping(self, name: str) -> Mapping[str, Any] | None:
        value = self.take(name)
        if value is not None and not isinstance(value, Mapping):
            refuse(self.path(name), "must be a JSON object.")
        return value


def checked_text(value: Any, path: str, *, longest: int | None = None) -> str:
    """A string that can be stored and sent: whole characters and no NUL."""
    if not isinstance(value, str):
        refuse(path, "must be a string.")
    if longest is not None and len(value) > longest:
        refuse(path, f"must be at most {longest} characters long.")
    if "\0" in value:
        refuse(path, "holds a NUL character (\\u0000), which can't be stored or sent.")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            refuse(path, "holds half of a character (a lone surrogate such as \\ud83d); send whole Unicode characters.")
    return value


def checked_number(value: Any, path: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        refuse(path, f"must be a number from {low:g} to {high:g}.")
    return value  # NaN and infinity are in no range
