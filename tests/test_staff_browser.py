"""The staff pages in a real browser: review by keyboard, an import followed live, axe."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect
from test_browser import CHROMIUM, DESKTOP, PHONE, browser
from test_jobs import TinyWorker, packed
from werkzeug.serving import make_server

import index.service.accounts
from index.catalogue import Catalogue
from index.labels.review import queue
from index.labels.standing import product_labels
from index.labels.tagging import tag, train
from webapp.app import create_app
from webapp.services import Config, Services

__all__ = ["browser"]  # the fixture, one for both modules' pages

PASSWORD = "correct horse battery"

pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).exists(), reason="Chromium is not here; on Debian: apt install chromium"
)

OpenPage = Callable[..., Page]


@pytest.fixture
def service(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Services]:
    """Serve a catalogue with 30 unlabelled products, from a thread, on ``service.port``."""
    monkeypatch.setattr(index.service.accounts, "_COST", (4, 2, 1))
    catalogue.add([tiny.write_feed(tmp_path / "more.csv", 30, 40, category="")])
    train(catalogue)
    tag(catalogue)
    app = create_app(catalogue, Config(searches_per_minute=0))
    made: Services = app.extensions["findalike"]
    for role in ("viewer", "editor", "admin"):
        made.desk.accounts.add(role, PASSWORD, role)  # type: ignore[arg-type]
    made.desk.foreman.hire = lambda path, name: TinyWorker(path, name, **{tiny.DELAY: "0.2"})
    made.desk.start()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    made.port = server.server_port  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join(10)
    server.server_close()
    made.close()


@pytest.fixture
def open_page(browser: Browser, service: Services) -> Iterator[OpenPage]:
    """Open a page, logged in: open_page("/staff/review", "editor", PHONE, ...)."""
    contexts = []
    errors: list[str] = []

    def opened(path: str, name: str = "editor", size: Any = DESKTOP, **options: Any) -> Page:
        address = f"http://127.0.0.1:{service.port}"  # type: ignore[attr-defined]
        context = browser.new_context(**size, locale="en-US", base_url=address, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda each: errors.append(each.text) if _is_bad(each) else None)
        page.goto(path)
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"**{path}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not errors


def _is_bad(said: ConsoleMessage) -> bool:
    return said.type == "error" and "503" not in said.text  # which one test sends on purpose


def asked(page: Page) -> str:
    """Return the id of the product that is asked about now."""
    return page.locator(".question:visible a").first.text_content() or ""


def decided(service: Services) -> dict[str, tuple[str, str]]:
    """Return what people decided on categories: (value, who) by product."""
    with service.catalogue.reading() as table:
        stored = table.get(table.all_keys())
        labels = product_labels(table, stored)
    return {
        stored[key].product.product_id: (each["category"].value, each["category"].who)
        for key, each in labels.items()
        if "category" in each and each["category"].source == "person"
    }


def saved(page: Page, service: Services, count: int) -> dict[str, tuple[str, str]]:
    """Wait until so many decisions are written."""
    for _ in range(100):
        if len(found := decided(service)) == count:
            return found
        page.wait_for_timeout(50)
    raise AssertionError(f"{count} decisions expected, there are {len(found)}")


def test_review_by_keyboard(open_page: OpenPage, service: Services) -> None:
    page = open_page("/staff/review?axis=category")
    ids, wanted = [], []
    for key in ("Enter", "2", "n"):
        ids.append(asked(page))
        best = page.locator(".question:visible .pick-one .value").all_text_contents()
        wanted.append({"Enter": best[0], "2": best[1], "n": ""}[key].replace("›", ">"))
        page.keyboard.press(key)
        expect(page.locator(".question:visible a").first).not_to_have_text(ids[-1])
    found = saved(page, service, 3)
    assert [" ".join(each.split()) for each in wanted] == [found[each][0] for each in ids]
    assert {who for _, who in found.values()} == {"editor"}
    assert page.evaluate("document.activeElement.tagName") == "H2"  # read to who cannot see it
    page.keyboard.press("u")
    expect(page.locator(".question:visible a").first).to_have_text(ids[-1])
    assert ids[-1] not in saved(page, service, 2)
    page.keyboard.press("/")
    page.keyboard.type("pots")
    expect(page.locator("datalist option")).to_have_count(1)
    page.keyboard.press("Enter")
    assert saved(page, service, 3)[ids[-1]] == ("Garden > Pots", "editor")
    there = asked(page)
    page.keyboard.press("s")
    expect(page.locator(".question:visible a").first).not_to_have_text(there)
    there = asked(page)
    page.keyboard.press("Backspace")
    expect(page.locator(".question:visible a").first).not_to_have_text(there)
    expect(page.locator("#pace")).to_contain_text("5 taken")


def test_shortcuts_can_be_switched_off(open_page: OpenPage, service: Services) -> None:
    page = open_page("/staff/review?axis=category")
    page.get_by_label("Shortcuts by single keys").uncheck()
    page.locator("h1").click()
    before = asked(page)
    for key in ("Enter", "1", "n", "s", "Backspace"):
        page.keyboard.press(key)
    page.reload()
    expect(page.get_by_label("Shortcuts by single keys")).not_to_be_checked()
    page.keyboard.press("1")
    assert asked(page) == before
    assert not decided(service)
    page.get_by_role("button", name="Accept").first.click()
    saved(page, service, 1)


def test_the_whole_queue_without_waiting(open_page: OpenPage, service: Services) -> None:
    page = open_page("/staff/review?axis=category")
    count = len(queue(service.catalogue, 100, axis="category"))
    assert count > 12  # more than the page begins with
    for _ in range(count):
        page.locator(".question:visible").wait_for()
        page.keyboard.press("Enter")
    assert len(saved(page, service, count)) == count
    expect(page.get_by_role("heading", name="Nothing is open")).to_be_visible()
    expect(page.locator("#open")).to_have_text("0")


def test_a_decision_that_is_not_saved_comes_back(open_page: OpenPage, service: Services) -> None:
    page = open_page("/staff/review?axis=category")
    before = asked(page)
    page.route("**/staff/review", lambda route: route.fulfill(status=503, body="<p>Busy.</p>"))
    page.keyboard.press("1")
    expect(page.locator("#failed")).to_contain_text("could not be saved")
    assert asked(page) == before
    page.unroute("**/staff/review")
    page.keyboard.press("1")
    assert list(saved(page, service, 1)) == [before]
    expect(page.locator("#failed")).to_be_hidden()


def test_many_at_once(open_page: OpenPage, service: Services) -> None:
    page = open_page("/staff/review/grid?axis=category")
    expect(page.get_by_role("button", name="Accept the proposals")).to_be_disabled()
    boxes = page.get_by_role("checkbox")
    boxes.nth(0).click()
    boxes.nth(3).click(modifiers=["Shift"])
    expect(page.locator("#count")).to_contain_text("4 /")
    page.get_by_placeholder("Another value").fill("mugs")
    page.keyboard.press("Enter")
    expect(page.locator(".said")).to_have_text("4 decisions taken.")
    assert set(saved(page, service, 4).values()) == {("Kitchen > Mugs", "editor")}


def test_the_heat_map(open_page: OpenPage) -> None:
    page = open_page("/staff/review?axis=category")
    page.keyboard.press("h")
    heat = page.locator(".question:visible .heat")
    expect(heat).to_be_visible()
    expect(heat).not_to_have_js_property("naturalWidth", 0)
    page.keyboard.press("h")
    expect(heat).to_be_hidden()


def test_an_import_followed_live(open_page: OpenPage, service: Services, tmp_path: Path) -> None:
    path = tmp_path / "spring.zip"
    path.write_bytes(packed(70, bad=1))
    page = open_page("/staff/imports")
    streams: list[str] = []
    page.on("request", lambda each: streams.append(each.url) if "/events" in each.url else None)
    page.locator('input[type="file"]').set_input_files(path)
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_role("button", name="Import 70 products")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("1 thing passed over")).to_be_visible()
    assert service.catalogue.info()["products"] == 54
    page.get_by_role("button", name="Import 70 products").click()
    expect(page.locator(".text")).to_contain_text("/ 70", timeout=60_000)
    expect(page.locator(".text")).to_have_text("Finished", timeout=60_000)
    assert len(streams) >= 2
    assert service.catalogue.info()["products"] == 124
    expect(page.get_by_text("new products")).to_be_visible()


def test_an_import_is_stopped(open_page: OpenPage, service: Services, tmp_path: Path) -> None:
    path = tmp_path / "spring.zip"
    path.write_bytes(packed(300))
    page = open_page("/staff/imports", size=PHONE)
    page.locator('input[type="file"]').set_input_files(path)
    page.get_by_role("button", name="Look at it").click()
    page.get_by_role("button", name="Import 300 products").click(timeout=60_000)
    expect(page.locator(".text")).to_contain_text("/ 300", timeout=60_000)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".text")).to_have_text("Stopped", timeout=60_000)
    assert 54 <= service.catalogue.info()["products"] < 354


def test_a_product_is_edited(open_page: OpenPage, service: Services) -> None:
    page = open_page("/staff/products?q=p7")
    page.get_by_role("link", name="Product 7").first.click()
    page.get_by_label("Title").fill("A fine mug")
    page.get_by_label("Category").fill("mugs")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".said")).to_have_text("Saved.")
    stored = service.product("p7")
    assert stored is not None
    assert (stored.product.title, stored.product.category) == ("A fine mug", "Kitchen > Mugs")


def test_everything_works_without_script(
    open_page: OpenPage, service: Services, tmp_path: Path
) -> None:
    page = open_page("/staff/review?axis=category", java_script_enabled=False)
    expect(page.locator(".question:visible")).to_have_count(1)
    first = asked(page)
    page.locator(".question:visible .pick-one").first.click()
    expect(page.locator(".said")).to_have_text("1 decision taken.")
    assert list(saved(page, service, 1)) == [first]
    page.locator(".question:visible").get_by_label("Another value").fill("bowls")
    page.locator(".question:visible").get_by_role("button", name="Set").click()
    saved(page, service, 2)
    page.get_by_role("button", name="Undo").click()
    saved(page, service, 1)
    page.goto("/staff/imports")
    path = tmp_path / "spring.zip"
    path.write_bytes(packed(3))
    page.locator('input[type="file"]').set_input_files(path)
    page.get_by_role("button", name="Look at it").click()
    for _ in range(60):
        if page.get_by_role("button", name="Import 3 products").is_visible():
            break
        page.wait_for_timeout(500)
        page.reload()
    page.get_by_role("button", name="Import 3 products").click()
    assert page.url.rpartition("/")[2].isdigit()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_axe_finds_nothing(open_page: OpenPage, service: Services, size: Any, scheme: str) -> None:
    service.desk.jobs.add("tag", {}, who="admin")
    # axe is put into the page, which its policy would not let a stranger do.
    page = open_page(
        "/staff/", "admin", size, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce"
    )
    for path in (
        "/staff/", "/staff/review", "/staff/review/grid", "/staff/products", "/staff/product?id=p7",
        "/staff/product/merge?id=p7&other=p8", "/staff/product/remove?id=p7", "/staff/imports",
        "/staff/jobs", "/staff/jobs/1", "/staff/accounts", "/staff/log", "/staff/password",
        "/staff/?lang=zh",
    ):  # fmt: skip
        page.goto(path)
        page.wait_for_timeout(100)
        found = Axe().run(page).response["violations"]
        told = [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]
        assert not told, path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
