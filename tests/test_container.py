"""The Dockerfile and the compose file, checked as far as can be without an engine."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from index.catalogue import Catalogue
from webapp.app import create_app
from webapp.cli import main

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions and what stands behind them, lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.M)
    lines = text.replace("\\\n", " ").splitlines()
    return [
        (word, " ".join(rest.split()))
        for word, _, rest in (line.partition(" ") for line in lines)
        if word
    ]


def only(word: str) -> str:
    """Return the last of these instructions: it is the one that counts."""
    return [rest for each, rest in instructions() if each == word][-1]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text().split("\n")
    kept = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore  # all else stays out: secrets, catalogues, the virtual environment
    copied = [
        rest.split() for word, rest in instructions() if word == "COPY" and "--from" not in rest
    ]
    for *sources, target in copied:
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source in kept, source
            assert target in ("./", source)
    names = {source for *sources, _ in copied for source in sources}
    assert names == kept
    packages = {each.split(".")[0] for each in PROJECT["tool"]["setuptools"]["packages"]}
    assert packages | {PROJECT["project"]["readme"], "pyproject.toml"} <= names
    for pattern in PROJECT["project"]["license-files"]:
        assert any(fnmatch.fnmatch(name, pattern) for name in names)


def test_the_versions_are_those_that_are_tested(tmp_path: Path) -> None:
    (command,) = re.findall(
        r"(sed .*?) &&", " ".join(rest for word, rest in instructions() if word == "RUN")
    )
    subprocess.run(
        ["bash", "-c", command.replace("constraints.txt", str(tmp_path / "c"))],
        cwd=ROOT,
        check=True,
    )
    pinned = dict(line.split("==") for line in (tmp_path / "c").read_text().split())
    wanted = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["postgres"],
    ]
    for each in wanted:
        name = re.split(r"[\[><=! ]", each)[0]
        assert name in pinned, name
    locked = re.findall(r"^[\w.-]+==", (ROOT / "requirements.lock").read_text(), re.M)
    assert len(pinned) == len(locked)
    python = {
        re.match(r"python:(\d+\.\d+)", rest)[1] for word, rest in instructions() if word == "FROM"
    }  # type: ignore[index]
    (least,) = re.findall(r">=([\d.]+)", PROJECT["project"]["requires-python"])
    assert python == {least}
    uv = re.findall(r"^UV := (\S+)", (ROOT / "Makefile").read_text(), re.M)
    assert f"pip install {uv[0]} " in " ".join(rest for _, rest in instructions())


def test_it_runs_as_nobody_in_particular() -> None:
    words = [word for word, _ in instructions()]
    assert only("USER") not in ("root", "0")
    assert "ADD" not in words
    assert words.index("USER") > max(at for at, word in enumerate(words) if word == "COPY")


def test_the_command_is_one_of_findalikes() -> None:
    (name,) = json.loads(only("ENTRYPOINT"))
    assert name in PROJECT["project"]["scripts"]
    command, *options = json.loads(only("CMD"))
    found = main.commands[command]
    with click.Context(main) as parent:
        parsed = found.make_context(command, options, parent=parent).params
    assert parsed["host"] == "0.0.0.0"
    assert str(parsed["port"]) == only("EXPOSE")
    given = dict(each.split("=", 1) for each in only("ENV").split())
    assert given["FINDALIKE_CATALOGUE"].startswith(only("VOLUME") + "/")
    catalogue = next(each for each in main.params if each.name == "path")
    assert catalogue.envvar == "FINDALIKE_CATALOGUE"


def test_the_health_check_asks_what_is_there(catalogue: Catalogue) -> None:
    command = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
    compile(command[2], "health check", "exec")
    (port, path) = re.findall(r"127\.0\.0\.1:(\d+)(/\w+)", command[2])[0]
    assert port == only("EXPOSE")
    app = create_app(catalogue)
    try:
        assert app.test_client().get(path).status_code == 200
    finally:
        app.extensions["findalike"].close()


def test_compose_fits_the_image(compose: dict[str, Any]) -> None:
    (shop,) = compose["services"].values()
    assert (ROOT / shop["build"] / "Dockerfile").exists()
    (volume,) = shop["volumes"]
    name, _, target = volume.partition(":")
    assert (name in compose["volumes"], target) == (True, only("VOLUME"))
    (port,) = shop["ports"]
    host, _, inside = port.rpartition(":")
    assert inside == only("EXPOSE")
    assert host.startswith("127.0.0.1:")  # what faces the world is the proxy
    assert shop["read_only"] and shop["cap_drop"] == ["ALL"]
    (tmp,) = shop["tmpfs"]  # is memory: without a size, uploads could take half of the machine's
    (size,) = re.fullmatch(r"/tmp:size=(\d+)m", tmp).groups()  # type: ignore[union-attr]
    assert int(size) * 3 < int(shop["mem_limit"].removesuffix("g")) * 1024
