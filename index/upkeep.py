"""Keeping a catalogue in order: remove, check and repair, back up, export."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import sqlalchemy as sa

from index.adding import Progress, silent
from index.feeds import quote_formula, read_bytes
from index.products import ProductTable
from index.tables import checksum, embeddings, images, translated, views
from vision.batches import decode
from vision.errors import CatalogueBusy, CatalogueError, QueryError, UnreadableImage
from vision.images import Limits

if TYPE_CHECKING:
    from index.catalogue import Catalogue

EXPORT_COLUMNS = (
    "product_id", "title", "description", "category", "brand", "price", "currency",
    "availability", "url", "image_path", "attributes",
)  # fmt: skip

# A picture that is in the catalogue was within the limits when it was added.
_ANY_SIZE = Limits(max_bytes=2**31, max_pixels=170_000_000)
_ADVISORY_LOCK = 0x66696E64  # any fixed number: "find"


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it should be.

    ``kind`` is index, embedding, preview, product, unused, missing file or changed file; ``what``
    names it; ``serious`` is False where answers are not touched by it.
    """

    kind: str
    what: str
    serious: bool = True


def remove_products(catalogue: Catalogue, product_ids: Sequence[str]) -> int:
    """Remove products and what only they used; raises QueryError, removing nothing, for unknown ids."""
    with catalogue.changing() as table:
        keys = table.keys(product_ids)
        unknown = [each for each in product_ids if each not in keys]
        if unknown:
            raise QueryError(
                f"There is no product {', '.join(repr(each) for each in unknown[:5])} in this "
                f"catalogue{f' (nor {len(unknown) - 5} more)' if len(unknown) > 5 else ''}. "
                f"Nothing was removed."
            )
        table.remove(list(keys.values()), table.next_generation())
        table.remove_unused_images()
    return len(keys)


def check_catalogue(
    catalogue: Catalogue, *, files: bool = True, progress: Progress = silent
) -> Iterator[Problem]:
    """Yield all that is wrong: every row against its checksum, the index, and the picture files.

    With ``files`` every picture is looked for where it was added from and hashed again.
    """
    encoder = catalogue.encoder  # raises when the fingerprint is not the catalogue's
    with catalogue.reading() as table:
        if table.connection.dialect.name == "sqlite":
            for line in table.connection.exec_driver_sql("PRAGMA integrity_check").scalars():
                if line != "ok":
                    yield Problem("database", str(line))
        yield from _check_images(table, encoder.fingerprint)
        yield from _check_products(table, files, progress)
        yield from _check_index(catalogue, table)


def _check_images(table: ProductTable, fingerprint: str) -> Iterator[Problem]:
    connection = table.connection.execution_options(yield_per=500)
    for row in connection.execute(sa.select(images)):
        if checksum(row.sha256, row.preview) != row.crc:
            yield Problem("preview", row.sha256)
    rows = connection.execute(sa.select(embeddings).where(embeddings.c.fingerprint == fingerprint))
    for row in rows:
        if checksum(row.sha256, row.fingerprint, row.vector, row.colour) != row.crc:
            yield Problem("embedding", row.sha256)
    known = sa.select(embeddings.c.sha256).where(embeddings.c.fingerprint == fingerprint)
    missing = sa.select(views.c.sha256).where(views.c.sha256.not_in(known)).distinct()
    for sha256 in table.connection.execute(missing).scalars():
        yield Problem("embedding", sha256)
    used = sa.select(views.c.sha256)
    for sha256 in table.connection.execute(
        sa.select(images.c.sha256).where(images.c.sha256.not_in(used))
    ).scalars():
        yield Problem("unused", sha256, serious=False)


def _check_products(table: ProductTable, files: bool, progress: Progress) -> Iterator[Problem]:
    total = table.counts()["products"]
    for done, key in enumerate(table.all_keys(), 1):
        try:
            stored = table.get([key])[key]
        except CatalogueError:
            yield Problem("product", str(key))
            continue
        if not stored.views:
            yield Problem("product", str(key))
        for view in stored.views if files else ():
            try:
                data = read_bytes(view.location, _ANY_SIZE.max_bytes)
            except UnreadableImage:
                yield Problem("missing file", view.location, serious=False)
                continue
            if hashlib.sha256(data).hexdigest() != view.sha256:
                yield Problem("changed file", view.location, serious=False)
        progress("check", done, total)


def _check_index(catalogue: Catalogue, table: ProductTable) -> Iterator[Problem]:
    """Compare every row of the index with the embedding it was made from."""
    try:
        index = catalogue.index(table)
        space, store = index.calibration.space, index.store
        place = {view: row for row, view in enumerate(store.views.tolist())}
        for rows in table.rows(catalogue.fingerprint):
            expected = space.project(rows.vectors, rows.colours)
            at = [place.pop(view, -1) for view in rows.ids.tolist()]
            for view, row, vector in zip(rows.ids.tolist(), at, expected, strict=True):
                if row < 0 or not np.allclose(store.vectors()[row], vector, atol=1e-5):
                    yield Problem("index", f"row {view}")
        for view in place:
            yield Problem("index", f"row {view}, which no product has")
    except CatalogueError as error:
        yield Problem("index", str(error))


def repair(catalogue: Catalogue, problems: Iterable[Problem]) -> list[str]:
    """Mend what was found and return what could not be mended but had to go, in words.

    Embeddings and previews are made again from the picture files, products that are damaged
    beyond that are removed (adding the feed again brings them back), and the index is rebuilt.
    """
    lost: list[str] = []
    broken = {each.what for each in problems if each.kind in ("embedding", "preview")}
    gone = {int(each.what) for each in problems if each.kind == "product"}
    with catalogue.changing() as table:
        generation = table.next_generation()
        for sha256 in sorted(broken):
            if not _remake(catalogue, table, sha256):
                lost.append(f"image {sha256[:12]}: its file is gone or changed; add it again")
                owners = table.owners([sha256]).get(sha256, [])
                ids = sa.select(views.c.id).where(views.c.sha256 == sha256)
                table.remove_views(list(table.connection.execute(ids).scalars()), generation)
                gone |= {key for key, _ in owners if not _shows_anything(table, key)}
        lost += [
            f"product row {key}: damaged or without pictures; add it again" for key in sorted(gone)
        ]
        table.remove(gone, generation)
        table.remove_unused_images()
    catalogue.settle(learn=True)
    return lost


def _shows_anything(table: ProductTable, key: int) -> bool:
    query = sa.select(sa.func.count()).where(views.c.product_key == key)
    return bool(table.connection.execute(query).scalar_one())


def _remake(catalogue: Catalogue, table: ProductTable, sha256: str) -> bool:
    """Decode and embed an image again from any file that still holds it."""
    for _, location in table.owners([sha256]).get(sha256, []):
        try:
            data = read_bytes(location, _ANY_SIZE.max_bytes)
            if hashlib.sha256(data).hexdigest() != sha256:
                continue
            picture = decode(data, catalogue.encoder, _ANY_SIZE)
        except UnreadableImage:
            continue
        for each in (images, embeddings):
            table.connection.execute(sa.delete(each).where(each.c.sha256 == sha256))
        vectors = catalogue.encoder.encode_pixels(picture.pixels[None])
        table.add_images([picture], vectors, catalogue.fingerprint)
        return True
    return False


def back_up(catalogue: Catalogue, destination: Path) -> None:
    """Copy the catalogue, as it stands at one moment, into a new folder; others may go on writing.

    The index is not copied: it is built again when the copy is opened. Raises CatalogueError where
    the destination is taken, the disk is full, or the catalogue is not in SQLite.
    """
    if catalogue.engine.dialect.name != "sqlite":
        raise CatalogueError("This catalogue is in a PostgreSQL database; back it up with pg_dump.")
    target = destination / "catalogue.sqlite"
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise CatalogueError(f"{destination} is not empty; name a new folder for the backup.")
    temporary = target.with_suffix(".tmp")
    try:
        destination.mkdir(parents=True, exist_ok=True)
        source = sqlite3.connect(str(catalogue.engine.url.database))
        copy = sqlite3.connect(temporary)
        with contextlib.closing(source), contextlib.closing(copy):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except (OSError, sqlite3.Error) as error:
        temporary.unlink(missing_ok=True)
        raise CatalogueError(f"The backup to {destination} failed ({error}).") from error


def export_products(catalogue: Catalogue, file: TextIO, kind: str = "csv") -> int:
    """Write every product as CSV or JSONL in the columns that ``add`` reads; return how many.

    In CSV, texts that a spreadsheet would take for formulas are quoted; ``add`` undoes it.
    """
    writer = csv.DictWriter(file, EXPORT_COLUMNS) if kind == "csv" else None
    if writer is not None:
        writer.writeheader()
    count = 0
    with catalogue.reading() as table:
        for key in table.all_keys():
            stored = table.get([key])[key]
            row: dict[str, Any] = dict(vars(stored.product))
            locations = [view.location for view in stored.views]
            if writer is None:
                file.write(json.dumps(row | {"image_path": locations}, ensure_ascii=False) + "\n")
            else:
                row["attributes"] = json.dumps(row["attributes"], ensure_ascii=False)
                row["image_path"] = json.dumps(locations, ensure_ascii=False)
                row["price"] = "" if row["price"] is None else repr(row["price"])
                writer.writerow({name: quote_formula(text) for name, text in row.items()})
            count += 1
    return count


@contextlib.contextmanager
def database_lock(engine: sa.Engine) -> Iterator[None]:
    """Be the one writer among all machines that share a PostgreSQL database."""
    if engine.dialect.name != "postgresql":
        yield
        return
    with translated(), engine.connect() as connection:
        lock = sa.func.pg_try_advisory_lock(_ADVISORY_LOCK)
        if not connection.execute(sa.select(lock)).scalar_one():
            raise CatalogueBusy(
                "Another machine is writing to this catalogue. Nothing was changed; run the "
                "command again when it has finished."
            )
        yield
        connection.execute(sa.select(sa.func.pg_advisory_unlock(_ADVISORY_LOCK)))
