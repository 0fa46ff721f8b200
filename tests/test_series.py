"""Folds: every example is asked once, and series stay together."""

from __future__ import annotations

import numpy as np

from vision.arrays import unit
from vision.head.series import FOLDS, find_series, make_folds
from vision.head.targets import make_labels


def photos(things: int = 60, each: int = 4) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Photos of things of two kinds, ``each`` of every thing."""
    rng = np.random.default_rng(0)
    kind = rng.normal(size=(2, 32))
    thing = 0.4 * kind[np.arange(things) % 2] + rng.normal(size=(things, 32))
    which = np.repeat(np.arange(things), each)
    rows = unit(thing[which] + 0.2 * rng.normal(size=(things * each, 32)))
    return rows, which, [("Cups", "Bowls")[at % 2] for at in which.tolist()]


def test_photos_of_a_thing_are_one_series() -> None:
    rows, which, kinds = photos()
    series = find_series(rows, kinds)
    assert len(np.unique(series)) >= 30  # some that look alike are taken together
    for thing in range(60):
        assert len(set(series[which == thing].tolist())) == 1


def test_unrelated_examples_make_many_series() -> None:
    rows, _, kinds = photos(things=200, each=1)
    assert len(np.unique(find_series(rows, kinds))) > 80


def test_a_series_leaves_enough_of_its_kind_to_learn_from() -> None:
    rng = np.random.default_rng(0)
    kinds = ["Cups"] * 50 + ["Bowls"] * 50
    rows = unit(np.repeat(rng.normal(size=(2, 16)), 50, axis=0) + 0.01 * rng.normal(size=(100, 16)))
    assert np.bincount(find_series(rows, kinds)).max() <= 10


def test_folds_keep_series_together_and_classes_in_proportion() -> None:
    rows, which, kinds = photos()
    labels = make_labels(kinds, ("Bowls", "Cups"), tree=False)
    folds = make_folds(find_series(rows, kinds), labels, most=10_000)
    assert set(folds.tolist()) == set(range(FOLDS))
    for thing in range(60):
        assert len(set(folds[which == thing].tolist())) == 1
    for code in (0, 1):
        counts = np.bincount(folds[labels.codes == code])
        assert counts.max() - counts.min() <= 4


def test_many_examples_are_held_out_once_and_in_part() -> None:
    values = ["a", "b"] * 500
    labels = make_labels(values, ("a", "b"), tree=False)
    folds = make_folds(np.arange(1000), labels, most=100)
    assert 60 <= (folds == 0).sum() <= 140
    assert set(folds.tolist()) == {0, -1}


def test_an_only_example_is_never_held_out() -> None:
    values = ["a", "a", "b", "c", "c"]
    folds = make_folds(np.arange(5), make_labels(values, ("a", "b", "c"), tree=False), most=10)
    assert folds[2] == -1
    assert sorted(folds[:2].tolist()) == sorted(folds[3:].tolist()) == [0, 1]
    # Two of one class that belong together are parted: the class could not be tested otherwise.
    same = make_folds(np.zeros(5, int), make_labels(values, ("a", "b", "c"), tree=False), most=10)
    assert sorted(same[:2].tolist()) == [0, 1]
