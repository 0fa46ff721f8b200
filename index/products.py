"""The catalogue's products, pictures and embeddings in SQL: written in batches, read by key."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from index.filters import Condition
from index.product import Product
from index.tables import (
    attributes,
    checksum,
    damaged,
    embeddings,
    images,
    products,
    read_setting,
    removed_views,
    views,
    write_setting,
)
from vision.batches import Picture

_CHUNK = 500  # values in one IN (...); SQLite allows some tens of thousands, plans suffer before
_TEXTS = (
    "product_id", "title", "description", "category", "brand", "currency", "availability", "url",
)  # fmt: skip


@dataclass(frozen=True)
class View:
    """One picture of one product: its row in the index, its hash, where it was added from."""

    id: int
    sha256: str
    location: str


@dataclass(frozen=True)
class StoredProduct:
    """A product with its row's key and its pictures in order."""

    key: int
    product: Product
    views: tuple[View, ...]


@dataclass(frozen=True)
class Rows:
    """A run of index rows: ids (n,) int64, product_keys (n,) int64, vectors (n, d) float32,
    colours (n, c) float32; in order of id."""

    ids: np.ndarray
    product_keys: np.ndarray
    vectors: np.ndarray
    colours: np.ndarray


class ProductTable:
    """Reads and writes products over one open connection; the caller owns the transaction."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    # --- reading -------------------------------------------------------------------------------

    def generation(self) -> int:
        """Return the number of the last committed change."""
        return int(read_setting(self.connection, "generation") or 0)

    def counts(self) -> dict[str, int]:
        """Return the numbers of products, images, and views (pictures of products)."""
        return {
            table.name: int(
                self.connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            )
            for table in (products, images, views)
        }

    def indexed(self, fingerprint: str) -> int:
        """Return how many views have an embedding by this encoder: the rows of a full index."""
        query = sa.select(sa.func.count()).select_from(
            views.join(embeddings, views.c.sha256 == embeddings.c.sha256)
        )
        return int(
            self.connection.execute(
                query.where(embeddings.c.fingerprint == fingerprint)
            ).scalar_one()
        )

    def keys(self, product_ids: Iterable[str]) -> dict[str, int]:
        """Return the keys of those of the products that exist, by id."""
        found: dict[str, int] = {}
        for chunk in _chunks(product_ids):
            rows = self.connection.execute(
                sa.select(products.c.product_id, products.c.key).where(
                    products.c.product_id.in_(chunk)
                )
            )
            found.update((row.product_id, row.key) for row in rows)
        return found

    def get(self, keys: Iterable[int]) -> dict[int, StoredProduct]:
        """Return products by key; keys that do not exist are left out."""
        found: dict[int, StoredProduct] = {}
        for chunk in _chunks(keys):
            shown: dict[int, list[View]] = {}
            rows = self.connection.execute(
                sa.select(views).where(views.c.product_key.in_(chunk)).order_by(views.c.position)
            )
            for row in rows:
                _check_view(row)
                shown.setdefault(row.product_key, []).append(View(row.id, row.sha256, row.location))
            for row in self.connection.execute(
                sa.select(products).where(products.c.key.in_(chunk))
            ):
                found[row.key] = StoredProduct(
                    row.key, _product(row), tuple(shown.get(row.key, ()))
                )
        return found

    def all_keys(self) -> Iterator[int]:
        """Yield every product's key, in ascending order."""
        last = 0
        while True:
            query = sa.select(products.c.key).where(products.c.key > last).order_by(products.c.key)
            found = self.connection.execute(query.limit(10_000)).scalars().all()
            if not found:
                return
            yield from found
            last = found[-1]

    def sample_keys(self, size: int) -> list[int]:
        """Return the keys of up to ``size`` products, drawn by a hash of their contents."""
        query = sa.select(products.c.key).order_by(products.c.digest, products.c.product_id)
        return list(self.connection.execute(query.limit(size)).scalars())

    def matching(self, conditions: Sequence[Condition]) -> np.ndarray:
        """Return the keys of the products for which all conditions hold: (n,) int64."""
        query = sa.select(products.c.key).where(*(each.clause() for each in conditions))
        return np.array(self.connection.execute(query).scalars().all(), dtype=np.int64)

    def known_images(self, hashes: Iterable[str], fingerprint: str) -> set[str]:
        """Return those of the SHA-256s whose embeddings by this encoder are stored."""
        found: set[str] = set()
        for chunk in _chunks(hashes):
            found.update(
                self.connection.execute(
                    sa.select(embeddings.c.sha256).where(
                        embeddings.c.fingerprint == fingerprint, embeddings.c.sha256.in_(chunk)
                    )
                ).scalars()
            )
        return found

    def owners(self, hashes: Iterable[str]) -> dict[str, list[tuple[int, str]]]:
        """Return who shows a picture: (product key, location) by SHA-256."""
        found: dict[str, list[tuple[int, str]]] = {}
        for chunk in _chunks(hashes):
            for row in self.connection.execute(
                sa.select(views.c.sha256, views.c.product_key, views.c.location).where(
                    views.c.sha256.in_(chunk)
                )
            ):
                found.setdefault(row.sha256, []).append((row.product_key, row.location))
        return found

    def previews(self, hashes: Iterable[str]) -> dict[str, bytes]:
        """Return the stored JPEG previews by SHA-256."""
        found: dict[str, bytes] = {}
        for chunk in _chunks(hashes):
            for row in self.connection.execute(sa.select(images).where(images.c.sha256.in_(chunk))):
                if checksum(row.sha256, row.preview) != row.crc:
                    raise damaged(f"the preview of image {row.sha256[:12]}")
                found[row.sha256] = row.preview
        return found

    def rows(self, fingerprint: str, *, after: int = 0, size: int = 4096) -> Iterator[Rows]:
        """Yield the index rows that changed after a generation, in runs of at most ``size``."""
        last = 0
        while True:
            query = (
                _indexed(fingerprint)
                .where(views.c.generation > after, views.c.id > last)
                .order_by(views.c.id)
                .limit(size)
            )
            found = self.connection.execute(query).all()
            if not found:
                return
            last = found[-1].id
            vectors, colours, keys = _arrays(found)
            yield Rows(np.array([row.id for row in found], dtype=np.int64), keys, vectors, colours)

    def sample(self, fingerprint: str, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return embeddings (n, d) float32, colours (n, c) float32 and product keys (n,) int64 of
        up to ``size`` views, drawn like ``sample_keys`` and in that order.
        """
        query = (
            sa.select(views.c.id)
            .join(products, views.c.product_key == products.c.key)
            .order_by(products.c.digest, products.c.product_id, views.c.position)
            .limit(size)
        )
        ids = self.connection.execute(query).scalars().all()
        found: dict[int, Any] = {}
        for chunk in _chunks(ids):
            chosen = _indexed(fingerprint).where(views.c.id.in_(chunk))
            found.update((row.id, row) for row in self.connection.execute(chosen))
        return _arrays([found[each] for each in ids if each in found])

    def removed(self, after: int) -> np.ndarray:
        """Return the ids of views removed after a generation: (n,) int64."""
        query = sa.select(removed_views.c.id).where(removed_views.c.generation > after)
        return np.array(self.connection.execute(query).scalars().all(), dtype=np.int64)

    # --- writing -------------------------------------------------------------------------------

    def next_generation(self) -> int:
        """Begin a change: raise the generation and return it."""
        generation = self.generation() + 1
        write_setting(self.connection, "generation", generation)
        return generation

    def add_images(
        self, pictures: Sequence[Picture], vectors: np.ndarray, fingerprint: str
    ) -> None:
        """Store pictures and their embeddings, (n, d) float32; known previews are kept."""
        have = set()
        for chunk in _chunks(picture.sha256 for picture in pictures):
            have.update(
                self.connection.execute(
                    sa.select(images.c.sha256).where(images.c.sha256.in_(chunk))
                ).scalars()
            )
        rows = [
            {
                "sha256": each.sha256, "width": each.width, "height": each.height,
                "format": each.format, "preview": each.preview,
                "crc": checksum(each.sha256, each.preview),
            }
            for each in pictures if each.sha256 not in have
        ]  # fmt: skip
        if rows:
            self.connection.execute(sa.insert(images), rows)
        rows = []
        for picture, vector in zip(pictures, vectors, strict=True):
            vector_bytes = vector.astype("<f4").tobytes()
            colour_bytes = picture.colour.astype("<f2").tobytes()
            crc = checksum(picture.sha256, fingerprint, vector_bytes, colour_bytes)
            rows.append(
                {"sha256": picture.sha256, "fingerprint": fingerprint, "vector": vector_bytes,
                 "colour": colour_bytes, "crc": crc}
            )  # fmt: skip
        if rows:
            self.connection.execute(sa.insert(embeddings), rows)

    def put(
        self,
        product: Product,
        pictures: Sequence[tuple[str, str]],
        key: int | None,
        generation: int,
    ) -> None:
        """Write a product and its pictures, (sha256, location) in order; ``key`` = replace that one."""
        row: dict[str, Any] = {name: getattr(product, name) for name in _TEXTS}
        row |= {
            "price": product.price,
            "attributes": json.dumps(product.attributes, ensure_ascii=False, sort_keys=True),
            "digest": product.digest(),
            "generation": generation,
        }
        if key is None:
            result = self.connection.execute(sa.insert(products).values(row))
            assert result.inserted_primary_key is not None
            key = int(result.inserted_primary_key[0])
        else:
            self.connection.execute(sa.update(products).where(products.c.key == key).values(row))
            self.connection.execute(sa.delete(attributes).where(attributes.c.product_key == key))
        if product.attributes:
            self.connection.execute(
                sa.insert(attributes),
                [
                    {"product_key": key, "name": name, "value": value}
                    for name, value in product.attributes.items()
                ],
            )
        self._put_views(key, pictures, generation)

    def _put_views(self, key: int, pictures: Sequence[tuple[str, str]], generation: int) -> None:
        """Make a product's views equal ``pictures``, leaving alone the index rows that stay."""
        old = {
            row.sha256: row
            for row in self.connection.execute(sa.select(views).where(views.c.product_key == key))
        }
        gone = [row.id for sha256, row in old.items() if sha256 not in {p[0] for p in pictures}]
        self._remove_views(gone, generation)
        for position, (sha256, location) in enumerate(pictures):
            row = {"position": position, "location": location}
            row["crc"] = checksum(key, sha256, position, location)
            if sha256 in old:
                self.connection.execute(
                    sa.update(views).where(views.c.id == old[sha256].id).values(row)
                )
            else:
                self.connection.execute(
                    sa.insert(views).values(
                        product_key=key, sha256=sha256, generation=generation, **row
                    )
                )

    def remove(self, keys: Collection[int], generation: int) -> None:
        """Remove products with their views, and the images that no product shows any more."""
        for chunk in _chunks(keys):
            ids = self.connection.execute(
                sa.select(views.c.id).where(views.c.product_key.in_(chunk))
            ).scalars()
            self._remove_views(list(ids), generation)
            self.connection.execute(
                sa.delete(attributes).where(attributes.c.product_key.in_(chunk))
            )
            self.connection.execute(sa.delete(products).where(products.c.key.in_(chunk)))

    def remove_views(self, ids: Sequence[int], generation: int) -> None:
        """Remove single pictures of products."""
        self._remove_views(ids, generation)

    def remove_unused_images(self) -> int:
        """Drop images and embeddings that no product shows; return how many images."""
        used = sa.select(views.c.sha256)
        self.connection.execute(sa.delete(embeddings).where(embeddings.c.sha256.not_in(used)))
        return self.connection.execute(
            sa.delete(images).where(images.c.sha256.not_in(used))
        ).rowcount

    def _remove_views(self, ids: Sequence[int], generation: int) -> None:
        for chunk in _chunks(ids):
            self.connection.execute(sa.delete(views).where(views.c.id.in_(chunk)))
            self.connection.execute(
                sa.insert(removed_views), [{"id": each, "generation": generation} for each in chunk]
            )


def _product(row: Any) -> Product:
    try:
        loaded = json.loads(row.attributes)
    except ValueError as error:
        raise damaged(f"the attributes of product {row.product_id!r}") from error
    product = Product(
        **{name: getattr(row, name) for name in _TEXTS}, price=row.price, attributes=loaded
    )
    if product.digest() != row.digest:
        raise damaged(f"product {row.product_id!r} does not match its checksum")
    return product


def _check_view(row: Any) -> None:
    if checksum(row.product_key, row.sha256, row.position, row.location) != row.crc:
        raise damaged(f"picture row {row.id} does not match its checksum")


def _indexed(fingerprint: str) -> sa.Select[Any]:
    """Return the query for views with their embeddings by one encoder."""
    return (
        sa.select(
            views,
            embeddings.c.vector,
            embeddings.c.colour,
            embeddings.c.fingerprint,
            embeddings.c.crc.label("embedding_crc"),
        )
        .join(embeddings, views.c.sha256 == embeddings.c.sha256)
        .where(embeddings.c.fingerprint == fingerprint)
    )


def _arrays(rows: Sequence[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return vectors (n, d) float32, colours (n, c) float32 and product keys (n,) int64, checked."""
    for row in rows:
        _check_view(row)
        if checksum(row.sha256, row.fingerprint, row.vector, row.colour) != row.embedding_crc:
            raise damaged(f"the embedding of image {row.sha256[:12]} does not match its checksum")
    return (
        np.stack([np.frombuffer(row.vector, dtype="<f4") for row in rows]),
        np.stack([np.frombuffer(row.colour, dtype="<f2") for row in rows]).astype(np.float32),
        np.array([row.product_key for row in rows], dtype=np.int64),
    )


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for value in values:
        chunk.append(value)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
