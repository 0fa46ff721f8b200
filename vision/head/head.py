"""The head: learns categories and attributes from labelled embeddings, and knows how sure it is.

Every axis (the category, and each attribute) has an output of its own over one shared input: the
embedding without its mean, and the colour descriptor. See docs/head.md for how it works and what it
can do, ``fitting`` for how it is trained.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vision.categories import ancestors
from vision.errors import HeadError
from vision.head.axis import AxisHead, Prediction
from vision.head.corrections import Corrected
from vision.head.experts import Expert, Features, Names, Neighbours, Words, fit_names
from vision.head.fitting import STEPS, HeldOut, by_names, fit_axis
from vision.head.headfile import Contents, read_head, write_head
from vision.head.inputs import FEWEST, Examples, Space, check_examples, fit_space
from vision.head.series import find_series
from vision.head.task import Settings, Task
from vision.taxonomy import CATEGORY, Taxonomy

__all__ = ["Examples", "Head", "Prediction"]

Progress = Callable[[str, int, int], None]  # stage, done, total

# What the file says in words beside the arrays.
_ABOUT = ("skipped", "counts", "precision", "seed", "time", "fingerprint", "taxonomy")
_BLOCK = 8192  # products that are predicted at once


def silent(stage: str, done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Head:
    """A trained head.

    ``axes`` has what was learnt; ``skipped`` says of the axes that were not learnt why. ``counts``
    has the number of examples by axis and label. ``memory`` (m, d + r) float16 are the examples
    that vote as neighbours. ``precision`` is what was asked for, ``time`` the seconds since 1970 at
    which its training began, ``fingerprint`` the encoder's, ``taxonomy`` that taxonomy's digest.
    ``held_out`` is what was said of training examples by experts that had not seen them; it is not
    kept in the file.
    """

    space: Space
    axes: dict[str, AxisHead]
    skipped: dict[str, str]
    counts: dict[str, dict[str, int]]
    memory: np.ndarray
    precision: float
    seed: int
    time: float
    fingerprint: str
    taxonomy: str
    held_out: dict[str, HeldOut] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def fit(
        cls,
        examples: Examples,
        taxonomy: Taxonomy,
        *,
        fingerprint: str = "",
        words: Words | None = None,
        precision: float = 0.98,
        seed: int = 0,
        asked: Examples | None = None,
        progress: Progress = silent,
    ) -> Head:
        """Train a head on what is labelled.

        ``words`` embeds texts as the encoder does, if it can (n,) -> (n, d); then the names of
        categories count too, and an axis without any labels goes by them alone. ``precision`` is
        the share of accepted predictions that are to be right, among those ``asked``: a sample of
        what it will be asked of, by default the examples. The same examples and seed give the same
        head.

        Raises:
            HeadError: where there is nothing to learn, or a label that the taxonomy does not have.
        """
        check_examples(examples, taxonomy, precision)
        began = time.time()  # labels given from now on are corrections
        space = fit_space(examples.vectors, examples.colours, seed)
        parts = space.parts(examples.vectors, examples.colours)
        series = _series(examples, space.weighed(parts, Settings.colour_weight), seed)
        others = space.parts(asked.vectors, asked.colours) if asked is not None else None
        named = partial(_named, words, examples.vectors)
        axes: dict[str, AxisHead] = {}
        held_out: dict[str, HeldOut] = {}
        skipped: dict[str, str] = {}
        counts: dict[str, dict[str, int]] = {}
        kept: dict[str, np.ndarray] = {}
        for axis, leaves in {CATEGORY: taxonomy.leaves, **taxonomy.axes}.items():
            said = examples.labels.get(axis, ("",) * len(parts))
            rows = np.flatnonzero([bool(value) for value in said])
            values = tuple(said[row] for row in rows.tolist())
            counts[axis] = dict(sorted(Counter(values).items()))
            classes = _classes(axis, leaves, counts[axis])
            if not values and len(leaves) > 1 and (names := named(axis, leaves)):
                axes[axis] = by_names(axis, leaves, names)
                kept[axis] = rows
                continue
            if len(classes) < 2:
                skipped[axis] = _too_few(axis, classes)
                continue
            here = (space, parts[rows], examples.vectors[rows], values, classes)
            task = Task(
                axis, axis == CATEGORY, *here, named(axis, classes), series[rows], seed, others
            )
            progress(f"train {axis}", 0, STEPS)
            fitted, out = fit_axis(task, partial(_report, progress, f"train {axis}"))
            axes[axis], kept[axis] = fitted, rows[fitted.kept]
            held_out[axis] = replace(out, rows=rows[out.rows])
        if not axes:
            raise HeadError(skipped[CATEGORY] if any(counts.values()) else _NOTHING)
        used = np.unique(np.concatenate(list(kept.values())))
        axes = {
            axis: replace(each, kept=np.searchsorted(used, kept[axis]))
            for axis, each in axes.items()
        }
        memory = parts[used].astype(np.float16)
        about = (precision, seed, began, fingerprint, taxonomy.digest(), held_out)
        return cls(space, axes, skipped, counts, memory, *about).remembering()

    @property
    def categories(self) -> tuple[str, ...]:
        """The paths of the categories that it can tell, none where it did not learn them."""
        return tuple(dict.fromkeys(self.axes[CATEGORY].classes)) if CATEGORY in self.axes else ()

    def predict(
        self,
        vectors: np.ndarray,
        colours: np.ndarray,
        *,
        corrections: Examples | None = None,
        precision: float | None = None,
    ) -> dict[str, Prediction]:
        """Return what is said of n products on every axis that was learnt.

        ``vectors`` (n, d) and ``colours`` (n, c) are as in Examples. ``corrections`` are labels
        that people gave since the head was trained: they count at once, for what looks like the
        corrected products. ``precision`` asks for another one than at the training.
        """
        if len(vectors) and vectors.shape[1] != len(self.space.mean):
            raise HeadError(
                f"This head was trained on embeddings of {len(self.space.mean)} numbers, not "
                f"{vectors.shape[1]}. Use the encoder that it was trained for, or train anew."
            )
        asked = self.precision if precision is None else precision
        blocks = [slice(at, at + _BLOCK) for at in range(0, max(1, len(vectors)), _BLOCK)]
        said: dict[str, list[Prediction]] = {axis: [] for axis in self.axes}
        since = self._corrections(corrections)
        for block in blocks:
            parts = self.space.parts(vectors[block], colours[block])
            for axis, each in self.axes.items():
                features = Features(self.space.weighed(parts, each.colour_weight), vectors[block])
                said[axis].append(each.predict(features, asked, since.get(axis)))
        return {axis: _joined(parts) for axis, parts in said.items()}

    def report(self, precision: float | None = None) -> dict[str, dict[str, Any]]:
        """Return by axis what was measured on held-out examples (see AxisHead.report)."""
        asked = self.precision if precision is None else precision
        return {axis: each.report(asked) for axis, each in self.axes.items()}

    def renamed(self, moves: Mapping[str, str]) -> Head:
        """Return the head with its categories' new paths; of merged ones probabilities add up."""
        axes = dict(self.axes)
        if CATEGORY in axes:
            axes[CATEGORY] = axes[CATEGORY].renamed(moves)
        return replace(self, axes=axes)

    def save(self, path: Path) -> str:
        """Write the head to ``path`` (.json) and a .safetensors beside it; return their digest."""
        about = {name: getattr(self, name) for name in _ABOUT}
        return write_head(Contents(self.space, self.axes, self.memory, about), path)

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        digest: str = "",
        fingerprint: str = "",
        taxonomy: Taxonomy | None = None,
    ) -> Head:
        """Read a head that ``save`` wrote.

        Raises:
            HeadError: where a file is missing or damaged, is not the one with this ``digest``, or
                was trained with another ``fingerprint`` or for categories that ``taxonomy`` lacks;
                what is not given is not compared.
        """
        kept = read_head(path, digest)
        head = cls(kept.space, kept.axes, memory=kept.memory, **kept.about).remembering()
        head._check_home(path, fingerprint, taxonomy)
        return head

    def _check_home(self, path: Path, fingerprint: str, taxonomy: Taxonomy | None) -> None:
        if fingerprint and fingerprint != self.fingerprint:
            raise HeadError(
                f"The head in {path} was trained on the embeddings of another encoder (fingerprint "
                f"{self.fingerprint[:12]}, here it is {fingerprint[:12]}). Train anew."
            )
        if taxonomy is None:
            return
        strange = [each for each in self.categories if each not in taxonomy]
        for axis, each in self.axes.items():
            if axis != CATEGORY:
                there = taxonomy.axes.get(axis, ())
                strange += [f"{axis}: {value}" for value in each.classes if value not in there]
        if strange:
            raise HeadError(
                f'The head in {path} was trained for another taxonomy: "{strange[0]}"'
                + (f" and {len(strange) - 1} more are" if len(strange) > 1 else " is")
                + " not in this one. Train anew."
            )

    def _corrections(self, corrections: Examples | None) -> dict[str, Corrected]:
        if corrections is None:
            return {}
        found = {}
        for axis, each in self.axes.items():
            said = corrections.labels.get(axis, ())
            rows = [row for row, value in enumerate(said) if value]
            if rows:
                features = self._features(
                    each, corrections.vectors[rows], corrections.colours[rows]
                )
                found[axis] = each.corrected(features, tuple(said[row] for row in rows))
        return found

    def _features(self, axis: AxisHead, vectors: np.ndarray, colours: np.ndarray) -> Features:
        parts = self.space.parts(vectors, colours)
        return Features(self.space.weighed(parts, axis.colour_weight), vectors)

    def remembering(self) -> Head:
        """Return the head with its neighbours' rows as the file keeps them."""
        axes = {}
        for axis, each in self.axes.items():
            experts: dict[str, Expert] = dict(each.experts)
            voters = experts.get("neighbours")
            if isinstance(voters, Neighbours):
                rows = self.space.weighed(self.memory[each.kept], each.colour_weight)
                experts["neighbours"] = replace(voters, rows=rows)
            axes[axis] = replace(each, experts=experts)
        return replace(self, axes=axes)


_NOTHING = (
    "There is nothing to learn from: no product has a label. Give some products a category, in "
    "their feed or by findalike review, or use an encoder that knows words (a CLIP), which can go "
    "by the categories' names."
)


def _series(examples: Examples, rows: np.ndarray, seed: int) -> np.ndarray:
    """Find series within categories or, where none are known, within the values of an attribute."""
    known = [CATEGORY, *(axis for axis, said in examples.labels.items() if any(said))]
    kinds = next(
        (examples.labels[axis] for axis in known if any(examples.labels.get(axis, ()))), ()
    )
    return find_series(rows, kinds or ("",) * len(rows), seed)


def _named(
    words: Words | None, vectors: np.ndarray, axis: str, classes: Sequence[str]
) -> Names | None:
    if words is None:
        return None
    many = len(vectors) >= FEWEST
    mean = vectors.mean(axis=0) if many else np.zeros(vectors.shape[1], np.float32)
    return fit_names(axis, classes, words, mean)


def _report(progress: Progress, stage: str, done: int) -> None:
    progress(stage, done, STEPS)


def _classes(axis: str, leaves: Sequence[str], counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return the leaves that have examples, or that an inner label leaves open."""
    if axis != CATEGORY:
        return tuple(leaf for leaf in leaves if leaf in counts)
    return tuple(leaf for leaf in leaves if any(above in counts for above in ancestors(leaf)))


def _too_few(axis: str, classes: Sequence[str]) -> str:
    if not classes:
        return (
            f"No product has a label for {axis}. Label some in the feed, or with findalike review."
        )
    return (
        f'All that is labelled for {axis} is "{classes[0]}": with one kind only there is nothing '
        f"to tell apart. Label products of at least one other kind."
    )


def _joined(parts: Sequence[Prediction]) -> Prediction:
    first = parts[0]
    if len(parts) == 1:
        return first
    return Prediction(
        first.values,
        np.concatenate([each.probabilities for each in parts]),
        np.concatenate([each.outside for each in parts]),
        tuple(value for each in parts for value in each.accepted),
        np.concatenate([each.confidence for each in parts]),
    )
