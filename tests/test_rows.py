"""Rows: what the columns mean, and what a row may and may not say."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.feeds.columns import read_header
from index.feeds.prices import parse_price
from index.feeds.rows import JsonRowReader, Row, RowReader, split_images
from index.feeds.texts import BadRow, html_to_text, quote_formula, unquote_formula
from vision.errors import FeedError


def read(**cells: object) -> Row:
    return RowReader(list(cells)).read(list(cells.values()))


def test_own_columns_fill_every_field() -> None:
    row = read(
        product_id=" m-1 ",
        image_path="a.jpg | b/c d.jpg",
        title=" Mug ",
        description="Holds tea.",
        category="Kitchen > Mugs",
        subcategory="Big/Blue",
        brand="Brew & Co",
        price="1,299.00",
        currency="eur",
        availability="in stock",
        url="https://shop.example/m-1",
        attributes='{"colour": "blue", "n": 2, "x": 1.5, "ok": true, "l": ["a", 1], "no": null}',
        licence="CC0",
        empty="",
    )
    product = row.product
    assert (product.product_id, product.title, product.description) == ("m-1", "Mug", "Holds tea.")
    assert product.category == "Kitchen > Mugs > Big > Blue"
    assert (product.brand, product.price, product.currency) == ("Brew & Co", 1299.0, "EUR")
    assert (product.availability, product.url) == ("in stock", "https://shop.example/m-1")
    assert product.attributes == {
        "colour": "blue", "n": "2", "x": "1.5", "ok": "true", "l": "a, 1", "licence": "CC0",
    }  # fmt: skip
    assert row.images == ("a.jpg", "b/c d.jpg")


def test_a_column_wins_over_the_attribute_of_the_same_name() -> None:
    row = read(product_id="1", image="a.jpg", attributes='{"colour": "red", "s": 1}', colour="blue")
    assert row.product.attributes == {"colour": "blue", "s": "1"}


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("a.jpg", ["a.jpg"]),
        (" a.jpg| |b.jpg|", ["a.jpg", "b.jpg"]),
        ('["a.jpg", "b|c.jpg"]', ["a.jpg", "b|c.jpg"]),
        ("[1].jpg", ["[1].jpg"]),
        ("[front]", ["[front]"]),
        ("a,b.jpg", ["a,b.jpg"]),
        ("", []),
    ],
)
def test_images_of_a_cell(text: str, images: list[str]) -> None:
    assert split_images(text) == images


def test_the_same_image_twice_in_a_row_is_one() -> None:
    assert read(id="1", image="a.jpg|b.jpg|a.jpg", images='["b.jpg"]').images == ("a.jpg", "b.jpg")


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("", None, ""),
        ("0", 0.0, ""),
        ("19.99", 19.99, ""),
        ("19.99 USD", 19.99, "USD"),
        ("usd 19.99", 19.99, "USD"),
        ("$19.99", 19.99, "USD"),
        ("19,99", 19.99, ""),
        ("19,99 €", 19.99, "EUR"),
        ("1,299.00", 1299.0, ""),
        ("1,299", 1299.0, ""),
        ("1,299,000", 1_299_000.0, ""),
        ("1.299,00 EUR", 1299.0, "EUR"),
        ("1.299.000,50", 1_299_000.5, ""),
        ("1.299.000", 1_299_000.0, ""),
        ("1.299", 1.299, ""),
        ("0,299", 0.299, ""),
        ("1 299,00 SEK", 1299.0, "SEK"),
        ("1\u00a0299,00", 1299.0, ""),
        ("1'299.00 CHF", 1299.0, "CHF"),
    ],
)
def test_prices(text: str, amount: float | None, currency: str) -> None:
    assert parse_price(text) == (amount, currency)


@pytest.mark.parametrize(
    "text",
    [
        "-1", "-19.99 USD", "nan", "NaN USD", "inf", "-inf", "free", "1e5", "12 34", "1,23,456",
        "1..2", ".5.", "1,2,3", "$ 5 USD", "5 DOLLARS", "٣", "9" * 400, "19.99 USD USD", "1,299,00",
    ],
)  # fmt: skip
def test_bad_prices(text: str) -> None:
    with pytest.raises(BadRow, match="bad price"):
        parse_price(text)


def test_the_currency_column_and_the_price_must_agree() -> None:
    cells = {"product_id": "1", "image": "a.jpg"}
    assert read(**cells, price="$5", currency="CAD").product.currency == "CAD"  # $ is shared
    assert read(**cells, price="5 USD", currency="usd").product.currency == "USD"
    with pytest.raises(BadRow, match="price is in EUR"):
        read(**cells, price="5 EUR", currency="USD")
    with pytest.raises(BadRow, match="bad currency"):
        read(**cells, price="5", currency="Euro")


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"product_id": "  "}, "has no product_id"),
        ({"product_id": "x" * 513}, "513 characters"),
        ({"product_id": "a\nb"}, "control characters"),
        ({"product_id": "a\x85b"}, "control characters"),
        ({"title": "x" * 100_001}, "100,001 characters"),
        ({"title": "a\0b"}, "NUL"),
        ({"title": "a\udc80b"}, "half a character"),
        ({"attributes": "{"}, "not JSON"),
        ({"attributes": "[1]"}, "not a JSON object"),
        ({"attributes": '{"a": 1, "a": 2}'}, "not JSON"),
        ({"attributes": '{"a": NaN}'}, "not JSON"),
        ({"attributes": '{"a": 1e999}'}, "infinite"),
        ({"attributes": '{"a": "\\u0000"}'}, "NUL"),
        ({"attributes": '{"a": ' + "[" * 50_000 + "}"}, "not JSON"),
        ({"attributes": json.dumps({"x" * 201: 1})}, "too long names"),
        ({"category": "x" * 3000}, "category has"),
        ({"url": "javascript:alert(1)"}, "bad url"),
        ({"url": "JavaScript:alert(1)"}, "bad url"),
        ({"url": "data:text/html,x"}, "bad url"),
        ({"url": "java\nscript:alert(1)"}, "bad url"),
        ({"image_path": "[1, 2]"}, "not texts"),
        ({"image_path": "|".join(map(str, range(1001)))}, "1,001 pictures"),
    ],
)
def test_bad_rows(cells: dict[str, str], reason: str) -> None:
    with pytest.raises(BadRow, match=reason) as caught:
        read(**{"product_id": "p", "image_path": "a.jpg"} | cells)
    assert caught.value.product_id == ("" if "product_id" in cells else "p")


def test_limits_are_inclusive_and_unicode_ids_are_kept() -> None:
    assert read(product_id="ü" * 512, image="a.jpg").product.product_id == "ü" * 512
    assert len(read(product_id="茶/1", image="a.jpg", title="x" * 100_000).product.title) == 100_000


def test_a_row_may_be_shorter_than_the_header_but_not_longer() -> None:
    reader = RowReader(["id", "image", "title", "brand"])
    assert reader.read(["1", "a.jpg"]).product.brand == ""
    with pytest.raises(BadRow, match="has 5 fields where the header has 4"):
        reader.read(["1", "a.jpg", "t", "b", ""])


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ([f"c{n}" for n in range(10_000)], "10,000 columns"),
        (["id", "image", "title", "title"], "two columns named 'title'"),
        (["id", "ima\0ge"], "NUL"),
        (["id", "t\udce4tel"], "not UTF-8"),
        (["id", "x" * 201], "201 characters"),
    ],
)
def test_bad_headers(header: list[str], reason: str) -> None:
    with pytest.raises(FeedError, match=reason):
        read_header(header)


def test_missing_columns_are_named() -> None:
    assert read_header(["title", "image"]).missing() == ["product_id (or id, sku)"]
    assert len(read_header(["a", "b"]).missing()) == 2
    assert read_header(["SKU", "File Name"]).missing() == []


def test_an_id_is_never_taken_from_a_second_column() -> None:
    with pytest.raises(BadRow, match="no product_id"):
        read(product_id="", sku="5", image="a.jpg")
    assert read(id="1", sku="5", image="a.jpg").product.attributes == {"sku": "5"}


def test_a_column_without_a_name_becomes_an_attribute() -> None:
    row = RowReader(["id", "image", ""]).read(["1", "a.jpg", "x"])
    assert row.product.attributes == {"column 3": "x"}


def test_google_columns() -> None:
    row = read(
        **{
            "g:id": "TV-1",
            "title": "TV",
            "description": "Sharp.",
            "link": "https://shop.example/tv",
            "image_link": "tv.jpg",
            "additional image link": "tv2.jpg, tv3.jpg",
            "product_type": "Home > TVs",
            "google_product_category": "Electronics > Video > Televisions",
            "price": "199.00 GBP",
            "sale_price": "149.00 GBP",
            "availability": "in_stock",
            "brand": "Acme",
            "gtin": "4006381333931",
            "item_group_id": "TV",
        }
    )
    product = row.product
    assert (product.category, product.price, product.currency) == ("Home > TVs", 199.0, "GBP")
    assert (product.url, product.brand) == ("https://shop.example/tv", "Acme")
    assert row.images == ("tv.jpg", "tv2.jpg", "tv3.jpg")
    assert product.attributes == {
        "google_product_category": "Electronics > Video > Televisions",
        "sale_price": "149.00 GBP", "gtin": "4006381333931", "item_group_id": "TV",
    }  # fmt: skip


def test_google_category_stands_in_unless_it_is_a_number() -> None:
    cells = {"id": "1", "image_link": "a.jpg", "product_type": ""}
    assert read(**cells, google_product_category="A > B").product.category == "A > B"
    numbered = read(**cells, google_product_category="404").product
    assert (numbered.category, numbered.attributes) == ("", {"google_product_category": "404"})


SHOPIFY = ["Handle", "Title", "Body (HTML)", "Vendor", "Product Category", "Type", "Tags",
           "Option1 Name", "Option1 Value", "Variant SKU", "Variant Price", "Image Src",
           "Image Position", "Variant Image"]  # fmt: skip


def test_shopify_rows() -> None:
    reader = RowReader(SHOPIFY)
    first = reader.read(
        ["tee", "Tee", "<p>Soft &amp; <b>warm</b></p><script>x()</script><p>Yes</p>", "Acme",
         "Apparel > Shirts", "Shirt", "new, red", "Size", "S", "T-S", "9.50", "tee.jpg", "1", ""]
    )  # fmt: skip
    assert not first.continues
    assert first.product.description == "Soft & warm Yes"
    assert (first.product.category, first.product.price) == ("Apparel > Shirts", 9.5)
    assert first.product.attributes == {
        "Type": "Shirt", "Tags": "new, red", "Size": "S", "Variant SKU": "T-S",
    }  # fmt: skip
    more = reader.read(["tee", *[""] * 7, "M", "T-M", "10", "tee2.jpg", "2", "tee-m.jpg"])
    assert more.continues
    assert more.images == ("tee2.jpg", "tee-m.jpg")
    assert more.product.attributes == {"Size": "M"}
    plain = reader.read(["mug", "Mug", *[""] * 5, "Title", "Default Title", "", "", "mug.jpg"])
    assert plain.product.attributes == {}


def test_json_values() -> None:
    reader = JsonRowReader()
    row = reader.read(
        [{"product_id": 17, "images": ["a.jpg", "b.jpg"], "price": 19.99, "attributes": {"a": [1]}}]
    )
    assert (row.product.product_id, row.product.price) == ("17", 19.99)
    assert row.images == ("a.jpg", "b.jpg")
    assert row.product.attributes == {"a": "1"}
    other = reader.read(
        [{"image": None, "id": "2", "size": True, "title": None, "nested": {"a": 1}}]
    )
    assert other.images == ()
    assert other.product.attributes == {"size": "true", "nested": '{"a": 1}'}
    for bad in ({"title": "x"}, {"id": None}, {"id": "1", "images": [1]}, {"id": "1", "price": -1},
                {"id": "1", "price": True}, {f"c{n}": n for n in range(2000)}):  # fmt: skip
        with pytest.raises(BadRow):
            reader.read([bad])


def test_html_to_text() -> None:
    assert (
        html_to_text("a &lt;b&gt; 5 < 6<br>and <b x='1'>c</b>d<!-- no -->") == "a <b> 5 < 6 and cd"
    )
    assert html_to_text("x<![bad>y<?php ?>z") == "x y z"
    assert html_to_text("<style>p {}</style>x<script>alert('<p>')</script>y") == "x y"


@pytest.mark.parametrize("piece", ["<a ", "<!", "<!--", "</", "<![", "<a b='>", "<script>", "&#"])
def test_hostile_html_is_read_in_linear_time(piece: str) -> None:
    html_to_text(piece * 33_000)  # HTMLParser alone needs a minute for the first of them


@given(st.text() | st.text(alphabet="'=+-@\t\r\nab1", max_size=8))
def test_formulas_come_back_equal(text: str) -> None:
    quoted = quote_formula(text)
    assert unquote_formula(quoted) == text
    assert not quoted.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_ordinary_texts_are_not_quoted() -> None:
    for text in ("", "'", "'tis", "a=b", "5", "''", "ü"):
        assert quote_formula(text) == unquote_formula(text) == text
    assert quote_formula("=1+1") == "'=1+1"
    assert quote_formula("'=1") == "''=1"
