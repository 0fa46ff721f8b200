"""The demo: the sample catalogue, ten photos, and the answers that are promised."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner, Result

from index.catalogue import Catalogue
from webapp.cli import main
from webapp.terminal.demo import sample_photos


def demo(folder: Path) -> Result:
    return CliRunner().invoke(main, ["demo", "--catalogue", str(folder)])


def test_the_demo_answers(tmp_path: Path) -> None:
    """With the real built-in encoder: what a new user sees first."""
    first = demo(tmp_path / "shop")
    assert first.exit_code == 0, first.output
    found = re.search(r"(\d+) of 10 found at first place", first.stdout)
    assert found and int(found[1]) >= 8, first.stdout
    assert f"--catalogue {tmp_path / 'shop'}" in first.stdout
    with Catalogue.open(tmp_path / "shop") as catalogue:
        before = catalogue.info()
    assert before["products"] == 429 and before["pictures"] == 858
    again = demo(tmp_path / "shop")
    assert again.stdout == first.stdout
    with Catalogue.open(tmp_path / "shop") as catalogue:
        assert catalogue.info() == before


def test_the_photos_are_from_all_over_the_shop() -> None:
    asked = sample_photos()
    assert len(asked) == 10 == len({row["category"] for row in asked})
    assert len({row["category"].split(" > ")[0] for row in asked}) >= 5
    assert len({row["scene"] for row in asked}) >= 8


def test_a_catalogue_with_other_products_is_not_touched(catalogue: Catalogue) -> None:
    before = catalogue.info()
    result = demo(catalogue.path)
    assert result.exit_code == 1 and "products of your own" in result.output
    assert catalogue.info() == before
