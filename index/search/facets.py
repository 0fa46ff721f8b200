"""What products can be narrowed down by: categories, brands, prices and attributes, with counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from index.search.filters import Condition, parse_filter
from index.store.products import ProductTable
from index.store.tables import attributes, products
from vision.categories import SEPARATOR

MOST_VALUES = 40  # an attribute with more is no choice that a person can look through
_NOT_IN_CONDITIONS = frozenset("<>=!|")  # conditions give these a meaning of their own
_RESERVED = {"category", "price", "brand", "availability", "currency", "title", "id", "product_id"}
_ORDERS = {
    "": (products.c.digest, products.c.key),  # mixed, and the same every time
    "price": (products.c.price.is_(None), products.c.price, products.c.key),
    "-price": (products.c.price.is_(None), products.c.price.desc(), products.c.key),
}


@dataclass(frozen=True)
class Facet:
    """One thing to narrow down by.

    ``field`` is what a condition calls it, ``counts`` its values, most products first, each with
    the number of products there would be with that value and all other conditions.
    """

    field: str
    counts: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Facets:
    """What the products that fit some conditions can be narrowed down by.

    ``products`` is how many fit. ``categories`` has the levels below the category that was chosen,
    by their full paths; ``fields`` brand, availability and attributes, those with one value left
    out unless it was chosen; ``prices`` the least and the greatest, None where none has a price;
    ``currency`` theirs, "" where they have several.
    """

    products: int
    categories: Facet
    fields: tuple[Facet, ...]
    prices: tuple[float, float] | None
    currency: str


def count_facets(table: ProductTable, where: Sequence[str]) -> Facets:
    """Count what fits the conditions ``where``; raises QueryError for one that makes no sense.

    The counts of a field disregard what was chosen in that field, so that they tell what another
    choice would bring.
    """
    conditions = parse_filter(where)
    chosen = {condition.field.lower() for condition in conditions}
    total, low, high = table.connection.execute(
        _fitting(conditions, sa.func.count(), *_price_range())
    ).one()
    currencies = table.connection.execute(
        _fitting(conditions, products.c.currency).where(products.c.price.is_not(None)).distinct()
    ).scalars()
    found = {name: _column(table, conditions, name) for name in ("brand", "availability")}
    found |= _attributes(table, conditions)
    for name in chosen & set(found):
        if name not in ("brand", "availability"):
            found |= _attributes(table, _without(conditions, name), name)
    return Facets(
        total,
        _categories(table, conditions),
        tuple(
            Facet(name, counts)
            for name, counts in found.items()
            if len(counts) > 1 or name.lower() in chosen
        ),
        None if low is None else (float(low), float(high)),
        each[0] if len(each := list(currencies)) == 1 else "",
    )


def browse(
    table: ProductTable, where: Sequence[str], *, order: str = "", limit: int = 24
) -> list[int]:
    """Return the keys of up to ``limit`` products that fit, in an order: "", "price", "-price"."""
    query = _fitting(parse_filter(where), products.c.key).order_by(*_ORDERS[order]).limit(limit)
    return list(table.connection.execute(query).scalars())


def _price_range() -> tuple[sa.ColumnElement[float], sa.ColumnElement[float]]:
    return sa.func.min(products.c.price), sa.func.max(products.c.price)


def _fitting(conditions: Sequence[Condition], *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return sa.select(*columns).where(*(each.clause() for each in conditions))


def _without(conditions: Sequence[Condition], field: str) -> list[Condition]:
    return [each for each in conditions if each.field.lower() != field.lower()]


def _column(
    table: ProductTable, conditions: Sequence[Condition], name: str
) -> tuple[tuple[str, int], ...]:
    column = products.c[name]
    query = _fitting(_without(conditions, name), column, sa.func.count()).where(column != "")
    rows = table.connection.execute(query.group_by(column)).all()
    return _ordered({row[0]: row[1] for row in rows})


def _attributes(
    table: ProductTable, conditions: Sequence[Condition], only: str = ""
) -> dict[str, tuple[tuple[str, int], ...]]:
    """Return the counts of all attributes, or of one, by name in alphabetical order."""
    query = sa.select(attributes.c.name, attributes.c.value, sa.func.count()).group_by(
        attributes.c.name, attributes.c.value
    )
    if conditions:
        query = query.where(
            attributes.c.product_key.in_(_fitting(conditions, products.c.key).scalar_subquery())
        )
    if only:
        query = query.where(sa.func.lower(attributes.c.name) == only.lower())
    counts: dict[str, dict[str, int]] = {}
    for name, value, count in table.connection.execute(query):
        if value.strip() and name.lower() not in _RESERVED and not _NOT_IN_CONDITIONS & set(name):
            counts.setdefault(name, {})[value] = count
    return {
        name: _ordered(values)
        for name, values in sorted(counts.items())
        if len(values) <= MOST_VALUES
    }


def _ordered(counts: dict[str, int]) -> tuple[tuple[str, int], ...]:
    sayable = {value: n for value, n in counts.items() if not _NOT_IN_CONDITIONS & set(value)}
    return tuple(sorted(sayable.items(), key=lambda pair: (-pair[1], pair[0])))


def _categories(table: ProductTable, conditions: Sequence[Condition]) -> Facet:
    """Return the levels directly below the chosen category, or the uppermost."""
    inside = [each.values[0] for each in conditions if each.field == "category"]
    column = products.c.category
    rows = table.connection.execute(
        _fitting(conditions, column, sa.func.count()).where(column != "").group_by(column)
    )
    depth = len(inside[0].split(SEPARATOR)) if inside else 0
    counts: Counter[str] = Counter()
    for path, count in rows:
        levels = path.split(SEPARATOR)
        if len(levels) > depth:
            counts[SEPARATOR.join(levels[: depth + 1])] += count
    return Facet("category", tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))))
