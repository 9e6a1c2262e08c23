"""Who holds leases on this node: a file each in the journal's folder, locked as long as its process lives.

A free lock proves the death, as with journals; what the dead held goes back once all their calls are in the records.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from pathlib import Path

from registry.models import BudgetLease

SUFFIX = ".holder"
CHECK_EVERY_S = 0.5
EXPIRED_EVERY_S = 600.0


class Estates:
    """Returns to the budgets what dead holders leave. `settle` is called with nothing unread in the journals."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._checked_at = self._expired_at = float("-inf")
        self._dead: set[str] = set()

    def settle(self) -> int:
        """Answers how many leases went back. Raises what the database raises.

        A holder is passed over at first sight: it may have written and died since the journals were read. At the
        second, all it ever wrote has been recorded, and what its calls cost is off its leases.
        """
        now = time.monotonic()
        if now - self._checked_at < CHECK_EVERY_S:
            return 0
        self._checked_at = now
        seen = dead_holders(self.directory)
        gone = seen & self._dead
        self._dead = seen - gone
        if not gone and now - self._expired_at < EXPIRED_EVERY_S:
            return 0
        self._expired_at = now
        returned = BudgetLease.recover(holders=gone)
        forget(self.directory, gone)
        return returned


def begin_holding(directory: Path) -> tuple[str, int]:
    """A new holder's name and the descriptor that must stay open as long as it lives."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{time.time_ns() // 1_000_000:013d}-{os.getpid()}-{secrets.token_hex(4)}"
    hidden = directory / f".{name}{SUFFIX}"
    fd = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    hidden.rename(directory / f"{name}{SUFFIX}")
    return name, fd


def dead_holders(directory: Path) -> set[str]:
    """Holders of this folder whose process is gone."""
    return {path.name.removesuffix(SUFFIX) for path in directory.glob(f"*{SUFFIX}") if _is_dead(path)}


def forget(directory: Path, names: set[str]) -> None:
    for name in names:
        (directory / f"{name}{SUFFIX}").unlink(missing_ok=True)


def _is_dead(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(fd)
