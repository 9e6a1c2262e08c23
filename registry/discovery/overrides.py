"""A person's own word on models, in a YAML file: the last layer before an admin's edit. Needs no Django.

models:
  - provider: custom_proxy
    name: llama-3-custom        # or a pattern: llama-3-*
    capabilities:
      max_context: 100000
      supports_tools: true
      input_cost_per_1m: 0.0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import InvalidOperation
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from registry.catalog.entries import QualityTier
from registry.discovery.resolvers import ANSWERS, ModelCapabilities
from registry.discovery.sources import ModelSpec

DEFAULT_FILE: Final = "~/.config/llmhub/model_overrides.yaml"
_COUNTS: Final = frozenset({"max_context", "max_output_tokens"})
_AMOUNTS: Final = frozenset({"input_cost_per_1m", "output_cost_per_1m", "speed_hint_tps"})
_WORDS: Final = frozenset({"known_params", "tags"})


class OverridesFileError(ValueError):
    """The file can't be read; the message says where in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One entry: `provider` and `name` may be patterns (`*`, `?`); an empty provider is every provider."""

    provider: str
    name: str
    capabilities: ModelCapabilities

    def speaks_of(self, spec: ModelSpec) -> bool:
        return (not self.provider or fnmatchcase(spec.provider, self.provider)) and fnmatchcase(spec.name, self.name)


class OverridesResolver:
    """The file's answers; a later entry wins over an earlier one. The file is read again when it changed."""

    def __init__(self, path: str | Path = DEFAULT_FILE) -> None:
        self.path = Path(path).expanduser()
        self._read: tuple[tuple[int, int], tuple[Override, ...]] | None = None

    async def get_capabilities(self, spec: ModelSpec) -> ModelCapabilities:
        """Raises OverridesFileError, OSError; a file that is not there says nothing."""
        return self.lookup(spec)

    def lookup(self, spec: ModelSpec) -> ModelCapabilities:
        found = ModelCapabilities()
        for override in self.overrides():
            if override.speaks_of(spec):
                found = found.overlaid(override.capabilities, "overrides")
        return found

    def overrides(self) -> tuple[Override, ...]:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return ()
        seen = (stat.st_mtime_ns, stat.st_size)
        if self._read is None or self._read[0] != seen:
            self._read = (seen, read_overrides(self.path.read_text(encoding="utf-8")))
        return self._read[1]


def read_overrides(text: str) -> tuple[Override, ...]:
    """Raises OverridesFileError."""
    import yaml  # imported here: a registry without such a file needs none

    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise OverridesFileError("The file is no YAML.") from error
    if content is None:
        return ()
    rows = content.get("models") if isinstance(content, Mapping) else None
    if not isinstance(rows, list):
        raise OverridesFileError("The file takes a list named 'models'.")
    return tuple(_entry(row, f"models[{number}]") for number, row in enumerate(rows))


def _entry(row: Any, place: str) -> Override:
    if not isinstance(row, Mapping) or not isinstance(row.get("name"), str) or not row["name"]:
        raise OverridesFileError(f"{place} needs a name.")
    unknown = sorted(str(name) for name in set(row) - {"provider", "name", "capabilities"})
    if unknown:
        raise OverridesFileError(f"{place} has no field {unknown[0]!r}.")
    said = row.get("capabilities") or {}
    if not isinstance(said, Mapping):
        raise OverridesFileError(f"{place}.capabilities takes a mapping.")
    values = {str(name): _value(str(name), value, f"{place}.capabilities") for name, value in said.items()}
    return Override(provider=str(row.get("provider") or ""), name=row["name"], capabilities=ModelCapabilities(**values))


def _value(name: str, value: Any, place: str) -> Any:
    if name not in ANSWERS:
        raise OverridesFileError(f"{place} has no field {name!r}.")
    if value is None:
        return getattr(ModelCapabilities(), name)
    try:
        return _READ[_kind(name)](value)
    except (ValueError, TypeError, InvalidOperation):
        raise OverridesFileError(f"{place}.{name} can't be read.") from None


def _kind(name: str) -> str:
    if name in _COUNTS:
        return "count"
    if name in _AMOUNTS:
        return "amount"
    return "words" if name in _WORDS else "quality" if name == "quality_tier" else "flag"


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError
    return value


def _amount(value: Any) -> float:
    amount = float(value)
    if isinstance(value, bool) or not 0 <= amount < 10**8:
        raise ValueError
    return amount


def _words(value: Any) -> frozenset[str]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise ValueError
    return frozenset(value)


_READ: Final[Mapping[str, Any]] = {
    "flag": _flag,
    "count": _count,
    "amount": _amount,
    "words": _words,
    "quality": QualityTier,
}
