"""What the terminal shows of labels: heads, tags, and questions for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from webapp.terminal.command import count, print_json

if TYPE_CHECKING:
    from index.catalogue import Catalogue
    from index.labels.categorising import Categorised
    from index.labels.predicting import TagReport
    from index.labels.review import Question
    from index.labels.tagging import Taught

_SURE = 0.5  # of being outside, from which a photo is said to show nothing of the taxonomy


def print_taught(taught: Taught, as_json: bool) -> None:
    """Say what was learnt, from how much, and how well it does on what was held out."""
    from index.labels.heads import describe_head

    facts = describe_head(taught.head) | {"version": taught.version}
    if as_json:
        print_json(facts)
        return
    console = Console(highlight=False)
    console.print(
        f"Head {taught.version} learnt from {count(len(taught.labelled.products), 'product')}. "
        f"On what was held out in turn:"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("axis", "values", "labelled", "right", "accepted", "of those right", "ECE", "by"):
        table.add_column(name, justify="left" if name in ("axis", "by") else "right")
    for axis, each in facts["axes"].items():
        table.add_row(
            escape(axis), str(each["classes"]), str(each["examples"]),
            _share(each["accuracy"]), _share(each["coverage"]),
            _share(each["accepted_precision"]), _number(each["calibration_error"]),
            " + ".join(each["experts"]),
        )  # fmt: skip
    console.print(table)
    for reason in facts["skipped"].values():
        console.print(f"[yellow]{escape(reason)}[/]")
    strange = sum(taught.labelled.strange.values())
    if strange:
        console.print(
            f"[yellow]{count(strange, 'label')} left out: the taxonomy does not have them. "
            f"See findalike taxonomy check[/]"
        )
    console.print("To tag the catalogue by it: findalike tag")


def _share(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def print_tagged(report: TagReport, as_json: bool) -> None:
    """Say what a tagging did."""
    if as_json:
        print_json(asdict(report))
        return
    console = Console(highlight=False)
    console.print(
        f"Predicted {count(report.predicted, 'product')}: {report.accepted} with an accepted tag, "
        f"{report.queued} with a question for a person. Unchanged: {report.unchanged}."
    )
    if report.queued:
        console.print("See the questions with: findalike review")


def print_categorised(photos: Sequence[Path], answers: Sequence[Categorised]) -> None:
    """Show what photos show: accepted values, the likeliest ones, and why."""
    console = Console(highlight=False)
    for photo, answer in zip(photos, answers, strict=True):
        console.print(f"[bold]{escape(photo.name)}[/]", soft_wrap=True)
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("axis", "tag", "sure", "likeliest"):
            table.add_column(name, justify="right" if name == "sure" else "left", overflow="fold")
        for axis, tag in answer.tags.items():
            said = f"[green]{escape(tag.accepted)}[/]" if tag.accepted else "[yellow]unsure[/]"
            if tag.outside >= _SURE and not tag.accepted:
                said = "[red]none of these[/]"
            best = "\n".join(
                f"{probability:4.0%} {escape(value)}" for value, probability in tag.best
            )
            table.add_row(escape(axis), said, f"{tag.confidence:.0%}", best)
        console.print(table)
        for reason in answer.reasons:
            labels = ", ".join(reason.labels.values())
            title = f" {reason.title}" if reason.title else ""
            console.print(
                f"  like {escape(reason.product_id)}{escape(title)} ({escape(labels)}), "
                f"cosine {reason.cosine:.2f}",
                soft_wrap=True,
            )


def print_queue(questions: Sequence[Question], length: int, as_json: bool) -> None:
    """Show what a person should decide next."""
    if as_json:
        print_json({"open": length, "questions": [_question(each) for each in questions]})
        return
    console = Console(highlight=False)
    if not questions:
        console.print("Nothing to decide. Questions come from: findalike tag")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("product", "title", "axis", "proposal", "sure", "why"):
        table.add_column(name, justify="right" if name == "sure" else "left", overflow="fold")
    for each in questions:
        value, probability = each.best[0]
        product = each.stored.product
        row = (product.product_id, product.title, each.axis, value, f"{probability:.0%}", each.why)
        table.add_row(*map(escape, row))
    console.print(table)
    console.print(f"{count(length, 'question')} in all.")


def _question(each: Question) -> dict[str, Any]:
    return {
        "product_id": each.stored.product.product_id,
        "title": each.stored.product.title,
        "axis": each.axis,
        "now": each.now.value if each.now else None,
        "source": each.now.source if each.now else None,
        "best": [{"value": value, "probability": p} for value, p in each.best],
        "outside": each.outside,
        "why": each.why,
    }


def print_heads(catalogue: Catalogue, as_json: bool) -> None:
    """List the heads of a catalogue, the one in use marked."""
    from index.labels.heads import read_register

    with catalogue.reading() as table:
        register = read_register(table.connection)
    described = {
        version: catalogue.heads.describe(version, shelved)
        for version, shelved in register.heads.items()
    }
    if as_json:
        print_json({"current": register.current or None, "heads": described})
        return
    console = Console(highlight=False)
    if not described:
        console.print("No head was trained yet. Train one with: findalike train")
        return
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "version", "trained", "labels", "category right", "accepted"):
        shown.add_column(name, justify="left" if name in ("", "trained") else "right")
    for version, facts in described.items():
        if "fault" in facts:
            shown.add_row("", version, f"[red]{escape(facts['fault'])}[/]")
            continue
        when = datetime.fromtimestamp(facts["time"]).strftime("%Y-%m-%d %H:%M")
        category = facts["axes"].get("category", {})
        shown.add_row(
            "in use" if version == register.current else "", version, when,
            str(category.get("examples", 0)), _share(category.get("accuracy")),
            _share(category.get("coverage")),
        )  # fmt: skip
    console.print(shown)
