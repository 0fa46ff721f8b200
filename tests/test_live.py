"""The index of a catalogue as processes hold it: saved, caught up, renewed, mistrusted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny

from index.catalogue import Catalogue
from index.changes.checking import check_catalogue
from index.changes.tuning import choose_kind
from index.query import Query
from index.search.live import SNAPSHOT, Index

Feed = Callable[..., Path]


@pytest.fixture(params=["scan", "lists"])
def large(
    request: pytest.FixtureRequest, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Catalogue]:
    """A catalogue whose index is of a kind for large ones, and that is treated as large."""
    monkeypatch.setattr("index.search.calibration.VERDICT_PHOTOS", tiny.FEW_PHOTOS)
    monkeypatch.setattr("index.search.live._MANY", 0)
    choose_kind(catalogue, request.param, None)
    yield catalogue


def held(catalogue: Catalogue) -> Index:
    with catalogue.reading() as table:
        return catalogue.index(table)


def found(catalogue: Catalogue, **asked: object) -> list[tuple[str, float]]:
    answer = catalogue.search(Query(text="red", k=1000, **asked))  # type: ignore[arg-type]
    return [(hit.product.product_id, round(hit.score, 4)) for hit in answer.hits]


def test_all_kinds_give_the_same_answers(large: Catalogue) -> None:
    kind = held(large).store.measured.kind
    assert kind in ("scan", "lists")
    mine = found(large), found(large, where=("price<9",)), found(large, like="p3")
    assert list(check_catalogue(large)) == []
    choose_kind(large, "exact", None)
    assert held(large).store.measured.kind == "exact"
    assert mine == (found(large), found(large, where=("price<9",)), found(large, like="p3"))


def test_the_choice_outlives_the_snapshot(large: Catalogue) -> None:
    kind = held(large).store.measured.kind
    (large.path / SNAPSHOT).unlink()
    with Catalogue.open(large.path) as again:
        assert held(again).store.measured.kind == kind
        again.rebuild()
        assert again.info()["index"]["kind"] == kind
        assert again.info()["index_choice"] == {"kind": kind, "recall": 0.99}


def test_a_snapshot_of_another_choice_is_not_taken(large: Catalogue) -> None:
    before = (large.path / SNAPSHOT).read_bytes()
    choose_kind(large, "exact", None)
    (large.path / SNAPSHOT).write_bytes(before)
    with Catalogue.open(large.path) as again:
        assert held(again).store.measured.kind == "exact"


def test_little_changes_do_not_write_the_snapshot(
    large: Catalogue, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.search.live._LITTLE", 0.1)
    path = large.path / SNAPSHOT
    before = path.stat().st_mtime_ns
    large.add([feed(2, start=300)])  # 2 of 30 pictures
    large.remove(["p1"])
    assert path.stat().st_mtime_ns == before
    with Catalogue.open(large.path) as again:  # looks them up
        ids = {product_id for product_id, _ in found(again)}
        assert {"p300", "p301"} <= ids
        assert "p1" not in ids
        assert list(check_catalogue(again, files=False)) == []
    large.add([feed(2, start=302)])
    assert path.stat().st_mtime_ns != before
    assert held(large).store.unsaved == 0


def test_a_worn_scan_is_learnt_anew(
    large: Catalogue, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.catalogue._LEARN_AGAIN", 100.0)
    old = held(large).store
    large.add([feed(4, start=300)])
    assert held(large).store.measured.rows == old.measured.rows == 30
    large.add([feed(8, start=304)])
    assert held(large).store.measured.rows == 42
    assert held(large).store.worn == 0


def test_a_damaged_row_is_noticed_and_the_index_built_anew(large: Catalogue) -> None:
    expected = found(large)
    path = large.path / SNAPSHOT
    vectors = held(large).store.vectors()
    data = bytearray(path.read_bytes())
    at = data.index(vectors[7].tobytes())
    data[at + 5] ^= 4
    path.write_bytes(data)
    with Catalogue.open(large.path) as again:
        assert not np.array_equal(held(again).store.views, [])  # it is taken, for all one knows
        assert found(again) == expected
        assert found(again) == expected
        np.testing.assert_allclose(held(again).store.vectors(), vectors, atol=1e-6)
        again.rebuild()
        assert (large.path / SNAPSHOT).read_bytes() != data
    with Catalogue.open(large.path) as again:
        assert list(check_catalogue(again, files=False)) == []


def test_a_process_that_runs_takes_over_a_newer_snapshot(
    large: Catalogue, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.catalogue._LEARN_AGAIN", 100.0)
    monkeypatch.setattr("index.search.live._WORN", 100.0)
    with Catalogue.open(large.path) as reader:
        found(reader)
        old = held(reader).store
        large.add([feed(3, start=300)])  # writes another snapshot
        assert len(found(reader)) == 27
        for number in range(40):
            large.add([feed(1, start=400 + number)])
            assert len(found(reader)) == 28 + number
            time.sleep(0.05)
            if held(reader).store is not old:
                break
        else:
            pytest.fail("it still has the old one")
        assert len(found(reader)) == 28 + number
        assert list(check_catalogue(reader, files=False)) == []


def test_the_snapshot_of_a_reader_may_vanish(large: Catalogue) -> None:
    """What is mapped into memory stays there while another file takes its name."""
    expected = found(large)
    (large.path / SNAPSHOT).unlink()
    assert found(large) == expected
