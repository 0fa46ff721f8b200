"""The measures against values worked out by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from index.evaluation import measures


def rows(*answers: str) -> np.ndarray:
    """Read relevance from strings: "x" is right, "." is wrong, best first."""
    return np.array([[mark == "x" for mark in answer] for answer in answers])


def test_hit_rate_counts_queries_and_not_hits() -> None:
    relevant = rows("x.x", ".x.", "...")
    assert measures.hit_rate(relevant, 1) == pytest.approx(1 / 3)
    assert measures.hit_rate(relevant, 2) == pytest.approx(2 / 3)
    assert measures.hit_rate(relevant, 3) == pytest.approx(2 / 3)


def test_hit_rate_beyond_the_depth() -> None:
    assert measures.hit_rate(rows(".x"), 10) == 1.0


def test_mean_average_precision_by_hand() -> None:
    # (1/1 + 2/3) / 2 and (1/2) / 1
    relevant = rows("x.x", ".x.")
    found = measures.mean_average_precision(relevant, np.array([2, 1]))
    assert found == pytest.approx((5 / 6 + 1 / 2) / 2)


def test_mean_average_precision_counts_what_was_not_found() -> None:
    assert measures.mean_average_precision(rows("x..."), np.array([4])) == pytest.approx(1 / 4)


def test_ndcg_by_hand() -> None:
    # gains at ranks 1 and 3 against the best possible, ranks 1 and 2
    expected = (1 + 1 / 2) / (1 + 1 / np.log2(3))
    assert measures.ndcg(rows("x.x"), np.array([2]), 3) == pytest.approx(expected)


def test_ndcg_is_one_for_the_best_order_however_many_are_right() -> None:
    assert measures.ndcg(rows("xxx"), np.array([30]), 3) == pytest.approx(1.0)
    assert measures.ndcg(rows("xx."), np.array([2]), 3) == pytest.approx(1.0)


def test_ndcg_of_fewer_hits_than_k() -> None:
    assert measures.ndcg(rows("x"), np.array([1]), 10) == pytest.approx(1.0)
    assert measures.ndcg(rows("."), np.array([1]), 10) == 0.0


def test_mean_reciprocal_rank_by_hand() -> None:
    relevant = rows("x..", "..x", "...")
    assert measures.mean_reciprocal_rank(relevant) == pytest.approx((1 + 1 / 3 + 0) / 3)


def test_only_the_first_right_answer_counts_for_the_reciprocal_rank() -> None:
    assert measures.mean_reciprocal_rank(rows(".xx")) == pytest.approx(1 / 2)


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([0.95, 0.95, 0.15, 0.15])
    right = np.array([True, False, False, False])
    # |0.95 - 0.5| for one half, |0.15 - 0| for the other
    found = measures.expected_calibration_error(probabilities, right)
    assert found == pytest.approx(0.5 * 0.45 + 0.5 * 0.15)


def test_calibration_error_of_certainty() -> None:
    sure = np.array([1.0, 1.0, 0.0])
    assert measures.expected_calibration_error(sure, np.array([True, True, False])) == 0.0
    assert measures.expected_calibration_error(sure, np.array([False, False, True])) == 1.0


def test_calibration_error_of_nothing() -> None:
    assert measures.expected_calibration_error(np.empty(0), np.empty(0, dtype=bool)) == 0.0


answers = st.lists(st.booleans(), min_size=2, max_size=12).filter(any)


@given(answers)
def test_average_precision_agrees_with_scikit_learn(relevant: list[bool]) -> None:
    scores = np.arange(len(relevant), 0, -1)
    ours = measures.mean_average_precision(np.array([relevant]), np.array([sum(relevant)]))
    assert ours == pytest.approx(average_precision_score(relevant, scores))


@given(answers, st.integers(1, 12))
def test_ndcg_agrees_with_scikit_learn(relevant: list[bool], k: int) -> None:
    scores = np.arange(len(relevant), 0, -1)
    ours = measures.ndcg(np.array([relevant]), np.array([sum(relevant)]), k)
    theirs = ndcg_score(np.array([relevant], dtype=float), scores[None].astype(float), k=k)
    assert ours == pytest.approx(theirs)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_calibration_error_agrees_with_its_definition(pairs: list[tuple[float, bool]]) -> None:
    probabilities = np.array([probability for probability, _ in pairs])
    right = np.array([good for _, good in pairs])
    expected = 0.0
    for cell in range(10):
        within = np.minimum((probabilities * 10).astype(int), 9) == cell
        if within.any():
            gap = abs(probabilities[within].mean() - right[within].mean())
            expected += within.mean() * gap
    assert measures.expected_calibration_error(probabilities, right) == pytest.approx(expected)
