"""Counters that the workers of one node share: rows of numbers in a file that all map into memory. Knows no limit.

A row is 64 numbers: two of its key's digest, two for its reader, 60 counters. Without a file the rows are this
process's own. One process at a time is inside `held`; what a process writes there the others read at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path

WIDTH = 64
HEAD = 4  # digest, digest, and two for whoever uses the row
COUNTERS = WIDTH - HEAD
_BYTES = 8

Row = memoryview


class Table:
    """Rows by key. When all are taken, a key takes over the row where it belongs, and its count begins anew."""

    def __init__(self, path: Path | None = None, *, rows: int = 4096) -> None:
        """Tables that are read and written together are held by one of them, for all."""
        self.rows = rows
        self._lock = threading.Lock()
        self._found: dict[str, tuple[Row, int, int]] = {}  # by key: its row, and the digest that says it still is
        self._fd = -1
        size = rows * WIDTH * _BYTES
        if path is None:
            self._map: mmap.mmap = mmap.mmap(-1, size)
        else:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            with self.held():
                # Its blocks are taken now: a full disk would kill the process that writes to a hole.
                os.posix_fallocate(self._fd, 0, size)
            self._map = mmap.mmap(self._fd, size)
        self._numbers = memoryview(self._map).cast("q")

    def held(self) -> Table:
        """`with table.held():` nobody else reads or writes meanwhile. For microseconds: an event loop waits for it."""
        return self

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._fd >= 0:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX)
            except BaseException:
                self._lock.release()
                raise

    def __exit__(self, *_: object) -> None:
        try:
            if self._fd >= 0:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        finally:
            self._lock.release()

    def row(self, key: str) -> Row:
        """The row of a key, empty at first. Inside `held`."""
        found = self._found.get(key)
        if found is not None and found[0][0] == found[1] and found[0][1] == found[2]:
            return found[0]
        row = self._search(key)
        if len(self._found) >= self.rows:
            self._found.clear()
        self._found[key] = (row, row[0], row[1])
        return row

    def _search(self, key: str) -> Row:
        digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
        high, low = int.from_bytes(digest[:8], signed=True), int.from_bytes(digest[8:], signed=True)
        first = high % self.rows
        for step in range(8):
            row = self._at((first + step) % self.rows)
            if row[0] == high and row[1] == low:
                return row
            if row[0] == 0 and row[1] == 0:
                row[0], row[1] = high, low
                return row
        row = self._at(first)
        for place in range(2, WIDTH):
            row[place] = 0
        row[0], row[1] = high, low
        return row

    def all_rows(self) -> Iterator[Row]:
        return (row for number in range(self.rows) if (row := self._at(number))[0] or row[1])

    def _at(self, number: int) -> Row:
        return self._numbers[number * WIDTH : (number + 1) * WIDTH]

    def close(self) -> None:
        for row, _, _ in self._found.values():
            row.release()
        self._found.clear()
        self._numbers.release()
        self._map.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
