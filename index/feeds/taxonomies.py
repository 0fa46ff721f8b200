"""Taxonomy files: indented text, CSV, Google's product taxonomy and Shopify's, told by content."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from index.feeds.texts import quote_formula, unquote_formula
from vision.categories import MAX_DEPTH, SEPARATOR, ancestors, check_name
from vision.errors import TaxonomyError
from vision.taxonomy import Taxonomy

MAX_BYTES = 20_000_000
MAX_NODES = 200_000  # categories, and values of attributes

LAYOUTS = (
    "indented text (one category on a line, indented below its parent); a CSV with a column "
    '"category" or columns "level1", "level2", ..., and for attributes "attribute" and "value"; '
    "one path on a line as in Google's product taxonomy (with ids or without); Shopify's "
    "categories.txt and attribute_values.txt"
)

_COLUMNS = ("category", "id", "attribute", "value")
_LEVEL = re.compile(r"level[ _]?([1-9]\d?)")
_GOOGLE = re.compile(r"(\d+) - (.+)")
_SHOPIFY = "gid://shopify/Taxonomy"
_SHOPIFY_LINE = re.compile(r"(gid://shopify/Taxonomy(?:Category|Value)/\S+)\s*:\s(.+)")
_SHOPIFY_VALUE = re.compile(r"(.+) \[(.+)\]")

_Lines = list[tuple[int, str]]  # (number from 1, text) of what is neither blank nor a comment


def read_taxonomy(path: Path, attributes: Path | None = None) -> Taxonomy:
    """Read a taxonomy from a file, and its attributes from that or another one.

    Raises:
        TaxonomyError: naming file and line, if it cannot be read or is of no known layout.
    """
    found = _read(path)
    if not found.paths:
        hint = " Give it with --attributes, beside the file of categories." if found.axes else ""
        raise TaxonomyError(f"{path} holds no categories.{hint}")
    axes = found.axes
    if attributes is not None:
        other = _read(attributes)
        if other.paths or not other.axes:
            raise TaxonomyError(
                f'{attributes} is no list of attributes: write a CSV with the columns "attribute" '
                f'and "value" and nothing else, or take Shopify\'s attribute_values.txt.'
            )
        axes = axes | other.axes
    try:
        return Taxonomy(
            tuple(found.paths), found.ids, {name: tuple(values) for name, values in axes.items()}
        )
    except TaxonomyError as error:
        raise TaxonomyError(f"{path}: {error}") from error


def taxonomy_csv(taxonomy: Taxonomy) -> str:
    """Return a taxonomy as CSV that ``read_taxonomy`` reads back equal."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    for path in taxonomy.categories:
        writer.writerow(map(quote_formula, (path, taxonomy.ids.get(path, ""), "", "")))
    for name, values in taxonomy.axes.items():
        writer.writerows(map(quote_formula, ("", "", name, value)) for value in values)
    return file.getvalue()


def write_taxonomy(taxonomy: Taxonomy, path: Path) -> None:
    """Write a taxonomy as CSV that ``read_taxonomy`` reads back equal.

    Raises:
        TaxonomyError: if the file cannot be written.
    """
    try:
        path.write_bytes(taxonomy_csv(taxonomy).encode())
    except OSError as error:
        raise TaxonomyError(f"{path} cannot be written ({error.strerror}).") from error


class _Fault(Exception):
    """What is wrong with a line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


@dataclass
class _Found:
    """What a file says: paths, their ids, the values of attributes; and where, for messages."""

    paths: dict[str, None] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    axes: dict[str, dict[str, None]] = field(default_factory=dict)
    values: int = 0
    _lines: dict[str, int] = field(default_factory=dict)  # of the ids

    def add_path(self, line: int, names: Sequence[str], code: str = "") -> None:
        """Take in a category by its names from the top."""
        try:
            path = SEPARATOR.join(map(check_name, names))
        except TaxonomyError as error:
            raise _Fault(line, str(error)) from None
        if len(names) > MAX_DEPTH:
            raise _Fault(line, f"a category lies {len(names)} levels deep: at most {MAX_DEPTH}.")
        self.paths.update(dict.fromkeys(ancestors(path)))
        if len(self.paths) > MAX_NODES:
            raise _Fault(line, f"there are more than {MAX_NODES:,} categories: give fewer.")
        if not code:
            return
        if self.ids.setdefault(path, code) != code:
            raise _Fault(line, f'"{path}" has another id in line {self._lines[self.ids[path]]}.')
        if self._lines.setdefault(code, line) != line:
            first = self._lines[code]
            raise _Fault(line, f'the id "{code}" stands in line {first} already: give each one.')

    def add_value(self, line: int, name: str, value: str) -> None:
        """Take in one of the values that an attribute can have."""
        if not name or not value:
            raise _Fault(line, "an attribute needs a name and a value: fill both columns.")
        self.axes.setdefault(name, {})[value] = None
        self.values += 1
        if self.values > MAX_NODES:
            raise _Fault(line, f"there are more than {MAX_NODES:,} values: give fewer.")


def _read(path: Path) -> _Found:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise TaxonomyError(f"{path} cannot be read ({error.strerror}).") from error
    try:
        return _parse(_decoded(data), is_table=path.suffix.lower() in (".csv", ".tsv"))
    except _Fault as fault:
        where = f"{path}, line {fault.line}" if fault.line else str(path)
        raise TaxonomyError(f"{where}: {fault}") from fault


def _decoded(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _Fault(0, f"it is larger than {MAX_BYTES // 1_000_000} MB: give a smaller file.")
    if b"\0" in data:
        raise _Fault(0, f"it is not a text in UTF-8: save it as one. Readable are {LAYOUTS}.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _Fault(line, "not UTF-8: save the file as UTF-8.") from None


def _parse(text: str, *, is_table: bool) -> _Found:
    """Tell the layout by the first line that says something, and read it."""
    lines = [
        (number, line)
        for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise _Fault(0, "it is empty: write one category on a line.")
    number, first = lines[0]
    found = _Found()
    header = _header(first)
    if header is not None:
        _read_table(text, number, header, found)
    elif first.startswith(_SHOPIFY):
        _read_shopify(lines, found)
    elif _GOOGLE.fullmatch(first.strip()):
        _read_google(lines, found)
    elif is_table or first.lstrip()[0] in "{[<":
        raise _Fault(number, f"the layout is not known. Readable are {LAYOUTS}.")
    elif any(">" in line for _, line in lines):
        for number, line in lines:
            found.add_path(number, line.split(">"))
    else:
        _read_indented(lines, found)
    return found


def _header(line: str) -> tuple[str, list[str]] | None:
    """Return the delimiter and the columns of a CSV's first line, None if it is no such line."""
    for delimiter in ",;\t":
        with contextlib.suppress(csv.Error, StopIteration):
            cells = next(csv.reader([line], delimiter=delimiter))
            columns = [cell.strip().casefold() for cell in cells]
            levels = [column for column in columns if _LEVEL.fullmatch(column)]
            if "category" in columns or levels or {"attribute", "value"} <= set(columns):
                return delimiter, columns
    return None


def _read_table(text: str, start: int, header: tuple[str, list[str]], found: _Found) -> None:
    delimiter, columns = header
    levels = _levels(start, columns)
    for line, cells in _rows(text, start, delimiter):
        if len(cells) > len(columns):
            raise _Fault(
                line, f"has {len(cells)} fields where the header has {len(columns)}: quote texts "
                "that contain the separator.",
            )  # fmt: skip
        row = dict.fromkeys(columns, "") | dict(zip(columns, cells, strict=False))
        if levels:
            names = _filled(line, [row[level] for level in levels])
        else:
            names = row["category"].split(">") if row.get("category") else []
        if names:
            found.add_path(line, names, row.get("id", ""))
        elif row.get("id"):
            raise _Fault(line, "has an id but no category: fill in its path.")
        if row.get("attribute") or row.get("value"):
            found.add_value(line, row.get("attribute", ""), row.get("value", ""))


def _levels(start: int, columns: list[str]) -> list[str]:
    """Return the columns of the levels in order; refuse columns that cannot be understood."""
    numbers = {name: int(match[1]) for name in columns if (match := _LEVEL.fullmatch(name))}
    unknown = [name for name in columns if name not in (*_COLUMNS, *numbers)]
    if unknown or len(set(columns)) < len(columns):
        what = f'a column "{unknown[0]}" is not known' if unknown else "a column stands twice"
        names = ", ".join(_COLUMNS)
        raise _Fault(start, f"{what}: give {names}, and level1, level2, ... in place of category.")
    if numbers and ("category" in columns or sorted(numbers.values())[-1] != len(numbers)):
        raise _Fault(start, "give either category, or level1, level2, ... without a gap.")
    return sorted(numbers, key=lambda name: numbers[name])


def _rows(text: str, start: int, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows below the header with the lines where they end, cells trimmed."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            trimmed = [unquote_formula(cell).strip() for cell in cells]
            is_comment = cells[:1] and cells[0].lstrip().startswith("#") and len(cells) == 1
            if reader.line_num > start and any(trimmed) and not is_comment:
                yield reader.line_num, trimmed
    except csv.Error as error:
        raise _Fault(reader.line_num, f"bad CSV ({error}): put quotes right.") from None


def _filled(line: int, names: list[str]) -> list[str]:
    """Return the names of the levels, from the top to the deepest that is filled."""
    while names and not names[-1]:
        names = names[:-1]
    if "" in names:
        raise _Fault(line, f"level{names.index('') + 1} is empty but a deeper one is not: fill it.")
    return names


def _read_google(lines: _Lines, found: _Found) -> None:
    for number, line in lines:
        match = _GOOGLE.fullmatch(line.strip())
        if match is None:
            raise _Fault(number, 'is not "ID - Category > Category": take the whole file anew.')
        found.add_path(number, match[2].split(">"), match[1])


def _read_shopify(lines: _Lines, found: _Found) -> None:
    if lines[0][1].startswith(f"{_SHOPIFY}Attribute/"):
        raise _Fault(
            lines[0][0], "these are attributes without values: take attribute_values.txt, which "
            "stands beside it.",
        )  # fmt: skip
    for number, line in lines:
        match = _SHOPIFY_LINE.fullmatch(line.strip())
        value = match and _SHOPIFY_VALUE.fullmatch(match[2].strip())
        if match and match[1].startswith(f"{_SHOPIFY}Category/"):
            found.add_path(number, match[2].split(">"), match[1])
        elif value:
            found.add_value(number, value[2].strip(), value[1].strip())
        else:
            raise _Fault(
                number, 'is neither "gid://shopify/TaxonomyCategory/... : Category > Category" nor '
                '"gid://shopify/TaxonomyValue/... : Value [Attribute]": take the whole file anew.',
            )  # fmt: skip


def _read_indented(lines: _Lines, found: _Found) -> None:
    """Read one name on a line; the first indentation that is seen is that of one level."""
    unit = ""
    names: list[str] = []
    for number, line in lines:
        indent = line[: len(line) - len(line.lstrip())]
        unit = unit or indent
        depth = len(indent) // len(unit) if unit else 0
        if indent != unit * depth:
            what = "a tab" if unit == "\t" else f"{len(unit)} spaces"
            raise _Fault(number, f"is not indented as the lines above are: by {what} each level.")
        if depth > len(names):
            raise _Fault(number, "is indented by more than one level: name its parent above it.")
        names = [*names[:depth], line.strip()]
        found.add_path(number, names)
