"""The report on categorisation: a table in the terminal, an HTML file with charts and pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from index.evaluation.labelmeasures import Hierarchical, most_confused
from vision.categories import names
from vision.images import read_image
from vision.taxonomy import CATEGORY
from webapp.reports.charts import coverage_chart, learning_chart, reliability_chart, share_bar
from webapp.reports.retrieval import data_url, print_passed_over, write_page
from webapp.terminal.command import count

if TYPE_CHECKING:
    from index.catalogue import Catalogue
    from index.evaluation.axes import AxisEvaluation, Case
    from index.evaluation.labelled import LabelEvaluation

_CLASSES = 30  # rows of a confusion matrix that can still be read
_THUMBNAIL = 240  # pixels on the long side
_WEAKEST = 8  # values shown in the terminal
_SHADES = 9  # of a confusion matrix's cells, the classes h1 to h9 of the style sheet


@dataclass(frozen=True)
class Cell:
    """One field of a confusion matrix: its count, its shade 0 to 9, what it says, and whether it
    counts what is "right", "wrong", or both ("mixed": among the classes put together)."""

    count: int
    shade: int
    kind: str
    says: str


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix to be shown: the names of its classes, short and in full, and its rows of
    cells. ``left_out`` counts the classes that are put together in the last row and column."""

    labels: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Cell, ...], ...]
    left_out: int


# --- terminal ------------------------------------------------------------------------------------


def print_labels(result: LabelEvaluation) -> None:
    """Show the measures of every axis as a table, and the categories that are predicted worst."""
    console = Console(highlight=False)
    console.print(headline(result), soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("%")
    for heading in ("items", "right", "top 3", "macro F1", "wtd F1", "accepted", "right", "ECE"):
        table.add_column(heading, justify="right")
    for axis in result.axes:
        accepted = axis.accepted
        shares = (axis.accuracy, axis.top_3, axis.macro_f1, axis.weighted_f1, accepted.coverage)
        right = "-" if accepted.precision is None else _percent(accepted.precision)
        cells = (*map(_percent, shares), right, f"{axis.ece:.3f}")
        table.add_row(escape(axis.axis), str(axis.items), *cells)
    console.print(table)
    asked = f"{100 * result.precision:g}"
    for axis in result.axes:
        if axis.axis == CATEGORY:
            _print_tree(console, axis)
        if axis.suspects:
            some = count(len(axis.suspects), "label")
            console.print(f"{escape(axis.axis)}: {some} may be wrong; --html shows them")
    console.print(f"Accepted is what the head is sure of; {asked} % of it should be right.")
    print_passed_over(console, result.passed_over)


def _print_tree(console: Console, axis: AxisEvaluation) -> None:
    """Show what only the category has: measures along the tree, and its weakest leaves."""
    along, stopped = axis.hierarchical, axis.accepted.hierarchical
    console.print(
        f"hierarchical precision / recall / F: {_three(along)}, of the accepted {_three(stopped)}; "
        f"{_percent(axis.accepted.to_the_leaf)} accepted down to a leaf",
        soft_wrap=True,
    )
    weakest = sorted((each for each in axis.by_value if each.support), key=lambda each: each.f1)
    weakest = [each for each in weakest if each.f1 < 1][:_WEAKEST]
    if not weakest:
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("weakest")
    for heading in ("items", "precision", "recall", "F1", "accepted"):
        table.add_column(heading, justify="right")
    for each in weakest:
        shares = (each.precision, each.recall, each.f1, each.coverage)
        table.add_row(escape(each.value), str(each.support), *map(_percent, shares))
    console.print(table)


def headline(result: LabelEvaluation) -> str:
    """Return in one sentence what was measured."""
    if result.by == "photos":
        return (
            f"{count(result.items, 'photo')}, asked of the catalogue's head "
            f"({count(result.learnt_from, 'labelled product')} in the catalogue)"
        )
    return (
        f"{count(result.items, 'labelled product')}, each asked of a head that was trained without "
        f"it ({result.folds} folds)"
    )


def axis_rows(axis: AxisEvaluation, precision: float) -> list[tuple[str, str]]:
    """Return the measures of an axis as (name, text), in percent but for the calibration error."""
    accepted = axis.accepted
    tree = axis.axis == CATEGORY
    partial = f" (and {axis.partial} partly labelled)" if axis.partial else ""
    return [
        ("items", f"{axis.items}{partial}"),
        ("classes among them", str(sum(each.support > 0 for each in axis.by_value))),
        ("accuracy", _percent(axis.accuracy)),
        ("right among the best three", _percent(axis.top_3)),
        ("macro F1", _percent(axis.macro_f1)),
        ("weighted F1", _percent(axis.weighted_f1)),
        ("hierarchical precision / recall / F", _three(axis.hierarchical) if tree else "–"),
        ("calibration error (ECE)", f"{axis.ece:.3f}"),
        ("accepted (coverage)", _percent(accepted.coverage)),
        (
            "right of the accepted",
            "–" if accepted.precision is None else _percent(accepted.precision),
        ),
        ("accepted down to a leaf", _percent(accepted.to_the_leaf) if tree else "–"),
        ("hierarchical, of the accepted", _three(accepted.hierarchical) if tree else "–"),
        (
            f"coverage possible at {100 * precision:g} % right",
            _percent(axis.coverage_at_precision),
        ),
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _three(measures: Hierarchical) -> str:
    return " / ".join(map(_percent, (measures.precision, measures.recall, measures.f)))


# --- HTML ----------------------------------------------------------------------------------------


def write_label_html(result: LabelEvaluation, catalogue: Catalogue, path: Path) -> None:
    """Write an evaluation of categories and attributes as one HTML file, with its pictures."""
    write_page(
        path,
        "labels.html",
        result=result,
        catalogue=catalogue,
        headline=headline(result),
        axes=[_shown(axis, result.precision) for axis in result.axes],
        picture=_pictures(result, catalogue),
        bar=share_bar,
    )


def _shown(axis: AxisEvaluation, precision: float) -> dict[str, object]:
    """Return what the template needs of one axis."""
    return {
        "axis": axis,
        "rows": axis_rows(axis, precision),
        "matrix": confusion_table(axis),
        "reliability": reliability_chart(axis.reliability, axis.ece),
        "coverage": coverage_chart(axis.curve, axis.accepted, precision),
        "learning": learning_chart(axis.learning) if axis.learning else None,
        "short": short_names(axis.values),
        "by_value": sorted(axis.by_value, key=lambda each: (-each.support, each.value)),
    }


def confusion_table(axis: AxisEvaluation, most: int = _CLASSES) -> Matrix:
    """Return the confusion matrix, cut down to the classes most often taken for each other.

    Shades go by the share of a row, so that small classes are seen as well as large ones.
    """
    matrix, values = axis.confusion, list(axis.values)
    short = short_names(values)
    labels = [(short[value], value) for value in values]
    left_out = max(0, len(values) - most)
    if left_out:
        kept = most_confused(matrix, most)
        rest = np.setdiff1d(np.arange(len(values)), kept)
        order = [[at] for at in kept.tolist()] + [rest.tolist()]
        matrix = np.array([[matrix[np.ix_(a, b)].sum() for b in order] for a in order])
        labels = [labels[at] for at in kept] + [("others", f"{left_out} other values")]
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shades = np.where(matrix > 0, np.maximum(1, np.ceil(share * _SHADES)), 0).astype(int)
    rows = tuple(
        tuple(
            Cell(
                int(matrix[row, column]),
                int(shades[row, column]),
                "wrong" if row != column else "mixed" if row == most else "right",
                f"{labels[row][1]} taken for {labels[column][1]}: {matrix[row, column]}"
                f" of {matrix[row].sum()}",
            )
            for column in range(len(labels))
        )
        for row in range(len(labels))
    )
    return Matrix(tuple(labels), rows, left_out)


def short_names(values: Iterable[str]) -> dict[str, str]:
    """Return for each path its last level, or the whole where that would be ambiguous."""
    values = list(values)
    last = {value: names(value)[-1] for value in values}
    taken = Counter(last.values())
    return {value: name if taken[name] == 1 else value for value, name in last.items()}


def _pictures(result: LabelEvaluation, catalogue: Catalogue) -> dict[str, str]:
    """Return the pictures shown, by SHA-256, as data URLs."""
    photos = [case for axis in result.axes for case in axis.worst] if result.by == "photos" else []
    found = {case.item.sha256: read_image(Path(case.item.name)) for case in _distinct(photos)}
    shown = {
        case.item.sha256 for axis in result.axes for case in (*axis.worst, *axis.suspects)
    } - set(found)
    with catalogue.reading() as table:
        found |= {sha256: read_image(jpeg) for sha256, jpeg in table.previews(shown).items()}
    return {sha256: data_url(image.preview(_THUMBNAIL)) for sha256, image in found.items()}


def _distinct(cases: Sequence[Case]) -> list[Case]:
    return list({case.item.sha256: case for case in cases}.values())
