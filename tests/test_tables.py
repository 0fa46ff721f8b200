"""The database: opened, checked, its errors put into words; the seal and the stamp."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from index.product import Product
from index.store.database import connect, read_setting, transaction, translated, write_setting
from index.store.products import ProductTable
from index.store.seal import count_rows, missing_rows, read_seal, reseal
from index.store.stamp import STAMP, Stamp, compare_stamp, read_stamp, write_stamp
from index.store.tables import checksum, products, removed_views, views
from index.store.writing import Change, ProductWriter
from vision.errors import CatalogueBusy, CatalogueError


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    made = connect(f"sqlite:///{tmp_path / 'catalogue.sqlite'}")
    yield made
    made.dispose()


def put(table: ProductWriter, *changes: Change) -> None:
    table.put(changes, table.next_generation())


def test_checksums_tell_parts_apart() -> None:
    assert checksum("ab", "c") != checksum("a", "bc")
    assert checksum("1", "") != checksum("", "1")
    assert checksum(None) != checksum("")
    assert checksum("\udcff") != checksum("?")


def test_settings(engine: sa.Engine) -> None:
    with transaction(engine, writes=True) as connection:
        assert read_setting(connection, "colour") is None
        write_setting(connection, "colour", {"a": [1, "é"]})
        write_setting(connection, "colour", {"b": 2})
        assert read_setting(connection, "colour") == {"b": 2}


def test_a_change_is_whole_or_nothing(engine: sa.Engine) -> None:
    with pytest.raises(ZeroDivisionError), transaction(engine, writes=True) as connection:
        put(ProductWriter(connection), Change(Product("a"), [("0" * 64, "a.png")]))
        raise ZeroDivisionError
    with transaction(engine) as connection:
        assert ProductTable(connection).generation() == 0
        assert ProductTable(connection).counts()["products"] == 0
        assert list(missing_rows(connection, "f")) == []


def test_the_seal_follows_every_change(engine: sa.Engine) -> None:
    def one(name: str, *pictures: str, key: int | None = None, **extra: str) -> Change:
        return Change(
            Product(name, attributes=extra), [(each * 64, each) for each in pictures], key
        )

    with transaction(engine, writes=True) as connection:
        table = ProductWriter(connection)
        for step in (
            lambda: put(table, one("a", "1", "2", colour="red"), one("b", "2")),
            lambda: put(table, one("a", "2", "3", key=1), one("c", "1", size="S"), one("d", "4")),
            lambda: table.remove([2, 3], table.next_generation()),
            lambda: put(table, one("a", "3", key=1, colour="blue", size="M"), one("e", "1")),
            lambda: table.remove_views([table.get([5])[5].views[0].id], table.next_generation()),
        ):
            step()
            seal, rows = read_seal(connection), count_rows(connection)
            assert (seal.products, seal.products_sum) == (rows.products, rows.products_sum)
            assert (seal.views, seal.views_sum) == (rows.views, rows.views_sum)
            assert seal.attributes == rows.attributes
        assert table.keys(["a", "b", "c", "d", "e"]) == {"a": 1, "d": 4, "e": 5}
        gone = set(connection.execute(sa.select(removed_views.c.id)).scalars())
        left = set(connection.execute(sa.select(views.c.id)).scalars())
        assert gone & left == set()
        assert gone | left == set(range(1, seal.last_view + 1))
        reseal(connection)
        assert read_seal(connection) == seal


def test_keys_are_never_given_out_twice(engine: sa.Engine) -> None:
    with transaction(engine, writes=True) as connection:
        table = ProductWriter(connection)
        put(table, Change(Product("a"), [("1" * 64, "a")]))
        table.remove([1], table.next_generation())
        put(table, Change(Product("b"), [("1" * 64, "a")]))
        assert table.keys(["b"]) == {"b": 2}
        assert table.get([2])[2].views[0].id == 2


def test_a_long_list_is_taken_in_parts(engine: sa.Engine) -> None:
    with transaction(engine, writes=True) as connection:
        table = ProductWriter(connection)
        names = [f"p{number}" for number in range(1300)]
        put(table, *(Change(Product(name), [(f"{name:064}", name)]) for name in names))
        keys = table.keys(names)
        assert len(table.get(keys.values())) == 1300
        assert list(table.all_keys()) == sorted(keys.values())
        table.remove(list(keys.values())[:1200], table.next_generation())
        assert read_seal(connection).products == count_rows(connection).products == 100


def test_a_writer_keeps_another_out(tmp_path: Path, engine: sa.Engine) -> None:
    other = sqlite3.connect(tmp_path / "catalogue.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 1")
    with pytest.raises(CatalogueBusy), transaction(engine, writes=True):
        pass
    with transaction(engine) as connection:  # who only reads may
        assert ProductTable(connection).generation() == 0
    other.close()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nonsense", "is not a database findalike can open"),
        ("oracle://nowhere/x", "is not a database findalike can open"),
        ("sqlite:////nowhere/at/all/catalogue.sqlite", "Check the folder and its permissions"),
    ],
)
def test_addresses_that_cannot_be_opened(address: str, words: str) -> None:
    with pytest.raises(CatalogueError, match=words):
        connect(address)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    path.write_bytes(b"This is a letter to my aunt. " * 200)
    with pytest.raises(CatalogueError, match="not a database"):
        connect(f"sqlite:///{path}")


@pytest.mark.parametrize(("version", "age"), [(99, "newer"), (1, "older")])
def test_a_catalogue_of_another_version(engine: sa.Engine, version: int, age: str) -> None:
    with transaction(engine, writes=True) as connection:
        write_setting(connection, "schema", version)
    with pytest.raises(CatalogueError, match=f"made by an? {age} findalike"):
        connect(engine.url)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("SQLITE_FULL", "disk is full"),
        ("SQLITE_IOERR_WRITE", "disk is full"),
        ("53100", "disk is full"),
        ("SQLITE_IOERR_READ", "database failed"),
        ("SQLITE_CORRUPT_INDEX", "damaged"),
        ("SQLITE_READONLY_DIRECTORY", "permissions"),
    ],
)
def test_errors_in_words(code: str, words: str) -> None:
    error = sqlite3.OperationalError("what SQLite says")
    error.sqlite_errorname = code
    with pytest.raises(CatalogueError, match=words) as caught, translated():
        raise sa.exc.OperationalError("SELECT 1", {}, error)
    assert "what SQLite says" in str(caught.value)
    assert "SELECT" not in str(caught.value)


def test_a_value_that_does_not_match_its_index(tmp_path: Path, engine: sa.Engine) -> None:
    """What can be filtered by stands twice, so that a damaged byte in either place shows."""
    with transaction(engine, writes=True) as connection:
        put(
            ProductWriter(connection), Change(Product("a", title="Unmistakable"), [("1" * 64, "a")])
        )
    engine.dispose()
    path = tmp_path / "catalogue.sqlite"
    data = path.read_bytes()
    assert data.count(b"Unmistakable") == 2
    path.write_bytes(data.replace(b"Unmistakable", b"Unmistakaple", 1))
    with pytest.raises(CatalogueError, match="missing from index"):
        connect(engine.url)


def test_large_files_are_checked_where_it_matters(
    tmp_path: Path, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.store.database._CHECKED_WHOLE", 0)
    test_a_value_that_does_not_match_its_index(tmp_path, engine)


def test_stamps(tmp_path: Path) -> None:
    assert read_stamp(tmp_path) is None
    write_stamp(tmp_path, Stamp("me", 7))
    noted = read_stamp(tmp_path)
    assert noted == Stamp("me", 7)
    compare_stamp(tmp_path, noted, Stamp("me", 7))
    compare_stamp(tmp_path, noted, Stamp("me", 8))  # killed between the commit and the stamp
    compare_stamp(tmp_path, None, None)
    for found, words in (
        (None, "gone or empty"),
        (Stamp("you", 8), "another catalogue"),
        (Stamp("me", 6), "missing"),
    ):
        with pytest.raises(CatalogueError, match=words):
            compare_stamp(tmp_path, noted, found)
    (tmp_path / STAMP).write_text("me 9 12345")
    assert read_stamp(tmp_path) is None
    (tmp_path / STAMP).write_bytes(b"\xff\xfe")
    assert read_stamp(tmp_path) is None
    write_stamp(tmp_path / "nowhere", Stamp("me", 7))  # no reason to fail


def test_products_have_indices_for_all_they_are_filtered_by() -> None:
    indexed = {column.name for index in products.indexes for column in index.columns}
    assert indexed >= {"title", "category", "brand", "price", "currency", "availability"}
