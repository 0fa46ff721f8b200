"""Strangers: classes that experts have never seen, held out to learn what tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vision.head.axis import AxisHead
from vision.head.corrections import Similarity
from vision.head.experts import Features
from vision.head.mixture import DEFAULTS
from vision.head.outside import Outside, fit_outside
from vision.head.series import FOLDS
from vision.head.task import Settings, Task, fit_experts, most_held_out, remembered

_FEW = 4  # classes, below which being undecided says little about strangers


def meet_strangers(
    task: Task, folds: np.ndarray, settings: Settings, weights: Mapping[str, float]
) -> tuple[Outside, np.ndarray, np.ndarray] | None:
    """Fit what tells strangers, by leaving out a part of the classes with each fold.

    Returns with it the held-out rows that belong and their facts; None with a single class.
    """
    rng = np.random.default_rng(task.seed)
    labels = task.labels
    classes = len(task.classes)
    parts = min(FOLDS, classes)
    part_of = rng.permutation(classes) % parts
    tests = np.unique(folds[folds >= 0])
    inside: list[np.ndarray] = []
    strangers: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    features = task.features(settings.colour_weight)
    # The label's classes that stay, and those that are left out, decide where an example belongs.
    for part in range(parts):
        fold = tests[part % len(tests)]
        stay = part_of != part
        allowed = labels.allows[labels.codes]
        belongs, gone = allowed[:, stay].any(axis=1), ~allowed[:, stay].any(axis=1)
        train = _at_most(np.flatnonzero(belongs & (folds != fold)), most_held_out(task), rng)
        test = np.flatnonzero(belongs & (folds == fold))
        odd = _at_most(np.flatnonzero(gone & (folds >= 0)), max(len(test), 1), rng)
        if not len(test) or not len(odd) or len(train) < 2:
            continue
        smaller = task.part(
            train, [each for each, there in zip(task.classes, stay, strict=True) if there]
        )
        facts = _facts(smaller, features, train, [test, odd], settings, weights)
        inside.append(facts[0])
        strangers.append(facts[1])
        rows.append(test)
    if not inside:
        return None
    seen, where = np.unique(np.concatenate(rows), return_index=True)
    facts_in = np.concatenate(inside)[where]
    model = fit_outside(facts_in, np.concatenate(strangers), decided=classes >= _FEW)
    return model, seen, facts_in


def _facts(
    task: Task,
    features: Features,
    train: np.ndarray,
    asked: Sequence[np.ndarray],
    settings: Settings,
    weights: Mapping[str, float],
) -> list[np.ndarray]:
    """Return the facts about some rows by experts of others, who know fewer classes."""
    labels = task.labels
    kept = remembered(labels, task.seed)
    if len(task.classes) < 2:  # no regression can be fitted, and nobody is undecided
        weights = {"prototypes": DEFAULTS["prototypes"]}
    experts = fit_experts(features.take(train), labels, settings, task.names, weights, kept)
    head = AxisHead(
        task.axis, task.classes, task.tree, settings.colour_weight, experts, weights, kept,
        None, None, Similarity(), {},
    )  # fmt: skip
    found = [head.log_probabilities(features.take(rows))[1] for rows in asked]
    return [each for each in found if each is not None]


def _at_most(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= most else np.sort(rng.permutation(rows)[:most])
