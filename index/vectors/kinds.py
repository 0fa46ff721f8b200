"""The kinds of index: which of them a catalogue of some size gets, and what was measured of one.

======  =========================================================================================
exact   every vector is compared, in float32, from memory
scan    every vector is compared by a code of 32 bytes, or 64 where that is too coarse (product
        quantisation, whose tables fit in the processor's registers: André et al., "Quicker ADC",
        TPAMI 2021); the best are compared again, exactly, by the vectors themselves, which stay on
        the disk
lists   the same, but only in those lists of similar vectors that are nearest to the query
======  =========================================================================================
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

AUTO = "auto"
EXACT, SCAN, LISTS = KINDS = ("exact", "scan", "lists")

RECALL = 0.99  # recall@10 that an approximate kind must reach, unless the user chooses otherwise

# From so many vectors on, the next kind is faster by far (docs/index.md).
_SCAN_FROM = 20_000
_LISTS_FROM = 200_000
HALF_FROM = 2_000_000  # vectors on the disk from which on they are float16, to stay in its cache


@dataclass(frozen=True)
class Choice:
    """What the user wants: a kind or "auto", and the recall@10 that it must reach."""

    kind: str = AUTO
    recall: float = RECALL

    def kind_for(self, count: int) -> str:
        """Return the kind for ``count`` vectors."""
        if self.kind != AUTO:
            return self.kind
        return EXACT if count < _SCAN_FROM else SCAN if count < _LISTS_FROM else LISTS

    def as_dict(self) -> dict[str, Any]:
        """Return the choice as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Measured:
    """What was measured of an index, on vectors of its own, when it was built.

    ``candidates`` is how many of the best codes are compared again where 10 rows are asked for,
    ``probes`` how many lists are looked into (both 0 where they mean nothing). ``recall`` is
    recall@10 against exact search; ``p50`` and ``p99`` are milliseconds for one query alone,
    ``seconds`` is the time of the building, ``memory`` the bytes for each vector in memory,
    ``time`` when it was (Unix time), with ``rows`` vectors.
    """

    kind: str
    candidates: int = 0
    probes: int = 0
    recall: float = 1.0
    p50: float = 0.0
    p99: float = 0.0
    seconds: float = 0.0
    memory: float = 0.0
    rows: int = 0
    time: float = 0.0

    def in_words(self) -> str:
        """Say which kind it is and what it reaches."""
        if self.kind == EXACT:
            return EXACT
        lists = f", {self.probes} lists" if self.probes else ""
        return f"{self.kind}: {self.candidates} candidates{lists}, recall@10 {self.recall:.3f}"

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Measured:
        """Read what ``to_json`` wrote; raises ValueError or TypeError for anything else."""
        return cls(**json.loads(text))
