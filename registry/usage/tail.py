"""Reads the journals of a folder as they grow: which lines are new, which files are finished, which owners are dead.

Knows files and locks only; writes nothing but `.bad` files and deletes only what `forget` names. Positions live in
memory: after a restart every file is read again from its start, which the records' idempotence makes harmless.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from registry.usage.journal import FILE_SUFFIX, LOCK_SUFFIX
from registry.usage.lines import CorruptLine, Line, UnknownVersion, decode

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1024 * 1024
BAD_SUFFIX = ".bad"


@dataclass(slots=True, eq=False)
class JournalFile:
    """One file of an owner. `position` is behind the last line that is safe in the database."""

    path: Path
    number: int
    position: int = 0
    bad: int = 0  # lines set aside
    blocked: bool = False  # holds lines of another version: stays for the release that can read them

    @property
    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:  # removed by hand
            return 0

    @property
    def drained(self) -> bool:
        return not self.blocked and self.position >= self.size

    def read(self, limit_bytes: int) -> bytes:
        # Opened anew each time: after a long outage there are more files than a process may hold open.
        try:
            fd = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(fd, limit_bytes, self.position)
        finally:
            os.close(fd)


@dataclass(slots=True, eq=False)
class Owner:
    """One process that writes, or wrote. `running` maps calls without a settlement to the file that opened them."""

    name: str
    lock_fd: int  # -1: no lock file, so nobody can hold it
    files: dict[int, JournalFile] = field(default_factory=dict)
    dead: bool = False
    running: dict[str, int] = field(default_factory=dict)

    def in_order(self) -> list[JournalFile]:
        return [self.files[number] for number in sorted(self.files)]

    def is_finished(self, file: JournalFile) -> bool:
        """Nothing will be appended any more."""
        return self.dead or file.number < max(self.files)

    def look_alive(self) -> None:
        """Set `dead` once the lock is free. To be asked before the files are listed: what is listed then is final."""
        if self.dead:
            return
        if self.lock_fd < 0:
            self.dead = True
            return
        try:
            fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        fcntl.flock(self.lock_fd, fcntl.LOCK_UN)
        self.dead = True


@dataclass(frozen=True, slots=True)
class Piece:
    """A line with where it came from. `end` is the position behind it; `line` is None where it is bad, for `reason`."""

    owner: Owner
    file: JournalFile
    end: int
    raw: bytes
    line: Line | None
    reason: str = ""


class Tail:
    """The journals under `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.owners: dict[str, Owner] = {}
        self.bad_lines = 0
        self._turn = 0

    def refresh(self) -> None:
        """See which owners and files there are now."""
        for owner in self.owners.values():
            owner.look_alive()
        names = sorted(entry.name for entry in os.scandir(self.directory)) if self.directory.is_dir() else []
        for name in names:
            if name.endswith(LOCK_SUFFIX) and not name.startswith(".") and name.count("-") == 2:
                self._see_owner(name.removesuffix(LOCK_SUFFIX))
        for name in names:
            stem, _, number = name.removesuffix(FILE_SUFFIX).rpartition(".")
            if name.endswith(FILE_SUFFIX) and stem and number.isdecimal():
                self._see_file(self._see_owner(stem), name, int(number))

    def _see_owner(self, name: str) -> Owner:
        owner = self.owners.get(name)
        if owner is None:
            try:
                lock_fd = os.open(self.directory / f"{name}{LOCK_SUFFIX}", os.O_RDWR)
            except FileNotFoundError:
                lock_fd = -1
            owner = self.owners[name] = Owner(name, lock_fd)
        return owner

    def _see_file(self, owner: Owner, name: str, number: int) -> None:
        if number not in owner.files:
            owner.files[number] = JournalFile(self.directory / name, number)

    def next_pieces(self, limit: int) -> list[Piece]:
        """Up to `limit` new lines (or a few MiB), each owner's in its order; the owner that begins takes turns."""
        owners = list(self.owners.values())
        self._turn += 1
        start = self._turn % len(owners) if owners else 0
        pieces: list[Piece] = []
        for owner in owners[start:] + owners[:start]:
            for file in owner.in_order():
                pieces.extend(self._read(owner, file, limit - len(pieces)))
                if len(pieces) >= limit:
                    return pieces
                # A later file is read only when this one is through, so that a call's lines stay in order.
                if not file.blocked and pieces and pieces[-1].file is file and pieces[-1].end < file.size:
                    break
        return pieces

    def _read(self, owner: Owner, file: JournalFile, limit: int) -> Iterator[Piece]:
        if file.blocked or limit <= 0:
            return
        start = file.position
        for raw in self._complete_lines(owner, file, limit):
            end = start + len(raw) + 1
            try:
                yield Piece(owner, file, end, raw, decode(raw))
            except CorruptLine as reason:
                yield Piece(owner, file, end, raw, None, str(reason))
            except UnknownVersion as reason:
                logger.error("The usage journal %s stays where it is: %s.", file.path.name, reason)
                file.blocked = True
                return
            start = end

    def _complete_lines(self, owner: Owner, file: JournalFile, limit: int) -> list[bytes]:
        finished = owner.is_finished(file)  # asked first: bytes that come later belong to the next round
        wanted = CHUNK_BYTES
        data = file.read(wanted)
        while b"\n" not in data and len(data) == wanted:
            wanted *= 4
            data = file.read(wanted)
        found = data.split(b"\n")
        tail = found.pop()
        if tail and finished and not found and len(data) < wanted:
            found.append(tail)  # the line that its writer died in: no line, and set aside as such
        return found[:limit]

    def set_aside(self, file: JournalFile, raw: bytes, reason: str) -> None:
        """Keep a line that can't be used in a `.bad` file beside the journals."""
        # A restart reads the file from its start and meets the same lines: the first of them empties the `.bad` file.
        mode = os.O_APPEND if file.bad else os.O_TRUNC
        level = logging.DEBUG if file.bad else logging.ERROR
        file.bad += 1
        self.bad_lines += 1
        logger.log(level, "Line at byte %d of %s was set aside: %s.", file.position, file.path.name, reason)
        fd = os.open(file.path.with_suffix(BAD_SUFFIX), os.O_CREAT | os.O_WRONLY | mode, 0o600)
        try:
            os.write(fd, raw + b"\n")
        finally:
            os.close(fd)

    def forget_drained(self) -> int:
        """Delete the files that are of no more use, in order; answers how many. Their lines must be committed."""
        deleted = 0
        for owner in list(self.owners.values()):
            still_open = set(owner.running.values())
            for file in owner.in_order():
                if file.blocked or not owner.is_finished(file) or not file.drained or file.number in still_open:
                    break
                file.path.unlink(missing_ok=True)
                del owner.files[file.number]
                deleted += 1
            if owner.dead and not owner.files:
                self._forget_owner(owner)
        return deleted

    def _forget_owner(self, owner: Owner) -> None:
        if owner.lock_fd >= 0:
            (self.directory / f"{owner.name}{LOCK_SUFFIX}").unlink(missing_ok=True)
            os.close(owner.lock_fd)
        del self.owners[owner.name]

    def orphaned_calls(self) -> dict[str, Owner]:
        """Calls that nobody will settle: their owner is dead and all it wrote has been read."""
        return {
            request_id: owner
            for owner in self.owners.values()
            if owner.dead and all(file.drained for file in owner.files.values())
            for request_id in owner.running
        }

    def ends(self) -> dict[JournalFile, int]:
        """How far each file goes now that is not yet read to there."""
        files = [file for owner in self.owners.values() for file in owner.files.values() if not file.blocked]
        return {file: size for file in files if (size := file.size) > file.position}

    def running(self) -> set[str]:
        """Calls that are open by what was read so far."""
        return {request_id for owner in self.owners.values() for request_id in owner.running}

    def release(self) -> None:
        """Let go of the locks that were looked at; what was read stays where it is."""
        for owner in self.owners.values():
            if owner.lock_fd >= 0:
                os.close(owner.lock_fd)
        self.owners.clear()
