"""How well a catalogue is categorised: labelled photos or held-out products in, measures out."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from index.evaluation.axes import AxisEvaluation, Case, Item, LearningPoint, measure_axis
from index.evaluation.folds import Fit, joined, learning_curve, out_of_fold, ranks, stratified_folds
from index.evaluation.truths import PassedOver, Truth, read_photos
from index.labels.categorising import categorise_photos
from index.labels.pooling import Labelled, labelled
from index.labels.tagging import fit_head
from index.labels.taxonomies import taxonomy_of
from index.progress import Progress, silent
from vision.categories import fold, names
from vision.errors import FeedError, LabelError
from vision.head import Prediction
from vision.head.suspects import suspects
from vision.taxonomy import CATEGORY, Taxonomy

if TYPE_CHECKING:
    from index.catalogue import Catalogue

_SUSPECTS = 24  # shown for each axis
_LEAST = 10  # labelled products that folds can be made of


@dataclass(frozen=True)
class LabelEvaluation:
    """How well ``items`` photos or products were categorised, axis by axis.

    ``by`` is "photos", asked of the catalogue's head, or "products", each asked of a head that
    was trained without it and its fold; ``folds`` is 0 where nothing was cross-validated.
    ``learnt_from`` counts the labelled products of the catalogue, ``precision`` is the one asked
    for. ``seconds`` is what it all took.
    """

    by: str
    items: int
    folds: int
    learnt_from: int
    precision: float
    seconds: float
    axes: tuple[AxisEvaluation, ...]
    passed_over: tuple[PassedOver, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the evaluation as documented in docs/categorisation-evaluation.md."""
        return vars(self) | {
            "axes": [axis.as_dict() for axis in self.axes],
            "passed_over": [each._asdict() for each in self.passed_over],
        }


def evaluate_labels(
    catalogue: Catalogue,
    truths: Sequence[Truth] | None = None,
    *,
    folds: int = 5,
    precision: float = 0.98,
    progress: Progress = silent,
) -> LabelEvaluation:
    """Measure how well photos, or without any the catalogue's own products, are categorised.

    Photos are asked of the catalogue's present head. Products are asked in ``folds`` parts, each of
    a head that is trained on the others; that also tells which labels are likely to be wrong and
    how the head gets better with more of them. With photos this part is left out by 0 folds.
    Raises FeedError where no photo can be asked, LabelError where there are too few labels.
    """
    started = time.perf_counter()
    with catalogue.reading() as table:
        taxonomy = taxonomy_of(table)
        taught = labelled(table, catalogue.fingerprint, taxonomy)
    asked = held_out = None
    if truths is not None:  # first, since it tells sooner what is amiss
        asked = _photos(catalogue, truths, taught, taxonomy, precision, progress)
    if asked is None or folds:
        held_out = _cross_validated(catalogue, taught, taxonomy, max(2, folds), precision, progress)
        asked = held_out if asked is None else asked.with_lessons_of(held_out)
    return LabelEvaluation(
        by="products" if truths is None else "photos",
        items=asked.items,
        folds=0 if held_out is None else max(2, folds),
        learnt_from=len(taught.products),
        precision=precision,
        seconds=time.perf_counter() - started,
        axes=asked.axes,
        passed_over=tuple(sorted(asked.passed_over)),
    )


@dataclass(frozen=True)
class _Measured:
    items: int
    axes: tuple[AxisEvaluation, ...]
    passed_over: tuple[PassedOver, ...] = ()

    def with_lessons_of(self, other: _Measured) -> _Measured:
        """Take over label suspects and learning curves, which only cross-validation can tell."""
        found = {each.axis: each for each in other.axes}
        axes = (
            replace(each, suspects=found[each.axis].suspects, learning=found[each.axis].learning)
            if each.axis in found
            else each
            for each in self.axes
        )
        return replace(self, axes=tuple(axes))


# --- the catalogue's own products ----------------------------------------------------------------


def _cross_validated(
    catalogue: Catalogue,
    taught: Labelled,
    taxonomy: Taxonomy,
    folds: int,
    precision: float,
    progress: Progress,
) -> _Measured:
    """Predict each labelled product by a head that has not seen it, and measure that."""
    examples, items = taught.examples, _items(taught)
    if len(items) < max(_LEAST, folds):
        raise LabelError(
            f"There are {len(items)} labelled products, and {max(_LEAST, folds)} are the least to "
            f"hold some out. Label more, by a feed or findalike review (photos can be measured "
            f"without: --folds 0)."
        )
    classes = examples.labels[CATEGORY]
    hashes = [item.sha256 for item in items]
    fold_of = stratified_folds(classes, hashes, folds)
    fit = _fit(catalogue, taxonomy, precision)
    predictions = out_of_fold(examples, fold_of, fit, progress)
    axes = _measure(predictions, examples.labels, items, taxonomy, precision)
    first = fold_of == 0
    learnt = learning_curve(examples, first, ranks(classes, hashes, ~first), fit, progress)
    return _Measured(
        len(items),
        tuple(
            replace(
                axis,
                suspects=_suspects(examples.labels[axis.axis], predictions[axis.axis], items),
                learning=tuple(
                    point
                    for each in learnt
                    for point in _point(each.examples, each.each, axis.axis, each.predictions,
                                        examples.labels, first)
                ),
            )
            for axis in axes
        ),
    )  # fmt: skip


def _fit(catalogue: Catalogue, taxonomy: Taxonomy, precision: float) -> Fit:
    return lambda examples: fit_head(catalogue, examples, taxonomy, precision=precision)


def _items(taught: Labelled) -> list[Item]:
    return [Item(each.product.product_id, each.views[0].sha256) for each in taught.products]


def _measure(
    predictions: Mapping[str, Prediction],
    labels: Mapping[str, Sequence[str]],
    items: Sequence[Item],
    taxonomy: Taxonomy,
    precision: float,
) -> tuple[AxisEvaluation, ...]:
    """Measure every axis that has both predictions and labels, the category first."""
    found = (
        measure_axis(
            axis,
            predictions[axis],
            labels[axis],
            items,
            leaves=taxonomy.leaves if axis == CATEGORY else taxonomy.axes[axis],
            precision=precision,
        )
        for axis in (CATEGORY, *taxonomy.axes)
        if axis in predictions and axis in labels
    )
    return tuple(each for each in found if each is not None)


def _suspects(
    labels: Sequence[str], prediction: Prediction, items: Sequence[Item]
) -> tuple[Case, ...]:
    """Return the labels that are most likely wrong, with what they should be, surest first."""
    found = []
    for at in suspects(labels, prediction)[:_SUSPECTS]:
        best = int(prediction.probabilities[at].argmax())
        sure = float(prediction.probabilities[at, best])
        found.append(Case(items[at], labels[at], prediction.values[best], sure))
    return tuple(found)


def _point(
    examples: int,
    each: int,
    axis: str,
    predictions: Mapping[str, Prediction],
    labels: Mapping[str, Sequence[str]],
    held_out: np.ndarray,
) -> list[LearningPoint]:
    """Return the point of one axis, or none where the head could not learn it or nothing asks."""
    known = [labels[axis][at] for at in np.flatnonzero(held_out).tolist()]
    rows = [at for at, label in enumerate(known) if label]
    if axis not in predictions or not rows:
        return []
    said = predictions[axis]
    best = said.probabilities[rows].argmax(axis=1).tolist()
    right = [said.values[column] == known[row] for row, column in zip(rows, best, strict=True)]
    covered = [bool(said.accepted[row]) for row in rows]
    return [LearningPoint(examples, each, float(np.mean(right)), float(np.mean(covered)))]


# --- photos --------------------------------------------------------------------------------------


def _photos(
    catalogue: Catalogue,
    truths: Sequence[Truth],
    taught: Labelled,
    taxonomy: Taxonomy,
    precision: float,
    progress: Progress,
) -> _Measured:
    """Ask the catalogue's head about labelled photos, and measure what it says."""
    known = _Labels(taught, taxonomy)
    passed_over: list[PassedOver] = []
    askable: list[Truth] = []
    for truth in truths:
        reason = known.unusable(truth)
        if reason:
            passed_over.append(PassedOver(truth.line, reason))
        else:
            askable.append(truth)
    parts: dict[str, list[tuple[np.ndarray, Prediction]]] = defaultdict(list)
    asked: list[Truth] = []
    items: list[Item] = []
    progress("categorise", 0, len(askable))
    for batch in read_photos(askable, catalogue.encoder.preprocess.scale, passed_over):
        rows = np.arange(len(asked), len(asked) + len(batch))
        images = [photo.image for photo in batch]
        said = categorise_photos(catalogue, images, precision=precision)
        for axis, prediction in said.items():
            parts[axis].append((rows, prediction))
        asked += [photo.truth for photo in batch]
        items += [Item(str(photo.truth.image), photo.image.sha256) for photo in batch]
        progress("categorise", len(asked), len(askable))
    if not asked:
        raise FeedError("None of the photos can be asked (line {}: {}).".format(*passed_over[0]))
    predictions = {axis: joined(each, len(asked)) for axis, each in parts.items()}
    labels = {
        axis: [known.label(truth, axis) for truth in asked] for axis in (CATEGORY, *taxonomy.axes)
    }
    axes = _measure(predictions, labels, items, taxonomy, precision)
    return _Measured(len(asked), axes, tuple(passed_over))


class _Labels:
    """What is known of a labelled photo: its category by the file, the rest by its product."""

    def __init__(self, taught: Labelled, taxonomy: Taxonomy) -> None:
        self._taxonomy = taxonomy
        self._labels = taught.examples.labels
        self._row = {each.product.product_id: row for row, each in enumerate(taught.products)}
        self._named: dict[str, list[str]] = defaultdict(list)
        for path in taxonomy.categories:
            parts = names(path)
            for start in range(len(parts)):
                self._named[_folded(parts[start:])].append(path)

    def unusable(self, truth: Truth) -> str:
        """Return why nothing can be measured on a photo, or ""."""
        if truth.category and truth.category not in self._taxonomy:
            found = self._named[_folded(names(truth.category))]
            if not found:
                near = self._taxonomy.nearest(truth.category, 1)
                meant = f'; did you mean "{near[0]}"?' if near else ""
                return f'the taxonomy has no category "{truth.category}"{meant}'
            if len(found) > 1:
                return f'"{truth.category}" may be "{found[0]}" or "{found[1]}"; write the path'
        if not truth.category and truth.product_id not in self._row:
            return (
                f'the catalogue has no labelled product "{truth.product_id}"'
                if truth.product_id
                else "says neither product nor category"
            )
        return ""

    def label(self, truth: Truth, axis: str) -> str:
        """Return the label of a photo on an axis, "" where it is not known."""
        if axis == CATEGORY and truth.category:
            if truth.category in self._taxonomy:
                return truth.category
            return self._named[_folded(names(truth.category))][0]
        row = self._row.get(truth.product_id)
        return "" if row is None or axis not in self._labels else self._labels[axis][row]


def _folded(parts: Sequence[str]) -> str:
    return "\n".join(fold(part) for part in parts)
