"""The catalogue's database: opened and checked, one transaction at a time, its errors in words.

SQLite by default; any SQLAlchemy address of a PostgreSQL server works the same.
"""

from __future__ import annotations

import contextlib
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from index.service.tables import metadata
from index.store.checked import Checked
from index.store.tables import checksum, damaged, embeddings, images, settings
from vision.errors import CatalogueBusy, CatalogueError

SCHEMA_VERSION = 4

# SQLite files up to this size are checked whole when opened, of larger ones all but the tables of
# pictures and embeddings, whose rows are checked when read; `findalike check` looks at everything.
_CHECKED_WHOLE = 64 * 2**20

_ADVISORY_LOCK = 0x66696E64  # any fixed number: "find"

_DISK_FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_TRUNCATE",
              "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_DIR_FSYNC", "53100")  # fmt: skip
_NOT_OURS = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_MISMATCH")


# Of each engine that is open, whether its database was found whole.
_CHECKED: weakref.WeakKeyDictionary[Engine, Checked] = weakref.WeakKeyDictionary()


def connect(address: str | sa.URL) -> Engine:
    """Open the database at a SQLAlchemy address, make the tables of a new one, check an old one.

    Raises CatalogueError where the database cannot be reached, is damaged, or was made by another
    version of findalike.
    """
    try:
        url = sa.make_url(address)
        if url.get_backend_name() == "sqlite":
            engine = sa.create_engine(url)
            checked = _CHECKED[engine] = Checked(Path(str(url.database)))
            event.listen(engine, "engine_disposed", lambda _: checked.close())
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        else:
            # One view of the database for a whole transaction, as SQLite gives it.
            engine = sa.create_engine(url, isolation_level="REPEATABLE READ")
            _CHECKED[engine] = Checked(None)
    except (sa.exc.ArgumentError, ImportError) as error:
        raise CatalogueError(
            f'"{address}" is not a database findalike can open ({error}). Use a folder, or an '
            f'address such as "postgresql+psycopg://user@host/name" (it needs '
            f"pip install findalike[postgres])."
        ) from error
    try:
        with translated():
            if sa.inspect(engine).has_table(settings.name):
                _check(engine)
            else:
                _create(engine)
    except CatalogueError:
        engine.dispose()
        raise
    return engine


def checked_of(connection: Connection) -> Checked:
    """Return what is known of the database as this process opened it."""
    return _CHECKED[connection.engine]


@contextlib.contextmanager
def transaction(engine: Engine, *, writes: bool = False) -> Iterator[Connection]:
    """Open one transaction: one consistent view, and all that is written in it or nothing."""
    with (
        translated(),
        engine.connect().execution_options(writes=writes) as connection,
        connection.begin(),
    ):
        yield connection


@contextlib.contextmanager
def database_lock(engine: Engine) -> Iterator[None]:
    """Be the one writer among all machines that share a PostgreSQL database."""
    if engine.dialect.name != "postgresql":
        yield
        return
    with translated(), engine.connect() as connection:
        lock = sa.func.pg_try_advisory_lock(_ADVISORY_LOCK)
        if not connection.execute(sa.select(lock)).scalar_one():
            raise CatalogueBusy(
                "Another machine is writing to this catalogue. Nothing was changed; run the "
                "command again when it has finished."
            )
        yield
        connection.execute(sa.select(sa.func.pg_advisory_unlock(_ADVISORY_LOCK)))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 30000")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail where another wrote in between.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _create(engine: Engine) -> None:
    """Make the tables, all at once; another process may be doing the same."""
    with transaction(engine, writes=True) as connection:
        metadata.create_all(connection)
        if read_setting(connection, "schema") is None:
            write_setting(connection, "schema", SCHEMA_VERSION)
            write_setting(connection, "tables", _definitions(connection))


def _check(engine: Engine) -> None:
    with transaction(engine) as connection:
        version = read_setting(connection, "schema")
        if version is None:
            raise damaged("it does not say which version of findalike made it", mendable=False)
        if version != SCHEMA_VERSION:
            age = "a newer" if version > SCHEMA_VERSION else "an older"
            raise CatalogueError(
                f"This catalogue was made by {age} findalike (schema {version}, this one has "
                f"{SCHEMA_VERSION}). Open it with that version, or make it anew from its feeds."
            )
        if connection.dialect.name == "sqlite" and not checked_of(connection).trusted:
            found = next(faults_of_sqlite(connection), None)
            if found is not None:
                raise damaged(found, mendable=False)
        if read_setting(connection, "tables") != _definitions(connection):
            raise damaged("its tables are not defined as they were", mendable=False)


def faults_of_sqlite(connection: Connection, *, everything: bool = False) -> Iterator[str]:
    """Yield what SQLite finds wrong with its pages and indices, in the small tables at least."""
    path = Path(str(connection.engine.url.database))
    if everything or path.stat().st_size <= _CHECKED_WHOLE:
        looked_at = [""]
    else:
        looked_at = [f"('{table}')" for table in metadata.tables.values()
                     if table not in (images, embeddings)]  # fmt: skip
    for table in looked_at:
        for line in connection.exec_driver_sql(f"PRAGMA integrity_check{table}").scalars():
            if line != "ok":
                yield " ".join(str(line).split())


def _definitions(connection: Connection) -> dict[str, int] | None:
    """Return the checksum of each table's and index's definition, in SQLite."""
    if connection.dialect.name != "sqlite":
        return None
    rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return {str(row.name): checksum(row.sql) for row in rows}


def read_setting(connection: Connection, name: str) -> Any:
    """Return a setting, or None if it was never written."""
    row = connection.execute(sa.select(settings).where(settings.c.name == name)).first()
    if row is None:
        return None
    if checksum(name, row.value) != row.crc:
        what = f"the setting {name} does not match its checksum"
        raise damaged(what, mendable=False)
    return json.loads(row.value)


def write_setting(connection: Connection, name: str, value: Any) -> None:
    """Store a setting: any JSON value."""
    text = json.dumps(value)
    row = {"value": text, "crc": checksum(name, text)}
    done = connection.execute(sa.update(settings).where(settings.c.name == name).values(row))
    if done.rowcount == 0:
        connection.execute(sa.insert(settings).values(name=name, **row))


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the database's errors into CatalogueErrors that say what to do."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        code = getattr(error.orig, "sqlite_errorname", None)
        code = str(code or getattr(error.orig, "sqlstate", ""))
        raise _in_words(str(error.orig), code) from error
    except UnicodeDecodeError as error:  # an error's text, quoting bytes from a damaged file
        raise damaged(error.object.decode(errors="replace"), mendable=False) from error
    except sa.exc.SQLAlchemyError as error:
        raise CatalogueError(f"The catalogue's database failed: {error}") from error


def _in_words(text: str, code: str) -> CatalogueError:
    if code.startswith(_DISK_FULL):
        return CatalogueError(
            f"The disk is full, or will not be written to ({text}). What was committed before is "
            f"safe. Make room and run the same command again: it goes on where it stopped."
        )
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return CatalogueBusy(
            "Another process holds the catalogue's database. Wait for it to finish and try again."
        )
    if code.startswith(_NOT_OURS):
        return CatalogueError(
            f"The catalogue's database cannot be opened for writing ({text}). Check the folder and "
            f"its permissions; to search, too, findalike must be able to write there."
        )
    missing = text.startswith(("no such", "malformed", "Could not decode"))
    if missing or code.startswith(_DAMAGED):
        return damaged(text, mendable=False)
    return CatalogueError(f"The catalogue's database failed ({text}).")
