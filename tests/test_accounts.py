"""Accounts: passwords, log-in and its throttle, sessions and their end, the audit log."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
import tiny

import index.service.accounts
from index.catalogue import Catalogue
from index.service.accounts import (
    WRONG,
    AccountError,
    Accounts,
    TooManyAttempts,
    WrongPassword,
    accounts,
    sessions,
)
from index.service.audit import AuditLog
from index.store.database import transaction

PASSWORD = "correct horse battery"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> tiny.Clock:
    made = tiny.Clock()
    monkeypatch.setattr(index.service.accounts, "time", made)
    return made


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Make hashing cheap, and count it."""
    calls: list[int] = []
    real = hashlib.scrypt

    def counted(*args: Any, **options: Any) -> bytes:
        calls.append(options["n"] * options["r"] * options["p"])
        return real(*args, **options)

    monkeypatch.setattr(index.service.accounts, "_COST", (4, 2, 1))
    monkeypatch.setattr(index.service.accounts.hashlib, "scrypt", counted)
    return calls


@pytest.fixture
def known(catalogue: Catalogue, hashed: list[int], clock: tiny.Clock) -> Accounts:
    made = Accounts(catalogue.engine)
    made.add("Ada", PASSWORD, "admin")
    made.add("eve", PASSWORD, "editor")
    return made


def guess(known: Accounts, name: str = "ada", address: str = "10.0.0.1", times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(WrongPassword):
            known.log_in(name, "not the password", address)


def test_accounts_are_kept_by_name(known: Accounts) -> None:
    assert [(each.name, each.role) for each in known.all()] == [("ada", "admin"), ("eve", "editor")]
    assert known.get("ADA ").may("editor")
    assert not known.get("eve").may("admin")
    known.set_role("eve", "viewer")
    assert not known.get("eve").may("editor")


@pytest.mark.parametrize(
    ("name", "password", "role", "said"),
    [
        ("ada", PASSWORD, "viewer", "already"),
        ("two words", PASSWORD, "viewer", "letters"),
        ("", PASSWORD, "viewer", "letters"),
        ("x" * 65, PASSWORD, "viewer", "letters"),
        ("bob", "short", "viewer", "10 characters"),
        ("bob", "x" * 1001, "viewer", "characters"),
        ("bob", PASSWORD, "root", "no role"),
    ],
)
def test_what_is_no_account(
    known: Accounts, name: str, password: str, role: Any, said: str
) -> None:
    with pytest.raises(AccountError, match=said):
        known.add(name, password, role)
    assert len(known.all()) == 2


def test_passwords_and_tokens_are_not_stored(known: Accounts, catalogue: Catalogue) -> None:
    token = known.log_in("ada", PASSWORD, "10.0.0.1")
    with transaction(catalogue.engine) as connection:
        rows = connection.execute(sa.select(accounts.c.password)).scalars().all()
        digests = connection.execute(sa.select(sessions.c.digest)).scalars().all()
    assert len(set(rows)) == 2  # the same password, salted
    assert all(row.startswith("scrypt$") and PASSWORD not in row for row in rows)
    assert digests == [hashlib.sha256(token.encode()).hexdigest()]


def test_the_real_cost_is_what_owasp_asks(catalogue: Catalogue) -> None:
    assert index.service.accounts._COST == (2**14, 8, 5)
    made = Accounts(catalogue.engine)
    made.add("ada", PASSWORD)
    assert made.of(made.log_in("ada", PASSWORD, "10.0.0.1")) == made.get("ada")


def test_logging_in_and_out(known: Accounts) -> None:
    one, two = (known.log_in(name, PASSWORD, "10.0.0.1") for name in ("ada", " Ada"))
    assert one != two
    assert known.of(one) == known.of(two) == known.get("ada")
    known.log_out(one)
    assert known.of(one) is None
    assert known.of(two) == known.get("ada")
    for token in ("", "x", one[:-1], hashlib.sha256(two.encode()).hexdigest()):
        assert known.of(token) is None


def test_unknown_names_cost_as_much_as_known_ones(known: Accounts, hashed: list[int]) -> None:
    known.disable("eve")
    for name in ("ada", "nobody", "eve", "a\udc80b", "'; --", "x" * 10_000):
        hashed.clear()
        with pytest.raises(WrongPassword, match=r"^Name or password is wrong\.$"):
            known.log_in(name, PASSWORD + "!", f"10.0.1.{len(name) % 250}")
        assert len(hashed) == 1
        assert hashed[0] == 8


def test_ten_wrong_passwords_of_a_name(known: Accounts, clock: tiny.Clock) -> None:
    for number in range(WRONG):
        guess(known, address=f"10.0.0.{number}")
    with pytest.raises(TooManyAttempts) as refused:  # not even the right one, from anywhere
        known.log_in("ada", PASSWORD, "10.9.9.9")
    assert 0 < refused.value.retry_after <= 15 * 60
    assert known.of(known.log_in("eve", PASSWORD, "10.9.9.9"))
    clock.now += refused.value.retry_after + 1
    assert known.of(known.log_in("ada", PASSWORD, "10.9.9.9"))


def test_names_that_nobody_has_are_throttled_alike(known: Accounts) -> None:
    for number in range(WRONG):
        guess(known, "nobody", f"10.0.0.{number}")
    with pytest.raises(TooManyAttempts):
        known.log_in("nobody", PASSWORD, "10.9.9.9")


def test_ten_wrong_passwords_from_an_address(known: Accounts, hashed: list[int]) -> None:
    for number in range(WRONG):
        guess(known, f"name{number}")
    hashed.clear()
    with pytest.raises(TooManyAttempts):
        known.log_in("ada", PASSWORD, "10.0.0.1")
    assert not hashed  # being refused costs nothing
    assert known.of(known.log_in("ada", PASSWORD, "10.0.0.2"))


def test_an_account_of_ones_own_does_not_reset_the_address(known: Accounts) -> None:
    for _ in range(WRONG // 2):
        guess(known, times=2)
        if _ < WRONG // 2 - 1:
            known.log_in("eve", PASSWORD, "10.0.0.1")
    with pytest.raises(TooManyAttempts):
        known.log_in("eve", PASSWORD, "10.0.0.1")


def test_a_right_password_forgets_wrong_ones(known: Accounts) -> None:
    for address in range(3):
        guess(known, address=f"10.0.0.{address}", times=WRONG - 1)
        known.log_in("ada", PASSWORD, "10.5.5.5")


def test_many_guesses_at_once_are_no_way_around(known: Accounts, hashed: list[int]) -> None:
    hashed.clear()
    threads = [
        threading.Thread(target=_try, args=(known, f"10.0.0.{number}")) for number in range(40)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(hashed) == WRONG


def _try(known: Accounts, address: str) -> None:
    with pytest.raises((WrongPassword, TooManyAttempts)):
        known.log_in("ada", "a guess", address)


@pytest.mark.parametrize(
    ("step", "steps", "ends"), [(11, 3, False), (13, 1, True), (11, 15, False), (11, 16, True)]
)
def test_sessions_end(
    known: Accounts, clock: tiny.Clock, step: int, steps: int, ends: bool
) -> None:
    token = known.log_in("ada", PASSWORD, "10.0.0.1")
    found = None
    for _ in range(steps):
        clock.now += step * 3600
        found = known.of(token)
    assert (found is None) == ends


def test_what_ends_all_sessions_of_an_account(known: Accounts) -> None:
    ada, eve = (known.log_in(name, PASSWORD, "10.0.0.1") for name in ("ada", "eve"))
    known.disable("eve")
    assert known.of(eve) is None
    with pytest.raises(WrongPassword):
        known.log_in("eve", PASSWORD, "10.0.0.1")
    known.disable("eve", disabled=False)
    assert known.of(eve) is None
    eve = known.log_in("eve", PASSWORD, "10.0.0.1")
    known.set_password("eve", "another password")
    assert known.of(eve) is None
    assert known.of(ada) is not None
    assert known.of(known.log_in("eve", "another password", "10.0.0.1"))


def test_there_is_always_an_admin(known: Accounts) -> None:
    for change in (lambda: known.set_role("ada", "editor"), lambda: known.disable("ada")):
        with pytest.raises(AccountError, match="only admin"):
            change()
    assert known.get("ada").may("admin")
    known.set_role("eve", "admin")
    known.disable("ada")
    with pytest.raises(AccountError, match="no account"):
        known.set_role("nobody", "admin")


def test_the_log_shows_the_latest_first(catalogue: Catalogue) -> None:
    log = AuditLog(catalogue.engine)
    log.note("ada", "log-in", "ada", address="10.0.0.1")
    log.note_all("eve", "decided", [("p1", {"value": "Mugs", "action": "set"}), ("p2", {})])
    lines = log.entries()
    assert [(each.who, each.about) for each in lines] == [
        ("eve", "p2"), ("eve", "p1"), ("ada", "ada"),
    ]  # fmt: skip
    assert lines[1].detail == {"value": "Mugs", "action": "set"}
    assert [each.about for each in log.entries(who="eve", before=lines[0].id)] == ["p1"]
    assert log.entries(about="p1") == [lines[1]]
    assert log.entries(action="log-in", limit=1) == [lines[2]]
    assert log.actions() == ["decided", "log-in"]
