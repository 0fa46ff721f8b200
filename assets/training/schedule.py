"""How far a run is, how fast it goes, and what follows from it for learning rates and sizes."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass

from assets.training.options import Options

_SETTLING, _MEASURED = 5, 30  # steps before and while the speed is measured
_PAUSE = 20  # times the usual; a step that took longer was stopped or slept in between


@dataclass
class Schedule:
    """How far a run is and how far it goes; ``total`` is None until the speed is known."""

    options: Options
    total: int | None
    step: int = 0

    def pace(self) -> float:
        """Return the share of the highest learning rates: a ramp, then a cosine to nothing."""
        warmup = self.options.warmup
        if self.total is not None:
            warmup = min(warmup, self.total // 10)
        if self.step < warmup or self.total is None:
            return min(1.0, (self.step + 1) / max(1, warmup))
        return 0.5 + 0.5 * math.cos(math.pi * (self.step - warmup) / max(1, self.total - warmup))

    def size(self) -> int:
        """Return the side of this step's pictures."""
        if self.total is None or self.step < self.total * (1 - self.options.last_share):
            return self.options.size
        return self.options.last_size

    def plan(self, clock: Clock) -> None:
        """Fix the total once the speed at the first size is known; the last steps take longer."""
        options = self.options
        if self.total is not None or len(clock.steps) < _SETTLING + _MEASURED:
            return
        slower = (options.last_size / options.size) ** 2
        mean = clock.usual() * (1 + options.last_share * (slower - 1))
        left = options.minutes * 60 - clock.seconds
        self.total = self.step + max(1, int(left / mean))

    def done(self) -> bool:
        """Return whether there is nothing left to do."""
        return self.total is not None and self.step >= self.total


class Clock:
    """The seconds a run has trained in all its sittings, without those it was paused."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.steps: list[float] = []  # seconds of each step of this sitting
        self.last = time.monotonic()

    def tick(self) -> None:
        """Count the time since the last tick as one step."""
        now = time.monotonic()
        took, self.last = now - self.last, now
        if len(self.steps) >= _SETTLING and took > _PAUSE * self.usual():
            took = self.usual()
        self.steps.append(took)
        self.seconds += took

    def usual(self) -> float:
        """Return the median of the last steps' seconds."""
        return statistics.median(self.steps[-_MEASURED:])
