"""Photos that shoppers asked to keep for a while, so that a search can be shared."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import threading
import time
from pathlib import Path

from vision.images import Image, read_image
from vision.pictures.sandbox import LONG_SIDE

_MOST = 5_000  # photos at once; the oldest give way
_OFTEN = 600.0  # seconds between two looks at the clock, or a tenth of the time that photos have
_log = logging.getLogger("findalike")


class KeptPhotos:
    """A private folder of photos, each for ``hours``, several processes may share it.

    What is kept is the picture encoded anew, without metadata, and the SHA-256 and size of what
    was uploaded. The token that gives access to a photo is nowhere in the folder: file names are
    its hash.
    """

    def __init__(self, folder: Path, hours: float) -> None:
        self.hours = hours
        self._folder = folder
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Delete photos when their time is over, from a thread, until ``close``."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="photos", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while True:
            try:
                self.sweep()
            except OSError as error:  # the next look may succeed
                _log.warning("old photos could not be deleted: %s", error)
            if self._closed.wait(min(_OFTEN, self.hours * 360)):
                return

    def keep(self, image: Image) -> str:
        """Keep a photo; return its token, 128 random bits that go into an address."""
        self.sweep()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        token = secrets.token_urlsafe(16)
        facts = {"sha256": image.sha256, "width": image.width, "height": image.height}
        path = self._path(token)
        temporary = path.with_suffix(".part")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as to:
            to.write(json.dumps(facts).encode() + b"\n" + image.preview(LONG_SIDE))
        temporary.replace(path)
        return token

    def get(self, token: str) -> Image | None:
        """Return a photo by its token; None when it is gone, or never was."""
        path = self._path(token)
        try:
            if path.stat().st_mtime < self._oldest():
                path.unlink(missing_ok=True)
                return None
            facts, _, data = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        image = read_image(data)
        return Image(image.pixels, format=image.format, **json.loads(facts))

    def sweep(self) -> None:
        """Delete the photos whose time is over, and the oldest of too many."""
        if not self._folder.is_dir():
            return
        found = []
        for entry in os.scandir(self._folder):
            try:
                found.append((entry.stat().st_mtime, entry.path))
            except FileNotFoundError:
                continue  # another process was faster
        found.sort(reverse=True)
        for place, (time_kept, path) in enumerate(found):
            if time_kept < self._oldest() or place >= _MOST - 1:
                Path(path).unlink(missing_ok=True)

    def _oldest(self) -> float:
        return time.time() - self.hours * 3600

    def _path(self, token: str) -> Path:
        return self._folder / f"{hashlib.sha256(token.encode()).hexdigest()}.photo"
