"""What the terminal shows: tables, a progress bar, small pictures, and the HTML report."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from vision.models import MODELS

if TYPE_CHECKING:
    from index.adding import AddReport
    from index.catalogue import Catalogue
    from index.evaluate import Evaluation
    from index.query import Answer
    from index.upkeep import Problem

_STAGES = {
    "read": "Reading the feed",
    "add": "Adding pictures",
    "learn": "Calibrating",
    "check": "Checking products",
    "evaluate": "Asking queries",
}
_VERDICTS = {
    "exact": "[green]This is it.[/]",
    "similar": "[yellow]Similar products.[/]",
    "not stocked": "[red]The catalogue does not seem to have this.[/]",
}
_PICTURE_COLUMNS = 16  # characters that a small picture is wide


class _Rate(ProgressColumn):
    """Items each second since the stage began."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.0f}/s" if speed else "")


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that shows progress (stage, done, total) on the error stream."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks = {}
        last = time.monotonic()

        def show(stage: str, done: int, total: int) -> None:
            nonlocal last
            if stage not in tasks:
                tasks[stage] = bar.add_task(_STAGES.get(stage, stage), total=total or None)
            bar.update(tasks[stage], completed=done, total=total or None)
            # Where there is no terminal, a line now and then keeps logs alive and short.
            if not console.is_terminal and time.monotonic() - last > 30:
                last = time.monotonic()
                print(f"{_STAGES.get(stage, stage)}: {done} of {total or '?'}", file=console.file)

        yield show


def print_report(report: AddReport, rejects: Path, as_json: bool, dry_run: bool = False) -> None:
    """Say what an add did."""
    if as_json:
        print(json.dumps(asdict(report)))
        return
    console = Console(highlight=False)
    if dry_run:
        console.print(f"{report.added} products would go in. Nothing was changed.")
    else:
        parts = [
            f"{count} {name}"
            for name, count in (
                ("added", report.added), ("updated", report.updated), ("renamed", report.renamed),
                ("unchanged", report.unchanged),
            ) if count
        ]  # fmt: skip
        console.print(
            f"Products: {', '.join(parts) or 'none'}. Pictures embedded: {report.embedded}."
        )
    if report.passed_over:
        console.print(f"[yellow]Passed over: {report.passed_over}[/]; see {escape(str(rejects))}")


def print_answer(answer: Answer, pictures_from: Catalogue | None = None) -> None:
    """Show an answer as a table, with small pictures where a catalogue to take them from is given."""
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    previews: dict[str, bytes] = {}
    if pictures_from is not None:
        with pictures_from.reading() as products:
            previews = products.previews({hit.sha256 for hit in answer.hits})
        table.add_column("")
    for name in ("#", "score", "same?"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("product", "title", "category", "price"):
        table.add_column(name, overflow="fold")
    for place, hit in enumerate(answer.hits, 1):
        price = (
            "" if hit.product.price is None else f"{hit.product.price:.2f} {hit.product.currency}"
        )
        row: list[Text | str] = [
            str(place), f"{hit.score:.3f}",
            "" if hit.probability is None else f"{hit.probability:.0%}",
            Text(hit.product.product_id), Text(hit.product.title),
            Text(hit.product.category), price.strip(),
        ]  # fmt: skip
        if pictures_from is not None:
            row.insert(0, _small_picture(previews[hit.sha256]))
        table.add_row(*row)
    console.print(_VERDICTS[answer.verdict] if answer.hits else "Nothing fits the conditions.")
    if answer.hits:
        console.print(table)


def _small_picture(preview: bytes) -> Text:
    """Draw a picture with half blocks: each character shows two pixels, one above the other."""
    from PIL import Image

    picture = Image.open(io.BytesIO(preview))
    rows = max(1, round(_PICTURE_COLUMNS * picture.height / picture.width / 2))
    small = picture.convert("RGB").resize((_PICTURE_COLUMNS, rows * 2))
    text = Text()
    for y in range(0, rows * 2, 2):
        for x in range(_PICTURE_COLUMNS):
            upper, lower = (
                "#%02x%02x%02x" % small.getpixel((x, line))  # type: ignore[str-format]  # noqa: UP031
                for line in (y, y + 1)
            )
            text.append("▀", style=f"{upper} on {lower}")
        text.append("\n")
    return text


def print_evaluation(result: Evaluation) -> None:
    """Show the measures of an evaluation as a table."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, value in evaluation_rows(result):
        table.add_row(name, value)
    console.print(table)
    for line, reason in result.passed_over[:10]:
        console.print(f"[yellow]passed over[/] line {line}: {escape(reason)}")
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
    import click
    from jinja2 import Environment, PackageLoader, select_autoescape

    from vision.images import read_image

    hashes = {sha256 for miss in result.worst for *_, sha256 in miss.hits}
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
        raise click.ClickException(f"{path} cannot be written ({error}).") from error


def _data(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def print_info(catalogue: Catalogue, as_json: bool) -> None:
    """Show what a catalogue holds."""
    facts = catalogue.info()
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    console = Console(highlight=False)
    verdicts = facts["verdicts"]
    sure = (
        f"on {verdicts['queries']} simulated photos, calibration error {verdicts['ece']:.3f}; "
        f"exact from {verdicts['exact_at']:.0%}, not stocked below {verdicts['not_stocked_at']:.0%}"
        if verdicts
        else "not yet: too few products"
    )
    weight = facts["colour_weight"]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in (
        ("catalogue", facts["catalogue"]),
        ("database", facts["database"]),
        ("products", f"{facts['products']}, with {facts['pictures']} pictures"),
        ("encoder", f"{facts['encoder']} (fingerprint {facts['fingerprint'][:12]})"),
        ("index", f"exact inner product, {facts['index_bytes'] / 2**20:.1f} MB"),
        ("colour counts", "-" if weight is None else f"{weight:.0%} beside the embedding"),
        ("verdicts calibrated", sure),
    ):
        table.add_row(name, escape(str(value)))
    console.print(table)


def print_problems(
    problems: Sequence[Problem], lost: Sequence[str], as_json: bool, repaired: bool
) -> None:
    """Show what a check found."""
    if as_json:
        print(json.dumps({"problems": [asdict(each) for each in problems], "lost": list(lost)}))
        return
    console = Console(highlight=False)
    for each in problems[:50]:
        colour = "red" if each.serious else "yellow"
        console.print(f"[{colour}]{each.kind}[/]: {escape(each.what)}")
    if len(problems) > 50:
        console.print(f"... and {len(problems) - 50} more")
    for line in lost:
        console.print(f"[red]lost[/]: {escape(line)}")
    serious = sum(each.serious for each in problems)
    if not problems:
        console.print("Everything is in order.")
    elif serious and not repaired:
        console.print("Run findalike check --repair to mend what can be mended.")
    elif not serious:
        console.print("Nothing of this touches answers.")


def print_encoders() -> None:
    """Show the recommended encoders."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("here", "encoder", "dim", "download", "words", "licence", "good for"):
        table.add_column(name, justify="right" if name in ("dim", "download") else "left")
    for model in MODELS:
        table.add_row(
            "yes" if model.on_this_machine() else "", model.spec, str(model.dim),
            f"{model.megabytes} MB" if model.megabytes else "-", model.words, model.licence,
            model.good_for,
        )  # fmt: skip
    console = Console(highlight=False)
    console.print(table)
    console.print(
        "\nUse one with: findalike add PHOTOS --encoder ENCODER. Others work too; see docs/encoders.md."
    )
