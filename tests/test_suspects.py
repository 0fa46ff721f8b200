"""Label suspects: wrong labels are found, right ones left alone."""

from __future__ import annotations

import numpy as np

from vision.head.axis import Prediction
from vision.head.suspects import suspects

VALUES = ("Garden > Pots", "Kitchen > Bowls", "Kitchen > Mugs")


def prediction(rows: list[list[float]]) -> Prediction:
    p = np.array(rows, dtype=np.float32)
    return Prediction(VALUES, p, np.zeros(len(p)), ("",) * len(p), p.max(axis=1))


def test_the_most_contradicted_label_comes_first() -> None:
    said = prediction(
        [[0.9, 0.05, 0.05]] * 8
        + [[0.02, 0.95, 0.03]] * 8
        + [[0.05, 0.05, 0.9]] * 8
        + [[0.01, 0.01, 0.98], [0.1, 0.85, 0.05], [0.4, 0.3, 0.3]]
    )
    labels = [value for value in VALUES for _ in range(8)]
    found = suspects([*labels, "Garden > Pots", "Kitchen > Mugs", "Kitchen > Bowls"], said)
    assert found == [24]  # 25 is not as sure of bowls as bowls mostly are, nor 26
    assert suspects([*labels, "Garden > Pots", "Kitchen > Bowls", "Garden > Pots"], said) == [24]
    sure = prediction([*said.probabilities[:25].tolist(), [0.01, 0.97, 0.02], [0.4, 0.3, 0.3]])
    assert suspects([*labels, "Garden > Pots", "Kitchen > Mugs", "Kitchen > Bowls"], sure) == [
        24,
        25,
    ]


def test_unknown_and_missing_labels_are_passed_over() -> None:
    said = prediction([[0.98, 0.01, 0.01]] * 4)
    assert suspects(["", "Shoes", "Garden > Pots", "Garden"], said) == []


def test_an_inner_label_is_suspect_only_outside_of_its_part() -> None:
    rows = [[0.9, 0.05, 0.05]] * 5 + [[0.05, 0.45, 0.5]] * 5
    said = prediction([*rows, [0.95, 0.03, 0.02]])
    labels = ["Garden > Pots"] * 5 + ["Kitchen"] * 5
    assert suspects([*labels, "Kitchen"], said) == [10]


def test_flipped_labels_are_found() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 600)
    p = np.full((600, 3), 0.04)
    p[np.arange(600), truth] = 0.92
    p = np.array([rng.dirichlet(10 * row) for row in p])
    labels = truth.copy()
    flipped = rng.permutation(600)[:30]
    labels[flipped] = (labels[flipped] + 1) % 3
    found = suspects([VALUES[each] for each in labels], prediction(p.tolist()))
    assert len(set(found) & set(flipped.tolist())) >= 18
    assert len(set(found) - set(flipped.tolist())) <= 3
    assert set(found[:10]) <= set(flipped.tolist())
