"""The documentation says what the program does: options, JSON keys, commands and the example."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click
import pytest
import tiny
from click.testing import CliRunner

from index.catalogue import Catalogue
from webapp.cli import main

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
README = ROOT / "README.md"


def text(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def section(page: str, title: str) -> str:
    """Return what stands below a heading, up to the next of its kind."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page, re.S | re.M)
    assert found, f"there is no section {title}"
    return found[1]


def options(command: click.Command) -> Iterator[str]:
    for each in command.params:
        if isinstance(each, click.Option):
            yield from each.opts


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_and_option_is_described(name: str) -> None:
    described = section(text("cli.md"), f"findalike {name}")
    assert f"    findalike {name}" in described
    for option in set(options(main.commands[name])) - {"--catalogue", "-c"}:
        assert f"`{option}" in described, f"{option} of {name} is not in docs/cli.md"


def test_the_options_of_all_commands_are_described() -> None:
    head = text("cli.md").partition("\n## ")[0]
    for option in (*options(main), "--help"):
        assert f"`{option}" in head or f"findalike {option}`" in head


def test_no_other_commands_are_described() -> None:
    assert set(re.findall(r"^## findalike (\w+)", text("cli.md"), re.M)) == set(main.commands)


# --- commands in the text -----------------------------------------------------------------------


def commands() -> Iterator[tuple[str, str]]:
    """Yield (page, command line) for every findalike command that a page shows."""
    for page in PAGES:
        content = page.read_text(encoding="utf-8")
        blocks = re.findall(
            r"^(?:    |\t)(.*)$|^`{3}(?:sh|console)?\n(.*?)^`{3}", content, re.S | re.M
        )
        lines = [line for plain, fenced in blocks for line in (plain or fenced).splitlines()]
        lines += re.findall(r"`([^`\n]+)`", content)
        for line in lines:
            line = re.sub(r"^(\$ |[A-Z_]+=\S+ )", "", line.strip())
            if re.match(r"findalike (?!-h|--version)[a-z-]", line):
                yield page.name, line


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_every_command_in_the_text_is_one(page: str, line: str) -> None:
    words = shlex.split(line.partition(" | ")[0], comments=True)[1:]
    while words and words[0].startswith("-"):
        words = words[2:]
    command = main.commands[words[0]]
    if words[1:]:  # the bare name of a command is no example
        command.make_context(words[0], words[1:], parent=click.Context(main))


# --- JSON ---------------------------------------------------------------------------------------


def keys(value: Any) -> set[str]:
    """Return all keys of a JSON value, at any depth but below attributes."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if isinstance(value, dict):
        inner = (keys(each) for name, each in value.items() if name != "attributes")
        return set(value).union(*inner)
    return set()


@pytest.fixture
def printed(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., set[str]]:
    """Return a function that runs a command with --json and returns the keys it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> set[str]:
        result = CliRunner().invoke(main, [*args, "--json"])
        loaded = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(name))
        return keys(loaded)

    return run


def documented(page: str) -> set[str]:
    return set(re.findall(r"`([a-z_0-9]+)`", page))


def test_the_json_of_search_is_documented(printed: Callable[..., set[str]]) -> None:
    found = printed("search", "--text", "red")
    assert {"verdict", "hits", "product_id", "probability", "milliseconds", "encode"} <= found
    assert found <= documented(section(text("search.md"), "JSON"))


def test_the_json_of_evaluate_is_documented(
    printed: Callable[..., set[str]], catalogue: Catalogue, tmp_path: Path
) -> None:
    paths = tiny.write_photos(tmp_path / "ask", 30, view=1)
    lines = [f"{path},p{number}" for number, path in enumerate(paths)]
    (tmp_path / "q.csv").write_text("\n".join(["query_image,product_id", *lines, "gone.png,p1"]))
    found = printed("evaluate", "q.csv")
    assert {"recall_at_1", "ece", "strangers_recognised", "expected", "reason"} <= found
    shown = documented(section(text("evaluation.md"), "JSON"))
    assert found <= shown | documented(section(text("search.md"), "JSON"))


def test_the_json_of_the_other_commands_is_documented(
    printed: Callable[..., set[str]], catalogue: Catalogue, tmp_path: Path
) -> None:
    (tmp_path / "feed.csv").write_text("product_id,image_path\na,gone.png\n")
    for name, args in (("add", ["feed.csv"]), ("info", []), ("check", [])):
        shown = documented(section(text("cli.md"), f"findalike {name}"))
        found = printed(name, *args)
        if name == "info":
            assert catalogue.info()["verdicts"] is not None
            found -= set(catalogue.info()["verdicts"])
        assert found
        assert found <= shown, f"{name}: {found - shown}"


# --- the example of the README ------------------------------------------------------------------


def examples() -> list[str]:
    content = README.read_text(encoding="utf-8") if README.exists() else ""
    return re.findall(r"^`{3}python\n(.*?)^`{3}", content, re.S | re.M)


@pytest.mark.parametrize("example", examples())
def test_the_example_runs(
    example: str, tiny_encoder: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write_photos(tmp_path / "photos", 6)
    tiny.draw(3).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    output = io.StringIO()
    with redirect_stdout(output):
        exec(compile(example, str(README), "exec"), {})
    assert "6 products added" in output.getvalue()
    assert "00003.png" in output.getvalue()


def test_the_readme_has_an_example() -> None:
    assert examples()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(
        r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")
    ):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
