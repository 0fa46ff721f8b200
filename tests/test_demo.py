"""The demo: the sample catalogue, ten photos, the answers that are promised, and an open shop."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener, urlopen

import pytest
import tiny
from click.testing import CliRunner, Result

from index.catalogue import Catalogue
from webapp.cli import main
from webapp.terminal.demo import sample_photos


def demo(folder: Path) -> Result:
    return CliRunner().invoke(main, ["demo", "--catalogue", str(folder)])


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """Run the demo once, with the real built-in encoder: its catalogue, and what it said."""
    folder = tmp_path_factory.mktemp("demo") / "shop"
    return folder, demo(folder)


@contextmanager
def opened(folder: Path) -> Iterator[tuple[str, str]]:
    """Run the demo with its shop open; give the address and everything that was printed."""
    command = [sys.executable, "-c", "from webapp.cli import main; main()", "demo", "--serve"]
    with subprocess.Popen(
        [*command, "--port", "0", "--catalogue", str(folder)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as shop:  # fmt: skip
        assert shop.stdout is not None
        said = ""
        for line in shop.stdout:
            said += line
            if found := re.match(r"http://\S+/", line):
                break
        else:
            raise AssertionError(said)
        yield found[0], said
        shop.send_signal(signal.SIGTERM)
        assert shop.wait(30) == 0


def test_the_demo_answers(first: tuple[Path, Result]) -> None:
    folder, result = first
    assert result.exit_code == 0, result.output
    found = re.search(r"(\d+) of 10 found at first place", result.stdout)
    assert found and int(found[1]) >= 8, result.stdout
    assert f"--catalogue {folder}" in result.stdout
    with Catalogue.open(folder) as catalogue:
        before = catalogue.info()
    assert before["products"] == 429 and before["pictures"] == 858
    again = demo(folder)
    assert again.stdout == result.stdout
    with Catalogue.open(folder) as catalogue:
        assert catalogue.info() == before


def test_the_shop_is_open_with_photos_and_a_log_in(first: tuple[Path, Result]) -> None:
    """Both are as printed: the photos are one click away, the password opens the staff pages."""
    folder, _ = first
    with opened(folder) as (address, said):
        with urlopen(address) as page:
            links = re.findall(r'href="/(\?example=\d+)"', page.read().decode())
        assert len(links) == 10
        with urlopen(address + links[0]) as page:
            assert 'id="verdict"' in page.read().decode()
        name, password = re.findall(r"as (\S+) with the password (\S+) ", said)[0]
        visitor = build_opener(HTTPCookieProcessor(CookieJar()))
        page = visitor.open(f"{address}staff/").read().decode()
        token = re.findall(r'name="csrf_token" value="([^"]+)"', page)[0]
        given = {"name": name, "password": password, "csrf_token": token}
        page = visitor.open(f"{address}staff/login", urlencode(given).encode()).read().decode()
        assert "Overview" in page and "Accounts" in page  # an admin
    with opened(folder) as (_, said):
        assert password not in said
        assert f"findalike users password {name} --catalogue {folder}" in said


def test_the_photos_are_from_all_over_the_shop() -> None:
    asked = sample_photos()
    assert len(asked) == 10 == len({row["category"] for row in asked})
    assert len({row["category"].split(" > ")[0] for row in asked}) >= 5
    assert len({row["scene"] for row in asked}) >= 8


def test_what_was_imported_into_the_demo_stays(first: tuple[Path, Result], tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(first[0], folder)
    tiny.draw(7).save(tmp_path / "own.png")
    with Catalogue.open(folder) as catalogue:
        catalogue.add([tmp_path / "own.png"])
        catalogue.remove(["S00000"])
    assert demo(folder).exit_code == 0
    with Catalogue.open(folder) as catalogue:
        assert catalogue.info()["products"] == 430


def test_a_catalogue_with_other_products_is_not_touched(catalogue: Catalogue) -> None:
    before = catalogue.info()
    result = demo(catalogue.path)
    assert result.exit_code == 1 and "products of your own" in result.output
    assert catalogue.info() == before
