"""The note that spares a large database from being looked at again."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.catalogue import Catalogue
from index.query import Query
from index.store.checked import CHECKED, Checked
from index.store.place import DATABASE
from vision.errors import CatalogueError


@pytest.fixture
def looks(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What was looked at while catalogues were opened, all of which count as large."""
    catalogue.close()
    monkeypatch.setattr("index.store.checked._SMALL", 0)
    found: list[str] = []

    def note(name: str) -> None:
        module, _, attribute = name.rpartition(".")
        real = getattr(__import__(module, fromlist=["x"]), attribute)

        def noting(*args: object, **options: object) -> object:
            found.append(attribute)
            return real(*args, **options)

        monkeypatch.setattr(name, noting)

    note("index.store.database.faults_of_sqlite")
    note("index.store.products.missing_rows")
    yield found


def ask(folder: Path) -> int:
    with Catalogue.open(folder) as opened:
        return len(opened.search(Query(text="red", k=50)).hits)


def looked_at(folder: Path, looks: list[str]) -> bool:
    """Tell whether a search in a newly opened catalogue looked at all of the database."""
    looks.clear()
    assert ask(folder) > 0
    assert looks in ([], ["faults_of_sqlite", "missing_rows"])
    return bool(looks)


def test_only_what_somebody_wrote_to_is_looked_at(catalogue: Catalogue, looks: list[str]) -> None:
    folder = catalogue.path
    assert looked_at(folder, looks)
    assert not looked_at(folder, looks)
    os.utime(folder / DATABASE, ns=(1, (folder / DATABASE).stat().st_mtime_ns))  # another ctime
    assert looked_at(folder, looks)
    data = (folder / DATABASE).read_bytes()
    (folder / DATABASE).unlink()
    (folder / DATABASE).write_bytes(data)
    assert looked_at(folder, looks)
    assert not looked_at(folder, looks)
    (folder / CHECKED).unlink()
    assert looked_at(folder, looks)


def test_what_findalike_itself_writes_is_known_to_be_whole(
    catalogue: Catalogue, looks: list[str]
) -> None:
    folder = catalogue.path
    ask(folder)
    with Catalogue.open(folder) as writer:
        writer.remove(["p1"])
    assert not looked_at(folder, looks)


def test_readers_that_outlive_a_writer(catalogue: Catalogue, looks: list[str]) -> None:
    """The one who closes last brings the write-ahead log into the file."""
    folder = catalogue.path
    with Catalogue.open(folder) as reader:
        reader.search(Query(text="red"))
        with Catalogue.open(folder) as writer:
            writer.remove(["p1"])
        assert not looked_at(folder, looks)
    assert not looked_at(folder, looks)


def test_another_programs_changes_are_noticed(catalogue: Catalogue, looks: list[str]) -> None:
    folder = catalogue.path
    ask(folder)
    with sqlite3.connect(folder / DATABASE) as connection:
        connection.execute("DELETE FROM views WHERE id = 5")
    connection.close()
    with pytest.raises(CatalogueError, match="29 rows of views instead of 30"):
        ask(folder)
    with pytest.raises(CatalogueError, match="29 rows of views instead of 30"):
        ask(folder)  # and is not noted as whole


def test_damage_is_noticed(catalogue: Catalogue, looks: list[str]) -> None:
    folder = catalogue.path
    ask(folder)
    data = bytearray((folder / DATABASE).read_bytes())
    at = data.rindex(b"Product 7")
    data[at : at + 9] = b"Product 8"
    (folder / DATABASE).write_bytes(data)
    with pytest.raises(CatalogueError):
        ask(folder)


@pytest.mark.parametrize("text", ["", "0 1 2", "\xff", "9999999999 x 1"])
def test_a_note_that_is_not_one(catalogue: Catalogue, looks: list[str], text: str) -> None:
    ask(catalogue.path)
    (catalogue.path / CHECKED).write_text(text, encoding="latin-1")
    assert looked_at(catalogue.path, looks)


def test_after_a_week_it_is_looked_at_again(
    catalogue: Catalogue, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = catalogue.path
    ask(folder)
    since = int((folder / CHECKED).read_text().split()[0])
    monkeypatch.setattr("time.time", lambda: since + 1000)
    ask(folder)
    assert int((folder / CHECKED).read_text().split()[0]) == since  # it is no younger
    monkeypatch.setattr("time.time", lambda: since + 7 * 24 * 3600 - 10)
    assert Checked(folder / DATABASE).trusted
    monkeypatch.setattr("time.time", lambda: since + 7 * 24 * 3600 + 10)
    assert not Checked(folder / DATABASE).trusted
    monkeypatch.setattr("time.time", lambda: since - 10)
    assert not Checked(folder / DATABASE).trusted


def test_small_databases_are_always_looked_at(
    catalogue: Catalogue, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(catalogue.path)
    monkeypatch.setattr("index.store.checked._SMALL", 64 * 2**20)
    assert looked_at(catalogue.path, looks)
    assert looked_at(catalogue.path, looks)
