"""The staff pages: who gets in, and what each page does, without a browser."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from test_jobs import packed
from werkzeug.test import TestResponse

import index.service.accounts
from index.catalogue import Catalogue
from index.labels.review import queue, queue_length
from index.labels.standing import product_labels
from index.labels.tagging import tag, train
from index.query import Answer, Query
from vision.images import read_image
from webapp.app import LANGUAGES, create_app
from webapp.services import Config, Services
from webapp.staff.desk import Desk
from webapp.staff.review import matches
from webapp.terminal.users import users
from webapp.work import work_off

PASSWORD = "correct horse battery"
ROLES = ("viewer", "editor", "admin")


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index.service.accounts, "_COST", (4, 2, 1))


@pytest.fixture
def app(catalogue: Catalogue) -> Iterator[Flask]:
    made = create_app(catalogue, Config(max_upload=2**20))
    for role in ROLES:
        desk_of(made).accounts.add(role, PASSWORD, role)
    yield made
    made.extensions["findalike"].close()


def service_of(app: Flask) -> Services:
    found: Services = app.extensions["findalike"]
    return found


def desk_of(app: Flask) -> Desk:
    return service_of(app).desk


class Browser:
    """A client with a memory for tokens; ``post`` sends the one that the last page had."""

    def __init__(self, app: Flask) -> None:
        self.client: FlaskClient = app.test_client()
        self.token = ""

    def get(self, path: str, **options: Any) -> TestResponse:
        answer = self.client.get(path, buffered=True, **options)
        if "html" not in answer.mimetype:
            return answer
        if found := re.search(r'name="csrf_token" value="([^"]+)"', answer.text):
            self.token = found[1]
        return answer

    def post(self, path: str, data: Any = None, **options: Any) -> TestResponse:
        if isinstance(data, bytes):
            options["headers"] = {"X-CSRFToken": self.token} | options.get("headers", {})
        else:
            data = {"csrf_token": self.token} | (data or {})
        return self.client.post(path, data=data, **options)

    def log_in(self, name: str, password: str = PASSWORD, **fields: str) -> TestResponse:
        self.get("/staff/login")
        answer = self.post("/staff/login", {"name": name, "password": password} | fields)
        if answer.status_code == 303:
            self.get("/staff/password")
        return answer


OpenBrowser = Callable[..., Browser]


@pytest.fixture
def browser(app: Flask) -> OpenBrowser:
    """Open a browser, logged in where a role is named: browser("editor")."""

    def made(role: str = "") -> Browser:
        each = Browser(app)
        if role:
            assert each.log_in(role).status_code == 303
        return each

    return made


FETCH = {"X-Requested-With": "fetch"}
FOREIGN = (
    {"Origin": "https://elsewhere.example"}, {"Origin": "null"},
    {"Origin": "http://localhost.elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
)  # fmt: skip


# --- who gets in --------------------------------------------------------------------------------


def routes(app: Flask, method: str) -> list[str]:
    """Return an address of every staff page that takes a method."""
    found = []
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("staff.") and method in (rule.methods or ()):
            values = {name: "1" * 32 if name == "token" else 1 for name in rule.arguments}
            values |= {"kind": "csv"} if "kind" in rule.arguments else {}
            with app.test_request_context():
                found.append(app.url_for(rule.endpoint, **values))
    assert len(found) > 10
    return found


OPEN = ("/staff/login",)
OWN = ("/staff/logout", "/staff/password")
ADMIN = ("/staff/accounts", "/staff/accounts/change", "/staff/log")


def test_nobody_sees_anything_without_logging_in(app: Flask, browser: OpenBrowser) -> None:
    stranger = browser()
    for path in routes(app, "GET"):
        answer = stranger.get(path)
        if path in OPEN:
            assert answer.status_code == 200
        else:
            assert answer.status_code == 303, path
            assert answer.headers["Location"].startswith("/staff/login?to=/staff/"), path
            assert stranger.get(path, headers=FETCH).status_code == 401, path
            assert stranger.client.head(path).status_code == 401, path
    stranger.get("/staff/login")
    for path in set(routes(app, "POST")) - set(OPEN):
        assert stranger.post(path).status_code == 401, path


def test_nothing_is_written_without_a_token_or_from_elsewhere(
    app: Flask, browser: OpenBrowser
) -> None:
    admin = browser("admin")
    for path in routes(app, "POST"):
        assert admin.client.post(path).status_code == 400, path
        assert admin.client.post(path, data={"csrf_token": "x"}).status_code == 400, path
        for headers in FOREIGN:
            assert admin.post(path, headers=headers).status_code == 403, (path, headers)
    assert admin.get("/staff/").status_code == 200  # it was not even logged out
    other = browser("editor")
    admin.token = other.token  # a token belongs to one session
    assert admin.post("/staff/jobs", {"kind": "tag"}).status_code == 400
    assert not desk_of(app).jobs.latest()


def test_roles_hold_on_every_page(app: Flask, browser: OpenBrowser) -> None:
    viewer, editor, admin = (browser(role) for role in ROLES)
    for path in routes(app, "GET"):
        wanted = 403 if path in ADMIN else None
        for each in (viewer, editor):
            status = each.get(path).status_code
            assert status == wanted if wanted else status in (200, 302, 303, 400, 404), path
        assert admin.get(path).status_code != 403, path
    viewer.get("/staff/password")
    for path in routes(app, "POST"):
        if path not in OPEN + OWN:
            assert viewer.post(path).status_code == 403, path
            if path in ADMIN:
                assert editor.post(path).status_code == 403, path


def test_a_new_role_holds_at_once(app: Flask, browser: OpenBrowser) -> None:
    editor = browser("editor")
    desk_of(app).accounts.set_role("editor", "viewer")
    assert editor.post("/staff/jobs", {"kind": "tag"}).status_code == 403
    desk_of(app).accounts.disable("editor")
    assert editor.get("/staff/").status_code == 303


def test_logging_in_makes_a_new_session(app: Flask, browser: OpenBrowser) -> None:
    one = browser()
    one.get("/staff/login")
    before, token = one.client.get_cookie("session"), one.token
    answer = one.log_in("editor")
    assert before is not None
    cookie = next(each for each in answer.headers.getlist("Set-Cookie") if "session" in each)
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    assert before.value not in cookie
    assert one.token != token
    assert one.client.post("/staff/logout", data={"csrf_token": token}).status_code == 400
    kept = one.client.get_cookie("session")
    assert kept is not None
    assert one.post("/staff/logout").status_code == 303
    one.client.set_cookie("session", kept.value)  # what somebody may have copied
    assert one.get("/staff/").status_code == 303


def test_cookies_are_for_https_only_behind_a_proxy(catalogue: Catalogue) -> None:
    made = create_app(catalogue, Config(https=True))
    answer = made.test_client().get("/staff/login", base_url="https://localhost")
    assert "; Secure" in answer.headers["Set-Cookie"]
    service_of(made).close()


@pytest.mark.parametrize(
    ("to", "there"),
    [
        ("/staff/products?q=a", "/staff/products?q=a"), ("https://evil.example/", "/staff/"),
        ("//evil.example/staff/", "/staff/"), ("/staff/\\evil.example", "/staff/"),
        ("javascript:alert(1)", "/staff/"), ("/staff/../../x\n", "/staff/"), ("/", "/staff/"),
        ("https:/staff/", "/staff/"),
    ],
)  # fmt: skip
def test_logging_in_leads_to_staff_pages_only(browser: OpenBrowser, to: str, there: str) -> None:
    assert browser().log_in("viewer", to=to).headers["Location"] == there


def test_wrong_passwords_are_counted(app: Flask, browser: OpenBrowser) -> None:
    one = browser()
    for name in ("editor", "nobody"):
        answer = one.log_in(name, "wrong password")
        assert answer.status_code == 401
        assert "Name or password is wrong." in answer.text
    for _ in range(8):
        one.log_in("editor", "wrong password")
    answer = one.log_in("editor")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 900
    assert "Set-Cookie" not in answer.headers or "staff" not in answer.headers["Set-Cookie"]
    lines = desk_of(app).audit.entries(action="wrong password")
    assert len(lines) == 10  # those that were refused unseen do not fill the log


def test_ones_own_password(app: Flask, browser: OpenBrowser) -> None:
    one, two = browser("viewer"), browser("viewer")
    fields = {"old": PASSWORD, "new": "another password", "again": "another password"}
    for wrong in ({"old": "x"}, {"again": "y"}, {"new": "short", "again": "short"}):
        assert one.post("/staff/password", fields | wrong).status_code == 400
    assert one.post("/staff/password", fields).status_code == 303
    assert one.get("/staff/").status_code == 200
    assert two.get("/staff/").status_code == 303
    assert two.log_in("viewer", "another password").status_code == 303


def test_admins_keep_accounts(app: Flask, browser: OpenBrowser) -> None:
    admin = browser("admin")
    new = {"name": "Bob", "password": PASSWORD, "role": "viewer"}
    assert admin.post("/staff/accounts", new).status_code == 303
    assert admin.post("/staff/accounts", new).status_code == 400
    for change in (
        {"what": "role", "role": "editor"}, {"what": "password", "password": "another password"},
        {"what": "disable"}, {"what": "enable"},
    ):  # fmt: skip
        assert admin.post("/staff/accounts/change", {"name": "bob"} | change).status_code == 303
    assert browser().log_in("bob", "another password").status_code == 303
    assert desk_of(app).accounts.get("bob").role == "editor"
    shut = admin.post("/staff/accounts/change", {"name": "admin", "what": "disable"})
    assert shut.status_code == 400
    assert "only admin" in shut.text
    page = admin.get("/staff/log?about=bob").text
    for action in ("account added", "role changed", "password changed", "account shut"):
        assert action in page
    assert PASSWORD not in page
    assert "bob" in admin.get("/staff/accounts").text


def test_the_command(catalogue: Catalogue, tmp_path: Path) -> None:
    def run(*args: str, text: str = "") -> Any:
        return CliRunner().invoke(users, [*args, "-c", str(catalogue.path)], input=text)

    def listed(*args: str) -> Any:
        return CliRunner().invoke(users, ["list", "-c", str(catalogue.path), *args])

    assert "There are no accounts" in listed().output
    typed = f"{PASSWORD}\n{PASSWORD}\n"
    made = run("add", "Ada", "--role", "admin", text=typed)
    assert made.exit_code == 0, made.output
    assert PASSWORD not in made.output
    assert run("add", "bob", text=typed).exit_code == 0
    assert run("role", "bob", "viewer").exit_code == 0
    assert run("password", "bob", text="another one here\nanother one here\n").exit_code == 0
    assert run("disable", "bob").exit_code == 0
    found = json.loads(listed("--json").output)["users"]
    assert [(each["name"], each["role"], each["disabled"] > 0) for each in found] == [
        ("ada", "admin", False), ("bob", "viewer", True),
    ]  # fmt: skip
    assert run("disable", "bob", "--undo").exit_code == 0
    assert "bob: viewer" in listed().output


# --- review -------------------------------------------------------------------------------------


@pytest.fixture
def tagged(catalogue: Catalogue, feed: Callable[..., Path]) -> Catalogue:
    """The small catalogue with 12 unlabelled products more, after training and tagging."""
    catalogue.add([feed(12, 40, name="more.csv", category="", colour="")])
    train(catalogue)
    tag(catalogue)
    return catalogue


def question(page: str, place: int = 0) -> dict[str, str]:
    """Return the fields of a question on a page."""
    article = re.findall(r"<article.*?</article>", page, re.S)[place]
    found = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', article))
    return {name: text.replace("&gt;", ">") for name, text in found.items()}


def proposal(asked: dict[str, str]) -> str:
    return asked[f"proposal:{asked['product']}"]


def holds(catalogue: Catalogue, product_id: str, axis: str) -> Any:
    with catalogue.reading() as table:
        stored = table.get(table.keys([product_id]).values())
        return next(iter(product_labels(table, stored).values())).get(axis)


def test_a_decision_and_back(tagged: Catalogue, browser: OpenBrowser, app: Flask) -> None:
    editor = browser("editor")
    asked = question(editor.get("/staff/review?axis=category").text)
    assert asked["axis"] == "category"
    answer = editor.post("/staff/review", asked | {"action": "accept"})
    assert answer.headers["Location"] == "/staff/review?axis=category"
    label = holds(tagged, asked["product"], "category")
    assert (label.source, label.who, label.value) == ("person", "editor", proposal(asked))
    page = editor.get("/staff/review?axis=category").text
    assert "1 decision taken." in page
    assert question(page)["product"] != asked["product"]
    editor.post("/staff/review/undo", {"back": ""})
    after = holds(tagged, asked["product"], "category")
    assert after is None or after.source == "head"
    actions = [each.action for each in desk_of(app).audit.entries(about=asked["product"])]
    assert actions == ["undone", "decided"]
    empty = browser("admin").post("/staff/review/undo", headers=FETCH)  # nobody undoes another's
    assert empty.get_json() == {"undone": []}


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ({"action": "pick:Garden > Pots"}, "Garden > Pots"),
        ({"action": "set", "value": "mugs"}, "Kitchen > Mugs"),
        ({"action": "set", "value": "Mug"}, "Kitchen > Mugs"),
        ({"action": "set", "value": "Kitchen > Bowls"}, "Kitchen > Bowls"),
        ({"action": "outside"}, ""),
    ],
)
def test_ways_to_decide(
    tagged: Catalogue, browser: OpenBrowser, fields: dict[str, str], value: str
) -> None:
    editor = browser("editor")
    asked = question(editor.get("/staff/review?axis=category").text)
    answer = editor.post("/staff/review", asked | fields, headers=FETCH)
    assert answer.get_json()["taken"] == 1
    label = holds(tagged, asked["product"], "category")
    assert (label.source, label.value) == ("person", value)


def test_skipping_and_rejecting(tagged: Catalogue, browser: OpenBrowser, app: Flask) -> None:
    editor = browser("editor")
    asked = question(editor.get("/staff/review?axis=category").text)
    editor.post("/staff/review", asked | {"action": "reject"}, headers=FETCH)
    desk_of(app).again.finish()  # predicted anew, so that it may be asked again
    label = holds(tagged, asked["product"], "category")
    assert label is None or label.value != proposal(asked)
    asked = question(editor.get("/staff/review?axis=category").text)
    editor.post("/staff/review", asked | {"action": "skip"}, headers=FETCH)
    assert question(editor.get("/staff/review?axis=category").text) != asked


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"action": "set", "value": "Kitchen > Sofas"}, "no category"),
        ({"action": "set", "value": ""}, "value is missing"),
        ({"action": "set", "value": "Mugs", "product": "nobody"}, "no product"),
        ({"action": "dance"}, "too old"),
        ({"action": "set", "value": "<script>", "axis": "no such"}, "no such axis"),
    ],
)
def test_decisions_that_make_no_sense(
    tagged: Catalogue, browser: OpenBrowser, fields: dict[str, str], said: str
) -> None:
    editor = browser("editor")
    asked = question(editor.get("/staff/review?axis=category").text)
    answer = editor.post("/staff/review", asked | fields, headers=FETCH)
    assert answer.status_code == 400
    assert said in answer.text
    assert "<script>" not in answer.text
    label = holds(tagged, asked["product"], "category")
    assert label is None or label.source != "person"


def test_many_at_once(tagged: Catalogue, browser: OpenBrowser) -> None:
    editor = browser("editor")
    page = editor.get("/staff/review/grid").text
    picked = re.findall(r'name="picked" value="([^"]+)"', page)
    hidden = dict(re.findall(r'<input type="hidden" name="(proposal:[^"]+)" value="([^"]*)"', page))
    hidden = {name: text.replace("&gt;", ">") for name, text in hidden.items()}
    assert len(picked) > 3
    common = {"grid": "1", "axis": "category", "value": "", **hidden}
    some = {"picked": picked[:2]} | common
    answer = editor.post("/staff/review", some | {"action": "accept", "value": "ignored"})
    assert answer.headers["Location"].startswith("/staff/review/grid")
    for each in picked[:2]:
        assert holds(tagged, each, "category").value == hidden[f"proposal:{each}"]
    editor.post(
        "/staff/review", {"picked": picked[2:4]} | common | {"action": "set", "value": "Pots"}
    )
    assert {holds(tagged, each, "category").value for each in picked[2:4]} == {"Garden > Pots"}
    editor.post("/staff/review/undo", {"grid": "1"})  # both, as one step
    for each in picked[2:4]:
        label = holds(tagged, each, "category")
        assert label is None or label.source != "person"
    editor.post("/staff/review", common | {"action": "accept"})
    assert "Pick some products first." in editor.get("/staff/review/grid").text


def test_who_may_only_look_has_nothing_to_press(tagged: Catalogue, browser: OpenBrowser) -> None:
    for path in ("/staff/review?axis=category", "/staff/review/grid"):
        press = {
            name: len(re.findall(r"<(?:button|input)[^>]*name=\"(?:action|picked)\"", page))
            for name in ("viewer", "editor")
            if (page := browser(name).get(path).text)
        }
        assert press["viewer"] == 0 < press["editor"]
        page = browser("viewer").get(path).text
        assert "needs an editor" in page and "Undo" not in page


def test_open_questions_are_counted_on_the_axis(
    tagged: Catalogue, browser: OpenBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tagged.reading() as table:
        assert queue_length(table, "category") == len(queue(tagged, 1000, axis="category")) > 0
        assert queue_length(table, "colour") == 0 < queue_length(table)
    counts = {None: 1234, "category": 567}
    monkeypatch.setattr("webapp.staff.review.queue_length", lambda _, axis: counts[axis])
    for path, shown in (("review", "1,234"), ("review?axis=category", "567")):
        assert f'id="open">{shown}<' in browser("viewer").get(f"/staff/{path}").text


def test_what_comes_next_is_not_what_the_page_has(tagged: Catalogue, browser: OpenBrowser) -> None:
    editor = browser("viewer")
    keys = re.findall(r'data-key="(\d+:\w+)"', editor.get("/staff/review").text)
    more = editor.get("/staff/review/more", query_string={"seen": keys}).text
    assert keys and not set(keys) & set(re.findall(r'data-key="(\d+:\w+)"', more))
    assert "<html" not in more


def test_a_question_has_its_reasons(tagged: Catalogue, browser: OpenBrowser) -> None:
    viewer = browser("viewer")
    page = viewer.get("/staff/review?axis=category").text
    article = re.findall(r"<article.*?</article>", page, re.S)[0]
    like = re.findall(r'/staff/product\?id=(p\d+)"><img', article)
    assert like
    assert all(holds(tagged, each, "category").source == "feed" for each in like)
    heat = re.search(r'data-src="([^"]+)"', article)
    assert heat is not None
    answer = viewer.get(heat[1].replace("&amp;", "&"))
    assert answer.mimetype == "image/jpeg"
    assert read_image(answer.data).width > 8
    assert viewer.get("/staff/review/heat.jpg?picture=x").status_code == 404


def test_completion(tagged: Catalogue, browser: OpenBrowser) -> None:
    viewer = browser("viewer")
    assert viewer.get("/staff/values?q=mu").get_json() == ["Kitchen > Mugs"]
    assert viewer.get("/staff/values?q=kitchen").get_json()[0] == "Kitchen"
    assert viewer.get("/staff/values?q=x&axis=nothing").get_json() == []
    values = ["Home > Red things", "Red", "Green", "Home > Bored"]
    assert matches(values, "red") == ["Red", "Home > Red things", "Home > Bored"]
    assert matches(values, "home re") == ["Home > Bored", "Home > Red things"]


def test_without_a_head_there_is_nothing_to_review(browser: OpenBrowser) -> None:
    assert "Nothing is open" in browser("viewer").get("/staff/review").text


# --- products -----------------------------------------------------------------------------------


def ids(page: str) -> list[str]:
    return re.findall(r'class="tile"><a href="/staff/product\?id=(p\d+)"', page)


def test_finding_products(browser: OpenBrowser) -> None:
    viewer = browser("viewer")
    assert len(ids(viewer.get("/staff/products").text)) == 24
    assert ids(viewer.get("/staff/products?q=p7").text)[0] == "p7"
    assert ids(viewer.get("/staff/products?q=product+7").text)[0] in ("p7", "p17")
    assert set(ids(viewer.get("/staff/products?category=Garden").text)) == {
        f"p{number}" for number in range(2, 24, 3)
    }
    assert ids(viewer.get("/staff/products?without=category").text) == []
    assert "0 products" in viewer.get("/staff/products?q=%25_%27--").text


def picture(number: int, side: int = 72) -> io.BytesIO:
    file = io.BytesIO()
    tiny.draw(number, side=side).save(file, "PNG")
    return io.BytesIO(file.getvalue())


def test_finding_by_photo(app: Flask, browser: OpenBrowser) -> None:
    editor = browser("editor")
    answer = editor.post("/staff/products/photo", {"photo": (picture(7), "a.png")})
    assert ids(answer.text)[0] == "p7"
    assert desk_of(app).searches.summary().searches == 0  # that was no customer


def fields_of(page: str) -> dict[str, str]:
    """Return the fields of a product's form as they stand on the page."""
    form = page.split('id="edit"')[1].split("</form>")[0]
    found = dict(re.findall(r'<input (?:type="\w+" )?name="([^"]+)"[^>]*? value="([^"]*)"', form))
    return {name: text.replace("&gt;", ">") for name, text in found.items()}


def test_changing_a_product(catalogue: Catalogue, app: Flask, browser: OpenBrowser) -> None:
    editor = browser("editor")
    fields = fields_of(editor.get("/staff/product?id=p7").text)
    assert fields["title"] == "Product 7"
    assert fields["a.colour"] == "black"
    new = {"title": "A blue mug", "price": "12,50", "category": "Garden > Pots", "a.colour": "blue"}
    assert editor.post("/staff/product", fields | new).status_code == 303
    stored = service_of(app).product("p7")
    assert stored is not None
    product = stored.product
    assert (product.title, product.price, product.brand) == ("A blue mug", 12.5, "Bolt")
    assert (product.category, product.attributes["colour"]) == ("Garden > Pots", "blue")
    assert stored.feed.category == "Kitchen > Bowls"  # as the feed has it; the decision goes before
    assert holds(catalogue, "p7", "colour").who == "editor"
    stale = editor.post("/staff/product", fields | {"title": "Mine"})  # from the page of before
    assert stale.status_code == 400
    assert "somebody else" in stale.text
    assert service_of(app).product("p7") == stored
    again = fields_of(stale.text)
    assert again["title"] == "Mine"  # nothing typed is lost, and saving it again is meant
    editor.post("/staff/product", again | {"title": "A blue mug"} | new)
    same = fields_of(editor.get("/staff/product?id=p7").text)
    editor.post("/staff/product", same)
    assert "Nothing was changed." in editor.get("/staff/product?id=p7").text
    page = editor.get("/staff/product?id=p7").text
    assert "decided by editor" in page
    assert "A blue mug" in page.split("History")[1]


def test_the_feed_wins_back_what_belongs_to_it(
    catalogue: Catalogue, browser: OpenBrowser, app: Flask, feed: Callable[..., Path]
) -> None:
    editor = browser("editor")
    fields = fields_of(editor.get("/staff/product?id=p7").text)
    editor.post("/staff/product", fields | {"title": "Mine", "category": "Garden > Pots"})
    catalogue.add([feed(1, 7, name="again.csv")])
    stored = service_of(app).product("p7")
    assert stored is not None
    assert (stored.product.title, stored.product.category) == ("Product 7", "Garden > Pots")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("price", "cheap", "A price is a number"), ("price", "-1", "A price is a number"),
        ("price", "nan", "A price is a number"), ("currency", "EURO", "three letters"),
        ("url", "javascript:alert(1)", "begins with"), ("title", "x" * 10_001, "too long"),
        ("title", "a\0b", "not text"), ("category", "K" * 10_001, "too long"),
    ],
)  # fmt: skip
def test_values_that_no_product_has(
    app: Flask, browser: OpenBrowser, name: str, value: str, said: str
) -> None:
    editor = browser("editor")
    before = service_of(app).product("p7")
    fields = fields_of(editor.get("/staff/product?id=p7").text)
    answer = editor.post("/staff/product", fields | {name: value})
    assert answer.status_code == 400
    assert said in answer.text
    assert service_of(app).product("p7") == before
    if '"' not in value and "\0" not in value:
        assert fields_of(answer.text)[name] == value  # kept


def test_script_in_a_title_is_text(browser: OpenBrowser) -> None:
    editor = browser("editor")
    fields = fields_of(editor.get("/staff/product?id=p7").text)
    evil = '"><script>alert(1)</script>'
    editor.post("/staff/product", fields | {"title": evil, "a.colour": evil, "new_name": evil})
    for path in ("/staff/product?id=p7", "/staff/products?q=script", "/staff/product/remove?id=p7",
                 "/staff/product/merge?id=p7&other=p8", "/product?id=p7"):  # fmt: skip
        page = editor.get(path).text
        assert "alert(1)" in page
        assert "<script>alert" not in page


def shas(app: Flask, product_id: str) -> list[str]:
    stored = service_of(app).product(product_id)
    assert stored is not None
    return [view.sha256 for view in stored.views]


def test_pictures_come_and_go(catalogue: Catalogue, app: Flask, browser: OpenBrowser) -> None:
    editor = browser("editor")
    (before,) = shas(app, "p7")

    def send(file: io.BytesIO) -> TestResponse:
        return editor.post("/staff/product/pictures", {"id": "p7", "photo": (file, "../a.png")})

    assert send(picture(77)).status_code == 303
    assert shas(app, "p7")[0] == before
    added = shas(app, "p7")[1]
    stored = service_of(app).product("p7")
    assert stored is not None
    assert stored.views[1].location == f"upload:{added}"
    found = catalogue.search(Query(photo=picture(77).getvalue()))
    assert found.hits[0].product.product_id == "p7"
    send(picture(77))
    assert "has this picture already" in editor.get("/staff/product?id=p7").text
    for bad in (b"no picture", b"", b"\x89PNG\r\n\x1a\n" + b"x" * 100):
        assert send(io.BytesIO(bad)).status_code == 400
    change = {"id": "p7", "picture": added, "what": "first"}
    editor.post("/staff/product/pictures/change", change)
    assert shas(app, "p7") == [added, before]
    editor.post("/staff/product/pictures/change", change | {"what": "remove", "picture": before})
    assert shas(app, "p7") == [added]
    last = editor.post("/staff/product/pictures/change", change | {"what": "remove"})
    assert last.status_code == 400
    assert "needs a picture" in last.text
    assert (
        editor.post("/staff/product/pictures/change", change | {"picture": "x"}).status_code == 404
    )
    with catalogue.reading() as table:
        table.verify(catalogue.fingerprint)


def test_merging(catalogue: Catalogue, app: Flask, browser: OpenBrowser) -> None:
    editor = browser("editor")
    fields = fields_of(editor.get("/staff/product?id=p8").text)
    editor.post("/staff/product", fields | {"a.colour": "teal", "category": "Kitchen > Mugs"})
    shown = shas(app, "p7") + shas(app, "p8")
    page = editor.get("/staff/product/merge?id=p7&other=p8").text
    assert page.count("Keep this one") == 2
    assert editor.post("/staff/product/merge", {"keep": "p7", "other": "p8"}).status_code == 303
    assert service_of(app).product("p8") is None
    assert shas(app, "p7") == shown
    assert holds(catalogue, "p7", "colour").value == "teal"  # decided about what is the same now
    assert catalogue.search(Query(photo=picture(8).getvalue())).hits[0].product.product_id == "p7"
    for other, said in (("p8", "No product has the number p8"), ("p7", "one product already")):
        answer = editor.get(f"/staff/product/merge?id=p7&other={other}")
        assert answer.headers["Location"].endswith("/staff/product?id=p7")
        assert said in editor.get("/staff/product?id=p7").text
    assert editor.post("/staff/product/merge", {"keep": "p7", "other": "p7"}).status_code == 400
    with catalogue.reading() as table:
        table.verify(catalogue.fingerprint)


def test_removing_asks_first(app: Flask, browser: OpenBrowser) -> None:
    editor = browser("editor")
    page = editor.get("/staff/product/remove?id=p7").text
    assert "Remove “Product 7”?" in page
    assert service_of(app).product("p7") is not None
    editor.post("/staff/product/remove", {"id": "p7"})
    assert service_of(app).product("p7") is None
    assert editor.post("/staff/product/remove", {"id": "p7"}).status_code == 404


# --- imports and jobs ---------------------------------------------------------------------------


def run_jobs(app: Flask) -> None:
    work_off(service_of(app).catalogue.path, "test")


def test_a_feed_from_upload_to_product(app: Flask, browser: OpenBrowser) -> None:
    editor = browser("editor")
    feed = (io.BytesIO(packed(3, bad=2)), "../../<b>my feed</b>.zip")
    there = editor.post("/staff/imports", {"feed": feed}).headers["Location"]
    assert "Waiting for its turn" in editor.get(there).text
    run_jobs(app)
    page = editor.get(there).text
    assert "Import 3 products" in page
    assert "Product 100" in page
    assert "2 things passed over" in page
    assert "no such file" in page
    assert "<b>my" not in page
    assert service_of(app).product("p100") is None
    number = there.rsplit("/", 1)[1]
    told = editor.get(f"/staff/jobs/{number}/rejects.csv")
    assert len(list(csv.reader(io.StringIO(told.text)))) == 3
    assert str(service_of(app).catalogue.path) not in told.text + page
    job = editor.post(f"/staff/imports/{number}/commit").headers["Location"]
    run_jobs(app)
    assert "new products" in editor.get(job).text
    page = editor.get(there).text
    assert "Import 3 products" not in page and job in page
    assert service_of(app).product("p100") is not None
    used = editor.post(f"/staff/imports/{number}/discard")
    assert used.status_code == 400
    assert "in use" in used.text


def test_throwing_a_feed_away(app: Flask, browser: OpenBrowser) -> None:
    editor = browser("editor")
    feed = {"feed": (io.BytesIO(packed(1)), "feed.zip")}
    there = editor.post("/staff/imports", feed).headers["Location"]
    run_jobs(app)
    folders = service_of(app).catalogue.path / "imports"
    assert len(list(folders.iterdir())) == 1
    assert editor.post(f"{there}/discard").status_code == 303
    assert not list(folders.iterdir())
    assert editor.post(f"{there}/commit").status_code == 400
    assert "no longer here" in editor.get(there).text
    assert [each.kind for each in desk_of(app).jobs.latest()] == ["check"]


def test_a_feed_in_parts(app: Flask, browser: OpenBrowser) -> None:
    editor = browser("editor")
    whole = packed(4)
    begun = editor.post("/staff/imports/parts", {"name": "big.ZIP"}).get_json()
    address = f"/staff/imports/parts/{begun['token']}"
    half = len(whole) // 2

    def part(data: bytes, offset: int) -> Any:
        return editor.post(f"{address}?offset={offset}", data, headers=FETCH).get_json()["size"]

    assert part(whole[:half], 0) == half
    assert part(whole[:half], 0) == half  # sent twice: the answer says where to go on
    assert part(whole[half:], half + 1) == half
    assert part(whole[half:], half) == len(whole)
    ended = editor.post(f"{address}/end", {"name": "big.ZIP"}, headers=FETCH).get_json()
    run_jobs(app)
    assert "Import 4 products" in editor.get(ended["address"]).text
    for bad in ("x", "../" * 3, "0" * 32, begun["token"] + "/.."):
        path = f"/staff/imports/parts/{bad}"
        assert editor.post(path, b"x", headers=FETCH).status_code in (400, 404, 405)


def test_feeds_that_are_too_large(app: Flask, browser: OpenBrowser) -> None:
    editor = browser("editor")
    desk_of(app).max_import = 1000
    begun = editor.post("/staff/imports/parts", {"name": "a.zip"}).get_json()
    address = f"/staff/imports/parts/{begun['token']}"
    assert editor.post(f"{address}?offset=0", b"x" * 900, headers=FETCH).status_code == 200
    assert editor.post(f"{address}?offset=900", b"x" * 101, headers=FETCH).status_code == 413
    assert not list((service_of(app).catalogue.path / "imports").iterdir())
    huge = b"x" * 2**21
    kind = "multipart/form-data; boundary=x"
    assert editor.post("/staff/imports", huge, content_type=kind).status_code == 413
    for name in ("a.exe", "", "zip", "a.zip.html", "a.csv/"):
        answer = editor.post("/staff/imports/parts", {"name": name})
        assert answer.status_code == 400, name


def test_feeds_that_nobody_imports_are_deleted(app: Flask, browser: OpenBrowser) -> None:
    editor = browser("editor")
    folders = service_of(app).catalogue.path / "imports"

    def begin() -> str:
        begun = editor.post("/staff/imports/parts", {"name": "a.zip"}).get_json()
        return str(begun["token"])

    old, used, new = begin(), begin(), begin()
    args = {"upload": used, "files": ["feed.zip"], "name": "a"}
    desk_of(app).jobs.add("import", args, who="editor")
    for token in (old, used):
        os.utime(folders / token, (0, 0))
    newest = begin()
    assert {each.name for each in folders.iterdir()} == {used, new, newest}


def test_names_that_clients_send_are_no_paths(app: Flask, browser: OpenBrowser) -> None:
    editor = browser("editor")
    folder = service_of(app).catalogue.path
    before = {path for path in folder.parent.rglob("*") if "imports" not in path.parts}
    for name in ("../../evil.csv", "/etc/evil.zip", "..\\evil.csv", "con.csv", "a\0.csv", ".csv"):
        editor.post("/staff/imports", {"feed": (io.BytesIO(b"id,image\n"), name)})
    assert {path for path in folder.parent.rglob("*") if "imports" not in path.parts} == before
    names = {path.name for path in (folder / "imports").rglob("*.*")}
    assert names <= {"feed.csv", "feed.zip"}


def test_export_is_what_import_reads(app: Flask, browser: OpenBrowser) -> None:
    viewer = browser("viewer")
    rows = list(csv.DictReader(io.StringIO(viewer.get("/staff/export.csv").text)))
    assert len(rows) == 24
    lines = viewer.get("/staff/export.jsonl").text.splitlines()
    assert json.loads(lines[7])["title"] == "Product 7"
    assert viewer.get("/staff/export.exe").status_code == 404


def test_jobs_are_started_followed_and_stopped(app: Flask, browser: OpenBrowser) -> None:
    editor = browser("editor")
    there = editor.post("/staff/jobs", {"kind": "train", "precision": "95"}).headers["Location"]
    assert desk_of(app).jobs.latest()[0].args == {"precision": 0.95}
    assert editor.get(f"{there}.json").get_json()["state"] == "queued"
    other = editor.post("/staff/jobs", {"kind": "tag"}).headers["Location"]
    assert editor.post(f"{other}/cancel").status_code == 303
    assert editor.get(f"{other}.json").get_json()["state"] == "cancelled"
    assert editor.post(f"{other}/cancel").status_code == 400
    run_jobs(app)
    events = editor.get(f"{there}/events")
    assert events.mimetype == "text/event-stream"
    told = json.loads(events.text.split("data: ")[1].split("\n")[0])
    assert (told["state"], told["over"]) == ("done", True)
    page = editor.get(there).text
    assert "Head 1" in page
    assert "products tagged" in page
    for bad in ({"kind": "check"}, {"kind": "x"}, {"kind": "train", "precision": "20"}):
        assert editor.post("/staff/jobs", bad).status_code == 400
    assert editor.get("/staff/jobs/999").status_code in (400, 404)


def test_a_report_is_shown_with_a_policy_of_its_own(app: Flask, browser: OpenBrowser) -> None:
    editor = browser("editor")
    there = editor.post("/staff/jobs", {"kind": "evaluate"}).headers["Location"]
    assert editor.get(f"{there}/report").status_code == 404
    run_jobs(app)
    assert "The whole report" in editor.get(there).text
    report = editor.get(f"{there}/report")
    assert report.status_code == 200
    policy = report.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "sandbox" in policy and "script" not in policy


def test_pages_that_follow_are_few(app: Flask, browser: OpenBrowser) -> None:
    viewer, editor = browser("viewer"), browser("editor")
    there = editor.post("/staff/jobs", {"kind": "tag"}).headers["Location"]
    streams = [viewer.client.get(f"{there}/events", buffered=False) for _ in range(6)]
    first = [next(iter(each.response)) for each in streams]
    assert all("retry" in str(each) for each in first)
    assert viewer.get(f"{there}/events").status_code == 204
    streams[0].close()
    again = viewer.client.get(f"{there}/events", buffered=False)
    assert again.status_code == 200
    for each in (*streams[1:], again):
        each.close()


# --- the overview -------------------------------------------------------------------------------


def test_the_overview_counts(tagged: Catalogue, app: Flask, browser: OpenBrowser) -> None:
    editor = browser("editor")
    editor.post("/staff/review", question(editor.get("/staff/review?axis=category").text)
                | {"action": "outside"})  # fmt: skip
    page = editor.get("/staff/").text
    assert "<b>36</b>" in page
    row = page.split(">Category</th>")[1].split("</tr>")[0]
    cells = [int(re.sub(r"<[^>]+>", "", each)) for each in re.findall(r"<td>(.*?)</td>", row)[1:]]
    with tagged.reading() as table:
        stored = table.get(table.all_keys())
        labels = product_labels(table, stored)
    sources = [each["category"].source for each in labels.values()
               if "category" in each and each["category"].value]  # fmt: skip
    assert cells == [
        sources.count("person"), sources.count("feed"), sources.count("head"), 36 - len(sources)
    ]  # fmt: skip


def test_what_customers_look_for_and_do_not_find(app: Flask, browser: OpenBrowser) -> None:
    service = service_of(app)
    answers: list[Answer] = []
    for number in (7, 90, 91, 92):
        answers.append(service.search(Query(photo=read_image(picture(number).getvalue()))))
    service.search(Query(text="red", where=("price<0",)))
    service.search(Query(like="p7"))  # shown beside a product: nobody searched
    service.desk._searched.finish()
    summary = service.desk.searches.summary()
    assert summary.searches == 5
    assert summary.by_day[-1][1] == 5
    missed = [each for each in answers if each.verdict == "not stocked"]
    assert sum(each.count for each in summary.not_stocked) == len(missed)
    assert [(each.what, each.count) for each in summary.without_hits] == [("red", 1)]
    assert summary.stages["total"][0] > 0
    assert not any(each.shown for each in summary.not_stocked)  # photos are not kept
    viewer = browser("viewer")
    for language in LANGUAGES:
        answer = viewer.get(f"/staff/?lang={language}")
        assert (answer.status_code, "“red”" in answer.text) == (200, True)


def test_photos_of_what_was_missed_are_kept_where_wished(
    catalogue: Catalogue, browser: OpenBrowser
) -> None:
    made = Desk(catalogue, keep_photos=True)
    photo = read_image(picture(90, 700).getvalue())
    for verdict in ("not stocked", "similar"):
        made.note_search(Query(photo=photo), Answer(verdict, (), {"encode": 5.0}))  # type: ignore[arg-type]
    made._searched.finish()
    (missed,) = made.searches.summary().not_stocked
    (shown,) = missed.shown
    kept = made.searches.preview(shown)
    assert kept is not None
    assert max(read_image(kept).width, read_image(kept).height) == 256
    viewer = browser("viewer")
    assert viewer.get(f"/staff/searches/{shown}.jpg").data == kept
    assert viewer.get(f"/staff/searches/{shown + 1}.jpg").status_code == 404
    made.close()


def test_searching_goes_on_while_the_log_is_written(app: Flask) -> None:
    service = service_of(app)
    query = Query(photo=read_image(picture(7).getvalue()))
    threads = [threading.Thread(target=service.search, args=(query,)) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    service.desk._searched.finish()
    assert service.desk.searches.summary().searches == 8
