"""Acceptance: probabilities along the tree, and thresholds that keep what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from vision.head.acceptance import (
    NEVER,
    Tree,
    calibration_error,
    deepest,
    hit_share,
    make_curve,
    stand_for,
)
from vision.head.targets import make_labels

CLASSES = ("A > X > 1", "B", "A > Y", "A > X > 2")
TREE = Tree(CLASSES, flat=False)


def test_a_parent_is_the_sum_of_its_children() -> None:
    at, sure = TREE.chain(np.array([[0.4, 0.1, 0.2, 0.3]], dtype=np.float32))
    assert [TREE.names(at, np.array([depth]))[0] for depth in range(3)] == [
        "A", "A > X", "A > X > 1",
    ]  # fmt: skip
    np.testing.assert_allclose(sure[0], [0.9, 0.7, 0.4], atol=1e-6)
    at, sure = TREE.chain(np.array([[0.1, 0.6, 0.2, 0.1]], dtype=np.float32))
    assert TREE.names(at, deepest(sure, 0.5)) == ["B"]
    assert sure[0].tolist()[1:] == [-1.0, -1.0]


def test_the_deepest_node_that_is_sure_enough_is_taken() -> None:
    at, sure = TREE.chain(np.array([[0.4, 0.1, 0.2, 0.3]] * 4, dtype=np.float32))
    for threshold, name in ((0.95, ""), (0.8, "A"), (0.65, "A > X"), (0.35, "A > X > 1")):
        assert TREE.names(at, deepest(sure, threshold))[0] == name


def test_a_node_is_right_where_it_holds_the_label() -> None:
    labels = make_labels(["A > X > 2", "A > Y", "A > X", "A"], CLASSES, tree=True)
    at, _ = TREE.chain(np.array([[0.6, 0.0, 0.0, 0.4]] * 4, dtype=np.float32))
    assert TREE.right(at, labels).tolist() == [
        [True, True, False],
        [True, False, False],
        [True, True, False],
        [True, False, False],
    ]


def test_without_a_tree_separators_mean_nothing() -> None:
    flat = Tree(("a > b", "a > c"), flat=True)
    at, sure = flat.chain(np.array([[0.3, 0.7]], dtype=np.float32))
    assert sure.shape == (1, 1)
    assert flat.names(at, np.array([0])) == ["a > c"]


def calibrated(n: int, seed: int) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    sure = 0.5 + 0.5 * rng.random(n) ** 0.5
    p = np.stack([sure, 1 - sure], axis=1).astype(np.float32)
    return p, ["x" if rng.random() < each else "y" for each in sure]


@pytest.mark.parametrize("precision", [0.9, 0.98])
def test_thresholds_keep_the_precision_on_other_data(precision: float) -> None:
    tree, kept, n = Tree(("x", "y"), flat=True), [], 2000
    for seed in range(20):
        p, truth = calibrated(n, seed)
        labels = make_labels(truth, ("x", "y"), tree=False)
        curve = make_curve(tree, p, labels, np.ones(n, dtype=bool), np.ones(n))
        threshold = curve.threshold(precision)
        p, truth = calibrated(n, seed + 100)
        stood = p[:, 0] >= threshold
        kept.append(np.mean(np.array(truth)[stood] == "x"))
        measured = curve.measured(precision)
        assert measured["coverage"] == pytest.approx(stood.mean(), abs=0.05)
        assert measured["precision"] is not None
        assert measured["precision"] >= precision
    assert np.mean(kept) == pytest.approx(precision, abs=0.01)


def test_what_is_not_admitted_is_not_accepted_and_few_prove_nothing() -> None:
    tree, labels = Tree(("x", "y"), flat=True), make_labels(["x"] * 60, ("x", "y"), tree=False)
    p = np.tile(np.array([[0.99, 0.01]], dtype=np.float32), (60, 1))
    everyone = np.ones(60, dtype=bool)
    each = np.ones(60)
    assert make_curve(tree, p, labels, everyone, each).threshold(0.98) < 0.99
    assert make_curve(tree, p, labels, ~everyone, each).threshold(0.98) == NEVER
    some = make_curve(tree, p, labels, np.arange(60) < 48, each)
    assert some.threshold(0.98) == NEVER  # 1 / 49 is more than 2 %
    assert some.measured(0.98) == {"threshold": None, "coverage": 0.0, "precision": None}
    assert some.coverage(some.threshold(0.9))[0] == pytest.approx(0.8)
    assert np.isnan(some.coverage(0.5)[1])


def test_measures() -> None:
    sure = np.array([0.95, 0.95, 0.55, 0.55])
    assert calibration_error(sure, np.array([1, 1, 1, 0], bool)) == pytest.approx(0.05)
    assert calibration_error(np.ones(3), np.zeros(3, bool)) == 1.0
    p = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    assert hit_share(p, [0, 0]) == 0.5
    assert hit_share(p, [0, 1], 2) == 1.0
    assert hit_share(p, [0, 0], 5) == 1.0


def test_an_example_stands_for_what_is_nearest_to_it() -> None:
    rows = np.eye(3, dtype=np.float32)
    asked = np.repeat(rows, (6, 1, 0), axis=0)
    shares = stand_for(rows, asked)
    assert shares / shares[2] == pytest.approx([7.0, 2.0, 1.0])
    assert shares.sum() == pytest.approx(10.0**2 / (49 + 4 + 1))  # Kish's effective size
    assert stand_for(rows, rows) == pytest.approx(np.ones(3))


def test_hard_examples_that_stand_for_little_do_not_raise_the_threshold() -> None:
    rng = np.random.default_rng(0)
    n = 400
    sure = rng.uniform(0.5, 1.0, n)
    wrong = (np.arange(n) < 100) & (rng.random(n) < 0.5)  # the first hundred are hard
    truth = np.where(wrong, 1, 0)
    p = np.stack([sure, 1 - sure], axis=1)
    labels = make_labels(tuple("ab"[each] for each in truth), ("a", "b"), False)
    tree, everyone = Tree(("a", "b"), flat=True), np.ones(n, dtype=bool)
    shares = np.where(np.arange(n) < 100, 0.02, 1.0)
    even = make_curve(tree, p, labels, everyone, np.ones(n)).threshold(0.98)
    weighed = make_curve(tree, p, labels, everyone, shares).threshold(0.98)
    assert weighed < even
