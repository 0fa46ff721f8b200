"""The products of an import, gathered on disk before any of them is used.

The rows of one product need not stand together in a feed, and a feed may be longer than memory:
the rows go into a temporary database, and the products come out of it one by one.
"""

from __future__ import annotations

import hashlib
import json

# The standard library's own, although the catalogue goes through SQLAlchemy: this database is a
# scratch file of one process that no other code ever sees, and a million rows want bare speed.
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from types import TracebackType
from typing import Any

from index.feeds.rows import MAX_IMAGES
from index.feeds.texts import MAX_TEXT
from index.product import Product
from vision.errors import FeedError

_BATCH = 5000  # rows written at once
_DISK_TROUBLE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
_CACHE = 32 << 10  # KiB of memory for SQLite's pages

_encode = json.JSONEncoder(sort_keys=True).encode

_SCHEMA = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = FILE;
    CREATE TABLE rows (
        seq INTEGER PRIMARY KEY, product_id TEXT, digest BLOB, data TEXT, source INTEGER,
        line INTEGER, named_by_path INTEGER, images TEXT, bad TEXT
    );
"""
# Sorted once at the end: an index kept up to date while rows come in gets slow with a million.
_SORT = """
    CREATE INDEX by_product ON rows (product_id, seq, digest);
    CREATE TABLE firsts (seq INTEGER PRIMARY KEY);
    INSERT INTO firsts SELECT min(seq) FROM rows WHERE digest IS NOT NULL
        GROUP BY product_id ORDER BY 1;
"""
_CONFLICTS = """
    SELECT r.source, r.line, r.product_id, f.source, f.line, f.named_by_path
    FROM firsts CROSS JOIN rows f ON f.seq = firsts.seq
    CROSS JOIN rows r ON r.product_id = f.product_id
    WHERE r.digest <> f.digest ORDER BY r.seq
"""
_ORPHANS = """
    SELECT min(seq), source, line, product_id FROM rows
    GROUP BY product_id HAVING count(digest) = 0 ORDER BY 1
"""
# CROSS JOIN keeps SQLite to this order of loops, in which nothing has to be sorted.
_PRODUCTS = """
    SELECT f.seq, f.product_id, f.data, f.source, f.line, f.named_by_path,
        r.line, r.images, r.bad, CASE WHEN r.digest IS NULL THEN r.data END
    FROM firsts CROSS JOIN rows f ON f.seq = firsts.seq
    CROSS JOIN rows r ON r.product_id = f.product_id
    WHERE r.digest = f.digest OR r.digest IS NULL
    ORDER BY firsts.seq, r.seq
"""


@dataclass(frozen=True)
class Reject:
    """One thing of a feed that was passed over.

    ``source`` is the feed as the user named it; ``line`` the physical line where the row starts,
    from 1, or 0 where there is none; ``product_id`` is "" if unknown, ``image`` is "" if the
    reason is not about one picture; ``reason`` says what is wrong and what to do.
    """

    source: str
    line: int
    product_id: str
    image: str
    reason: str


@dataclass(frozen=True)
class FeedItem:
    """One product of a feed, with all its pictures.

    ``images`` are locations, distinct, in the order of the feed, at least one: absolute paths, or
    "/path/feed.zip!/member.jpg" (see ``index.feeds.pictures.read_bytes``). ``source`` and ``line``
    are those of the product's first row. ``named_by_path`` is True when the product id was made
    from the name of a file.
    """

    product: Product
    images: tuple[str, ...]
    source: str
    line: int
    named_by_path: bool


@dataclass(frozen=True)
class StagedRow:
    """One valid row on its way in: the product, its pictures, and those that cannot be used.

    ``images`` are locations, ``bad`` pairs of (reference, reason). A row that ``continues`` adds
    to the product of another row with the same id, and brings only attributes of its own.
    """

    product: Product
    images: list[str]
    bad: list[tuple[str, str]]
    source: str
    line: int
    named_by_path: bool = False
    continues: bool = False


class Staged:
    """The products of an import; iterating yields a FeedItem for each, as often as wanted.

    They come in the order in which they first appear in the feeds. ``products`` and ``images``
    count what comes out. One thread at a time may use it, any thread.
    """

    def __init__(self) -> None:
        self.products = 0
        self.images = 0
        self._sources: list[str] = []
        self._batch: list[tuple[Any, ...]] = []
        with _disk():
            # No name: a temporary file that vanishes with this process, however it ends.
            self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._db.executescript(_SCHEMA + f"PRAGMA cache_size = -{_CACHE}; BEGIN;")

    def add(self, row: StagedRow) -> None:
        """Take in one row.

        Raises:
            FeedError: if the disk for temporary files is full.
        """
        if row.source not in self._sources[-1:]:
            self._sources.append(row.source)
        product = row.product
        digest = None
        if row.continues:
            data = _encode(product.attributes)
        else:
            data = _encode(product.__dict__)
            # Two pictures of one name are two products that clash, not two views of one.
            place = row.images if row.named_by_path else ()
            whole = "\0".join([data, *place]).encode()
            digest = hashlib.blake2b(whole, digest_size=16).digest()
        self._batch.append(
            (
                product.product_id,
                digest,
                data,
                len(self._sources) - 1,
                row.line,
                row.named_by_path,
                "\0".join(row.images),
                json.dumps(row.bad) if row.bad else None,
            )
        )
        if len(self._batch) >= _BATCH:
            self._write()

    def seal(self, reject: Callable[[Reject], None]) -> None:
        """Sort the rows by product, and report what only shows when they stand together.

        Raises:
            FeedError: if the disk for temporary files is full.
        """
        self._write()
        with _disk():
            self._db.executescript(_SORT)
            for source, line, product_id, *first in self._db.execute(_CONFLICTS):
                reason = self._conflict(source, *first)
                reject(Reject(self._sources[source], line, product_id, "", reason))
            for _, source, line, product_id in self._db.execute(_ORPHANS):
                reason = "no row of this Handle has a Title: give its first row one"
                reject(Reject(self._sources[source], line, product_id, "", reason))
            for group in self._groups():
                self.products += bool(group.images)
                self.images += len(group.images)
                for line, image, reason in group.rejects():
                    about = (self._sources[group.source], line, group.product_id)
                    reject(Reject(*about, image, reason))

    def __iter__(self) -> Iterator[FeedItem]:
        for group in self._groups():
            if group.images:
                yield FeedItem(
                    group.product(),
                    tuple(group.images),
                    self._sources[group.source],
                    group.line,
                    group.named_by_path,
                )

    def close(self) -> None:
        """Delete the temporary file; nothing can be read any more."""
        self._db.close()

    def __enter__(self) -> Staged:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self) -> None:
        with _disk():
            self._db.executemany(
                "INSERT INTO rows (product_id, digest, data, source, line, named_by_path, images,"
                " bad) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                self._batch,
            )
        self._batch.clear()

    def _groups(self) -> Iterator[_Group]:
        with _disk():
            rows = self._db.execute(_PRODUCTS)
            for _, members in groupby(rows, key=lambda row: row[0]):
                yield _gather(members)

    def _conflict(self, source: int, first: int, line: int, named_by_path: bool) -> str:
        where = f"line {line}" if line else "another picture"
        if first != source or not line:
            where += f" of {self._sources[first]}"
        if named_by_path:
            return f"{where} has the same name: rename one of the two"
        return (
            f"{where} has the same product_id with other data: give each product its own id, or "
            "repeat the same data to add a picture"
        )


@dataclass
class _Group:
    """The rows of one product, as far as they agree."""

    product_id: str
    data: str
    source: int
    line: int
    named_by_path: bool
    images: dict[str, None] = field(default_factory=dict)  # a set that keeps its order
    bad: dict[str, tuple[int, str]] = field(default_factory=dict)  # reference -> (line, reason)
    dropped_from: int | None = None  # the line where there were too many pictures
    further: list[str] = field(default_factory=list)  # attributes of continuing rows, as JSON

    def product(self) -> Product:
        product = Product(**json.loads(self.data))
        for texts in self.further:
            for name, text in json.loads(texts).items():
                _add_value(product.attributes, name, text)
        return product

    def rejects(self) -> Iterator[tuple[int, str, str]]:
        """Yield (line, image, reason) for each picture that is not there, and for the whole."""
        alone = len(self.bad) == 1 and not self.images
        for image, (line, reason) in self.bad.items():
            yield line, image, reason + ("; it is the product's only picture" if alone else "")
        if self.dropped_from is not None:
            reason = f"has more than {MAX_IMAGES:,} pictures: the ones from here on are left out"
            yield self.dropped_from, "", reason
        if not self.images and not self.bad:
            yield self.line, "", "names no picture: every product needs at least one"
        elif not self.images and not alone:
            yield self.line, "", f"none of its {len(self.bad)} pictures can be used: see above"


def _gather(rows: Iterable[tuple[Any, ...]]) -> _Group:
    """Put the rows of one product together; no more is held than one product may have."""
    group: _Group | None = None
    for _, product_id, data, source, first, named_by_path, line, images, bad, further in rows:
        if group is None:
            group = _Group(product_id, data, source, first, bool(named_by_path))
        if further and len(group.further) < MAX_IMAGES:
            group.further.append(further)
        for image in images.split("\0") if images else ():
            if len(group.images) < MAX_IMAGES:
                group.images[image] = None
            elif image not in group.images and group.dropped_from is None:
                group.dropped_from = line
        for reference, reason in json.loads(bad) if bad else ():
            if len(group.bad) < MAX_IMAGES:
                group.bad.setdefault(reference, (line, reason))
            elif reference not in group.bad and group.dropped_from is None:
                group.dropped_from = line
    assert group is not None, "groupby yields no empty groups"
    return group


def _add_value(attributes: dict[str, str], name: str, text: str) -> None:
    """Add one more value to an attribute: "S" and "M" become "S, M"."""
    known = attributes.get(name, "")
    if text not in known.split(", ") and len(known) + len(text) + 2 <= MAX_TEXT:
        attributes[name] = f"{known}, {text}" if known else text


@contextmanager
def _disk() -> Iterator[None]:
    """Translate SQLite's complaints about the disk."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _DISK_TROUBLE:
            raise
        raise FeedError(
            f"the feed cannot be gathered in temporary files ({error}): make room on the disk, or "
            "set TMPDIR to a folder that has some"
        ) from None
