"""What the staff pages of one app share: accounts, the log, jobs, and work put off a little."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from index.catalogue import Catalogue
from index.labels.tagging import refresh
from index.labels.taxonomies import taxonomy_of
from index.query import Answer, Query
from index.service.accounts import Accounts
from index.service.audit import AuditLog
from index.service.jobs import Jobs
from index.service.searchlog import SearchLog, describe_search
from index.store.products import ProductTable
from vision.errors import FindalikeError
from vision.images import Image
from vision.taxonomy import Taxonomy
from webapp.foreman import Foreman
from webapp.gates import Gate

_PHOTO = 256  # pixels on the long side of a photo that is kept
_FRESH = 60.0  # seconds that figures are remembered
_EVERY = 2.0  # seconds between two writings of what was searched

T = TypeVar("T")

_log = logging.getLogger("findalike")


class Desk:
    """The staff's side of an app; one for each.

    ``keep_photos`` keeps small copies of the photos that nothing was found for. ``max_import`` is
    the most bytes of an uploaded feed.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        keep_photos: bool = False,
        max_import: int = 4 * 2**30,
    ) -> None:
        engine = catalogue.engine
        self.catalogue = catalogue
        self.accounts = Accounts(engine)
        self.audit = AuditLog(engine)
        self.jobs = Jobs(engine)
        self.searches = SearchLog(engine)
        self.foreman = Foreman(catalogue.path, self.jobs)
        self.door = Gate(2, 6)  # to the log-in: each needs 16 MB and a core for a while
        self.streams = threading.BoundedSemaphore(6)  # pages that follow a job; each has a thread
        self.keep_photos = keep_photos
        self.max_import = max_import
        self._known: dict[str, tuple[int, float, Any]] = {}
        self.again = _Later("refresh", 0.0, self._refresh)
        self._searched = _Later("searches", _EVERY, self.searches.add)

    def start(self) -> None:
        """Begin to work on jobs, also those that a server before this one left."""
        self.foreman.start()

    def close(self) -> None:
        """Finish what was put off and let go of threads and workers."""
        self.foreman.close()
        self.again.close()
        self._searched.close()
        self.door.close()

    def remember(self, name: str, table: ProductTable, make: Callable[[ProductTable], T]) -> T:
        """Return what ``make`` says of the catalogue, asked again after a change or a minute."""
        generation, now = table.generation(), time.monotonic()
        known = self._known.get(name)
        if known is None or known[0] != generation or now - known[1] > _FRESH:
            known = self._known[name] = (generation, now, make(table))
        return cast(T, known[2])

    def taxonomy(self) -> Taxonomy:
        """Return the catalogue's taxonomy."""
        with self.catalogue.reading() as table:
            return self.remember("taxonomy", table, taxonomy_of)

    def note_search(self, query: Query, answer: Answer) -> None:
        """Write down, in a moment, how a customer's search by photo or words went."""
        if query.photo is None and not query.text:
            return
        missed = answer.verdict == "not stocked"
        photo = query.photo if self.keep_photos and missed else None
        preview = photo.preview(_PHOTO) if isinstance(photo, Image) else None
        self._searched.put(describe_search(query, answer, preview))

    def _refresh(self, product_ids: list[Any]) -> None:
        refresh(self.catalogue, product_ids)


class _Later:
    """Does work on things in a thread, all that have gathered at once; some are lost on a crash."""

    def __init__(self, name: str, every: float, work: Callable[[list[Any]], object]) -> None:
        self._name, self._every, self._work = name, every, work
        self._things: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._some = threading.Event()
        self._closed = threading.Event()
        self._busy = threading.Lock()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, thing: Any) -> None:
        """Add a thing to work on."""
        self._things.put(thing)
        self._some.set()
        with self._guard:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def finish(self) -> None:
        """Work on all that was put so far, now."""
        with self._busy:
            gathered = []
            while not self._things.empty():
                gathered.append(self._things.get())
            try:
                if gathered:
                    self._work(gathered)
            except FindalikeError as error:
                _log.warning("%s: %s", self._name, error)

    def close(self) -> None:
        """Work on what is left, and end."""
        self._closed.set()
        self._some.set()
        if self._thread is not None:
            self._thread.join()
        self.finish()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._some.wait()
            self._closed.wait(self._every)
            self._some.clear()
            self.finish()
