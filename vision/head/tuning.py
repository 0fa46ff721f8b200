"""The few settings of an axis, chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vision.head.logistic import fit_logistic
from vision.head.mixture import combine, fit_weights
from vision.head.series import make_folds
from vision.head.targets import Labels
from vision.head.task import Settings, Task

_TRIED = 2000  # examples that settings are chosen on
_COLOUR_WEIGHTS = (0.0, 0.5, 0.8)
_PENALTIES = (1.0, 100.0)
_HASTE = 20  # iterations while settings are tried


def choose_settings(task: Task) -> tuple[Settings, list[dict[str, float]]]:
    """Choose first the colour weight, then the penalty, by the logistic regression's loss.

    The loss is that of held-out examples, calibrated on the same. Another value than the default is
    taken where it is better by more than the standard error. Returns also what was tried.
    """
    rng = np.random.default_rng(task.seed)
    some = np.sort(rng.permutation(len(task.values))[:_TRIED])
    part = task.part(some)
    labels = part.labels
    folds = make_folds(part.series, labels, len(some), task.seed)
    tests = [fold for fold in range(2) if (folds == fold).any()]
    best = Settings()
    tried = {best: _loss_of(part, labels, folds, tests, best)}
    for name, values in (("colour_weight", _COLOUR_WEIGHTS), ("inverse_penalty", _PENALTIES)):
        start = best
        for other in [replace(start, **{name: value}) for value in values]:
            if other not in tried:
                tried[other] = _loss_of(part, labels, folds, tests, other)
            gain = tried[start] - tried[other]
            surely = gain.mean() > gain.std() / np.sqrt(len(gain))
            if surely and tried[other].mean() < tried[best].mean():
                best = other
    return best, [{**vars(each), "loss": float(loss.mean())} for each, loss in tried.items()]


def _loss_of(
    task: Task, labels: Labels, folds: np.ndarray, tests: Sequence[int], settings: Settings
) -> np.ndarray:
    """Return the loss of the logistic regression for each example of some held-out folds."""
    rows = task.features(settings.colour_weight).rows
    scores, held = [], []
    for fold in tests:
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        weight, bias = fit_logistic(
            rows[train], labels.take(train), settings.inverse_penalty, iterations=_HASTE
        )
        scores.append(rows[test] @ weight + bias)
        held.append(test)
    said, known = {"linear": np.concatenate(scores)}, labels.take(np.concatenate(held))
    return -known.likelihood(combine(said, fit_weights(said, known)))
