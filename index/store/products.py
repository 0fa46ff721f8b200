"""The catalogue's products, pictures and embeddings, read from SQL by key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from index.product import Product
from index.search.filters import Condition
from index.store.database import checked_of, read_setting
from index.store.seal import missing_rows
from index.store.tables import (
    checksum,
    damaged,
    embedding_crc,
    embeddings,
    image_crc,
    images,
    products,
    removed_views,
    view_crc,
    views,
)

T = TypeVar("T")

UPLOAD = "upload:"  # where a picture is from that was no file of a feed, before its SHA-256
CHUNK = 500  # values in one IN (...); SQLite allows some tens of thousands, plans suffer before
TEXTS = (
    "product_id", "title", "description", "category", "brand", "currency", "availability", "url",
)  # fmt: skip

# Made once: every search asks these, and composing them takes as long as running them.
_KEYS: sa.BindParameter[Any] = sa.bindparam("keys", expanding=True)
_VIEWS = sa.select(views).where(views.c.product_key.in_(_KEYS)).order_by(views.c.position)
_PRODUCTS = sa.select(products).where(products.c.key.in_(_KEYS))


class Overtaken(Exception):
    """The index is ahead of this view of the database: a product in it is gone. Look again."""


@dataclass(frozen=True)
class View:
    """One picture of one product: its row in the index, its hash, where it was added from."""

    id: int
    sha256: str
    location: str


@dataclass(frozen=True)
class StoredProduct:
    """A product with its row's key and its pictures in order.

    ``product`` is what holds: what its feed says (``feed``), what people decided, and what the head
    filled in. ``changed`` is when its feed last changed it, in seconds of Unix time.
    """

    key: int
    product: Product
    views: tuple[View, ...]
    feed: Product
    changed: float

    @property
    def pictures(self) -> list[tuple[str, str]]:
        """Return its pictures as (sha256, location)."""
        return [(view.sha256, view.location) for view in self.views]


@dataclass(frozen=True)
class Rows:
    """A run of index rows: ids (n,) int64, product_keys (n,) int64, vectors (n, d) float32,
    colours (n, c) float32; in order of id."""

    ids: np.ndarray
    product_keys: np.ndarray
    vectors: np.ndarray
    colours: np.ndarray


class ProductTable:
    """Reads products over one open connection; the caller owns the transaction.

    Whatever does not match its checksum raises CatalogueError.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def generation(self) -> int:
        """Return the number of the last committed change."""
        return int(read_setting(self.connection, "generation") or 0)

    def verify(self, fingerprint: str) -> None:
        """Raise CatalogueError where rows are missing; of a database found whole, none are."""
        checked = checked_of(self.connection)
        if not checked.trusted:
            for found in missing_rows(self.connection, fingerprint):
                raise damaged(found)
            checked.passed()

    def counts(self) -> dict[str, int]:
        """Return the numbers of products, images, and views (pictures of products)."""
        return {
            table.name: int(
                self.connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            )
            for table in (products, images, views)
        }

    def keys(self, product_ids: Iterable[str]) -> dict[str, int]:
        """Return the keys of those of the products that exist, by id."""
        found: dict[str, int] = {}
        for chunk in chunks(product_ids):
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
        for chunk in chunks(keys):
            shown: dict[int, list[View]] = {}
            for row in self.connection.execute(_VIEWS, {"keys": chunk}):
                _check_view(row)
                shown.setdefault(row.product_key, []).append(View(row.id, row.sha256, row.location))
            for row in self.connection.execute(_PRODUCTS, {"keys": chunk}):
                product, feed = _product(row)
                found[row.key] = StoredProduct(
                    row.key, product, tuple(shown.get(row.key, ())), feed, row.changed
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
        for chunk in chunks(hashes):
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
        for chunk in chunks(hashes):
            for row in self.connection.execute(
                sa.select(views.c.sha256, views.c.product_key, views.c.location)
                .where(views.c.sha256.in_(chunk))
                .order_by(views.c.id)
            ):
                found.setdefault(row.sha256, []).append((row.product_key, row.location))
        return found

    def previews(self, hashes: Iterable[str]) -> dict[str, bytes]:
        """Return the stored JPEG previews by SHA-256, of all of these images."""
        found: dict[str, bytes] = {}
        wanted = set(hashes)
        for chunk in chunks(wanted):
            for row in self.connection.execute(sa.select(images).where(images.c.sha256.in_(chunk))):
                if image_crc(row) != row.crc:
                    raise damaged(f"the preview of image {row.sha256[:12]}")
                found[row.sha256] = row.preview
        if len(found) < len(wanted):
            raise damaged(f"the preview of image {min(wanted - set(found))[:12]} is missing")
        return found

    def indexed(self, fingerprint: str) -> int:
        """Return how many views have an embedding by this encoder: the rows of a full index."""
        both = views.join(embeddings, views.c.sha256 == embeddings.c.sha256)
        query = sa.select(sa.func.count()).select_from(both)
        mine = query.where(embeddings.c.fingerprint == fingerprint)
        return int(self.connection.execute(mine).scalar_one())

    def rows(self, fingerprint: str, *, after: int = 0, size: int = 4096) -> Iterator[Rows]:
        """Yield the index rows that changed after a generation, in runs of at most ``size``."""
        last = 0
        while True:
            query = (
                embedded_views(fingerprint)
                .where(views.c.generation > after, views.c.id > last)
                .order_by(views.c.id)
                .limit(size)
            )
            found = self.connection.execute(query).all()
            if not found:
                return
            last = found[-1].id
            vectors, colours, keys = arrays(found)
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
        for chunk in chunks(ids):
            chosen = embedded_views(fingerprint).where(views.c.id.in_(chunk))
            found.update((row.id, row) for row in self.connection.execute(chosen))
        return arrays([found[each] for each in ids if each in found])

    def removed(self, after: int) -> np.ndarray:
        """Return the ids of views removed after a generation: (n,) int64."""
        query = sa.select(removed_views.c.id).where(removed_views.c.generation > after)
        return np.array(self.connection.execute(query).scalars().all(), dtype=np.int64)


def product_crc(key: int, digest: str, feed: str, changed: float) -> int:
    """Return the checksum of a row of ``products``: its contents are in the digest."""
    return checksum(key, digest, feed, changed)


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """Yield the values in lists that are short enough for one query."""
    chunk: list[T] = []
    for value in values:
        chunk.append(value)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _product(row: Any) -> tuple[Product, Product]:
    """Return the product as it holds, and as its feed has it."""
    try:
        product = Product(
            **{name: getattr(row, name) for name in TEXTS},
            price=row.price,
            attributes=json.loads(row.attributes),
        )
        feed = replace(product, **json.loads(row.feed)) if row.feed else product
        crc = product_crc(row.key, row.digest, row.feed, row.changed)
        right = product.digest() == row.digest and crc == row.crc
    except (ValueError, TypeError):
        right = False
    if not right:
        raise damaged(f"product {row.product_id!r} does not match its checksum")
    return product, feed


def _check_view(row: Any) -> None:
    if view_crc(row) != row.crc:
        raise damaged(f"picture row {row.id} does not match its checksum")


def embedded_views(fingerprint: str) -> sa.Select[Any]:
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


def arrays(rows: Sequence[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return vectors (n, d) float32, colours (n, c) float32, product keys (n,) int64, checked."""
    for row in rows:
        _check_view(row)
        if embedding_crc(row) != row.embedding_crc:
            raise damaged(f"the embedding of image {row.sha256[:12]} does not match its checksum")
    return (
        np.stack([np.frombuffer(row.vector, dtype="<f4") for row in rows]),
        np.stack([np.frombuffer(row.colour, dtype="<f2") for row in rows]).astype(np.float32),
        np.array([row.product_key for row in rows], dtype=np.int64),
    )
