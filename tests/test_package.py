"""The wheel: it holds everything that findalike needs, and runs without the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("vision", "index", "webapp", "assets")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")  # a copy: a build leaves things behind
    out = tmp_path_factory.mktemp("wheel")
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source],
        check=True,
        capture_output=True,
        timeout=300,
    )
    (built,) = out.glob("*.whl")
    return built


def test_holds_every_module_and_asset(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert path.relative_to(ROOT).as_posix() in inside
    top = {name.split("/")[0] for name in inside if ".dist-info" not in name}
    assert top == set(PACKAGES)
    assert any(name.endswith("licenses/LICENSE") for name in inside)


def test_runs_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    script = (
        "import pathlib, webapp.cli, vision.errors, index.catalogue\n"
        "for module in (webapp.cli, vision.errors, index.catalogue):\n"
        "    assert 'site' in pathlib.Path(module.__file__).parts, module.__file__\n"
        "webapp.cli.main(['encoders'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "builtin" in done.stdout


def test_packages_are_named_explicitly() -> None:
    """Every folder with modules is listed, so that none is forgotten in the wheel."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(settings["tool"]["setuptools"]["packages"])
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert listed == found


def test_torch_and_torchvision_are_locked_as_a_pair() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "torch==2.12.1 " in lock
    assert "torchvision==0.27.1 " in lock
    assert "torch==2.13.0" not in lock
    names = [line for line in lock.splitlines() if line and line[0].isalpha()]
    assert all("==" in name for name in names)
    assert lock.count("--hash=sha256:") >= len(names)
