"""The report of an evaluation: a table in the terminal, and an HTML file with the worst misses."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from jinja2 import Environment, PackageLoader, select_autoescape
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vision.images import read_image

if TYPE_CHECKING:
    from index.catalogue import Catalogue
    from index.evaluation.evaluate import Evaluation
    from index.evaluation.truths import PassedOver


def print_evaluation(result: Evaluation) -> None:
    """Show the measures of an evaluation as a table."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, value in evaluation_rows(result):
        table.add_row(name, value)
    console.print(table)
    print_passed_over(console, result.passed_over)


def print_passed_over(console: Console, passed_over: Sequence[PassedOver]) -> None:
    """Show the first of the queries that could not be asked, and why."""
    for each in passed_over[:10]:
        console.print(f"[yellow]passed over[/] line {each.line}: {escape(each.reason)}")
    if len(passed_over) > 10:
        console.print(f"... and {len(passed_over) - 10} more")


def evaluation_rows(result: Evaluation) -> list[tuple[str, str]]:
    """Return the measures as (name, text)."""
    rows = [
        ("queries", f"{result.queries} by {result.by}, {result.products} products"),
        ("recall@1 / @5 / @10", " / ".join(
            f"{100 * value:.1f}"
            for value in (result.recall_at_1, result.recall_at_5, result.recall_at_10)
        )),
        ("mAP", f"{100 * result.mean_average_precision:.1f}"),
        ("nDCG@10", f"{100 * result.ndcg_at_10:.1f}"),
        ("MRR", f"{100 * result.mrr:.1f}"),
    ]  # fmt: skip
    if result.verdicts is not None:
        v = result.verdicts
        precision = "never said" if v.exact_precision is None else f"{v.exact_precision:.1%}"
        rows += [
            ("calibration error (ECE)", f"{v.ece:.3f}"),
            ('said "exact"', f"{v.exact_share:.1%}, right: {precision}"),
            ('"exact" when held out', f"{v.false_exact:.1%}"),
            ('"not stocked" when held out', f"{v.recognised:.1%}"),
            ('"not stocked" in error', f"{v.false_alarms:.1%}"),
        ]
    if result.strangers:
        share = result.strangers_recognised
        said = "not calibrated" if share is None else f'{share:.1%} called "not stocked"'
        rows.append(("strangers", f"{result.strangers}, {said}"))
    times = "  ".join(f"{name} {ms:.1f}" for name, ms in result.milliseconds.items())
    rows.append(("milliseconds per query", times))
    return rows


def write_html(result: Evaluation, catalogue: Catalogue, path: Path) -> None:
    """Write an evaluation as one HTML file with the pictures of its worst misses inside."""
    hashes = {hit.sha256 for miss in result.worst for hit in miss.hits}
    with catalogue.reading() as table:
        previews = table.previews(hashes)
    write_page(
        path,
        "evaluation.html",
        rows=evaluation_rows(result),
        result=result,
        catalogue=catalogue,
        photo={miss.image: data_url(read_image(miss.image).preview(240)) for miss in result.worst},
        preview={sha256: data_url(jpeg) for sha256, jpeg in previews.items()},
    )


def write_page(path: Path, template: str, **values: object) -> None:
    """Write a page that has all it needs inside; raises ClickException if that cannot be done."""
    environment = Environment(
        loader=PackageLoader("webapp"),
        autoescape=select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(**values)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written ({error.strerror}).") from error


def data_url(jpeg: bytes) -> str:
    """Return a JPEG as an address that holds the picture itself."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
