"""Reads typed values from the environment. An error names the variable and what it should hold, never its value."""

from __future__ import annotations

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})


def env_str(name: str, default: str = "") -> str:
    """The variable with white space cut off its ends; unset and empty both give the default."""
    return os.environ.get(name, "").strip() or default


def env_bool(name: str, default: bool) -> bool:
    word = env_str(name).lower()
    if not word:
        return default
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0 (true, yes, on, false, no and off work too).")


def env_int(name: str, default: int, *, minimum: int = 0, maximum: int | None = None) -> int:
    text = env_str(name)
    if not text:
        return default
    span = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
    # isdecimal() alone takes digits of other scripts, which int() would read too: a typo should not become a number.
    if not (text.isascii() and text.isdecimal() and minimum <= int(text) <= (maximum or int(text))):
        raise ImproperlyConfigured(f"{name} must be a whole number, {span}.")
    return int(text)


def env_list(name: str) -> list[str]:
    """Comma-separated values, empty ones dropped."""
    return [part for part in (piece.strip() for piece in os.environ.get(name, "").split(",")) if part]


def env_path(name: str, default: Path) -> Path:
    """An absolute path; a relative value is taken from the current folder, `~` is the user's home."""
    text = env_str(name)
    return Path(text).expanduser().absolute() if text else default


def env_secret(name: str, *, fallback_file: Path | None = None) -> str:
    """A secret from NAME, else from the file that NAME_FILE names, else from `fallback_file` if it exists, else "".

    Naming both NAME and NAME_FILE is an error: nobody could say which one the running hub used.
    """
    value, named_file = env_str(name), env_str(f"{name}_FILE")
    if value and named_file:
        raise ImproperlyConfigured(f"Set either {name} or {name}_FILE, not both.")
    if value:
        return value
    if named_file:
        return _read_secret(f"{name}_FILE", Path(named_file).expanduser())
    if fallback_file is not None and fallback_file.exists():
        return _read_secret(name, fallback_file)
    return ""


def _read_secret(name: str, path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{name}: cannot read the file {path} ({type(error).__name__}).") from None
    if not text:
        raise ImproperlyConfigured(f"{name}: the file {path} is empty.")
    return text
