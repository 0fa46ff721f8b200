"""The subcommand ``keys``: who may use the JSON API, and for what."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from webapp.terminal.command import open_catalogue, print_json, with_catalogue

if TYPE_CHECKING:
    from index.service.keys import ApiKey


@click.group(invoke_without_command=True, short_help="Keys for programs that use the JSON API.")
@with_catalogue
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def keys(ctx: click.Context, path: Path, as_json: bool) -> None:
    """List the keys for the JSON API, with what they may do and when they were used last."""
    ctx.obj = path
    if ctx.invoked_subcommand is not None:
        return
    with open_catalogue(path) as catalogue:
        from index.service.keys import list_keys

        found = list_keys(catalogue.engine)
    if as_json:
        print_json({"keys": [_as_dict(each) for each in found]})
        return
    if not found:
        click.echo("There are no keys. Make one with: findalike keys create NAME")
    for each in found:
        state = f"revoked {_day(each.revoked)}" if each.revoked else f"used {_day(each.used)}"
        click.echo(f"{each.name}: {', '.join(each.scopes)}; made {_day(each.created)}, {state}")


@keys.command("create", short_help="Make a key and show it, once.")
@click.argument("name")
@with_catalogue
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(["read", "write", "admin"]),
    default=["read"], show_default=True,
    help="What it may do; write includes read, admin includes both.",
)  # fmt: skip
def create(path: Path, name: str, scopes: tuple[str, ...]) -> None:
    """Make a key and show it. It is not kept and cannot be shown again."""
    with open_catalogue(path) as catalogue:
        from index.service.keys import create_key

        secret, made = create_key(catalogue.engine, name, scopes)
    scopes_of_it = ", ".join(made.scopes)
    click.echo(f"The key {made.name} ({scopes_of_it}); it is not shown again:", err=True)
    click.echo(secret)


@keys.command("revoke", short_help="End a key.")
@click.argument("name")
@with_catalogue
def revoke(path: Path, name: str) -> None:
    """End a key at once, in all processes that serve the catalogue."""
    with open_catalogue(path) as catalogue:
        from index.service.keys import revoke_key

        revoke_key(catalogue.engine, name)
    click.echo(f"The key {name} is no longer good.")


def _as_dict(key: ApiKey) -> dict[str, Any]:
    return vars(key) | {"scopes": list(key.scopes)}


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else "never"
