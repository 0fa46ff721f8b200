"""The subcommand ``evaluate``: how well photos are answered, and how well they are categorised."""

from __future__ import annotations

from pathlib import Path

import click

from webapp.terminal.command import PATH, open_catalogue, print_json, with_catalogue
from webapp.terminal.files import check_writable


@click.command(short_help="Measure the answers to labelled photos.")
@click.argument("queries", type=PATH, required=False)
@with_catalogue
@click.option("--images", type=PATH, help="The folder that photo paths start from.")
@click.option("--only", multiple=True, metavar="COLUMN=VALUE", help="Use only such rows.")
@click.option("--labels", is_flag=True, help="Measure categories and attributes instead.")
@click.option(
    "--folds", type=click.IntRange(0, 20), default=5, show_default=True,
    help="Parts that products are held out in, with --labels.",
)  # fmt: skip
@click.option(
    "--precision", type=click.FloatRange(0.5, 0.9999), default=0.98, show_default=True,
    help="The share of accepted tags that must be right, with --labels.",
)  # fmt: skip
@click.option("--html", type=PATH, help="Write a report with pictures of the worst mistakes.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON; see docs/evaluation.md and docs/categorisation-evaluation.md.",
)
def evaluate(
    path: Path,
    queries: Path | None,
    images: Path | None,
    only: tuple[str, ...],
    labels: bool,
    folds: int,
    precision: float,
    html: Path | None,
    as_json: bool,
) -> None:
    """Measure the answers to labelled photos: recall, mAP, nDCG, MRR, and how honest verdicts are.

    QUERIES is a CSV with the columns query_image and product_id or category. With --labels it is
    measured instead how well categories and attributes are predicted: of the photos in QUERIES, or
    without it of the catalogue's own products, held out in turn.
    """  # fmt: skip
    if html is not None:
        check_writable(html, "--html")
    if queries is None and not labels:
        raise click.UsageError("Name a CSV of labelled photos, or measure products with --labels.")
    from index.evaluation.truths import read_queries

    truths = read_queries(queries, images_root=images, only=only) if queries else None
    with open_catalogue(path) as catalogue:
        if labels:
            from index.evaluation.labelled import evaluate_labels
            from webapp.reports.labels import print_labels, write_label_html
            from webapp.terminal.show import progress_bar

            with progress_bar() as progress:
                measured = evaluate_labels(
                    catalogue, truths, folds=folds, precision=precision, progress=progress
                )
            if html is not None:
                write_label_html(measured, catalogue, html)
            if as_json:
                print_json(measured.as_dict())
                return
            print_labels(measured)
        else:
            from index.evaluation.evaluate import evaluate as measure
            from webapp.reports.retrieval import print_evaluation, write_html
            from webapp.terminal.show import progress_bar

            assert truths is not None
            with progress_bar() as progress:
                result = measure(catalogue, truths, progress=progress)
            if html is not None:
                write_html(result, catalogue, html)
            if as_json:
                print_json(result.as_dict())
                return
            print_evaluation(result)
    if html is not None:
        click.echo(f"Report with pictures: {html}")
