"""Labelled queries: photos, and what a right answer to each of them is."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa

from index.product import category_path
from index.store.products import ProductTable
from index.store.tables import products
from vision.categories import SEPARATOR
from vision.errors import FeedError, UnreadableImage
from vision.images import Image, read_image

_BATCH = 64


@dataclass(frozen=True)
class Truth:
    """One labelled query: the photo and what it shows, a product or only a category.

    ``product_id`` is "" where only the category is known; ``line`` is its line in the file.
    """

    image: Path
    product_id: str
    category: str
    line: int


def read_queries(
    path: Path, *, images_root: Path | None = None, only: Sequence[str] = ()
) -> list[Truth]:
    """Read labelled queries from a CSV with the columns query_image and product_id or category.

    ``label`` is read as the category where there is no category column. Paths start from
    ``images_root`` or the file's folder; ``only`` keeps the rows where each COLUMN=VALUE holds.
    Raises FeedError when the file cannot be used.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            wanted = [_column_and_value(each, columns) for each in only]
            label = next((name for name in ("category", "label") if name in columns), None)
            if "query_image" not in columns or not (label or "product_id" in columns):
                raise FeedError(
                    f"{path} needs the columns query_image and product_id or category; it has "
                    f"{', '.join(columns) or 'none'}."
                )
            truths = [
                Truth(
                    (images_root or path.parent) / (row["query_image"] or "").strip(),
                    (row.get("product_id") or "").strip(),
                    category_path((row.get(label) or "") if label else ""),
                    reader.line_num,
                )
                for row in reader
                if all(row[column] == value for column, value in wanted)
            ]
    except OSError as error:
        raise FeedError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise FeedError(f"{path} is not a CSV in UTF-8 ({error}).") from error
    if not truths:
        raise FeedError(f"{path} has no queries{' for ' + ', '.join(only) if only else ''}.")
    return truths


def _column_and_value(condition: str, columns: Sequence[str]) -> tuple[str, str]:
    column, equals, value = (part.strip() for part in condition.partition("="))
    if not equals:
        raise FeedError(f'"{condition}" is not COLUMN=VALUE, such as set=shoes.')
    if column not in columns:
        raise FeedError(f'There is no column "{column}"; there are {", ".join(columns)}.')
    return column, value


class PassedOver(NamedTuple):
    """A query that could not be asked: its line in the file and why."""

    line: int
    reason: str


class Photo(NamedTuple):
    """A query's photo and how long reading it took."""

    truth: Truth
    image: Image
    seconds: float


def read_photos(
    truths: Sequence[Truth], scale: int, passed_over: list[PassedOver]
) -> Iterator[list[Photo]]:
    """Yield batches of queries with their photos; those that cannot be read are passed over."""
    from vision.batches import ahead  # loads torch, which takes longer than telling a wrong file

    def read(truth: Truth) -> Photo | PassedOver:
        started = time.perf_counter()
        try:
            image = read_image(truth.image, at_least=scale)
        except UnreadableImage as error:
            return PassedOver(truth.line, f"{truth.image}: {error}")
        return Photo(truth, image, time.perf_counter() - started)

    batch: list[Photo] = []
    for photo in ahead(truths, read):
        if isinstance(photo, PassedOver):
            passed_over.append(photo)
        else:
            batch.append(photo)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


class Answers:
    """The right answers: what must be known of every product to judge one."""

    def __init__(self, table: ProductTable) -> None:
        rows = table.connection.execute(
            sa.select(products.c.key, products.c.product_id, products.c.category)
        ).all()
        self._key = {row.product_id: row.key for row in rows}
        self._keys = np.array([row.key for row in rows], dtype=np.int64)
        self._categories = [row.category.lower() for row in rows]
        self._members: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._key)

    def right(self, truth: Truth) -> np.ndarray:
        """Return the keys of the products that are a right answer: (n,) int64.

        None where the truth is a product that is not stocked, a category that no product is in, or
        nothing at all. A category may be given by its last levels only: "Mugs" for all below
        "Kitchen > Mugs".
        """
        if truth.product_id:
            key = self._key.get(truth.product_id)
            return np.array([] if key is None else [key], dtype=np.int64)
        name = truth.category.lower()
        if name not in self._members:
            within = [
                bool(name) and f"{SEPARATOR}{name}{SEPARATOR}" in f"{SEPARATOR}{path}{SEPARATOR}"
                for path in self._categories
            ]
            self._members[name] = self._keys[np.array(within, dtype=bool)]
        return self._members[name]
