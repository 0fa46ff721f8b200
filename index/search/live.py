"""The index in memory: loaded from its snapshot, kept up with the catalogue, or built anew."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from index.search.calibration import Calibration
from index.search.space import plain_space
from index.store.database import read_setting, write_setting
from index.store.identity import require_encoder
from index.store.products import Overtaken, ProductTable
from index.store.seal import read_seal
from index.store.tables import calibrations, checksum, damaged
from index.store.writing import ProductWriter
from index.vectors import Choice, DamagedIndex, VectorStore

SNAPSHOT = "index.safetensors"

_CHOICE = "index"  # the setting that holds the user's choice
_WORN = 0.25  # share of rows that came or went since a scan was learnt, when it is learnt anew
_LITTLE = 0.01  # share of rows that are sooner looked up at the next opening than written at once
_MANY = 20_000  # rows below which a snapshot is written whatever changed


@dataclass(frozen=True)
class Index:
    """A vector store, what it was built for, and the generation of the catalogue it stands at."""

    store: VectorStore
    calibration: Calibration
    generation: int
    choice: Choice


class LiveIndex:
    """The index of one catalogue as this process holds it.

    The catalogue is the truth: an index that is behind catches up with what was committed since,
    and one that cannot be trusted is built again from the stored embeddings.
    """

    def __init__(self, folder: Path, identity: str, fingerprint: str) -> None:
        self._snapshot = folder / SNAPSHOT
        self._identity = identity
        self._fingerprint = fingerprint
        self._index: Index | None = None
        self._guard = threading.RLock()
        self._damaged = False  # the snapshot, as a search found
        self._newer: tuple[VectorStore, int] | None = None  # a later snapshot, loaded aside
        self._loaded = 0  # when the snapshot that was loaded last was written (st_mtime_ns)

    def at(self, table: ProductTable, dim: Callable[[], int]) -> Index:
        """Return the index as of the database that ``table`` reads.

        ``dim`` gives the length of an embedding, asked only while nothing was calibrated yet. When
        the index is made for the first time, the catalogue is looked at for missing rows; raises
        CatalogueError where there are any.
        """
        # A transaction sees the database as of its first read. That is this one, within the guard,
        # so that no thread brings the index back to an older view than it has.
        with self._guard:
            generation = table.generation()
            index = self._index
            if index is not None and index.generation >= generation:
                return index
            require_encoder(table.connection, self._fingerprint)
            if index is None:
                table.verify(self._fingerprint)
            calibration = stored_calibration(table.connection, self._fingerprint)
            if calibration is None:
                calibration = Calibration(plain_space(dim()), None, 0, 0)
            if index is None:
                index = self._load(table, calibration, generation)
            elif index.calibration.space_id != calibration.space_id:
                index = None
            else:
                store, since = self._newer or (index.store, index.generation)
                self._newer = None
                index = self._catch_up(
                    table, Index(store, calibration, since, index.choice), generation
                )
                self._renew(table, index)
            self._index = index or self.build(table, calibration)
            return self._index

    @contextlib.contextmanager
    def looking_again(self) -> Iterator[None]:
        """End quietly where a search was overtaken or met a damaged row, to be made once more.

        An index with a damaged row is then built anew from the stored embeddings.
        """
        try:
            yield
        except Overtaken:
            pass
        except DamagedIndex:
            with self._guard:
                self._index, self._damaged = None, True

    def build(self, table: ProductTable, calibration: Calibration) -> Index:
        """Return a new index made from all stored embeddings."""
        choice, count = stored_choice(table.connection), table.indexed(self._fingerprint)
        space = calibration.space
        store = VectorStore.build(
            (
                (rows.ids, rows.product_keys, space.project(rows.vectors, rows.colours))
                for rows in table.rows(self._fingerprint)
            ),
            space.dim,
            kind=choice.kind_for(count),
            count=count,
            recall=choice.recall,
            folder=self._snapshot.parent,
        )
        return Index(store, calibration, table.generation(), choice)

    def adopt(self, index: Index) -> None:
        """Take an index that was built elsewhere in place of the present one."""
        with self._guard:
            self._index = index

    def save(self, table: ProductTable, index: Index) -> None:
        """Write the snapshot; raises CatalogueError when the disk is full.

        Where little changed in a large index, the snapshot that is there serves: what it lacks is
        looked up at the next opening. Where much changed, or the user wants another kind, the index
        is built anew first.
        """
        choice = stored_choice(table.connection)
        if index.store.worn > _WORN or index.choice != choice:
            index = self.build(table, index.calibration)
        store, space = index.store, self._stamp(choice, index.calibration)
        if (
            not self._snapshot.is_file()
            or len(store) < _MANY
            or store.unsaved > _LITTLE * len(store)
        ):
            store.save(self._snapshot, generation=index.generation, space=space)
            self._damaged = False
            if store.in_file:  # what came since is in memory: let the new file take its place
                found = VectorStore.load(self._snapshot, dim=store.dim, space=space)
                store = found[0] if found else store
            self._loaded = self._written()
        self.adopt(Index(store, index.calibration, index.generation, choice))

    def _stamp(self, choice: Choice, calibration: Calibration) -> str:
        """Name the catalogue, encoder and space: small ones share a space, but not their rows."""
        whose = f"{self._identity}/{self._fingerprint}/{calibration.space_id}"
        return f"{whose}/{choice.kind}/{choice.recall}"

    def _written(self) -> int:
        try:
            return self._snapshot.stat().st_mtime_ns
        except OSError:
            return 0

    def _load(self, table: ProductTable, calibration: Calibration, generation: int) -> Index | None:
        """Return the index in the snapshot, caught up; None if there is none to be trusted."""
        if self._damaged:
            return None
        self._loaded = self._written()
        choice = stored_choice(table.connection)
        found = VectorStore.load(
            self._snapshot, dim=calibration.space.dim, space=self._stamp(choice, calibration)
        )
        if found is None or found[1] > generation:  # later than the database: it was put back
            return None
        index = self._catch_up(table, Index(found[0], calibration, found[1], choice), generation)
        return index if len(index.store) == table.indexed(self._fingerprint) else None

    def _renew(self, table: ProductTable, index: Index) -> None:
        """Where much came since the snapshot that was loaded, and another process has written a
        later one by now, load that in a thread, for the next search after."""
        store = index.store
        if store.unsaved <= max(_MANY, _LITTLE * len(store)) or self._written() == self._loaded:
            return
        self._loaded = self._written()
        space = self._stamp(index.choice, index.calibration)

        def load() -> None:
            found = VectorStore.load(self._snapshot, dim=store.dim, space=space)
            with self._guard:
                if found is not None and self._index is not None and self._index.store is store:
                    self._newer = found

        threading.Thread(target=load, name="index", daemon=True).start()

    def _catch_up(self, table: ProductTable, index: Index, generation: int) -> Index:
        """Bring the store to the present generation by what changed since its own."""
        removed = table.removed(index.generation)
        if len(removed):
            index.store.remove(removed)
        for rows in table.rows(self._fingerprint, after=index.generation):
            vectors = index.calibration.space.project(rows.vectors, rows.colours)
            index.store.update(rows.ids, rows.product_keys, vectors)
        return replace(index, generation=generation)


def stored_choice(connection: Connection) -> Choice:
    """Return which kind of index the user wants."""
    return Choice(**(read_setting(connection, _CHOICE) or {}))


def store_choice(table: ProductWriter, choice: Choice) -> None:
    """Note which kind of index the user wants; it is built when the snapshot is next written."""
    table.next_generation()
    write_setting(table.connection, _CHOICE, choice.as_dict())


def stored_calibration(connection: Connection, fingerprint: str) -> Calibration | None:
    """Return the calibration that belongs to an encoder's embeddings, None before the first."""
    row = connection.execute(
        sa.select(calibrations).where(calibrations.c.fingerprint == fingerprint)
    ).first()
    crc = 0 if row is None else checksum(fingerprint, row.content)
    if crc != read_seal(connection).calibration:
        raise damaged("what was learnt of it is gone or does not match its checksum")
    return None if row is None else Calibration.from_bytes(row.content)


def store_calibration(table: ProductWriter, calibration: Calibration, fingerprint: str) -> int:
    """Write a calibration in place of the one before; return the generation of the change."""
    content = calibration.to_bytes()
    generation = table.next_generation()
    forget_calibration(table, fingerprint)
    table.connection.execute(
        sa.insert(calibrations).values(
            fingerprint=fingerprint, content=content, generation=generation
        )
    )
    table.note_calibration(checksum(fingerprint, content))
    return generation


def forget_calibration(table: ProductWriter, fingerprint: str) -> None:
    """Drop a calibration, to be learnt anew."""
    table.connection.execute(
        sa.delete(calibrations).where(calibrations.c.fingerprint == fingerprint)
    )
    table.note_calibration(0)
