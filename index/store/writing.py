"""Writing products, pictures and embeddings: every method keeps rows, seal and history together."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sqlalchemy as sa

from index.labels.labelling import LabelWriter, with_crc, without_crc
from index.labels.standing import NOTHING, Standing, effective, standings, stored_predictions
from index.labels.taxonomies import category_reader
from index.product import Product
from index.store.database import write_setting
from index.store.products import TEXTS, StoredProduct, chunks, product_crc
from index.store.seal import count_rows, read_seal, write_seal
from index.store.tables import (
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

    ``product`` is as its feed has it. ``key`` names the product to put it in place of, None makes a
    new one. ``changed`` is when the feed changed it (Unix time in seconds), None for now.
    """

    product: Product
    pictures: Sequence[tuple[str, str]]
    key: int | None = None
    changed: float | None = None

    @classmethod
    def again(cls, stored: StoredProduct) -> Change:
        """Return what writes a product as its feed has it, so that labels are gone by anew."""
        return cls(stored.feed, stored.pictures, stored.key, stored.changed)


class ProductWriter(LabelWriter):
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
                with_crc(
                    image_crc, sha256=each.sha256, width=each.width, height=each.height,
                    format=each.format, preview=each.preview,
                )
                for each in pictures if each.sha256 not in have
            ),
        )  # fmt: skip
        self._insert(
            embeddings,
            (
                with_crc(
                    embedding_crc, sha256=each.sha256, fingerprint=fingerprint,
                    vector=vector.astype("<f4").tobytes(),
                    colour=each.colour.astype("<f2").tobytes(),
                )
                for each, vector in zip(pictures, vectors, strict=True)
            ),
        )  # fmt: skip

    def put(self, changes: Sequence[Change], generation: int) -> None:
        """Write products with their pictures, leaving alone the index rows that stay.

        What people decided about them is gone by, and so is what the head predicted, unless the
        pictures are others now.
        """
        old = [change.key for change in changes if change.key is not None]
        first = read_seal(self.connection).last_key + 1
        new = range(first, first + len(changes) - len(old))
        fresh = iter(new)
        keyed = [(next(fresh) if change.key is None else change.key, change) for change in changes]
        views_before = self._views_of(old)
        holding = self._holding(keyed, views_before)
        with self._sealed([*old, *new]):
            for chunk in chunks(old):
                self._delete(attributes, attributes.c.product_key.in_(chunk))
            self._insert(
                products,
                (
                    _row(key, each, holding[key], generation)
                    for key, each in keyed
                    if each.key is None
                ),
            )
            for key, each in keyed:
                if each.key is not None:
                    row = _row(key, each, holding[key], generation)
                    self.connection.execute(
                        sa.update(products).where(products.c.key == key).values(row)
                    )
            self._insert(
                attributes,
                (
                    {"product_key": key, "name": name, "value": value}
                    for key, product in holding.items()
                    for name, value in product.attributes.items()
                ),
            )
            self._put_views(keyed, views_before, generation)
        seal = read_seal(self.connection)
        write_seal(self.connection, replace(seal, last_key=new.stop - 1))

    def _views_of(self, keys: Sequence[int]) -> dict[tuple[int, str], Any]:
        """Return the rows of products' pictures, by product key and SHA-256."""
        found: dict[tuple[int, str], Any] = {}
        for chunk in chunks(keys):
            rows = self.connection.execute(sa.select(views).where(views.c.product_key.in_(chunk)))
            found.update(((row.product_key, row.sha256), row) for row in rows)
        return found

    def _holding(
        self, keyed: Sequence[tuple[int, Change]], before: Collection[tuple[int, str]]
    ) -> dict[int, Product]:
        """Return the products as they will hold, by key; drop predictions from other pictures."""
        there = {key for key, change in keyed if change.key is not None}
        shown = {key: {sha256 for sha256, _ in change.pictures} for key, change in keyed}
        had: dict[int, set[str]] = {}
        for key, sha256 in before:
            had.setdefault(key, set()).add(sha256)
        self.delete_predictions([key for key in there if had.get(key) != shown[key]])
        self.rename_labels({key: c.product.product_id for key, c in keyed if key in there})
        category = category_reader(self.connection)
        predicted = stored_predictions(self.connection, there)
        decided: dict[str, Standing] = {}
        if read_seal(self.connection).labels:
            pictures = {c.product.product_id: [s for s, _ in c.pictures] for _, c in keyed}
            decided = standings(self.connection, pictures)
        return {
            key: effective(
                change.product,
                category(change.product),
                decided.get(change.product.product_id, NOTHING),
                {axis: row.accepted for axis, row in predicted.get(key, {}).items()},
            )
            for key, change in keyed
        }

    def _put_views(
        self,
        keyed: Sequence[tuple[int, Change]],
        old: dict[tuple[int, str], Any],
        generation: int,
    ) -> None:
        """Make the products' views equal their pictures, where ``old`` are those they have."""
        last = read_seal(self.connection).last_view
        fresh = []
        for key, change in keyed:
            for position, (sha256, location) in enumerate(change.pictures):
                row = old.pop((key, sha256), None)
                if row is None:
                    last += 1
                    fresh.append(
                        with_crc(
                            view_crc, id=last, product_key=key, sha256=sha256, position=position,
                            generation=generation, location=location,
                        )
                    )  # fmt: skip
                elif (row.position, row.location) != (position, location):
                    moved = without_crc(row) | {"position": position, "location": location}
                    self.connection.execute(
                        sa.update(views)
                        .where(views.c.id == row.id)
                        .values(with_crc(view_crc, **moved))
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
                self.delete_predictions(chunk)
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


def _row(key: int, change: Change, product: Product, generation: int) -> dict[str, Any]:
    """Return the row of a product that holds as ``product``."""
    digest, said, feed = product.digest(), change.product, ""
    if product != said:
        other = {"category": said.category, "attributes": said.attributes}
        feed = json.dumps(other, ensure_ascii=False, sort_keys=True)
    changed = time.time() if change.changed is None else change.changed
    return {name: getattr(product, name) for name in TEXTS} | {
        "key": key,
        "price": product.price,
        "attributes": json.dumps(product.attributes, ensure_ascii=False, sort_keys=True),
        "digest": digest,
        "crc": product_crc(key, digest, feed, changed),
        "feed": feed,
        "changed": changed,
        "generation": generation,
    }
