"""API keys: what a program shows to be let in, kept as a hash, each with what it may do."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from index.service.tables import api_keys
from index.store.database import transaction
from index.store.tables import checksum, damaged
from vision.errors import QueryError

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_PREFIX = "fal_"  # so that a key is known for one wherever it turns up
_MAX_NAME = 100  # characters
_NOTED_EVERY = 600.0  # seconds between two notes that a key was used


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key, which itself is kept nowhere.

    Times are seconds of Unix time; ``revoked`` and ``used`` are 0 where it never was.
    """

    id: int
    name: str
    scopes: tuple[Scope, ...]
    created: float
    revoked: float
    used: float

    @property
    def who(self) -> str:
        """Return how its deeds are signed: no person's name has a space."""
        return f"key {self.name}"

    def may(self, scope: Scope) -> bool:
        """Tell whether the key allows something: "admin" allows all, "write" also to read."""
        wider = SCOPES[SCOPES.index(scope) :]
        return not self.revoked and any(each in self.scopes for each in wider)


def create_key(engine: Engine, name: str, scopes: Iterable[str]) -> tuple[str, ApiKey]:
    """Make a key; return it, which is the only time that it can be seen, and what is kept.

    256 random bits need no slow hash: nobody can try them out. Raises QueryError for a name that is
    taken or a scope that does not exist.
    """
    name, given = name.strip(), set(scopes)
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise QueryError(f"Give the key a name of 1 to {_MAX_NAME} characters, such as the shop's.")
    if not given or not given <= set(SCOPES):
        raise QueryError(f"A key needs scopes; there are {', '.join(SCOPES)}.")
    secret = _PREFIX + secrets.token_urlsafe(32)
    with transaction(engine, writes=True) as connection:
        if any(each.name == name and not each.revoked for each in _keys(connection)):
            raise QueryError(f'There is a key "{name}" already; revoke it first, or name another.')
        last = sa.select(sa.func.coalesce(sa.func.max(api_keys.c.id), 0))
        row = _with_crc(
            id=int(connection.execute(last).scalar_one()) + 1,
            name=name,
            hash=_hash(secret),
            scopes=" ".join(scope for scope in SCOPES if scope in given),
            created=time.time(),
            revoked=0.0,
        )
        connection.execute(sa.insert(api_keys).values(**row, used=0.0))
    return secret, _key(SimpleNamespace(**row, used=0.0))


def list_keys(engine: Engine) -> list[ApiKey]:
    """Return all keys, the revoked ones too, in the order in which they were made."""
    with transaction(engine) as connection:
        return _keys(connection)


def revoke_key(engine: Engine, name: str) -> ApiKey:
    """End a key at once; raises QueryError where no key has the name."""
    with transaction(engine, writes=True) as connection:
        query = sa.select(api_keys).where(api_keys.c.name == name, api_keys.c.revoked == 0)
        row = connection.execute(query).first()
        if row is None:
            raise QueryError(f'There is no key "{name}"; findalike keys lists them.')
        _key(row)
        values = dict(row._mapping) | {"revoked": time.time()}
        used = values.pop("used")
        values = _with_crc(**{each: value for each, value in values.items() if each != "crc"})
        connection.execute(sa.update(api_keys).where(api_keys.c.id == row.id).values(values))
    return _key(SimpleNamespace(**values, used=used))


def find_key(engine: Engine, secret: str) -> ApiKey | None:
    """Return the key that a program shows, None where it is unknown or revoked."""
    with transaction(engine) as connection:
        query = sa.select(api_keys).where(api_keys.c.hash == _hash(secret))
        row = connection.execute(query).first()
    if row is None:
        return None
    key = _key(row)
    return None if key.revoked else key


def note_use(engine: Engine, key: ApiKey) -> None:
    """Write down that a key was used, unless that was done a short while ago."""
    now = time.time()
    if now - key.used < _NOTED_EVERY:
        return
    with transaction(engine, writes=True) as connection:
        mine = api_keys.c.id == key.id
        connection.execute(sa.update(api_keys).where(mine).values(used=now))


def _keys(connection: Connection) -> list[ApiKey]:
    return [_key(row) for row in connection.execute(sa.select(api_keys).order_by(api_keys.c.id))]


def _key(row: Any) -> ApiKey:
    if _crc(row) != row.crc:
        raise damaged(f"API key {row.id} does not match its checksum")
    scopes = tuple(scope for scope in SCOPES if scope in row.scopes.split())
    return ApiKey(row.id, row.name, scopes, row.created, row.revoked, row.used)


def _crc(row: Any) -> int:
    return checksum(row.id, row.name, row.hash, row.scopes, row.created, row.revoked)


def _with_crc(**values: Any) -> dict[str, Any]:
    return values | {"crc": _crc(SimpleNamespace(**values))}


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
