"""The catalogue: the one door to everything findalike knows about a shop's products."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import sqlalchemy as sa

from index.changes import upkeep
from index.changes.adding import DEFAULT_OPTIONS, AddOptions, AddReport, add_products, ignore
from index.feeds import Reject
from index.labels.heads import HeadShelf
from index.progress import Progress, silent
from index.query import Answer, Query
from index.search.calibration import Calibration, learn_space, learn_verdicts
from index.search.embedding import see_photos
from index.search.live import Index, LiveIndex, store_calibration, stored_calibration
from index.search.ranking import answer_queries, ask
from index.search.recent import RecentProducts
from index.search.words import Words
from index.store.database import connect, database_lock, read_setting, transaction
from index.store.identity import introduce, require_encoder
from index.store.place import (
    BACKEND,
    database_address,
    is_catalogue,
    make_folder,
    require_catalogue,
)
from index.store.products import ProductTable
from index.store.stamp import Stamp, compare_stamp, read_stamp, write_stamp
from index.store.tables import damaged
from index.store.writing import ProductWriter
from vision.errors import CatalogueBusy, CatalogueError
from vision.models import BUILTIN

if TYPE_CHECKING:
    from vision.encoder import Encoder

# The ranking space is learnt anew when the catalogue has grown or shrunk by this share since.
_LEARN_AGAIN = 0.2
_ATTEMPTS = 5  # at a search during which another process took a product away


class Catalogue:
    """A shop's products, ready to be searched; made by ``Catalogue.open``.

    Any number of processes and threads may search a catalogue while one writes to it; each search
    sees what was committed when it began. Writing methods raise CatalogueBusy while another
    process writes.
    """

    def __init__(
        self, path: Path, engine: sa.Engine, encoder_spec: str, fingerprint: str, identity: str
    ) -> None:
        self.path = path
        self.engine = engine
        self.encoder_spec = encoder_spec
        self.fingerprint = fingerprint
        self.identity = identity
        self.heads = HeadShelf(path, fingerprint)
        self._live = LiveIndex(path, identity, fingerprint)
        self._words, self._recent = Words(), RecentProducts()
        self._lock = filelock.FileLock(path / "write.lock")

    # --- opening -------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        path: str | Path = "catalogue",
        *,
        encoder: str | None = None,
        create: bool = False,
        database: str | None = None,
    ) -> Catalogue:
        """Open the catalogue in a folder, or with ``create`` make it where there is none.

        ``encoder`` names the encoder of a new catalogue (default: the built-in one); a catalogue
        that exists keeps its own. ``database`` is the SQLAlchemy address of a PostgreSQL server
        that takes the place of the folder's SQLite file (default: FINDALIKE_DATABASE, if set).
        Raises CatalogueError where there is no catalogue, or it is damaged or of another encoder.
        """
        path = Path(path)
        wanted = _absolute(encoder) if encoder else None
        noted = read_stamp(path)
        loaded = None
        if not create:
            require_catalogue(path, database)
        elif not is_catalogue(path, database):
            compare_stamp(path, noted, None)
            loaded = _load(wanted or BUILTIN)  # before anything is made: it may fail
        make_folder(path)
        engine = connect(database_address(path, database))
        try:
            if create:
                introduce(engine, lambda: loaded or _load(wanted or BUILTIN))
            with transaction(engine) as connection:
                generation = ProductTable(connection).generation()
                spec, fingerprint, identity = (
                    read_setting(connection, name)
                    for name in ("encoder", "fingerprint", "identity")
                )
            if spec is None or fingerprint is None or identity is None:
                raise damaged("it does not say which encoder it has", mendable=False)
            compare_stamp(path, noted, Stamp(identity, generation))
            if wanted is not None and wanted != spec:
                raise CatalogueError(
                    f"This catalogue was made with the encoder {spec}, and embeddings of two "
                    f"encoders cannot be compared. Leave out --encoder, or make another catalogue: "
                    f"--catalogue OTHER --encoder {wanted}"
                )
        except BaseException:
            engine.dispose()
            raise
        catalogue = cls(path, engine, spec, fingerprint, identity)
        if loaded is not None and loaded.fingerprint == fingerprint:
            catalogue.__dict__["encoder"] = loaded
        return catalogue

    @cached_property
    def encoder(self) -> Encoder:
        """The catalogue's encoder, loaded at first use and checked against its fingerprint."""
        return self._load_encoder()

    def renew_encoder(self) -> None:
        """Load the encoder again, to be computed as was chosen since; other threads may use it."""
        self.__dict__["encoder"] = self._load_encoder()

    def _load_encoder(self) -> Encoder:
        encoder = _load(self.encoder_spec, self.path / BACKEND)
        if encoder.fingerprint != self.fingerprint:
            raise CatalogueError(
                f"The encoder {self.encoder_spec} is not the one this catalogue was made with: its "
                f"weights or preprocessing changed (fingerprint {encoder.fingerprint[:12]}, the "
                f"catalogue has {self.fingerprint[:12]}). Put the old weights back, or make a new "
                f"catalogue with the new ones."
            )
        return encoder

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- searching -----------------------------------------------------------------------------

    def search(self, query: Query) -> Answer:
        """Answer one query with up to ``query.k`` distinct products, best first.

        Raises QueryError for a query that makes no sense, UnreadableImage for its photo.
        """
        return self.search_many([query])[0]

    def see(self, query: Query) -> Query:
        """Return a query with its photo embedded, which is most of the work of a search."""
        query.conditions()  # a wrong filter is told first
        (seen,) = see_photos([query], lambda: self.encoder)
        return replace(query, seen=seen)

    def search_many(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer many queries at once, each as ``search`` does, in batches."""
        if not queries:
            return []
        started = time.perf_counter()
        for _ in range(_ATTEMPTS):
            with self._live.looking_again(), self.reading() as table:
                now = self.index(table)
                opened = time.perf_counter()
                asked = ask(queries, lambda: self.encoder, now.calibration.space, now.store, table)
                get = partial(self._recent.get, table=table, generation=now.generation)
                answers = answer_queries(asked, now.store, now.calibration, self._words, table, get)
                for answer in answers:
                    answer.milliseconds["open"] = (opened - started) * 1000 / len(queries)
                return answers
        raise damaged("the index has products that the catalogue does not have")

    # --- changing ------------------------------------------------------------------------------

    def add(
        self,
        sources: Sequence[str | Path],
        *,
        options: AddOptions = DEFAULT_OPTIONS,
        reject: Callable[[Reject], None] = ignore,
        progress: Progress = silent,
    ) -> AddReport:
        """Add the products of feeds, folders, archives or pictures.

        Batches are committed as they finish, and what is already there is not done again, so that
        an interrupted call is taken up by making it once more. ``reject`` is told of everything
        that was passed over, ``progress`` of (stage, done, total). Raises FeedError for a source
        that cannot be read at all.
        """
        with self.writing():
            report = add_products(self, sources, options, reject, progress)
            self.settle(progress=progress)
        return report

    def remove(self, product_ids: Sequence[str]) -> int:
        """Remove products with their pictures and embeddings; ids that do not exist are an error.

        Returns how many were removed. Raises QueryError naming the unknown ids; then none is.
        """
        with self.writing():
            count = upkeep.remove_products(self, product_ids)
            self.settle()
        return count

    def rebuild(self, *, progress: Progress = silent) -> None:
        """Build the index anew from the stored embeddings, and learn space and verdicts anew."""
        with self.writing():
            self.settle(learn=True, progress=progress)

    def info(self) -> dict[str, Any]:
        """Return what the catalogue holds, as documented for ``findalike info --json``."""
        return upkeep.describe(self)

    # --- the derived index ---------------------------------------------------------------------

    def index(self, table: ProductTable) -> Index:
        """Return the index as of the database that ``table`` reads."""
        return self._live.at(table, lambda: self.encoder.dim)

    def settle(self, *, learn: bool = False, progress: Progress = silent) -> None:
        """After a change: learn space and verdicts anew where needed, and write the snapshot."""
        with self.reading() as table:
            known = stored_calibration(table.connection, self.fingerprint)
            pictures = table.indexed(self.fingerprint)
            stale = known is None or abs(pictures - known.pictures) > _LEARN_AGAIN * known.pictures
            fresh = (
                self._learn(table, pictures, progress) if pictures and (learn or stale) else None
            )
        if fresh is not None:
            with self.changing() as table:
                generation = store_calibration(table, fresh.calibration, self.fingerprint)
            self._live.adopt(replace(fresh, generation=generation))
        with self.reading() as table:
            self._live.save(table, self.index(table))

    def _learn(self, table: ProductTable, pictures: int, progress: Progress) -> Index:
        """Learn a new space, build the index in it, and learn verdicts by searching that."""
        progress("learn", 0, 2)
        space, weight_from = learn_space(table, self.fingerprint)
        bare = Calibration(space, None, pictures, weight_from)
        index = self._live.build(table, bare)
        progress("learn", 1, 2)
        verdicts = learn_verdicts(table, index.store, space, self.encoder)
        progress("learn", 2, 2)
        return replace(index, calibration=replace(bare, verdicts=verdicts))

    # --- transactions --------------------------------------------------------------------------

    @contextlib.contextmanager
    def reading(self) -> Iterator[ProductTable]:
        """Open one consistent view of the database."""
        with transaction(self.engine) as connection:
            try:
                yield ProductTable(connection)
            except CatalogueError:
                require_encoder(connection, self.fingerprint)  # tells, if that is the reason
                raise

    @contextlib.contextmanager
    def changing(self) -> Iterator[ProductWriter]:
        """Open one transaction: all of it is committed at the end, or none."""
        with transaction(self.engine, writes=True) as connection:
            require_encoder(connection, self.fingerprint)
            table = ProductWriter(connection)
            yield table
            stamp = Stamp(self.identity, table.generation())
        write_stamp(self.path, stamp)

    @contextlib.contextmanager
    def writing(self, wait: float = 5.0) -> Iterator[None]:
        """Be the one writer; raises CatalogueBusy after ``wait`` seconds of waiting for another."""
        try:
            self._lock.acquire(timeout=wait)
        except filelock.Timeout as error:
            raise CatalogueBusy(
                f"Another findalike process is writing to the catalogue in {self.path}. Nothing "
                f"was changed; run the command again when that one has finished."
            ) from error
        except OSError as error:
            raise CatalogueError(
                f"The catalogue in {self.path} cannot be written to ({error.strerror}). Nothing "
                f"was changed."
            ) from error
        try:
            with database_lock(self.engine):
                yield
        finally:
            self._lock.release()


def _load(spec: str, home: Path | None = None) -> Encoder:
    """Load an encoder; torch is imported only now, which takes longer than most commands do."""
    from vision.encoder import Encoder

    return Encoder.load(spec, home=home)


def _absolute(spec: str) -> str:
    from vision.networks.backbones import resolve_spec

    return resolve_spec(spec)
