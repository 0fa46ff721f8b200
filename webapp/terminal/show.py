"""What the terminal shows: tables, a progress bar and small pictures."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.color import Color
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.style import Style
from rich.table import Table
from rich.text import Text

from assets import SAMPLE
from vision.images import read_image
from vision.models import MODELS
from webapp.terminal.backends import computed_with
from webapp.terminal.command import count, print_json

if TYPE_CHECKING:
    from index.catalogue import Catalogue
    from index.changes.adding import AddReport
    from index.changes.checking import Problem
    from index.product import Product
    from index.query import Answer

_STAGES = {
    "read": "Reading the feed",
    "add": "Adding pictures",
    "choose": "Trying ways to compute",
    "learn": "Calibrating",
    "embed": "Embedding pictures",
    "tag": "Tagging products",
    "categorise": "Categorising photos",
    "cross-validate": "Holding products out",
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
        print_json(asdict(report) | {"rejects": str(rejects) if report.passed_over else None})
        return
    console = Console(highlight=False)
    if dry_run:
        console.print(f"{count(report.added, 'product')} would go in. Nothing was changed.")
    else:
        parts = [
            f"{number} {name}"
            for name, number in (
                ("added", report.added), ("updated", report.updated), ("renamed", report.renamed),
                ("unchanged", report.unchanged),
            ) if number
        ]  # fmt: skip
        console.print(
            f"Products: {', '.join(parts) or 'none'}. Pictures embedded: {report.embedded}."
        )
    if report.passed_over:
        console.print(f"[yellow]Passed over: {report.passed_over}[/]; see {escape(str(rejects))}")


def print_answer(answer: Answer, catalogue: Catalogue, pictures: bool = False) -> None:
    """Show an answer as a table, on request with small pictures; empty columns are left out."""
    console = Console()
    if not answer.hits:
        empty = not catalogue.info()["products"]
        console.print(
            "The catalogue has no products yet; add some with: findalike add PHOTOS"
            if empty
            else "No product fits the conditions."
        )
        return
    columns: dict[str, list[Text]] = {
        "#": [Text(str(place)) for place in range(1, len(answer.hits) + 1)],
        "score": [Text(f"{hit.score:.3f}") for hit in answer.hits],
        "same?": [Text(_percent(hit.probability)) for hit in answer.hits],
        "product": [Text(hit.product.product_id) for hit in answer.hits],
        "title": [Text(hit.product.title) for hit in answer.hits],
        "category": [Text(hit.product.category) for hit in answer.hits],
        "price": [Text(_price(hit.product)) for hit in answer.hits],
    }
    if pictures:
        with catalogue.reading() as products:
            previews = products.previews({hit.sha256 for hit in answer.hits})
        columns = {"": [_small_picture(previews[hit.sha256]) for hit in answer.hits]} | columns
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    for name in columns:
        number = name in ("#", "score", "same?", "price")
        table.add_column(
            name, justify="right" if number else "left", no_wrap=number, overflow="fold"
        )
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    console.print(_VERDICTS[answer.verdict])
    if answer.left_out:
        console.print("A product that the conditions leave out looks more like it.")
    if answer.unknown:
        console.print(f"No product is described by: {', '.join(answer.unknown)}.", markup=False)
    console.print(table)


def _percent(probability: float | None) -> str:
    return "" if probability is None else f"{probability:.0%}"


def _price(product: Product) -> str:
    return "" if product.price is None else f"{product.price:.2f} {product.currency}".strip()


def _small_picture(preview: bytes) -> Text:
    """Draw a picture with half blocks: each character shows two pixels, one above the other."""
    pixels = read_image(preview, at_least=_PICTURE_COLUMNS).pixels
    rows = max(1, round(_PICTURE_COLUMNS * pixels.height / pixels.width / 2))
    small = np.asarray(pixels.resize((_PICTURE_COLUMNS, rows * 2)))  # (2 rows, columns, 3) uint8
    text = Text()
    for upper, lower in zip(small[::2], small[1::2], strict=True):
        for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
            colours = Color.from_rgb(*above), Color.from_rgb(*below)
            text.append("▀", style=Style(color=colours[0], bgcolor=colours[1]))
        text.append("\n")
    return text


def print_info(catalogue: Catalogue, as_json: bool) -> None:
    """Show what a catalogue holds."""
    facts = catalogue.info()
    if as_json:
        print_json(facts)
        return
    console = Console(highlight=False)
    verdicts = facts["verdicts"]
    sure = (
        f"on {verdicts['queries']} simulated photos, calibration error {verdicts['ece']:.3f}; "
        f"exact from {verdicts['exact_at']:.0%}, not stocked below "
        + (
            f"a cosine of {verdicts['least_cosine']:.2f}"
            if verdicts["least_cosine"] > -1
            else f"{verdicts['not_stocked_at']:.0%}"
        )
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
        ("products", f"{facts['products']}, with {count(facts['pictures'], 'picture')}"),
        ("encoder", f"{facts['encoder']} (fingerprint {facts['fingerprint'][:12]})"),
        ("computed with", computed_with(facts["backend"])),
        ("index", _index(facts)),
        ("colour counts", "-" if weight is None else f"{weight:.0%} beside the embedding"),
        ("verdicts calibrated", sure),
    ):
        table.add_row(name, escape(str(value)))
    console.print(table)


def _index(facts: dict[str, Any]) -> str:
    from index.vectors import AUTO, Measured

    if facts["index"] is None:
        return "not built yet"
    measured, wanted = Measured(**facts["index"]), facts["index_choice"]["kind"]
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(measured.time))
    return (
        f"{measured.in_words()}; {'chosen by size' if wanted == AUTO else 'chosen by you'}, "
        f"{facts['index_bytes'] / 2**20:.1f} MB, measured {when}"
    )


def print_problems(
    problems: Sequence[Problem], lost: Sequence[str], as_json: bool, repaired: bool
) -> None:
    """Show what a check found."""
    if as_json:
        print_json({"problems": [asdict(each) for each in problems], "lost": list(lost)})
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
    """Show the recommended encoders; a list, because a name cut short cannot be used."""
    console = Console(highlight=False)
    for model in MODELS:
        here = "nothing to download" if not model.megabytes else f"{model.megabytes} MB to download"
        if model.megabytes and model.on_this_machine():
            here = "on this machine"
        console.print(f"[bold]{escape(model.spec)}[/]", soft_wrap=True)
        words = "no words" if model.words == "none" else f"words: {model.words}"
        for line in (model.good_for, f"{model.dim} numbers, {words}; {here}; {model.licence}"):
            console.print(Padding(escape(line), (0, 0, 0, 4)))
    console.print(
        "\nUse one with: findalike add PHOTOS --encoder SPEC\n"
        "Others work too; see docs/encoders.md."
    )


def print_demo(path: Path, asked: Sequence[dict[str, str]], answers: Sequence[Answer]) -> None:
    """Show what was asked of the sample catalogue and what came back, and what to try next."""
    console = Console(highlight=False)
    table = Table("photo", "scene", "what it shows", "best answer", "sure", "", title="Ten photos")
    right = 0
    for row, answer in zip(asked, answers, strict=True):
        first = answer.hits[0]
        is_right = first.product.product_id == row["product_id"]
        right += is_right
        sure = "" if first.probability is None else f"{first.probability:.0%}"
        mark = "[green]right[/]" if is_right else "[red]wrong[/]"
        best = first.product.title
        table.add_row(
            Path(row["query_image"]).name,
            row["scene"],
            escape(row["title"]),
            escape(best),
            sure,
            mark,
        )
    console.print(table)
    console.print(f"{right} of {len(asked)} found at first place. Try it yourself:")
    photo = SAMPLE / asked[0]["query_image"]
    console.print(f"  findalike search {photo} --catalogue {path} --pictures", soft_wrap=True)
    console.print(
        f'  findalike search --text "orange fabric table lamp" --catalogue {path}', soft_wrap=True
    )
