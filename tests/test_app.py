"""The app around the pages: headers, errors in plain words, limits, languages, serving."""

from __future__ import annotations

import ast
import gc
import io
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from flask import Blueprint, Flask
from flask.testing import FlaskClient

from index.catalogue import Catalogue
from index.changes.reembedding import reembed
from webapp.gates import Allowance, Full, Gate
from webapp.services import Config, Services

WEBAPP = Path(__file__).parent.parent / "webapp"
ODD = (
    "'; DROP TABLE products;--", "<script>alert(1)</script>", "\0", "../../etc/passwd", "%", "𝔘",
    "a" * 5000, "-1", "1e999", "nan", "{{7*7}}", "a|b", "x=y", ">", "0,0,1,2", "9" * 400,
)  # fmt: skip


OpenApp = Callable[..., Flask]


@pytest.fixture
def app(catalogue: Catalogue, open_app: OpenApp) -> Flask:
    return open_app(catalogue, Config())


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def picture(number: int = 7) -> dict[str, object]:
    file = io.BytesIO()
    tiny.draw(number).save(file, "PNG")
    return {"photo": (io.BytesIO(file.getvalue()), "photo.png")}


def service(app: Flask) -> Services:
    found: Services = app.extensions["findalike"]
    return found


# --- what every answer has ----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/product?id=p7", "/nothing", "/healthz", "/?words=red"])
def test_every_answer_is_guarded(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in response.headers  # shoppers have none
    again = client.get(path)
    assert response.headers["X-Request-ID"] != again.headers["X-Request-ID"]


@pytest.mark.parametrize("path", ["/", "/product?id=p7", "/nothing", "/?words=red"])
def test_pages_hold_no_script_or_style_of_their_own(client: FlaskClient, path: str) -> None:
    page = client.get(path).text
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:", page)
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page)
    for address in re.findall(r'"(/static/[^"]+)"', page):
        with client.get(address.partition("#")[0]) as response:
            assert response.status_code == 200


def test_static_files_are_kept_by_browsers(client: FlaskClient) -> None:
    (address,) = re.findall(r'"(/static/style.css[^"]+)"', client.get("/").text)
    with client.get(address) as response:
        assert "max-age=31536000" in response.headers["Cache-Control"]


# --- errors -------------------------------------------------------------------------------------


def test_unknown_addresses_and_methods(client: FlaskClient) -> None:
    response = client.get("/nothing")
    assert (response.status_code, "There is nothing at this address" in response.text) == (
        404,
        True,
    )
    response = client.delete("/")
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]
    assert client.get("/product?id=nothing").status_code == 404
    assert client.get(f"/pictures/{'0' * 64}.jpg").status_code == 404
    assert client.get("/pictures/x.jpg").status_code == 404


def test_our_own_failure_tells_a_stranger_nothing(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret in /home/shop/index.py")

    monkeypatch.setattr(service(app), "browse", fail)
    response = app.test_client().get("/")
    assert response.status_code == 500
    assert "Something went wrong on our side" in response.text
    assert not re.search(r"secret|Traceback|RuntimeError|\.py", response.text)
    assert response.headers["X-Request-ID"] in response.text
    assert response.headers["X-Request-ID"] in caplog.text  # so that it can be found there
    assert "secret" in caplog.text
    assert caplog.text.count("Traceback") == 1


def test_a_file_that_is_no_picture(client: FlaskClient) -> None:
    for fragment in ({}, {"X-Requested-With": "fetch"}):
        data = {"photo": (io.BytesIO(b"<?php evil ?>"), "a.jpg")}
        response = client.post("/", data=data, headers=fragment)
        assert response.status_code == 400
        assert "This is not a picture" in response.text
        assert ("<html" in response.text) == (not fragment)


def test_a_body_over_the_limit(catalogue: Catalogue, open_app: OpenApp) -> None:
    client = open_app(catalogue, Config(max_upload=10_000)).test_client()
    response = client.post("/", data={"photo": (io.BytesIO(b"x" * 100_000), "a.jpg")})
    assert response.status_code == 413
    assert "too large" in response.text
    response = client.post("/", data={"photo": (io.BytesIO(b"x" * 20_000), "a.jpg")})
    assert (response.status_code, "larger than" in response.text) == (400, True)


@pytest.mark.parametrize("odd", ODD)
def test_odd_values_are_answered_or_refused_in_words(client: FlaskClient, odd: str) -> None:
    names = (
        "words", "like", "kept", "example", "region", "category", "brand", "a.colour", "a.",
        "a.x=y", "least", "most", "order", "shown", "part", "lang", "photo64",
    )  # fmt: skip
    for name in names:
        for response in (
            client.get("/", query_string={name: odd}),
            client.post("/", data={name: odd} | picture()),
        ):
            assert response.status_code in (200, 400, 404), (name, odd, response.status_code)
            assert "<script>alert" not in response.text
            assert "49" not in re.findall(r'value="([^"]*)"', response.text)
    assert client.get("/product", query_string={"id": odd}).status_code == 404


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_broken_multipart_is_refused(client: FlaskClient) -> None:
    part = b"--x\r\nContent-Disposition: form-data; name=photo; filename=a\r\n\r\n\xff\xd8\xff"
    for body, kind in (
        (b"", "multipart/form-data"),
        (b"--x\r\n\r\n", "multipart/form-data; boundary=x"),
        (part, "multipart/form-data; boundary=x"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"{}", "application/json"),
    ):
        assert client.post("/", data=body, content_type=kind).status_code in (200, 400)
    many = {f"a.{number}": "x" for number in range(300)}
    assert client.post("/", data=many, content_type="multipart/form-data").status_code == 413
    gc.collect()  # Werkzeug leaves the file of a broken part to it


# --- limits -------------------------------------------------------------------------------------


def test_one_client_may_not_take_it_all(catalogue: Catalogue, open_app: OpenApp) -> None:
    client = open_app(catalogue, Config(searches_per_minute=5)).test_client()
    statuses = []
    for number in range(50):  # a forged address changes nothing
        response = client.get("/?words=red", headers={"X-Forwarded-For": f"9.9.9.{number}"})
        statuses.append(response.status_code)
    assert statuses.count(429) >= 45
    assert statuses[:5] == [200] * 5
    assert int(response.headers["Retry-After"]) >= 1
    assert "Wait a minute" in response.text
    other = client.get("/?words=red", environ_base={"REMOTE_ADDR": "10.0.0.9"})
    assert other.status_code == 200
    assert client.get("/").status_code == 200  # looking costs nothing


def test_an_allowance_slides_and_counts_what_it_refused() -> None:
    allowance = Allowance(10)

    def allowed(address: str, now: float) -> bool:
        try:
            allowance.spend(address, now)
        except Full:
            return False
        return True

    assert sum(allowed("1.1.1.1", 600 + each) for each in range(59)) == 10
    assert not allowed("1.1.1.1", 661)  # a new minute, but the last one was full
    assert allowed("2.2.2.2", 661)
    assert allowed("1.1.1.1", 600 + 240)
    assert sum(allowed(f"2001:db8::{each:x}", 900) for each in range(30)) == 10  # one /64
    assert all(Allowance(0).spend("1.1.1.1") is None for _ in range(100))


def test_a_full_queue_sheds_load_and_recovers(app: Flask) -> None:
    service(app).gate = gate = Gate(1, 1)
    with gate.place(), gate.place():
        response = app.test_client().post("/", data=picture())
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        assert "Many people" in response.text
        assert not service(app).sandbox.pids()  # nothing was decoded
        assert app.test_client().get("/").status_code == 200
    for _ in range(5):  # no place is lost, whatever comes
        assert app.test_client().post("/", data=picture()).status_code == 200
        assert app.test_client().post("/", data={"region": "1"} | picture()).status_code == 400
    gate.close()


def test_waiting_for_a_thread_ends_after_a_while(app: Flask) -> None:
    service(app).gate = gate = Gate(1, 5, patience=0.05)
    held = threading.Event()
    thread = threading.Thread(target=lambda: gate.run(held.wait))
    thread.start()
    time.sleep(0.1)
    response = app.test_client().get("/?words=red")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    held.set()
    thread.join()
    for _ in range(5):
        assert gate.run(lambda: 1) == 1
    gate.close()


def test_what_changes_something_needs_a_token(catalogue: Catalogue, open_app: OpenApp) -> None:
    app = open_app(catalogue)
    other = Blueprint("other", __name__)
    other.post("/delete")(lambda: "gone")
    app.register_blueprint(other)
    response = app.test_client().post("/delete")
    assert response.status_code == 400
    assert "gone" not in response.text


# --- languages ----------------------------------------------------------------------------------


def test_languages(client: FlaskClient) -> None:
    assert '<html lang="en">' in client.get("/").text
    page = client.get("/", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}).text
    assert '<html lang="zh-Hans">' in page
    assert "拍照找商品" in page
    response = client.get("/?lang=zh")
    assert "lang=zh" in response.headers["Set-Cookie"]
    assert "拍照找商品" in client.get("/").text  # remembered
    assert "Find it with a photo" in client.get("/?lang=en").text
    assert client.get("/?lang=xx").status_code == 200
    assert "无法读取" in client.post(
        "/?lang=zh", data={"photo": (io.BytesIO(b"x"), "a")}
    ).text.replace("<", " ")


def said_by(path: Path) -> set[str]:
    """Return the texts that a module or a template has translated."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        found = re.findall(r'\b(?:_|n?gettext)\(\s*(?:"([^"]+)"|\'([^\']+)\')', source)
        return {a or b for a, b in found}
    return {
        each.args[0].value  # adjacent strings are one here
        for each in ast.walk(ast.parse(source))
        if isinstance(each, ast.Call)
        and isinstance(each.func, ast.Name)
        and each.func.id.endswith("gettext")
        and isinstance(each.args[0], ast.Constant)
    }


def test_everything_is_translated() -> None:
    folder = WEBAPP / "translations" / "zh" / "LC_MESSAGES"
    with (folder / "messages.po").open("rb") as file:
        texts = read_po(file, locale="zh")
    with (folder / "messages.mo").open("rb") as file:
        compiled = read_mo(file)
    known = {each.id if isinstance(each.id, str) else each.id[0]: each for each in texts if each.id}
    assert all(each.string and not each.fuzzy for each in known.values())
    for text, message in known.items():
        assert list(compiled[message.id].string) == list(message.string), f"compile again: {text}"
        many = message.id if isinstance(message.id, str) else message.id[1]
        values = dict.fromkeys(re.findall(r"%\((\w+)\)s", many), "<>")
        theirs = [message.string] if isinstance(message.string, str) else message.string
        for each in (many, *theirs):
            assert (each % values).count("<>") >= len(values), each  # no other per cent sign
    templates = [*WEBAPP.rglob("*.html")]
    assert len(templates) > 25
    said_here = set().union(*map(said_by, (*WEBAPP.rglob("*.py"), *templates)))
    assert len(said_here) > 300
    assert not said_here - set(known)


# --- serving ------------------------------------------------------------------------------------


def test_health(client: FlaskClient) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.text) == (200, "ok\n")


def test_workers_see_each_others_writes(
    catalogue: Catalogue, tmp_path: Path, open_app: OpenApp
) -> None:
    client = open_app(catalogue).test_client()
    assert client.get("/product?id=new1").status_code == 404
    feed = tmp_path / "new.csv"
    tiny.write_photos(tmp_path, 1, 99)
    feed.write_text("product_id,image_path,title\nnew1,00099.png,Something new\n")
    with Catalogue.open(catalogue.path) as other:
        other.add([feed])
    assert "Something new" in client.get("/product?id=new1").text


def test_another_encoder_is_taken_up_without_a_restart(
    catalogue: Catalogue, open_app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_app(catalogue)
    client = app.test_client()
    assert "Product 7" in client.post("/", data=picture()).text
    for seed, path in enumerate(("/?words=red", "/product?id=p7", "/"), 1):
        exchanged = service(app).catalogue
        monkeypatch.setenv(tiny.SEED, str(seed))
        with Catalogue.open(catalogue.path) as other:
            reembed(other, "builtin")
        answer = client.get(path) if path != "/" else client.post("/", data=picture())
        assert (answer.status_code, "Product 7" in answer.text) == (200, True)
        assert service(app).catalogue.fingerprint != exchanged.fingerprint
        assert service(app).desk.catalogue is service(app).catalogue
