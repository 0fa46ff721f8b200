"""The JSON API through a real app: what it answers, what it refuses, who may do what."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

import webapp.app  # noqa: F401  # brings the operations
from index.catalogue import Catalogue
from index.changes.checking import check_catalogue
from index.changes.editing import UPLOAD
from index.changes.upkeep import back_up, export_products
from index.labels.deciding import decide
from index.labels.standing import Decision
from index.labels.tagging import tag, train
from index.query import Query
from index.service.keys import create_key
from webapp.api.operations import OPERATIONS, Operation
from webapp.gates import Gate
from webapp.logs import JsonLines
from webapp.services import Config, Services

OpenApp = Callable[..., Flask]
Headers = dict[str, str]


@pytest.fixture
def app(catalogue: Catalogue, open_app: OpenApp) -> Flask:
    return open_app(catalogue, Config())


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def key(catalogue: Catalogue) -> Callable[..., Headers]:
    """Make keys: key("write") -> the header that shows it."""

    def make(scope: str = "admin") -> Headers:
        secret, _ = create_key(catalogue.engine, scope, [scope])
        return {"Authorization": f"Bearer {secret}"}

    return make


def service(app: Flask) -> Services:
    found: Services = app.extensions["findalike"]
    return found


def photo(number: int = 7, **options: Any) -> bytes:
    file = io.BytesIO()
    tiny.draw(number).save(file, "PNG", **options)
    return file.getvalue()


def base64_of(number: int = 7) -> str:
    return base64.b64encode(photo(number)).decode()


def upload(number: int = 7) -> dict[str, Any]:
    return {"photo": (io.BytesIO(photo(number)), "photo.png")}


def product(number: int = 90, **fields: Any) -> dict[str, Any]:
    return {"title": f"New {number}", "pictures": [{"base64": base64_of(number)}]} | fields


def problem(response: TestResponse, status: int) -> dict[str, Any]:
    """Return a problem, looked at as every problem must be."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    body: dict[str, Any] = response.json
    assert body["status"] == status
    assert body["title"]
    assert body["detail"].endswith((".", "!"))
    assert body["instance"] == f"urn:findalike:request:{response.headers['X-Request-ID']}"
    assert not re.search(r"Traceback|sqlite|pydantic|/tmp|\.py", response.text)
    return body


# --- searching ----------------------------------------------------------------------------------


def test_a_photo_finds_what_the_catalogue_finds(app: Flask, catalogue: Catalogue) -> None:
    client = app.test_client()
    expected = catalogue.search(Query(photo=service(app).sandbox.read(photo()), k=5))
    as_form = client.post("/api/v1/search", data=upload() | {"k": "5"})
    as_json = client.post("/api/v1/search", json={"photo": base64_of(), "k": 5})
    for response in (as_form, as_json):
        assert response.status_code == 200
        answer = response.json
        assert answer["verdict"] == expected.verdict
        assert [hit["product_id"] for hit in answer["hits"]] == [
            hit.product.product_id for hit in expected.hits
        ]
        assert answer["hits"][0]["score"] == pytest.approx(expected.hits[0].score, abs=1e-4)
        assert {"read", "decode", "encode", "search", "rank"} <= set(answer["milliseconds"])
    assert expected.hits[0].product.product_id == "p7"


def test_answers_say_nothing_of_the_server(client: FlaskClient, catalogue: Catalogue) -> None:
    response = client.post("/api/v1/search", data=upload())
    assert str(catalogue.path.parent) not in response.text
    assert "/tmp" not in response.text
    picture = response.json["hits"][0]["picture"]
    assert client.get(picture["url"]).mimetype == "image/jpeg"


def test_words_products_conditions_and_weights(client: FlaskClient) -> None:
    def ask(**body: Any) -> list[str]:
        response = client.post("/api/v1/search", json=body)
        assert response.status_code == 200, response.text
        return [hit["product_id"] for hit in response.json["hits"]]

    assert len(ask(text="red", k=3)) == 3
    assert ask(text="red") != ask(text="red", **{"not": "blue"})
    assert "p7" not in ask(like="p7", k=24)
    assert set(ask(text="red", where=["price<=3"], k=24)) == {"p0", "p1", "p2"}
    assert ask(photo=base64_of(), text="red", weights={"text": 0.001})[0] == "p7"
    heavy = ask(photo=base64_of(), text="red", weights={"photo": 0.001})
    assert heavy == ask(text="red")
    form = {"text": "red", "where": ["price<=3", "brand=Acme"], "weights": '{"text": 2.0}'}
    response = client.post("/api/v1/search", data=form, content_type="multipart/form-data")
    assert response.status_code == 200, response.text
    assert {hit["product_id"] for hit in response.json["hits"]} == {"p0", "p2"}


def test_a_part_of_the_photo(client: FlaskClient, catalogue: Catalogue) -> None:
    two = Image.new("RGB", (144, 72))
    two.paste(tiny.draw(3), (0, 0))
    two.paste(tiny.draw(7), (72, 0))
    file = io.BytesIO()
    two.save(file, "PNG")
    photo64 = base64.b64encode(file.getvalue()).decode()
    for region, expected in (([0, 0, 0.5, 1], "p3"), ([0.5, 0, 0.7, 1], "p7")):
        response = client.post("/api/v1/search", json={"photo": photo64, "region": region})
        assert response.json["hits"][0]["product_id"] == expected
        form = {"photo": (io.BytesIO(file.getvalue()), "a"), "region": "0.5,0,0.5,1"}
    assert client.post("/api/v1/search", data=form).json["hits"][0]["product_id"] == "p7"


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "Nothing to look for"),
        ({"text": " "}, 400, ""),
        ({"photo": "x"}, 400, ""),
        ({"text": "red", "k": 0}, 400, "body/k"),
        ({"text": "red", "k": "5"}, 400, "body/k"),
        ({"text": "red", "colour": "red"}, 400, "body/colour"),
        ({"text": "red", "weights": {"photo": -1}}, 400, "body/weights/photo"),
        ({"text": "red\0"}, 400, ""),
        ({"text": "red", "region": [0, 0, 1, 1]}, 400, "give photo too"),
        ({"photo": "AAAA"}, 422, "not a picture"),
        ({"photo": "AAAAA==="}, 400, ""),
        ({"text": "red", "where": ["size=9"]}, 422, 'attribute "size"'),
        ({"text": "red", "where": ["brand<9"]}, 422, "no order"),
        ({"like": "nobody"}, 404, "like"),
        ([], 400, ""),
    ],
)
def test_searches_that_cannot_be(client: FlaskClient, body: Any, status: int, words: str) -> None:
    found = problem(client.post("/api/v1/search", json=body), status)
    assert words in json.dumps(found).replace('\\"', '"')


def test_an_encoder_without_words(app: Flask) -> None:
    service(app).__dict__["knows_words"] = False
    found = problem(app.test_client().post("/api/v1/search", json={"text": "red"}), 409)
    assert "knows no words" in found["detail"]


def test_a_photo_with_a_fault_is_told(client: FlaskClient) -> None:
    dark = io.BytesIO()
    Image.new("RGB", (300, 300), (3, 2, 4)).save(dark, "PNG")
    dark.seek(0)
    response = client.post("/api/v1/search", data={"photo": (dark, "a")})
    assert response.json["verdict"] != "exact"
    assert "dark" in response.json["faults"]


def test_categorising(client: FlaskClient, catalogue: Catalogue) -> None:
    found = problem(client.post("/api/v1/categorise", data=upload()), 409)
    assert "learnt" in found["detail"]
    train(catalogue)
    for response in (
        client.post("/api/v1/categorise", data=upload()),
        client.post("/api/v1/categorise", json={"photo": base64_of()}),
    ):
        assert response.status_code == 200, response.text
        says = response.json["tags"]["category"]
        assert {each["value"] for each in says["best"]} <= set(tiny.CATEGORIES)
        assert response.json["reasons"][0]["labels"]["category"] in tiny.CATEGORIES


# --- who may ------------------------------------------------------------------------------------


def send(client: FlaskClient, made: Operation, headers: Headers | None = None) -> TestResponse:
    path = f"/api/v1{made.path}".format(product_id="p7", job=1)
    return client.open(path, method=made.method, headers=headers or {})


CLOSED = [each for each in OPERATIONS if each.scope and each.scope != "search"]


@pytest.mark.parametrize("made", CLOSED, ids=lambda made: made.name)
def test_what_needs_a_key_is_refused_without(
    client: FlaskClient, made: Operation, key: Callable[..., Headers]
) -> None:
    response = send(client, made)
    problem(response, 401)
    assert response.headers["WWW-Authenticate"] == "Bearer"
    for wrong in ("Bearer fal_wrong", "Basic YTpi", "Bearer", "x"):
        problem(send(client, made, {"Authorization": wrong}), 401)
    if made.scope != "read":
        response = send(client, made, key("read"))
        problem(response, 403)
        assert "insufficient_scope" in response.headers["WWW-Authenticate"]
    assert send(client, made, key(made.scope)).status_code not in (401, 403)


def test_every_operation_that_writes_needs_a_key() -> None:
    assert {each.name for each in CLOSED} >= {
        "put_product", "change_product", "delete_product", "write_batch", "take_decisions",
        "undo_decisions", "start_job", "cancel_job", "read_labels", "list_questions",
    }  # fmt: skip
    for each in OPERATIONS:
        if each.method in ("PUT", "PATCH", "DELETE"):
            assert each.scope in ("write", "admin")


def test_a_cookie_lets_nobody_in(client: FlaskClient, key: Callable[..., Headers]) -> None:
    secret = key("admin")["Authorization"].split()[1]
    for name in ("session", "Authorization", "key", "token"):
        client.set_cookie(name, secret)
    problem(client.delete("/api/v1/products/p7"), 401)


def test_no_token_is_needed_with_a_key(client: FlaskClient, key: Callable[..., Headers]) -> None:
    headers = key("write") | {"Origin": "https://evil.example"}
    assert client.delete("/api/v1/products/p7", headers=headers).status_code == 204


def test_a_closed_shop(
    catalogue: Catalogue, open_app: OpenApp, key: Callable[..., Headers]
) -> None:
    client = open_app(catalogue, Config(open_search=False)).test_client()
    headers = key("read")
    problem(client.post("/api/v1/search", data=upload()), 401)
    problem(client.get("/api/v1/products"), 401)
    assert client.post("/api/v1/search", data=upload(), headers=headers).status_code == 200
    assert client.get("/api/v1/health").status_code == 200
    security = client.get("/openapi.json").json["paths"]["/api/v1/search"]["post"]["security"]
    assert security == [{"key": []}]


# --- products -----------------------------------------------------------------------------------


def test_pages_meet_every_product_once(client: FlaskClient, key: Callable[..., Headers]) -> None:
    met: list[str] = []
    address = "/api/v1/products?limit=7"
    headers = key("write")
    while True:
        page = client.get(address).json
        met += [each["product_id"] for each in page["products"]]
        if page["next"] is None:
            break
        address = f"/api/v1/products?limit=7&cursor={page['next']}"
        if len(met) == 7:  # what is written meanwhile moves nothing
            assert client.delete("/api/v1/products/p2", headers=headers).status_code == 204
            client.patch("/api/v1/products/p3", json={"title": "Other"}, headers=headers)
    assert met == [f"p{number}" for number in range(24)]


def test_lists_are_filtered(client: FlaskClient) -> None:
    page = client.get("/api/v1/products?where=price<=5&where=brand=Acme").json
    assert [each["product_id"] for each in page["products"]] == ["p0", "p2", "p4"]
    problem(client.get("/api/v1/products?where=nonsense"), 400)
    problem(client.get("/api/v1/products?where=size=9"), 422)
    problem(client.get("/api/v1/products?limit=0"), 400)
    problem(client.get("/api/v1/products?limit=5&limit=6"), 400)
    problem(client.get("/api/v1/products?page=2"), 400)


def test_a_product_and_its_version(client: FlaskClient, key: Callable[..., Headers]) -> None:
    response = client.get("/api/v1/products/p7")
    assert response.json["title"] == "Product 7"
    assert response.json["price"] == 7.99
    assert response.json["attributes"] == {"colour": "black"}
    tag = response.headers["ETag"]
    again = client.get("/api/v1/products/p7", headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    changed = client.patch("/api/v1/products/p7", json={"title": "X"}, headers=key("write"))
    assert changed.headers["ETag"] != tag
    again = client.get("/api/v1/products/p7", headers={"If-None-Match": tag})
    assert again.json["title"] == "X"
    problem(client.get("/api/v1/products/p99"), 404)


def test_a_new_product_is_found_at_once(
    client: FlaskClient, catalogue: Catalogue, key: Callable[..., Headers]
) -> None:
    with Catalogue.open(catalogue.path) as other:  # another worker
        assert other.search(Query(photo=photo(90))).hits[0].product.product_id != "new"
        fields = {
            "description": "Long.", "category": "Kitchen/Mugs", "brand": "Acme", "price": 4.5,
            "currency": "EUR", "availability": "in stock", "url": "https://shop.example/new",
            "attributes": {"colour": "red", "size": ""},
        }  # fmt: skip
        response = client.put("/api/v1/products/new", json=product(**fields), headers=key("write"))
        assert response.status_code == 201
        assert response.json["category"] == "Kitchen > Mugs"
        assert response.json["attributes"] == {"colour": "red"}
        for each in (catalogue, other):
            answer = each.search(Query(photo=photo(90)))
            assert answer.hits[0].product.product_id == "new"
            assert answer.verdict == "exact"
    shown = client.get("/api/v1/products/new").json
    assert shown == response.json


def test_put_replaces_and_keeps_pictures(client: FlaskClient, key: Callable[..., Headers]) -> None:
    headers = key("write")
    before = client.get("/api/v1/products/p12").json
    response = client.put("/api/v1/products/p12", json={"title": "Only this"}, headers=headers)
    assert response.status_code == 200
    assert response.json["title"] == "Only this"
    assert (response.json["brand"], response.json["price"]) == ("", None)
    assert response.json["attributes"] == {}
    assert response.json["pictures"] == before["pictures"]
    again = client.put("/api/v1/products/p12", json={"title": "Only this"}, headers=headers)
    assert again.json["changed"] == response.json["changed"]  # nothing was written


def test_patch_changes_what_it_names(client: FlaskClient, key: Callable[..., Headers]) -> None:
    headers = key("write")
    change: dict[str, Any] = {"price": None, "attributes": {"size": "L"}}
    response = client.patch("/api/v1/products/p7", json=change, headers=headers)
    assert response.json["price"] is None
    assert response.json["attributes"] == {"colour": "black", "size": "L"}
    change = {"attributes": {"colour": None}}
    response = client.patch("/api/v1/products/p7", json=change, headers=headers)
    assert response.json["attributes"] == {"size": "L"}
    assert response.json["title"] == "Product 7"
    problem(client.patch("/api/v1/products/p99", json={"title": "x"}, headers=headers), 404)


def test_versions_guard_against_overwriting(
    client: FlaskClient, key: Callable[..., Headers]
) -> None:
    headers = key("write")
    tag = client.get("/api/v1/products/p7").headers["ETag"]
    mine = headers | {"If-Match": tag}
    assert client.patch("/api/v1/products/p7", json={"title": "A"}, headers=mine).status_code == 200
    for method in ("put", "patch"):
        late = client.open("/api/v1/products/p7", method=method, json={"title": "B"}, headers=mine)
        problem(late, 412)
    problem(client.delete("/api/v1/products/p7", headers=mine), 412)
    assert client.get("/api/v1/products/p7").json["title"] == "A"
    new = headers | {"If-None-Match": "*"}
    problem(client.put("/api/v1/products/p7", json=product(), headers=new), 412)
    assert client.put("/api/v1/products/p91", json=product(91), headers=new).status_code == 201
    nothing = headers | {"If-Match": "*"}
    problem(client.put("/api/v1/products/p92", json=product(92), headers=nothing), 412)


def test_removing(client: FlaskClient, catalogue: Catalogue, key: Callable[..., Headers]) -> None:
    headers = key("write")
    assert client.delete("/api/v1/products/p7", headers=headers).status_code == 204
    problem(client.delete("/api/v1/products/p7", headers=headers), 404)
    problem(client.get("/api/v1/products/p7"), 404)
    hits = client.post("/api/v1/search", data=upload() | {"k": "24"}).json["hits"]
    assert "p7" not in {hit["product_id"] for hit in hits}
    assert not [each for each in check_catalogue(catalogue) if each.serious]


@pytest.mark.parametrize(
    "name",
    ["a/b", "/a", "a//b", "a b", "ä/é", "𝔘", "..", "a?b#c", "%2F", "p7/labels", "'; DROP--", "+"],
)
def test_odd_ids_go_there_and_back(
    client: FlaskClient, key: Callable[..., Headers], name: str
) -> None:
    from urllib.parse import quote

    address = f"/api/v1/products/{quote(name, safe='')}"
    headers = key("write")
    assert client.put(address, json=product(), headers=headers).status_code == 201
    assert client.get(address).json["product_id"] == name
    assert client.delete(address, headers=headers).status_code == 204


@pytest.mark.parametrize("name", [" a", "a ", "a\nb", "a\0b", "x" * 513])
def test_ids_that_cannot_be(client: FlaskClient, key: Callable[..., Headers], name: str) -> None:
    from urllib.parse import quote

    address = f"/api/v1/products/{quote(name, safe='')}"
    problem(client.put(address, json=product(), headers=key("write")), 400)
    problem(client.get(address), 404)


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"pictures": None}, 422, "at least one picture"),
        ({"pictures": []}, 400, "pictures"),
        ({"pictures": [{"sha256": "0" * 64}]}, 422, "no picture 000000000000"),
        ({"pictures": [{"base64": "AAAA"}]}, 422, "Picture 1: This is not a picture"),
        ({"pictures": [{"url": "http://x/a.jpg"}]}, 400, "pictures"),
        ({"price": -1}, 400, "price"),
        ({"price": "5"}, 400, "price"),
        ({"currency": "euro"}, 400, "currency"),
        ({"url": "javascript:alert(1)"}, 400, "url"),
        ({"title": "a\nb"}, 400, "title"),
        ({"attributes": {"": "x"}}, 400, "attributes"),
        ({"attributes": {"a": 1}}, 400, "attributes"),
        ({"colour": "red"}, 400, "colour"),
    ],
)
def test_products_that_cannot_be(
    client: FlaskClient, key: Callable[..., Headers], fields: Any, status: int, words: str
) -> None:
    headers = key("write")
    response = client.put("/api/v1/products/new", json=product(**fields), headers=headers)
    assert words in json.dumps(problem(response, status))
    problem(client.get("/api/v1/products/new"), 404)


def test_pictures_as_files(client: FlaskClient, key: Callable[..., Headers]) -> None:
    headers = key("write")

    def files(*numbers: int, **fields: Any) -> dict[str, Any]:
        return {
            "product": json.dumps({"title": "By form"} | fields),
            "photo": [(io.BytesIO(photo(number)), "../../etc/passwd") for number in numbers],
        }

    made = client.put("/api/v1/products/f", data=files(93, 94), headers=headers)
    assert made.status_code == 201
    assert len(made.json["pictures"]) == 2
    first, second = (each["sha256"] for each in made.json["pictures"])
    more = client.patch("/api/v1/products/f", data=files(95), headers=headers)
    assert [each["sha256"] for each in more.json["pictures"]][:2] == [first, second]
    assert len(more.json["pictures"]) == 3
    turned = {"pictures": [{"sha256": second}, {"sha256": first}, {"base64": base64_of(93)}]}
    less = client.patch("/api/v1/products/f", json=turned, headers=headers)
    assert [each["sha256"] for each in less.json["pictures"]] == [second, first]
    problem(client.put("/api/v1/products/g", data={"photo": "text"}, headers=headers), 415)
    bad = {"product": "{", "photo": (io.BytesIO(photo()), "a")}
    problem(client.put("/api/v1/products/g", data=bad, headers=headers), 400)


def test_nothing_of_a_pictures_metadata_is_kept(
    client: FlaskClient, catalogue: Catalogue, key: Callable[..., Headers]
) -> None:
    exif = Image.Exif()
    exif[0x010E] = "SECRETPLACE"
    exif.get_ifd(0x8825)[1] = "N"
    data = photo(96, exif=exif)
    assert b"SECRETPLACE" in data
    body = product(pictures=[{"base64": base64.b64encode(data).decode()}])
    made = client.put("/api/v1/products/e", json=body, headers=key("write"))
    shown = client.get(made.json["pictures"][0]["url"])
    assert not Image.open(io.BytesIO(shown.data)).getexif()
    catalogue.close()
    for path in catalogue.path.rglob("*"):
        assert not path.is_file() or b"SECRETPLACE" not in path.read_bytes()


def test_a_batch_has_a_status_for_each(
    client: FlaskClient, catalogue: Catalogue, key: Callable[..., Headers]
) -> None:
    headers = key("write")
    items = [
        product(97, product_id="b1"),
        {"product_id": "p7", "title": "Renamed"},
        {"product_id": "p8", "price": "free"},
        {"product_id": "b2"},
        product(product_id="b3", pictures=[{"base64": "AAAA"}]),
        product(97, product_id="b1"),
        {"no": "id"},
    ]
    answer = client.post("/api/v1/batch", json={"products": items}, headers=headers).json
    assert [each["status"] for each in answer["items"]] == [
        "created", "updated", "refused", "refused", "refused", "refused", "refused",
    ]  # fmt: skip
    assert (answer["created"], answer["updated"], answer["refused"]) == (1, 1, 5)
    details = [each["detail"] for each in answer["items"]]
    assert "at least one picture" in details[3]
    assert "not a picture" in details[4]
    assert "twice" in details[5]
    assert answer["items"][2]["errors"][0]["at"] == "/price"
    assert client.get("/api/v1/products/p7").json["title"] == "Renamed"
    again = client.post("/api/v1/batch", json={"products": items[:1]}, headers=headers).json
    assert again["items"][0]["status"] == "unchanged"
    problem(client.post("/api/v1/batch", json={"products": []}, headers=headers), 400)


def test_same_bytes_are_embedded_once(
    client: FlaskClient, key: Callable[..., Headers], tmp_path: Path, monkeypatch: Any
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv(tiny.LOG, str(log))
    items = [product(98, product_id=f"s{number}") for number in range(3)]
    client.post("/api/v1/batch", json={"products": items}, headers=key("write"))
    assert tiny.embedded(log) == 1


def test_pictures_without_a_file_last(
    client: FlaskClient, catalogue: Catalogue, key: Callable[..., Headers], tmp_path: Path
) -> None:
    client.put("/api/v1/products/u", json=product(99), headers=key("write"))
    assert not [each for each in check_catalogue(catalogue) if each.serious]
    catalogue.rebuild()
    assert catalogue.search(Query(photo=photo(99))).hits[0].product.product_id == "u"
    written = io.StringIO()
    export_products(catalogue, written, "jsonl")
    (row,) = [
        each for each in map(json.loads, written.getvalue().splitlines())
        if each["product_id"] == "u"
    ]  # fmt: skip
    assert row["image_path"][0].startswith(UPLOAD)
    back_up(catalogue, tmp_path / "backup")
    with Catalogue.open(tmp_path / "backup") as copy:
        assert copy.search(Query(photo=photo(99))).verdict == "exact"


def test_much_that_is_new_is_learnt_from(
    app: Flask, catalogue: Catalogue, key: Callable[..., Headers]
) -> None:
    client, headers = app.test_client(), key("write")
    client.put("/api/v1/products/n", json=product(), headers=headers)
    assert service(app).desk.jobs.latest() == []
    for start in (100, 110):
        items = [product(number, product_id=f"n{number}") for number in range(start, start + 8)]
        client.post("/api/v1/batch", json={"products": items}, headers=headers)
    (job,) = service(app).desk.jobs.latest()
    assert (job.kind, job.who) == ("rebuild", "key write")


# --- labels, jobs -------------------------------------------------------------------------------


def test_a_persons_word_goes_before_what_is_written(
    client: FlaskClient, catalogue: Catalogue, key: Callable[..., Headers]
) -> None:
    decide(catalogue, [Decision("p7", "category", "set", "Garden > Pots")], who="ada")
    headers = key("write")
    written = client.patch(
        "/api/v1/products/p7", json={"category": "Kitchen > Mugs"}, headers=headers
    )
    assert written.json["category"] == "Garden > Pots"
    labels = client.get("/api/v1/labels/p7", headers=headers).json["labels"]
    assert (labels["category"]["source"], labels["category"]["who"]) == ("person", "ada")
    assert labels["colour"]["source"] == "feed"


def test_decisions_and_taking_them_back(
    app: Flask, catalogue: Catalogue, key: Callable[..., Headers]
) -> None:
    client, headers = app.test_client(), key("write")
    decisions = [
        {"product_id": "p7", "value": "Pots"},
        {"product_id": "p8", "action": "outside"},
    ]
    made = client.post("/api/v1/decisions", json={"decisions": decisions}, headers=headers)
    assert made.json == {"taken": 2}
    shown = [client.get(f"/api/v1/products/{each}").json["category"] for each in ("p7", "p8")]
    assert shown == ["Garden > Pots", ""]
    labels = client.get("/api/v1/labels/p7", headers=headers).json["labels"]
    assert labels["category"]["who"] == "key write"
    assert client.post("/api/v1/decisions/undo", headers=key("admin")).json == {"undone": []}
    undone = client.post("/api/v1/decisions/undo", headers=headers).json["undone"]
    assert len(undone) == 2
    assert client.get("/api/v1/products/p7").json["category"] == "Kitchen > Bowls"
    for wrong in (
        [{"product_id": "nobody", "value": "Pots"}],
        [decisions[0], {"product_id": "p8", "value": "Cellar"}],
    ):
        response = client.post("/api/v1/decisions", json={"decisions": wrong}, headers=headers)
        problem(response, 422)
    assert client.get("/api/v1/products/p7").json["category"] == "Kitchen > Bowls"
    noted = {(each.who, each.action) for each in service(app).desk.audit.entries()}
    assert {("key write", "decide"), ("key write", "undo")} <= noted


def test_questions(client: FlaskClient, catalogue: Catalogue, key: Callable[..., Headers]) -> None:
    headers = key("write")
    assert client.get("/api/v1/questions", headers=headers).json == {"open": 0, "questions": []}
    items = [product(number, product_id=f"q{number}") for number in range(120, 124)]
    client.post("/api/v1/batch", json={"products": items}, headers=headers)
    train(catalogue)
    tag(catalogue)
    asked = client.get("/api/v1/questions?limit=3", headers=headers).json
    assert 0 < len(asked["questions"]) <= 3
    first = asked["questions"][0]
    assert first["best"][0]["probability"] <= 1
    only = client.get("/api/v1/questions?axis=colour", headers=headers).json["questions"]
    assert {each["axis"] for each in only} <= {"colour"}


def test_jobs(app: Flask, key: Callable[..., Headers]) -> None:
    client, headers = app.test_client(), key("admin")
    made = client.post("/api/v1/jobs", json={"kind": "train"}, headers=headers)
    assert made.status_code == 202
    number = made.json["id"]
    assert client.get(f"/api/v1/jobs/{number}", headers=headers).json == made.json
    assert made.json["state"] == "queued"
    client.post("/api/v1/jobs", json={"kind": "tag"}, headers=headers)
    page = client.get("/api/v1/jobs?limit=1", headers=headers).json
    assert page["jobs"][0]["kind"] == "tag"
    page = client.get(f"/api/v1/jobs?limit=1&cursor={page['next']}", headers=headers).json
    assert (page["jobs"][0]["id"], page["next"]) == (number, None)
    stopped = client.post(f"/api/v1/jobs/{number}/cancel", headers=headers)
    assert stopped.json["state"] == "cancelled"
    problem(client.post(f"/api/v1/jobs/{number}/cancel", headers=headers), 409)
    problem(client.get("/api/v1/jobs/999", headers=headers), 404)
    problem(client.get("/api/v1/jobs/x", headers=headers), 404)
    problem(client.get(f"/api/v1/jobs/{'9' * 30}", headers=headers), 404)
    problem(client.post("/api/v1/jobs", json={"kind": "import"}, headers=headers), 400)


# --- errors and limits --------------------------------------------------------------------------


def test_every_error_is_a_problem(client: FlaskClient) -> None:
    problem(client.get("/api/v1/nothing"), 404)
    problem(client.get("/api/nothing"), 404)
    response = client.get("/api/v1/search")
    problem(response, 405)
    assert "POST" in response.headers["Allow"]
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        problem(client.post("/api/v1/search", data="x", content_type=kind), 415)
    problem(client.post("/api/v1/search", data="{", content_type="application/json"), 400)
    deep = "[" * 100_000
    problem(client.post("/api/v1/search", data=deep, content_type="application/json"), 400)
    problem(client.post("/api/v1/search", data=b"\xff", content_type="application/json"), 400)


def test_a_body_over_the_limit(catalogue: Catalogue, open_app: OpenApp) -> None:
    client = open_app(catalogue, Config(max_upload=10_000)).test_client()
    big = {"photo": (io.BytesIO(b"x" * 100_000), "a.jpg")}
    problem(client.post("/api/v1/search", data=big), 413)
    problem(client.post("/api/v1/search", json={"photo": "A" * 100_000}), 413)


def test_our_own_failure_tells_nothing(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret in /home/shop/index.py")

    monkeypatch.setattr(service(app).catalogue, "search", fail)
    response = app.test_client().post("/api/v1/search", json={"text": "red"})
    problem(response, 500)
    assert "secret" not in response.text
    assert "secret" in caplog.text
    assert response.headers["X-Request-ID"] in caplog.text


def test_while_another_writes(
    app: Flask, catalogue: Catalogue, key: Callable[..., Headers], monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = key("write")
    writing = Catalogue.writing
    monkeypatch.setattr(Catalogue, "writing", lambda self: writing(self, wait=0.05))
    with Catalogue.open(catalogue.path) as other, writing(other):
        response = app.test_client().delete("/api/v1/products/p7", headers=headers)
    found = problem(response, 503)
    assert "being written" in found["detail"]
    assert response.headers["Retry-After"] == "5"


def test_a_full_queue(app: Flask, key: Callable[..., Headers]) -> None:
    service(app).gate = gate = Gate(1, 0)
    client = app.test_client()
    with gate.place():
        for response in (
            client.post("/api/v1/search", data=upload()),
            client.put("/api/v1/products/x", json=product(), headers=key("write")),
        ):
            problem(response, 503)
            assert int(response.headers["Retry-After"]) >= 1
    assert 'findalike_rejected_total{reason="full"} 2.0' in client.get("/metrics").text
    assert client.post("/api/v1/search", data=upload()).status_code == 200


def test_strangers_are_limited_and_keys_are_not(
    catalogue: Catalogue, open_app: OpenApp, key: Callable[..., Headers]
) -> None:
    client = open_app(catalogue, Config(searches_per_minute=5)).test_client()
    found = [client.post("/api/v1/search", json={"text": "red"}) for _ in range(20)]
    assert [each.status_code for each in found].count(429) >= 15
    problem(found[-1], 429)
    assert int(found[-1].headers["Retry-After"]) >= 1
    headers = key("read")
    for _ in range(20):
        assert (
            client.post("/api/v1/search", json={"text": "red"}, headers=headers).status_code == 200
        )


def test_guessing_keys_is_slow(catalogue: Catalogue, open_app: OpenApp) -> None:
    client = open_app(catalogue, Config(searches_per_minute=5)).test_client()
    statuses = [
        client.get("/api/v1/jobs", headers={"Authorization": f"Bearer fal_{n}"}).status_code
        for n in range(20)
    ]
    assert statuses.count(401) == 5
    assert statuses.count(429) == 15


# --- what is measured and logged ----------------------------------------------------------------


def test_metrics(app: Flask, key: Callable[..., Headers]) -> None:
    client = app.test_client()
    client.post("/api/v1/search", data=upload())
    client.post("/api/v1/search", json={"photo": "AAAA"})
    text = client.get("/metrics").text
    for stage in ("read", "decode", "encode", "search", "rank"):
        assert f'findalike_stage_seconds_count{{stage="{stage}"}} 1.0' in text
    assert re.search(r'findalike_searches_total\{verdict="\w[\w ]*"\} 1\.0', text)
    assert 'findalike_rejected_total{reason="picture"} 1.0' in text
    assert "findalike_queue_length 0.0" in text
    assert 'findalike_request_seconds_count{operation="api.search",status="422"} 1.0' in text


def test_metrics_are_not_for_everybody(
    catalogue: Catalogue, open_app: OpenApp, key: Callable[..., Headers]
) -> None:
    far = {"REMOTE_ADDR": "192.0.2.1"}
    client = open_app(catalogue).test_client()
    problem(client.get("/metrics", environ_base=far), 401)
    problem(client.get("/metrics", environ_base=far, headers=key("read")), 403)
    assert client.get("/metrics", environ_base=far, headers=key("admin")).status_code == 200
    behind = open_app(catalogue, Config(https=True)).test_client()
    problem(behind.get("/metrics"), 401)


def test_the_log(catalogue: Catalogue, open_app: OpenApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "findalike.requests")

    def line(config: Config) -> dict[str, Any]:
        caplog.clear()
        client = open_app(catalogue, config).test_client()
        response = client.post("/api/v1/search", json={"photo": base64_of(), "text": "secretword"})
        (record,) = [each for each in caplog.records if each.name == "findalike.requests"]
        written: dict[str, Any] = json.loads(JsonLines().format(record))
        assert written["request_id"] == response.headers["X-Request-ID"]
        return written

    written = line(Config())
    assert written["operation"] == "api.search"
    assert written["status"] == 200
    assert {"decode", "encode", "search"} <= set(written["stages"])
    assert "secretword" not in json.dumps(written)
    assert base64_of()[:40] not in json.dumps(written)
    assert line(Config(log_words=True))["words"] == "secretword"


def test_health_readiness_version(client: FlaskClient) -> None:
    assert client.get("/api/v1/health").json == {"status": "ok"}
    ready = client.get("/api/v1/ready").json
    assert (ready["ready"], ready["products"]) == (True, 24)
    assert client.get("/readyz").text == "ready\n"
    found = client.get("/api/v1/version").json
    assert (found["api"], found["words"]) == ("v1", True)


def test_with_the_real_encoder(tmp_path: Path, open_app: OpenApp) -> None:
    feed = tiny.write_feed(tmp_path / "feed.csv", 8)
    with Catalogue.open(tmp_path / "real", create=True) as catalogue:
        catalogue.add([feed])
        secret, _ = create_key(catalogue.engine, "till", ["write"])
        client = open_app(catalogue).test_client()
        found = client.post("/api/v1/search", data=upload(5))
        assert found.json["hits"][0]["product_id"] == "p5"
        assert found.json["verdict"] == "exact"
        assert client.post("/api/v1/search", json={"text": "a red thing"}).json["hits"]
        headers = {"Authorization": f"Bearer {secret}"}
        made = client.put("/api/v1/products/new", json=product(90), headers=headers)
        assert made.status_code == 201
        found = client.post("/api/v1/search", data=upload(90))
        assert found.json["hits"][0]["product_id"] == "new"
        answers = {}

        def ask(number: int) -> None:
            response = client.application.test_client().post("/api/v1/search", data=upload(number))
            answers[number] = response.json["hits"][0]["product_id"]

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == {number: f"p{number}" for number in range(8)}
