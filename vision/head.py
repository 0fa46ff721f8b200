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

import numpy as np

from vision.axis import AxisHead, Prediction
from vision.categories import ancestors
from vision.corrections import Corrected
from vision.errors import HeadError
from vision.experts import Expert, Features, Neighbours, Words, fit_names
from vision.fitting import STEPS, HeldOut, Task, by_names, fit_axis
from vision.headfile import read_head, write_head
from vision.inputs import Examples, Space, check_examples, fit_space
from vision.taxonomy import CATEGORY, Taxonomy

__all__ = ["Examples", "Head", "Prediction"]

Progress = Callable[[str, int, int], None]  # stage, done, total

_BLOCK = 8192  # products that are predicted at once


def silent(stage: str, done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Head:
    """A trained head.

    ``axes`` has what was learnt; ``skipped`` says of the axes that were not learnt why. ``counts``
    has the number of examples by axis and label. ``memory`` (m, d + r) float16 are the examples
    that vote as neighbours. ``precision`` is what was asked for, ``time`` the seconds since 1970 at
    which it was trained, ``fingerprint`` the encoder's, ``taxonomy`` the digest of the taxonomy.
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
        progress: Progress = silent,
    ) -> Head:
        """Train a head on what is labelled.

        ``words`` embeds texts as the encoder does, if it can (n,) -> (n, d); then the names of
        categories count too, and an axis without any labels goes by them alone. ``precision`` is
        the share of accepted predictions that are to be right. The same examples and seed give the
        same head.

        Raises:
            HeadError: where there is nothing to learn, or a label that the taxonomy does not have.
        """
        check_examples(examples, taxonomy, precision)
        space = fit_space(examples.vectors, examples.colours, seed)
        parts = space.parts(examples.vectors, examples.colours)
        centred = (examples.vectors - space.mean).astype(np.float32)
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
            if not values and words is not None and len(leaves) > 1:
                axes[axis] = by_names(axis, leaves, words)
                kept[axis] = rows
                continue
            if len(classes) < 2:
                skipped[axis] = _too_few(axis, classes)
                continue
            names = fit_names(axis, classes, words) if words is not None else None
            features = partial(_features, space, parts[rows], centred[rows])
            task = Task(axis, axis == CATEGORY, features, values, classes, names, seed)
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
        about = (precision, seed, time.time(), fingerprint, taxonomy.digest(), held_out)
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
            centred = (vectors[block] - self.space.mean).astype(np.float32)
            for axis, each in self.axes.items():
                features = Features(self.space.weighed(parts, each.colour_weight), centred)
                said[axis].append(each.predict(features, asked, since.get(axis)))
        return {axis: _joined(parts) for axis, parts in said.items()}

    def renamed(self, moves: Mapping[str, str]) -> Head:
        """Return the head with its categories' new paths; of merged ones probabilities add up."""
        axes = dict(self.axes)
        if CATEGORY in axes:
            axes[CATEGORY] = axes[CATEGORY].renamed(moves)
        return replace(self, axes=axes)

    def save(self, path: Path) -> str:
        """Write the head to ``path`` (.json) and a .safetensors beside it; return their digest."""
        return write_head(self, path)

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
        head = read_head(path, digest)
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
        return _features(self.space, parts, vectors - self.space.mean, axis.colour_weight)

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


def _features(space: Space, parts: np.ndarray, centred: np.ndarray, weight: float) -> Features:
    return Features(space.weighed(parts, weight), centred)


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
        f'All that is labelled for {axis} is "{classes[0]}": with one kind only there is nothing to '
        f"tell apart. Label products of at least one other kind."
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
