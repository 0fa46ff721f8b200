"""Experts: simple classifiers, each of which gives every class of an axis a log-score.

    linear      multinomial logistic regression
    discriminant  linear discriminant analysis: class means compared as the classes' common
                covariance has it, shrunk towards a sphere (Friedman, JASA 84(405), 1989)
    prototypes  the cosine to the mean of a class's examples
    neighbours  a kernel vote of the examples nearby
    names       the cosine to the embedded name of the class (CLIP's zero-shot classification,
                Radford et al., ICML 2021)
    frequency   how common the class is among the examples

Which of them speak for an axis, and how loudly, is decided in ``fitting``. The first two see every
class alike, however many examples it has, or nearly so; how common classes are is an expert of its
own, so that rare classes are learnt and probabilities are right all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch

from vision.arrays import dot, solve, unit
from vision.categories import names
from vision.head.targets import Labels
from vision.taxonomy import CATEGORY

Words = Callable[[Sequence[str]], np.ndarray]

NEAREST = 5  # examples whose cosines tell how near a product is to anything known
_CELLS = 1 << 24  # numbers that one step of a computation may hold
_ALPHA = 0.5  # votes that go to all classes alike, when the nearest example has one
_SHRINKAGE = 0.3  # of the covariance within classes towards a sphere
_CALM = np.float32(0.05)  # many features that are not independent make discriminants too sure
_SHARPNESS = 10.0  # of cosines to prototypes, so that a weight of one is a sensible one


@dataclass(frozen=True)
class Features:
    """What experts look at, of n products: ``rows`` (n, D) unit, ``vectors`` (n, d) embeddings."""

    rows: np.ndarray
    vectors: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: np.ndarray | slice) -> Features:
        """Return the features of some of the products."""
        return Features(self.rows[rows], self.vectors[rows])


class Expert(Protocol):
    """What all experts have: a name, the arrays that they consist of, and scores."""

    name: ClassVar[str]

    def scores(self, features: Features) -> np.ndarray:
        """Return log-scores, (n, classes) float32."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what to keep in a file; ``type(self)(**arrays)`` makes the expert again."""


@dataclass(frozen=True)
class Linear:
    """``weight`` (D, classes) and ``bias`` (classes,) float32 of a logistic regression."""

    weight: np.ndarray
    bias: np.ndarray
    name: ClassVar[str] = "linear"

    def scores(self, features: Features) -> np.ndarray:
        """Return the logits."""
        logits: np.ndarray = dot(features.rows, self.weight) + self.bias
        return logits

    def arrays(self) -> dict[str, np.ndarray]:
        """Return weight and bias."""
        return {"weight": self.weight, "bias": self.bias}


@dataclass(frozen=True)
class Prototypes:
    """``means`` (classes, D) float32: the direction of each class's mean; zeros without any."""

    means: np.ndarray
    name: ClassVar[str] = "prototypes"

    def scores(self, features: Features) -> np.ndarray:
        """Return cosines, times a constant."""
        cosines: np.ndarray = dot(features.rows, self.means.T)
        return cosines * np.float32(_SHARPNESS)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the means."""
        return {"means": self.means}


def fit_prototypes(rows: np.ndarray, labels: Labels) -> Prototypes:
    """Take the mean of each label's examples, shared among the classes that it allows."""
    sums = np.zeros((len(labels.allows), rows.shape[1]), dtype=np.float32)
    order = np.argsort(labels.codes, kind="stable")
    found, starts = np.unique(labels.codes[order], return_index=True)
    if len(found):
        sums[found] = np.add.reduceat(rows[order], starts, axis=0)
    return Prototypes(unit(dot(labels.shares.T, sums)))


@dataclass(frozen=True)
class Discriminant:
    """``weight`` (D, classes) and ``bias`` (classes,) float32 of linear discriminants."""

    weight: np.ndarray
    bias: np.ndarray
    name: ClassVar[str] = "discriminant"

    def scores(self, features: Features) -> np.ndarray:
        """Return the log-likelihood of each class, toned down."""
        scores: np.ndarray = dot(features.rows, self.weight) + self.bias
        return scores

    def arrays(self) -> dict[str, np.ndarray]:
        """Return weight and bias."""
        return {"weight": self.weight, "bias": self.bias}


def fit_discriminant(rows: np.ndarray, labels: Labels) -> Discriminant:
    """Fit one Gaussian per class with a common covariance, on the examples that name a class."""
    exact = np.flatnonzero(labels.exact)
    codes, classes = labels.codes[exact], len(labels.classes)
    counts = np.bincount(codes, minlength=classes)
    means = np.zeros((classes, rows.shape[1]), dtype=np.float32)
    order = exact[np.argsort(codes, kind="stable")]
    starts = np.cumsum(counts) - counts
    there = counts > 0
    if there.any():
        sums = np.add.reduceat(rows[order], starts[there], axis=0)
        means[there] = sums / counts[there, None]
    within = dot(rows[exact].T, rows[exact]) - dot(means.T * counts, means)
    within = within.astype(np.float64) / max(1, len(exact))
    sphere = max(float(np.trace(within)) / len(within), 1e-6)
    shrunk = (1.0 - _SHRINKAGE) * within
    shrunk[np.diag_indices_from(shrunk)] += _SHRINKAGE * sphere
    weight = solve(shrunk, means.T)
    bias = -0.5 * (means.T * weight).sum(axis=0)
    return Discriminant(weight * _CALM, np.where(there, bias, bias.min()) * _CALM)


@dataclass(frozen=True)
class Neighbours:
    """Examples that vote: ``rows`` (m, D) float32 unit, ``codes`` (m,), ``shares`` as in Labels.

    An example's vote falls with exp(``sharpness`` * cosine); ``sharpness`` is (1,) float32.
    """

    rows: np.ndarray
    codes: np.ndarray
    shares: np.ndarray
    sharpness: np.ndarray
    name: ClassVar[str] = "neighbours"

    def scores(self, features: Features) -> np.ndarray:
        """Return the log of each class's share of the votes."""
        return self.look(features)[0]

    def look(self, features: Features) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores, and the cosines of the nearest examples, best first (n, NEAREST).

        Where there are fewer examples, the last cosine is repeated.
        """
        scores, cosines = self.compare(features, [float(self.sharpness[0])])
        return scores[0], cosines

    def compare(
        self, features: Features, sharpnesses: Sequence[float]
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Return what ``look`` does, with scores for each of several sharpnesses."""
        known, codes = torch.from_numpy(self.rows), torch.from_numpy(self.codes)
        labels, classes = self.shares.shape
        scores = [np.empty((len(features), classes), np.float32) for _ in sharpnesses]
        cosines = np.empty((len(features), NEAREST), dtype=np.float32)
        step = max(1, _CELLS // max(1, len(known)))
        there = min(NEAREST, len(known))
        for at in range(0, len(features), step):
            here = slice(at, at + step)
            near = torch.from_numpy(features.rows[here]) @ known.T
            best = near.topk(there, dim=1).values
            cosines[here] = np.pad(best.numpy(), ((0, 0), (0, NEAREST - there)), mode="edge")
            near -= best[:, :1]
            for into, sharp in zip(scores, sharpnesses, strict=True):
                votes = torch.zeros(len(near), labels).index_add_(1, codes, (near * sharp).exp_())
                per_class = dot(votes.numpy(), self.shares) + _ALPHA / classes
                into[here] = np.log(per_class / per_class.sum(axis=1, keepdims=True))
        return scores, cosines

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the examples and how their votes count."""
        return {
            "rows": self.rows,
            "codes": self.codes,
            "shares": self.shares,
            "sharpness": self.sharpness,
        }


def fit_neighbours(rows: np.ndarray, labels: Labels, sharpness: float) -> Neighbours:
    """Keep the examples; they are the fit."""
    return Neighbours(rows, labels.codes, labels.shares, np.array([sharpness], dtype=np.float32))


@dataclass(frozen=True)
class Names:
    """``vectors`` (classes, d) float32 are the embedded names.

    ``usual`` (classes,) float32 tells how near pictures of anything are to each, which would favour
    the same few classes everywhere.
    """

    vectors: np.ndarray
    usual: np.ndarray
    name: ClassVar[str] = "names"

    def scores(self, features: Features) -> np.ndarray:
        """Return how much nearer than usual names are, times the factor of CLIP's own training."""
        cosines = dot(features.vectors, self.vectors.T)
        scores: np.ndarray = (cosines - self.usual) * np.float32(100.0)
        return scores

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the embedded names and what is usual."""
        return {"vectors": self.vectors, "usual": self.usual}

    def take(self, classes: Sequence[int]) -> Names:
        """Return the names of some of the classes."""
        return Names(self.vectors[classes], self.usual[classes])


def fit_names(axis: str, classes: Sequence[str], words: Words, mean: np.ndarray) -> Names:
    """Embed what classes are called, each in several phrases of which the mean is taken.

    ``mean`` (d,) is that of the embeddings of products, zeros where there are too few.
    """
    phrases = [_phrases(axis, each) for each in classes]
    rows = words([phrase for each in phrases for phrase in each])
    vectors = unit(rows.reshape(len(classes), -1, rows.shape[1]).mean(axis=1))
    return Names(vectors, dot(vectors, mean[:, None])[:, 0])


def _phrases(axis: str, value: str) -> tuple[str, ...]:
    if axis != CATEGORY:
        said = {"yes": axis, "no": f"not {axis}"}.get(value.casefold(), value)
        return (f"{said}", f"a photo of something {said}", f"a product photo, {axis}: {said}")
    *above, last = names(value)
    kind = f", {above[-1]}" if above else ""
    return (f"{last}{kind}", f"a photo of {last}", f"a product photo of {last}{kind}")


@dataclass(frozen=True)
class Frequency:
    """``log_shares`` (classes,) float32: how common the classes are among the examples."""

    log_shares: np.ndarray
    name: ClassVar[str] = "frequency"

    def scores(self, features: Features) -> np.ndarray:
        """Return the same scores for every product."""
        return np.tile(self.log_shares, (len(features), 1))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the logarithms of the shares."""
        return {"log_shares": self.log_shares}


def fit_frequency(labels: Labels) -> Frequency:
    """Count, with one more example for every class (Laplace's rule)."""
    counts = labels.counts + 1.0
    return Frequency(np.log(counts / counts.sum()).astype(np.float32))


KINDS: dict[str, type[Expert]] = {
    each.name: each for each in (Linear, Discriminant, Prototypes, Neighbours, Names, Frequency)
}
