"""The process that tries ways to compute an encoder while an add waits for it."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

from index.catalogue import Catalogue
from index.changes.choosing import choose_backend
from vision.errors import FindalikeError


def main() -> None:
    """Choose for the catalogue in a folder within some seconds, both named by the arguments."""
    threading.Thread(target=_leave, daemon=True).start()
    with contextlib.suppress(OSError):  # where memory runs out, this goes rather than the add
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    try:
        with Catalogue.open(sys.argv[1]) as catalogue:
            choose_backend(catalogue, seconds=float(sys.argv[2]))
    except FindalikeError as error:
        sys.exit(str(error))


def _leave() -> None:
    """End this process when its parent does: then the pipe at standard input is closed."""
    while os.read(0, 1):  # not by sys.stdin, whose lock would be held when this process ends
        pass
    os._exit(1)
