"""Conditions on products: parsed from what people type, turned into SQL."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from index.product import category_path
from index.store.tables import attributes, products
from vision.categories import SEPARATOR
from vision.errors import QueryError

_EXPRESSION = re.compile(r"\s*(?P<field>[^<>=!]+?)\s*(?P<op><=|>=|!=|<|>|=)\s*(?P<value>.*)", re.S)
_TEXT_COLUMNS = ("brand", "availability", "currency", "title")
_FIELDS = {name: name for name in ("category", "price", "product_id", *_TEXT_COLUMNS)}
_FIELDS["id"] = "product_id"

_RUN = re.compile(r"[\x00-\x7f]+|[^\x00-\x7f]")  # of ASCII, or one other letter

# Characters of all conditions of a query: a database takes an expression of limited depth only.
MAX_LENGTH = 800

Clause = sa.ColumnElement[bool]


@dataclass(frozen=True)
class Condition:
    """One condition: ``field`` is a product's column or the name of an attribute.

    ``op`` is one of = != < <= > >=; only the price has an order. ``values`` are alternatives: any
    of them will do (for !=, none of them may hold). Text compares without regard to case, product
    ids exactly, and a category holds for all that lies below it. What a product does not have is
    never equal to a value, and a missing price is neither more nor less than any.
    """

    field: str
    op: str
    values: tuple[str, ...]

    def clause(self) -> Clause:
        """Return the condition as SQL over the products table."""
        if self.op == "=":
            return self._equals()
        if self.op == "!=":
            return sa.not_(self._equals())
        if self.field != "price":
            raise QueryError(
                f'"{self.field}" has no order, so {self.op} means nothing; use = or != '
                f"(only the price takes < <= > >=)."
            )
        return sa.or_(*(_price(self.op, value) for value in self.values))

    def _equals(self) -> Clause:
        if self.field == "price":
            return sa.or_(*(_price("=", value) for value in self.values))
        if self.field == "category":
            return sa.or_(*(_within(value) for value in self.values))
        if self.field == "product_id":
            return products.c.product_id.in_(self.values)
        if self.field in _TEXT_COLUMNS:
            return sa.or_(*(_same(products.c[self.field], value) for value in self.values))
        return products.c.key.in_(
            sa.select(attributes.c.product_key).where(
                _same(attributes.c.name, self.field),
                sa.or_(*(_same(attributes.c.value, value) for value in self.values)),
            )
        )


def parse_filter(expressions: Iterable[str]) -> tuple[Condition, ...]:
    """Read conditions such as ``price<20``, ``category=Kitchen > Mugs`` or ``colour=red|blue``.

    All of them must hold. Raises QueryError for one that cannot be read.
    """
    expressions = tuple(expressions)
    if sum(map(len, expressions)) > MAX_LENGTH:
        raise QueryError(f"The conditions are longer than {MAX_LENGTH} characters; ask for less.")
    conditions = []
    for expression in expressions:
        match = _EXPRESSION.fullmatch(expression)
        values = match["value"].split("|") if match else []
        values = [value.strip() for value in values if value.strip()]
        if match is None or not values:
            raise QueryError(
                f'"{expression}" is not a condition. Write FIELD=VALUE, for example '
                f'"category=Kitchen", "price<=20", "brand=Acme" or "colour=red|blue".'
            )
        field = match["field"].strip()
        condition = Condition(_FIELDS.get(field.lower(), field), match["op"], tuple(values))
        condition.clause()  # a wrong price or operator is told now, not after the photo is embedded
        conditions.append(condition)
    return tuple(conditions)


def check_attributes(conditions: Sequence[Condition], connection: Connection) -> None:
    """Raise QueryError for an attribute that no product has: most likely a slip of the pen."""
    names = connection.execute(sa.select(attributes.c.name).distinct()).scalars().all()
    known = {name.lower() for name in names}
    for condition in conditions:
        if condition.field not in _FIELDS and condition.field.lower() not in known:
            there = f"; there are {', '.join(sorted(names)[:20])}" if names else ""
            raise QueryError(
                f'No product has the attribute "{condition.field}"{there}. Other conditions: '
                f"category, price, {', '.join(_TEXT_COLUMNS)}, id."
            )


def _within(category: str) -> Clause:
    """Hold for a category and all below it; a / may stand between levels or in a level's name."""
    paths = {category_path(category), category_path(f"{category}>")}
    if not all(paths):
        raise QueryError(f'"{category}" is not a category; write a path such as "Kitchen > Mugs".')
    column = products.c.category
    return sa.or_(
        *(sa.or_(_same(column, path), _begins(column, path + SEPARATOR)) for path in sorted(paths))
    )


def _same(column: sa.Column[str], text: str) -> Clause:
    """Compare without regard to case."""
    return sa.and_(sa.func.length(column) == len(text), _begins(column, text))


def _begins(column: sa.Column[str], text: str) -> Clause:
    """Compare the beginning without regard to case.

    Letters outside ASCII are compared one by one, because SQLite's lower() leaves them alone.
    """
    parts = []
    for run in _RUN.finditer(text):
        part = sa.func.substr(column, run.start() + 1, len(run[0]))
        if run[0].isascii():
            parts.append(sa.func.lower(part) == run[0].lower())
        else:
            parts.append(part.in_(sorted({run[0], run[0].lower(), run[0].upper()})))
    return sa.and_(*parts)


def _price(op: str, value: str) -> Clause:
    """Compare the price; false, not unknown, where there is none, so that it can be negated."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise QueryError(f'"{value}" is not a price; write a number such as 19.99.')
    price = products.c.price
    operators: dict[str, Clause] = {
        "=": price == number,
        "<": price < number,
        "<=": price <= number,
        ">": price > number,
        ">=": price >= number,
    }
    return sa.and_(price.is_not(None), operators[op])
