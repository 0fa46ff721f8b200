"""The texts in the cells of a feed: read, cleaned, and guarded against spreadsheets."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

MAX_TEXT = 100_000  # characters of one text

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_QUOTED_FORMULA = re.compile(r"'+[=+\-@\t\r]")


class BadRow(Exception):
    """Why a row is passed over, in words for the person who made the feed."""

    def __init__(self, reason: str, product_id: str = "") -> None:
        super().__init__(reason)
        self.product_id = product_id


def to_text(value: object) -> str:
    """Return a cell as trimmed text; numbers, true and false as JSON writes them, null as "".

    Raises:
        BadRow: if the text is too long, or holds what cannot be stored.
    """
    if isinstance(value, str):
        text = value.strip()
    elif value is None:
        return ""
    elif isinstance(value, list):
        text = ", ".join(filter(None, map(to_text, value)))
    else:
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        except ValueError:
            raise BadRow("holds a number that is infinite or not a number") from None
    if len(text) > MAX_TEXT:
        raise BadRow(f"holds a text of {len(text):,} characters: at most {MAX_TEXT:,} are kept")
    if "\0" in text:
        raise BadRow("holds NUL characters: remove them")
    if not text.isascii() and _SURROGATE.search(text):
        raise BadRow("holds half a character (a lone surrogate): write the text as UTF-8")
    return text


def loads_strictly(text: str) -> object:
    """Parse JSON as the standard has it: no NaN, no infinity, no name twice.

    Raises:
        ValueError: if it is not that.
        RecursionError: if it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_constant)


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON value")


def quote_formula(text: str) -> str:
    """Return the text so that no spreadsheet takes it for a formula; for tables we export."""
    return f"'{text}" if _FORMULA.match(text) else text


def unquote_formula(text: str) -> str:
    """Undo ``quote_formula``; every text comes back as it was."""
    return text[1:] if text[:1] == "'" and _QUOTED_FORMULA.match(text) else text


def html_to_text(html: str) -> str:
    """Return what a person reads of a piece of HTML, on one line."""
    # HTMLParser needs quadratic time for tags that never end (a minute for 100 kB): it gets to
    # see complete tags only.
    html = re.sub(r"<[!?][^<>]*>", " ", html)
    reader = _TextReader()
    reader.feed(re.sub(r"<(?![^<>]*>)", "&lt;", html))
    reader.close()
    return " ".join("".join(reader.pieces).split())


class _TextReader(HTMLParser):
    """Collects the text between the tags, without scripts and style sheets."""

    _INLINE = frozenset({"a", "abbr", "b", "em", "font", "i", "s", "small", "span", "strong",
                         "sub", "sup", "u"})  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._hidden = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._hidden = tag
        if tag not in self._INLINE:
            self.pieces.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = ""
        if tag not in self._INLINE:
            self.pieces.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(data)
