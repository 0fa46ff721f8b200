"""The catalogue's SQL tables and how their database is opened.

SQLite by default; any SQLAlchemy address of a PostgreSQL server works the same. Every row that an
answer is made of carries a checksum, because a damaged SQLite page often reads without complaint.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from vision.errors import CatalogueBusy, CatalogueError

SCHEMA_VERSION = 1

# SQLite files up to this size are checked whole when opened; larger ones by `findalike check`.
_CHECKED_WHOLE = 256 * 2**20

metadata = sa.MetaData()

# SQLite gives out row numbers only for a plain INTEGER key, PostgreSQL should have 64 bits.
_Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

settings = sa.Table(
    "settings",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),  # JSON
    sa.Column("crc", sa.BigInteger, nullable=False),
)

products = sa.Table(
    "products",
    metadata,
    sa.Column("key", _Key, primary_key=True, autoincrement=True),
    sa.Column("product_id", sa.Text, nullable=False, unique=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("category", sa.Text, nullable=False, index=True),
    sa.Column("brand", sa.Text, nullable=False, index=True),
    sa.Column("price", sa.Double, index=True),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("availability", sa.Text, nullable=False, index=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("attributes", sa.Text, nullable=False),  # JSON object
    sa.Column("digest", sa.Text, nullable=False),  # Product.digest(), also the row's checksum
    sa.Column("generation", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

# The attributes once more, one row each, so that filters and facets can use an index.
attributes = sa.Table(
    "attributes",
    metadata,
    sa.Column("product_key", sa.ForeignKey("products.key", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Index("attributes_by_value", "name", "value"),
)

# What is known of a picture's bytes, whichever products show it.
images = sa.Table(
    "images",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("preview", sa.LargeBinary, nullable=False),  # JPEG without metadata
    sa.Column("crc", sa.BigInteger, nullable=False),
)

embeddings = sa.Table(
    "embeddings",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("fingerprint", sa.String(64), primary_key=True),
    sa.Column("vector", sa.LargeBinary, nullable=False),  # float32, little endian
    sa.Column("colour", sa.LargeBinary, nullable=False),  # float16, little endian
    sa.Column("crc", sa.BigInteger, nullable=False),
)

# One row for each picture of each product: what the index has rows for.
views = sa.Table(
    "views",
    metadata,
    sa.Column("id", _Key, primary_key=True, autoincrement=True),
    sa.Column(
        "product_key", sa.ForeignKey("products.key", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("sha256", sa.String(64), nullable=False, index=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("location", sa.Text, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False, index=True),
    sa.Column("crc", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,  # an id is never given out twice, not even after a removal
)

removed_views = sa.Table(
    "removed_views",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("generation", sa.BigInteger, nullable=False, index=True),
)

calibrations = sa.Table(
    "calibrations",
    metadata,
    sa.Column("fingerprint", sa.String(64), primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),  # safetensors
    sa.Column("crc", sa.BigInteger, nullable=False),
)


def checksum(*parts: bytes | str | int) -> int:
    """Return the CRC-32 of the parts, in order."""
    value = 0
    for part in parts:
        data = part if isinstance(part, bytes) else f"{part}\0".encode("utf-8", "surrogatepass")
        value = zlib.crc32(data, value)
    return value


def connect(address: str) -> Engine:
    """Open the database at a SQLAlchemy address, make missing tables and check what is there.

    Raises CatalogueError where the database cannot be reached, is damaged, or was made by a newer
    findalike.
    """
    try:
        engine = sa.create_engine(address)
    except (sa.exc.ArgumentError, ImportError) as error:
        raise CatalogueError(
            f'"{address}" is not a database findalike can open ({error}). Use a folder, or an '
            f'address such as "postgresql+psycopg://user@host/name" (pip install findalike[postgres]).'
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    with translated():
        if engine.dialect.name == "sqlite":
            _check_sqlite(engine)
        metadata.create_all(engine)
        with engine.begin() as connection:
            version = read_setting(connection, "schema")
            if version is None:
                write_setting(connection, "schema", SCHEMA_VERSION)
            elif version > SCHEMA_VERSION:
                raise CatalogueError(
                    f"This catalogue was made by a newer findalike (schema {version}, this one knows "
                    f"{SCHEMA_VERSION}). Install that version to open it."
                )
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 30000")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _check_sqlite(engine: Engine) -> None:
    """Let SQLite look for damaged pages, in full where the file is small enough to do so often."""
    path = Path(str(engine.url.database))
    if not path.exists() or path.stat().st_size > _CHECKED_WHOLE:
        return
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA integrity_check(3)").scalars().all()
    if found != ["ok"]:
        raise damaged("; ".join(str(line) for line in found))


def damaged(what: str) -> CatalogueError:
    """Return the error for a catalogue whose contents do not match their checksums."""
    return CatalogueError(
        f"The catalogue is damaged ({what}). Restore it from a backup (findalike backup makes "
        f"them), or move it away and add the products again."
    )


def read_setting(connection: Connection, name: str) -> Any:
    """Return a setting, or None if it was never written."""
    row = connection.execute(sa.select(settings).where(settings.c.name == name)).first()
    if row is None:
        return None
    if checksum(name, row.value) != row.crc:
        raise damaged(f"the setting {name} does not match its checksum")
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
        text = str(error.orig)
        low = text.lower()
        if "full" in low or "no space" in low:
            raise CatalogueError(
                "The disk is full. What was committed before is safe. Make room and run the same "
                "command again: it goes on where it stopped."
            ) from error
        if "locked" in low:
            raise CatalogueBusy(
                "Another process holds the catalogue's database. Wait for it to finish and try again."
            ) from error
        if any(word in low for word in ("malformed", "not a database", "corrupt")):
            raise damaged(text) from error
        if "readonly" in low or "unable to open" in low or "permission" in low:
            raise CatalogueError(
                f"The catalogue's database cannot be opened for writing ({text}). Check the folder "
                f"and its permissions."
            ) from error
        raise CatalogueError(f"The catalogue's database failed: {text}") from error
    except sa.exc.SQLAlchemyError as error:
        raise CatalogueError(f"The catalogue's database failed: {error}") from error
