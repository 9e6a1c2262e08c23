"""The ledger of one worker: whole lines appended to local files that the recorder drains. Never waits for a database.

Layout of the folder (0700, files 0600):

    <owner>.lock           held with flock as long as the process that writes lives; the recorder's proof of life
    <owner>.<n>.jsonl      its lines, n from 0; only the highest n of a living owner is still written to

An owner is one process (time, process id, random). The lock is taken before the name appears, so a free lock always
means a dead owner. A line that `os.write` took survives the death of the process, not that of the machine; with
`fsync_every_s` a thread narrows that to the interval.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import threading
import time
import weakref
from collections import deque
from pathlib import Path
from typing import Any

from registry.usage import lines
from registry.usage.ledger import CallIntent, Settlement, TryIntent, TryOutcome

logger = logging.getLogger(__name__)

LOCK_SUFFIX = ".lock"
FILE_SUFFIX = ".jsonl"
MIB = 1024 * 1024
MAX_FILE_BYTES = 8 * MIB
MAX_WAITING_BYTES = 32 * MIB
IDLE_S = 60.0
KEEPER_INTERVAL_S = 0.5


class JournalError(Exception):
    """A call can't be written down (disk full, folder gone). Nothing was sent; the caller answers 503."""


class Journal:
    """Implements Ledger over files in `directory`. Safe for threads; after a fork the child starts files of its own.

    `open` raises JournalError when the line can't be written: a call that isn't written down isn't made. `close` and
    `settle` never fail for a full disk: their lines wait in memory, in order, and are tried again on every call and
    twice a second. As no call opens meanwhile, what waits is bounded by the calls in flight; beyond 32 MiB they raise.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_file_bytes: int = MAX_FILE_BYTES,
        idle_s: float = IDLE_S,
        fsync_every_s: float | None = None,
    ) -> None:
        self.directory = directory
        self.max_file_bytes = max_file_bytes
        self.idle_s = idle_s
        self.fsync_every_s = fsync_every_s
        self._begin_anew()
        _journals.add(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._owner = ""
        self._owner_fd = self._fd = -1
        self._number = self._size = 0
        self._last_write = self._last_sync = 0.0
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._keeper: threading.Thread | None = None
        self._ended = threading.Event()

    # --- what a call tells -------------------------------------------------------------------------------------------

    def open(self, call: CallIntent, attempt: TryIntent) -> None:
        self.open_with(lines.encode_open(call, attempt))

    def close(self, call: CallIntent, outcome: TryOutcome) -> None:
        self.keep(lines.encode_close(call, outcome))

    def settle(self, call: CallIntent, settlement: Settlement) -> None:
        self.keep(lines.encode_settle(call, settlement))

    def open_with(self, line: bytes) -> None:
        """As `open`, with the line encoded already."""
        with self._lock:
            try:
                if self._waiting:
                    self._write_waiting()
                self._write(line)
            except OSError as error:
                raise JournalError(f"the usage journal can't be written: {error.strerror or error}") from error

    def keep(self, line: bytes) -> None:
        """As `close` and `settle`, with the line encoded already."""
        with self._lock:
            try:
                self._write_waiting()
                self._write(line)
                return
            except OSError as error:
                if self._waiting_bytes + len(line) > MAX_WAITING_BYTES:
                    raise JournalError("the usage journal can't be written and too many lines wait") from error
                if not self._waiting:
                    logger.error("The usage journal can't be written (%s); lines wait in memory.", error.strerror)
            self._waiting.append(line)
            self._waiting_bytes += len(line)
            self._start_keeper()

    @property
    def waiting(self) -> int:
        """Lines that are in memory only, because the disk took none."""
        return len(self._waiting)

    def release(self) -> None:
        """End this owner: its files are finished and the recorder may take them over. A later call starts anew."""
        with self._lock:
            keeper = self._keeper
            self._ended.set()
            with contextlib.suppress(OSError):
                self._write_waiting()
            self._drop_files()
            self._begin_anew()
        if keeper is not None and keeper is not threading.current_thread():
            keeper.join()

    # --- files (the lock is held) ------------------------------------------------------------------------------------

    def _write(self, line: bytes) -> None:
        """Append one whole line, or raise OSError and leave no part of it."""
        if self._fd < 0:
            self._start()
        elif self._size and self._size + len(line) > self.max_file_bytes:
            self._next_file()
        written = os.write(self._fd, line)
        if written != len(line):
            os.ftruncate(self._fd, self._size)
            raise OSError(28, "only part of a line fitted")
        self._size += written
        self._last_write = time.monotonic()

    def _write_waiting(self) -> None:
        while self._waiting:
            self._write(self._waiting[0])
            self._waiting_bytes -= len(self._waiting.popleft())

    def _start(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = f"{time.time_ns() // 1_000_000:013d}-{os.getpid()}-{secrets.token_hex(4)}"
        hidden = self.directory / f".{owner}{LOCK_SUFFIX}"
        owner_fd = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            fcntl.flock(owner_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.rename(self.directory / f"{owner}{LOCK_SUFFIX}")
            fd = self._create(owner, 0)
        except OSError:
            os.close(owner_fd)
            raise
        self._owner, self._owner_fd, self._fd, self._number, self._size = owner, owner_fd, fd, 0, 0
        self._start_keeper()

    def _create(self, owner: str, number: int) -> int:
        path = self.directory / f"{owner}.{number}{FILE_SUFFIX}"
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)

    def _next_file(self) -> None:
        """Begin the next file, which ends the present one. No room for it: the present one goes on."""
        with contextlib.suppress(OSError):
            fd = self._create(self._owner, self._number + 1)
            os.close(self._fd)
            self._fd, self._number, self._size = fd, self._number + 1, 0

    def _drop_files(self) -> None:
        for fd in (self._fd, self._owner_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._owner_fd = -1

    # --- the keeper: a thread for what no call does -------------------------------------------------------------------

    def _start_keeper(self) -> None:
        if self._keeper is None:
            self._keeper = threading.Thread(
                target=self._keep_house, args=(self._ended,), name="usage-journal", daemon=True
            )
            self._keeper.start()

    def _keep_house(self, ended: threading.Event) -> None:
        """Retry what waits, end an idle file, notice files that somebody removed. Ends with its owner."""
        while not ended.wait(KEEPER_INTERVAL_S):
            with self._lock:
                if ended.is_set():
                    return
                sync_fd = self._tick()
            if sync_fd >= 0:
                # Outside the lock, so that a slow disk holds up no call.
                with contextlib.suppress(OSError):
                    os.fsync(sync_fd)
                os.close(sync_fd)

    def _tick(self) -> int:
        """One round; answers a duplicate of the file to sync, or -1."""
        now = time.monotonic()
        try:
            if self._fd >= 0 and os.fstat(self._fd).st_nlink == 0:
                logger.error("The usage journal's file was removed under this process; starting a new one.")
                self._drop_files()
            self._write_waiting()
            if self._fd >= 0 and self._size and now - self._last_write > self.idle_s:
                self._next_file()
            if self.fsync_every_s is not None and self._last_sync + self.fsync_every_s <= now and self._fd >= 0:
                self._last_sync = now
                return os.dup(self._fd)
        except OSError:
            pass  # the next round tries again; whoever writes a line has said so already
        return -1

    def _after_fork(self) -> None:
        """In a forked child: the parent keeps the files, its lock and its waiting lines."""
        self._drop_files()
        self._begin_anew()


_journals: weakref.WeakSet[Journal] = weakref.WeakSet()
_by_directory: dict[Path, Journal] = {}


def _forget_parents_files() -> None:
    for journal in list(_journals):
        journal._after_fork()


os.register_at_fork(after_in_child=_forget_parents_files)


def journal_of(settings: Any) -> Journal:
    """This process's journal in `settings.LLMHUB_JOURNAL_DIR`; files appear with the first line."""
    directory = Path(settings.LLMHUB_JOURNAL_DIR)
    journal = _by_directory.get(directory)
    if journal is None:
        journal = _by_directory.setdefault(directory, Journal(directory))
    return journal


def check_writable(directory: Path) -> str:
    """Why `directory` can't hold a journal, in plain words; empty when it can. For start-up checks and readiness."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = directory / f".{secrets.token_hex(4)}.probe"
        fd = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(fd)
            probe.unlink()
    except OSError as error:
        return f"The journal folder {directory} can't be used: {error.strerror or error}."
    return ""
