"""The foreman of one server: sees to it that jobs are worked on, in a process of their own."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from index.service.jobs import Jobs
from vision.errors import FindalikeError

_EVERY = 2.0  # seconds between two looks at the queue
_BUSY = 0.25  # and while there is a worker, who may go any moment
_log = logging.getLogger("findalike")


class Worker(Protocol):
    """A process that does jobs."""

    def running(self) -> bool:
        """Tell whether it has not ended."""

    def end(self) -> None:
        """Make it end now; what it has committed stays."""


class Foreman:
    """Starts a worker whenever there is a job to be done; one at a time.

    ``hire`` starts a worker for a catalogue's folder under a name.
    """

    def __init__(self, path: Path, jobs: Jobs) -> None:
        self.hire: Callable[[Path, str], Worker] = _Process
        self._path, self._jobs = path, jobs
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._worker: Worker | None = None
        self._name = ""

    def start(self) -> None:
        """Begin to look after the jobs, from a thread."""
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name="foreman", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Look at the queue now: there is a new job."""
        self._wake.set()

    def close(self) -> None:
        """End the worker; its job is taken up again when there is a server."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            try:
                self._look()
            except FindalikeError as error:
                _log.warning("jobs: %s", error)
            self._wake.wait(_EVERY if self._worker is None else _BUSY)
            self._wake.clear()
        if self._worker is not None:
            self._worker.end()
            self._let_go()

    def _look(self) -> None:
        if self._worker is not None and not self._worker.running():
            self._let_go()
        if self._worker is None and self._jobs.waiting():
            self._name = secrets.token_hex(8)
            self._worker = self.hire(self._path, self._name)

    def _let_go(self) -> None:
        """Free the job of a worker that ended, perhaps in the middle of it."""
        self._worker = None
        with contextlib.suppress(FindalikeError):
            self._jobs.release(self._name)


class _Process:
    """A worker in a process of its own, which ends with the server's."""

    def __init__(self, path: Path, name: str) -> None:
        env = dict(os.environ)
        here = str(Path(__file__).parents[1])
        env["PYTHONPATH"] = os.pathsep.join([here, *filter(None, [env.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from webapp.work import main; main()", str(path), name],
            stdin=subprocess.PIPE,  # closed when the server ends, however it does
            env=env,
        )

    def running(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
