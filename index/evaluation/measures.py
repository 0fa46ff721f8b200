"""Measures of retrieval and calibration: arrays in, numbers out.

``relevant`` is always (q, n) bool: for each query, whether the hit at each place is right, best
first. ``total`` is (q,) int: how many right answers the catalogue has for it.
"""

from __future__ import annotations

import numpy as np


def hit_rate(relevant: np.ndarray, k: int) -> float:
    """Return recall@k as the field of instance retrieval uses it: the share of queries with a
    right answer among the first k (Musgrave et al., "A metric learning reality check", ECCV 2020).
    """
    return float(relevant[:, :k].any(axis=1).mean())


def mean_average_precision(relevant: np.ndarray, total: np.ndarray) -> float:
    """Return mAP: the mean over queries of the average precision at each right answer.

    Divides by all right answers there are, found or not (Manning et al., "Introduction to
    Information Retrieval", 2008, section 8.4).
    """
    ranks = np.arange(1, relevant.shape[1] + 1)
    precision = np.cumsum(relevant, axis=1) / ranks
    return float(((precision * relevant).sum(axis=1) / np.maximum(total, 1)).mean())


def ndcg(relevant: np.ndarray, total: np.ndarray, k: int) -> float:
    """Return nDCG@k with binary gains (Jarvelin and Kekalainen, ACM TOIS 20(4), 2002)."""
    top = relevant[:, :k]
    discount = 1.0 / np.log2(np.arange(2, top.shape[1] + 2))
    ideal = np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))
    best = ideal[np.clip(total, 1, k) - 1]
    return float(((top * discount).sum(axis=1) / best).mean())


def mean_reciprocal_rank(relevant: np.ndarray) -> float:
    """Return MRR: the mean of 1 / rank of the first right answer, 0 where there is none
    (Voorhees, TREC-8, 1999)."""
    first = relevant.argmax(axis=1)
    found = relevant.any(axis=1)
    return float(np.where(found, 1.0 / (first + 1), 0.0).mean())


def expected_calibration_error(
    probabilities: np.ndarray, right: np.ndarray, bins: int = 10
) -> float:
    """Return the ECE: |confidence - accuracy| averaged over equal-width bins by their share.

    ``probabilities`` (n,) in [0, 1], ``right`` (n,) bool (Naeini et al., AAAI 2015; Guo et al.,
    ICML 2017).
    """
    cell = np.minimum((probabilities * bins).astype(int), bins - 1)
    count = np.bincount(cell, minlength=bins)
    confidence = np.bincount(cell, weights=probabilities, minlength=bins)
    accuracy = np.bincount(cell, weights=right, minlength=bins)
    return float(np.abs(confidence - accuracy).sum() / max(1, count.sum()))
