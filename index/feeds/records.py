"""The records of a feed file, one after the other and never more than one in memory.

A table (CSV, TSV) or JSON lines, in UTF-8 or in UTF-16 with its byte-order mark. A record that
cannot be read is handed out with the reason, and reading goes on after it.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from index.feeds.texts import loads_strictly, unquote_formula
from vision.errors import FeedError

MAX_LINE = 1 << 20  # characters of one line, and of one record
_RETRY_BUDGET = 32 << 20  # characters read a second time, in one feed

NOT_UTF8 = "not UTF-8: save the feed as UTF-8"
HOLDS_NUL = "holds NUL bytes: the file is damaged or not a text file"

_DELIMITERS = ",;\t"
_UNDECODED = re.compile(r"[\ud800-\udfff]")


class Record(NamedTuple):
    """One record: the physical line where it starts, its values, and what is wrong with it.

    ``values`` are the cells of a table's row, or one JSON value; with a ``fault`` they are not to
    be used.
    """

    line: int
    values: list[object]
    fault: str = ""


def read_records(raw: io.BufferedReader, *, is_json: bool) -> Generator[Record]:
    """Yield the records of a feed; of a table the header comes first.

    To be closed before ``raw`` is.

    Raises:
        FeedError: if the encoding is not a supported one, or a table has no header.
    """
    with _decoded(raw) as text:
        lines = _Lines(text)
        try:
            yield from _read_json_lines(lines) if is_json else _read_table(lines)
        except OSError as error:
            reason = f"the feed breaks off here ({error.strerror or error})"
            if lines.number == 0:
                raise FeedError(reason) from None
            yield Record(lines.number + 1, [], f"{reason}: the rows that follow are missing")


@contextmanager
def _decoded(raw: io.BufferedReader) -> Iterator[io.TextIOWrapper]:
    """Wrap the bytes in a text reader; bytes that do not fit become lone surrogates."""
    encoding, errors = "utf-8", "surrogateescape"
    try:
        mark = raw.peek(4)[:4]
    except OSError as error:
        raise FeedError(f"the feed cannot be read ({error.strerror or error})") from None
    if mark in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        raise FeedError("the feed is in UTF-32: save it as UTF-8")
    if mark[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        codecs.register_error(_MARK_UNDECODED, _mark_undecoded)
        encoding, errors = "utf-16", _MARK_UNDECODED
    elif mark[:3] == codecs.BOM_UTF8:
        encoding = "utf-8-sig"
    text = io.TextIOWrapper(raw, encoding, errors, newline="")
    try:
        yield text
    finally:
        text.detach()  # the bytes are the caller's to close


# "surrogateescape" keeps single bytes, and half a UTF-16 unit may be an ASCII one: it would raise.
_MARK_UNDECODED = "findalike.mark"


def _mark_undecoded(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end


class _TooLong(Exception):
    """A line or a record that is longer than any honest one."""


class _Lines:
    """The physical lines of a feed: counted, bounded, and looked over for what may not be there.

    ``number`` is that of the line handed out last, ``start`` that of the record's first line, and
    ``fault`` what is wrong with the record so far.
    """

    def __init__(self, text: io.TextIOWrapper) -> None:
        self.number = 0
        self.start = 1
        self.fault = ""
        self._text = text
        self._record: list[str] = []  # the lines of the record being read
        self._length = 0
        self._again: deque[str] = deque()  # lines to hand out once more
        self._budget = _RETRY_BUDGET

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._text.readline(MAX_LINE + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > MAX_LINE:
            while line and not line.endswith(("\n", "\r")):
                line = self._text.readline(MAX_LINE)
            raise _TooLong(f"line {self.number} is longer than {MAX_LINE:,} characters")
        self._record.append(line)
        self._length += len(line)
        if self._length > MAX_LINE:
            raise _TooLong("a quote opened in this row is not closed where the row should end")
        if "\0" in line:
            self.fault = HOLDS_NUL
        elif not line.isascii() and _UNDECODED.search(line):
            self.fault = NOT_UTF8
        return line

    def begin(self) -> None:
        """Start a new record with the next line."""
        self.start = self.number + 1
        self.fault = ""
        self._record.clear()
        self._length = 0

    def give_back(self) -> bool:
        """Hand out all lines of the record but the first once more; False if there are none.

        Only so often: a feed made of nothing but open quotes would be read for ever.
        """
        rest = self._record[1:]
        length = sum(map(len, rest))
        if not rest or length > self._budget:
            return False
        self._budget -= length
        self._again.extendleft(reversed(rest))
        self.number -= len(rest)
        return True


def _read_table(lines: _Lines) -> Iterator[Record]:
    lines_and_header = _find_header(lines)
    if lines_and_header is None:
        raise FeedError("the feed is empty: its first line must name the columns")
    header, delimiter = lines_and_header
    yield header
    # Strict: a quote that is out of place would otherwise move texts to other columns in silence.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _TooLong) as error:
            first, last = lines.start, lines.number
            reason = _explain(error)
            # A quote left open swallows rows that are good: they get a second chance.
            if not lines.give_back() and last > first:
                reason += f"; the lines up to {last} are passed over with it"
            yield Record(first, [], reason)
            continue
        if cells:
            yield Record(lines.start, [unquote_formula(cell) for cell in cells], lines.fault)


def _find_header(lines: _Lines) -> tuple[Record, str] | None:
    """Return the first row that is not blank, and the delimiter that divides it best."""
    try:
        for line in lines:
            if not line.strip():
                lines.begin()
                continue
            rows = {sign: next(csv.reader([line], delimiter=sign)) for sign in _DELIMITERS}
            delimiter = max(_DELIMITERS, key=lambda sign: len(rows[sign]))
            return Record(lines.number, list(rows[delimiter])), delimiter
    except (csv.Error, _TooLong) as error:
        raise FeedError(f"the header line cannot be read: {_explain(error)}") from None
    return None


def _explain(error: Exception) -> str:
    text = str(error)
    if isinstance(error, _TooLong):
        return text
    if "unexpected end" in text:
        return "a quote opened in this row is never closed"
    if "field larger" in text:
        return (
            f"holds a text of more than {csv.field_size_limit():,} characters, or a quote that is "
            "never closed"
        )
    return 'a quote stands inside a quoted text: write it twice ("")'


def _read_json_lines(lines: _Lines) -> Iterator[Record]:
    while True:
        lines.begin()
        try:
            line = next(lines)
        except StopIteration:
            return
        except _TooLong as error:
            yield Record(lines.start, [], str(error))
            continue
        if lines.fault:
            yield Record(lines.start, [], lines.fault)
        elif line.strip():
            yield _parse(lines.start, line)


def _parse(number: int, line: str) -> Record:
    try:
        value = loads_strictly(line)
    except RecursionError:
        return Record(number, [], "is nested too deeply: write plain values")
    except ValueError as error:
        return Record(number, [], f"bad JSON: {error}"[:200])
    if not isinstance(value, dict):
        return Record(number, [], "is not a JSON object: write one {...} on each line")
    return Record(number, [value])
