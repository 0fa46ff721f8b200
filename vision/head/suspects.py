"""Labels that are probably wrong, found by predictions that have not seen them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vision.categories import SEPARATOR
from vision.head.axis import Prediction


def suspects(labels: Sequence[str], predicted: Prediction) -> list[int]:
    """Return which labels are probably wrong, the likeliest first.

    ``predicted`` must come from heads that were fitted without the very example. Confident
    learning (Northcutt et al., "Confident learning", JAIR 70, 2021): a class's threshold is the
    mean probability that examples labelled with it have; a label is suspect where another class
    reaches its own threshold and the labelled one does not, or is less likely than that other. They
    are ranked by how much likelier the other class is. Empty labels, and those of no value that is
    known, are passed over; one of an inner category is right where anything below it is.
    """
    p, values = predicted.probabilities, predicted.values
    own = np.zeros(p.shape, dtype=bool)
    members = {
        label: [value == label or value.startswith(label + SEPARATOR) for value in values]
        for label in dict.fromkeys(labels)
        if label
    }
    for at, label in enumerate(labels):
        if label:
            own[at] = members[label]
    known = own.any(axis=1)
    given = np.where(own, p, 0.0).sum(axis=1)
    exact = own.sum(axis=1) == 1
    column = own.argmax(axis=1)
    counts = np.bincount(column[exact], minlength=len(values))
    sums = np.bincount(column[exact], weights=given[exact], minlength=len(values))
    threshold = np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)
    others = np.where(~own & (p >= threshold), p, 0.0).max(axis=1)
    margin = np.where(known & (others > given), others - given, 0.0)
    order = np.argsort(-margin, kind="stable")
    return [at for at in order.tolist() if margin[at] > 0.0]
