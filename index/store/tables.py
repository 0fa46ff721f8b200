"""The catalogue's SQL tables, and the checksums their rows carry.

Every row that an answer is made of has a checksum, because a damaged page of a database often
reads without complaint. The checksums stand before the long columns, so that they can be added up
without reading those.
"""

from __future__ import annotations

import zlib
from typing import Any

import sqlalchemy as sa

from vision.errors import CatalogueError

metadata = sa.MetaData()

# SQLite keeps a table in the order of a plain INTEGER key; PostgreSQL should have 64 bits.
_Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class _Bytes(sa.LargeBinary):
    """Bytes as the database gives them: damage may have made them something else."""

    cache_ok = True

    def result_processor(self, dialect: Any, coltype: Any) -> None:
        return None


settings = sa.Table(
    "settings",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),  # JSON
    sa.Column("crc", sa.BigInteger, nullable=False),
)

# Whatever can be filtered by has an index; comparing the two shows a damaged value.
products = sa.Table(
    "products",
    metadata,
    sa.Column("key", _Key, primary_key=True, autoincrement=False),
    sa.Column("product_id", sa.Text, nullable=False, unique=True),
    sa.Column("crc", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),  # Product.digest()
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("title", sa.Text, nullable=False, index=True),
    sa.Column("category", sa.Text, nullable=False, index=True),
    sa.Column("brand", sa.Text, nullable=False, index=True),
    sa.Column("price", sa.Double, index=True),
    sa.Column("currency", sa.Text, nullable=False, index=True),
    sa.Column("availability", sa.Text, nullable=False, index=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("attributes", sa.Text, nullable=False),  # JSON object
    # The category and attributes as its feed has them, where people or the head changed them: JSON.
    sa.Column("feed", sa.Text, nullable=False),
    sa.Column("changed", sa.Double, nullable=False),  # when its feed last did; seconds, Unix time
)

# The attributes once more, one row each, so that filters and facets can use an index.
attributes = sa.Table(
    "attributes",
    metadata,
    sa.Column("product_key", sa.ForeignKey("products.key"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Index("attributes_by_value", "name", "value"),
)

# What is known of a picture's bytes, whichever products show it.
images = sa.Table(
    "images",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("crc", sa.BigInteger, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("preview", _Bytes, nullable=False),  # JPEG without metadata
)

embeddings = sa.Table(
    "embeddings",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("fingerprint", sa.String(64), primary_key=True),
    sa.Column("crc", sa.BigInteger, nullable=False),
    sa.Column("vector", _Bytes, nullable=False),  # float32, little endian
    sa.Column("colour", _Bytes, nullable=False),  # float16, little endian
)

# One row for each picture of each product: what the index has rows for. An id is never given out
# twice, not even after a removal.
views = sa.Table(
    "views",
    metadata,
    sa.Column("id", _Key, primary_key=True, autoincrement=False),
    sa.Column("product_key", sa.ForeignKey("products.key"), nullable=False, index=True),
    sa.Column("sha256", sa.String(64), nullable=False, index=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False, index=True),
    sa.Column("crc", sa.BigInteger, nullable=False),
    sa.Column("location", sa.Text, nullable=False),
)

removed_views = sa.Table(
    "removed_views",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("generation", sa.BigInteger, nullable=False, index=True),
)

# What people decided, one row for each decision and never changed but to be withdrawn; kept by the
# product's id and its first picture, so that it outlasts the product's row.
labels = sa.Table(
    "labels",
    metadata,
    sa.Column("id", _Key, primary_key=True, autoincrement=False),
    sa.Column("crc", sa.BigInteger, nullable=False),
    sa.Column("step", sa.BigInteger, nullable=False, index=True),  # decided, and undone, together
    sa.Column("product_id", sa.Text, nullable=False, index=True),
    sa.Column("sha256", sa.Text, nullable=False, index=True),
    sa.Column("axis", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("time", sa.Double, nullable=False),  # seconds, Unix time
    sa.Column("withdrawn", sa.Double, nullable=False),  # the same, 0 while it stands
)

# What the head thinks of a product; derived, like the index.
predictions = sa.Table(
    "predictions",
    metadata,
    sa.Column("product_key", sa.ForeignKey("products.key"), primary_key=True),
    sa.Column("axis", sa.Text, primary_key=True),
    sa.Column("crc", sa.BigInteger, nullable=False),
    sa.Column("head", sa.Text, nullable=False, index=True),  # its version
    sa.Column("best", sa.Text, nullable=False),  # JSON: the likeliest values, [value, probability]
    sa.Column("accepted", sa.Text, nullable=False),  # "" where the head abstains
    sa.Column("confidence", sa.Double, nullable=False),  # of what is accepted, else of the best
    sa.Column("outside", sa.Double, nullable=False),  # the probability that no value fits
    sa.Column("usefulness", sa.Double, nullable=False, index=True),  # of asking a person
    sa.Column("suspect", sa.Text, nullable=False),  # the label that is likely wrong, or ""
    sa.Column("time", sa.Double, nullable=False),
)

calibrations = sa.Table(
    "calibrations",
    metadata,
    sa.Column("fingerprint", sa.String(64), primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("content", _Bytes, nullable=False),  # safetensors
)


def checksum(*parts: object) -> int:
    """Return the CRC-32 of the parts, in order: bytes as they are, all else by its text."""
    value = 0
    for part in parts:
        data = part if isinstance(part, bytes) else f"{part}\0".encode("utf-8", "surrogatepass")
        value = zlib.crc32(data, value)
    return value


def image_crc(row: Any) -> int:
    """Return the checksum of a row of ``images``."""
    return checksum(row.sha256, row.width, row.height, row.format, row.preview)


def embedding_crc(row: Any) -> int:
    """Return the checksum of a row of ``embeddings``."""
    return checksum(row.sha256, row.fingerprint, row.vector, row.colour)


def view_crc(row: Any) -> int:
    """Return the checksum of a row of ``views``."""
    return checksum(row.id, row.product_key, row.sha256, row.position, row.generation, row.location)


def label_crc(row: Any) -> int:
    """Return the checksum of a row of ``labels``."""
    return checksum(
        row.id, row.step, row.product_id, row.sha256, row.axis, row.action, row.value, row.who,
        row.time, row.withdrawn,
    )  # fmt: skip


def prediction_crc(row: Any) -> int:
    """Return the checksum of a row of ``predictions``."""
    return checksum(
        row.product_key, row.axis, row.head, row.best, row.accepted, row.confidence, row.outside,
        row.usefulness, row.suspect, row.time,
    )  # fmt: skip


def damaged(what: str, *, mendable: bool = True) -> CatalogueError:
    """Return the error for a catalogue whose contents are not as they were written.

    ``mendable`` is False where it cannot even be opened.
    """
    backup = (
        "put a backup's folder in its place (findalike backup makes them), or move the catalogue "
        "away and add the products again."
    )
    first = "Run findalike check --repair. If that does not help, " if mendable else ""
    advice = first + (backup if first else backup[0].upper() + backup[1:])
    return CatalogueError(f"The catalogue is damaged: {what}. {advice}")
