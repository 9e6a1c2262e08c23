"""One's own sources and resolvers, named by dotted path: in the hub's settings, or in a script's environment."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import import_module
from typing import Any, TypeVar

from registry.discovery.resolvers import CapabilityResolver
from registry.discovery.sources import ModelSource

T = TypeVar("T")


class PluginError(ValueError):
    """A dotted path that names nothing usable; the message says which."""


def load_sources(paths: Iterable[str]) -> list[ModelSource]:
    """Raises PluginError."""
    return [_made(path, ModelSource, "discover") for path in paths]  # type: ignore[type-abstract]  # a protocol


def load_resolvers(paths: Iterable[str]) -> list[CapabilityResolver]:
    """Raises PluginError."""
    return [
        _made(path, CapabilityResolver, "get_capabilities")  # type: ignore[type-abstract]  # a protocol
        for path in paths
    ]


def paths_in(name: str) -> list[str]:
    """The dotted paths in an environment variable, separated by commas."""
    return [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]


def _made(path: str, protocol: type[T], method: str) -> T:
    """The object at `module.Name` or `module:Name`: a class or function is called without arguments."""
    module, _, name = path.replace(":", ".").rpartition(".")
    try:
        found: Any = getattr(import_module(module), name)
        made = found() if isinstance(found, type) or not hasattr(found, method) else found
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise PluginError(f"{path!r} can't be loaded ({type(error).__name__}: {error}).") from error
    if not isinstance(made, protocol):
        raise PluginError(f"{path!r} has no {method}().")
    return made
