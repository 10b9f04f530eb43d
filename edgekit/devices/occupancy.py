"""Who measures on a board now: notes that every account of the board can see, so that no two edgekits measure at once.

Each edgekit that measures has a note of its own in a folder where all accounts may write. It rewrites the note every
15 seconds while it uses the board (:attr:`edgekit.devices.shell.Shell.beat`). A note counts while it is not older than
STALE_SECONDS, is of this boot, and its edgekit is not known to have ended. An edgekit that finds another's note does not
start. One whose own note became too old, and that then finds another's, stops.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import random
import secrets
import shlex
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from edgekit.devices.shell import Shell
from edgekit.errors import EdgekitError, FailureKind

STALE_SECONDS = 120.0
"""Longer than edgekit goes without a command, unless it sends a large file slowly."""
FOLDERS = ("/dev/shm", "/tmp")
"""Folders where every account may write, and remove only its own files. The first is empty after a reboot."""
ATTEMPTS = 4
"""How often one enters if another enters at the same time."""
NAME = "edgekit-measures-"
LIST = """printf '%s\\t%s\\t%s\\n' "$(date +%s)" "$({boot_id})" "$(id -un)"
for note in {notes}; do [ -f "$note" ] && printf '%s\\t%s\\t%s\\n' "$(stat -c %Y "$note")" "$note" "$(cat "$note")"
done; true"""
"""Prints the board's time, boot and account, then the time, path and content of each note."""
_OURS: set[str] = set()
"""Tokens of this process's notes. A note that stays on a board, because the link was lost, is none of them."""
WRITE = """umask 022; for folder in {folders}; do [ -w $folder ] || continue
printf %s {text} > $folder/{name} && exit 0; done; exit 1"""


@dataclass(frozen=True)
class Note:
    """One edgekit's note. Times in seconds since 1970, of the board's clock."""

    path: str
    written: float
    token: str
    since: float
    boot: str
    account: str
    who: str
    computer: str
    process: int

    @staticmethod
    def parse(line: str) -> Note | None:
        """Read a line of LIST; None if another edgekit is just writing the note."""
        try:
            written, path, token, since, boot, account, who, computer, process = line.split("\t")
            return Note(path, float(written), token, float(since), boot, account, who, computer, int(process))
        except ValueError:
            return None

    @property
    def text(self) -> str:
        """What the note's file holds."""
        return "\t".join(
            (self.token, f"{self.since:.0f}", self.boot, self.account, self.who, self.computer, str(self.process))
        )

    def counts(self, now: float, boot: str) -> bool:
        """Say whether its edgekit still measures, as far as is known."""
        ended = self.computer == this_computer() and (
            self.token not in _OURS if self.process == os.getpid() else not psutil.pid_exists(self.process)
        )
        return self.boot == boot and abs(now - self.written) <= STALE_SECONDS and not ended


class Occupancy:
    """The notes on one board, and this edgekit's own."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.own: Note | None = None
        self._gave_way: EdgekitError | None = None

    def enter(self) -> None:
        """Write this edgekit's note. EdgekitError (``device_busy``) says who else measures, and since when."""
        self._gave_way = None
        for attempt in range(ATTEMPTS):
            now, boot, account, others = self._others()
            self._refuse(others, now)
            token = secrets.token_hex(6)
            who = f"{getpass.getuser()} at {socket.gethostname()}"
            self.own = Note("", now, token, now, boot, account, who, this_computer(), os.getpid())
            _OURS.add(token)
            self.beat()
            now, *_, others = self._others()
            if not others:
                return
            # Another one entered at the same time, and sees this note too. Both leave, and come again at random.
            self.leave()
            if attempt == ATTEMPTS - 1:
                self._refuse(others, now)
            time.sleep(random.uniform(0.2, 2))

    def check(self) -> None:
        """Make sure that no other edgekit measures. EdgekitError (``device_busy``) as in :meth:`enter`.

        After the error this edgekit has no note, and the same error comes again until the next :meth:`enter`.
        """
        if self._gave_way is not None:
            raise self._gave_way
        if self.own is None:
            return
        now, *_, others = self._others()
        if others:  # one that enters at a wrong time leaves at once
            time.sleep(1)
            now, *_, others = self._others()
        try:
            self._refuse(others, now)
        except EdgekitError as error:
            self._gave_way = error
            self.leave()
            raise

    def beat(self) -> None:
        """Write the note again, which says that this edgekit is still there."""
        if self.own is not None:
            write = WRITE.format(folders=" ".join(FOLDERS), text=shlex.quote(self.own.text), name=NAME + self.own.token)
            self.shell.check(write)

    def leave(self) -> None:
        """Remove this edgekit's note."""
        own, self.own = self.own, None
        if own is not None:
            _OURS.discard(own.token)
            self.shell.check(f"rm -f {' '.join(f'{folder}/{NAME}{own.token}' for folder in FOLDERS)}")

    def clear(self) -> None:
        """Remove the notes of this account, except this edgekit's own."""
        own = self.own.token if self.own else ""
        paths = " ".join(f"{folder}/{NAME}*" for folder in FOLDERS)
        self.shell.check(
            f"for note in {paths}; do [ -O $note ] && [ \"${{note##*/}}\" != '{NAME}{own}' ] && rm -f $note; done; true"
        )

    def _others(self) -> tuple[float, str, str, Sequence[Note]]:
        """Return the board's time, boot and account, and the notes of others that count."""
        notes = " ".join(f"{folder}/{NAME}*" for folder in FOLDERS)
        listing = LIST.format(boot_id=self.shell.system.boot_id, notes=notes)
        first, *lines = self.shell.check_patiently(listing, time.monotonic() + STALE_SECONDS).splitlines()
        now, boot, account = first.split("\t")
        own = self.own.token if self.own else None
        found = [
            note for note in map(Note.parse, lines) if note and note.token != own and note.counts(float(now), boot)
        ]
        return float(now), boot, account, found

    def _refuse(self, others: Sequence[Note], now: float) -> None:
        if not others:
            return
        first = min(others, key=lambda note: note.since)
        minutes = max(0, now - first.since) / 60
        since = datetime.fromtimestamp(time.time() - 60 * minutes, UTC).astimezone().strftime("%H:%M")
        message = (
            f"{first.who} measures on {self.shell.name} since {since} ({minutes:.0f} min), as its user {first.account}."
        )
        hint = (
            f"Wait until that is done. If that edgekit was killed, its note expires {STALE_SECONDS / 60:.0f} min after its "
            "last command."
        )
        raise EdgekitError(FailureKind.device_busy, "prepare", message, hint, retriable=True)


def this_computer() -> str:
    """Return what identifies this computer and boot, and the container if there is one: here process numbers have a meaning."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text(), str(Path("/proc/self/ns/pid").readlink())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
