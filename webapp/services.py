"""What the pages of one app share: the catalogue, settings, and what guards them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar, cast

import PIL.Image
from flask import Flask, current_app, g, request
from markupsafe import Markup

from index.catalogue import Catalogue
from index.query import Answer, Query
from index.search.facets import Facets, browse, count_facets
from index.search.parts import Parted, search_parts
from index.store.products import StoredProduct
from vision.errors import EncoderExchanged, UnreadableImage
from vision.images import Image, Limits
from vision.pictures.sandbox import Sandbox
from vision.threads import cores, one_thread_each
from webapp.gates import Allowance, Gate, Room
from webapp.metrics import Metrics
from webapp.shop.photos import KeptPhotos
from webapp.staff.desk import Desk

T = TypeVar("T")


_CHILDREN = 8  # that decode photos, at most; each has 30 MB


@dataclass(frozen=True)
class Config:
    """The settings of an app.

    ``secret_key`` signs cookies and must be the same in all processes that serve one shop.
    ``photo_hours`` is how long a shared photo is kept, ``max_upload`` the bytes of a request,
    ``searches_per_minute`` what one client may ask (0: any number), ``working`` how many searches
    run at once and ``waiting`` how many more may be let in. ``examples`` are photos that the start
    page offers. ``keep_missed`` keeps small copies of the photos that nothing was found for, for
    the staff to see. ``https`` marks cookies as for HTTPS only. With ``open_search`` programs may
    search and read products without a key, as shoppers can; ``log_words`` writes what was asked
    into the log.
    """

    shop_name: str = "findalike"
    secret_key: str = ""
    photo_hours: float = 24.0
    max_upload: int = 20 * 2**20
    searches_per_minute: int = 120
    working: int = 2
    waiting: int = 18
    examples: tuple[Path, ...] = ()
    https: bool = False
    open_search: bool = True
    log_words: bool = False
    keep_missed: bool = False


class Services:
    """A catalogue open for serving, with its settings; one for each app."""

    def __init__(self, catalogue: Catalogue, config: Config) -> None:
        self.catalogue = catalogue
        self.config = config
        # Decoding a large photo takes about as long as embedding it.
        children = min(_CHILDREN, max(2, cores() // 2))
        self.sandbox = Sandbox(children, limits=Limits(max_bytes=config.max_upload))
        self.gate = Gate(config.working, config.waiting)
        self.room = Room(2 * config.max_upload + 8 * 2**20)
        self.allowance = Allowance(config.searches_per_minute)
        self.metrics = Metrics(lambda: self.gate.waiting)
        self.photos = KeptPhotos(catalogue.path / "photos", config.photo_hours)
        self.desk = Desk(catalogue, keep_photos=config.keep_missed)
        self.panels: dict[tuple[object, ...], tuple[Facets, Markup]] = {}
        self._counted: dict[tuple[int, tuple[str, ...]], Facets] = {}
        self._renewing = threading.Lock()

    def decode(self, data: bytes) -> Image:
        """Read a picture of a stranger's; raises UnreadableImage, and SandboxBusy."""
        started = time.perf_counter()
        try:
            image = self.sandbox.read(data)
        except UnreadableImage:
            self.metrics.rejected("picture")
            raise
        self.metrics.took({"decode": (time.perf_counter() - started) * 1000})
        return image

    def ask(self, work: Callable[[Catalogue], T]) -> T:
        """Do work in one of the gate's threads; raises Full where none became free.

        Where the catalogue was given another encoder it is opened again, and the work done then.
        """
        catalogue = self.catalogue
        try:
            return self.gate.run(lambda: work(catalogue))
        except EncoderExchanged:
            self.renew(catalogue)
            return self.gate.run(lambda: work(self.catalogue))

    def renew(self, old: Catalogue) -> None:
        """Open the catalogue again, unless another thread has; who is in the old one may end."""
        with self._renewing:
            if self.catalogue is old:
                new = Catalogue.open(old.path)
                new.encoder.serve()
                self.catalogue = self.desk.catalogue = new
                self.__dict__.pop("knows_words", None)

    def see(self, query: Query) -> Query:
        """Return a query with its photo embedded: no turn is held meanwhile.

        So many photos can wait for the encoder at once, which takes several of them together, and
        Python's lock is not fought over by those that wait.
        """
        return self.catalogue.see(query)

    def search(self, query: Query) -> Answer:
        """Answer a query in one of the gate's threads; raises Full where none became free."""
        answer = self.ask(lambda catalogue: catalogue.search(query))
        self.desk.note_search(query, answer)
        self.metrics.searched(answer.verdict, answer.milliseconds)
        return answer

    def search_parts(self, query: Query) -> Parted:
        """Answer a photo as ``search`` does, or the part of it that finds much more."""
        found = self.ask(lambda catalogue: search_parts(catalogue, query))
        self.desk.note_search(query, found.answer)
        self.metrics.searched(found.answer.verdict, found.answer.milliseconds)
        return found

    def facets(self, where: tuple[str, ...]) -> Facets:
        """Return what the products that fit can be narrowed down by, remembered until a change."""
        with self.catalogue.reading() as table:
            key = (table.generation(), where)
            if key not in self._counted:
                if len(self._counted) > 200 or any(each[0] != key[0] for each in self._counted):
                    self._counted = {}
                self._counted[key] = count_facets(table, where)
            return self._counted[key]

    def browse(self, where: tuple[str, ...], order: str, limit: int) -> list[StoredProduct]:
        """Return products that fit, without anything to look for."""
        with self.catalogue.reading() as table:
            keys = browse(table, where, order=order, limit=limit)
            found = table.get(keys)
        return [found[key] for key in keys]

    def product(self, product_id: str) -> StoredProduct | None:
        """Return a product by its id."""
        with self.catalogue.reading() as table:
            key = table.keys([product_id]).get(product_id)
            return None if key is None else table.get([key]).get(key)

    def preview(self, sha256: str) -> bytes | None:
        """Return the stored picture of a product, a JPEG, by the SHA-256 of its original."""
        with self.catalogue.reading() as table:
            return table.previews([sha256])[sha256] if table.owners([sha256]) else None

    @cached_property
    def knows_words(self) -> bool:
        """Tell whether the catalogue's encoder can search by words."""
        return self.catalogue.encoder.knows_words

    @cached_property
    def examples(self) -> tuple[bytes, ...]:
        """Return the example photos, read when first asked for."""
        return tuple(path.read_bytes() for path in self.config.examples)

    def warm(self) -> None:
        """Load the encoder and the index, and start the children, before anyone waits for them."""
        self.sandbox.warm()
        one_thread_each()  # there are enough threads at work
        self.catalogue.encoder.serve()
        # Each thread keeps some megabytes from its first searches; better now than under load.
        blank = Image(PIL.Image.new("RGB", (640, 640)), "", 640, 640, "PNG")
        self.gate.warm(lambda: self.catalogue.search_many([Query(photo=blank)]))
        self.gate.warm(lambda: self.catalogue.search_many([Query(photo=blank)]))
        self.photos.start()
        self.desk.start()

    def close(self) -> None:
        """Let go of threads and children."""
        self.desk.close()
        self.photos.close()
        self.gate.close()
        self.sandbox.close()


def bound_bodies(app: Flask) -> None:
    """Let an app take in only as many bytes of requests at once as there is room for."""
    app.before_request(_take_room)
    app.teardown_request(_give_room)


def _take_room() -> None:
    size = min(request.content_length or 0, current_app.config["MAX_CONTENT_LENGTH"])
    services().room.take(size)
    g.room = size


def _give_room(_error: BaseException | None) -> None:
    services().room.give(g.pop("room", 0))


def services() -> Services:
    """Return the services of the app that answers the present request."""
    return cast(Services, current_app.extensions["findalike"])
