"""How products are written on pages: prices, fields and categories in the page's language."""

from __future__ import annotations

from functools import lru_cache

from babel.numbers import format_currency, format_decimal
from flask import Blueprint
from flask_babel import get_locale, gettext

from index.product import Product
from vision.categories import SEPARATOR


def register(blueprint: Blueprint) -> None:
    """Let all templates of the app write in these ways."""
    for each in (price, label, value):
        blueprint.add_app_template_filter(each)
    blueprint.add_app_template_global(category_levels)


def category_levels(category: str) -> list[tuple[str, str]]:
    """Return the names of a category's levels with their paths, from the top."""
    names = category.split(SEPARATOR) if category else []
    return [(name, SEPARATOR.join(names[: at + 1])) for at, name in enumerate(names)]


def price(product: Product) -> str:
    """Return a product's price as the language writes it, "" where it has none."""
    if product.price is None:
        return ""
    return _price(product.price, product.currency, str(get_locale()))


@lru_cache(10_000)
def _price(amount: float, currency: str, locale: str) -> str:
    """Return an amount as a language writes it; a page has two dozen, many of them again."""
    if not currency:
        return str(format_decimal(amount, "#,##0.00", locale=locale))
    return str(format_currency(amount, currency, locale=locale))


def label(name: str) -> str:
    """Return the name of a field for people: "second_colour" is "Second colour"."""
    words = name.replace("_", " ").strip()
    return str(gettext(words[:1].upper() + words[1:]))


def value(text: str) -> str:
    """Return a value for people where it is one of findalike's own words, else as it is."""
    return str(gettext(text)) if text in ("in stock", "out of stock", "preorder") else text
