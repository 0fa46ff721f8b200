"""Writing decisions and predictions, with their checksums and under the seal."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from index.store.products import ProductTable, chunks
from index.store.seal import read_seal, write_seal
from index.store.tables import label_crc, labels, prediction_crc, predictions, products
from vision.taxonomy import CATEGORY, translate


class LabelWriter(ProductTable):
    """Reads products, writes decisions and predictions; the caller owns the transaction."""

    def rename_labels(self, ids: dict[int, str]) -> None:
        """Let decisions follow products whose ids change: ``ids`` has the new ones by key."""
        if not read_seal(self.connection).labels:
            return
        for chunk in chunks(ids):
            query = sa.select(products.c.key, products.c.product_id).where(
                products.c.key.in_(chunk)
            )
            for row in self.connection.execute(query).all():
                if row.product_id != ids[row.key]:
                    change = {"product_id": ids[row.key]}
                    self.change_labels(labels.c.product_id == row.product_id, change)

    def add_labels(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write decisions: rows of ``labels`` without id and checksum."""
        first = self._next_label()
        made = [with_crc(label_crc, id=first + at, **row) for at, row in enumerate(rows)]
        self._insert(labels, made)
        seal = read_seal(self.connection)
        total = seal.labels_sum + sum(row["crc"] for row in made)
        write_seal(self.connection, replace(seal, labels=seal.labels + len(made), labels_sum=total))

    def change_labels(self, condition: sa.ColumnElement[bool], values: dict[str, Any]) -> None:
        """Write other values into the decisions for which a condition holds."""
        for row in self.connection.execute(sa.select(labels).where(condition)).all():
            self._change_label(row, values)

    def move_labels(self, moves: Mapping[str, str]) -> None:
        """Carry decisions along when categories move."""
        mine = sa.select(labels).where(labels.c.axis == CATEGORY)
        for row in self.connection.execute(mine).all():
            if (new := translate(row.value, moves)) != row.value:
                self._change_label(row, {"value": new})

    def _change_label(self, row: Any, values: dict[str, Any]) -> None:
        changed = with_crc(label_crc, **without_crc(row) | values)
        self.connection.execute(sa.update(labels).where(labels.c.id == row.id).values(changed))
        seal = read_seal(self.connection)
        total = seal.labels_sum + changed["crc"] - row.crc
        write_seal(self.connection, replace(seal, labels_sum=total))

    def put_predictions(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write predictions in place of those for the same products and axes, without checksum."""
        for axis in {row["axis"] for row in rows}:
            for chunk in chunks(row["product_key"] for row in rows if row["axis"] == axis):
                here = predictions.c.product_key.in_(chunk)
                self._delete(predictions, sa.and_(here, predictions.c.axis == axis))
        self._insert(predictions, (with_crc(prediction_crc, **row) for row in rows))

    def move_predictions(self, moves: Mapping[str, str]) -> None:
        """Carry what a head said along when categories move; of two that become one, add up."""
        query = sa.select(predictions).where(predictions.c.axis == CATEGORY)
        for row in self.connection.execute(query).all():
            best: dict[str, float] = {}
            for path, probability in json.loads(row.best):
                new = translate(path, moves)
                best[new] = best.get(new, 0.0) + probability
            moved = {
                "best": json.dumps(sorted(best.items(), key=lambda pair: -pair[1])),
                "accepted": translate(row.accepted, moves),
                "suspect": translate(row.suspect, moves),
            }
            if any(getattr(row, name) != value for name, value in moved.items()):
                here = (
                    predictions.c.product_key == row.product_key,
                    predictions.c.axis == CATEGORY,
                )
                values = with_crc(prediction_crc, **without_crc(row) | moved)
                self.connection.execute(sa.update(predictions).where(*here).values(values))

    def delete_predictions(self, keys: Collection[int]) -> None:
        """Drop what a head said of products."""
        for chunk in chunks(keys):
            self._delete(predictions, predictions.c.product_key.in_(chunk))

    def _next_label(self) -> int:
        greatest = sa.select(sa.func.coalesce(sa.func.max(labels.c.id), 0))
        return int(self.connection.execute(greatest).scalar_one()) + 1

    def _insert(self, table: sa.Table, rows: Iterable[dict[str, Any]]) -> None:
        listed = list(rows)
        if listed:
            self.connection.execute(sa.insert(table), listed)

    def _delete(self, table: sa.Table, condition: sa.ColumnElement[bool]) -> None:
        self.connection.execute(sa.delete(table).where(condition))


def without_crc(row: Any) -> dict[str, Any]:
    """Return a row's values without its checksum."""
    values = dict(row._mapping)
    del values["crc"]
    return values


def with_crc(crc: Any, **row: Any) -> dict[str, Any]:
    """Return a row with the checksum that ``crc`` makes of it."""
    return row | {"crc": crc(SimpleNamespace(**row))}
