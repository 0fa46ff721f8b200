"""Changes to the catalogue's taxonomy that take products, labels and predictions along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from index.feeds import NUMBERED
from index.labels.deciding import relabel, write_again
from index.labels.heads import move_heads
from index.labels.taxonomies import extend_aliases, store_taxonomy, stored_taxonomy, taxonomy_of
from index.store.tables import attributes
from vision.taxonomy import Migration, Taxonomy

if TYPE_CHECKING:
    from index.catalogue import Catalogue


def adopt(catalogue: Catalogue, taxonomy: Taxonomy) -> None:
    """Give the catalogue a taxonomy; products whose feed gives a category's number get it now."""
    with catalogue.writing(), catalogue.changing() as writer:
        store_taxonomy(writer, taxonomy)
        numbered = sa.select(attributes.c.product_key).where(attributes.c.name == NUMBERED)
        keys = writer.connection.execute(numbered).scalars().all()
        write_again(writer, keys, writer.next_generation())


def migrate(catalogue: Catalogue, change: Callable[[Taxonomy], Migration]) -> tuple[Migration, int]:
    """Change the taxonomy, and with it products, labels and predictions, all at once.

    ``change`` gets the taxonomy as it stands within the transaction. Returns what moved and how
    many products that concerned. Later feeds may go on using the old paths. A taxonomy that goes by
    the products still does, unless categories were added that no product has.
    """
    with catalogue.writing(), catalogue.changing() as writer:
        before = taxonomy_of(writer)
        migration = change(before)
        stored = stored_taxonomy(writer.connection)
        if stored is not None or not migration.moves:
            axes = {} if stored is None else stored.axes
            store_taxonomy(writer, replace(migration.taxonomy, axes=axes))
        extend_aliases(writer, before, migration)
        move_heads(writer.connection, migration.moves)
        return migration, relabel(writer, migration.moves, writer.next_generation())
