"""``findalike tune``: the table, the page, the JSON, and choosing a kind of index."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from test_docs import documented, keys, section

from index.catalogue import Catalogue
from index.changes.tuning import RECALLS, weigh
from index.query import Query
from webapp.reports.kinds import trade_chart

RunCli = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parent.parent


def test_every_kind_is_measured_and_nothing_is_changed(catalogue: Catalogue) -> None:
    before = {path.name: path.read_bytes() for path in catalogue.path.iterdir() if path.is_file()}
    trade = weigh(catalogue)
    after = {path.name: path.read_bytes() for path in catalogue.path.iterdir() if path.is_file()}
    assert before == after
    assert trade.rows == 30
    assert trade.kind == trade.now.kind == "exact"
    assert {each.kind for each in trade.kinds} == {"exact", "scan", "lists"}
    for kind in ("scan", "lists"):
        reached = [each.recall for each in trade.kinds if each.kind == kind]
        assert len(reached) == len(RECALLS)
        assert all(have >= want for have, want in zip(reached, RECALLS, strict=True))
    assert trade_chart(trade).count("<circle") == len(trade.kinds)


def test_the_json_is_documented(run_cli: RunCli, catalogue: Catalogue) -> None:
    done = run_cli("tune", "--json")
    found = keys(json.loads(done.stdout))
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert found <= documented(section(page, "JSON"))
    assert {"kinds", "recall", "candidates", "p99"} <= found


def test_the_table_and_the_page(run_cli: RunCli, catalogue: Catalogue, tmp_path: Path) -> None:
    done = run_cli("tune", "--plot", "trade.html")
    assert done.returncode == 0, done.stderr
    assert "30 pictures; in use: exact (chosen by size)." in done.stdout
    assert "recall@10" in done.stdout
    assert "bytes/picture" in done.stdout
    page = (tmp_path / "trade.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert page.count("<circle") == page.count("<tr>") - 1 > 3
    assert "http" not in page.replace("http-equiv", "")


def test_choosing(run_cli: RunCli, catalogue: Catalogue) -> None:
    first = catalogue.search(Query(text="red", k=30))
    done = run_cli("tune", "--kind", "scan", "--recall", "0.95")
    assert done.returncode == 0, done.stderr
    assert "The index of 30 pictures is now scan: " in done.stdout
    shown = " ".join(run_cli("info").stdout.split())
    assert "scan: " in shown
    assert "chosen by you" in shown
    facts = json.loads(run_cli("info", "--json").stdout)
    assert facts["index_choice"] == {"kind": "scan", "recall": 0.95}
    assert facts["index"]["kind"] == "scan"
    assert facts["index"]["rows"] == 30
    again = catalogue.search(Query(text="red", k=30))
    assert [hit.product for hit in again.hits] == [hit.product for hit in first.hits]
    done = run_cli("tune", "--kind", "auto", "--json")
    assert json.loads(done.stdout)["kind"] == "exact"
    facts = json.loads(run_cli("info", "--json").stdout)
    assert facts["index_choice"] == {"kind": "auto", "recall": 0.95}  # stays as it was chosen
    assert "chosen by size" in " ".join(run_cli("info").stdout.split())


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--kind", "hnsw"], "hnsw"),
        (["--recall", "1"], "0.5"),
        (["--plot", "no/such/place.html"], "cannot be written"),
        (["--plot", "a.html", "--kind", "scan"], "leave out --kind"),
    ],
)
def test_mistakes(run_cli: RunCli, catalogue: Catalogue, args: list[str], says: str) -> None:
    done = run_cli("tune", *args)
    assert done.returncode == 1
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_catalogue_without_products(
    run_cli: RunCli, tiny_encoder: object, tmp_path: Path
) -> None:
    Catalogue.open(tmp_path / "catalogue", create=True).close()
    done = run_cli("tune")
    assert done.returncode == 0, done.stderr
    assert "0 pictures" in done.stdout
    assert run_cli("tune", "--kind", "lists").returncode == 0
    assert "not built" in run_cli("info").stdout or "exact" in run_cli("info").stdout
