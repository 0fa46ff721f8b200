"""Lists of products for people: found by words and conditions, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from index.search.filters import parse_filter
from index.store.products import ProductTable, StoredProduct
from index.store.tables import attributes, products
from vision.taxonomy import CATEGORY


@dataclass(frozen=True)
class Page:
    """Some of the ``total`` products that fit, in the order of the list."""

    products: tuple[StoredProduct, ...]
    total: int


def list_products(
    table: ProductTable,
    words: str = "",
    *,
    where: Sequence[str] = (),
    without: str = "",
    offset: int = 0,
    limit: int = 48,
) -> Page:
    """Return the products whose id, title or brand has all the words, the newest first.

    ``where`` has conditions as ``Query`` does; ``without`` names an axis that is still blank.
    Raises QueryError.
    """
    clauses = [condition.clause() for condition in parse_filter(where)]
    for word in words.split():
        clauses.append(
            sa.or_(
                *(
                    sa.func.lower(column).contains(text, autoescape=True)
                    for column in (products.c.product_id, products.c.title, products.c.brand)
                    for text in {word.lower(), word}
                )
            )
        )
    if without == CATEGORY:
        clauses.append(products.c.category == "")
    elif without:
        named = sa.select(attributes.c.product_key).where(attributes.c.name == without)
        clauses.append(products.c.key.not_in(named))
    total = table.connection.execute(
        sa.select(sa.func.count()).select_from(products).where(*clauses)
    ).scalar_one()
    exact = sa.case((products.c.product_id == words.strip(), 0), else_=1)
    query = sa.select(products.c.key).where(*clauses)
    query = query.order_by(exact, products.c.key.desc()).offset(offset).limit(limit)
    keys = table.connection.execute(query).scalars().all()
    found = table.get(keys)
    return Page(tuple(found[key] for key in keys), int(total))
