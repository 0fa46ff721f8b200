"""The benchmarks one after the other, at a reduced size: what ``make bench`` runs.

    .venv/bin/python benchmarks/run.py [DATA] [--only index growth]

Every benchmark runs in a process of its own, whose output goes to results/bench/NAME.txt too; at
the end plots are drawn from what was printed, and a table says how long each took. One that fails
keeps no other from running; the exit status is then 1. DATA (laid out as for bench_quality.py, with
photos in images/) adds those that need real photos.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import IO

from bench_index import conditions
from plots import draw

HERE = Path(__file__).parent
OUT = HERE.parent / "results" / "bench"
LIMIT = 900.0  # seconds after which a benchmark is taken for stuck


def commands(data: Path | None) -> dict[str, list[str]]:
    """Return what to run, by name: a script of this folder and its arguments."""
    missing = [name for name in ("hnswlib", "usearch") if not importlib.util.find_spec(name)]
    found = {
        "start": ["bench_start.py", "--rounds", "1"],
        "encode": ["bench_encode.py", "--rounds", "2"],
        "callers": ["bench_encode.py", "--serve", "--seconds", "2"],
        "index": ["bench_index.py", "100000", *(["--without", *missing] if missing else [])],
        "growth": ["bench_growth.py"],
        "search": ["bench_search.py", "--sizes", "10000", "100000"],
        "serving": ["bench_serving.py", "--quicken", "--seconds", "3", "--rounds", "1"],
        "feeds": ["bench_feeds.py", "100000"],
        "builtin": ["bench_builtin.py", *([str(data)] if data else [])],
    }
    if data:
        found["decode"] = ["bench_decode.py"]
        found["quality"] = ["bench_quality.py", str(data)]
        found["add"] = ["bench_add.py", str(data / "images")]
        found["import"] = ["bench_import.py", str(data / "images"), "--photos", "600"]
    return found


def run(command: list[str], file: IO[str], limit: float = LIMIT) -> int:
    """Run one benchmark, show and keep what it prints, and return its exit status."""
    with subprocess.Popen(
        [sys.executable, "-u", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    ) as process:  # fmt: skip
        stop = threading.Timer(limit, end, [process])
        stop.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                file.write(line)
            return process.wait()
        finally:
            stop.cancel()
            end(process)


def end(process: subprocess.Popen[str]) -> None:
    """End a benchmark and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--only", nargs="+", metavar="NAME")
    options = parser.parse_args()
    chosen = commands(options.data)
    if options.only:
        chosen = {name: chosen[name] for name in options.only}
    OUT.mkdir(parents=True, exist_ok=True)
    about = f"{datetime.now():%Y-%m-%d %H:%M}, {conditions()}"
    print(about)
    took, statuses = {}, {}
    for name, (script, *arguments) in chosen.items():
        title = f"# {name}: benchmarks/{shlex.join([script, *arguments])}\n"
        print(f"\n{title}", flush=True)
        started = time.perf_counter()
        with (OUT / f"{name}.txt").open("w", encoding="utf-8") as file:
            file.write(f"{title}\n{about}\n\n")
            statuses[name] = run([str(HERE / script), *arguments], file)
        took[name] = time.perf_counter() - started
    try:
        made = [str(path.relative_to(HERE.parent)) for path in draw(OUT)]
        print(f"\nPlots: {', '.join(made) or 'none'}")
    except ImportError:
        print("\nPlots were left out: matplotlib is not installed.")
    print("\n| benchmark | seconds | |\n| --- | ---: | --- |")
    for name, seconds in took.items():
        print(f"| {name} | {seconds:.0f} | {f'FAILED ({statuses[name]})' * bool(statuses[name])} |")
    print(f"| all | {sum(took.values()):.0f} | |")
    sys.exit(any(statuses.values()))


if __name__ == "__main__":
    main()
