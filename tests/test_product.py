"""Products and category paths."""

from dataclasses import replace

import pytest

from index.product import Product, category_path


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        (("Kitchen > Mugs",), "Kitchen > Mugs"),
        (("Kitchen>Mugs ",), "Kitchen > Mugs"),
        (("Women", "Tops/Bras & Tanks"), "Women > Tops > Bras & Tanks"),
        (("Bags > Carry-on/Cabin",), "Bags > Carry-on/Cabin"),  # ">" present: "/" is in a name
        (("  Home   Decor ", ""), "Home Decor"),
        (("",), ""),
        (("> Kitchen >",), "Kitchen"),
    ],
)
def test_category_path(parts: tuple[str, ...], path: str) -> None:
    assert category_path(*parts) == path


def test_digest_tells_every_field() -> None:
    product = Product("a", "t", "d", "c", "b", 1.5, "EUR", "in stock", "u", {"x": "y"})
    changes = {
        "product_id": "b", "title": "", "description": "", "category": "", "brand": "",
        "price": None, "currency": "", "availability": "", "url": "", "attributes": {"x": "z"},
    }  # fmt: skip
    assert set(changes) == set(vars(product))
    for name, value in changes.items():
        assert replace(product, **{name: value}).digest() != product.digest(), name
    assert replace(product, attributes={"x": "y"}).digest() == product.digest()
