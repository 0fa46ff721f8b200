"""The subcommand ``review``: what a person should decide next, and the answers taken in."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from webapp.terminal.command import PATH, count, open_catalogue, with_catalogue

if TYPE_CHECKING:
    from index.catalogue import Catalogue
    from index.labels.standing import Decision

_AXIS = click.option("--axis", help='Only of "category" or this attribute.')


@click.group(invoke_without_command=True, short_help="Decide what the head is unsure of.")
@with_catalogue
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1), help="How many.")
@_AXIS
@click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/tagging.md.")
@click.pass_context
def review(ctx: click.Context, path: Path, limit: int, axis: str | None, as_json: bool) -> None:
    """Show the products that a person should decide next, the most useful first.

    Decide with: findalike review set ID VALUE, or for many: findalike review export and import.
    """
    ctx.obj = path
    if ctx.invoked_subcommand is not None:
        return
    with open_catalogue(path) as catalogue:
        from index.labels.review import queue, queue_length
        from webapp.terminal.tagshow import print_queue

        questions = queue(catalogue, limit, axis=axis)
        with catalogue.reading() as table:
            print_queue(questions, queue_length(table), as_json)


@review.command("export", short_help="Write the queue as CSV.")
@click.argument("file", type=PATH, required=False)
@with_catalogue
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="How many.")
@_AXIS
def export_csv(path: Path, file: Path | None, limit: int, axis: str | None) -> None:
    """Write the queue as CSV to FILE or the screen, with an empty column for the decisions.

    Fill in a value, "ok" for the proposal, "none" where nothing fits, "no" where the proposal is
    wrong, or "skip"; then: findalike review import FILE
    """
    with open_catalogue(path) as catalogue:
        from index.labels.review import queue
        from index.labels.sheets import export_queue

        questions = queue(catalogue, limit, axis=axis)
        if file is None:
            export_queue(questions, sys.stdout)
            return
        try:
            with file.open("w", encoding="utf-8", newline="") as out:
                written = export_queue(questions, out)
        except OSError as error:
            raise click.ClickException(f"{file} cannot be written ({error.strerror}).") from error
    click.echo(f"Wrote {count(written, 'question')} to {file}.")


@review.command("import", short_help="Take decisions from a CSV.")
@click.argument("file", type=PATH)
@with_catalogue
@click.option("--who", help="Whose decisions they are.  [default: you]")
@click.option("--new-values", is_flag=True, help="Let categories and values be new.")
def import_csv(path: Path, file: Path, who: str | None, new_values: bool) -> None:
    """Take decisions from a CSV: one that export wrote, or product_id and category.

    All of them are taken, or none; findalike review undo takes them back.
    """
    with open_catalogue(path) as catalogue:
        from index.labels.sheets import read_decisions
        from index.labels.taxonomies import taxonomy_of

        with catalogue.reading() as table:
            taxonomy = taxonomy_of(table)
        _take(catalogue, read_decisions(file, taxonomy), who, new_values)


@review.command("set", short_help="Decide one product.")
@click.argument("product_id", metavar="ID")
@click.argument("value")
@with_catalogue
@click.option("--axis", default="category", show_default=True, help="An attribute instead.")
@click.option("--who", help="Whose decision it is.  [default: you]")
@click.option("--new-values", is_flag=True, help="Let the value be new.")
def set_value(
    path: Path, product_id: str, value: str, axis: str, who: str | None, new_values: bool
) -> None:
    """Decide one product; the last name of a category is enough where it is unique."""
    with open_catalogue(path) as catalogue:
        from index.labels.sheets import resolve
        from index.labels.standing import Decision
        from index.labels.taxonomies import taxonomy_of

        with catalogue.reading() as table:
            value = resolve(value, axis, taxonomy_of(table))
        _take(catalogue, [Decision(product_id, axis, "set", value)], who, new_values)


@review.command("undo", short_help="Take the last step back.")
@with_catalogue
@click.option("--who", help="The last step of this person.")
def undo_step(path: Path, who: str | None) -> None:
    """Take the last step back: one decision, or all of one import."""
    with open_catalogue(path) as catalogue:
        from index.labels.deciding import undo
        from index.labels.tagging import refresh

        undone = undo(catalogue, who=who)
        refresh(catalogue, [each.product_id for each in undone])
    if not undone:
        raise click.ClickException("There is nothing to undo.")
    click.echo(f"Took back {count(len(undone), 'decision')}.")


def _take(
    catalogue: Catalogue, decisions: Sequence[Decision], who: str | None, new_values: bool
) -> None:
    from index.labels.deciding import decide
    from index.labels.tagging import refresh

    taken = decide(catalogue, decisions, who=who or _me(), new_values=new_values)
    again = refresh(catalogue, [each.product_id for each in decisions])
    seen = f" Predicted {count(again, 'similar product')} anew." if again else ""
    click.echo(f"Took {count(taken, 'decision')}.{seen}")


def _me() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
