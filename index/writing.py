"""Writing products, pictures and embeddings: every method keeps rows, seal and history together."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import sqlalchemy as sa

from index.database import write_setting
from index.product import Product
from index.products import TEXTS, ProductTable, chunks, product_crc
from index.seal import count_rows, read_seal, write_seal
from index.tables import (
    attributes,
    embedding_crc,
    embeddings,
    image_crc,
    images,
    products,
    removed_views,
    view_crc,
    views,
)
from vision.batches import Picture


@dataclass(frozen=True)
class Change:
    """A product to be written with its pictures, (sha256, location) in order.

    ``key`` names the product to put it in place of, None makes a new one.
    """

    product: Product
    pictures: Sequence[tuple[str, str]]
    key: int | None = None


class ProductWriter(ProductTable):
    """Reads and writes products over one connection; the caller owns the transaction."""

    def next_generation(self) -> int:
        """Begin a change: raise the generation and return it."""
        generation = self.generation() + 1
        write_setting(self.connection, "generation", generation)
        return generation

    def add_images(
        self, pictures: Sequence[Picture], vectors: np.ndarray, fingerprint: str
    ) -> None:
        """Store pictures and their embeddings, (n, d) float32; known previews are kept."""
        have: set[str] = set()
        for chunk in chunks(picture.sha256 for picture in pictures):
            known = sa.select(images.c.sha256).where(images.c.sha256.in_(chunk))
            have.update(self.connection.execute(known).scalars())
        self._insert(
            images,
            (
                _with_crc(
                    image_crc, sha256=each.sha256, width=each.width, height=each.height,
                    format=each.format, preview=each.preview,
                )
                for each in pictures if each.sha256 not in have
            ),
        )  # fmt: skip
        self._insert(
            embeddings,
            (
                _with_crc(
                    embedding_crc, sha256=each.sha256, fingerprint=fingerprint,
                    vector=vector.astype("<f4").tobytes(),
                    colour=each.colour.astype("<f2").tobytes(),
                )
                for each, vector in zip(pictures, vectors, strict=True)
            ),
        )  # fmt: skip

    def put(self, changes: Sequence[Change], generation: int) -> None:
        """Write products with their pictures, leaving alone the index rows that stay."""
        old = [change.key for change in changes if change.key is not None]
        first = read_seal(self.connection).last_key + 1
        new = range(first, first + len(changes) - len(old))
        fresh = iter(new)
        keyed = [(next(fresh) if change.key is None else change.key, change) for change in changes]
        with self._sealed([*old, *new]):
            for chunk in chunks(old):
                self._delete(attributes, attributes.c.product_key.in_(chunk))
            self._insert(
                products,
                (_row(key, each, generation) for key, each in keyed if each.key is None),
            )
            for key, each in keyed:
                if each.key is not None:
                    row = _row(key, each, generation)
                    self.connection.execute(
                        sa.update(products).where(products.c.key == key).values(row)
                    )
            self._insert(
                attributes,
                (
                    {"product_key": key, "name": name, "value": value}
                    for key, each in keyed
                    for name, value in each.product.attributes.items()
                ),
            )
            self._put_views(keyed, generation)
        seal = read_seal(self.connection)
        write_seal(self.connection, replace(seal, last_key=new.stop - 1))

    def _put_views(self, keyed: Sequence[tuple[int, Change]], generation: int) -> None:
        """Make the products' views equal their pictures."""
        old: dict[tuple[int, str], Any] = {}
        for chunk in chunks(key for key, change in keyed if change.key is not None):
            found = self.connection.execute(sa.select(views).where(views.c.product_key.in_(chunk)))
            old.update(((row.product_key, row.sha256), row) for row in found)
        last = read_seal(self.connection).last_view
        fresh = []
        for key, change in keyed:
            for position, (sha256, location) in enumerate(change.pictures):
                row = old.pop((key, sha256), None)
                if row is None:
                    last += 1
                    fresh.append(
                        _with_crc(
                            view_crc, id=last, product_key=key, sha256=sha256, position=position,
                            generation=generation, location=location,
                        )
                    )  # fmt: skip
                elif (row.position, row.location) != (position, location):
                    moved = dict(row._mapping) | {"position": position, "location": location}
                    del moved["crc"]
                    self.connection.execute(
                        sa.update(views)
                        .where(views.c.id == row.id)
                        .values(_with_crc(view_crc, **moved))
                    )
        self._remove_views([row.id for row in old.values()], generation)
        self._insert(views, fresh)
        write_seal(self.connection, replace(read_seal(self.connection), last_view=last))

    def remove(self, keys: Collection[int], generation: int) -> None:
        """Remove products with their views."""
        for chunk in chunks(keys):
            with self._sealed(chunk):
                ids = sa.select(views.c.id).where(views.c.product_key.in_(chunk))
                self._remove_views(self.connection.execute(ids).scalars().all(), generation)
                self._delete(attributes, attributes.c.product_key.in_(chunk))
                self._delete(products, products.c.key.in_(chunk))

    def remove_views(self, ids: Sequence[int], generation: int) -> None:
        """Remove single pictures of products."""
        for chunk in chunks(ids):
            owners = sa.select(views.c.product_key).where(views.c.id.in_(chunk)).distinct()
            with self._sealed(self.connection.execute(owners).scalars().all()):
                self._remove_views(chunk, generation)

    def remove_unused_images(self) -> None:
        """Drop images and embeddings that no product shows."""
        used = sa.select(views.c.sha256)
        self._delete(embeddings, embeddings.c.sha256.not_in(used))
        self._delete(images, images.c.sha256.not_in(used))

    def note_calibration(self, crc: int) -> None:
        """Put the checksum of what was learnt under the seal, 0 for nothing."""
        write_seal(self.connection, replace(read_seal(self.connection), calibration=crc))

    def forget(self, sha256: str) -> None:
        """Drop what is known of an image's bytes, to store it anew."""
        self._delete(embeddings, embeddings.c.sha256 == sha256)
        self._delete(images, images.c.sha256 == sha256)

    def _remove_views(self, ids: Sequence[int], generation: int) -> None:
        for chunk in chunks(ids):
            self._delete(views, views.c.id.in_(chunk))
            self._insert(removed_views, ({"id": each, "generation": generation} for each in chunk))

    @contextmanager
    def _sealed(self, keys: Sequence[int]) -> Iterator[None]:
        """Bring the seal up to what is done meanwhile to the products with these keys."""
        before = [count_rows(self.connection, chunk) for chunk in chunks(keys)]
        yield
        seal = read_seal(self.connection)
        for was, chunk in zip(before, chunks(keys), strict=True):
            seal = seal.changed(was, count_rows(self.connection, chunk))
        write_seal(self.connection, seal)

    def _insert(self, table: sa.Table, rows: Iterable[dict[str, Any]]) -> None:
        listed = list(rows)
        if listed:
            self.connection.execute(sa.insert(table), listed)

    def _delete(self, table: sa.Table, condition: sa.ColumnElement[bool]) -> None:
        self.connection.execute(sa.delete(table).where(condition))


def _row(key: int, change: Change, generation: int) -> dict[str, Any]:
    product, digest = change.product, change.product.digest()
    return {name: getattr(product, name) for name in TEXTS} | {
        "key": key,
        "price": product.price,
        "attributes": json.dumps(product.attributes, ensure_ascii=False, sort_keys=True),
        "digest": digest,
        "crc": product_crc(key, digest),
        "generation": generation,
    }


def _with_crc(crc: Any, **row: Any) -> dict[str, Any]:
    return row | {"crc": crc(SimpleNamespace(**row))}
