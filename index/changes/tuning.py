"""Tuning the index: what each kind finds and costs on the catalogue's own vectors; the choice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from index.progress import Progress, silent
from index.search.live import store_choice, stored_choice
from index.vectors import KINDS, Choice, Measured, VectorStore

if TYPE_CHECKING:
    from index.catalogue import Catalogue

RECALLS = (0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


@dataclass(frozen=True)
class Trade:
    """What the kinds of index measured, beside what a catalogue of ``rows`` pictures uses now.

    ``kinds`` has one entry for each kind and recall that it reaches, ``choice`` is what the user
    wants, ``kind`` what "auto" stands for at this size.
    """

    rows: int
    choice: Choice
    kind: str
    now: Measured
    kinds: tuple[Measured, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as documented for ``findalike tune --json``."""
        return {
            "rows": self.rows,
            "choice": self.choice.as_dict(),
            "kind": self.kind,
            "now": asdict(self.now),
            "kinds": [asdict(each) for each in self.kinds],
        }


def weigh(catalogue: Catalogue, *, progress: Progress = silent) -> Trade:
    """Build every kind of index aside and measure it; nothing of the catalogue changes."""
    with catalogue.reading() as table:
        choice = stored_choice(table.connection)
        store = catalogue.index(table).store
    found: list[Measured] = []
    for done, kind in enumerate(KINDS):
        progress("tune", done, len(KINDS))
        built = VectorStore.build(
            store.parts(),
            store.dim,
            kind=kind,
            count=len(store),
            recall=0.0,  # whatever it reaches is to be shown
            folder=catalogue.path,
        )
        found += built.tradeoffs(RECALLS)
    progress("tune", len(KINDS), len(KINDS))
    kind = Choice().kind_for(len(store))
    return Trade(len(store), choice, kind, store.measured, tuple(found))


def choose_kind(catalogue: Catalogue, kind: str | None, recall: float | None) -> Measured:
    """Note what the user wants, None for what was wanted before, and build the index so.

    Returns what was measured of it. Raises CatalogueBusy while another process writes.
    """
    with catalogue.writing():
        with catalogue.changing() as table:
            old = stored_choice(table.connection)
            new = Choice(
                old.kind if kind is None else kind, old.recall if recall is None else recall
            )
            store_choice(table, new)
        catalogue.settle()
        with catalogue.reading() as table:
            return catalogue.index(table).store.measured
