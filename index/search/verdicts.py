"""How sure a match is: scores turned into the probability that a hit is the very product.

A logistic model (Platt, "Probabilistic outputs for support vector machines", 1999) over two facts
about a hit: the gap between its score and that of the best other product, and that gap measured by
the distance that the hit itself still has (the idea of Lowe's ratio test, IJCV 60(2), 2004). Both
compare a hit with its rivals, because the bare score falls with every cluttered background and
carries little from one kind of photo to another (docs/ranking.md has the measurements). It is
fitted on the catalogue's own products, each once with its product in the catalogue and once with it
held out, so that the model has seen what the best wrong answer looks like.

Rivals say little about what is not stocked: among many products something always stands out. An
encoder that was trained to see the same product in any scene tells it by the cosine itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np

from index.evaluation.measures import expected_calibration_error
from index.query import Verdict

# Stated goals of the two limits, on the calibration's own queries.
EXACT_PRECISION = 0.95  # of the answers called exact, this many are
FALSE_ALARMS = 0.05  # of the photos of stocked products, at most this many are called not stocked
NO_LIMIT = -1.0  # a cosine that every pair reaches
_TIE = 1e-5  # scores nearer than this are of one picture that several products show
_NEAR = 0.05  # distances below this are as good as none: the same photo, saved again


@dataclass(frozen=True)
class Verdicts:
    """The fitted model and its limits.

    ``exact_at`` and ``not_stocked_at`` are probabilities of the first hit, ``least_cosine`` is what
    its embedding must reach (NO_LIMIT where the encoder's cosines do not tell); ``queries`` tells
    how many simulated photos were used, ``ece`` the expected calibration error on products that
    were left out of the fit.
    """

    intercept: float
    gap: float
    ratio: float
    exact_at: float
    not_stocked_at: float
    least_cosine: float
    queries: int
    ece: float

    def probabilities(self, scores: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
        """Return each hit's probability, (q, k), for scores (q, k), best first, -inf padded.

        ``among`` (q, m) are the best scores of the whole catalogue, where ``scores`` are of a part
        of it: a filter must not make a hit surer by hiding its rivals.
        """
        gap, ratio = _features(scores, scores if among is None else among)
        logits = self.intercept + self.gap * gap + self.ratio * ratio
        result: np.ndarray = np.where(np.isfinite(scores), _sigmoid(logits), 0.0)
        return result

    def verdict(self, probability: float, cosine: float) -> Verdict:
        """Return what to say of an answer whose first hit has this probability and cosine."""
        if probability >= self.exact_at:
            return "exact"
        unlike = probability < self.not_stocked_at or cosine < self.least_cosine
        return "not stocked" if unlike else "similar"

    def verdicts(self, scores: np.ndarray, cosines: np.ndarray) -> np.ndarray:
        """Return what to say of many answers, (n,) str, for scores (n, k) and cosines (n,)."""
        sure = self.probabilities(scores)[:, 0].tolist()
        said = [self.verdict(*each) for each in zip(sure, cosines.tolist(), strict=True)]
        return np.array(said, dtype=str)

    def as_dict(self) -> dict[str, float]:
        """Return the fields as plain JSON values."""
        return asdict(self)


def fit_verdicts(
    present: np.ndarray,
    found: np.ndarray,
    absent: np.ndarray,
    cosines: np.ndarray | None = None,
    seed: int = 0,
) -> Verdicts:
    """Fit the model on simulated photos, one row each, the same in all three arrays.

    ``present`` (q, k) float32 scores, best first, with the true product in the catalogue; ``found``
    (q,) int64 its place in that row, -1 if it is not there; ``absent`` (q, k) scores with the true
    product held out; ``cosines`` (q,) of the embeddings of ``present``'s first hits, None where the
    encoder's cosines do not tell what is stocked.
    """
    q = len(present)
    half = np.random.default_rng(seed).permutation(q) < q // 2
    trial = _fit(present[half], found[half], absent[half])
    rest = _tops(trial, present[~half], found[~half], absent[~half])
    ece = expected_calibration_error(*rest) if len(rest[0]) else float("nan")
    fitted = _fit(present, found, absent)
    model = Verdicts(*fitted, 1.0, 0.0, NO_LIMIT, q, float(ece))
    tops, right = _tops(fitted, present, found, absent)
    stocked = model.probabilities(present)[:, 0]
    # Also on the half that was not fitted: a small catalogue is soon known by heart.
    exact_at = max(_limit_for_precision(tops, right), _limit_for_precision(*rest))
    if cosines is not None:
        least = float(np.quantile(cosines, FALSE_ALARMS))
        return replace(model, exact_at=exact_at, least_cosine=least)
    not_stocked_at = min(float(np.quantile(stocked, FALSE_ALARMS)), exact_at, 0.5)
    return replace(model, exact_at=exact_at, not_stocked_at=not_stocked_at)


def _fit(present: np.ndarray, found: np.ndarray, absent: np.ndarray) -> tuple[float, float, float]:
    from sklearn.linear_model import LogisticRegression

    scores = np.concatenate([present, absent])
    labels = np.zeros(scores.shape, dtype=bool)
    hit = np.flatnonzero(found >= 0)
    labels[hit, found[hit]] = True
    there = np.isfinite(scores)
    features = np.stack([feature[there] for feature in _features(scores, scores)], axis=1)
    if labels[there].all() or not labels[there].any():
        # Nothing to tell apart: say nothing either way.
        return 0.0, 0.0, 0.0
    spread = features.std(axis=0) + 1e-6
    model = LogisticRegression(C=1.0).fit(features / spread, labels[there])
    gap, ratio = (float(value) for value in model.coef_[0] / spread)
    return float(model.intercept_[0]), gap, ratio


def _tops(
    model: tuple[float, float, float], present: np.ndarray, found: np.ndarray, absent: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first hits' probabilities and whether they were right, (2q,) each."""
    fitted = Verdicts(*model, 1.0, 0.0, NO_LIMIT, 0, 0.0)
    scores = np.concatenate([present, absent])
    right = np.concatenate([found == 0, np.zeros(len(absent), dtype=bool)])
    return fitted.probabilities(scores)[:, 0], right


def _limit_for_precision(probabilities: np.ndarray, right: np.ndarray) -> float:
    """Return the lowest limit above which EXACT_PRECISION of the answers are right."""
    order = np.argsort(-probabilities, kind="stable")
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(precision >= EXACT_PRECISION)
    return max(0.5, float(probabilities[order[good[-1]]])) if len(good) else 1.0


def _features(scores: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each hit's gap to its best rival and its ratio, (q, k) each.

    The rival is the best of ``among`` (q, m), or for the best itself the next that is not tied with
    it: twins that show the same picture are no rivals.
    """
    filled, others = (np.where(np.isfinite(each), each, -1.0) for each in (scores, among))
    top = others.max(axis=1, keepdims=True)
    below = np.where(others < top - _TIE, others, -1.0).max(axis=1, keepdims=True)
    gap = filled - np.where(filled >= top - _TIE, below, top)
    return gap, gap / np.maximum(1.0 - filled, _NEAR)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    result: np.ndarray = 1.0 / (1.0 + np.exp(-np.clip(x, -50, 50)))
    return result
