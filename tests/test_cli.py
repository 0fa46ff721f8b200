"""The command as people use it: what it does, what it says when it cannot, how soon it says it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import tiny
from click.testing import CliRunner, Result
from conftest import RunCli

from index.catalogue import Catalogue
from webapp import cli
from webapp.terminal import command

HEAVY = ("torch", "faiss", "sklearn", "sqlalchemy", "rich", "PIL", "numpy", "flask", "jinja2")

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_encoder: object) -> Run:
    """Run the command in this process, in ``tmp_path``, with the tiny encoder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FINDALIKE_CATALOGUE", raising=False)

    def invoke(*args: object, env: dict[str, str] | None = None) -> Result:
        arguments = [str(each) for each in args]
        return CliRunner().invoke(cli.main, arguments, env=env, prog_name="findalike")

    return invoke


def photo(catalogue: Catalogue, product_id: str) -> Path:
    with catalogue.reading() as table:
        key = table.keys([product_id])[product_id]
        return Path(table.get([key])[key].views[0].location)


def refused(result: Result, *says: str) -> None:
    """Check that a command ended with one clear message and status 1."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1, result.output
    assert result.stderr.count("Error: ") == 1
    assert "Traceback" not in result.output
    for text in says:
        assert text in result.stderr


# --- help, and how soon mistakes are told -------------------------------------------------------


def loaded_by(*args: object, folder: Path) -> tuple[set[str], str]:
    """Run the command in a bare interpreter; return which heavy libraries it loaded, and output."""
    script = (
        "import sys\n"
        "from webapp.cli import main\n"
        "try:\n    main(sys.argv[1:], prog_name='findalike')\n"
        "finally:\n    print('LOADED', *sys.modules)"
    )
    arguments = [sys.executable, "-c", script, *map(str, args)]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=folder, timeout=60)
    output, _, names = (done.stdout + done.stderr).partition("LOADED")
    return {name.partition(".")[0] for name in names.split()} & set(HEAVY), output + names


@pytest.mark.parametrize("name", ["", *sorted(cli.main.commands)])
def test_help_loads_nothing_heavy(name: str, tmp_path: Path) -> None:
    loaded, output = loaded_by(*([name] if name else []), "--help", folder=tmp_path)
    assert loaded == set()
    assert output.startswith("Usage: findalike")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("search", "gone.jpg"), "gone.jpg: The file is missing"),
        (("search", "text.txt"), "not a picture"),
        (("search", "a.png", "--where", "price<x"), "not a price"),
        (("search", "a.png", "--crop", "1,2"), "four numbers"),
        (("search", "a.png", "-k", "0"), "from 1 to"),
        (("search", "a.png", "-c", "nowhere"), "no catalogue in nowhere"),
        (("info", "-c", "nowhere"), "no catalogue in nowhere"),
        (("remove", "x", "-c", "nowhere"), "no catalogue in nowhere"),
        (("export", "-c", "nowhere"), "no catalogue in nowhere"),
        (("add", "gone"), "gone does not exist"),
        (("evaluate", "gone.csv"), "gone.csv cannot be read"),
        (("add", "a.png", "--rejects", "gone/r.csv"), "another file with --rejects"),
    ],
)
def test_mistakes_are_told_before_a_model_is_loaded(
    args: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    tiny.draw(1).save(tmp_path / "a.png")
    (tmp_path / "text.txt").write_text("no picture")
    loaded, output = loaded_by(*args, folder=tmp_path)
    assert says in output
    assert not loaded & {"torch", "faiss", "sklearn", "rich"}


def test_every_command_says_in_a_line_what_it_does(run: Run) -> None:
    shown = run("--help").output
    for name, each in cli.main.commands.items():
        line = next(line for line in shown.splitlines() if line.strip().startswith(f"{name} "))
        assert line.endswith("."), f"{name} is cut short"
        assert not line.endswith("..")
        assert all(option.help for option in each.params if isinstance(option, click.Option)), (
            f"{name} has an option without help"
        )


def test_version(run: Run) -> None:
    assert run("--version").output.startswith("findalike")


# --- three commands -----------------------------------------------------------------------------


def test_add_and_search(run: Run, photos: Callable[..., list[Path]]) -> None:
    paths = photos(9)
    added = run("add", "photos")
    assert added.exit_code == 0
    assert added.stdout == "Products: 9 added. Pictures embedded: 9.\n"
    assert "New catalogue in catalogue, encoder builtin." in added.stderr
    again = run("add", "photos")
    assert again.stdout == "Products: 9 unchanged. Pictures embedded: 0.\n"
    assert "New catalogue" not in again.stderr
    found = run("search", paths[3], "-k", "2")
    assert found.exit_code == 0
    assert found.output.startswith("This is it.")
    assert "00003.png" in found.output


def test_search_as_json(run: Run, catalogue: Catalogue) -> None:
    result = run("search", photo(catalogue, "p7"), "-k", 3, "--json")
    answer = json.loads(result.stdout)
    assert answer["verdict"] == "exact"
    assert [*answer["hits"][0]][:6] == [
        "product_id", "score", "probability", "title", "category", "image",
    ]  # fmt: skip
    assert len(answer["hits"]) == 3
    words = json.loads(run("search", "--text", "red", "--json").stdout)
    assert words["hits"][0]["probability"] is None


def test_every_part_of_a_query_has_an_option(run: Run, catalogue: Catalogue) -> None:
    result = run(
        "search", photo(catalogue, "p7"), "--crop", "0,0,1,0.9", "--text", "red", "--not", "blue",
        "--like", "p3", "--weight", "text=0.2", "--weight", "like=0.1", "--where", "price<20",
        "--where", "brand=acme|bolt", "-k", "4", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    hits = json.loads(result.stdout)["hits"]
    assert len(hits) == 4
    assert all(hit["price"] < 20 and hit["product_id"] != "p3" for hit in hits)


def test_where_the_catalogue_is(run: Run, catalogue: Catalogue, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "catalogue", tmp_path / "other")
    for args, env in (
        (("info", "--json"), {}),
        (("--catalogue", "other", "info", "--json"), {}),
        (("info", "--json", "-c", "other"), {}),
        (("-c", "nowhere", "info", "--json", "-c", "other"), {}),
        (("info", "--json"), {"FINDALIKE_CATALOGUE": "other"}),
        (("info", "--json", "-c", "other"), {"FINDALIKE_CATALOGUE": "nowhere"}),
    ):
        facts = json.loads(run(*args, env=env).stdout)
        assert facts["products"] == 24
        assert facts["catalogue"] == (
            "catalogue" if args == ("info", "--json") and not env else "other"
        )
    refused(run("info", env={"FINDALIKE_CATALOGUE": "nowhere"}), "no catalogue in nowhere")


# --- add ----------------------------------------------------------------------------------------


def test_what_is_passed_over_is_listed(run: Run, tmp_path: Path) -> None:
    tiny.write_feed(tmp_path / "feed.csv", 3)
    with (tmp_path / "feed.csv").open("a") as file:
        file.write("p9,pictures/gone.png\n")
    result = run("add", "feed.csv", "--json")
    assert result.exit_code == 2
    report = json.loads(result.stdout)
    assert report == {
        "added": 3, "updated": 0, "unchanged": 0, "renamed": 0, "embedded": 3, "passed_over": 1,
        "rejects": "feed.csv.rejects.csv",
    }  # fmt: skip
    with (tmp_path / "feed.csv.rejects.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["line"], row["product_id"], row["image"]) == ("5", "p9", "pictures/gone.png")
    assert row["reason"]


def test_a_dry_run_changes_nothing(run: Run, tmp_path: Path) -> None:
    tiny.write_feed(tmp_path / "feed.csv", 3)
    result = run("add", "feed.csv", "--dry-run")
    assert (result.exit_code, result.output) == (
        0,
        "3 products would go in. Nothing was changed.\n",
    )
    assert not (tmp_path / "catalogue").exists()


def test_nothing_to_add(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(run("add", "empty"), "nothing to add in empty")
    refused(run("add", "gone", "-c", "new"), "gone does not exist")
    assert not (tmp_path / "new").exists()
    refused(run("add"), "Missing argument 'SOURCE...'")


def test_the_encoder_stays(run: Run, catalogue: Catalogue, tmp_path: Path) -> None:
    tiny.write_photos(tmp_path / "more", 1, start=80)
    wrong = run("add", "more", "--encoder", "torchvision:resnet50")
    refused(wrong, "made with the encoder builtin", "Leave out --encoder")


def test_places_that_cannot_hold_a_catalogue(run: Run, tmp_path: Path) -> None:
    tiny.write_photos(tmp_path / "photos", 1)
    (tmp_path / "file").write_text("")
    refused(run("add", "photos", "-c", "file"), "a catalogue is a folder")
    refused(run("add", "photos", "-c", "file/sub"), "file/sub")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_to_write(run: Run, tmp_path: Path) -> None:
    tiny.write_photos(tmp_path / "photos", 1)
    (tmp_path / "locked").mkdir(mode=0o500)
    refused(run("add", "photos", "-c", "locked/catalogue"), "Permission denied")
    refused(run("add", "photos", "--rejects", "locked/r.csv"), "--rejects")


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "Nothing to look for"),
        (("gone.jpg",), "gone.jpg: The file is missing"),
        (("folder",), "folder: This is not an ordinary file"),
        (("text.txt",), "text.txt: This is not a picture"),
        (("a.png", "--crop", "0,0,2,1"), "outside the picture"),
        (("a.png", "--crop", "0,0,x,1"), "four numbers"),
        (("a.png", "--crop", "nan,0,1,1"), "four numbers"),
        (("--text", "red", "--crop", "0,0,1,1"), "give the photo too"),
        (("a.png", "--where", "cheap"), "is not a condition"),
        (("a.png", "--where", "brand>5"), "has no order"),
        (("a.png", "--where", "colr=red"), 'No product has the attribute "colr"'),
        (("a.png", "-k", "0"), "from 1 to 1000"),
        (("a.png", "-k", "many"), "not a valid integer"),
        (("a.png", "--weight", "text"), "PART=NUMBER"),
        (("a.png", "--weight", "size=2"), 'no weight "size"'),
        (("a.png", "--weight", "photo=0"), "has the weight 0"),
        (("--like", "p99"), 'no product "p99"'),
        (("--like", "\udcff"), "not text"),
        (("a.png", "b.png"), "unexpected extra argument"),
        (("a.png", "--colour"), "No such option"),
    ],
)
def test_a_search_that_makes_no_sense(
    run: Run, catalogue: Catalogue, tmp_path: Path, args: tuple[str, ...], says: str
) -> None:
    tiny.draw(1).save(tmp_path / "a.png")
    (tmp_path / "text.txt").write_text("no picture")
    (tmp_path / "folder").mkdir()
    refused(run("search", *args), says)


def test_words_need_an_encoder_that_knows_them(
    run: Run, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vision.errors import EncoderError

    def encode_texts(_: object, texts: object) -> None:
        raise EncoderError("The encoder knows no words.")

    monkeypatch.setattr(tiny.TinyEncoder, "encode_texts", encode_texts)
    refused(run("search", "--text", "mug"), "knows no words")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("remove", "p1", "p98", "p99"), "p98"),
        (("remove", "\udcff"), "not text"),
        (("remove",), "Missing argument"),
        (("export", "gone/x.csv"), "gone/x.csv cannot be written"),
        (("export", "--format", "xml"), "not one of"),
        (("backup", "catalogue"), "is not empty"),
        (("evaluate", "wrong.csv"), "needs the columns query_image"),
        (("evaluate", "missing.csv"), "None of the queries can be asked (line 2:"),
        (("evaluate", "stranger.csv"), "not in the catalogue"),
        (("evaluate", "missing.csv", "--html", "gone/r.html"), "another file with --html"),
        (("evaluate", "missing.csv", "--only", "set=x"), 'no column "set"'),
        (("frobnicate",), "No such command"),
        (("--frobnicate", "info"), "No such option"),
    ],
)
def test_other_mistakes(
    run: Run, catalogue: Catalogue, tmp_path: Path, args: tuple[str, ...], says: str
) -> None:
    (tmp_path / "wrong.csv").write_text("photo,id\na.png,p1\n")
    (tmp_path / "missing.csv").write_text("query_image,product_id\ngone.png,p1\n")
    tiny.draw(99).save(tmp_path / "a.png")
    (tmp_path / "stranger.csv").write_text("query_image,product_id\na.png,p99\n")
    refused(run(*args), says)
    assert json.loads(run("info", "--json").stdout)["products"] == 24


# --- the rest -----------------------------------------------------------------------------------


def test_remove(run: Run, catalogue: Catalogue) -> None:
    assert run("remove", "p1").output == "Removed 1 product.\n"
    assert run("remove", "p2", "p3").output == "Removed 2 products.\n"
    assert json.loads(run("info", "--json").stdout)["products"] == 21


def test_rebuild_and_check(run: Run, catalogue: Catalogue) -> None:
    assert run("rebuild").stdout == "The index is rebuilt.\n"
    result = run("check")
    assert (result.exit_code, result.stdout) == (0, "Everything is in order.\n")
    assert json.loads(run("check", "--json").stdout) == {"problems": [], "lost": []}


def test_check_tells_what_touches_answers(run: Run, catalogue: Catalogue) -> None:
    photo(catalogue, "p1").rename(photo(catalogue, "p1").with_suffix(".away"))
    try:
        result = run("check", "--json")
        (problem,) = json.loads(result.stdout)["problems"]
        assert set(problem) == {"kind", "what", "serious", "row"}
        assert (problem["serious"], result.exit_code) == (False, 0)
        assert json.loads(run("check", "--no-files", "--json").stdout)["problems"] == []
    finally:
        photo(catalogue, "p1").with_suffix(".away").rename(photo(catalogue, "p1"))


def test_backup(run: Run, catalogue: Catalogue) -> None:
    assert "Backed up to copy" in run("backup", "copy").output
    assert json.loads(run("info", "--json", "-c", "copy").stdout)["products"] == 24


@pytest.mark.parametrize("name", ["all.csv", "all.jsonl"])
def test_an_export_comes_back(run: Run, catalogue: Catalogue, name: str) -> None:
    assert run("export", name).output == f"Wrote 24 products to {name}.\n"
    added = run("add", name, "--images", "/", "-c", "second", "--json")
    assert json.loads(added.stdout)["added"] == 24
    first, second = (
        json.loads(run("search", "--like", "p1", "-k", 30, "--json", "-c", each).stdout)
        for each in ("catalogue", "second")
    )
    assert [hit | {"score": 0} for hit in sorted(first["hits"], key=_id)] == [
        hit | {"score": 0} for hit in sorted(second["hits"], key=_id)
    ]


def _id(hit: dict[str, Any]) -> str:
    return str(hit["product_id"])


def test_an_export_to_the_screen(run: Run, catalogue: Catalogue) -> None:
    rows = list(csv.DictReader(run("export").stdout.splitlines()))
    assert len(rows) == 24
    lines = run("export", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["product_id"] for line in lines] == [row["product_id"] for row in rows]


def test_evaluate(run: Run, catalogue: Catalogue, tmp_path: Path) -> None:
    lines = [f"{photo(catalogue, f'p{n}')},p{n}" for n in range(24)]
    (tmp_path / "q.csv").write_text("\n".join(["query_image,product_id", *lines]))
    table = run("evaluate", "q.csv", "--html", "report.html")
    assert table.exit_code == 0
    assert "recall@1 / @5 / @10" in table.stdout
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    measured = json.loads(run("evaluate", "q.csv", "--json").stdout)
    assert measured["queries"] == 24


def test_a_reader_that_stops_reading(catalogue: Catalogue, tmp_path: Path) -> None:
    """As in ``findalike export | head -1``."""
    script = "import sys; from webapp.cli import main; main(sys.argv[1:], prog_name='findalike')"
    with subprocess.Popen(
        [sys.executable, "-c", script, "export", "-c", str(tmp_path / "catalogue")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
    assert process.returncode in (0, 1)


def test_the_real_command_in_a_child(run_cli: RunCli, catalogue: Catalogue) -> None:
    done = run_cli("search", photo(catalogue, "p7"), "-k", 1, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["hits"][0]["product_id"] == "p7"
    wrong = run_cli("search", "gone.jpg")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "gone.jpg" in wrong.stderr


def test_exit_statuses_are_told_apart() -> None:
    assert len({0, command.FAILED, command.PASSED_OVER, command.STOPPED}) == 4
