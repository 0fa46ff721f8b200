"""Conditions on products: parsed from what people type, turned into SQL."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from index.product import SEPARATOR, category_path
from index.tables import attributes, products
from vision.errors import QueryError

_EXPRESSION = re.compile(r"\s*(?P<field>[^<>=!]+?)\s*(?P<op><=|>=|!=|<|>|=)\s*(?P<value>.*)", re.S)
_TEXT_COLUMNS = ("brand", "availability", "currency", "title")


@dataclass(frozen=True)
class Condition:
    """One condition: ``field`` is a product's column or the name of an attribute.

    ``op`` is one of = != < <= > >=; only the price has an order. ``values`` are alternatives: any
    of them will do (for !=, none of them). Text compares without regard to case, a category
    matches with all that lies below it.
    """

    field: str
    op: str
    values: tuple[str, ...]

    def clause(self) -> sa.ColumnElement[bool]:
        """Return the condition as SQL over the products table."""
        if self.field == "price":
            return sa.or_(*(_price(self.op, value) for value in self.values))
        if self.op not in ("=", "!="):
            raise QueryError(
                f'"{self.field}" has no order, so {self.op} means nothing; use = or != '
                f"(only the price takes < <= > >=)."
            )
        found = sa.or_(*(self._equals(value) for value in self.values))
        return found if self.op == "=" else sa.not_(found)

    def _equals(self, value: str) -> sa.ColumnElement[bool]:
        low = value.lower()
        if self.field == "category":
            column = sa.func.lower(products.c.category)
            path = category_path(value).lower()
            below = column.startswith(path + SEPARATOR.lower(), autoescape=True)
            return sa.or_(column == path, below)
        if self.field in _TEXT_COLUMNS:
            return sa.func.lower(products.c[self.field]) == low
        if self.field in ("product_id", "id"):
            return products.c.product_id == value
        return products.c.key.in_(
            sa.select(attributes.c.product_key).where(
                sa.func.lower(attributes.c.name) == self.field.lower(),
                sa.func.lower(attributes.c.value) == low,
            )
        )


def parse_filter(expressions: Iterable[str]) -> tuple[Condition, ...]:
    """Read conditions such as ``price<20``, ``category=Kitchen > Mugs`` or ``colour=red|blue``.

    All of them must hold. Raises QueryError for one that cannot be read.
    """
    conditions = []
    for expression in expressions:
        match = _EXPRESSION.fullmatch(expression)
        if match is None or not match["value"].strip():
            raise QueryError(
                f'"{expression}" is not a condition. Write FIELD=VALUE, for example '
                f'"category=Kitchen", "price<=20", "brand=Acme" or "colour=red|blue".'
            )
        values = tuple(part.strip() for part in match["value"].split("|") if part.strip())
        condition = Condition(match["field"].strip(), match["op"], values or ("",))
        condition.clause()  # a wrong price or operator is told now, not after the photo is embedded
        conditions.append(condition)
    return tuple(conditions)


def _price(op: str, value: str) -> sa.ColumnElement[bool]:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise QueryError(f'"{value}" is not a price; write a number such as 19.99.')
    price = products.c.price
    operators: dict[str, sa.ColumnElement[bool]] = {
        "=": price == number,
        "!=": price != number,
        "<": price < number,
        "<=": price <= number,
        ">": price > number,
        ">=": price >= number,
    }
    return operators[op]
