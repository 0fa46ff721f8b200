"""The review queue as a spreadsheet: questions written as CSV, decisions read from one."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from index.feeds import quote_formula, unquote_formula
from index.labels.review import Question
from index.labels.standing import Decision
from vision.errors import LabelError
from vision.taxonomy import CATEGORY, SEPARATOR, Taxonomy

COLUMNS = (
    "product_id", "axis", "title", "image", "now", "why", "proposal", "confidence", "second",
    "third", "decision",
)  # fmt: skip
_NOTHING_FITS, _WRONG, _LATER, _RIGHT = "none", "no", "skip", ("ok", "yes")
_NAMED = 5  # mistakes that an error message names


def export_queue(questions: Iterable[Question], file: TextIO) -> int:
    """Write questions as CSV with an empty column for the decisions; return how many."""
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    count = 0
    for each in questions:
        best = [f"{value} ({probability:.0%})" for value, probability in each.best]
        row = {
            "product_id": each.stored.product.product_id,
            "axis": each.axis,
            "title": each.stored.product.title,
            "image": each.stored.views[0].location if each.stored.views else "",
            "now": each.now.value if each.now else "",
            "why": each.why,
            "proposal": each.best[0][0] if each.best else "",
            "confidence": f"{each.best[0][1]:.2f}" if each.best else "",
            "second": best[1] if len(best) > 1 else "",
            "third": best[2] if len(best) > 2 else "",
            "decision": "",
        }
        writer.writerow({name: quote_formula(text) for name, text in row.items()})
        count += 1
    return count


def read_decisions(path: Path, taxonomy: Taxonomy) -> list[Decision]:
    """Read people's decisions from a CSV.

    Either one row for each decision (``product_id``, ``axis``, ``decision``, as ``review export``
    writes it: a value, "ok" for the proposal, "none", "no" or "skip"), or one row for each product
    with a column ``category`` and one for each attribute. Empty cells decide nothing. A category
    may be given by its last name where that is unique. Raises LabelError naming the lines.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [(name or "").strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            read = _reader(path, columns, taxonomy)
            faults: list[str] = []
            found: list[Decision] = []
            for row in reader:
                cells = {
                    name: unquote_formula((text or "").strip())
                    for name, text in row.items()
                    if name and not isinstance(text, list)
                }
                try:
                    found += read(cells)
                except LabelError as error:
                    faults.append(f"line {reader.line_num}: {error}")
    except OSError as error:
        raise LabelError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"{path} is not a CSV in UTF-8 ({error}).") from error
    if faults:
        more = f"\n... and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise LabelError("\n".join(faults[:_NAMED]) + f"{more}\nNothing was changed.")
    if not found:
        raise LabelError(f"{path} decides nothing: fill in its column of decisions.")
    return found


def _reader(
    path: Path, columns: Sequence[str], taxonomy: Taxonomy
) -> Callable[[Mapping[str, str]], Iterator[Decision]]:
    """Return what reads one row, by the columns that there are."""
    axes = [name for name in columns if name == CATEGORY or name in taxonomy.axes]
    if "product_id" not in columns or not ("decision" in columns or axes):
        raise LabelError(
            f"{path} needs the columns product_id and decision, or product_id and {CATEGORY} "
            f"or an attribute ({', '.join(taxonomy.axes) or 'there are none'}); it has "
            f"{', '.join(columns) or 'none'}."
        )
    if "decision" in columns:
        return lambda cells: _answer(cells, taxonomy)

    def wide(cells: Mapping[str, str]) -> Iterator[Decision]:
        for axis in axes:
            if cells.get(axis):
                value = resolve(cells[axis], axis, taxonomy)
                yield Decision(cells["product_id"], axis, "set", value)

    return wide


def _answer(cells: Mapping[str, str], taxonomy: Taxonomy) -> Iterator[Decision]:
    """Read one row of ``export_queue`` with its decision."""
    text = cells.get("decision", "")
    axis = cells.get("axis") or CATEGORY
    product_id, proposal = cells.get("product_id", ""), cells.get("proposal", "")
    if not text:
        return
    word = text.casefold()
    if word in (*_RIGHT, _WRONG):
        if not proposal:
            raise LabelError(f'"{text}" needs a proposal in the row; write the value instead.')
        yield Decision(product_id, axis, "reject" if word == _WRONG else "set", proposal)
    elif word == _NOTHING_FITS:
        yield Decision(product_id, axis, "outside")
    elif word == _LATER:
        yield Decision(product_id, axis, "skip")
    else:
        yield Decision(product_id, axis, "set", resolve(text, axis, taxonomy))


def resolve(text: str, axis: str, taxonomy: Taxonomy) -> str:
    """Return the value that a person means: as written, or a category by its last names.

    Case does not matter. Raises LabelError where it means more than one; a value that the taxonomy
    does not have comes back as it is.
    """
    values = taxonomy.categories if axis == CATEGORY else taxonomy.axes.get(axis, ())
    if text in values:
        return text
    wanted = text.casefold()
    found = [value for value in values if value.casefold() == wanted]
    if axis == CATEGORY and not found:
        found = [path for path in values if path.casefold().endswith(SEPARATOR + wanted)]
    if len(found) > 1:
        raise LabelError(f'"{text}" may mean {" or ".join(found[:3])}; write the whole path.')
    return found[0] if found else text
