"""The plots: what the benchmarks printed, drawn from their own Markdown tables as SVG.

    .venv/bin/python benchmarks/plots.py results/bench

Reads every .txt in the folder and draws beside it each table that it knows by its columns: recall
against time, growth with its fits, answers and p95 against clients, photos/s of a bulk add. Tables
with other columns are passed over.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECALLS = (0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 1.0)
LEAST_MISS = 2e-4  # where a recall of 1 is drawn on an axis of logarithms


@dataclass(frozen=True)
class Table:
    """A Markdown table: the heading it stands under, its columns, and rows of cells by column."""

    heading: str
    columns: list[str]
    rows: list[dict[str, str]]

    def groups(self, *columns: str) -> Iterator[tuple[str, list[dict[str, str]]]]:
        """Yield the rows that are alike in these columns, with what stands there."""
        names = {id(row): ", ".join(row[each] for each in columns) for row in self.rows}
        for name in dict.fromkeys(names.values()):
            yield name, [row for row in self.rows if names[id(row)] == name]


def number(cell: str) -> float:
    """Read the first number of a cell; nan where there is none."""
    found = re.search(r"-?\d[\d,]*\.?\d*(e[-+]?\d+)?", cell)
    return float(found[0].replace(",", "")) if found else float("nan")


def tables(text: str) -> Iterator[Table]:
    """Yield the tables of what a benchmark printed."""
    heading, block = "", list[list[str]]()
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            block.append([cell.strip() for cell in line.strip().strip("|").split("|")])
            continue
        if len(block) > 2:
            columns, _, *rows = block
            named = [dict(zip(columns, row, strict=False)) for row in rows]
            yield Table(heading, columns, [row for row in named if len(row) == len(columns)])
        block = []
        if line.startswith("#"):
            heading = line.strip("# ")


def style(name: str) -> dict[str, Any]:
    """Draw findalike in full and others dashed."""
    own = name.startswith("findalike")
    return {"linestyle": "-" if own else "--", "linewidth": 2.2 if own else 1.2, "marker": "o",
            "markersize": 4, "label": name}  # fmt: skip


def draw_recall(table: Table, figure: Any) -> None:
    axes = figure.subplots()
    for name, rows in table.groups("index"):
        missed = [max(LEAST_MISS, 1 - number(row["recall@10"])) for row in rows]
        axes.plot(missed, [number(row["p50 ms"]) for row in rows], **style(name))
    axes.set(xscale="log", yscale="log", xlabel="recall@10", ylabel="p50, ms", title=table.heading)
    axes.set_xlim(0.13, LEAST_MISS / 1.3)
    axes.set_xticks([max(LEAST_MISS, 1 - each) for each in RECALLS], map(str, RECALLS))
    low, high = axes.get_ylim()
    steps = [m * 10.0**e for e in range(-4, 4) for m in (1, 2, 3, 5) if low <= m * 10.0**e <= high]
    axes.set_yticks(steps, [f"{each:g}" for each in steps])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    figure.legend(fontsize="small", loc="outside right upper")


def draw_growth(table: Table, figure: Any, fits: Table) -> None:
    costs = list(dict.fromkeys(row["cost"] for row in fits.rows))
    places = figure.subplots(2, -(-len(costs) // 2)).flat
    for cost, axes in zip(costs, places, strict=False):
        for at, (kind, rows) in enumerate(table.groups("kind")):
            counts = [number(row["vectors"]) for row in rows]
            axes.plot(counts, [number(row[cost]) for row in rows], "o", color=f"C{at}", label=kind)
            for row in fits.rows:
                if (row["cost"], row["kind"]) == (cost, kind):
                    a, b = number(row["a"]), number(row["b, cost = a n^b"])
                    ends = [min(counts), max(counts)]
                    axes.plot(ends, [a * n**b for n in ends], color=f"C{at}", label=f"n^{b:.2f}")
        axes.set(xscale="log", yscale="log", title=cost, xlabel="vectors")
        axes.legend(fontsize="x-small")
    for axes in places:
        axes.set_axis_off()


def draw_serving(table: Table, figure: Any) -> None:
    for axes, column in zip(figure.subplots(1, 2), ("answers/s", "p95 ms"), strict=True):
        for name, rows in table.groups("server"):
            clients = [number(row["clients"]) for row in rows]
            axes.plot(clients, [number(row[column]) for row in rows], **style(name))
        axes.set(xscale="log", xlabel="clients", title=column)
        axes.set_xticks(clients_of(table), [f"{each:.0f}" for each in clients_of(table)])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), fontsize="small", loc="outside lower center")


def clients_of(table: Table) -> list[float]:
    return sorted({number(row["clients"]) for row in table.rows})


def draw_add(table: Table, figure: Any) -> None:
    axes = figure.subplots()
    names = [row[table.columns[0]] for row in table.rows][::-1]
    rates = [number(row["photos/s"]) for row in table.rows][::-1]
    colours = ["C0" if name.startswith("findalike") else "0.6" for name in names]
    axes.bar_label(axes.barh(names, rates, color=colours), fmt="%.1f")
    axes.set(xlabel="photos/s", title=table.heading or "Bulk add")


def plots(found: list[Table]) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """Yield a name and what draws it for each table that is known by its columns."""
    for table in found:
        columns = set(table.columns)
        if columns >= {"index", "settings", "recall@10"} and table.heading.startswith("Settings"):
            yield "recall", lambda figure, table=table: draw_recall(table, figure)
        elif columns >= {"vectors", "kind", "p50 ms"}:
            for fits in found:
                if "b, cost = a n^b" in fits.columns:
                    yield "growth", lambda figure, t=table, f=fits: draw_growth(t, figure, f)
        elif columns >= {"server", "clients", "answers/s", "p95 ms"}:
            yield "serving", lambda figure, table=table: draw_serving(table, figure)
        elif columns >= {"photos/s", "processor ms/photo"}:
            yield "add", lambda figure, table=table: draw_add(table, figure)


def draw(folder: Path) -> list[Path]:
    """Draw what is known in the folder's .txt files; return the paths of the plots.

    Raises ImportError without matplotlib.
    """
    from matplotlib.figure import Figure  # no screen and no state of its own, unlike pyplot

    made = []
    for path in sorted(folder.glob("*.txt")):
        for at, (name, onto) in enumerate(plots(list(tables(path.read_text(encoding="utf-8"))))):
            figure = Figure(figsize=(10, 6), layout="constrained")
            onto(figure)
            made.append(folder / f"{path.stem}-{name}{f'-{at}' * bool(at)}.svg")
            figure.savefig(made[-1])
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    for path in draw(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    main()
