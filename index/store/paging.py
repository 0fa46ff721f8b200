"""Products one page after the other, in an order that writing does not disturb."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from index.search.filters import check_attributes, parse_filter
from index.store.products import ProductTable, StoredProduct
from index.store.tables import products


def page_of_products(
    table: ProductTable, where: Sequence[str], *, after: int = 0, limit: int = 50
) -> tuple[list[StoredProduct], int | None]:
    """Return up to ``limit`` products that fit, and after which key the next page begins, if any.

    Oldest first: a product keeps its place as long as it is there, so that going through all pages
    meets each once. Raises QueryError for conditions that make no sense.
    """
    conditions = parse_filter(where)
    check_attributes(conditions, table.connection)
    query = sa.select(products.c.key).where(
        products.c.key > after, *(each.clause() for each in conditions)
    )
    query = query.order_by(products.c.key).limit(limit + 1)
    keys = list(table.connection.execute(query).scalars())
    found = table.get(keys[:limit])
    return [found[key] for key in keys[:limit]], keys[limit - 1] if len(keys) > limit else None
