"""The subcommand ``users``: who may log in to the staff pages."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from webapp.terminal.command import open_catalogue, print_json, with_catalogue

if TYPE_CHECKING:
    from index.service.accounts import Role

_ROLE = click.Choice(["viewer", "editor", "admin"])
_PASSWORD = click.password_option(
    help="At least 10 characters; asked for where it is left out.", envvar="FINDALIKE_PASSWORD"
)


@click.group(invoke_without_command=True, short_help="Who may log in to the staff pages.")
@with_catalogue
@click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/staff.md.")
@click.pass_context
def users(ctx: click.Context, path: Path, as_json: bool) -> None:
    """List the accounts of the staff pages, which findalike serve has under /staff/.

    A viewer sees everything, an editor decides, edits and imports, an admin keeps accounts too.
    """
    ctx.obj = path
    if ctx.invoked_subcommand is None:
        _print(path, as_json)


@users.command("list", short_help="List the accounts.")
@with_catalogue
@click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/staff.md.")
def list_users(path: Path, as_json: bool) -> None:
    """List the accounts."""
    _print(path, as_json)


def _print(path: Path, as_json: bool) -> None:
    with open_catalogue(path) as catalogue:
        from index.service.accounts import Accounts

        found = Accounts(catalogue.engine).all()
    if as_json:
        print_json({"users": [vars(each) for each in found]})
        return
    if not found:
        click.echo("There are no accounts. Make one with: findalike users add NAME --role admin")
    for each in found:
        shut = f", shut {_day(each.disabled)}" if each.disabled else ""
        click.echo(f"{each.name}: {each.role}, made {_day(each.created)}{shut}")


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


@users.command("add", short_help="Make an account.")
@click.argument("name")
@with_catalogue
@click.option("--role", type=_ROLE, default="editor", show_default=True, help="What it may do.")
@_PASSWORD
def add(path: Path, name: str, role: str, password: str) -> None:
    """Make an account."""
    with open_catalogue(path) as catalogue:
        from index.service.accounts import Accounts

        made = Accounts(catalogue.engine).add(name, password, cast("Role", role))
    click.echo(f"{made.name} may log in at /staff/ as {made.role}.")


@users.command("role", short_help="Give an account another role.")
@click.argument("name")
@click.argument("role", type=_ROLE)
@with_catalogue
def set_role(path: Path, name: str, role: str) -> None:
    """Give an account another role; it holds at once."""
    with open_catalogue(path) as catalogue:
        from index.service.accounts import Accounts

        changed = Accounts(catalogue.engine).set_role(name, cast("Role", role))
    click.echo(f"{changed.name} is {changed.role} now.")


@users.command("password", short_help="Give an account another password.")
@click.argument("name")
@with_catalogue
@_PASSWORD
def set_password(path: Path, name: str, password: str) -> None:
    """Give an account another password; whoever is logged in with it is logged out."""
    with open_catalogue(path) as catalogue:
        from index.service.accounts import Accounts

        changed = Accounts(catalogue.engine).set_password(name, password)
    click.echo(f"{changed.name} has another password now, and was logged out everywhere.")


@users.command("disable", short_help="Shut an account, or open it again.")
@click.argument("name")
@with_catalogue
@click.option("--undo", is_flag=True, help="Open it again.")
def disable(path: Path, name: str, undo: bool) -> None:
    """Shut an account and log it out; what it decided stays."""
    with open_catalogue(path) as catalogue:
        from index.service.accounts import Accounts

        changed = Accounts(catalogue.engine).disable(name, disabled=not undo)
    click.echo(f"{changed.name} may {'log in again' if undo else 'no longer log in'}.")
