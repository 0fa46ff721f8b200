"""The few settings of an axis, chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vision.logistic import fit_logistic
from vision.mixture import combine, fit_weights
from vision.series import make_folds
from vision.targets import Labels
from vision.task import Settings, Task

_TRIED = 3000  # examples that settings are chosen on
_COLOUR_WEIGHTS = (0.0, 0.5, 0.8)
_PENALTIES = (1.0, 100.0)
_HASTE = 30  # iterations while settings are tried


def choose_settings(task: Task) -> tuple[Settings, list[dict[str, float]]]:
    """Choose first the colour weight, then the penalty, by the logistic regression's loss.

    The loss is that of held-out examples, calibrated on the same. Returns also what was tried. The
    defaults stay unless others are better by more than the standard error of the difference.
    """
    rng = np.random.default_rng(task.seed)
    some = np.sort(rng.permutation(len(task.values))[:_TRIED])
    part = task.part(some)
    labels = part.labels
    folds = make_folds(part.features(Settings.colour_weight).rows, labels, len(some), task.seed)
    tests = [fold for fold in range(3) if (folds == fold).any()]
    plain = Settings()
    best, least = plain, _loss_of(part, labels, folds, tests, plain)
    tried = [(plain, float(least.mean()))]
    for name, values in (("colour_weight", _COLOUR_WEIGHTS), ("inverse_penalty", _PENALTIES)):
        start, first = best, least
        for value in values:
            other = replace(start, **{name: value})
            if other == start:
                continue
            loss = _loss_of(part, labels, folds, tests, other)
            tried.append((other, float(loss.mean())))
            gain = first - loss
            if loss.mean() < least.mean() and gain.mean() > gain.std() / np.sqrt(len(gain)):
                best, least = other, loss
    return best, [{**vars(settings), "loss": loss} for settings, loss in tried]


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
