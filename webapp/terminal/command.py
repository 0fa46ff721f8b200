"""What the subcommands of ``findalike`` share: the group, the catalogue option, strict JSON."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vision.errors import FindalikeError
from vision.models import BUILTIN, LARGE

if TYPE_CHECKING:
    from index.catalogue import Catalogue

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
FAILED = 1  # the exit status of every mistake, so that scripts can tell it from the next
PASSED_OVER = 2  # the exit status of an add that did its work but could not take everything
STOPPED = 130  # the exit status of a command ended by Ctrl-C


class Group(click.Group):
    """Shows findalike's own errors as one message with exit status 1, never as a traceback."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Read the group's own options."""
        try:
            return super().make_context(*args, **options)
        except click.UsageError as error:
            error.exit_code = FAILED  # type: ignore[misc]  # click means it for the class
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Read the subcommand's options and run it."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            error.exit_code = FAILED  # type: ignore[misc]  # click means it for the class
            raise
        except FindalikeError as error:
            raise click.ClickException(str(error)) from error


def with_catalogue(command: F) -> F:
    """Let ``--catalogue`` stand after the subcommand too, and pass the folder first."""

    @click.option(
        "--catalogue", "-c", "own", type=PATH, help="The folder that holds the catalogue."
    )
    @click.pass_context
    @functools.wraps(command)
    def wrapped(ctx: click.Context, /, own: Path | None, **options: Any) -> Any:
        return ctx.invoke(command, own or ctx.obj, **options)

    return wrapped  # type: ignore[return-value]


def open_catalogue(path: Path) -> Catalogue:
    """Open the catalogue; a wrong folder is told before the heavy libraries are loaded."""
    from index.store.place import require_catalogue

    require_catalogue(path)
    from index.catalogue import Catalogue

    return Catalogue.open(path)


def announce(path: Path, encoder: str) -> None:
    """Say in one line which encoder a new catalogue has, and of the built-in one what beats it."""
    line = f"New catalogue in {path}, encoder {encoder}."
    if encoder == BUILTIN:
        line += (
            " On arbitrary goods a large one finds more: "
            f"findalike add ... --catalogue NEW --encoder {LARGE} (findalike encoders lists all)"
        )
    click.echo(line, err=True)


def print_json(value: Any) -> None:
    """Print JSON that every parser reads: ASCII, and null for what is not a number."""
    click.echo(json.dumps(_finite(value), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 product" or "2 products"."""
    return f"{number} {noun}{'s' * (number != 1)}"
