"""Corrections: labels given since a head was trained, which count at once by similarity.

A product that looks like a corrected one gets that label's classes raised by a likelihood ratio:

    log p(class)  +=  max over corrections of the class of  log LR(cosine)

LR is fitted on training products, given what the head thought of each before: how much more a
product's label says about another's than the head knew already.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from vision.arrays import dot
from vision.categories import SEPARATOR

_NEAR = 0.02  # added to distances, so that the same picture is not infinitely near
_FLOOR = 1e-3  # a class that a correction speaks for has this probability, whatever the head thinks
_SAME = 0.97  # cosine from which two pictures show the same thing: a correction then always holds
_CERTAIN = 10.0  # log of the ratio that makes up for _FLOOR, with plenty to spare
_PAIRED = 5000  # held-out products that are paired, at most
_TEACHERS = 4  # one in so many corrects the others: a few corrections must not mislead
_SLOPES = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0)  # that are tried
_OFFSETS = (-6.0, -5.0, -4.0, -3.0, -2.0)  # so that what is not alike hardly moves
_FEWEST = 20  # pupils that anything can be learnt from
_CELLS = 1 << 24


@dataclass(frozen=True)
class Similarity:
    """log LR = log(1 + exp(offset) / (distance + a little) ** slope), which is never negative."""

    slope: float = 3.0
    offset: float = -6.0

    def log_ratio(self, cosines: np.ndarray, surprise: np.ndarray) -> np.ndarray:
        """Return what corrections (m,) add to log p of products with cosines (n, m), float32.

        ``surprise`` (m,) is how unlikely the head found each label: one that it would have given
        anyhow tells little about others.
        """
        certain = np.where(cosines >= _SAME, _CERTAIN, 0.0)
        result: np.ndarray = np.maximum(self.gain(_nearness(cosines), surprise), certain)
        return result.astype(np.float32)

    def gain(self, nearness: np.ndarray, surprise: np.ndarray) -> np.ndarray:
        """Return the same by how near products are, (n, m), without regard to what is certain."""
        result: np.ndarray = surprise * np.logaddexp(0.0, self.slope * nearness + self.offset)
        return result


@dataclass(frozen=True)
class Corrected:
    """Products with new labels: ``rows`` (m, D) float32 unit, m ``labels``, ``surprise`` (m,)."""

    rows: np.ndarray
    labels: tuple[str, ...]
    surprise: np.ndarray


def surprise_at(
    labels: Sequence[str], values: Sequence[str], probabilities: np.ndarray
) -> np.ndarray:
    """Return how unlikely new labels (m,) were by probabilities (m, values): (m,) float32."""
    members = {each: _members(each, values) for each in dict.fromkeys(labels)}
    given = [probabilities[at, members[each]].sum() for at, each in enumerate(labels)]
    surprise: np.ndarray = np.maximum(1.0 - np.array(given, dtype=np.float32), 0.0)
    return surprise


def fit_similarity(
    rows: np.ndarray, codes: np.ndarray, log_p: np.ndarray, folds: np.ndarray, seed: int = 0
) -> Similarity:
    """Fit on held-out products: ``rows`` (n, D), classes (n,), log-probabilities (n, classes).

    A few of each fold (n,) correct the others, as labels would of which the head knew nothing; of
    the slopes and offsets tried, those with the least loss of the corrected predictions are taken.
    """
    order = np.random.default_rng(seed).permutation(len(rows))[:_PAIRED]
    lessons = []
    for fold in np.unique(folds):
        here = order[folds[order] == fold]
        teachers, pupils = np.split(here, [-(-len(here) // _TEACHERS)])
        if len(teachers) and len(pupils):
            surprise = 1.0 - np.exp(log_p[teachers, codes[teachers]])
            near = _nearness(dot(rows[pupils], rows[teachers].T))
            lessons.append((near, surprise, codes[teachers], log_p[pupils], codes[pupils]))
    if sum(len(each[-1]) for each in lessons) < _FEWEST:
        return Similarity()
    tried = [Similarity(*each) for each in itertools.product(_SLOPES, _OFFSETS)]
    return min(tried, key=lambda each: _loss(each, lessons))


def _loss(similarity: Similarity, lessons: Sequence[Sequence[np.ndarray]]) -> float:
    """Return the summed loss of predictions that were corrected."""
    total = 0.0
    for near, surprise, taught, before, truth in lessons:
        gain = similarity.gain(near, surprise)
        loudest = np.zeros(before.shape[::-1], dtype=np.float32)
        np.maximum.at(loudest, taught, gain.T)
        log_odds = torch.from_numpy(before + loudest.T)
        total += float(F.cross_entropy(log_odds, torch.from_numpy(truth), reduction="sum"))
    return total


def correct(
    similarity: Similarity,
    rows: np.ndarray,
    values: tuple[str, ...],
    probabilities: np.ndarray,
    corrected: Corrected,
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Return values, probabilities (n, values) and the log ratios (n,) that spoke the loudest.

    ``rows`` (n, D) are the products asked about. A label that is no value yet, nor above one,
    becomes one.
    """
    labels = corrected.labels
    known = list(dict.fromkeys(labels))
    members = {each: _members(each, values) for each in known}
    new = [each for each in known if not members[each]]
    everything = values + tuple(new)
    members |= {each: [len(values) + at] for at, each in enumerate(new)}
    codes = np.array([known.index(each) for each in labels])
    order = np.argsort(codes, kind="stable")
    _, starts = np.unique(codes[order], return_index=True)
    known_rows, surprise = corrected.rows[order], corrected.surprise[order]
    p = np.pad(probabilities, ((0, 0), (0, len(new))))
    loudest = np.empty(len(rows), dtype=np.float32)
    step = max(1, _CELLS // max(len(labels), len(everything)))
    for at in range(0, len(rows), step):
        here = slice(at, at + step)
        ratios = similarity.log_ratio(dot(rows[here], known_rows.T), surprise)
        per_label = np.maximum.reduceat(ratios, starts, axis=1)
        gain = np.zeros((len(ratios), len(everything)), dtype=np.float32)
        for place, each in enumerate(known):
            columns = members[each]
            gain[:, columns] = np.maximum(gain[:, columns], per_label[:, place, None])
        lifted = (p[here] + _FLOOR * (1.0 - np.exp(-gain))) * np.exp(gain)
        p[here] = lifted / lifted.sum(axis=1, keepdims=True)
        loudest[here] = per_label.max(axis=1)
    return everything, p, loudest


def _members(label: str, values: Sequence[str]) -> list[int]:
    below = label + SEPARATOR
    return [at for at, each in enumerate(values) if each == label or each.startswith(below)]


def _nearness(cosines: np.ndarray) -> np.ndarray:
    distance = np.maximum(1.0 - cosines, 0.0) + np.float32(_NEAR)
    result: np.ndarray = -np.log(distance)
    return result
