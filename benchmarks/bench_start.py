"""Where the time goes until a cold process has answered.

    .venv/bin/python benchmarks/bench_start.py [--rounds 3]

Every command's --help, and one photo searched in the sample catalogue by a process of its own,
parted into what it does: the interpreter and findalike's modules, the catalogue and its index,
torch and what comes with it, the weights and their check, the search itself. Best of the rounds.
Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

SAMPLE = Path(__file__).parents[1] / "assets" / "sample"
PHOTO = SAMPLE / "photos" / "001.jpg"

SEARCH = """
import json, sys, time
marks = {"start": time.perf_counter()}
def mark(name):
    marks[name] = time.perf_counter()
from index.catalogue import Catalogue
from index.query import Query
mark("findalike's modules, NumPy, FAISS, SQLAlchemy")
with Catalogue.open(sys.argv[1]) as catalogue:
    with catalogue.reading() as table:
        catalogue.index(table)
    mark("the catalogue and its index")
    import vision.encoder
    mark("torch")
    import open_clip, timm
    mark("open_clip, timm, torchvision")
    catalogue.encoder
    mark("weights, fingerprint, check of the backend")
    query = Query(photo=sys.argv[2], k=5)
    catalogue.search(query)
    mark("the first search")
    catalogue.search(query)
    mark("the second search")
names = list(marks)
print(json.dumps([catalogue.encoder.backend, {
    name: marks[name] - marks[before] for before, name in zip(names, names[1:])}]))
"""


def run(command: Sequence[object]) -> tuple[float, str]:
    """Run a command; return its seconds and what it printed."""
    started = time.perf_counter()
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - started, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    findalike = [sys.executable, "-c", "from webapp.cli import main; main()"]
    _, listed = run([*findalike, "--help"])
    commands = [line.split()[0] for line in listed.partition("Commands:\n")[2].splitlines()]
    helps = {
        name: min(run([*findalike, name, "--help"])[0] for _ in range(options.rounds))
        for name in commands
    }
    slowest = max(helps, key=lambda name: helps[name])
    bare = min(run([sys.executable, "-c", "pass"])[0] for _ in range(options.rounds))
    print(f"`--help` of {len(helps)} commands: {min(helps.values()):.2f} to {helps[slowest]:.2f} s "
          f"(`{slowest}`), a bare Python {bare:.2f} s\n")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run([*findalike, "--catalogue", folder, "add", SAMPLE / "products.csv"])
        search = [*findalike, "--catalogue", folder, "search", PHOTO]
        whole = min(run(search)[0] for _ in range(options.rounds))
        parts: dict[str, float] = {}
        for _ in range(options.rounds):
            backend, found = json.loads(run([sys.executable, "-c", SEARCH, folder, PHOTO])[1])
            for name, taken in found.items():
                parts[name] = min(taken, parts.get(name, taken))
    print(f"`findalike search PHOTO`, sample catalogue, {backend}: {whole:.2f} s\n")
    print("| part | seconds | |\n| --- | ---: | ---: |")
    total = sum(parts.values()) + bare
    for name, taken in {"a bare Python": bare, **parts}.items():
        print(f"| {name} | {taken:.2f} | {taken / total:.0%} |")


if __name__ == "__main__":
    main()
