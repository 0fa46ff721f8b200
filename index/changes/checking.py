"""Looking for damage in a catalogue: every row, the index, and the picture files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np
import sqlalchemy as sa

from index.feeds import read_bytes
from index.labels.heads import read_register
from index.progress import Progress, silent
from index.search.live import stored_calibration
from index.store.database import faults_of_sqlite
from index.store.products import CHUNK, UPLOAD, ProductTable, StoredProduct
from index.store.seal import missing_rows
from index.store.tables import (
    attributes,
    embedding_crc,
    embeddings,
    image_crc,
    images,
    label_crc,
    labels,
    prediction_crc,
    predictions,
    views,
)
from vision.errors import CatalogueError, HeadError, UnreadableImage
from vision.images import Limits

if TYPE_CHECKING:
    from index.catalogue import Catalogue

# A picture that is in the catalogue was within the limits when it was added.
ANY_SIZE = Limits(max_bytes=2**31, max_pixels=170_000_000)

Kind = Literal[
    "database", "rows", "preview", "embedding", "product", "filters", "calibration", "index",
    "decision", "prediction", "head", "unused", "missing file", "changed file",
]  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it should be; ``what`` says it in words.

    ``serious`` is False where answers are not touched by it. ``row`` names the product or the
    image it is about, as its key or SHA-256, or the decision or head by its number, and is "" for
    the kinds that are about the whole.
    """

    kind: Kind
    what: str
    serious: bool = True
    row: str = ""


def check_catalogue(
    catalogue: Catalogue, *, files: bool = True, progress: Progress = silent
) -> Iterator[Problem]:
    """Yield all that is wrong: every row against its checksum, the index, and the picture files.

    With ``files`` every picture is looked for where it was added from and hashed again. Raises
    CatalogueError where the encoder is not the one the catalogue was made with.
    """
    fingerprint = catalogue.encoder.fingerprint
    with catalogue.reading() as table:
        if table.connection.dialect.name == "sqlite":
            for line in faults_of_sqlite(table.connection, everything=True):
                yield Problem("database", line)
        whole = True
        for line in missing_rows(table.connection, fingerprint):
            whole = False
            yield Problem("rows", line)
        yield from _check_images(table, fingerprint)
        yield from _check_products(table, files, progress)
        yield from _check_labels(catalogue, table)
        try:
            stored_calibration(table.connection, fingerprint)
        except CatalogueError:
            yield Problem("calibration", "what was learnt of the catalogue cannot be read")
        else:
            yield from _check_index(catalogue, table) if whole else ()


def _check_images(table: ProductTable, fingerprint: str) -> Iterator[Problem]:
    connection = table.connection
    streamed = connection.execution_options(yield_per=CHUNK)
    for row in streamed.execute(sa.select(images)):
        if image_crc(row) != row.crc:
            yield Problem("preview", f"image {row.sha256[:12]} is damaged", row=row.sha256)
    mine = sa.select(embeddings).where(embeddings.c.fingerprint == fingerprint)
    for row in streamed.execute(mine):
        if embedding_crc(row) != row.crc:
            yield Problem("embedding", f"of image {row.sha256[:12]} is damaged", row=row.sha256)
    used = sa.select(views.c.sha256)
    stored: tuple[tuple[Kind, sa.Select[tuple[str]]], ...] = (
        ("preview", sa.select(images.c.sha256)),
        (
            "embedding",
            sa.select(embeddings.c.sha256).where(embeddings.c.fingerprint == fingerprint),
        ),
    )
    for kind, there in stored:
        for sha256 in connection.execute(
            used.where(views.c.sha256.not_in(there)).distinct()
        ).scalars():
            yield Problem(kind, f"of image {sha256[:12]} is missing", row=sha256)
    unused = sa.select(images.c.sha256).where(images.c.sha256.not_in(used))
    for sha256 in connection.execute(unused).scalars():
        what = f"no product shows image {sha256[:12]} any more"
        yield Problem("unused", what, serious=False, row=sha256)


def _check_products(table: ProductTable, files: bool, progress: Progress) -> Iterator[Problem]:
    total, done = table.counts()["products"], 0
    keys = table.all_keys()
    while some := list(islice(keys, CHUNK)):
        try:
            found = table.get(some)
            yield from _check_filters(table, some, found)
        except CatalogueError:
            found = {}
        for key in some:
            try:
                stored = found.get(key) or table.get([key])[key]
            except CatalogueError:
                yield Problem("product", f"in row {key} is damaged", row=str(key))
                continue
            if not stored.views:
                what = f'"{stored.product.product_id}" has no picture'
                yield Problem("product", what, row=str(key))
            elif files:
                yield from _check_files(stored)
            done += 1
            progress("check", done, total)


def _check_filters(
    table: ProductTable, keys: Sequence[int], found: dict[int, StoredProduct]
) -> Iterator[Problem]:
    """Compare the attributes that filters look at with those of the products."""
    listed: dict[int, dict[str, str]] = {key: {} for key in keys}
    rows = sa.select(attributes).where(attributes.c.product_key.in_(keys))
    for row in table.connection.execute(rows):
        listed[row.product_key][row.name] = row.value
    for key, stored in found.items():
        if stored.product.attributes != listed[key]:
            what = f'"{stored.product.product_id}" is not found by its attributes'
            yield Problem("filters", what, row=str(key))


def _check_labels(catalogue: Catalogue, table: ProductTable) -> Iterator[Problem]:
    """Look at people's decisions, and at what heads said and their files."""
    streamed = table.connection.execution_options(yield_per=CHUNK)
    for row in streamed.execute(sa.select(labels)):
        if label_crc(row) != row.crc:
            yield Problem("decision", f"number {row.id} is damaged", row=str(row.id))
    for row in streamed.execute(sa.select(predictions)):
        if prediction_crc(row) != row.crc:
            what = f"of {row.axis} in row {row.product_key} is damaged"
            yield Problem("prediction", what, row=str(row.product_key))
    register = read_register(table.connection)
    for version, shelved in register.heads.items():
        try:
            catalogue.heads.load(version, shelved)
        except HeadError as error:
            yield Problem("head", str(error), version == register.current, version)


def _check_files(stored: StoredProduct) -> Iterator[Problem]:
    for view in stored.views:
        if view.location.startswith(UPLOAD):  # there never was a file
            continue
        try:
            data = read_bytes(view.location, ANY_SIZE.max_bytes)
        except UnreadableImage:
            yield Problem("missing file", view.location, serious=False, row=view.sha256)
            continue
        if hashlib.sha256(data).hexdigest() != view.sha256:
            yield Problem("changed file", view.location, serious=False, row=view.sha256)


def _check_index(catalogue: Catalogue, table: ProductTable) -> Iterator[Problem]:
    """Compare every row of the index with the embedding it was made from."""
    try:
        index = catalogue.index(table)
        space, store = index.calibration.space, index.store
        place = {view: row for row, view in enumerate(store.views.tolist())}
        for rows in table.rows(catalogue.fingerprint):
            expected = space.project(rows.vectors, rows.colours)
            at = np.array([place.pop(view, -1) for view in rows.ids.tolist()])
            found = store.vectors_at(np.maximum(at, 0)) if len(store) else expected
            right = np.isclose(found, expected, atol=store.tolerance).all(axis=1)
            for view, row, same in zip(rows.ids.tolist(), at.tolist(), right, strict=True):
                if row < 0:
                    yield Problem("index", f"picture row {view} is not in it")
                elif not same:
                    yield Problem("index", f"picture row {view} is not as it was embedded")
        for view in place:
            yield Problem("index", f"picture row {view} is in it, but no product has it")
    except CatalogueError as error:
        yield Problem("index", str(error))
