"""Keeping a catalogue in order: remove, repair, back up, export."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import sqlalchemy as sa

from index.changes.checking import ANY_SIZE, Problem
from index.changes.choosing import describe_choice
from index.feeds import quote_formula, read_bytes
from index.labels.deciding import write_again
from index.labels.heads import HEADS
from index.search.live import (
    SNAPSHOT,
    forget_calibration,
    stored_calibration,
    stored_choice,
)
from index.store.files import replace_durably
from index.store.place import DATABASE
from index.store.products import UPLOAD, ProductTable, StoredProduct, chunks
from index.store.seal import reseal
from index.store.tables import labels, products, views
from index.store.writing import Change, ProductWriter
from index.vectors import look
from vision.batches import Picture, decode
from vision.errors import CatalogueError, QueryError, UnreadableImage

if TYPE_CHECKING:
    from index.catalogue import Catalogue

EXPORT_COLUMNS = (
    "product_id", "title", "description", "category", "brand", "price", "currency",
    "availability", "url", "image_path", "attributes",
)  # fmt: skip


def describe(catalogue: Catalogue) -> dict[str, Any]:
    """Return what a catalogue holds, as documented for ``findalike info --json``."""
    with catalogue.reading() as table:
        counts = table.counts()
        known = stored_calibration(table.connection, catalogue.fingerprint)
        generation = table.generation()
        choice = stored_choice(table.connection)
    snapshot = catalogue.path / SNAPSHOT
    measured = look(snapshot)
    return {
        "catalogue": str(catalogue.path),
        "database": catalogue.engine.url.render_as_string(hide_password=True),
        "products": counts["products"],
        "pictures": counts["views"],
        "images": counts["images"],
        "generation": generation,
        "encoder": catalogue.encoder_spec,
        "fingerprint": catalogue.fingerprint,
        "backend": describe_choice(catalogue),
        "index": asdict(measured) if measured else None,
        "index_choice": choice.as_dict(),
        "index_bytes": snapshot.stat().st_size if snapshot.is_file() else 0,
        "colour_weight": known.space.colour_weight if known else None,
        "verdicts": known.verdicts.as_dict() if known and known.verdicts else None,
        "calibrated_on_pictures": known.pictures if known else 0,
    }


def remove_products(catalogue: Catalogue, product_ids: Sequence[str]) -> int:
    """Remove products and what only they used; or, for unknown ids, raise QueryError."""
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


def repair(catalogue: Catalogue, problems: Iterable[Problem]) -> list[str]:
    """Mend what was found and return what could not be mended but had to go, in words.

    Embeddings and previews are made again from the picture files, products that are damaged
    beyond that are removed (adding the feed again brings them back), and the index is rebuilt.
    Damaged predictions are dropped, to be made again by tagging; decisions cannot be made again.
    """
    problems = list(problems)
    lost: list[str] = []
    broken = {each.row for each in problems if each.kind in ("embedding", "preview")}
    gone = {int(each.row) for each in problems if each.kind == "product"}
    with catalogue.changing() as table:
        generation = table.next_generation()
        if any(each.kind == "calibration" for each in problems):
            forget_calibration(table, catalogue.fingerprint)
        for sha256 in sorted(broken):
            ids = _views_of(table, sha256)
            if ids and not _remake(catalogue, table, sha256):
                lost.append(f"image {sha256[:12]}: its file is gone or changed")
                table.remove_views(ids, generation)
            elif not ids:
                table.forget(sha256)
        _remove_orphans(table, generation)
        gone |= _without_pictures(table)
        lost += [
            f"product {_name(table, key)}: damaged or without pictures" for key in sorted(gone)
        ]
        table.remove(gone, generation)
        listed = [int(each.row) for each in problems if each.kind == "filters"]
        for stored in table.get(listed).values():
            table.put([Change.again(stored)], generation)
        table.remove_unused_images()
        lost += [f"decision {each.row}: damaged" for each in problems if each.kind == "decision"]
        lost += [f"head {each.row}: {each.what}" for each in problems if each.kind == "head"]
        _drop_labels(table, problems, generation)
        reseal(table.connection)
    catalogue.settle(learn=True)
    return lost


def _drop_labels(table: ProductWriter, problems: Sequence[Problem], generation: int) -> None:
    """Drop damaged decisions and predictions, and what they made of products."""
    concerned = {int(each.row) for each in problems if each.kind == "prediction"}
    table.delete_predictions(concerned)
    for number in (int(each.row) for each in problems if each.kind == "decision"):
        here = labels.c.id == number
        names = table.connection.execute(sa.select(labels.c.product_id).where(here)).scalars()
        concerned.update(table.keys(names.all()).values())
        table.connection.execute(sa.delete(labels).where(here))
    reseal(table.connection)
    write_again(table, concerned, generation)


def _views_of(table: ProductWriter, sha256: str) -> list[int]:
    query = sa.select(views.c.id).where(views.c.sha256 == sha256)
    return list(table.connection.execute(query).scalars())


def _remove_orphans(table: ProductWriter, generation: int) -> None:
    """Remove pictures whose product is not there."""
    known = sa.select(products.c.key)
    orphans = sa.select(views.c.id).where(views.c.product_key.not_in(known))
    table.remove_views(table.connection.execute(orphans).scalars().all(), generation)


def _without_pictures(table: ProductWriter) -> set[int]:
    shown = sa.select(views.c.product_key)
    query = sa.select(products.c.key).where(products.c.key.not_in(shown))
    return set(table.connection.execute(query).scalars())


def _name(table: ProductWriter, key: int) -> str:
    """Return a product's id, damaged as it may be."""
    query = sa.select(products.c.product_id).where(products.c.key == key)
    return repr(table.connection.execute(query).scalar())


def _remake(catalogue: Catalogue, table: ProductWriter, sha256: str) -> bool:
    """Decode and embed an image again from a file that still holds it, or what was uploaded."""
    for _, location in table.owners([sha256]).get(sha256, []):
        try:
            picture = _decode_again(catalogue, table, sha256, location)
        except (UnreadableImage, CatalogueError):  # gone, or its preview is damaged too
            continue
        if picture is not None:
            table.forget(sha256)
            vectors = catalogue.encoder.encode_pixels(picture.pixels[None])
            table.add_images([picture], vectors, catalogue.fingerprint)
            return True
    return False


def _decode_again(
    catalogue: Catalogue, table: ProductTable, sha256: str, location: str
) -> Picture | None:
    """Return an image as it was added; None where its file holds another by now."""
    if location.startswith(UPLOAD):  # there is no file, only the preview
        preview = table.previews([sha256])[sha256]
        return replace(decode(preview, catalogue.encoder, ANY_SIZE), sha256=sha256)
    data = read_bytes(location, ANY_SIZE.max_bytes)
    if hashlib.sha256(data).hexdigest() != sha256:
        return None
    return decode(data, catalogue.encoder, ANY_SIZE)


def back_up(catalogue: Catalogue, destination: Path) -> None:
    """Copy the catalogue, as it stands at one moment, into a new folder; others may go on writing.

    The trained heads are copied too. The index is not: it is built again when the copy is opened.
    Raises CatalogueError where the destination is taken, the disk is full, or the catalogue is not
    in SQLite.
    """
    if catalogue.engine.dialect.name != "sqlite":
        raise CatalogueError("This catalogue is in a PostgreSQL database; back it up with pg_dump.")
    temporary = destination / f"{DATABASE}.tmp"
    try:
        if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
            raise CatalogueError(f"{destination} is not empty; name a new folder for the backup.")
        destination.mkdir(parents=True, exist_ok=True)
        source = sqlite3.connect(str(catalogue.engine.url.database))
        copy = sqlite3.connect(temporary)
        with contextlib.closing(source), contextlib.closing(copy):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        if (catalogue.path / HEADS).is_dir():
            shutil.copytree(catalogue.path / HEADS, destination / HEADS)
        replace_durably(temporary, destination / DATABASE)
    except (OSError, sqlite3.Error) as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
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
        for stored in _all_products(table):
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


def _all_products(table: ProductTable) -> Iterator[StoredProduct]:
    """Yield every product in the order of their keys."""
    for keys in chunks(table.all_keys()):
        yield from sorted(table.get(keys).values(), key=lambda stored: stored.key)
