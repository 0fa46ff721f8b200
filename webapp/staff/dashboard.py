"""The first staff page: how the catalogue and its searches are doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Response, abort, render_template

from index.labels.coverage import Coverage, coverage
from index.labels.heads import read_register
from index.labels.review import queue_length
from index.service.jobs import Job
from index.service.searchlog import Summary
from webapp.services import services
from webapp.staff.access import blueprint, desk

DAYS = 14
_HEIGHT = 60  # of the chart's tallest bar


@dataclass(frozen=True)
class Figures:
    """What the dashboard shows."""

    info: dict[str, Any]
    coverage: list[Coverage]
    open: int
    head: str
    summary: Summary
    bars: tuple[tuple[float, int, int], ...]  # day, searches, height
    recent: list[Any]
    job: Job | None


@blueprint.get("/")
def dashboard() -> str:
    """Show counts, labels, the queue, and what customers look for."""
    catalogue = services().catalogue
    with catalogue.reading() as table:
        shares = desk().remember("coverage", table, coverage)
        open_ = queue_length(table)
        head = read_register(table.connection).current
    summary = desk().searches.summary(DAYS)
    most = max((count for _, count in summary.by_day), default=0) or 1
    bars = tuple((day, count, round(_HEIGHT * count / most)) for day, count in summary.by_day)
    figures = Figures(
        catalogue.info(), shares, open_, head, summary, bars, desk().searches.recent(12),
        desk().jobs.running(),
    )  # fmt: skip
    return render_template("staff/dashboard.html", figures=figures, height=_HEIGHT, days=DAYS)


@blueprint.get("/searches/<int:number>.jpg")
def searched_photo(number: int) -> Response:
    """Send a photo that was searched for, where the shop keeps them."""
    data = desk().searches.preview(number)
    if data is None:
        abort(404)
    return Response(data, mimetype="image/jpeg")
