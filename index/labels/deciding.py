"""People's decisions: made, undone, and carried along when categories move."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from index.labels.standing import ACTIONS, Decision
from index.labels.taxonomies import stored_taxonomy, taxonomy_of
from index.store.products import ProductTable, chunks
from index.store.tables import labels, products
from index.store.writing import Change, ProductWriter
from vision.errors import LabelError
from vision.taxonomy import CATEGORY, Taxonomy, translate

if TYPE_CHECKING:
    from index.catalogue import Catalogue

_NAMED = 5  # mistakes that an error message names


def decide(
    catalogue: Catalogue,
    decisions: Sequence[Decision],
    *,
    who: str,
    new_values: bool = False,
) -> int:
    """Write down what a person decided, as one step that can be undone; return how many there are.

    With ``new_values`` categories and values may be new, which makes them; not where the taxonomy
    was set by a file. Raises LabelError, and nothing is written, where a product is not there or a
    value is not in the taxonomy.
    """
    if not decisions:
        return 0
    with in_turn(catalogue), catalogue.changing() as table:
        keys = table.keys(each.product_id for each in decisions)
        stored = table.get(keys.values())
        open_ended = new_values and stored_taxonomy(table.connection) is None
        faults = list(_faults(decisions, keys, taxonomy_of(table), open_ended))
        if faults:
            more = f"\n... and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
            raise LabelError("\n".join(faults[:_NAMED]) + f"{more}\nNothing was changed.")
        step = _last_step(table) + 1
        now = time.time()
        table.add_labels(
            [
                {
                    "step": step,
                    "product_id": each.product_id,
                    "sha256": stored[keys[each.product_id]].views[0].sha256,
                    "axis": each.axis,
                    "action": each.action,
                    "value": each.value,
                    "who": who,
                    "time": now,
                    "withdrawn": 0.0,
                }
                for each in decisions
            ]
        )
        write_again(table, keys.values(), table.next_generation())
    return len(decisions)


def undo(catalogue: Catalogue, *, who: str | None = None) -> list[Decision]:
    """Take the last step back, or with ``who`` the last of that person; return what was undone."""
    with in_turn(catalogue), catalogue.changing() as table:
        standing = [labels.c.withdrawn == 0]
        if who is not None:
            standing.append(labels.c.who == who)
        last = sa.select(sa.func.max(labels.c.step)).where(*standing)
        step = table.connection.execute(last).scalar_one()
        if step is None:
            return []
        chosen = sa.and_(labels.c.step == step, *standing)
        rows = table.connection.execute(sa.select(labels).where(chosen).order_by(labels.c.id)).all()
        table.change_labels(chosen, {"withdrawn": time.time()})
        hashes = {row.sha256 for row in rows}
        keys = set(table.keys(row.product_id for row in rows).values())
        keys.update(key for owners in table.owners(hashes).values() for key, _ in owners)
        write_again(table, keys, table.next_generation())
    return [Decision(row.product_id, row.axis, row.action, row.value) for row in rows]


@contextlib.contextmanager
def in_turn(catalogue: Catalogue) -> Iterator[None]:
    """Let decisions be written while an import or a tagging is under way.

    Each of them is one transaction that takes nothing away that others build on, and SQLite has
    one writer at a time anyway. PostgreSQL would end one of two transactions with an error, so
    that there the whole import has to be waited for.
    """
    if catalogue.engine.dialect.name == "sqlite":
        yield
    else:
        with catalogue.writing():
            yield


def relabel(table: ProductWriter, moves: Mapping[str, str], generation: int) -> int:
    """Carry products, decisions and predictions along when categories move.

    ``moves`` maps old paths to new ones. The moves must be among the catalogue's aliases already.
    Returns the number of products concerned.
    """
    connection = table.connection
    table.move_labels(moves)
    table.move_predictions(moves)
    paths = connection.execute(sa.select(products.c.category).distinct()).scalars().all()
    keys: list[int] = []
    for chunk in chunks(path for path in paths if translate(path, moves) != path):
        query = sa.select(products.c.key).where(products.c.category.in_(chunk))
        keys += connection.execute(query).scalars()
    write_again(table, keys, generation)
    return len(keys)


def write_again(table: ProductWriter, keys: Iterable[int], generation: int) -> None:
    """Write products anew, so that what people and the head say of them now comes to hold."""
    for chunk in chunks(keys):
        table.put([Change.again(stored) for stored in table.get(chunk).values()], generation)


def _last_step(table: ProductTable) -> int:
    query = sa.select(sa.func.coalesce(sa.func.max(labels.c.step), 0))
    return int(table.connection.execute(query).scalar_one())


def _faults(
    decisions: Sequence[Decision],
    known: Mapping[str, int],
    taxonomy: Taxonomy,
    open_ended: bool,
) -> Iterator[str]:
    """Say what is wrong with decisions."""
    for each in decisions:
        what = f'Product "{each.product_id}", {each.axis}'
        if each.product_id not in known:
            yield f'There is no product "{each.product_id}" in this catalogue.'
        elif each.action not in ACTIONS:
            yield f'{what}: "{each.action}" is not one of {", ".join(ACTIONS)}.'
        elif each.action in ("skip", "outside"):
            continue
        elif not each.value:
            yield f"{what}: the value is missing."
        elif open_ended:
            continue
        elif each.axis == CATEGORY:
            if each.value not in taxonomy:
                near = taxonomy.nearest(each.value)
                meant = f' Did you mean "{near[0]}"?' if near else ""
                yield f'{what}: the taxonomy has no category "{each.value}".{meant}'
        elif each.axis not in taxonomy.axes:
            there = ", ".join((CATEGORY, *taxonomy.axes))
            yield f"{what}: the taxonomy has no such axis; there are {there}."
        elif each.value not in taxonomy.axes[each.axis]:
            values = ", ".join(taxonomy.axes[each.axis][:12])
            yield f'{what} cannot be "{each.value}"; there are {values}.'
