"""The pages in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import base64
import io
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright
from test_labelreport import axis, evaluation
from werkzeug.serving import make_server

from index.catalogue import Catalogue
from webapp.app import create_app
from webapp.reports.labels import write_label_html
from webapp.services import Config

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True,
}  # fmt: skip
SCREENSHOTS = Path(__file__).parents[1] / "results" / "screenshots"  # git ignores them
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}

pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).exists(), reason="Chromium is not here; on Debian: apt install chromium"
)

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def address(catalogue: Catalogue, tmp_path: Path) -> Iterator[str]:
    """Serve the small catalogue from a thread."""
    app = create_app(catalogue, Config(examples=(photo(tmp_path, 4),), searches_per_minute=0))
    server = make_server("127.0.0.1", 0, app, threaded=True)  # waitress cannot stop in a thread
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()
    app.extensions["findalike"].close()


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[OpenPage]:
    """Open a page: open_page("/", PHONE, java_script_enabled=False); errors in it fail the test."""
    contexts = []
    errors: list[str] = []

    def opened(path: str = "/", size: dict[str, Any] = DESKTOP, **options: Any) -> Page:
        context = browser.new_context(**size, locale="en-US", base_url=address, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda each: errors.append(each.text) if each.type == "error" else None)
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not errors


def photo(folder: Path, number: int, side: int = 400) -> Path:
    path = folder / f"photo-{number}.png"
    tiny.draw(number, side=side).save(path)
    return path


def choose(page: Page, path: Path) -> None:
    page.locator('input[type="file"]').last.set_input_files(path)


def first(page: Page) -> Any:
    return page.locator(".card .name").first


def finished(page: Page) -> None:
    expect(page.locator("#found")).to_have_attribute("aria-busy", "false")


# --- searching ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_photo_is_answered_on_the_same_page(
    open_page: OpenPage, tmp_path: Path, size: dict[str, Any]
) -> None:
    page = open_page("/", size)
    page.evaluate("window.same = true")
    choose(page, photo(tmp_path, 7))
    expect(first(page)).to_have_text("Product 7")
    expect(page.locator("#photo")).to_be_visible()
    assert page.evaluate("window.same")
    assert page.locator("#status").text_content()  # said to who cannot see it
    kind = "phone" if size is PHONE else "desktop"
    page.screenshot(path=SCREENSHOTS / f"{kind}.png", full_page=True)  # for eyes
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_camera_is_offered_on_a_phone(open_page: OpenPage) -> None:
    page = open_page("/", PHONE)
    camera = page.get_by_text("Take a photo", exact=True)
    expect(camera).to_be_visible()
    assert page.locator('input[capture="environment"]').count() == 1


def test_a_large_photo_is_made_smaller_before_it_is_sent(
    open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page()
    sizes: list[int] = []
    page.on("request", lambda each: sizes.append(len(each.post_data_buffer or b"")))
    path = tmp_path / "large.bmp"
    tiny.draw(7, side=2400).save(path)
    choose(page, path)
    expect(first(page)).to_have_text("Product 7")
    assert max(sizes) < path.stat().st_size / 10


def test_dropping_and_pasting(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    for number, event in ((5, "drop"), (6, "paste")):
        file = io.BytesIO()
        tiny.draw(number, side=300).save(file, "PNG")
        page.evaluate(
            """([kind, text]) => {
                const data = new DataTransfer();
                const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
                data.items.add(new File([bytes], "a.png", { type: "image/png" }));
                const given = { bubbles: true, cancelable: true };
                document.body.dispatchEvent(kind === "drop"
                    ? new DragEvent("drop", { ...given, dataTransfer: data })
                    : new ClipboardEvent("paste", { ...given, clipboardData: data }));
            }""",
            [event, base64.b64encode(file.getvalue()).decode()],
        )
        expect(first(page)).to_have_text(f"Product {number}")


def test_words_and_going_back(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    choose(page, photo(tmp_path, 7))
    expect(first(page)).to_have_text("Product 7")
    first(page).click()
    expect(page.locator("h1")).to_have_text("Product 7")
    page.go_back()
    expect(first(page)).to_have_text("Product 7")  # the photo is asked again
    expect(page.locator("#photo")).to_be_visible()
    page.get_by_role("link", name="findalike").click()
    expect(page.locator("#stage")).to_be_hidden()
    page.get_by_label("Words").fill("red")
    page.keyboard.press("Enter")
    expect(page.locator("#verdict")).to_have_text("Results for “red”")
    assert page.url.endswith("/?words=red")
    page.reload()
    expect(page.locator("#verdict")).to_have_text("Results for “red”")


def test_a_facet_narrows_and_more_like_this_leads_on(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    choose(page, photo(tmp_path, 7))
    expect(page.locator(".card")).to_have_count(24)
    page.get_by_role("checkbox", name="Bolt").check()
    expect(page.locator(".card")).to_have_count(12)
    expect(first(page)).to_have_text("Product 7")
    expect(page.get_by_role("checkbox", name="Bolt")).to_be_focused()
    page.get_by_label("Sort by").select_option("price")
    expect(first(page)).to_have_text("Product 1")
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator(".card")).to_have_count(24)
    page.get_by_role("link", name="More like Product 3", exact=True).click()
    expect(page.locator("#verdict")).to_have_text("More like Product 3")


def test_a_wrong_file_is_told_and_the_next_one_works(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    page = browser.new_page(base_url=address)
    page.goto("/")
    (tmp_path / "a.png").write_bytes(b"no picture")
    choose(page, tmp_path / "a.png")
    expect(page.get_by_role("alert")).to_contain_text("not a picture")
    choose(page, photo(tmp_path, 7))
    expect(first(page)).to_have_text("Product 7")
    page.context.close()


def test_sharing(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    choose(page, photo(tmp_path, 7))
    page.get_by_role("button", name="Share").click()
    address = page.get_by_label("Address of this search").input_value()
    assert "kept=" in address
    other = open_page(address)
    expect(first(other)).to_have_text("Product 7")
    expect(other.locator("#photo")).to_be_visible()
    other.get_by_role("checkbox", name="Bolt").check()
    expect(other.locator(".card")).to_have_count(12)


def test_back_takes_the_last_step_back(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    choose(page, photo(tmp_path, 7))
    expect(first(page)).to_have_text("Product 7")
    page.get_by_role("checkbox", name="Acme").check()
    expect(page.locator(".card")).to_have_count(12)
    choose(page, photo(tmp_path, 8))
    expect(first(page)).to_have_text("Product 8")
    page.go_back()
    expect(first(page)).not_to_have_text("Product 8")
    expect(page.locator(".card")).to_have_count(12)
    finished(page)
    page.go_back()
    expect(page.locator(".card")).to_have_count(24)
    expect(first(page)).to_have_text("Product 7")
    expect(page.locator("#photo")).to_be_visible()


def test_conditions_and_the_photo_can_be_taken_away(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    choose(page, photo(tmp_path, 7))
    page.get_by_role("checkbox", name="Bolt").check()
    expect(page.locator(".card")).to_have_count(12)
    page.get_by_role("button", name="Without “Bolt”").click()
    expect(page.locator(".card")).to_have_count(24)
    expect(page.get_by_role("checkbox", name="Bolt")).not_to_be_checked()
    expect(page.locator("#verdict")).to_be_focused()  # the button is gone
    page.get_by_label("Words").fill("red")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Without “red”")).to_be_visible()
    page.get_by_role("button", name="Take the photo away").click()
    expect(page.locator("#verdict")).to_have_text("Results for “red”")
    expect(page.locator("#photo")).to_be_hidden()
    assert page.url.endswith("/?words=red")


def test_another_language_keeps_the_search(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    choose(page, photo(tmp_path, 7))
    page.get_by_role("checkbox", name="Bolt").check()
    expect(page.locator(".card")).to_have_count(12)
    page.get_by_role("link", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(page.locator(".card")).to_have_count(12)
    expect(first(page)).to_have_text("Product 7")
    expect(page.locator("#photo")).to_be_visible()


def test_a_search_that_fails_keeps_what_was_found(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    page = browser.new_page(base_url=address)
    page.goto("/")
    choose(page, photo(tmp_path, 7))
    expect(first(page)).to_have_text("Product 7")
    refused = {"status": 413, "content_type": "text/plain", "body": "generated by a proxy"}
    for how in (lambda route: route.abort(), lambda route: route.fulfill(**refused)):
        page.route("**/", how)
        page.get_by_role("checkbox", name="Bolt").click()
        expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
        expect(page.locator(".card")).to_have_count(24)
        assert "proxy" not in (page.locator("main").text_content() or "")
        page.unroute("**/")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".card")).to_have_count(12)
        expect(page.get_by_role("alert")).to_have_count(0)
        page.get_by_role("checkbox", name="Bolt").click()
        expect(page.locator(".card")).to_have_count(24)
    page.evaluate("document.getElementById('search').dataset.most = 1000")
    choose(page, photo(tmp_path, 8))
    expect(page.get_by_role("alert")).to_contain_text("too large")
    page.context.close()


def test_a_photo_on_its_side_is_turned(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    path = tmp_path / "side.png"
    tiny.draw(5, side=400).resize((400, 200)).rotate(90, expand=True).save(path)
    choose(page, path)
    finished(page)
    before = page.locator("#photo").get_attribute("src") or ""
    asked: list[str] = []
    page.on("request", lambda each: asked.append(each.method) if each.method == "POST" else None)
    page.get_by_role("button", name="Not upright? Turn it for me").click()
    expect(first(page)).to_have_text("Product 5")
    expect(page.locator("#photo")).not_to_have_attribute("src", before)
    size = "photo.decode().then(() => photo.naturalWidth)"
    assert page.evaluate(size) == 400  # it lies no longer on its side
    assert len(asked) == 1  # it is turned here too, and asked once
    page.get_by_role("checkbox", name="Bolt").check()
    expect(page.locator(".card")).to_have_count(12)
    expect(first(page)).to_have_text("Product 5")


def test_pictures_of_a_product_are_square(open_page: OpenPage) -> None:
    for size in (PHONE, DESKTOP):
        page = open_page("/product?id=p13", size)
        for picture in page.locator(".pictures img").all():
            frame = picture.bounding_box()
            assert frame is not None
            assert abs(frame["width"] - frame["height"]) < 1


# --- a part of the photo ------------------------------------------------------------------------


def two(folder: Path) -> Path:
    """Return a photo with product 5 on the left and product 8 on the right."""
    both = tiny.draw(5, side=400)
    wide = both.resize((800, 400))
    wide.paste(both, (0, 0))
    wide.paste(tiny.draw(8, side=400), (400, 0))
    wide.save(folder / "two.png")
    return folder / "two.png"


def places(page: Page) -> Callable[[float, float], tuple[float, float]]:
    """Return where in the window a place in the photo is."""
    page.locator("#photo").scroll_into_view_if_needed()
    frame = page.locator("#photo").bounding_box()
    assert frame is not None
    return lambda x, y: (frame["x"] + x * frame["width"], frame["y"] + y * frame["height"])


def test_a_box_by_mouse(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    choose(page, two(tmp_path))
    finished(page)
    page.get_by_role("button", name="Search a part").click()
    page.get_by_label("Part of the photo", exact=True).select_option("left")
    expect(first(page)).to_have_text("Product 5")
    finished(page)
    at = places(page)
    page.mouse.move(*at(0.25, 0.5))  # take hold of the box and move it to the right
    page.mouse.down()
    page.mouse.move(*at(0.75, 0.5), steps=4)
    page.mouse.up()
    expect(first(page)).to_have_text("Product 8")
    handle = page.locator(".box .nw").bounding_box()
    assert handle is not None
    page.mouse.move(handle["x"] + 13, handle["y"] + 13)
    page.mouse.down()
    page.mouse.move(*at(0, 0), steps=4)
    page.mouse.up()
    expect(page.locator("#region")).to_have_value("0.0000,0.0000,1.0000,1.0000")
    page.get_by_role("button", name="Search a part").click()
    expect(page.locator("#region")).to_have_value("0,0,1,1")


def test_a_box_by_keyboard(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    choose(page, two(tmp_path))
    page.get_by_role("button", name="Search a part").press("Enter")
    box = page.locator(".box")
    expect(box).to_be_focused()
    expect(page.locator("#region")).to_have_value("0.2000,0.2000,0.6000,0.6000")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    expect(page.locator("#region")).to_have_value("0.2200,0.2000,0.6000,0.6200")
    finished(page)
    page.keyboard.press("Escape")
    expect(page.locator("#region")).to_have_value("0,0,1,1")


def test_a_box_by_one_tap(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page("/", PHONE)
    choose(page, two(tmp_path))
    finished(page)
    page.get_by_role("button", name="Search a part").tap()
    page.get_by_label("Part of the photo", exact=True).select_option("whole")
    finished(page)
    page.touchscreen.tap(*places(page)(0.75, 0.5))
    expect(page.locator("#region")).to_have_value("0.5500,0.3000,0.4000,0.4000")


# --- everyone -----------------------------------------------------------------------------------


def test_it_works_without_script(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(java_script_enabled=False)
    choose(page, two(tmp_path))
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#photo")).to_be_visible()
    page.get_by_label("Part of the photo", exact=True).select_option("right")
    page.get_by_role("button", name="Search").click()
    expect(first(page)).to_have_text("Product 8")
    page.get_by_label("Acme").check()
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".card")).to_have_count(12)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_axe_finds_nothing(
    open_page: OpenPage, tmp_path: Path, size: dict[str, Any], scheme: str
) -> None:
    # axe is put into the page, which its policy would not let a stranger do.
    page = open_page("/", size, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")

    def check(what: str) -> None:
        page.wait_for_timeout(100)
        found = Axe().run(page).response["violations"]
        told = [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]
        assert not told, what

    check("start")
    choose(page, photo(tmp_path, 7))
    expect(first(page)).to_have_text("Product 7")
    check("found")
    page.get_by_role("button", name="Search a part").click()
    finished(page)
    check("part")
    page.evaluate("document.querySelector('#refine').open = true")
    page.get_by_role("button", name="Share").click()
    expect(page.locator("#shared")).to_be_visible()
    check("shared")
    for path in ("/product?id=p13", "/?category=Kitchen", "/?words=red&most=0"):
        page.goto(path)
        check(path)


def test_everything_can_be_done_by_keyboard(open_page: OpenPage) -> None:
    page = open_page("/?words=red")
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        here = page.locator(":focus")
        seen.append(f"{here.get_attribute('name')} {here.text_content()}")
    reached = " | ".join(seen)
    for what in ("Skip to", "中文", "photo", "words", "Search", "order", "category", "brand"):
        assert what in reached, what


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_axe_finds_nothing_in_a_report(
    browser: Browser, catalogue: Catalogue, tmp_path: Path, size: dict[str, Any]
) -> None:
    values = [f"Shop > Things > A kind of thing with a long name, {each}" for each in range(20)]
    result = evaluation(catalogue, *(axis(values, f"attribute {each}", 200) for each in range(5)))
    write_label_html(result, catalogue, tmp_path / "report.html")
    page = browser.new_page(**size)
    page.goto((tmp_path / "report.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    found = Axe().run(page).response["violations"]
    page.context.close()
    assert not [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]
