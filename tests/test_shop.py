"""The shopper's pages: searching by photo, words and product, narrowing down, sharing."""

from __future__ import annotations

import base64
import html
import io
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.datastructures import MultiDict

from index.catalogue import Catalogue
from index.query import Query
from index.search.facets import browse, count_facets
from index.search.parts import Parted
from vision.errors import QueryError
from vision.images import Region, read_image
from webapp.services import Config
from webapp.shop.photos import KeptPhotos
from webapp.shop.searches import Search, read_search

FETCH = {"X-Requested-With": "fetch"}


OpenApp = Callable[..., Flask]


@pytest.fixture
def app(catalogue: Catalogue, open_app: OpenApp) -> Flask:
    return open_app(catalogue, Config(searches_per_minute=0))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def photo(number: int, **fields: object) -> dict[str, object]:
    """Return form fields with the picture of product p{number}, as a phone would send it."""
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "PhoneMaker"
    exif.get_ifd(0x8825)[1] = "N"
    tiny.draw(number).save(file, "JPEG", quality=95, exif=exif)
    return {"photo": (io.BytesIO(file.getvalue()), "IMG_1.jpg"), **fields}


def names(page: str) -> list[str]:
    return [html.unescape(each) for each in re.findall(r'class="name">([^<]*)<', page)]


def verdict(page: str) -> str:
    (found,) = re.findall(r'id="verdict"[^>]*>([^<]*)<', page)
    return html.unescape(found)


# --- asking -------------------------------------------------------------------------------------


def test_the_start_page_shows_products_and_categories(client: FlaskClient) -> None:
    page = client.get("/").text
    assert len(names(page)) == 12
    assert 'capture="environment"' in page
    assert re.search(r'category=Kitchen">Kitchen <span class="n">16<', page)


def test_a_photo_finds_its_product(client: FlaskClient) -> None:
    response = client.post("/", data=photo(7), headers=FETCH)
    assert names(response.text)[0] == "Product 7"
    assert verdict(response.text) in ("This is it", "Similar products")
    assert "<html" not in response.text
    assert "X-Address" not in response.headers  # a photo that is not kept has none
    assert "no-store" in response.headers["Cache-Control"]


def test_the_verdict_in_plain_words(client: FlaskClient) -> None:
    file = io.BytesIO()
    tiny.draw(7).save(file, "PNG", compress_level=1)  # the very file that was added
    data = {"photo": (io.BytesIO(file.getvalue()), "a.png")}
    page = client.post("/", data=data).text
    assert verdict(page) == "This is it"
    assert len(re.findall(r'class="badge">This is it', page)) == 1


def test_without_script_the_page_carries_the_photo(client: FlaskClient) -> None:
    page = client.post("/", data=photo(7)).text
    assert "<html" in page
    (carried,) = re.findall(r'name="photo64" value="([^"]+)"', page)
    again = client.post("/", data={"photo64": carried, "brand": "Bolt"}).text
    assert names(again)[0] == "Product 7"
    assert len(names(again)) == 12
    part = client.post("/", data={"photo64": carried, "part": "centre"}).text
    assert 'name="region" value="0.2,0.2,0.6,0.6"' in part


def test_words_alone_and_with_a_photo(client: FlaskClient) -> None:
    response = client.get("/?words=red", headers=FETCH)
    assert verdict(response.text) == "Results for “red”"
    assert response.headers["X-Address"] == "/?words=red"
    assert names(client.post("/", data=photo(7, words="blue")).text)
    assert "too many words" in client.get("/?words=" + "a+" * 150).text


def test_a_part_of_the_photo(client: FlaskClient) -> None:
    both = Image.new("RGB", (144, 72))
    both.paste(tiny.draw(5), (0, 0))
    both.paste(tiny.draw(8), (72, 0))
    file = io.BytesIO()
    both.save(file, "PNG")
    for region, product in (("0,0,0.5,1", "Product 5"), ("0.5,0,0.5,1", "Product 8")):
        data = {"photo": (io.BytesIO(file.getvalue()), "a.png"), "region": region}
        assert names(client.post("/", data=data).text)[0] == product
    wrong = client.post("/", data=photo(1, region="0,0,2,2"))
    assert (wrong.status_code, "outside" in wrong.text) == (400, True)


def in_a_corner(number: int) -> dict[str, object]:
    """Return form fields with a photo that shows a product small in a quiet scene."""
    scene = Image.new("RGB", (400, 400), (150, 150, 150))
    scene.paste(tiny.draw(number, side=150), (30, 220))
    file = io.BytesIO()
    scene.save(file, "PNG")
    return {"photo": (io.BytesIO(file.getvalue()), "a.png")}


def parts(page: str) -> dict[str, bool]:
    """Return the parts that a page offers, and which is chosen."""
    found = re.findall(r'name="pick" value="([^"]+)" aria-pressed="(\w+)"', page)
    return {region: chosen == "true" for region, chosen in found}


def test_parts_of_the_photo_are_offered(client: FlaskClient) -> None:
    page = client.post("/", data=in_a_corner(7)).text
    offered = parts(page)
    assert next(iter(offered)) == "0,0,1,1"
    assert 2 <= len(offered) <= 4
    assert sum(offered.values()) == 1
    assert len(re.findall(r'<img src="data:image/jpeg;base64,', page)) == len(offered)
    answers = {}
    for region in offered:
        again = client.post("/", data=in_a_corner(7) | {"pick": region, "region": "0,0,0.5,1"}).text
        assert parts(again) == {each: each == region for each in offered}
        assert f'data-region="{region}"' in again
        answers[region] = names(again)[0]
    assert "Product 7" in answers.values()


def test_the_shop_looks_at_a_part_by_itself(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = Region(0.1, 0.5, 0.4, 0.4)

    def parted(query: Query) -> Parted:
        answer = app.extensions["findalike"].catalogue.search(replace(query, region=chosen))
        return Parted(replace(answer, verdict="similar"), chosen, (chosen,))

    monkeypatch.setattr(app.extensions["findalike"], "search_parts", parted)
    page = client.post("/", data=in_a_corner(7)).text
    assert "We looked at this part" in page
    assert parts(page) == {"0,0,1,1": False, "0.1,0.5,0.4,0.4": True}
    assert 'name="region" value="0.1,0.5,0.4,0.4"' in page
    shared = client.post("/", data=in_a_corner(7) | {"share": "1"}).text
    assert "region=0.1,0.5,0.4,0.4" in shared.replace("%2C", ",")
    whole = client.post("/", data=in_a_corner(7) | {"region": "0,0,1,1"}).text
    assert "We looked at this part" not in whole


def test_the_same_file_is_exact_even_where_the_whole_was_asked_for(client: FlaskClient) -> None:
    file = io.BytesIO()
    tiny.draw(7).save(file, "PNG", compress_level=1)
    data = {"photo": (io.BytesIO(file.getvalue()), "a.png"), "pick": "0,0,1,1"}
    assert verdict(client.post("/", data=data).text) == "This is it"


def test_turning_the_photo_without_script(client: FlaskClient) -> None:
    sideways = tiny.draw(7, side=200).transpose(Image.Transpose.ROTATE_90)
    file = io.BytesIO()
    sideways.save(file, "PNG")
    page = client.post("/", data={"photo": (io.BytesIO(file.getvalue()), "a.png")}).text
    (carried,) = re.findall(r'name="photo64" value="([^"]+)"', page)
    turned = client.post(
        "/", data={"photo64": carried, "turn": "right", "region": "0,0,0.5,1"}
    ).text
    assert names(turned)[0] == "Product 7"
    (upright,) = re.findall(r'name="photo64" value="([^"]+)"', turned)
    with Image.open(io.BytesIO(base64.b64decode(upright))) as shown:
        difference = np.abs(np.asarray(shown, int) - np.asarray(tiny.draw(7, side=200), int))
    assert difference.mean() < 8  # what the page carries on is the turned one
    back = client.post("/", data={"photo64": upright, "turn": "left"}).text
    assert names(back)[0] == names(page)[0]


def test_a_photo_is_turned_to_where_it_finds_most(client: FlaskClient) -> None:
    for quarters, transpose in ((1, Image.Transpose.ROTATE_90), (3, Image.Transpose.ROTATE_270)):
        file = io.BytesIO()
        tiny.draw(5, side=200).transpose(transpose).save(file, "PNG")
        data = {"photo": (io.BytesIO(file.getvalue()), "a.png")}
        assert "Turn it for me" in client.post("/", data=data).text
        data = {"photo": (io.BytesIO(file.getvalue()), "a.png"), "turn": "upright"}
        page = client.post("/", data=data).text
        assert (names(page)[0], f'data-turned="{quarters}"' in page) == ("Product 5", True)
        assert "Turn it for me" not in page
    page = client.post("/", data=photo(9, turn="upright")).text  # it is upright
    assert "data-turned" not in page
    assert ("It stays as it is" in page) or verdict(page) == "This is it"
    assert client.post("/", data={"turn": "upright", "words": "red"}).status_code == 200


def test_what_was_asked_is_taken_away_bit_by_bit(client: FlaskClient) -> None:
    asked = {
        "words": "red", "brand": ["Acme", "Bolt"], "a.colour": "red", "category": "Kitchen > Mugs",
        "least": "1", "most": "20",
    }  # fmt: skip
    page = client.post("/", data=photo(6) | asked).text
    drops = [html.unescape(each) for each in re.findall(r'name="drop" value="([^"]+)"', page)]
    assert sorted(drops) == sorted(
        ["photo", "words", "category", "brand=Acme", "brand=Bolt", "a.colour=red", "price"]
    )
    before = read_search(MultiDict(asked))
    for what in drops:
        search = read_search(MultiDict(asked | {"drop": what}))
        assert len(before.fields()) - len(search.fields()) == {"price": 2, "photo": 0}.get(what, 1)
        assert search == before.without(what)
    page = client.post("/", data=photo(6) | {"words": "red", "drop": "photo"}).text
    assert verdict(page) == "Results for “red”" and "photo64" not in page


def test_nothing_to_look_for_is_told(client: FlaskClient) -> None:
    assert "Choose a photo, or type" in client.post("/", data={"go": "1"}).text
    assert "Choose a photo, or type" not in client.post("/", data={"go": "1"} | photo(7)).text
    assert "Choose a photo, or type" not in client.get("/").text
    answer = client.get("/?words=not+leather")
    assert (answer.status_code, "Say what to look for, too" in answer.text) == (400, True)
    assert client.post("/", data={"words": "not blue"} | photo(7)).status_code == 200


def test_filters_do_not_say_that_the_shop_has_nothing(client: FlaskClient) -> None:
    for number, said in (
        (87, ["Similar products", "Not with these filters"]),
        (107, ["We do not seem to have this"] * 2),
    ):
        for brand, expected in zip(("", "Acme"), said, strict=True):
            page = client.post("/", data=photo(number, brand=brand, region="0,0,1,1")).text
            assert verdict(page) == expected


def test_words_that_describe_nothing_are_told(client: FlaskClient) -> None:
    assert "is described by “zzz”" in html.unescape(client.get("/?words=red+zzz").text)
    assert "is described by" not in client.get("/?words=red").text


def test_the_enter_key_searches(client: FlaskClient) -> None:
    page = client.get("/").text
    form = page[page.index('<form id="search"') :]
    first_button = re.findall(r"<button[^>]*>", form)[0]
    assert re.fullmatch("<button [^>]*hidden>", first_button) and "drop" not in first_button


def test_more_like_this(client: FlaskClient) -> None:
    page = client.get("/?like=p7").text
    assert verdict(page) == "More like Product 7"
    assert "Product 7" not in names(page)
    gone = client.get("/?like=nothing")
    assert (gone.status_code, "There is no product" in gone.text) == (400, True)
    assert client.get("/?like=p7&words=red").status_code == 200


def test_hints_come_where_the_photo_is_the_trouble(client: FlaskClient) -> None:
    file = io.BytesIO()
    Image.new("RGB", (300, 300), (12, 12, 12)).save(file, "PNG")
    page = client.post("/", data={"photo": (file := io.BytesIO(file.getvalue()), "a.png")}).text
    assert ("very dark" in page) == (verdict(page) != "This is it")


# --- narrowing down -----------------------------------------------------------------------------


def test_filters_and_their_counts(client: FlaskClient, catalogue: Catalogue) -> None:
    page = client.get("/?category=Kitchen&brand=Acme&most=10").text
    rows = [tiny.product_row(n) for n in range(24)]
    fits = {
        row["title"]
        for row in rows
        if row["category"].startswith("Kitchen")
        and row["brand"] == "Acme"
        and float(row["price"]) <= 10
    }
    assert set(names(page)) == fits
    assert verdict(page) == f"{len(fits)} products"
    with catalogue.reading() as table:
        facets = count_facets(table, ["category=Kitchen", "brand=Acme"])
    by_field = {facet.field: dict(facet.counts) for facet in facets.fields}
    kitchen = [row for row in rows if row["category"].startswith("Kitchen")]
    assert facets.products == sum(row["brand"] == "Acme" for row in kitchen)
    # Another brand would bring what it has in the kitchen, whatever brand is chosen now.
    assert by_field["brand"] == {
        name: sum(row["brand"] == name for row in kitchen) for name in ("Acme", "Bolt")
    }
    acme = [row for row in kitchen if row["brand"] == "Acme"]
    assert sum(by_field["colour"].values()) == len(acme)
    assert dict(facets.categories.counts) == {
        path: sum(row["category"] == path for row in acme)
        for path in ("Kitchen > Mugs", "Kitchen > Bowls")
    }
    assert facets.prices == (
        min(float(row["price"]) for row in acme),
        max(float(row["price"]) for row in acme),
    )
    assert facets.currency == "EUR"


def test_a_photo_with_a_filter_and_in_order_of_price(client: FlaskClient) -> None:
    page = client.post("/", data=photo(7, **{"a.colour": ["red", "blue"], "order": "price"})).text
    expected = [n for n in range(24) if tiny.product_row(n)["colour"] in ("red", "blue")]
    assert names(page) == [f"Product {n}" for n in expected]
    assert re.search(r'value="red"[^>]* checked', page)
    descending = client.get("/?order=-price&brand=Acme").text
    assert names(descending)[:2] == ["Product 22", "Product 20"]


def test_clearing_and_showing_more(client: FlaskClient, catalogue: Catalogue) -> None:
    page = client.post("/", data=photo(7, brand="Acme", clear="1")).text
    assert len(names(page)) == 24
    with catalogue.reading() as table:
        assert len(browse(table, [], limit=5)) == 5
        assert browse(table, [], limit=24) == browse(table, [], limit=24)


def test_values_that_conditions_cannot_say_are_no_choice(
    catalogue: Catalogue, tmp_path: Path, open_app: OpenApp
) -> None:
    tiny.write_photos(tmp_path, 2, 50)
    feed = tmp_path / "odd.csv"
    feed.write_text(
        "product_id,image_path,title,brand,a<b,code\n"
        "o1,00050.png,<b>Bold</b>,A|B,x,1\no2,00051.png,Two,C=D,y,2\n"
    )
    catalogue.add([feed])
    with catalogue.reading() as table:
        facets = count_facets(table, [])
    fields = {facet.field: dict(facet.counts) for facet in facets.fields}
    assert set(fields["brand"]) == {"Acme", "Bolt"}
    assert "a<b" not in fields
    page = open_app(catalogue).test_client().get("/product?id=o1").text
    assert "<b>Bold" not in page


def test_nothing_fits(client: FlaskClient) -> None:
    page = client.post("/", data=photo(7, least="1000")).text
    assert verdict(page) == "Nothing fits"
    assert "Take one away" in page


def test_an_empty_catalogue(tiny_encoder: object, tmp_path: Path, open_app: OpenApp) -> None:
    with Catalogue.open(tmp_path / "new", create=True) as empty:
        client = open_app(empty).test_client()
        for page in (client.get("/").text, client.post("/", data=photo(1)).text):
            assert "There are no products here yet" in page


def test_a_search_is_read_and_written_again() -> None:
    values = MultiDict(
        [("words", "  mug,   not blue "), ("category", "Kitchen"), ("brand", "A"), ("brand", "B"),
         ("a.colour", "red"), ("least", "1,5"), ("order", "price"), ("region", "0.1,0.2,0.3,0.4")]
    )  # fmt: skip
    search = read_search(values)
    assert search.words_parts == ("mug", "blue")
    assert search.where == ("category=Kitchen", "brand=A|B", "colour=red", "price>=1.5")
    assert search.region == Region(0.1, 0.2, 0.3, 0.4)
    assert read_search(MultiDict(search.fields())) == search
    assert read_search(MultiDict({"words": "茶杯 不要 蓝色"})).words_parts == ("茶杯", "蓝色")
    assert read_search(MultiDict({"words": "knot board"})).words_parts == ("knot board", "")
    assert read_search(MultiDict()) == Search()
    for wrong in ({"region": "1,2"}, {"least": "cheap"}, {"most": "-1"}, {"region": "0,0,0,0"}):
        with pytest.raises(QueryError):
            read_search(MultiDict(wrong))


# --- sharing ------------------------------------------------------------------------------------


def shared(client: FlaskClient, number: int = 7) -> str:
    page = client.post("/", data=photo(number, share="1", brand="Bolt")).text
    (address,) = re.findall(r'id="address" readonly value="http://localhost([^"]+)"', page)
    return html.unescape(address)


def test_a_photo_is_kept_only_when_asked(client: FlaskClient, catalogue: Catalogue) -> None:
    before = {path: path.stat().st_mtime for path in catalogue.path.rglob("*")}
    client.post("/", data=photo(7))
    assert {path: path.stat().st_mtime for path in catalogue.path.rglob("*")} == before
    shared(client)
    assert len(list((catalogue.path / "photos").iterdir())) == 1


def test_a_shared_search_can_be_opened_by_another(app: Flask) -> None:
    address = shared(app.test_client())
    page = app.test_client().get(address).text
    assert names(page)[0] == "Product 7"
    assert re.search(r'value="Bolt"[^>]* checked', page)
    token = re.findall(r"kept=([\w-]+)", address)[0]
    again = app.test_client().post("/", data={"kept": token, "share": "1"}).text
    assert f"kept={token}" in again  # not kept a second time
    assert len(token) >= 22  # 128 bits
    other = address.replace(token, token[:-1] + ("A" if token[-1] != "A" else "B"))
    response = app.test_client().get(other)
    assert (response.status_code, "no longer kept" in response.text) == (400, True)


def test_what_is_kept_is_private_and_without_metadata(
    client: FlaskClient, catalogue: Catalogue
) -> None:
    address = shared(client)
    (path,) = (catalogue.path / "photos").iterdir()
    data = path.read_bytes()
    assert b"PhoneMaker" not in data
    assert b"Exif" not in data
    assert path.name.partition(".")[0] not in address
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def test_a_shared_photo_is_gone_in_time(client: FlaskClient, catalogue: Catalogue) -> None:
    address = shared(client)
    (path,) = (catalogue.path / "photos").iterdir()
    old = time.time() - 25 * 3600
    os.utime(path, (old, old))
    assert client.get(address).status_code == 400
    assert not path.exists()
    shared(client)
    (path,) = (catalogue.path / "photos").iterdir()
    os.utime(path, (old, old))
    shared(client, 8)  # sweeps
    assert not path.exists()


def test_kept_photos_go_without_anybody_asking(catalogue: Catalogue) -> None:
    kept = KeptPhotos(catalogue.path / "photos", hours=0.5 / 3600)
    kept.start()
    try:
        token = kept.keep(read_image(tiny.write_photos(catalogue.path / "x", 1, 7)[0]))
        assert kept.get(token) is not None
        end = time.monotonic() + 10
        while list((catalogue.path / "photos").iterdir()):
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        kept.close()


# --- products and pictures ----------------------------------------------------------------------


def test_a_product_has_its_page(client: FlaskClient) -> None:
    page = client.get("/product?id=p13").text
    assert len(re.findall(r'<img src="/pictures/[0-9a-f]{64}.jpg" alt="Product 13', page)) == 2
    assert "€13.99" in page
    assert tiny.product_row(13)["colour"] in page
    assert len(names(page)) == 12
    assert "Product 13" not in names(page)


def test_odd_ids_and_links(
    catalogue: Catalogue, open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write_photos(tmp_path, 2, 60)
    (tmp_path / "links.csv").write_text(
        "product_id,image_path,link\na/../b,00060.png,\nb?x=1&y,00061.png,https://shop.example/b\n"
    )
    catalogue.add([tmp_path / "links.csv"])
    app = open_app(catalogue)
    assert app.test_client().get("/product", query_string={"id": "a/../b"}).status_code == 200
    page = app.test_client().get("/product", query_string={"id": "b?x=1&y"})
    assert 'href="https://shop.example/b"' in page.text
    # Feeds refuse such an address; pages do not count on it.
    services = app.extensions["findalike"]
    stored = services.product("a/../b")
    evil = replace(stored, product=replace(stored.product, url="javascript:alert(1)"))
    monkeypatch.setattr(services, "product", lambda _: evil)
    page = app.test_client().get("/product", query_string={"id": "a/../b"})
    assert page.status_code == 200
    assert "javascript" not in page.text


def test_pictures_are_kept_by_browsers(client: FlaskClient) -> None:
    address = re.findall(r"/pictures/[0-9a-f]{64}.jpg", client.get("/").text)[0]
    response = client.get(address)
    assert response.mimetype == "image/jpeg"
    assert "immutable" in response.headers["Cache-Control"]
    again = client.get(address, headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_examples_are_one_click_away(
    catalogue: Catalogue, tmp_path: Path, open_app: OpenApp
) -> None:
    (path,) = tiny.write_photos(tmp_path / "ask", 1, 7)
    client = open_app(catalogue, Config(examples=(path,))).test_client()
    page = client.get("/").text
    assert 'href="/?example=1"' in page
    assert client.get("/examples/1.jpg").mimetype == "image/jpeg"
    assert client.get("/examples/2.jpg").status_code == 404
    assert names(client.get("/?example=1").text)[0] == "Product 7"
    assert client.get("/?example=2").status_code == 404


def panel(page: str) -> str:
    (found,) = re.findall(r'<details id="refine".*?(?=<section id="results")', page, re.S)
    return str(found)


def test_filters_are_those_of_the_search_and_of_the_catalogue_as_it_is(
    client: FlaskClient, catalogue: Catalogue
) -> None:
    """They are remembered between searches."""
    first = panel(client.post("/", data=photo(7)).text)
    assert panel(client.post("/", data=photo(8)).text) == first and " checked>All" in first
    narrowed = panel(client.post("/", data=photo(7, category="Kitchen")).text)
    assert 'value="Kitchen" form="search" checked' in narrowed
    priced = panel(client.post("/", data=photo(7, order="price")).text)
    assert 'value="price" selected' in priced and 'value="price" selected' not in first
    chinese = panel(client.post("/", data=photo(7), headers={"Accept-Language": "zh"}).text)
    assert "筛选" in chinese and "筛选" not in first
    assert " hidden>" in panel(client.get("/").text) and " hidden>" not in first[:80]
    assert panel(client.post("/", data=photo(7)).text) == first
    gone = [hit.product.product_id for hit in catalogue.search(Query(like="p7", k=3)).hits]
    catalogue.remove(gone)
    assert panel(client.post("/", data=photo(7)).text) != first
