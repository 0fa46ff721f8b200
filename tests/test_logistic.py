"""Logistic regression: the same as scikit-learn's where that can do it, and more."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from vision.head.logistic import fit_logistic
from vision.head.targets import make_labels

CLASSES = ("A > x", "A > y", "B")


def data(n: int = 400, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    which = rng.choice(3, n, p=[0.7, 0.2, 0.1])
    rows = np.eye(3, 6)[which] + 0.8 * rng.normal(size=(n, 6))
    return rows.astype(np.float32), [CLASSES[each] for each in which]


@pytest.mark.parametrize("inverse_penalty", [0.1, 10.0])
def test_it_agrees_with_scikit_learn(inverse_penalty: float) -> None:
    rows, values = data()
    weight, bias = fit_logistic(
        rows, make_labels(values, CLASSES, tree=True), inverse_penalty, iterations=500
    )
    names, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    balance = counts[codes] ** -0.5  # rare classes weigh more
    model = LogisticRegression(C=inverse_penalty, tol=1e-8, max_iter=2000)
    model.fit(rows, values, sample_weight=balance / balance.mean())
    assert list(names) == list(CLASSES)
    np.testing.assert_allclose(weight.T, model.coef_, atol=0.01)
    np.testing.assert_allclose(bias - bias.mean(), model.intercept_, atol=0.01)


def test_labels_that_leave_classes_open_tell_what_they_know() -> None:
    rows, values = data(2000)
    some = [value if at % 4 else value.split(" > ")[0] for at, value in enumerate(values)]
    labels = make_labels(some, CLASSES, tree=True)
    assert labels.allows.tolist()[3:] == [[True, True, False]]
    weight, bias = fit_logistic(rows, labels, 1.0)
    asked, truth = data(1000, seed=1)
    found = np.array(CLASSES)[(asked @ weight + bias).argmax(axis=1)]
    whole = fit_logistic(rows, make_labels(values, CLASSES, tree=True), 1.0)
    best = np.array(CLASSES)[(asked @ whole[0] + whole[1]).argmax(axis=1)]
    assert (found == truth).mean() > (best == truth).mean() - 0.02
    # With nothing but the top levels, what lies below stays even.
    tops = make_labels(["A" if each != "B" else "B" for each in values], CLASSES, tree=True)
    weight, bias = fit_logistic(rows, tops, 1.0)
    np.testing.assert_allclose(weight[:, 0], weight[:, 1], atol=1e-4)


def test_the_likelihood_of_an_open_label_is_that_of_all_its_classes() -> None:
    labels = make_labels(["A", "A > y", "B"], CLASSES, tree=True)
    p = np.array([[0.5, 0.2, 0.3]] * 3, dtype=np.float32)
    np.testing.assert_allclose(np.exp(labels.likelihood(np.log(p))), [0.7, 0.2, 0.3], rtol=1e-5)
    np.testing.assert_allclose(labels.counts, [0.5, 1.5, 1.0])
