"""What the head says of products: kept beside them, with how useful it is to ask a person."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from index.labels.deciding import write_again
from index.labels.standing import Label, product_labels, stored_predictions, within
from index.store.writing import ProductWriter
from vision.head import Prediction

BEST = 3  # values kept of each prediction
_LEAST_DOUBT = 0.5  # by which the head must be surer of another value to call a label suspect


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


@dataclass
class TagReport:
    """What a tagging did: products predicted, those with an accepted value, and queued ones."""

    predicted: int = 0
    accepted: int = 0
    queued: int = 0
    unchanged: int = 0


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


def write_tags(
    table: ProductWriter,
    tags: Mapping[int, Mapping[str, Tag]],
    version: str,
    report: TagReport,
    *,
    anew: bool = False,
) -> None:
    """Write what a head says of products, by key and axis, and let it hold where it may.

    What this version said already stays, unless it is said ``anew``.
    """
    before = stored_predictions(table.connection, tags)
    known = product_labels(table, table.get(tags))
    now = time.time()
    rows: list[dict[str, Any]] = []
    changed: list[int] = []
    for key, each in tags.items():
        was = before.get(key, {})
        stay = {} if anew else {axis: row for axis, row in was.items() if row.head == version}
        mine = [
            _row(key, axis, tag, known[key].get(axis), version, now)
            for axis, tag in each.items()
            if axis not in stay
        ]
        rows += mine
        if any(row["accepted"] != getattr(was.get(row["axis"]), "accepted", "") for row in mine):
            changed.append(key)
        report.predicted += 1
        report.accepted += any(
            [*(row["accepted"] for row in mine), *(row.accepted for row in stay.values())]
        )
        report.queued += any(
            [*(row["usefulness"] for row in mine), *(row.usefulness for row in stay.values())]
        )
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
