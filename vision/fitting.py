"""How an axis is learnt: settings chosen, experts weighed, thresholds set, all on held-out data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vision.acceptance import Tree, calibration_error, hit_share, make_curve
from vision.axis import AxisHead
from vision.corrections import Similarity, fit_similarity
from vision.experts import Expert, Features, Neighbours, Words, fit_names
from vision.mixture import DEFAULTS, choose_weights, combine, fit_weights
from vision.series import FOLDS, make_folds
from vision.strangers import meet_strangers
from vision.targets import Labels
from vision.task import Settings, Task, fit_experts, most_held_out, remembered
from vision.taxonomy import CATEGORY
from vision.tuning import choose_settings

STEPS = 4  # that fitting an axis reports
_SHARPNESS = (10.0, 20.0, 40.0)  # of neighbours, that are tried


@dataclass(frozen=True)
class HeldOut:
    """What was said of examples by experts that had not seen them.

    ``rows`` (m,) are places in the examples, ``log_p`` (m, classes) float32.
    """

    rows: np.ndarray
    log_p: np.ndarray


def fit_axis(task: Task, progress: Callable[[int], None]) -> tuple[AxisHead, HeldOut]:
    """Learn an axis, and return with it what was said of held-out examples."""
    labels = task.labels
    plain = Settings()
    folds = make_folds(
        task.features(plain.colour_weight).rows, labels, most_held_out(task), task.seed
    )
    held = np.flatnonzero(folds >= 0)
    settings, tried = choose_settings(task) if len(held) else (plain, [])
    progress(1)
    features = task.features(settings.colour_weight)
    scores, settings = _held_out_scores(task, features, labels, folds, settings)
    weights = choose_weights(scores, labels.take(held)) if len(held) else _default(task)
    progress(2)
    kept = remembered(labels, task.seed)
    experts = fit_experts(features, labels, settings, task.names, weights, kept)
    progress(3)
    head = AxisHead(
        task.axis, task.classes, task.tree, settings.colour_weight, experts, weights, kept,
        None, None, Similarity(), {},
    )  # fmt: skip
    figures: dict[str, Any] = {"settings": vars(settings), "tried": tried}
    log_p = np.empty((0, len(task.classes)), dtype=np.float32)
    if len(held):
        log_p = combine(scores, weights)
        head, more = _judged(task, head, features, labels, folds, scores, log_p, settings)
        figures |= more
    progress(4)
    return replace(head, figures=figures), HeldOut(held, log_p)


def _held_out_scores(
    task: Task, features: Features, labels: Labels, folds: np.ndarray, settings: Settings
) -> tuple[dict[str, np.ndarray], Settings]:
    """Return each expert's scores for the held-out examples, and the settings with a sharpness."""
    held = np.flatnonzero(folds >= 0)
    classes = len(task.classes)
    wanted = (
        [*DEFAULTS] if task.names is not None else [each for each in DEFAULTS if each != "names"]
    )
    scores = {name: np.empty((len(held), classes), np.float32) for name in wanted}
    votes = {sharp: np.empty((len(held), classes), np.float32) for sharp in _SHARPNESS}
    for train, test, experts in _trained(task, features, labels, folds, settings, wanted):
        there = np.searchsorted(held, test)
        here = features.take(test)
        for name, expert in experts.items():
            if name != "neighbours":
                scores[name][there] = expert.scores(here)
        voters = experts["neighbours"]
        assert isinstance(voters, Neighbours)
        for sharp, into in votes.items():
            into[there] = replace(voters, sharpness=np.array([sharp], np.float32)).scores(here)
    if not len(held):
        return scores, settings
    known = labels.take(held)
    losses = {}
    for sharp, said in votes.items():
        one = {"neighbours": said}
        losses[sharp] = float(-known.likelihood(combine(one, fit_weights(one, known))).mean())
    best = min(losses, key=lambda each: losses[each])
    return scores | {"neighbours": votes[best]}, replace(settings, sharpness=best)


def _trained(
    task: Task,
    features: Features,
    labels: Labels,
    folds: np.ndarray,
    settings: Settings,
    wanted: Sequence[str],
) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, Expert]]]:
    """Yield for each fold the rows trained on, those held out, and experts of the former."""
    for fold in np.unique(folds[folds >= 0]).tolist():
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        known = labels.take(train)
        kept = remembered(known, task.seed)
        yield (
            train,
            test,
            fit_experts(features.take(train), known, settings, task.names, wanted, kept),
        )


def _judged(
    task: Task,
    head: AxisHead,
    features: Features,
    labels: Labels,
    folds: np.ndarray,
    scores: Mapping[str, np.ndarray],
    log_p: np.ndarray,
    settings: Settings,
) -> tuple[AxisHead, dict[str, Any]]:
    """Add what held-out examples tell: strangers, thresholds, corrections, and figures."""
    held = np.flatnonzero(folds >= 0)
    known = labels.take(held)
    outside = meet_strangers(task, folds, settings, list(head.weights))
    admitted = np.ones(len(held), dtype=bool)
    if outside is not None:
        model, rows, facts = outside
        admitted[np.searchsorted(held, rows)] = model.probability(facts) <= model.limit
    exact = np.flatnonzero(known.exact)
    honest = _twice_held_out(scores, list(head.weights), known, folds[held], task.seed)
    p = np.exp(honest)
    curve = make_curve(Tree(task.classes, flat=not task.tree), p, known, admitted)
    codes = known.codes[exact]
    right = p[exact].argmax(axis=1) == codes
    similarity = fit_similarity(
        features.rows[held[exact]], codes, log_p[exact], folds[held[exact]], task.seed
    )
    figures = {
        "held_out": len(held),
        "accuracy": float(right.mean()) if len(right) else float("nan"),
        "top3": hit_share(p[exact], codes, 3) if len(right) else float("nan"),
        "loss": float(-known.likelihood(honest).mean()),
        "calibration_error": calibration_error(p[exact].max(axis=1), right),
        "expert_losses": {
            name: float(
                -known.likelihood(combine({name: said}, fit_weights({name: said}, known))).mean()
            )
            for name, said in scores.items()
        },
    }
    fitted = outside[0] if outside is not None else None
    return replace(head, outside=fitted, curve=curve, similarity=similarity), figures


def _twice_held_out(
    scores: Mapping[str, np.ndarray],
    chosen: Sequence[str],
    known: Labels,
    folds: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Return log-probabilities with weights that have not seen the example either."""
    parts = folds
    if len(np.unique(folds)) < 2:
        parts = np.random.default_rng(seed).permutation(len(folds)) % FOLDS
    log_p = np.empty_like(next(iter(scores.values())))
    for part in np.unique(parts).tolist():
        out = parts == part
        others = {name: scores[name][~out] for name in chosen}
        weights = fit_weights(others, known.take(np.flatnonzero(~out)))
        log_p[out] = combine({name: scores[name][out] for name in chosen}, weights)
    return log_p


def _default(task: Task) -> dict[str, float]:
    """Return the weights where nothing could be held out."""
    names = ("prototypes",) if task.names is None else ("prototypes", "names")
    return {name: DEFAULTS[name] for name in names}


def by_names(axis: str, classes: Sequence[str], words: Words) -> AxisHead:
    """Return an output that goes by the names of classes alone; nothing that it says is accepted."""
    names = fit_names(axis, classes, words)
    figures = {"note": "by names alone: the probabilities are not calibrated"}
    return AxisHead(
        axis, tuple(classes), axis == CATEGORY, 0.0, {"names": names}, {"names": 1.0},
        np.empty(0, dtype=np.int64), None, None, Similarity(), figures,
    )  # fmt: skip
