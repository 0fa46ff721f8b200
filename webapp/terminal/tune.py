"""The subcommand ``tune``: what each kind of index costs and finds, and which one to use."""

from __future__ import annotations

from pathlib import Path

import click

from webapp.terminal.command import PATH, count, open_catalogue, print_json, with_catalogue
from webapp.terminal.files import check_writable


@click.command(short_help="Measure the kinds of index, or choose one.")
@with_catalogue
@click.option(
    "--kind",
    type=click.Choice(["auto", "exact", "scan", "lists"]),
    help="Use this kind from now on; auto goes by the number of pictures.",
)
@click.option(
    "--recall",
    type=click.FloatRange(0.5, 0.9999),
    help="The recall@10 that scan and lists must reach.  [at first: 0.99]",
)
@click.option("--plot", type=PATH, help="Write the measured trade as an HTML page with a chart.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/index.md.")
def tune(
    path: Path, kind: str | None, recall: float | None, plot: Path | None, as_json: bool
) -> None:
    """Measure what each kind of index finds and costs, on the catalogue's own vectors.

    With --kind or --recall the index is built that way, now and from now on.
    """
    if plot is not None:
        if kind is not None or recall is not None:
            raise click.UsageError("--plot shows what was measured; leave out --kind and --recall.")
        check_writable(plot, "--plot")
    with open_catalogue(path) as catalogue:
        from index.changes.tuning import choose_kind, weigh
        from webapp.reports.kinds import print_trade, write_trade
        from webapp.terminal.show import progress_bar

        if kind is not None or recall is not None:
            measured = choose_kind(catalogue, kind, recall)
            if as_json:
                print_json(vars(measured))
                return
            pictures = count(measured.rows, "picture")
            click.echo(f"The index of {pictures} is now {measured.in_words()}.")
            return
        with progress_bar() as progress:
            trade = weigh(catalogue, progress=progress)
        if plot is not None:
            write_trade(trade, plot)
        if as_json:
            print_json(trade.as_dict())
            return
        print_trade(trade)
    if plot is not None:
        click.echo(f"Page with a chart: {plot}")
