"""The one-time link that makes the first administrator. Only its hash is kept, in the data folder, mode 0600."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model

FILE_NAME = "setup-link"


def make_setup_link() -> str:
    """A fresh token, which replaces any earlier one; the page is /setup/<token>/."""
    token = secrets.token_urlsafe(32)
    part = _file().with_suffix(".part")
    part.unlink(missing_ok=True)
    write_private(part, _digest(token))
    part.replace(_file())
    return token


def is_valid(token: str) -> bool:
    """Whether the token may still make the first administrator; looking does not use it up."""
    if get_user_model().objects.filter(is_superuser=True).exists():
        return False
    try:
        kept = _file().read_text(encoding="ascii")
    except OSError:
        return False
    return hmac.compare_digest(kept, _digest(token))


def redeem(token: str) -> bool:
    """Use the token up. True for exactly one of any number of callers; call it just before making the administrator."""
    if not is_valid(token):
        return False
    try:
        # Removing the file is the one step that only one process can win.
        _file().unlink()
    except FileNotFoundError:
        return False
    return True


def drop_setup_link() -> None:
    """Forget the link, because there is an administrator."""
    _file().unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read. Raises FileExistsError rather than touch one that is there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _file() -> Path:
    return Path(settings.DATA_DIR) / FILE_NAME


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
