"""The head at work on a catalogue: taught by its labels, and run over all of its products."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from index.adding import Progress, silent
from index.deciding import write_again
from index.heads import read_register
from index.labels import Label, product_labels, stored_predictions, within
from index.pooling import Labelled, labelled, pooled
from index.products import ProductTable, chunks
from index.tables import labels, predictions, products
from index.taxonomies import taxonomy_of
from index.writing import ProductWriter
from vision.head import Examples, Head, Prediction
from vision.taxonomy import Taxonomy

if TYPE_CHECKING:
    from index.catalogue import Catalogue

DEFAULT_PRECISION = 0.98
BEST = 3  # values kept of each prediction
_LEAST_DOUBT = 0.5  # by which the head must be surer of another value to call a label suspect
_MOST_CORRECTIONS = 5000  # the latest, that count before the head is trained again
_NEIGHBOURS = 30  # of a decided product that are predicted anew


@dataclass(frozen=True)
class Tag:
    """What the head says of one thing on one axis.

    ``best`` has the likeliest values with their probabilities, ``accepted`` the value that is
    surely right at the precision asked for, or "", ``confidence`` its probability or that of the
    best; ``outside`` is the probability that no value fits.
    """

    best: tuple[tuple[str, float], ...]
    accepted: str
    confidence: float
    outside: float


@dataclass(frozen=True)
class Taught:
    """A head that was just trained, its version, and what it learnt from."""

    head: Head
    version: str
    labelled: Labelled


@dataclass
class TagReport:
    """What a tagging did: products predicted, those with an accepted value, and queued ones."""

    predicted: int = 0
    accepted: int = 0
    queued: int = 0
    unchanged: int = 0


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
    head = fit_head(
        catalogue, taught.examples, taxonomy, precision=precision, seed=seed, progress=progress
    )
    with catalogue.writing(), catalogue.changing() as table:
        version = catalogue.heads.add(table, head)
    return Taught(head, version, taught)


def fit_head(
    catalogue: Catalogue,
    examples: Examples,
    taxonomy: Taxonomy,
    *,
    precision: float = DEFAULT_PRECISION,
    seed: int = 0,
    progress: Progress = silent,
) -> Head:
    """Train a head for the catalogue's encoder, which also embeds the categories' names."""
    encoder = catalogue.encoder
    return Head.fit(
        examples,
        taxonomy,
        fingerprint=catalogue.fingerprint,
        words=encoder.encode_texts if encoder.knows_words else None,
        precision=precision,
        seed=seed,
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
            done = sa.select(predictions.c.product_key).where(predictions.c.head == version)
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
    with catalogue.writing():
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
                _tag(table, catalogue.fingerprint, head, version, since, some, report)
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


def tags_of(said: Mapping[str, Prediction]) -> list[dict[str, Tag]]:
    """Return the predictions one by one."""
    best = {axis: each.best(BEST) for axis, each in said.items()}
    count = len(next(iter(said.values())).outside)
    return [
        {
            axis: Tag(
                tuple(best[axis][at]),
                each.accepted[at],
                float(each.confidence[at]),
                float(each.outside[at]),
            )
            for axis, each in said.items()
        }
        for at in range(count)
    ]


def _tag(
    table: ProductWriter,
    fingerprint: str,
    head: Head,
    version: str,
    since: Examples | None,
    keys: Sequence[int],
    report: TagReport,
) -> None:
    """Predict products and write what the head says, in the transaction of ``table``."""
    parts = list(pooled(table, fingerprint, keys))
    if not parts:
        return
    before = stored_predictions(table.connection, keys)
    known = product_labels(table, table.get(keys))
    now = time.time()
    rows: list[dict[str, Any]] = []
    changed: list[int] = []
    for part in parts:
        tags = tags_of(head.predict(part.vectors, part.colours, corrections=since))
        for key, each in zip(part.keys.tolist(), tags, strict=True):
            mine = [_row(key, axis, tag, known[key].get(axis), version, now)
                    for axis, tag in each.items()]  # fmt: skip
            rows += mine
            was = {axis: row.accepted for axis, row in before.get(key, {}).items()}
            if {row["axis"]: row["accepted"] for row in mine if row["accepted"]} != {
                axis: value for axis, value in was.items() if value
            }:
                changed.append(key)
            report.predicted += 1
            report.accepted += any(row["accepted"] for row in mine)
            report.queued += any(row["usefulness"] for row in mine)
    table.put_predictions(rows)
    if changed:
        write_again(table, changed, table.next_generation())


def _row(
    key: int, axis: str, tag: Tag, known: Label | None, version: str, now: float
) -> dict[str, Any]:
    """Return what is stored of a prediction, with how useful it is to ask a person about it.

    That is how unsure the head is where nothing holds, or how sure it is that a feed's label is
    wrong; a person's label asks for nothing.
    """
    label = known.value if known is not None and known.source != "head" else ""
    suspect = ""
    if label:
        own = max((p for value, p in tag.best if within(value, label)), default=0.0)
        doubt = tag.best[0][1] - own
        usefulness = 0.0
        if known is not None and known.source == "feed" and doubt > _LEAST_DOUBT:
            suspect, usefulness = label, doubt
    else:
        usefulness = 0.0 if tag.accepted else 1.0 - tag.best[0][1]
    return {
        "product_key": key,
        "axis": axis,
        "head": version,
        "best": json.dumps([[value, round(p, 6)] for value, p in tag.best]),
        "accepted": tag.accepted,
        "confidence": round(tag.confidence, 6),
        "outside": round(tag.outside, 6),
        "usefulness": round(usefulness, 6),
        "suspect": suspect,
        "time": now,
    }


def _similar(catalogue: Catalogue, table: ProductTable, keys: Iterable[int]) -> list[int]:
    """Return the products that look most like others, with those."""
    store = catalogue.index(table).store
    found = set(keys)
    rows = [store.vectors_of(key) for key in found]
    asked = np.concatenate(rows) if rows else np.empty((0, 0), dtype=np.float32)
    if len(asked):
        found.update(store.search(asked, _NEIGHBOURS).products.ravel().tolist())
    return sorted(key for key in found if key >= 0)
