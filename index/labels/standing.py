"""Labels: what people decided about products, and how it goes together with feeds and the head.

A person's word goes before the feed's, the feed's before the head's. People's decisions are kept by
the product's id and by the hash of its first picture, so that they outlast the product's row, its
embedding and every head, and find the product again when it comes back under another id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from index.labels.taxonomies import category_reader
from index.product import Product
from index.store.products import ProductTable, StoredProduct
from index.store.tables import damaged, label_crc, labels, prediction_crc, predictions, products
from vision.taxonomy import CATEGORY, SEPARATOR

Action = Literal["set", "outside", "reject", "skip"]
ACTIONS: tuple[Action, ...] = ("set", "outside", "reject", "skip")

_CHUNK = 500  # values in one IN (...)


@dataclass(frozen=True)
class Decision:
    """What a person says of one product on one axis.

    "set" gives ``value``, "outside" says that no value of the taxonomy fits, "reject" that
    ``value`` does not, and "skip" leaves it for later.
    """

    product_id: str
    axis: str
    action: Action
    value: str = ""


@dataclass(frozen=True)
class Label:
    """What holds for one product on one axis, and who says so.

    ``time`` is in seconds of Unix time. ``who`` names a person, ``head`` the version of a head;
    ``confidence`` is 0 to 1 from a head, else None. A value of "" means that none fits.
    """

    value: str
    source: Literal["feed", "person", "head"]
    time: float
    who: str = ""
    head: str = ""
    confidence: float | None = None


@dataclass
class Standing:
    """What people decided about one product: the rows of ``labels`` that count, by axis.

    ``set`` has the last that gave a value or said "outside", ``rejected`` the values refused since,
    ``skipped`` the axes whose last word was "skip".
    """

    set: dict[str, Any] = field(default_factory=dict)
    rejected: dict[str, list[str]] = field(default_factory=dict)
    skipped: dict[str, float] = field(default_factory=dict)

    def heed(self, row: Any) -> None:
        """Take in the next decision, in the order in which they were made."""
        self.skipped.pop(row.axis, None)
        if row.action == "skip":
            self.skipped[row.axis] = row.time
        elif row.action == "reject":
            self.rejected.setdefault(row.axis, []).append(row.value)
            if row.axis in self.set and within(self.set[row.axis].value, row.value):
                del self.set[row.axis]
        else:
            self.rejected.pop(row.axis, None)
            self.set[row.axis] = row

    def refuses(self, axis: str, value: str) -> bool:
        """Tell whether a person said that this value does not fit."""
        return any(within(value, each) for each in self.rejected.get(axis, ()))


NOTHING = Standing()


def within(path: str, other: str) -> bool:
    """Tell whether a category is another one or lies below it."""
    return path == other or path.startswith(other + SEPARATOR)


def effective(
    feed: Product, category: str, standing: Standing, accepted: Mapping[str, str]
) -> Product:
    """Return the product as it holds: the feed's, with people's word and the head's filled in.

    ``category`` is what the feed's is called now, ``accepted`` has the head's value by axis.
    """
    values = {**feed.attributes, CATEGORY: category}
    for axis, value in accepted.items():
        if not values.get(axis) and not standing.refuses(axis, value):
            values[axis] = value
    values |= {axis: row.value for axis, row in standing.set.items()}
    if standing.refuses(CATEGORY, values[CATEGORY]):
        values[CATEGORY] = ""
    category = values.pop(CATEGORY)
    # An attribute that the feed itself calls "category" cannot be told from the axis of that name.
    if CATEGORY in feed.attributes:
        values[CATEGORY] = feed.attributes[CATEGORY]
    kept = {
        name: value for name, value in values.items() if value and not standing.refuses(name, value)
    }
    return replace(feed, category=category, attributes=kept)


def standings(connection: Connection, shown: Mapping[str, Sequence[str]]) -> dict[str, Standing]:
    """Return what people decided about products, by id; ``shown`` has their pictures' SHA-256s.

    A decision about a product that is gone counts for one that shows the same first picture.
    """
    rows: dict[int, Any] = {}
    gone = labels.c.product_id.not_in(sa.select(products.c.product_id))
    hashes = [sha256 for each in shown.values() for sha256 in each]
    for column, values, condition in (
        (labels.c.product_id, list(shown), sa.true()), (labels.c.sha256, hashes, gone),
    ):  # fmt: skip
        for at in range(0, len(values), _CHUNK):
            query = sa.select(labels).where(
                column.in_(values[at : at + _CHUNK]), condition, labels.c.withdrawn == 0
            )
            rows.update((row.id, row) for row in connection.execute(query))
    own: dict[str, list[Any]] = {}
    inherited: dict[str, list[Any]] = {}
    for row in sorted(rows.values(), key=lambda row: row.id):
        if label_crc(row) != row.crc:
            raise damaged(f"decision {row.id} does not match its checksum")
        (own if row.product_id in shown else inherited).setdefault(
            row.product_id if row.product_id in shown else row.sha256, []
        ).append(row)
    found: dict[str, Standing] = {}
    for product_id, pictures in shown.items():
        standing = Standing()
        for row in (
            *(row for sha256 in dict.fromkeys(pictures) for row in inherited.get(sha256, ())),
            *own.get(product_id, ()),
        ):
            standing.heed(row)
        found[product_id] = standing
    return found


def stored_predictions(connection: Connection, keys: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return the rows of ``predictions`` by product key and axis."""
    found: dict[int, dict[str, Any]] = {}
    wanted = list(keys)
    for at in range(0, len(wanted), _CHUNK):
        query = sa.select(predictions).where(
            predictions.c.product_key.in_(wanted[at : at + _CHUNK])
        )
        for row in connection.execute(query):
            if prediction_crc(row) != row.crc:
                raise damaged(f"a prediction of product row {row.product_key} was changed")
            found.setdefault(row.product_key, {})[row.axis] = row
    return found


def labels_of(
    feed: Product,
    changed: float,
    standing: Standing,
    predicted: Mapping[str, Any],
    category: str,
) -> dict[str, Label]:
    """Return what holds for a product by axis, each with its source.

    ``changed`` is the time of the feed's word, ``predicted`` the product's rows of ``predictions``,
    ``category`` what the feed's is called now.
    """
    accepted = {axis: row.accepted for axis, row in predicted.items() if row.accepted}
    product = effective(feed, category, standing, accepted)
    values = {**product.attributes, CATEGORY: product.category}
    found: dict[str, Label] = {}
    for axis, row in standing.set.items():
        found[axis] = Label(row.value, "person", row.time, who=row.who)
    said = {**feed.attributes, CATEGORY: category}
    for axis, value in values.items():
        if axis in found or not value:
            continue
        if said.get(axis) == value:
            found[axis] = Label(value, "feed", changed)
        else:
            row = predicted[axis]
            found[axis] = Label(value, "head", row.time, head=row.head, confidence=row.confidence)
    return found


def product_labels(
    table: ProductTable, stored: Mapping[int, StoredProduct]
) -> dict[int, dict[str, Label]]:
    """Return what holds for products by key and axis, each with its source."""
    category = category_reader(table.connection)
    predicted = stored_predictions(table.connection, stored)
    shown = {
        each.product.product_id: [view.sha256 for view in each.views] for each in stored.values()
    }
    decided = standings(table.connection, shown)
    return {
        key: labels_of(
            each.feed,
            each.changed,
            decided[each.product.product_id],
            predicted.get(key, {}),
            category(each.feed),
        )
        for key, each in stored.items()
    }
