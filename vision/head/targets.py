"""What is known of examples on one axis: classes, or a part of the tree that holds several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vision.categories import SEPARATOR


@dataclass(frozen=True)
class Labels:
    """What is known of n examples on one axis: each has a label that allows one or more classes.

    ``codes`` (n,) int64 number the labels; ``allows`` (labels, classes) bool says which classes
    each label leaves open. The first labels are the classes themselves, in order; those that
    follow are inner nodes of the tree.
    """

    classes: tuple[str, ...]
    codes: np.ndarray
    allows: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def exact(self) -> np.ndarray:
        """Which examples name one class, (n,) bool."""
        exact: np.ndarray = self.codes < len(self.classes)
        return exact

    @property
    def shares(self) -> np.ndarray:
        """Each label's even share among the classes that it allows, (labels, classes) float32."""
        shares: np.ndarray = self.allows / self.allows.sum(axis=1, keepdims=True)
        return shares.astype(np.float32)

    @property
    def counts(self) -> np.ndarray:
        """How many examples each class has, with its shares of partly known ones, (classes,)."""
        per_label = np.bincount(self.codes, minlength=len(self.allows))
        counts: np.ndarray = per_label @ self.shares
        return counts

    def take(self, rows: np.ndarray) -> Labels:
        """Return the labels of some of the examples."""
        return Labels(self.classes, self.codes[rows], self.allows)

    def likelihood(self, log_scores: np.ndarray) -> np.ndarray:
        """Return the log of the summed probabilities that each label allows, (n,) float32.

        ``log_scores`` (n, classes) are logarithms of what is proportional to probabilities.
        """
        scores = torch.from_numpy(np.ascontiguousarray(log_scores))
        result: np.ndarray = log_likelihood(scores, *self.tensors()).numpy()
        return result

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the codes, and what they allow where some allow several classes."""
        partial = None if self.exact.all() else torch.from_numpy(self.allows)
        return torch.from_numpy(self.codes), partial


def log_likelihood(
    logits: torch.Tensor, codes: torch.Tensor, allows: torch.Tensor | None
) -> torch.Tensor:
    """Return the log of the probabilities that labels allow, (n,); ``allows`` None: one each."""
    if allows is None:
        return logits.log_softmax(1).gather(1, codes[:, None])[:, 0]
    open_ones = logits.masked_fill(~allows[codes], -torch.inf)
    return open_ones.logsumexp(1) - logits.logsumexp(1)


def make_labels(values: Sequence[str], classes: Sequence[str], tree: bool) -> Labels:
    """Return the labels of examples, all of which are classes or, in a tree, above some."""
    places = {name: place for place, name in enumerate(classes)}
    allows = list(np.eye(len(classes), dtype=bool))
    for value in dict.fromkeys(values):
        if value not in places:
            assert tree, value
            below = value + SEPARATOR
            places[value] = len(allows)
            allows.append(np.array([each.startswith(below) for each in classes]))
    codes = np.array([places[value] for value in values], dtype=np.int64)
    return Labels(tuple(classes), codes, np.array(allows).reshape(-1, len(classes)))
