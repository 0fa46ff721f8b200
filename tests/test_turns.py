"""Decisions are made while an import is under way."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import tiny
from test_jobs import TinyWorker, eventually, packed, upload

from index.catalogue import Catalogue
from index.changes.checking import check_catalogue
from index.labels.deciding import decide, undo
from index.labels.standing import Decision, product_labels
from index.labels.tagging import refresh, tag, train
from index.service.jobs import Jobs


def test_decisions_during_an_import(catalogue: Catalogue, tmp_path: Path) -> None:
    train(catalogue)
    tag(catalogue)
    jobs = Jobs(catalogue.engine)
    number = jobs.add("import", upload(catalogue, packed(320)), who="ada")
    worker = TinyWorker(catalogue.path, "w", **{tiny.DELAY: "0.3"})
    eventually(lambda: jobs.get(number).done > 0)
    slowest, count = 0.0, 0
    while not jobs.get(number).over:
        started = time.monotonic()
        product_id = f"p{count % 24}"
        category = tiny.CATEGORIES[count % 3]
        decide(catalogue, [Decision(product_id, "category", "set", category)], who="eve")
        if count % 3 == 0:
            undo(catalogue, who="eve")
        refresh(catalogue, [product_id])
        count += 1
        slowest = max(slowest, time.monotonic() - started)
    assert jobs.get(number).state == "done", jobs.get(number).error
    worker.end()
    print(count, slowest)
    assert count > 20
    assert slowest < 5
    assert catalogue.info()["products"] == 344
    with Catalogue.open(catalogue.path) as opened:
        problems: list[Any] = list(check_catalogue(opened, files=False))
        assert not [each for each in problems if each.serious], problems
        with opened.reading() as table:
            labels = product_labels(table, table.get(table.keys(["p1"]).values()))
    assert next(iter(labels.values()))["category"].who == "eve"
