"""The report of an evaluation: a table in the terminal, and an HTML file with the worst misses."""

from __future__ import annotations

import base64
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
    from index.evaluate import Evaluation


def print_evaluation(result: Evaluation) -> None:
    """Show the measures of an evaluation as a table."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, value in evaluation_rows(result):
        table.add_row(name, value)
    console.print(table)
    for each in result.passed_over[:10]:
        console.print(f"[yellow]passed over[/] line {each.line}: {escape(each.reason)}")
    if len(result.passed_over) > 10:
        console.print(f"... and {len(result.passed_over) - 10} more")


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
    page = Environment(loader=PackageLoader("webapp"), autoescape=select_autoescape()).get_template(
        "evaluation.html"
    )
    text = page.render(
        rows=evaluation_rows(result),
        result=result,
        catalogue=catalogue,
        photo={miss.image: _data(read_image(miss.image).preview(240)) for miss in result.worst},
        preview={sha256: _data(jpeg) for sha256, jpeg in previews.items()},
    )
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written ({error.strerror}).") from error


def _data(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
