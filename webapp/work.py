"""What jobs do, and the process that does them: apart from the server, so that it can be killed."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from index.catalogue import Catalogue
from index.changes.adding import AddOptions
from index.feeds import FeedItem, Reject, stage
from index.labels.heads import describe_head, read_register
from index.service.jobs import LEASE, Job, Jobs, LostLease
from index.store.products import chunks
from vision.errors import FindalikeError
from webapp.logs import write_json_lines
from webapp.terminal.files import rejects_file

FOLDER = "jobs"  # beside the database: a folder for each job that leaves files
UPLOADS = "imports"  # and one for each feed that was uploaded
REJECTS = "rejects.csv"
REPORT = "report.html"

_SHOWN = 12  # rows of a feed in its preview
_TOLD = 100  # rejects kept with the job; the file has them all
_UNUSED = 2 * 24 * 3600.0  # seconds that a feed waits to be imported
_STEP = 0.4  # seconds between two notes of progress
_GRACE = 10.0  # seconds that a job may take to stop by itself

_log = logging.getLogger("findalike")


class _Stopped(Exception):
    """Somebody wants the job stopped."""


@dataclass
class Task:
    """A job as its work sees it."""

    job: Job
    catalogue: Catalogue
    progress: Callable[[str, int, int], None]
    told: list[dict[str, Any]] = field(default_factory=list)
    rejected: int = 0

    @property
    def folder(self) -> Path:
        """Return the folder for files that the job leaves."""
        return self.catalogue.path / FOLDER / str(self.job.id)

    @property
    def sources(self) -> list[Path]:
        """Return the feeds that were uploaded for the job."""
        upload = self.catalogue.path / UPLOADS / self.job.args["upload"]
        return [upload / each for each in self.job.args["files"]]

    @property
    def options(self) -> AddOptions:
        """Return how the feeds are read."""
        return AddOptions(folder_categories=bool(self.job.args.get("folder_categories")))

    @contextlib.contextmanager
    def rejects(self) -> Iterator[Callable[[Reject], None]]:
        """Give a function that keeps what was passed over, the first few with the job."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / REJECTS
        path.unlink(missing_ok=True)  # of an attempt that was interrupted
        with rejects_file(path) as write:

            def reject(one: Reject) -> None:
                self.rejected += 1
                shown = vars(one) | {"source": Path(one.source).name}
                if len(self.told) < _TOLD:
                    self.told.append(shown)
                write(Reject(**shown))

            yield reject


# --- the kinds ---------------------------------------------------------------------------------


def _check(task: Task) -> dict[str, Any]:
    """Read a feed and say what would go in, without touching the catalogue."""
    shown: list[dict[str, Any]] = []
    known = 0
    with task.rejects() as reject:
        staged = stage(
            task.sources,
            reject=reject,
            folder_categories=task.options.folder_categories,
            progress=lambda rows: task.progress("read", rows, 0),
        )
        with staged:
            items = iter(staged)
            for item in itertools.islice(items, _SHOWN):
                shown.append(_row(item))
            ids = itertools.chain(
                (row["product_id"] for row in shown), (each.product.product_id for each in items)
            )
            for some in chunks(ids):
                with task.catalogue.reading() as table:
                    known += len(table.keys(some))
            return {
                "products": staged.products, "images": staged.images, "known": known,
                "rows": shown, "rejected": task.rejected, "rejects": task.told,
            }  # fmt: skip


def _row(item: FeedItem) -> dict[str, Any]:
    return vars(item.product) | {"images": len(item.images)}


def _import(task: Task) -> dict[str, Any]:
    """Add a feed's products, and tag them where there is a head."""
    with task.rejects() as reject:
        report = task.catalogue.add(
            task.sources, options=task.options, reject=reject, progress=task.progress
        )
    result = vars(report) | {"rejected": task.rejected, "rejects": task.told}
    with task.catalogue.reading() as table:
        has_head = bool(read_register(table.connection).current)
    return result | ({"tagged": _tag(task)} if has_head else {})


def _train(task: Task) -> dict[str, Any]:
    """Train a head and say of every product what it thinks."""
    from index.labels.tagging import train

    taught = train(
        task.catalogue, precision=float(task.job.args["precision"]), progress=task.progress
    )
    return {
        "version": taught.version, "head": describe_head(taught.head), "tagged": _tag(task),
    }  # fmt: skip


def _tag(task: Task) -> dict[str, Any]:
    from index.labels.tagging import tag

    return vars(tag(task.catalogue, progress=task.progress))


def _evaluate(task: Task) -> dict[str, Any]:
    """Measure how well products are categorised, each asked of a head that did not see it."""
    from index.evaluation.labelled import evaluate_labels
    from webapp.reports.labels import axis_rows, headline, write_label_html

    measured = evaluate_labels(
        task.catalogue, precision=float(task.job.args["precision"]), progress=task.progress
    )
    task.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_label_html(measured, task.catalogue, task.folder / REPORT)
    axes = {each.axis: axis_rows(each, measured.precision) for each in measured.axes}
    return {"headline": headline(measured), "axes": axes}


def _rebuild(task: Task) -> dict[str, Any]:
    """Build the index anew."""
    task.catalogue.rebuild(progress=task.progress)
    return {"products": task.catalogue.info()["products"]}


KINDS: dict[str, Callable[[Task], dict[str, Any]]] = {
    "check": _check, "import": _import, "train": _train, "tag": _tag, "evaluate": _evaluate,
    "rebuild": _rebuild,
}  # fmt: skip


def sweep_uploads(catalogue: Path, jobs: Jobs) -> None:
    """Delete feeds that were uploaded days ago and never imported."""
    used = {each.args["upload"] for each in jobs.latest(kinds=("import",), limit=100_000)}
    for folder in (catalogue / UPLOADS).glob("*"):
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            if folder.name not in used and folder.stat().st_mtime < time.time() - _UNUSED:
                forget_upload(catalogue, folder.name)


def forget_upload(catalogue: Path, upload: str) -> None:
    """Delete a feed that was uploaded and is not wanted."""
    shutil.rmtree(catalogue / UPLOADS / upload, ignore_errors=True)


# --- the process --------------------------------------------------------------------------------


def work_off(path: Path, worker: str, lease: float = LEASE) -> None:
    """Do the catalogue's jobs, one after the other, until there is none to be taken."""
    with Catalogue.open(path) as catalogue:
        jobs = Jobs(catalogue.engine)
        while (job := jobs.claim(worker, lease)) is not None:
            with contextlib.suppress(LostLease):
                _work(catalogue, jobs, job, worker, lease)


def _work(catalogue: Catalogue, jobs: Jobs, job: Job, worker: str, lease: float) -> None:
    keeper = _Keeper(jobs, job, worker, lease)
    try:
        with keeper:
            result = KINDS[job.kind](Task(job, catalogue, keeper.progress))
    except _Stopped:
        jobs.finish(job.id, worker, "cancelled")
    except FindalikeError as error:
        if isinstance(error, LostLease):
            raise
        jobs.finish(job.id, worker, "failed", error=str(error))
    except Exception:
        _log.exception("job %s failed", job.id)
        error_text = "Something went wrong; the server's log says more."
        jobs.finish(job.id, worker, "failed", error=error_text)
    else:
        jobs.finish(job.id, worker, "done", result=json.loads(json.dumps(result, default=str)))


class _Keeper:
    """Keeps the lease of a job while it is worked on, and its progress; ends it when asked to."""

    def __init__(self, jobs: Jobs, job: Job, worker: str, lease: float) -> None:
        self._jobs, self._job, self._worker, self._lease = jobs, job, worker, lease
        self._now = ("", 0, 0)
        self._told = 0.0
        self._ended = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> _Keeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def progress(self, stage: str, done: int, total: int) -> None:
        """Take note of how far it is; raises _Stopped where it should not go on."""
        changed = stage != self._now[0]
        self._now = (stage, done, total)
        if self._stopping:
            raise _Stopped
        if changed or time.monotonic() - self._told > _STEP:
            self._renew()

    def _renew(self) -> None:
        self._told = time.monotonic()
        if not self._jobs.renew(self._job.id, self._worker, self._now, self._lease):
            self._stopping = True
            raise _Stopped

    def _keep(self) -> None:
        """Renew the lease from a thread, for work that takes long from one step to the next."""
        stopping_since = 0.0
        while not self._ended.wait(min(1.0, self._lease / 3)):
            if self._stopping:
                stopping_since = stopping_since or time.monotonic()
                if time.monotonic() - stopping_since > _GRACE:
                    self._jobs.finish(self._job.id, self._worker, "cancelled")
                    os._exit(0)  # what is committed is whole, however the process ends
                continue
            if time.monotonic() - self._told > min(1.0, self._lease / 3):
                try:
                    self._renew()
                except _Stopped:
                    continue
                except LostLease:
                    os._exit(1)
                except FindalikeError as error:  # the database is busy: there is time left
                    _log.warning("job %s: %s", self._job.id, error)


def main() -> None:
    """Do the jobs of the catalogue that is named, until they are done or the server is gone."""
    write_json_lines()
    path, worker = Path(sys.argv[1]), sys.argv[2]
    threading.Thread(target=_leave_with, args=(path, worker), daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(10)  # who searches comes first
    work_off(path, worker)


def _leave_with(path: Path, worker: str) -> None:
    """End this process when its parent does: then the pipe at standard input is closed."""
    while os.read(0, 1):  # not by sys.stdin, whose lock would be held when this process ends
        pass
    with contextlib.suppress(FindalikeError), Catalogue.open(path) as catalogue:
        Jobs(catalogue.engine).release(worker)
    os._exit(1)
