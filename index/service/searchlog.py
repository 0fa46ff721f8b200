"""What was searched for and how it went, for the people who run the shop; photos are not in it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from index.query import Answer, Query
from index.search.words import words_of
from index.service.tables import searches
from index.store.database import transaction

KEPT_DAYS = 30
_DAY = 24 * 3600.0
_VOTERS = 5  # hits that tell what a photo may show
_MOST = 200_000  # searches looked at for a summary


@dataclass(frozen=True)
class Missed:
    """What customers looked for and did not find: ``what`` is a category or words.

    ``last`` is a Unix time; ``shown`` the numbers of searches whose photos were kept.
    """

    what: str
    count: int
    last: float
    shown: tuple[int, ...]


@dataclass(frozen=True)
class Summary:
    """The searches of some days.

    ``by_day`` has (Unix time of its beginning, number) from the first day to today; ``verdicts``
    the numbers by verdict, of photos only. ``not_stocked`` groups photos by the category that
    comes closest, ``without_hits`` words that found nothing. ``stages`` has the median and the
    95th percentile of each stage's milliseconds, "total" first.
    """

    searches: int
    by_day: tuple[tuple[float, int], ...]
    verdicts: dict[str, int]
    not_stocked: tuple[Missed, ...]
    without_hits: tuple[Missed, ...]
    stages: dict[str, tuple[float, float]]


def describe_search(query: Query, answer: Answer, preview: bytes | None = None) -> dict[str, Any]:
    """Return a row of ``searches``, for ``SearchLog.add``.

    Words that describe no product found nothing, whatever looks most like them; a product that
    only the conditions leave out is stocked.
    """
    photo, words = "photo" in query.parts, "text" in query.parts
    kind = "both" if photo and words else "photo" if photo else "words" if words else "like"
    unknown = set(answer.unknown)
    in_vain = kind == "words" and unknown and unknown == set(words_of(query.text))
    guesses = Counter(hit.product.category for hit in answer.hits[:_VOTERS] if hit.product.category)
    return {
        "time": time.time(),
        "kind": kind,
        "words": query.text[:200],
        "verdict": "similar" if answer.left_out else answer.verdict,
        "hits": 0 if in_vain else len(answer.hits),
        "category": guesses.most_common(1)[0][0] if guesses else "",
        "milliseconds": sum(answer.milliseconds.values()),
        "stages": json.dumps({name: round(ms, 2) for name, ms in answer.milliseconds.items()}),
        "preview": preview,
    }


class SearchLog:
    """The searches of a catalogue, each kept for a month."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write searches, and forget old ones."""
        if rows:
            with transaction(self._engine, writes=True) as connection:
                old = searches.c.time < time.time() - KEPT_DAYS * _DAY
                connection.execute(sa.delete(searches).where(old))
                connection.execute(sa.insert(searches), list(rows))

    def preview(self, number: int) -> bytes | None:
        """Return the photo of a search, where it was kept."""
        query = sa.select(searches.c.preview).where(searches.c.id == number)
        with transaction(self._engine) as connection:
            found: bytes | None = connection.execute(query).scalar()
        return found

    def recent(self, limit: int = 50) -> list[Any]:
        """Return the latest searches first: rows of ``searches`` without previews."""
        columns = [each for each in searches.c if each.name != "preview"]
        query = sa.select(*columns).order_by(searches.c.id.desc()).limit(limit)
        with transaction(self._engine) as connection:
            return list(connection.execute(query).all())

    def summary(self, days: int = 14, most: int = 12) -> Summary:
        """Return the searches of the last days, today with it, in numbers."""
        today = time.time() // _DAY * _DAY
        first = today - (days - 1) * _DAY
        shown = sa.case((searches.c.preview.is_not(None), searches.c.id), else_=0).label("shown")
        columns = [each for each in searches.c if each.name != "preview"]
        query = (
            sa.select(*columns, shown)
            .where(searches.c.time >= first)
            .order_by(searches.c.id.desc())
            .limit(_MOST)
        )
        with transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        per_day = Counter(row.time // _DAY * _DAY for row in rows)
        return Summary(
            len(rows),
            tuple((first + day * _DAY, per_day[first + day * _DAY]) for day in range(days)),
            dict(Counter(row.verdict for row in rows if row.kind == "photo")),
            _grouped(((row.category, row) for row in rows
                      if row.kind != "words" and row.verdict == "not stocked"), most),
            _grouped(((row.words.lower(), row) for row in rows
                      if row.words and not row.hits), most),
            _latency(rows),
        )  # fmt: skip


def _grouped(pairs: Any, most: int) -> tuple[Missed, ...]:
    """Put rows together that miss the same thing, the most frequent first; rows: latest first."""
    found: dict[str, list[Any]] = {}
    for what, row in pairs:
        found.setdefault(what, []).append(row)
    ordered = sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return tuple(
        Missed(what, len(rows), rows[0].time, tuple(row.shown for row in rows if row.shown)[:6])
        for what, rows in ordered[:most]
    )


def _latency(rows: Sequence[Any]) -> dict[str, tuple[float, float]]:
    if not rows:
        return {}
    times: dict[str, list[float]] = {"total": [row.milliseconds for row in rows]}
    for row in rows[:5000]:
        for name, ms in json.loads(row.stages).items():
            times.setdefault(name, []).append(ms)
    return {
        name: (float(np.percentile(each, 50)), float(np.percentile(each, 95)))
        for name, each in times.items()
    }
