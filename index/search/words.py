"""The words that products are described by, so that a search for words finds those that say them.

An encoder knows what things look like, not what they are called: it has never heard of a shop's
brands, ranges and numbers. What a product's number, title, brand, category and attributes say is
therefore looked up beside it.
"""

from __future__ import annotations

import math
import re
import threading
import unicodedata
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from index.product import Product
from index.query import Query
from index.store.products import ProductTable
from index.store.tables import products
from index.vectors import Neighbours, VectorStore
from vision.categories import names

# Words that say nothing of a product, whether or not a title has them.
_IDLE = frozenset(
    "a an and at by for from in is it of on or that the this to with".split()  # noqa: SIM905
)
_WORD = re.compile(r"[\w]+(?:[-_./][\w]+)*")
# Scripts that are written without spaces: their words are taken as pairs of characters.
_UNSPACED = re.compile(r"[぀-ヿ㐀-䶿一-鿿豈-﫿]+")
# What a product that has all the words gains, and loses where they are not wanted, in a query of
# words alone: cosines of words and pictures lie within a few tenths (docs/search.md).
_SAID = 0.3
_UNWANTED = 0.6
_CHUNK = 2000  # products read at once
_GROUPS = 12  # of products with equal points that are looked at


@dataclass(frozen=True)
class Matches:
    """The products that are described by words.

    ``keys`` (m,) int64 are product keys, each once; ``shares`` (m,) float32 how much of what was
    asked each of them has, above 0 to 1, a rare word counting for more than a common one
    (inverse document frequency). ``unknown`` are the words that no product has.
    """

    keys: np.ndarray
    shares: np.ndarray
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Bonus:
    """What words add to the scores of products.

    ``keys`` (m,) int64, each once; ``points`` (m,) float32, below 0 where a product has words that
    are not wanted; ``unknown`` the wanted words that no product has.
    """

    keys: np.ndarray
    points: np.ndarray
    unknown: tuple[str, ...] = ()


class Words:
    """Which products of one catalogue have which words, as of the database last looked at.

    It is made when words are first asked for, and reads what has changed since at each later
    question. Products that are gone may still be named; whoever searches does not find them.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._generation = -1
        self._rows: dict[str, array[int]] = defaultdict(lambda: array("q"))
        self._row: dict[int, int] = {}  # the row that holds for a product
        self._keys = array("q")  # the product of each row, -1 where a later row took its place

    def find(self, text: str, table: ProductTable) -> Matches:
        """Return the products that have any of the words of a text; raises CatalogueError."""
        asked = dict.fromkeys(words_of(text))
        with self._guard:
            self._catch_up(table)
            keys = np.array(self._keys, dtype=np.int64)
            rows = {word: np.array(self._rows[word]) for word in asked if word in self._rows}
        known = {word: found[keys[found] >= 0] for word, found in rows.items()}
        rarity = {
            word: math.log(1 + len(self._row) / len(found))
            for word, found in known.items()
            if len(found)
        }
        score = np.zeros(len(keys), dtype=np.float32)
        for word, weight in rarity.items():
            score[known[word]] += weight / sum(rarity.values())
        found = np.flatnonzero(score)
        return Matches(
            keys[found], score[found].round(4), tuple(word for word in asked if word not in rarity)
        )

    def bonus(self, query: Query, table: ProductTable) -> Bonus | None:
        """Return what the words of a query add to scores, None where it has none."""
        said = [
            (self.find(words, table), points * query.weight(part))
            for part, words, points in (
                ("text", query.text, _SAID),
                ("not", query.not_text, -_UNWANTED),
            )
            if part in query.parts
        ]
        if not said:
            return None
        total = sum(map(query.weight, query.parts))
        keys, at = np.unique(
            np.concatenate([matches.keys for matches, _ in said]), return_inverse=True
        )
        points = np.zeros(len(keys), dtype=np.float32)
        np.add.at(
            points, at, np.concatenate([matches.shares * most / total for matches, most in said])
        )
        unknown = said[0][0].unknown if query.text.strip() else ()
        return Bonus(keys, points.round(4), unknown)

    def _catch_up(self, table: ProductTable) -> None:
        generation = table.generation()
        if generation <= self._generation:
            return
        changed = sa.select(products.c.key).where(products.c.generation > self._generation)
        keys = table.connection.execute(changed.order_by(products.c.key)).scalars().all()
        for start in range(0, len(keys), _CHUNK):
            for key, stored in table.get(keys[start : start + _CHUNK]).items():
                self._put(key, _described(stored.product))
        self._generation = generation

    def _put(self, key: int, texts: Iterable[str]) -> None:
        if key in self._row:
            self._keys[self._row[key]] = -1
        self._row[key] = row = len(self._keys)
        self._keys.append(key)
        for word in {word for text in texts for word in words_of(text)}:
            self._rows[word].append(row)


def words_of(text: str) -> Iterator[str]:
    """Yield the words of a text as they are compared: without case, accents' forms and plurals.

    Numbers with signs in them ("AB-12/3") are yielded whole and in parts.
    """
    for found in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        parts = re.split(r"[-_./]", found)
        for word in [found, *parts] if len(parts) > 1 else parts:
            yield from _pairs(word) if _UNSPACED.fullmatch(word) else _plain(word)


def _pairs(word: str) -> Iterator[str]:
    yield from (word[at : at + 2] for at in range(max(1, len(word) - 1)))


def _plain(word: str) -> Iterator[str]:
    if word in _IDLE:
        return
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-3] + "y" if word.endswith("ies") and len(word) > 4 else word[:-1]
    yield word


def _described(product: Product) -> Iterator[str]:
    yield product.product_id
    yield product.title
    yield product.brand
    yield from names(product.category) if product.category else ()
    for name, value in product.attributes.items():
        yield name if value == "yes" else value


def search_described(
    store: VectorStore,
    vector: np.ndarray,
    k: int,
    bonus: Bonus,
    *,
    allowed: np.ndarray | None = None,
    without: int = -1,
) -> Neighbours:
    """Return the k best products by score and bonus together; as ``VectorStore.search`` otherwise.

    ``vector`` is (dim,) float32. Products with the same bonus keep their order among themselves, so
    that the k best of each, and of those without any, hold the k best of all.
    """
    groups = [(bonus.keys[bonus.points == points], points) for points in np.unique(bonus.points)]
    groups = sorted(groups, key=lambda group: -group[1])[:_GROUPS]
    rest = allowed
    if (bonus.points < 0).any():
        rest = np.setdiff1d(np.unique(store.products) if allowed is None else allowed, bonus.keys)
    found = []
    for keys, points in [*groups, (rest, 0.0)]:
        within = keys if keys is rest or allowed is None else np.intersect1d(keys, allowed)
        one = store.search(vector[None], k, allowed=within, without=np.array([without]))
        found.append((one.products[0], one.scores[0] + np.float32(points), one.views[0]))
    products, scores, views = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(-scores, kind="stable")
    order = order[products[order] >= 0]
    _, first = np.unique(products[order], return_index=True)
    order = order[np.sort(first)][:k]
    pad = (0, k - len(order))
    return Neighbours(
        np.pad(products[order], pad, constant_values=-1)[None],
        np.pad(scores[order], pad, constant_values=-np.inf)[None],
        np.pad(views[order], pad, constant_values=-1)[None],
    )
