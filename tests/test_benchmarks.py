"""The benchmarks' own parts: what is chosen of what was tried, fits, tables read back, runs."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
HERE = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Import benchmarks as they import each other."""
    monkeypatch.syspath_prepend(str(HERE))


def test_the_fastest_that_reach_a_goal() -> None:
    from bench_index import Tried, fastest, unbeaten

    slow = Tried(0.999, 3.0, 4.0, "slow")
    good = Tried(0.992, 2.0, 3.0, "good")
    beaten = Tried(0.991, 2.5, 3.0, "beaten")
    fast = Tried(0.9, 1.0, 2.0, "fast")
    tried = [slow, beaten, good, fast]
    assert fastest(tried, 0.99) == (good, "")
    assert fastest(tried, 0.995) == (slow, "")
    assert fastest(tried, 0.9995) == (slow, ", 0.9995 not reached")
    assert unbeaten(tried) == [fast, good, slow]


def test_a_ladder_is_climbed_until_the_goal() -> None:
    from bench_index import K, climb

    queries = np.zeros((4, 2), np.float32)
    true = np.tile(np.arange(K), (4, 1))
    asked = []

    def asking(found: int) -> Any:
        def ask(query: np.ndarray) -> np.ndarray:
            asked.append(found)
            return np.where(np.arange(K) < found, np.arange(K), -1)[None]

        return ask

    ladders = [[(str(found), asking(found)) for found in (5, 9, 10, 7)], [("8", asking(8))]]
    tried = list(climb(ladders, 0.9, queries, true))
    assert [(each.settings, each.recall) for each in tried] == [("5", 0.5), ("9", 0.9), ("8", 0.8)]
    assert 10 not in asked


def test_a_power_law_is_found() -> None:
    from bench_growth import fit

    counts = [1e3, 1e4, 1e5]
    a, b, off = fit(counts, [0.5 * n**0.7 for n in counts])
    assert (a, b, off) == pytest.approx((0.5, 0.7, 1.0))
    assert fit(counts, [1.0, 1.0, 8.0])[2] > 1.5


def test_exact_neighbours_of_vectors_made_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    import bench_growth
    import bench_index

    monkeypatch.setattr(bench_index, "CHUNK", 64)
    rows = np.concatenate(list(bench_index.clustered(300)))
    queries = bench_index.photos_of(rows)[:20]
    expected = np.argsort(-(queries @ rows.T), axis=1)[:, : bench_index.K]
    assert (bench_growth.nearest(300, queries) == expected).all()


PRINTED = """
machine

## Settings tried, 100 vectors

| index | settings | recall@10 | p50 ms | p99 ms |
| --- | --- | ---: | ---: | ---: |
| findalike scan | 40 candidates | 0.9100 | 0.090 | 0.101 |
| findalike scan | 80 candidates | 1.0000 | 0.104 | 0.113 |
| hnswlib | M 16, ef 16 | 0.9566 | 0.049 | 0.098 |

## Growth

| vectors | kind | recall@10 | build s | p50 ms |
| ---: | --- | ---: | ---: | ---: |
| 1,000 | exact | 1.0 | 0.08 | 0.05 |
| 10,000 | exact | 1.0 | 0.8 | 0.3 |

## Growth, fitted

| cost | kind | vectors | a | b, cost = a n^b | for 10 times as many | off by at most |
| --- | --- | --- | ---: | ---: | ---: | ---: |
| build s | exact | 1,000 to 10,000 | 8e-05 | 1.00 | x 10.0 | x 1.00 |
| p50 ms | exact | 1,000 to 10,000 | 0.0002 | 0.78 | x 6.0 | x 1.00 |

| server | clients | answers/s | p50 ms | p95 ms |
|---|---|---|---|---|
| plain | 1 | 47.3 | 20 | 22 |
| plain | 4 | 115.1 | 33 | 42 |
| findalike serve | 1 | 32.2 | 28 | 35 |

| | photos/s | x clip-retrieval | x loop | processor ms/photo | whole command |
| --- | ---: | ---: | ---: | ---: | ---: |
| open_clip loop | 31.9 | 1.6 | 1.0 | 108 | 13.4 s |
| findalike add, packed bf16 | 96.9 | 4.7 | 3.0 | 29 | 13.3 s |

| opened | ready s |
| --- | ---: |
| again | 0.6 |
"""


def test_tables_are_read_back() -> None:
    from plots import number, plots, tables

    found = list(tables(PRINTED))
    assert [table.heading for table in found[:3]] == [
        "Settings tried, 100 vectors", "Growth", "Growth, fitted",
    ]  # fmt: skip
    assert found[0].rows[2]["settings"] == "M 16, ef 16"
    assert [(name, len(rows)) for name, rows in found[0].groups("index")] == [
        ("findalike scan", 2),
        ("hnswlib", 1),
    ]
    assert [name for name, _ in plots(found)] == ["recall", "growth", "serving", "add"]
    assert [number(cell) for cell in ("1,000 to 9", "8e-05", "x 1.5", "13.4 s")] == [
        1000, 8e-5, 1.5, 13.4,
    ]  # fmt: skip
    assert np.isnan(number("-"))


def test_plots_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from plots import draw

    (tmp_path / "all.txt").write_text(PRINTED, encoding="utf-8")
    made = draw(tmp_path)
    assert [path.name for path in made] == [
        "all-recall.svg", "all-growth-1.svg", "all-serving-2.svg", "all-add-3.svg",
    ]  # fmt: skip
    for path in made:
        assert len(list(ET.parse(path).iter())) > 50


def test_a_benchmark_is_run_to_its_end_or_its_limit(capsys: pytest.CaptureFixture[str]) -> None:
    from run import run

    for code, limit, status in (
        ("import sys; print('said'); sys.exit(3)", 60.0, 3),
        ("print('said', flush=True); import time; time.sleep(60)", 2.0, -9),
    ):
        file = StringIO()
        assert run(["-c", code], file, limit) == status
        assert file.getvalue() == "said\n" == capsys.readouterr().out


def test_one_that_fails_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import run

    (tmp_path / "bad.py").write_text("raise SystemExit('no')", encoding="utf-8")
    (tmp_path / "good.py").write_text("print('well')", encoding="utf-8")
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(run, "OUT", tmp_path / "results" / "bench")
    monkeypatch.setattr(run, "commands", lambda data: {"bad": ["bad.py"], "good": ["good.py"]})
    monkeypatch.setattr(sys, "argv", ["run.py"])
    with pytest.raises(SystemExit) as ended:
        run.main()
    assert ended.value.code == 1
    assert "well" in (run.OUT / "good.txt").read_text(encoding="utf-8")


def test_what_is_run_and_what_docs_name_is_there() -> None:
    from run import commands

    named = {script for script, *_ in commands(Path("data")).values()}
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        named |= set(re.findall(r"benchmarks/(\w+\.py)", path.read_text(encoding="utf-8")))
    assert len(named) > 15
    assert not [name for name in named if not (HERE / name).is_file()]


@pytest.mark.parametrize("script", ["bench_index.py", "bench_growth.py", "plots.py", "run.py"])
def test_help_says_what_it_does(script: str) -> None:
    command = [sys.executable, str(HERE / script), "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"benchmarks/{script}" in said
