"""The recorder: drains the journals of one folder into the database, one recorder a folder.

Owns the order of things: lines are read, committed, and only then passed over; files are deleted only when every call
they opened is settled in the database. So a crash at any point repeats work and loses none.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import logging
import os
import select
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from django.db import DataError, Error, IntegrityError, connection

from registry.models import RegistryChange
from registry.usage.books import Applied, Books, Change, SettledHook, changes_of
from registry.usage.holders import Estates
from registry.usage.lag import Lag
from registry.usage.tail import Owner, Piece, Tail

logger = logging.getLogger(__name__)

BATCH_LINES = 2000
# A short wait lets a call's lines arrive together and cost one row instead of an insert and an update.
POLL_S = 0.2
HURRY_BYTES = 256 * 1024  # more than this behind: no wait between batches
# A call takes an hour at most; what runs after a day has lost its journal.
STALE_AFTER = dt.timedelta(days=1)
UPKEEP_EVERY_S = 3600.0
# Workers read the change log once a second; one that was away for longer than this loads the registry anew.
CHANGES_KEPT = dt.timedelta(days=1)
TELL_EVERY_S = 1.0
LONGEST_BACK_OFF_S = 5.0
LOCK_NAME = "recorder.lock"
ASK_SUFFIX = ".flush"
ANSWER_SUFFIX = ".flushed"


class RecorderBusy(Exception):
    """Another recorder has this folder."""


class Stop:
    """A flag to wait on that a signal's function may set: an Event's lock could be held where the signal arrives."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        self._is_set = False

    def set(self) -> None:
        self._is_set = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._write_fd, b"x")

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout_s: float) -> bool:
        if not self._is_set:
            select.select([self._read_fd], [], [], timeout_s)
        return self._is_set


@dataclass(slots=True)
class Counts:
    """What a recorder did since it started."""

    lines: int = 0
    settled: int = 0
    repeated: int = 0  # calls met again after a restart
    abandoned: int = 0
    bad_lines: int = 0
    files_deleted: int = 0

    def since(self, before: Counts) -> Counts:
        return Counts(**{one.name: getattr(self, one.name) - getattr(before, one.name) for one in fields(self)})


class Recorder:
    """Drains `directory`. Use inside `with`, which takes the folder's lock or raises RecorderBusy."""

    def __init__(
        self,
        directory: Path,
        *,
        batch_lines: int = BATCH_LINES,
        poll_s: float = POLL_S,
        on_settled: Sequence[SettledHook] = (),
    ) -> None:
        self.directory = directory
        self.batch_lines = batch_lines
        self.poll_s = poll_s
        self.counts = Counts()
        self._books = Books(on_settled)
        self._tail = Tail(directory)
        self._estates = Estates(directory)
        self._lock_fd = -1
        self._kept_up_at = self._told_at = float("-inf")
        self._newest_ms = time.time_ns() // 1_000_000  # the moment of the newest line recorded

    def __enter__(self) -> Recorder:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.directory / LOCK_NAME, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise RecorderBusy(f"another recorder drains {self.directory}") from None
        self._lock_fd = fd
        return self

    def __exit__(self, *_: object) -> None:
        self._tail.release()
        os.close(self._lock_fd)
        self._lock_fd = -1

    # --- the loop ----------------------------------------------------------------------------------------------------

    def run(self, stop: Stop, is_orphan: Callable[[], bool] = lambda: False) -> None:
        """Drain until `stop` is set or `is_orphan` says that nobody needs this process; the batch in hand is ended.

        A database that is gone is waited for, with the journals staying where they are.
        """
        back_off_s = 0.0
        while not stop.is_set() and not is_orphan():
            try:
                moved = self._answer_questions() or self.step()
                self._keep_up()
            except (Error, OSError) as error:
                back_off_s = min(max(back_off_s * 2, 0.25), LONGEST_BACK_OFF_S)
                logger.warning("Usage can't be recorded now (%s); next try in %.2g s.", _brief(error), back_off_s)
                _drop_connection()
                self._tell()
                stop.wait(back_off_s)
                continue
            if back_off_s:
                logger.warning("Usage is being recorded again.")
                back_off_s = 0.0
            self._tell()
            if not moved or self.behind_bytes() < HURRY_BYTES:
                stop.wait(self.poll_s)

    def drain(self) -> Counts:
        """Record all that is written now and answer what that was. Raises what the database raises."""
        before = replace(self.counts)
        # Twice: an owner seen for the first time is known to be dead only at the second look.
        for _ in range(2):
            self._tail.refresh()
            goal = self._tail.ends()
            while self.step() and any(file.position < end and not file.blocked for file, end in goal.items()):
                pass
        return self.counts.since(before)

    def step(self) -> int:
        """One round: a batch, then the calls and files of the dead; answers how many lines it moved."""
        self._tail.refresh()
        pieces = self._tail.next_pieces(self.batch_lines)
        if pieces:
            self._record(pieces)
        self._abandon_orphans()
        self.counts.files_deleted += self._tail.forget_drained()
        self.counts.bad_lines = self._tail.bad_lines
        if not pieces and not self.behind_bytes():
            self._estates.settle()
        return len(pieces)

    def behind_bytes(self) -> int:
        """What is in the journals and not yet in the database."""
        return sum(end - file.position for file, end in self._tail.ends().items())

    def _tell(self) -> None:
        """Leave word of the lag, once a second."""
        if time.monotonic() - self._told_at < TELL_EVERY_S:
            return
        self._told_at = time.monotonic()
        now_ms, behind = time.time_ns() // 1_000_000, self.behind_bytes()
        lag_s = max(0.0, (now_ms - self._newest_ms) / 1000) if behind else 0.0
        Lag(at_ms=now_ms, behind_bytes=behind, lag_s=round(lag_s, 3)).write(self.directory)

    # --- a batch -----------------------------------------------------------------------------------------------------

    def _record(self, pieces: list[Piece]) -> None:
        changes = changes_of(piece.line for piece in pieces if piece.line is not None)
        running: set[str] = set()
        for applied in self._apply(changes, pieces) if changes else ():
            running |= applied.running
            self.counts.settled += applied.settled
            self.counts.repeated += applied.repeated
        for piece in pieces:
            if piece.line is None:
                self._tail.set_aside(piece.file, piece.raw, piece.reason)
            else:
                _follow(piece.owner, piece.file.number, piece.line.request_id, running)
                self._newest_ms = piece.line.moment_ms
            piece.file.position = piece.end
        self.counts.lines += len(pieces)

    def _apply(self, changes: list[Change], pieces: list[Piece]) -> list[Applied]:
        """Write the changes. Where the database refuses a value, halve until the one call is found; set that aside."""
        try:
            return [self._books.apply(changes)]
        except (IntegrityError, DataError, ValueError, TypeError, ArithmeticError) as error:
            if len(changes) == 1:
                self._set_aside(changes[0], pieces, error)
                return []
            middle = len(changes) // 2
            return self._apply(changes[:middle], pieces) + self._apply(changes[middle:], pieces)

    def _set_aside(self, change: Change, pieces: list[Piece], reason: object) -> None:
        for piece in pieces:
            if piece.line is not None and piece.line.request_id == change.request_id:
                self._tail.set_aside(piece.file, piece.raw, f"call {change.request_id}: {_brief(reason)}")

    def _abandon_orphans(self) -> None:
        """Settle what dead owners left open. A free lock proves the death, so there is nothing to wait for."""
        orphans = self._tail.orphaned_calls()
        if not orphans:
            return
        abandoned = self._books.abandon(orphans)
        for request_id, owner in orphans.items():
            owner.running.pop(request_id, None)
        self.counts.abandoned += abandoned
        logger.warning("%d calls were abandoned: their worker died.", abandoned)

    def _keep_up(self) -> None:
        """Once an hour, and at the start: what no journal knows of, and a change log that would grow for ever."""
        if time.monotonic() - self._kept_up_at > UPKEEP_EVERY_S:
            self._kept_up_at = time.monotonic()
            self.counts.abandoned += self._books.abandon_stale(older_than=STALE_AFTER, except_for=self._tail.running())
            RegistryChange.prune(older_than=CHANGES_KEPT)

    # --- questions: `flush_usage` beside a running recorder ----------------------------------------------------------

    def _answer_questions(self) -> int:
        """Drain for those who ask; the question's file becomes the answer's in one move, and the asker removes it."""
        questions = sorted(self.directory.glob(f"*{ASK_SUFFIX}"))
        if not questions:
            return 0
        done = self.drain()
        for question in questions:
            with contextlib.suppress(OSError):  # the asker gave up
                question.write_text(json.dumps(asdict(done)), encoding="utf-8")
                question.rename(question.with_suffix(ANSWER_SUFFIX))
        return done.lines


def _follow(owner: Owner, number: int, request_id: str, running: set[str]) -> None:
    """Remember which calls of an owner still run, and the file that holds their first line."""
    if request_id in running:
        owner.running.setdefault(request_id, number)
    else:
        owner.running.pop(request_id, None)


def _brief(error: object) -> str:
    """An error's kind and first line: a database's message may go on to quote values."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


def _drop_connection() -> None:
    """Begin the next try with a fresh connection: a server that failed over may keep the old one half alive."""
    with contextlib.suppress(Exception):
        connection.close()


@contextlib.contextmanager
def recorder_when_free(recorder: Recorder, stop: Stop, *, wait_s: float = 1.0) -> Iterator[Recorder | None]:
    """Enter the recorder as soon as the one that has the folder lets go; gives None when `stop` came first."""
    said = False
    while not stop.is_set():
        try:
            with recorder:
                yield recorder
            return
        except RecorderBusy:
            if not said:
                logger.info("Another recorder drains %s; waiting for it to end.", recorder.directory)
                said = True
            stop.wait(wait_s)
    yield None


def ask_to_flush(directory: Path, *, timeout_s: float) -> Counts | None:
    """Have the running recorder drain all that is written now. None when none runs (any more) or time is up."""
    question = directory / f"{os.getpid()}-{time.time_ns()}{ASK_SUFFIX}"
    answer = question.with_suffix(ANSWER_SUFFIX)
    question.touch(mode=0o600)
    deadline = time.monotonic() + timeout_s
    try:
        while time.monotonic() < deadline and not _is_free(directory):
            if answer.exists():
                return Counts(**json.loads(answer.read_text(encoding="utf-8")))
            time.sleep(0.02)
        return None
    finally:
        question.unlink(missing_ok=True)
        answer.unlink(missing_ok=True)


def _is_free(directory: Path) -> bool:
    try:
        with Recorder(directory):
            return True
    except RecorderBusy:
        return False
