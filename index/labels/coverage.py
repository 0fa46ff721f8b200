"""How much of a catalogue is labelled: products by axis and by who says so."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

import sqlalchemy as sa

from index.labels.taxonomies import aliases, taxonomy_of
from index.store.products import ProductTable
from index.store.tables import attributes, labels, products
from vision.taxonomy import CATEGORY, translate


@dataclass(frozen=True)
class Coverage:
    """The numbers of products with a value on an axis, by who says so, and of all products."""

    axis: str
    person: int
    feed: int
    head: int
    products: int

    @property
    def blank(self) -> int:
        """Return how many have no value."""
        return self.products - self.person - self.feed - self.head


def coverage(table: ProductTable) -> list[Coverage]:
    """Count the labels of a catalogue, the category first, then its axes by name."""
    connection = table.connection
    total = table.counts()["products"]
    axes = (CATEGORY, *taxonomy_of(table).axes)
    having = _having(table)
    person: Counter[str] = Counter()
    decided = (
        sa.select(labels.c.axis, products.c.key, products.c.category, attributes.c.value)
        .join(products, products.c.product_id == labels.c.product_id)
        .outerjoin(
            attributes,
            sa.and_(attributes.c.product_key == products.c.key, attributes.c.name == labels.c.axis),
        )
        .where(
            labels.c.withdrawn == 0,
            labels.c.action == "set",
            labels.c.value
            == sa.case((labels.c.axis == CATEGORY, products.c.category), else_=attributes.c.value),
        )
        .distinct()
    )
    said = {(row.axis, row.key) for row in connection.execute(decided)}
    person.update(axis for axis, _ in said)
    moves = aliases(connection)
    head: Counter[str] = Counter()
    changed = sa.select(
        products.c.key, products.c.category, products.c.attributes, products.c.feed
    ).where(products.c.feed != "")
    for row in connection.execution_options(yield_per=1000).execute(changed):
        feed = json.loads(row.feed)
        now = json.loads(row.attributes) | {CATEGORY: row.category}
        was = feed["attributes"] | {CATEGORY: translate(feed["category"], moves)}
        for axis in axes:
            value = now.get(axis)
            if value and value != was.get(axis) and (axis, row.key) not in said:
                head[axis] += 1
    return [
        Coverage(axis, person[axis], having[axis] - person[axis] - head[axis], head[axis], total)
        for axis in axes
    ]


def _having(table: ProductTable) -> Counter[str]:
    """Return how many products have a value, by axis."""
    count = sa.func.count()
    rows = table.connection.execute(
        sa.select(attributes.c.name, count)
        .where(attributes.c.value != "")
        .group_by(attributes.c.name)
    )
    found: Counter[str] = Counter({row.name: row[1] for row in rows})
    filled = sa.select(count).select_from(products).where(products.c.category != "")
    found[CATEGORY] = int(table.connection.execute(filled).scalar_one())
    return found
