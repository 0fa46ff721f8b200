"""The index in memory: loaded from its snapshot, kept up with the catalogue, or built anew."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from index.search.calibration import Calibration
from index.search.space import plain_space
from index.store.identity import require_encoder
from index.store.products import ProductTable
from index.store.seal import read_seal
from index.store.tables import calibrations, checksum, damaged
from index.store.writing import ProductWriter
from index.vectors import VectorStore

SNAPSHOT = "index.safetensors"


@dataclass(frozen=True)
class Index:
    """A vector store, what it was built for, and the generation of the catalogue it stands at."""

    store: VectorStore
    calibration: Calibration
    generation: int


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
                index = self._catch_up(
                    table, Index(index.store, calibration, index.generation), generation
                )
            self._index = index or self.build(table, calibration)
            return self._index

    def build(self, table: ProductTable, calibration: Calibration) -> Index:
        """Return a new index made from all stored embeddings."""
        store = VectorStore(calibration.space.dim)
        for rows in table.rows(self._fingerprint):
            vectors = calibration.space.project(rows.vectors, rows.colours)
            store.update(rows.ids, rows.product_keys, vectors)
        return Index(store, calibration, table.generation())

    def adopt(self, index: Index) -> None:
        """Take an index that was built elsewhere in place of the present one."""
        with self._guard:
            self._index = index

    def save(self, index: Index) -> None:
        """Write the snapshot; raises CatalogueError when the disk is full."""
        index.store.save(
            self._snapshot, generation=index.generation, space=self._stamp(index.calibration)
        )

    def _stamp(self, calibration: Calibration) -> str:
        """Name the catalogue, encoder and space: small ones share a space, but not their rows."""
        return f"{self._identity}/{self._fingerprint}/{calibration.space_id}"

    def _load(self, table: ProductTable, calibration: Calibration, generation: int) -> Index | None:
        """Return the index in the snapshot, caught up; None if there is none to be trusted."""
        found = VectorStore.load(
            self._snapshot, dim=calibration.space.dim, space=self._stamp(calibration)
        )
        if found is None or found[1] > generation:  # later than the database: it was put back
            return None
        index = self._catch_up(table, Index(found[0], calibration, found[1]), generation)
        return index if len(index.store) == table.indexed(self._fingerprint) else None

    def _catch_up(self, table: ProductTable, index: Index, generation: int) -> Index:
        """Bring the store to the present generation by what changed since its own."""
        removed = table.removed(index.generation)
        if len(removed):
            index.store.remove(removed)
        for rows in table.rows(self._fingerprint, after=index.generation):
            vectors = index.calibration.space.project(rows.vectors, rows.colours)
            index.store.update(rows.ids, rows.product_keys, vectors)
        return Index(index.store, index.calibration, generation)


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
