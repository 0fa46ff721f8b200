"""The note beside a large database of the state in which its file was found whole.

Looking at all pages and indices of a catalogue of a million products takes ten seconds. A file that
nobody wrote to since, by its size, inode and times, one of which no program can set, is not looked
at again for a week. Rows are checked when they are read, whatever the note says.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from index.store.tables import checksum

CHECKED = "catalogue.checked"

_SMALL = 64 * 2**20  # files up to this size are always checked
_WEEK = 7 * 24 * 3600.0


class Checked:
    """What is known of the SQLite database in ``path`` as this process opens it; None: of another.

    ``trusted`` says that it was found whole, and not written to since but by processes that knew.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._opened = _state(path)
        noted, since = _read(path)
        age = time.time() - since
        self.trusted = bool(self._opened) and noted == self._opened and 0 <= age < _WEEK
        self._since = since if self.trusted else time.time()

    def passed(self) -> None:
        """Note that all was in order, unless somebody has written since this process looked."""
        self.trusted = True
        if _state(self._path) == self._opened:
            self.close()

    def close(self) -> None:
        """Note the state in which this process leaves the database, if it knew it to be whole."""
        state = _state(self._path)
        if self.trusted and self._path is not None and state:
            text = f"{int(self._since)} {state}"
            temporary = self._path.with_name(f"{CHECKED}.tmp")
            with contextlib.suppress(OSError):  # it saves time, no more
                temporary.write_text(f"{text} {checksum(text)}\n")
                temporary.replace(self._path.with_name(CHECKED))


def _state(path: Path | None) -> str:
    """Return what tells whether a file was written to, "" for a small one or none."""
    try:
        if path is None or path.stat().st_size <= _SMALL:
            return ""
        log = path.with_name(f"{path.name}-wal")
        files = [path, *([log] if log.exists() and log.stat().st_size else [])]
        return " ".join(
            f"{s.st_ino} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}"
            for s in (f.stat() for f in files)
        )
    except OSError:
        return ""


def _read(path: Path | None) -> tuple[str, float]:
    """Return the state that was noted, and when it was last looked at: Unix time in seconds."""
    try:
        if path is None:
            return "", 0.0
        text, _, crc = path.with_name(CHECKED).read_text().strip().rpartition(" ")
        since, _, state = text.partition(" ")
        return (state, float(since)) if int(crc) == checksum(text) else ("", 0.0)
    except (OSError, ValueError):
        return "", 0.0
