"""Measures of categorisation against hand-computed numbers, definitions, and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from index.evaluation import labelmeasures as measures
from index.evaluation.measures import expected_calibration_error

TRUE = np.array([0, 0, 0, 0, 1, 1, 2, 2])
PREDICTED = np.array([0, 0, 0, 1, 1, 2, 2, 0])


# --- right or wrong ----------------------------------------------------------------------------


def test_accuracy_and_f1_by_hand() -> None:
    assert measures.accuracy(TRUE, PREDICTED) == pytest.approx(5 / 8)
    f1 = [3 / 4, 1 / 2, 1 / 2]  # 2 TP / (2 TP + FP + FN): 6/8, 2/4, 2/4
    assert measures.macro_f1(TRUE, PREDICTED) == pytest.approx(np.mean(f1))
    assert measures.weighted_f1(TRUE, PREDICTED) == pytest.approx((4 * 0.75 + 2 * 0.5 + 1) / 8)


def test_class_scores_by_hand() -> None:
    scores = measures.class_scores(TRUE, PREDICTED, 4)
    assert scores.precision.tolist() == pytest.approx([3 / 4, 1 / 2, 1 / 2, 0])
    assert scores.recall.tolist() == pytest.approx([3 / 4, 1 / 2, 1 / 2, 0])
    assert scores.f1.tolist() == pytest.approx([3 / 4, 1 / 2, 1 / 2, 0])
    assert scores.support.tolist() == [4, 2, 2, 0]


def test_precision_and_recall_are_not_swapped() -> None:
    scores = measures.class_scores(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    assert scores.precision.tolist() == pytest.approx([1.0, 0.5])
    assert scores.recall.tolist() == pytest.approx([0.5, 1.0])


def test_confusion_has_the_truth_in_rows() -> None:
    found = measures.confusion(TRUE, PREDICTED, 3)
    assert found.tolist() == [[3, 1, 0], [0, 1, 1], [1, 0, 1]]


def test_nothing_measured_is_zero() -> None:
    none = np.empty(0, dtype=np.int64)
    assert measures.accuracy(none, none) == measures.macro_f1(none, none) == 0.0
    assert measures.weighted_f1(none, none) == 0.0
    assert measures.top_k_accuracy(none, np.empty((0, 3)), 1) == 0.0
    assert measures.class_scores(none, none, 2).support.tolist() == [0, 0]
    assert measures.confusion(none, none, 2).tolist() == [[0, 0], [0, 0]]


def test_the_most_confused_come_in_pairs() -> None:
    matrix = np.diag([100, 50, 9, 9, 9, 1])
    matrix[2, 3], matrix[3, 2], matrix[4, 5] = 3, 2, 4
    assert measures.most_confused(matrix, 2).tolist() == [2, 3]  # 5 against 4
    assert measures.most_confused(matrix, 4).tolist() == [2, 3, 4, 5]
    assert measures.most_confused(matrix, 5).tolist() == [0, 2, 3, 4, 5]  # and the largest
    assert measures.most_confused(matrix, 3).tolist() == [0, 2, 3]  # no room for a pair
    assert measures.most_confused(matrix, 9).tolist() == list(range(6))


# --- the first k -------------------------------------------------------------------------------


def test_top_k_by_hand() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.4, 0.4, 0.2], [0.4, 0.4, 0.2]])
    true = np.array([1, 0, 0, 1])
    assert measures.top_k_accuracy(true, probabilities, 1) == 1 / 4  # of equal ones the first
    assert measures.top_k_accuracy(true, probabilities, 2) == 3 / 4
    assert measures.top_k_accuracy(true, probabilities, 3) == 1.0


def test_a_class_that_the_head_does_not_know_is_never_found() -> None:
    assert measures.top_k_accuracy(np.array([-1, 7]), np.full((2, 3), 1 / 3), 3) == 0.0


@given(st.integers(1, 4), st.integers(0, 2**31))
def test_top_k_agrees_with_scikit_learn(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(5), 20)
    true = rng.integers(0, 5, 20)
    theirs = top_k_accuracy_score(true, probabilities, k=k, labels=np.arange(5))
    assert measures.top_k_accuracy(true, probabilities, k) == pytest.approx(theirs)


# --- along the tree ----------------------------------------------------------------------------


def test_hierarchical_measures_by_hand() -> None:
    true = [("Kitchen", "Mugs"), ("Kitchen", "Bowls"), ("Garden", "Pots", "Clay"), ("Garden",)]
    predicted = [("Kitchen", "Mugs"), ("Kitchen", "Mugs"), ("Garden",), ()]
    found = measures.hierarchical(true, predicted)
    assert found.precision == pytest.approx((2 + 1 + 1) / (2 + 2 + 1))
    assert found.recall == pytest.approx((2 + 1 + 1) / (2 + 2 + 3 + 1))
    assert found.f == pytest.approx(2 * 0.8 * 0.5 / 1.3)


def test_a_level_of_the_same_name_elsewhere_is_not_shared() -> None:
    found = measures.hierarchical([("Men", "Shoes", "Boots")], [("Women", "Shoes", "Boots")])
    assert found == measures.Hierarchical(0.0, 0.0, 0.0)


def test_abstaining_always_has_no_precision() -> None:
    assert measures.hierarchical([("A",)], [()]) == measures.Hierarchical(0.0, 0.0, 0.0)
    assert measures.hierarchical([], []) == measures.Hierarchical(0.0, 0.0, 0.0)


paths = st.lists(st.sampled_from("ab"), max_size=4).map(tuple)


@given(st.lists(st.tuples(paths, paths), min_size=1, max_size=20))
def test_hierarchical_measures_agree_with_their_definition(
    pairs: list[tuple[tuple[str, ...], tuple[str, ...]]],
) -> None:
    def ancestors(path: tuple[str, ...]) -> set[tuple[str, ...]]:
        return {path[:depth] for depth in range(1, len(path) + 1)}

    shared = sum(len(ancestors(true) & ancestors(predicted)) for true, predicted in pairs)
    found = measures.hierarchical([true for true, _ in pairs], [other for _, other in pairs])
    assert found.precision * sum(len(ancestors(p)) for _, p in pairs) == pytest.approx(shared)
    assert found.recall * sum(len(ancestors(t)) for t, _ in pairs) == pytest.approx(shared)


# --- how honest --------------------------------------------------------------------------------


def test_reliability_by_hand() -> None:
    confidence = np.array([0.05, 0.92, 0.98, 1.0])
    found = measures.reliability(confidence, np.array([False, True, False, True]))
    assert found.count.tolist() == [1, *[0] * 8, 3]
    assert found.confidence[[0, 9]].tolist() == pytest.approx([0.05, 2.9 / 3])
    assert found.accuracy[[0, 5, 9]].tolist() == pytest.approx([0, 0, 2 / 3])


sure_and_right = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50)


@given(sure_and_right)
def test_the_diagram_shows_the_calibration_error(pairs: list[tuple[float, bool]]) -> None:
    confidence, right = (np.array(values) for values in zip(*pairs, strict=True))
    bins = measures.reliability(confidence, right)
    shown = (np.abs(bins.confidence - bins.accuracy) * bins.count).sum() / len(pairs)
    assert shown == pytest.approx(expected_calibration_error(confidence, right))


# --- accepting only the sure -------------------------------------------------------------------


def test_coverage_by_hand() -> None:
    confidence = np.array([0.5, 0.9, 0.8, 0.7])
    curve = measures.coverage_curve(confidence, np.array([True, True, False, True]))
    assert curve.threshold.tolist() == [0.9, 0.8, 0.7, 0.5]
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 3 / 4])
    assert measures.coverage_at(curve, 0.98) == 0.25
    assert measures.coverage_at(curve, 0.7) == 1.0  # not the first place where it is reached
    assert measures.coverage_at(curve, 0.5) == 1.0


def test_equally_sure_ones_are_accepted_together() -> None:
    curve = measures.coverage_curve(np.array([0.9, 0.9, 0.9]), np.array([True, True, False]))
    assert curve.coverage.tolist() == [1.0]
    assert measures.coverage_at(curve, 0.98) == 0.0


def test_coverage_of_nothing() -> None:
    curve = measures.coverage_curve(np.empty(0), np.empty(0, dtype=bool))
    assert len(curve.threshold) == len(curve.coverage) == len(curve.precision) == 0
    assert measures.coverage_at(curve, 0.98) == 0.0


@given(sure_and_right, st.floats(0.5, 1))
def test_coverage_agrees_with_trying_every_threshold(
    pairs: list[tuple[float, bool]], asked: float
) -> None:
    confidence, right = (np.array(values) for values in zip(*pairs, strict=True))
    best = 0.0
    for threshold in confidence:
        accepted = confidence >= threshold
        if right[accepted].mean() >= asked:
            best = max(best, accepted.mean())
    curve = measures.coverage_curve(confidence, right)
    assert measures.coverage_at(curve, asked) == pytest.approx(best)
