"""How an axis is learnt: settings chosen, experts weighed, thresholds set, all on held-out data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vision.head.acceptance import Tree, calibration_error, hit_share, make_curve, stand_for
from vision.head.axis import AxisHead
from vision.head.corrections import Similarity, fit_similarity
from vision.head.experts import Expert, Features, Names, Neighbours
from vision.head.inputs import FEWEST
from vision.head.mixture import DEFAULTS, choose_weights, combine, fit_weights
from vision.head.outside import Outside
from vision.head.series import FOLDS, make_folds
from vision.head.strangers import meet_strangers
from vision.head.targets import Labels
from vision.head.task import Settings, Task, fit_experts, most_held_out, remembered
from vision.head.tuning import choose_settings
from vision.taxonomy import CATEGORY

STEPS = 4  # that fitting an axis reports
_SHARPNESS = (10.0, 20.0, 40.0)  # of neighbours, that are tried


@dataclass(frozen=True)
class HeldOut:
    """What was said of examples by experts that had not seen them.

    ``rows`` (m,) are places in the examples, ``log_p`` (m, classes) float32.
    """

    rows: np.ndarray
    log_p: np.ndarray


@dataclass(frozen=True)
class Exam:
    """What experts answered for examples that they had not seen.

    ``rows`` (m,) are places in the examples, ``folds`` (m,) when they were held out, ``labels`` the
    truth, ``scores`` (m, classes) float32 by expert; ``linear`` is a logistic regression that was
    fitted on a part, for the final one to begin with.
    """

    rows: np.ndarray
    folds: np.ndarray
    labels: Labels
    scores: Mapping[str, np.ndarray]
    linear: Expert | None

    def loss(self, log_p: np.ndarray) -> float:
        """Return the mean negative log-likelihood of log-probabilities (m, classes)."""
        return float(-self.labels.likelihood(log_p).mean())

    def calibrated(self, name: str) -> np.ndarray:
        """Return the log-probabilities of one expert alone, calibrated on all answers."""
        said = {name: self.scores[name]}
        return combine(said, fit_weights(said, self.labels))


def fit_axis(task: Task, progress: Callable[[int], None]) -> tuple[AxisHead, HeldOut]:
    """Learn an axis, and return with it what was said of held-out examples."""
    labels, settings = task.labels, Settings()
    folds = make_folds(task.series, labels, most_held_out(task), task.seed)
    if not (folds >= 0).any():
        head = _untested(task)
        return head, HeldOut(np.empty(0, np.int64), np.empty((0, len(task.classes)), np.float32))
    settings, tried = choose_settings(task)
    progress(1)
    features = task.features(settings.colour_weight)
    exam, settings = _examine(task, features, folds, settings)
    weights = choose_weights(exam.scores, exam.labels)
    progress(2)
    kept = remembered(labels, task.seed)
    experts = fit_experts(features, labels, settings, task.names, weights, kept, exam.linear)
    progress(3)
    log_p = combine(exam.scores, weights)
    outside, admitted = _strangers(task, folds, settings, weights, exam)
    honest = _twice_held_out(exam, weights, task.seed)
    tree = Tree(task.classes, flat=not task.tree)
    shares = _shares(task, settings, features, exam)
    head = AxisHead(
        task.axis,
        task.classes,
        task.tree,
        settings.colour_weight,
        experts,
        weights,
        kept,
        outside,
        make_curve(tree, np.exp(honest), exam.labels, admitted, shares),
        _similarity(features, exam, log_p, task.seed),
        {"settings": vars(settings), "tried": tried, **_figures(exam, honest)},
    )
    progress(4)
    return head, HeldOut(exam.rows, log_p)


def _examine(
    task: Task, features: Features, folds: np.ndarray, settings: Settings
) -> tuple[Exam, Settings]:
    """Ask all experts about each fold, trained on the others; choose the neighbours' sharpness."""
    held = np.flatnonzero(folds >= 0)
    wanted = [name for name in DEFAULTS if name != "names" or task.names is not None]
    scores = {name: np.empty((len(held), len(task.classes)), np.float32) for name in wanted}
    votes = [np.empty_like(scores["linear"]) for _ in _SHARPNESS]
    linear = None
    for fold in np.unique(folds[held]).tolist():
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        known, there, here = (
            task.labels.take(train),
            np.searchsorted(held, test),
            features.take(test),
        )
        kept = remembered(known, task.seed)
        experts = fit_experts(features.take(train), known, settings, task.names, wanted, kept)
        linear = linear or experts["linear"]
        voters = experts.pop("neighbours")
        assert isinstance(voters, Neighbours)
        for into, said in zip(votes, voters.compare(here, _SHARPNESS)[0], strict=True):
            into[there] = said
        for name, expert in experts.items():
            scores[name][there] = expert.scores(here)
    exam = Exam(held, folds[held], task.labels.take(held), scores, linear)
    trials = [replace(exam, scores={**scores, "neighbours": each}) for each in votes]
    losses = [each.loss(each.calibrated("neighbours")) for each in trials]
    best = int(np.argmin(losses))
    return trials[best], replace(settings, sharpness=_SHARPNESS[best])


def _strangers(
    task: Task, folds: np.ndarray, settings: Settings, weights: Mapping[str, float], exam: Exam
) -> tuple[Outside | None, np.ndarray]:
    """Return what tells strangers, and which of the held-out examples it lets pass, (m,) bool."""
    admitted = np.ones(len(exam.rows), dtype=bool)
    met = meet_strangers(task, folds, settings, weights)
    if met is None:
        return None, admitted
    outside, rows, facts = met
    admitted[np.searchsorted(exam.rows, rows)] = outside.probability(facts) <= outside.limit
    return outside, admitted


def _shares(task: Task, settings: Settings, features: Features, exam: Exam) -> np.ndarray:
    """Return how much of what is asked each held-out example stands for, (m,), in examples."""
    if task.asked is None:
        return np.ones(len(exam.rows))
    return stand_for(
        features.rows[exam.rows], task.space.weighed(task.asked, settings.colour_weight)
    )


def _similarity(features: Features, exam: Exam, log_p: np.ndarray, seed: int) -> Similarity:
    exact = np.flatnonzero(exam.labels.exact)
    rows = features.rows[exam.rows[exact]]
    codes = exam.labels.codes[exact]
    return fit_similarity(rows, codes, log_p[exact], exam.folds[exact], seed)


def _figures(exam: Exam, log_p: np.ndarray) -> dict[str, Any]:
    """Return what was measured on held-out examples, as JSON values."""
    exact = exam.labels.exact
    p, codes = np.exp(log_p[exact]), exam.labels.codes[exact]
    figures: dict[str, Any] = {
        "held_out": len(exam.rows),
        "loss": exam.loss(log_p),
        "expert_losses": {name: exam.loss(exam.calibrated(name)) for name in exam.scores},
    }
    if len(codes):
        right = p.argmax(axis=1) == codes
        figures |= {
            "accuracy": float(right.mean()),
            "top3": hit_share(p, codes, 3),
            "calibration_error": calibration_error(p.max(axis=1), right),
        }
    return figures


def _twice_held_out(exam: Exam, chosen: Iterable[str], seed: int) -> np.ndarray:
    """Return log-probabilities (m, classes) with weights that have not seen the example either."""
    parts = exam.folds
    if len(np.unique(parts)) < 2:
        parts = np.random.default_rng(seed).permutation(len(parts)) % FOLDS
    log_p = np.empty_like(exam.scores["linear"])
    for part in np.unique(parts).tolist():
        out, rest = np.flatnonzero(parts == part), np.flatnonzero(parts != part)
        scores = {name: exam.scores[name] for name in chosen}
        others = {name: each[rest] for name, each in scores.items()}
        weights = fit_weights(others, exam.labels.take(rest))
        log_p[out] = combine({name: each[out] for name, each in scores.items()}, weights)
    return log_p


def _untested(task: Task) -> AxisHead:
    """Return an output that was learnt from too few examples to hold any out."""
    wanted = ("prototypes",) if task.names is None else ("prototypes", "names")
    weights = {name: DEFAULTS[name] for name in wanted}
    # Without their mean taken away all colours are much alike.
    settings = Settings() if len(task.values) >= FEWEST else Settings(colour_weight=0.0)
    kept = remembered(task.labels, task.seed)
    features = task.features(settings.colour_weight)
    experts = fit_experts(features, task.labels, settings, task.names, weights, kept)
    figures = {
        "settings": vars(settings),
        "note": "one example of each kind: the probabilities are not calibrated",
    }
    return AxisHead(
        task.axis, task.classes, task.tree, settings.colour_weight, experts, weights, kept,
        None, None, Similarity(), figures,
    )  # fmt: skip


def by_names(axis: str, classes: Sequence[str], names: Names) -> AxisHead:
    """Return an output that goes by the names of classes alone; it accepts nothing."""
    figures = {"note": "by names alone: the probabilities are not calibrated"}
    return AxisHead(
        axis, tuple(classes), axis == CATEGORY, 0.0, {"names": names}, {"names": 1.0},
        np.empty(0, dtype=np.int64), None, None, Similarity(), figures,
    )  # fmt: skip
