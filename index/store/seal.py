"""The seal: how many rows the catalogue has and what their checksums add up to.

A row's checksum tells whether the row is as it was written, the seal whether all rows are there.
It is written in the same transaction as the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from index.store.database import read_setting, write_setting
from index.store.tables import attributes, embeddings, images, labels, products, views

_SETTING = "seal"


@dataclass(frozen=True)
class Seal:
    """Numbers of rows, sums of their checksums, and the last keys that were given out."""

    products: int = 0
    products_sum: int = 0
    views: int = 0
    views_sum: int = 0
    attributes: int = 0
    labels: int = 0
    labels_sum: int = 0
    last_key: int = 0
    last_view: int = 0
    calibration: int = 0  # the checksum of what was learnt

    def changed(self, before: Seal, after: Seal) -> Seal:
        """Return the seal when a part of the rows counted ``before`` and counts ``after`` now."""
        old, new = asdict(before), asdict(after)
        return Seal(**{name: was + new[name] - old[name] for name, was in asdict(self).items()})


def read_seal(connection: Connection) -> Seal:
    """Return the seal as it was written last; of an empty catalogue, if never."""
    return Seal(**(read_setting(connection, _SETTING) or {}))


def write_seal(connection: Connection, seal: Seal) -> None:
    """Store the seal."""
    write_setting(connection, _SETTING, asdict(seal))


def count_rows(connection: Connection, keys: Sequence[int] | None = None) -> Seal:
    """Return what the rows themselves say, of all products or of those with these keys.

    What rows do not tell is 0: the last keys, since some may be removed, and the calibration; and
    the labels where keys are given, since they do not go with the products.
    """
    found: dict[str, int] = {}
    for table, key, crc in (
        (products, products.c.key, products.c.crc),
        (views, views.c.product_key, views.c.crc),
        (attributes, attributes.c.product_key, sa.literal(0)),
    ):
        query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(crc), 0)).select_from(table)
        row = connection.execute(query if keys is None else query.where(key.in_(keys))).one()
        found |= {table.name: int(row[0]), f"{table.name}_sum": int(row[1])}
    del found["attributes_sum"]
    if keys is None:
        total = sa.func.coalesce(sa.func.sum(labels.c.crc), 0)
        row = connection.execute(sa.select(sa.func.count(), total).select_from(labels)).one()
        found |= {"labels": int(row[0]), "labels_sum": int(row[1])}
    return Seal(**found)


def reseal(connection: Connection) -> None:
    """Write the seal anew from the rows as they are."""
    old, now = read_seal(connection), count_rows(connection)
    write_seal(
        connection,
        replace(
            now,
            last_key=max(old.last_key, _greatest(connection, products.c.key)),
            last_view=max(old.last_view, _greatest(connection, views.c.id)),
            calibration=old.calibration,
        ),
    )


def _greatest(connection: Connection, column: sa.Column[Any]) -> int:
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(column), 0))).scalar_one())


def missing_rows(connection: Connection, fingerprint: str) -> Iterator[str]:
    """Say which rows are missing or too many, by the seal and by what belongs together."""
    seal, found = read_seal(connection), count_rows(connection)
    for table in ("products", "views", "attributes", "labels"):
        should, there = getattr(seal, table), getattr(found, table)
        if should != there:
            yield f"{there} rows of {table} instead of {should}"
        elif table != "attributes" and getattr(seal, f"{table}_sum") != getattr(
            found, f"{table}_sum"
        ):
            yield f"rows of {table} are not those that were written"
    embedding = (embeddings.c.sha256 == views.c.sha256, embeddings.c.fingerprint == fingerprint)
    for what, rows, other, conditions in (
        ("pictures without a product", views, products, [products.c.key == views.c.product_key]),
        ("products without a picture", products, views, [products.c.key == views.c.product_key]),
        ("pictures without a preview", views, images, [images.c.sha256 == views.c.sha256]),
        ("pictures without an embedding", views, embeddings, list(embedding)),
    ):
        count = _count_without(connection, rows, other, conditions)
        if count:
            yield f"{count} {what}"


def _count_without(
    connection: Connection, table: sa.Table, other: sa.Table, conditions: Iterable[Any]
) -> int:
    """Return how many rows of a table have none in the other that meets the conditions."""
    there = sa.select(sa.literal(1)).select_from(other).where(*conditions).correlate(table)
    query = sa.select(sa.func.count()).select_from(table).where(~there.exists())
    return int(connection.execute(query).scalar_one())
