"""API keys: made, found, told apart by scope, ended; the command."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from index.catalogue import Catalogue
from index.service.keys import (
    SCOPES,
    api_keys,
    create_key,
    find_key,
    list_keys,
    note_use,
    revoke_key,
)
from index.store.database import transaction
from vision.errors import CatalogueError, QueryError
from webapp.terminal.keys import keys


def test_a_key_is_found_by_itself_only(catalogue: Catalogue) -> None:
    secret, made = create_key(catalogue.engine, "till", ["read"])
    assert secret.startswith("fal_")
    assert len(secret) > 40
    assert find_key(catalogue.engine, secret) == made
    for other in ("", "fal_", secret[:-1], secret + "x", secret.upper(), "\ud800"):
        assert find_key(catalogue.engine, other) is None


def test_a_key_itself_is_kept_nowhere(catalogue: Catalogue) -> None:
    secret, _ = create_key(catalogue.engine, "till", ["read"])
    catalogue.close()
    for path in catalogue.path.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("given", "may"),
    [
        (["read"], {"read"}),
        (["write"], {"read", "write"}),
        (["admin"], {"read", "write", "admin"}),
        (["read", "admin"], {"read", "write", "admin"}),
    ],
)
def test_what_a_key_may(catalogue: Catalogue, given: list[str], may: set[str]) -> None:
    _, made = create_key(catalogue.engine, "till", given)
    assert {scope for scope in SCOPES if made.may(scope)} == may


def test_a_revoked_key_is_good_for_nothing(catalogue: Catalogue) -> None:
    secret, made = create_key(catalogue.engine, "till", ["admin"])
    with Catalogue.open(catalogue.path) as other:  # another process that serves
        assert find_key(other.engine, secret) is not None
        revoked = revoke_key(catalogue.engine, "till")
        assert find_key(other.engine, secret) is None
    assert made.may("read")
    assert not revoked.may("read")
    with pytest.raises(QueryError, match="no key"):
        revoke_key(catalogue.engine, "till")
    again, _ = create_key(catalogue.engine, "till", ["read"])  # the name is free
    assert find_key(catalogue.engine, again) is not None
    assert [bool(each.revoked) for each in list_keys(catalogue.engine)] == [True, False]


@pytest.mark.parametrize(
    ("name", "scopes"), [("", ["read"]), ("a\nb", ["read"]), ("a" * 101, ["read"]),
                         ("a", []), ("a", ["root"])],
)  # fmt: skip
def test_keys_that_cannot_be(catalogue: Catalogue, name: str, scopes: list[str]) -> None:
    with pytest.raises(QueryError):
        create_key(catalogue.engine, name, scopes)
    assert list_keys(catalogue.engine) == []


def test_two_keys_of_one_name(catalogue: Catalogue) -> None:
    create_key(catalogue.engine, "till", ["read"])
    with pytest.raises(QueryError, match="already"):
        create_key(catalogue.engine, " till ", ["read"])


def test_a_damaged_key_lets_nobody_in(catalogue: Catalogue) -> None:
    secret, _ = create_key(catalogue.engine, "till", ["read"])
    with transaction(catalogue.engine, writes=True) as connection:
        connection.execute(sa.update(api_keys).values(scopes="read write admin"))
    with pytest.raises(CatalogueError, match="API key 1"):
        find_key(catalogue.engine, secret)


def test_its_use_is_noted_now_and_then(catalogue: Catalogue) -> None:
    _, made = create_key(catalogue.engine, "till", ["read"])
    note_use(catalogue.engine, made)
    (noted,) = list_keys(catalogue.engine)
    assert noted.used > made.created
    note_use(catalogue.engine, noted)
    assert list_keys(catalogue.engine) == [noted]


def test_the_catalogue_opens_with_keys_in_it(catalogue: Catalogue) -> None:
    create_key(catalogue.engine, "till", ["read"])
    catalogue.close()
    with Catalogue.open(catalogue.path) as again:
        assert [each.name for each in list_keys(again.engine)] == ["till"]


def test_the_command(catalogue: Catalogue) -> None:
    def run(*args: str) -> str:
        result = CliRunner().invoke(keys, [*args, "--catalogue", str(catalogue.path)])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "There are no keys" in run()
    secret = run("create", "till", "--scope", "write").strip()
    found = find_key(catalogue.engine, secret)
    assert found is not None
    assert found.scopes == ("write",)
    assert "till: write" in run()
    (listed,) = json.loads(run("--json"))["keys"]
    assert (listed["name"], listed["scopes"], listed["used"]) == ("till", ["write"], 0)
    assert secret not in run("--json")
    run("revoke", "till")
    assert find_key(catalogue.engine, secret) is None
    assert "revoked" in run()
