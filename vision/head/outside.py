"""What belongs to no class: learnt by holding out whole classes, one after another.

The model is logistic, over how near the nearest examples are (deep nearest neighbours, Sun et al.,
ICML 2022), how near the nearest class mean is, and how undecided the head is (Hendrycks and Gimpel,
ICLR 2017). The limit is set so that a stated share of what does belong is turned away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from vision.arrays import dot
from vision.head.experts import Features, Prototypes

FALSE_REJECTIONS = 0.05  # of what belongs, this share is taken for something else
PRIOR = 0.1  # share of things from outside that the probability reckons with
_BY_DISTANCE = np.array([1.0, 1.0, 1.0, 0.0])  # leaves out how undecided the head is


@dataclass(frozen=True)
class Outside:
    """The fitted model: ``weights`` (facts + 1,) float32, the intercept last.

    ``limit`` is the probability above which nothing is accepted; ``told`` the area under the ROC
    curve on held-out classes, ``caught`` the share of them above the limit (nan: none were left
    out, because there are too few).
    """

    weights: np.ndarray
    limit: float
    told: float
    caught: float

    def probability(self, facts: np.ndarray) -> np.ndarray:
        """Return the probability (n,) float32 of belonging to no class, by facts (n, facts)."""
        logits = facts @ self.weights[:-1] + self.weights[-1]
        result: np.ndarray = 1.0 / (1.0 + np.exp(-np.clip(logits, -30, 30)))
        return result.astype(np.float32)


def facts_of(
    features: Features, cosines: np.ndarray, prototypes: Prototypes, log_p: np.ndarray
) -> np.ndarray:
    """Return what tells strangers, (n, facts) float32, for log-probabilities (n, classes).

    Each is larger for what is stranger. ``cosines`` (n, nearest) are of the nearest examples.
    """
    central = dot(features.rows, prototypes.means.T).max(axis=1)
    p = np.exp(log_p)
    undecided = -(p * log_p).sum(axis=1)
    return np.stack([-cosines[:, 0], -cosines.mean(axis=1), -central, undecided], axis=1)


def fit_outside(inside: np.ndarray, strangers: np.ndarray, decided: bool) -> Outside:
    """Fit the model on facts of examples that belong (n, facts) and of held-out classes (m, facts).

    ``decided`` False leaves out how undecided the head is: with few classes it tells nothing.
    """
    from sklearn.metrics import roc_auc_score

    facts = np.concatenate([inside, strangers])
    out = np.arange(len(facts)) >= len(inside)
    centre, spread = inside.mean(axis=0), facts.std(axis=0) + 1e-6
    if not decided:
        facts = facts * _BY_DISTANCE
    slopes, intercept = _logistic((facts - centre) / spread, out)
    slopes = slopes / spread * (1.0 if decided else _BY_DISTANCE)
    shift = intercept - slopes @ centre + np.log(PRIOR / (1.0 - PRIOR))
    fitted = Outside(np.append(slopes, shift).astype(np.float32), 1.0, 0.0, 0.0)
    p = fitted.probability(facts)
    limit = float(np.quantile(p[~out], 1.0 - FALSE_REJECTIONS))
    told = float(roc_auc_score(out, p))
    return Outside(fitted.weights, limit, told, float((p[out] > limit).mean()))


def _logistic(facts: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, float]:
    """Return slopes (facts,) and intercept, with both kinds weighing the same.

    No slope is negative: of what is far from the held-out classes, too, the farther is the
    stranger.
    """
    x, y = torch.from_numpy(facts).double(), torch.from_numpy(out).double()
    weight = torch.where(y > 0, 0.5 / y.sum(), 0.5 / (1 - y).sum())
    slopes = torch.full((x.shape[1],), -1.0, dtype=torch.float64, requires_grad=True)
    intercept = torch.zeros((), dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([slopes, intercept], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        solver.zero_grad()
        positive = F.softplus(slopes)
        loss = F.binary_cross_entropy_with_logits(
            x @ positive + intercept, y, weight, reduction="sum"
        )
        loss = loss + positive.square().sum() / (2 * len(y))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]
    return F.softplus(slopes).detach().numpy(), float(intercept.detach())
