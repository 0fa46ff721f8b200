"""The head at work on a catalogue: taught by its labels, and run over all of its products."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from index.labels.deciding import in_turn
from index.labels.heads import read_register
from index.labels.pooling import Labelled, labelled, pooled, sampled
from index.labels.predicting import BEST, TagReport, tags_of, write_tags
from index.labels.taxonomies import taxonomy_of
from index.progress import Progress, silent
from index.store.products import CHUNK, ProductTable, chunks
from index.store.tables import labels, predictions, products
from index.store.writing import ProductWriter
from vision.head import Examples, Head
from vision.head.fitting import HeldOut
from vision.taxonomy import Taxonomy

if TYPE_CHECKING:
    from index.catalogue import Catalogue

DEFAULT_PRECISION = 0.98
_MOST_CORRECTIONS = 5000  # the latest, that count before the head is trained again
_NEIGHBOURS = 30  # of a decided product that are predicted anew


@dataclass(frozen=True)
class Taught:
    """A head that was just trained, its version, and what it learnt from."""

    head: Head
    version: str
    labelled: Labelled


def train(
    catalogue: Catalogue,
    *,
    precision: float = DEFAULT_PRECISION,
    seed: int = 0,
    progress: Progress = silent,
) -> Taught:
    """Teach a head what is labelled, keep it as a new version, and use it from now on.

    Raises HeadError where there is nothing to learn from.
    """
    with catalogue.reading() as table:
        taxonomy = taxonomy_of(table)
        taught = labelled(table, catalogue.fingerprint, taxonomy)
        asked = sampled(table, catalogue.fingerprint)
    head = fit_head(
        catalogue,
        taught.examples if len(taught.products) else asked,
        taxonomy,
        precision=precision,
        seed=seed,
        asked=asked,
        progress=progress,
    )
    with catalogue.writing(), catalogue.changing() as table:
        version = catalogue.heads.add(table, head)
    made = Taught(head, version, taught)
    _note_held_out(catalogue, made)
    return made


def _note_held_out(catalogue: Catalogue, made: Taught) -> None:
    """Store for labelled products what was said of them by experts that had not seen them.

    The head itself has learnt their labels, and would not tell the wrong ones.
    """
    head, examples = made.head, made.labelled.examples
    honest = {
        axis: dict(zip(each.rows.tolist(), _best(head.axes[axis].classes, each), strict=True))
        for axis, each in head.held_out.items()
    }
    stored = made.labelled.products
    for at in range(0, len(stored), CHUNK):
        some = slice(at, at + CHUNK)
        tags = tags_of(head.predict(examples.vectors[some], examples.colours[some]))
        for row, mine in enumerate(tags, at):
            for axis in list(mine):
                if row in honest.get(axis, ()):
                    mine[axis] = replace(mine[axis], best=honest[axis][row])
                else:
                    del mine[axis]
        with catalogue.writing(), catalogue.changing() as table:
            keys = table.keys(each.product.product_id for each in stored[some])
            there = {
                keys[each.product.product_id]: mine
                for each, mine in zip(stored[some], tags, strict=True)
                if each.product.product_id in keys  # nobody took it away meanwhile
            }
            write_tags(table, there, made.version, TagReport())


def _best(classes: Sequence[str], held_out: HeldOut) -> list[tuple[tuple[str, float], ...]]:
    """Return the likeliest classes of held-out examples with their probabilities."""
    p = np.exp(held_out.log_p)
    order = np.argsort(-p, axis=1, kind="stable")[:, :BEST]
    return [
        tuple((classes[at], float(p[row, at])) for at in best)
        for row, best in enumerate(order.tolist())
    ]


def fit_head(
    catalogue: Catalogue,
    examples: Examples,
    taxonomy: Taxonomy,
    *,
    precision: float = DEFAULT_PRECISION,
    seed: int = 0,
    asked: Examples | None = None,
    progress: Progress = silent,
) -> Head:
    """Train a head for the catalogue's encoder, which also embeds the categories' names.

    ``asked`` is a sample of what it will be asked of, where that is unlike the examples.
    """
    encoder = catalogue.encoder
    return Head.fit(
        examples,
        taxonomy,
        fingerprint=catalogue.fingerprint,
        words=encoder.encode_texts if encoder.knows_words else None,
        precision=precision,
        seed=seed,
        asked=asked,
        progress=progress,
    )


def tag(catalogue: Catalogue, *, progress: Progress = silent) -> TagReport:
    """Predict every product that the head in use has not predicted yet, batch by batch.

    What is accepted fills in where neither feed nor people say anything. Each batch is committed,
    so that an interrupted call is taken up by making it once more.
    """
    report = TagReport()
    with catalogue.writing():
        with catalogue.reading() as table:
            taxonomy = taxonomy_of(table)
            head, version = catalogue.heads.current(table.connection, taxonomy)
            since = corrections(table, catalogue.fingerprint, head)
            done = (  # what was held out in training is there already, on some axes
                sa.select(predictions.c.product_key)
                .where(predictions.c.head == version)
                .group_by(predictions.c.product_key)
                .having(sa.func.count() >= len(head.axes))
            )
            query = sa.select(products.c.key).where(products.c.key.not_in(done))
            keys = table.connection.execute(query.order_by(products.c.key)).scalars().all()
            report.unchanged = table.counts()["products"] - len(keys)
        progress("tag", 0, len(keys))
        for some in chunks(keys):
            with catalogue.changing() as table:
                _tag(table, catalogue.fingerprint, head, version, since, some, report)
            progress("tag", report.predicted, len(keys))
    return report


def refresh(catalogue: Catalogue, product_ids: Sequence[str]) -> int:
    """Predict anew the products that look like these, which were just decided; return how many."""
    with in_turn(catalogue):
        with catalogue.reading() as table:
            if not read_register(table.connection).current:
                return 0
            taxonomy = taxonomy_of(table)
            head, version = catalogue.heads.current(table.connection, taxonomy)
            since = corrections(table, catalogue.fingerprint, head)
            near = _similar(catalogue, table, table.keys(product_ids).values())
        report = TagReport()
        for some in chunks(near):
            with catalogue.changing() as table:
                _tag(table, catalogue.fingerprint, head, version, since, some, report, anew=True)
    return report.predicted


def corrections(table: ProductTable, fingerprint: str, head: Head) -> Examples | None:
    """Return what people decided since a head was trained, None if nothing."""
    query = (
        sa.select(labels)
        .where(labels.c.withdrawn == 0, labels.c.time > head.time, labels.c.action == "set")
        .order_by(labels.c.id.desc())
        .limit(_MOST_CORRECTIONS)
    )
    said: dict[str, dict[str, str]] = {}
    for row in table.connection.execute(query):
        said.setdefault(row.product_id, {}).setdefault(row.axis, row.value)
    keys = table.keys(said)
    parts = list(pooled(table, fingerprint, keys.values()))
    if not parts:
        return None
    name = {key: product_id for product_id, key in keys.items()}
    order = [name[key] for part in parts for key in part.keys.tolist()]
    axes = sorted({axis for each in said.values() for axis in each})
    return Examples(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.colours for part in parts]),
        {axis: tuple(said[each].get(axis, "") for each in order) for axis in axes},
    )


def _tag(
    table: ProductWriter,
    fingerprint: str,
    head: Head,
    version: str,
    since: Examples | None,
    keys: Sequence[int],
    report: TagReport,
    *,
    anew: bool = False,
) -> None:
    """Predict products and write what the head says, in the transaction of ``table``."""
    tags = {
        key: each
        for part in pooled(table, fingerprint, keys)
        for key, each in zip(
            part.keys.tolist(),
            tags_of(head.predict(part.vectors, part.colours, corrections=since)),
            strict=True,
        )
    }
    write_tags(table, tags, version, report, anew=anew)


def _similar(catalogue: Catalogue, table: ProductTable, keys: Iterable[int]) -> list[int]:
    """Return the products that look most like others, with those."""
    store = catalogue.index(table).store
    found = set(keys)
    rows = [store.vectors_of(key) for key in found]
    asked = np.concatenate(rows) if rows else np.empty((0, 0), dtype=np.float32)
    if len(asked):
        found.update(store.search(asked, _NEIGHBOURS).products.ravel().tolist())
    return sorted(key for key in found if key >= 0)
