"""The tables of a service: accounts, API keys, jobs and logs, beside the catalogue's own."""

from __future__ import annotations

import sqlalchemy as sa

from index.store.tables import metadata

__all__ = [
    "accounts",
    "api_keys",
    "attempts",
    "audit",
    "jobs",
    "metadata",
    "searches",
    "sessions",
]


def _number() -> sa.Column[int]:
    """Return a column that numbers the rows of a table, in the order in which they come."""
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", kind, primary_key=True, autoincrement=True)


accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("password", sa.Text, nullable=False),  # scrypt$n$r$p$salt$hash
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),  # seconds, Unix time
    sa.Column("disabled", sa.Double, nullable=False),  # the same, 0 while it may be used
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),  # SHA-256 of the browser's token
    sa.Column("name", sa.Text, nullable=False, index=True),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("seen", sa.Double, nullable=False),
)

# Log-ins under way and those with a wrong password; whose name is right is not written here.
attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("name", sa.String(64), nullable=False, index=True),  # SHA-256
    sa.Column("address", sa.Text, nullable=False, index=True),
)

audit = sa.Table(
    "audit",
    metadata,
    _number(),
    sa.Column("time", sa.Double, nullable=False),  # seconds, Unix time
    sa.Column("who", sa.Text, nullable=False, index=True),
    sa.Column("action", sa.Text, nullable=False, index=True),
    sa.Column("about", sa.Text, nullable=False),  # a product's id, an account's name, ...
    sa.Column("detail", sa.Text, nullable=False),  # JSON
)

jobs = sa.Table(
    "jobs",
    metadata,
    _number(),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("args", sa.Text, nullable=False),  # JSON object
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("created", sa.Double, nullable=False),  # seconds, Unix time
    sa.Column("started", sa.Double, nullable=False),  # the same; 0: not yet
    sa.Column("finished", sa.Double, nullable=False),  # the same; 0: not yet
    sa.Column("stage", sa.Text, nullable=False),  # what is being done
    sa.Column("done", sa.BigInteger, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False),  # 0: not known
    sa.Column("worker", sa.Text, nullable=False),  # who holds the lease
    sa.Column("lease", sa.Double, nullable=False),  # until when
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("cancelling", sa.Boolean, nullable=False),
    sa.Column("result", sa.Text, nullable=False),  # JSON object
    sa.Column("error", sa.Text, nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("crc", sa.BigInteger, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),  # SHA-256 of the key
    sa.Column("scopes", sa.Text, nullable=False),  # parted by spaces
    sa.Column("created", sa.Double, nullable=False),  # seconds, Unix time
    sa.Column("revoked", sa.Double, nullable=False),  # the same, 0 while it is good
    sa.Column("used", sa.Double, nullable=False),  # the same, to ten minutes; not in the checksum
)

searches = sa.Table(
    "searches",
    metadata,
    _number(),
    sa.Column("time", sa.Double, nullable=False, index=True),  # seconds, Unix time
    sa.Column("kind", sa.Text, nullable=False),  # photo, words, both or like
    sa.Column("words", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("hits", sa.Integer, nullable=False),
    sa.Column("category", sa.Text, nullable=False),  # that the best hits have; a guess
    sa.Column("milliseconds", sa.Double, nullable=False),  # of the whole search
    sa.Column("stages", sa.Text, nullable=False),  # JSON: milliseconds by stage
    sa.Column("preview", sa.LargeBinary, nullable=True),  # JPEG, only where the shop wants it kept
)
