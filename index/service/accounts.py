"""Who may work on the staff pages: accounts with passwords, and the sessions of those logged in."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from dataclasses import dataclass
from typing import Any, Literal, cast

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from index.service.tables import accounts, attempts, sessions
from index.store.database import transaction
from vision.errors import FindalikeError

Role = Literal["viewer", "editor", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "editor", "admin")  # each may what those before it may

LEAST = 10  # characters of a password
WRONG = 10  # passwords of one name, or from one address, until it has to wait
_WINDOW = 15 * 60.0  # seconds in which they are counted
_IDLE = 12 * 3600.0  # seconds without a request after which a session ends
_LONGEST = 7 * 24 * 3600.0  # and after which it ends in any case
_SEEN = 300.0  # seconds between two notes of when a session was used
_MOST = 1000  # characters of a password that are looked at
_COST = (2**14, 8, 5)  # scrypt's n, r, p: 16 MB, as OWASP's password storage cheat sheet has it
_NAME = re.compile(r"[\w.@+-]{1,64}")


class AccountError(FindalikeError):
    """An account that cannot be made or changed as wished."""


class WrongPassword(AccountError):
    """Nobody is known by this name and password; which of the two is wrong is not told."""


class TooManyAttempts(AccountError):
    """Too many wrong passwords; ``retry_after`` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("Too many wrong passwords. Wait some minutes and try again.")
        self.retry_after = retry_after


@dataclass(frozen=True)
class Account:
    """One who may log in. ``created`` and ``disabled`` (0: may log in) are Unix times."""

    name: str
    role: Role
    created: float
    disabled: float

    def may(self, role: Role) -> bool:
        """Tell whether what needs a role is allowed."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Accounts:
    """The accounts of a catalogue, in its database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._hashing = threading.BoundedSemaphore(2)  # each takes 16 MB and a core
        self._nobody = _hash(secrets.token_hex())

    # --- keeping --------------------------------------------------------------------------------

    def add(self, name: str, password: str, role: Role = "viewer") -> Account:
        """Make an account; raises AccountError for a name that is taken or a weak password."""
        name = _clean(name)
        if not _NAME.fullmatch(name):
            raise AccountError("A name has up to 64 letters, digits and . _ - @ +, without spaces.")
        _check_role(role)
        row = {
            "name": name, "password": _hash(_checked(password)), "role": role,
            "created": time.time(), "disabled": 0.0,
        }  # fmt: skip
        with transaction(self._engine, writes=True) as connection:
            if connection.execute(sa.select(accounts).where(accounts.c.name == name)).first():
                raise AccountError(f'There is an account "{name}" already.')
            connection.execute(sa.insert(accounts).values(row))
        return self.get(name)

    def all(self) -> tuple[Account, ...]:
        """Return all accounts, by name."""
        with transaction(self._engine) as connection:
            rows = connection.execute(sa.select(accounts).order_by(accounts.c.name)).all()
        return tuple(map(_account, rows))

    def get(self, name: str) -> Account:
        """Return one account; raises AccountError where there is none."""
        with transaction(self._engine) as connection:
            row = connection.execute(
                sa.select(accounts).where(accounts.c.name == _clean(name))
            ).first()
        if row is None:
            raise AccountError(f'There is no account "{name}".')
        return _account(row)

    def set_role(self, name: str, role: Role) -> Account:
        """Give an account another role; it holds from the next request on."""
        _check_role(role)
        return self._change(name, {"role": role})

    def set_password(self, name: str, password: str) -> Account:
        """Give an account another password; whoever is logged in by the old one is logged out."""
        return self._change(name, {"password": _hash(_checked(password))}, log_out=True)

    def disable(self, name: str, *, disabled: bool = True) -> Account:
        """Shut an account and log it out, or open it again."""
        return self._change(name, {"disabled": time.time() if disabled else 0.0}, log_out=disabled)

    def _change(self, name: str, values: dict[str, Any], *, log_out: bool = False) -> Account:
        name = self.get(name).name
        with transaction(self._engine, writes=True) as connection:
            connection.execute(sa.update(accounts).where(accounts.c.name == name).values(values))
            admins = sa.select(accounts.c.name).where(
                accounts.c.role == "admin", accounts.c.disabled == 0
            )
            if "password" not in values and connection.execute(admins).first() is None:
                raise AccountError(f'"{name}" is the only admin; make another one first.')
            if log_out:
                connection.execute(sa.delete(sessions).where(sessions.c.name == name))
        return self.get(name)

    # --- logging in -----------------------------------------------------------------------------

    def log_in(self, name: str, password: str, address: str) -> str:
        """Return the token of a new session for who has this name and password.

        ``address`` is the client's. It takes as long for a name that nobody has. Raises
        WrongPassword, and TooManyAttempts after ten of them in a quarter of an hour.
        """
        attempt = self._begin(name, address)
        with transaction(self._engine) as connection:
            row = connection.execute(
                sa.select(accounts).where(accounts.c.name == _clean(name))
            ).first()
        usable = row is not None and row.disabled == 0
        with self._hashing:
            right = _is(password, row.password if row is not None and usable else self._nobody)
        if not right or row is None or not usable:
            raise WrongPassword("Name or password is wrong.")
        token, now = secrets.token_urlsafe(32), time.time()
        with transaction(self._engine, writes=True) as connection:
            mine = sa.or_(attempts.c.id == attempt, attempts.c.name == _digest(_clean(name)))
            connection.execute(sa.delete(attempts).where(mine))
            ended = sa.or_(sessions.c.seen < now - _IDLE, sessions.c.created < now - _LONGEST)
            connection.execute(sa.delete(sessions).where(ended))
            connection.execute(
                sa.insert(sessions).values(
                    digest=_digest(token), name=row.name, created=now, seen=now
                )
            )
        return token

    def _begin(self, name: str, address: str) -> str:
        """Count an attempt before it is tried, so that many at once are no way around."""
        now, attempt = time.time(), secrets.token_hex(16)
        wanted = _digest(_clean(name))
        with transaction(self._engine, writes=True) as connection:
            connection.execute(sa.delete(attempts).where(attempts.c.time < now - _WINDOW))
            for condition in (attempts.c.name == wanted, attempts.c.address == address):
                times = (
                    connection.execute(
                        sa.select(attempts.c.time).where(condition).order_by(attempts.c.time.desc())
                    )
                    .scalars()
                    .all()
                )
                if len(times) >= WRONG:
                    raise TooManyAttempts(max(1, round(times[WRONG - 1] + _WINDOW - now)))
            connection.execute(
                sa.insert(attempts).values(id=attempt, time=now, name=wanted, address=address)
            )
        return attempt

    def of(self, token: str) -> Account | None:
        """Return whose session a token is, None where it has ended."""
        now, digest = time.time(), _digest(token)
        query = (
            sa.select(accounts, sessions.c.seen)
            .join(sessions, sessions.c.name == accounts.c.name)
            .where(
                sessions.c.digest == digest,
                sessions.c.seen >= now - _IDLE,
                sessions.c.created >= now - _LONGEST,
                accounts.c.disabled == 0,
            )
        )
        with transaction(self._engine) as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        if row.seen < now - _SEEN:
            with transaction(self._engine, writes=True) as connection:
                here = sessions.c.digest == digest
                connection.execute(sa.update(sessions).where(here).values(seen=now))
        return _account(row)

    def log_out(self, token: str) -> None:
        """End a session."""
        with transaction(self._engine, writes=True) as connection:
            connection.execute(sa.delete(sessions).where(sessions.c.digest == _digest(token)))


def _account(row: Any) -> Account:
    return Account(row.name, cast(Role, row.role), row.created, row.disabled)


def _clean(name: str) -> str:
    """Return a name as it is kept: how it is capitalised does not matter."""
    return name.strip().casefold().encode("utf-8", "replace").decode()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise AccountError(f'"{role}" is no role; there are {", ".join(ROLES)}.')


def _checked(password: str) -> str:
    if not LEAST <= len(password) <= _MOST:
        raise AccountError(f"A password has at least {LEAST} characters; some words will do.")
    return password


def _hash(password: str) -> str:
    salt = secrets.token_bytes(16)
    return "$".join(["scrypt", *map(str, _COST), salt.hex(), _scrypt(password, salt, _COST).hex()])


def _is(password: str, stored: str) -> bool:
    """Compare a password with a stored hash, in the same time whatever it is."""
    _, n, r, p, salt, wanted = stored.split("$")
    found = _scrypt(password[:_MOST], bytes.fromhex(salt), (int(n), int(r), int(p)))
    return hmac.compare_digest(found, bytes.fromhex(wanted))


def _scrypt(password: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    n, r, p = cost
    data = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(data, salt=salt, n=n, r=r, p=p, maxmem=64 * 2**20, dklen=32)
