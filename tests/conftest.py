"""Fixtures that tests share; the machinery behind them is in ``tiny``."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# Threads that wait for each other by spinning make tests that run side by side crawl.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import tiny

from index.catalogue import Catalogue
from vision.networks import streams

if TYPE_CHECKING:
    from flask import Flask

RunCli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _streams_of_no_server() -> Iterator[None]:
    """Let no test find passes shared because another served in this process."""
    yield
    streams._processor().shared = False


@pytest.fixture
def tiny_encoder() -> Iterator[type[tiny.TinyEncoder]]:
    """Let every catalogue of this test use an encoder that needs no weights."""
    with tiny.tiny_encoders():
        yield tiny.TinyEncoder


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., list[Path]]:
    """Make pictures: photos(n, start=0, colour=None, folder="photos") -> their paths."""

    def make(
        count: int, start: int = 0, colour: str | None = None, folder: str = "photos"
    ) -> list[Path]:
        return tiny.write_photos(tmp_path / folder, count, start, colour)

    return make


@pytest.fixture
def feed(tmp_path: Path) -> Callable[..., Path]:
    """Write a CSV: feed(n, start=0, views=1, name="feed.csv", brand="Other", ...) -> its path."""

    def make(
        count: int, start: int = 0, views: int = 1, name: str = "feed.csv", **changed: str
    ) -> Path:
        return tiny.write_feed(tmp_path / name, count, start, views, **changed)

    return make


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a filled catalogue, for tests to copy; see ``catalogue``."""
    folder = tmp_path_factory.mktemp("filled")
    feeds = [
        tiny.write_feed(folder / "a.csv", 12),
        tiny.write_feed(folder / "b.csv", 6, start=12, views=2),
        tiny.write_feed(folder / "c.csv", 6, start=18),
    ]
    with tiny.tiny_encoders(), Catalogue.open(folder / "catalogue", create=True) as made:
        made.add(feeds)
    return folder / "catalogue"


@pytest.fixture
def catalogue(tiny_encoder: object, filled: Path, tmp_path: Path) -> Iterator[Catalogue]:
    """A small filled catalogue, open, with the tiny encoder: 24 products with 30 pictures.

    Product p7 costs 7.99; ``tiny.product_row(7)`` has its other fields. p12 to p17 have two
    pictures each.
    """
    shutil.copytree(filled, tmp_path / "catalogue")
    with Catalogue.open(tmp_path / "catalogue") as opened:
        yield opened


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a catalogue that has a trained head, for tests to copy; see ``taught``."""
    from index.labels.tagging import train

    folder = tmp_path_factory.mktemp("stocked")
    with tiny.tiny_encoders(), Catalogue.open(folder / "catalogue", create=True) as made:
        made.add([tiny.write_stock(folder)])
        train(made, precision=0.9)
    return folder / "catalogue"


@pytest.fixture
def taught(tiny_encoder: object, stocked: Path, tmp_path: Path) -> Iterator[Catalogue]:
    """A catalogue with a head that was trained on ``tiny.write_stock``, open."""
    shutil.copytree(stocked, tmp_path / "catalogue")
    with Catalogue.open(tmp_path / "catalogue") as opened:
        yield opened


@pytest.fixture
def open_app() -> Iterator[Callable[..., Flask]]:
    """Make apps that are closed when the test ends: open_app(catalogue, Config(...))."""
    from webapp.app import create_app

    with contextlib.ExitStack() as stack:

        def make(*args: Any) -> Flask:
            made = create_app(*args)
            stack.callback(made.extensions["findalike"].close)
            return made

        yield make


@pytest.fixture
def run_cli(tmp_path: Path) -> RunCli:
    """Run the real command in a child: run_cli("info", "--json", env={}) -> CompletedProcess.

    It runs in ``tmp_path``, so that the default catalogue is that of the ``catalogue`` fixture.
    """

    def run(
        *args: object, env: dict[str, str] | None = None, timeout: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        return tiny.command(tmp_path, *args, env=env).wait(timeout)

    return run
