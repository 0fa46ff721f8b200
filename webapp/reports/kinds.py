"""The report on the kinds of index: a table in the terminal, an HTML page with a chart."""

from __future__ import annotations

import math
from pathlib import Path

from markupsafe import Markup
from rich.console import Console
from rich.table import Table

from index.changes.tuning import Trade
from index.vectors import AUTO, KINDS, Measured
from webapp.reports.charts import Plot, linear_y, log_x
from webapp.reports.retrieval import write_page

_COLUMNS = (
    "kind", "candidates", "lists", "recall@10", "p50 ms", "p99 ms", "bytes/picture", "built in",
)  # fmt: skip


def trade_rows(trade: Trade) -> list[tuple[str, ...]]:
    """Return the table's rows as texts, in the order of the columns."""
    return [
        (
            each.kind, str(each.candidates or "-"), str(each.probes or "-"), f"{each.recall:.4f}",
            f"{each.p50:.3f}", f"{each.p99:.3f}", f"{each.memory:.0f}", f"{each.seconds:.1f} s",
        )
        for each in trade.kinds
    ]  # fmt: skip


def headline(trade: Trade) -> str:
    """Say what is used now, and why."""
    why = "chosen by size" if trade.choice.kind == AUTO else "chosen by you"
    return f"{trade.rows} pictures; in use: {trade.now.in_words()} ({why})."


def print_trade(trade: Trade) -> None:
    """Print the table, and how to choose."""
    console = Console(highlight=False)
    console.print(headline(trade))
    table = Table(box=None, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "kind" else "right")
    for row in trade_rows(trade):
        table.add_row(*row)
    console.print(table)
    console.print("To choose: findalike tune --kind auto|exact|scan|lists --recall 0.99")


def write_trade(trade: Trade, path: Path) -> None:
    """Write the table and the chart as one HTML page; raises ClickException if it cannot be."""
    write_page(
        path, "kinds.html", headline=headline(trade), columns=_COLUMNS, rows=trade_rows(trade),
        chart=trade_chart(trade), kinds=KINDS, result={},
    )  # fmt: skip


def trade_chart(trade: Trade) -> Markup:
    """Draw the median time of a search against recall@10, one line for each kind."""
    times = [max(each.p50, 1e-3) for each in trade.kinds]
    low, high = 10 ** math.floor(math.log10(min(times))), 10 ** math.ceil(math.log10(max(times)))
    floor = math.floor(min(0.9, *(each.recall for each in trade.kinds)) * 20) / 20
    plot = Plot(log_x(low, max(high, 10 * low)), linear_y(floor, 1))
    decades = range(round(math.log10(low)), round(math.log10(max(high, 10 * low))) + 1)
    steps = [floor + (1 - floor) * at / 4 for at in range(5)]
    plot.ticks([(10.0**at, f"{10.0**at:g}") for at in decades], [(y, f"{y:.3g}") for y in steps])
    plot.line("asked", [(low, trade.choice.recall), (max(high, 10 * low), trade.choice.recall)])
    for kind in KINDS:
        found = [each for each in trade.kinds if each.kind == kind]
        plot.line(kind, [(max(each.p50, low), each.recall) for each in found])
        for each in found:
            plot.dot(f"{kind} mark", max(each.p50, low), each.recall, _says(each))
    plot.titles("milliseconds for a search (p50, log scale)", "recall@10")
    return plot.svg("Recall against time for each kind of index")


def _says(each: Measured) -> str:
    return f"{each.in_words()}, {each.p50:.3f} ms, {each.memory:.0f} bytes for a picture"
