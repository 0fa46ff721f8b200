"""The numbers that make one shape: drawn by name, so that adding one never moves the others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
TWIN_STEP = 0.22  # how far a near twin's measures lie from its model's, of the whole range


def fraction(*names: object) -> float:
    """Return a number in [0, 1) that depends on the names alone, alike on every machine."""
    digest = hashlib.blake2b("/".join(map(str, names)).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56


class Draw:
    """Random choices under one name: each is a function of that name and its own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fraction(self, name: object) -> float:
        """Return a number in [0, 1)."""
        return fraction(self.name, name)

    def between(self, name: object, low: float, high: float) -> float:
        """Return a number from ``low`` to ``high``."""
        return low + (high - low) * self.fraction(name)

    def chance(self, name: object, probability: float) -> bool:
        """Return whether something of this probability happens."""
        return self.fraction(name) < probability

    def pick(self, name: object, options: Sequence[T]) -> T:
        """Return one of the options, all alike probable."""
        return options[int(fraction(self.name, name) * len(options))]

    def weighted(self, name: object, options: Sequence[T], weights: Sequence[float]) -> T:
        """Return one of the options with the given weights."""
        mark = fraction(self.name, name) * sum(weights)
        for option, weight in zip(options, weights, strict=True):
            mark -= weight
            if mark < 0:
                return option
        return options[-1]

    def shuffled(self, name: object, options: Sequence[T]) -> list[T]:
        """Return the options in another order."""
        order = sorted(range(len(options)), key=lambda at: fraction(self.name, name, at))
        return [options[at] for at in order]


class Shape(Draw):
    """The measures of one shape; a near twin (``twin`` > 0) makes the same choices."""

    def __init__(self, name: str, twin: int = 0) -> None:
        super().__init__(name)
        self.twin = twin

    def fraction(self, name: object) -> float:
        """Return a measure in [0, 1); a twin's lies up to TWIN_STEP beside its model's."""
        value = fraction(self.name, name)
        if not self.twin:
            return value
        step = TWIN_STEP if fraction(self.name, name, self.twin) < 0.5 else -TWIN_STEP
        value += step
        return value if 0 <= value < 1 else value - 2 * step

    def chance(self, name: object, probability: float) -> bool:
        """Return a choice of form: a twin shares it."""
        return fraction(self.name, name) < probability
