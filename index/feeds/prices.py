"""Prices as feeds write them: "19.99", "19.99 USD", "$19.99", "1.299,00 EUR"."""

from __future__ import annotations

import re

from index.feeds.texts import BadRow

SYMBOLS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR"}

# Spaces of every kind and apostrophes part thousands in some countries: 1 299,00 or 1'299.00.
_GROUPING = re.compile(r"[\s'’](?=[0-9]{3}(?![0-9]))")
_PRICE = re.compile(
    r"(?P<before>[A-Za-z]{3}|[$€£¥₹])?\s*"
    r"(?P<number>[0-9][0-9.,]*)\s*"
    r"(?P<after>[A-Za-z]{3}|[$€£¥₹])?"
)
_PLAIN = re.compile(r"[0-9]+(\.[0-9]+)?")
_THOUSANDS_COMMA = re.compile(r"[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]+)?")
_THOUSANDS_DOT = re.compile(r"[1-9][0-9]{0,2}(\.[0-9]{3})+,[0-9]+|[1-9][0-9]{0,2}(\.[0-9]{3}){2,}")
_DECIMAL_COMMA = re.compile(r"[0-9]+,[0-9]+")
_LONGEST = 40  # characters; longer than any price


def parse_price(text: str) -> tuple[float | None, str]:
    """Return the amount and the currency that the text names ("" where it names none).

    An empty text is no price: ``(None, "")``. A single dot always starts the decimals, as programs
    write it (``1.299`` is about one); a single comma does so unless exactly three digits follow
    (``19,99``, but ``1,299`` is over a thousand).

    Raises:
        BadRow: for anything else, negative, infinite and spelled-out prices included.
    """
    if not text:
        return None, ""
    if _PLAIN.fullmatch(text) and len(text) <= _LONGEST:  # nearly every row
        return float(text), ""
    match = _PRICE.fullmatch(_GROUPING.sub("", text)) if len(text) <= _LONGEST else None
    if match is None or (match["before"] and match["after"]):
        raise BadRow(f"bad price {text[:_LONGEST]!r}: write it like 19.99 or 19.99 USD")
    number = match["number"]
    if _THOUSANDS_COMMA.fullmatch(number):
        number = number.replace(",", "")
    elif _THOUSANDS_DOT.fullmatch(number):
        number = number.replace(".", "").replace(",", ".")
    elif _DECIMAL_COMMA.fullmatch(number):
        number = number.replace(",", ".")
    if not _PLAIN.fullmatch(number):
        raise BadRow(f"bad price {text[:_LONGEST]!r}: write it like 19.99 or 19.99 USD")
    unit = match["before"] or match["after"] or ""
    return float(number), SYMBOLS.get(unit, unit.upper())


def names_symbol(text: str) -> bool:
    """Tell whether the currency of a price is given by a sign, which several countries share."""
    return any(symbol in text for symbol in SYMBOLS)


def parse_currency(text: str) -> str:
    """Return a currency column's ISO 4217 code, upper case; "" for an empty text.

    Raises:
        BadRow: if it is neither three letters nor a known sign.
    """
    code = SYMBOLS.get(text, text.upper())
    if code and not re.fullmatch(r"[A-Z]{3}", code):
        raise BadRow(f"bad currency {text[:_LONGEST]!r}: write a three-letter code such as EUR")
    return code
