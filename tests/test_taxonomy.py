"""Trees of categories: made, asked, changed; and the commands that do it with a catalogue."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from index.catalogue import Catalogue
from index.labels.taxonomies import category_counts, stored_taxonomy
from vision.categories import ancestors, compose, parent
from vision.errors import TaxonomyError
from vision.taxonomy import SEPARATOR, Migration, Taxonomy, derive, translate
from webapp.terminal.command import Group
from webapp.terminal.taxonomy import taxonomy as command

SHOP = Taxonomy(
    ("Kitchen > Mugs", "Kitchen > Bowls > Deep", "Garden > Pots", "Garden > Bowls"),
    {"Kitchen > Mugs": "166", "Kitchen > Bowls": "167", "Garden > Bowls": "168"},
    {"colour": ("red", "blue"), "gift": ("Yes", "No")},
)

paths = st.lists(st.sampled_from("ABC"), min_size=1, max_size=4).map(SEPARATOR.join)
moves = st.dictionaries(paths, paths, max_size=4)


# --- the tree -----------------------------------------------------------------------------------


def test_ancestors_are_put_in_and_the_order_is_depth_first() -> None:
    assert SHOP.categories == (
        "Kitchen", "Kitchen > Mugs", "Kitchen > Bowls", "Kitchen > Bowls > Deep",
        "Garden", "Garden > Pots", "Garden > Bowls",
    )  # fmt: skip


def test_what_can_be_asked_of_a_tree() -> None:
    assert SHOP.leaves == (
        "Kitchen > Mugs", "Kitchen > Bowls > Deep", "Garden > Pots", "Garden > Bowls",
    )  # fmt: skip
    assert SHOP.children() == ("Kitchen", "Garden")
    assert SHOP.children("Kitchen") == ("Kitchen > Mugs", "Kitchen > Bowls")
    assert SHOP.children("Kitchen > Mugs") == ()
    assert SHOP.leaves_under("Kitchen") == ("Kitchen > Mugs", "Kitchen > Bowls > Deep")
    assert SHOP.leaves_under("Kitchen > Mugs") == ("Kitchen > Mugs",)
    assert SHOP.leaves_under() == SHOP.leaves
    assert SHOP.ancestors("Kitchen > Bowls > Deep") == (
        "Kitchen", "Kitchen > Bowls", "Kitchen > Bowls > Deep",
    )  # fmt: skip
    assert SHOP.depth("Kitchen") == 1
    assert SHOP.depth("Kitchen > Bowls > Deep") == 3
    assert "Kitchen" in SHOP
    assert "kitchen" not in SHOP
    assert "Mugs" not in SHOP


def test_a_name_that_begins_like_another_is_not_below_it() -> None:
    tree = Taxonomy(("Bed", "Bed > Frame", "Bedding", "Bedding > Sheets"))
    assert tree.subtree("Bed") == ("Bed", "Bed > Frame")
    assert tree.renamed("Bed", "Cot").moves == {"Bed": "Cot", "Bed > Frame": "Cot > Frame"}


def test_spacing_is_brought_into_one_form_but_case_counts() -> None:
    tree = Taxonomy((" Kitchen>Mugs ", "Kitchen  >  Mugs", "kitchen > mugs"))
    assert tree.categories == ("Kitchen", "Kitchen > Mugs", "kitchen", "kitchen > mugs")


def test_no_comes_before_yes() -> None:
    assert SHOP.axes == {"colour": ("red", "blue"), "gift": ("No", "Yes")}
    assert SHOP.yes_no("gift")
    assert not SHOP.yes_no("colour")


@pytest.mark.parametrize(
    ("categories", "ids", "axes"),
    [
        ((" > ",), {}, {}),
        (("A",), {"B": "1"}, {}),
        (("A", "B"), {"A": "1", "B": "1"}, {}),
        (("A",), {}, {"colour": ()}),
        (("A",), {}, {"colour": ("red", " ")}),
        (("A",), {}, {" ": ("red",)}),
        (("A",), {}, {"category": ("red",)}),
    ],
)
def test_what_makes_no_taxonomy_is_refused(
    categories: tuple[str, ...], ids: dict[str, str], axes: dict[str, tuple[str, ...]]
) -> None:
    with pytest.raises(TaxonomyError):
        Taxonomy(categories, ids, axes)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("kitchen > mugs", "Kitchen > Mugs"),
        ("Mugs", "Kitchen > Mugs"),
        ("Kitchen > Mug", "Kitchen > Mugs"),
        ("Garden > Deep Bowls > Bowls", "Garden > Bowls"),
        ("Home > Kitchen > Bowls", "Kitchen > Bowls"),
    ],
)
def test_an_unknown_category_names_what_was_probably_meant(asked: str, meant: str) -> None:
    assert SHOP.nearest(asked)[0] == meant
    with pytest.raises(TaxonomyError, match=f'Did you mean "{meant}"'):
        SHOP.ancestors(asked)


def test_an_unknown_category_unlike_any_names_the_top() -> None:
    with pytest.raises(TaxonomyError, match='At the top there are: "Kitchen", "Garden"'):
        SHOP.children("Zoo")


def test_json_brings_back_an_equal_taxonomy() -> None:
    assert Taxonomy.from_dict(json.loads(json.dumps(SHOP.as_dict()))) == SHOP


@pytest.mark.parametrize("value", [{}, {"categories": 1, "ids": {}, "axes": {}}, {"axes": []}])
def test_json_that_is_no_taxonomy_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(TaxonomyError, match="not a taxonomy"):
        Taxonomy.from_dict(value)


def test_the_digest_is_that_of_what_can_be_predicted() -> None:
    turned = Taxonomy(
        tuple(reversed(SHOP.categories)), {}, {"gift": ("No", "Yes"), "colour": ("blue", "red")}
    )
    assert turned.digest() == SHOP.digest() == "fc3f80c137fddb182442cf8fc955b9df"
    assert SHOP.renamed("Garden", "Yard").taxonomy.digest() != SHOP.digest()
    assert Taxonomy(SHOP.categories, SHOP.ids).digest() != SHOP.digest()


# --- what products go by ------------------------------------------------------------------------


def test_the_tree_and_axes_of_products() -> None:
    found = derive(
        {"Kitchen > Mugs": 3, "Garden": 2, "": 4, "Gone": 0},
        {
            "colour": {"red": 8, "blue": 2},
            "gift": {"true": 5, "false": 5},
            "stock": {"1": 9, "0": 1},
            "material": {"wood": 30},  # nothing to choose from
            "serial": {f"x{number}": 1 for number in range(30)},  # too few of each
            "words": {f"w{number}": 99 for number in range(51)},  # too many
            "shelf": {"12": 50, "13": 50, "1,5": 50},  # numbers
            "category": {"red": 50, "blue": 50},
        },
    )
    assert found.categories == ("Garden", "Kitchen", "Kitchen > Mugs")
    assert found.axes == {
        "colour": ("blue", "red"), "gift": ("false", "true"), "stock": ("0", "1"),
    }  # fmt: skip


def test_children_stand_together_whatever_sorts_between() -> None:
    found = derive({"Bed > Z": 1, "Bed Linen": 1, "Bed": 1, "Bed > A": 1}, {})
    assert found.categories == ("Bed", "Bed > A", "Bed > Z", "Bed Linen")


# --- changes ------------------------------------------------------------------------------------


def test_a_renamed_category_takes_along_what_is_below_it_and_stays_in_its_place() -> None:
    found = SHOP.renamed("Kitchen", " Cooking  and eating ")
    new = "Cooking and eating"
    assert found.moves == {
        "Kitchen": new,
        "Kitchen > Mugs": f"{new} > Mugs",
        "Kitchen > Bowls": f"{new} > Bowls",
        "Kitchen > Bowls > Deep": f"{new} > Bowls > Deep",
    }
    assert found.taxonomy.children() == (new, "Garden")
    assert found.taxonomy.ids == {
        f"{new} > Mugs": "166", f"{new} > Bowls": "167", "Garden > Bowls": "168",
    }  # fmt: skip
    assert found.taxonomy.axes == SHOP.axes


def test_a_moved_category_comes_last_under_its_new_parent() -> None:
    found = SHOP.moved("Kitchen > Mugs", "Garden")
    assert found.moves == {"Kitchen > Mugs": "Garden > Mugs"}
    assert found.taxonomy.children("Garden") == ("Garden > Pots", "Garden > Bowls", "Garden > Mugs")
    assert found.taxonomy.children() == ("Kitchen", "Garden")
    top = SHOP.moved("Kitchen > Bowls", "")
    assert top.moves == {"Kitchen > Bowls": "Bowls", "Kitchen > Bowls > Deep": "Bowls > Deep"}


def test_a_merged_category_is_gone_and_its_children_are_merged_name_by_name() -> None:
    tree = Taxonomy(
        ("A > x > 1", "A > y", "B > x > 2", "B > z"), {"A > x": "1", "A": "2", "B > x": "3"}
    )
    found = tree.merged("A", "B")
    assert found.taxonomy.categories == (
        "B", "B > x", "B > x > 2", "B > x > 1", "B > z", "B > y",
    )  # fmt: skip
    assert found.moves == {
        "A": "B", "A > x": "B > x", "A > x > 1": "B > x > 1", "A > y": "B > y",
    }  # fmt: skip
    assert found.taxonomy.ids == {"B": "2", "B > x": "3"}


def test_a_category_merged_into_its_parent_gives_it_its_children() -> None:
    tree = Taxonomy(("K > M > M", "K > M > N"))
    found = tree.merged("K > M", "K")
    assert found.taxonomy.categories == ("K", "K > M", "K > N")
    assert found.moves == {"K > M": "K", "K > M > M": "K > M", "K > M > N": "K > N"}
    assert translate("K > M > M", found.moves) == "K > M"


def test_a_split_moves_nothing() -> None:
    found = SHOP.split("Garden > Pots", ["Clay", "Plastic"])
    assert found.moves == {}
    assert found.taxonomy.children("Garden > Pots") == (
        "Garden > Pots > Clay", "Garden > Pots > Plastic",
    )  # fmt: skip


def deep(levels: int) -> str:
    return SEPARATOR.join(["x"] * levels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: SHOP.renamed("Kitchen > Cups", "Mugs"), "no category"),
        (lambda: SHOP.renamed("", "Mugs"), "by its path"),
        (lambda: SHOP.renamed("Kitchen > Mugs", "Mugs > Big"), "between names only"),
        (lambda: SHOP.renamed("Kitchen > Mugs", "  "), "cannot be a name"),
        (lambda: SHOP.renamed("Kitchen > Mugs", "x" * 201), "cannot be a name"),
        (lambda: SHOP.renamed("Kitchen > Mugs", "a\x07b"), "cannot be a name"),
        (lambda: SHOP.renamed("Kitchen > Mugs", "Bowls"), "already"),
        (lambda: SHOP.renamed("Kitchen > Mugs", "Mugs"), "already"),
        (lambda: SHOP.moved("Kitchen", "Kitchen"), "itself or what is below"),
        (lambda: SHOP.moved("Kitchen", "Kitchen > Bowls > Deep"), "itself or what is below"),
        (lambda: SHOP.moved("Kitchen > Bowls", "Garden"), "already"),
        (lambda: SHOP.moved("Kitchen > Mugs", "Kitchen"), "already"),
        (lambda: SHOP.moved("Kitchen", ""), "already"),
        (lambda: SHOP.moved("Kitchen", "Zoo"), "no category"),
        (lambda: SHOP.merged("Kitchen", "Kitchen"), "itself or what is below"),
        (lambda: SHOP.merged("Kitchen", "Kitchen > Mugs"), "itself or what is below"),
        (lambda: SHOP.merged("Kitchen", ""), "by its path"),
        (lambda: SHOP.split("Zoo", ["a"]), "no category"),
        (lambda: SHOP.split("Kitchen", []), "Name the categories"),
        (lambda: SHOP.split("Kitchen", ["Mugs"]), "already"),
        (lambda: SHOP.split("Kitchen", ["a", " a "]), "twice"),
        (lambda: SHOP.split("Kitchen", ["a > b"]), "between names only"),
        (lambda: Taxonomy((deep(20), "y > y")).moved("y", "x"), None),
        (lambda: Taxonomy((deep(20), "y > y")).moved("y", deep(19)), "deeper than 20"),
        (lambda: Taxonomy((deep(20),)).split(deep(20), ["y"]), "deeper than 20"),
    ],
)
def test_changes_that_make_no_tree_are_refused(
    change: Callable[[], Migration], message: str | None
) -> None:
    if message is None:
        change()
        return
    with pytest.raises(TaxonomyError, match=message):
        change()


@st.composite
def trees(draw: st.DrawFn) -> Taxonomy:
    tree = Taxonomy(tuple(draw(st.lists(paths, min_size=1, max_size=8))))
    known = draw(st.lists(st.sampled_from(tree.categories), unique=True))
    return Taxonomy(tree.categories, {path: str(at) for at, path in enumerate(known)})


def change(draw: st.DrawFn, tree: Taxonomy) -> Migration | None:
    """Draw a change to a tree; None where it was refused."""
    some = st.sampled_from(tree.categories)
    kind = draw(st.sampled_from(("rename", "move", "merge", "split")))
    try:
        if kind == "rename":
            return tree.renamed(draw(some), draw(st.sampled_from("ABCD")))
        if kind == "move":
            return tree.moved(draw(some), draw(st.sampled_from(("", *tree.categories))))
        if kind == "merge":
            return tree.merged(draw(some), draw(some))
        return tree.split(draw(some), draw(st.lists(st.sampled_from("ABCD"), max_size=3)))
    except TaxonomyError:
        return None


@settings(max_examples=200, deadline=None)
@given(st.data(), trees())
def test_a_change_leaves_a_tree_that_every_old_path_leads_into(
    data: st.DataObject, old: Taxonomy
) -> None:
    found = change(data.draw, old)
    if found is None:
        return
    new = found.taxonomy
    for path, target in found.moves.items():
        assert path in old and target in new and path != target
    # Each old path went somewhere that is there, and nothing else is there but what a split made.
    gone_to = {path: translate(path, found.moves) for path in old.categories}
    assert {path: found.moves.get(path, path) for path in old.categories} == gone_to
    assert set(gone_to.values()) <= set(new.categories)
    if found.moves:
        assert set(gone_to.values()) == set(new.categories)
    seen = {""}
    for path in new.categories:
        assert parent(path) in seen and path not in seen
        seen.add(path)
    # Ids stay with what they were given to.
    given_to = {code: path for path, code in old.ids.items()}
    assert all(gone_to[given_to[code]] == path for path, code in new.ids.items())
    assert {gone_to[path] for path in old.ids} == set(new.ids)
    assert new.axes == old.axes


@settings(max_examples=200, deadline=None)
@given(st.data(), trees())
def test_what_a_feed_calls_a_category_finds_it_through_any_number_of_changes(
    data: st.DataObject, tree: Taxonomy
) -> None:
    first, known = tree, {}
    place = {path: path for path in tree.categories}
    for _ in range(data.draw(st.integers(1, 5))):
        found = change(data.draw, tree)
        if found is not None:
            place = {path: translate(now, found.moves) for path, now in place.items()}
            tree, known = found.taxonomy, compose(known, found.moves)
    for path in first.categories:
        assert translate(path, known) == place[path]
        assert place[path] in tree


@settings(max_examples=300, deadline=None)
@given(moves, moves, paths)
def test_composed_moves_do_the_one_and_then_the_other(
    first: dict[str, str], then: dict[str, str], path: str
) -> None:
    found = compose(first, then)
    assert translate(path, found) == translate(translate(path, first), then)
    for each, new in found.items():  # nothing in it follows from the rest
        assert translate(each, {old: to for old, to in found.items() if old != each}) != new


def test_a_chain_of_renamings_is_one_move_and_back_is_none() -> None:
    chain = compose({"A": "B"}, {"B": "C"})
    assert chain == {"A": "C", "B": "C"}
    assert compose(chain, {"C": "A"}) == {"B": "A", "C": "A"}
    swapped = compose(compose({"A": "T"}, {"B": "A"}), {"T": "B"})
    assert (swapped["A"], swapped["B"]) == ("B", "A")


def test_paths_are_taken_apart() -> None:
    assert ancestors("A > B > C") == ("A", "A > B", "A > B > C")
    assert (parent("A > B"), parent("A")) == ("A", "")


# --- commands -----------------------------------------------------------------------------------


Run = Callable[..., Result]


@pytest.fixture
def run(catalogue: Catalogue) -> Run:
    """Run a subcommand on the ``catalogue`` fixture: run("rename", "Kitchen", "Cooking")."""
    main = Group("findalike", commands=[command])
    main.context_settings["obj"] = catalogue.path

    def run(*args: object) -> Result:
        return CliRunner().invoke(main, ["taxonomy", *map(str, args)])

    return run


def counts(catalogue: Catalogue) -> dict[str, int]:
    with catalogue.reading() as table:
        return category_counts(table)


def test_the_tree_is_shown_with_numbers(run: Run) -> None:
    shown = run()
    assert shown.exit_code == 0
    assert "Categories (5, 3 of them leaves; as the products have it)" in shown.output
    assert "├── Bowls 8" in shown.output and "Kitchen 16" in shown.output


def test_the_json_has_tree_and_attributes(
    run: Run, catalogue: Catalogue, feed: Callable[..., Path]
) -> None:
    catalogue.add([feed(6, 30, finish="matt"), feed(6, 40, name="g.csv", finish="glossy")])
    found = json.loads(run("--json").output)
    assert found["source"] == "products" and found["without_category"] == 0
    kitchen = found["categories"][2]
    assert kitchen == {"path": "Kitchen", "id": None, "products": 24, "own": 0, "leaf": False}
    assert {each["name"]: each for each in found["axes"]}["finish"] == {
        "name": "finish",
        "yes_no": False,
        "values": [{"value": "glossy", "products": 6}, {"value": "matt", "products": 6}],
    }


def test_categories_are_changed_by_command(run: Run, catalogue: Catalogue) -> None:
    assert (
        '"Kitchen > Mugs" is now "Kitchen > Cups"' in run("rename", "Kitchen>Mugs", "Cups").output
    )
    assert "8 products" in run("move", "Kitchen > Cups", "/").output
    assert run("merge", "Garden > Pots", "Kitchen > Bowls").exit_code == 0
    assert counts(catalogue) == {"Cups": 8, "Kitchen > Bowls": 16}
    assert "Kitchen > Bowls > Deep" in run("split", "Kitchen > Bowls", "Deep", "Flat").output
    assert counts(catalogue) == {"Cups": 8, "Kitchen > Bowls": 16}
    assert "Flat 0" in run().output
    assert run("check").exit_code == 0


def test_mistakes_are_told_and_change_nothing(run: Run, catalogue: Catalogue) -> None:
    before = counts(catalogue)
    for args, message in (
        (("rename", "Kitchen > Mug", "Cups"), 'Did you mean "Kitchen > Mugs"?'),
        (("rename", "", "Cups"), "no category"),
        (("move", "Kitchen", "Kitchen > Mugs"), "below it"),
        (("merge", "Kitchen", "Kitchen > Mugs"), "below it"),
        (("split", "Kitchen", "Mugs"), "already"),
        (("split", "Kitchen"), "Missing argument"),
        (("import", "nowhere.txt"), "cannot be read"),
    ):
        result = run(*args)
        assert result.exit_code == 1 and message in result.output, (args, result.output)
        assert "Traceback" not in result.output
    assert counts(catalogue) == before


def test_a_file_is_imported_checked_and_dropped(
    run: Run, catalogue: Catalogue, tmp_path: Path
) -> None:
    file = tmp_path / "shop.txt"
    file.write_text("Kitchen\n\tMugs\n\tPans\nGarden\n\tPots\n")
    tried = run("import", file, "--dry-run")
    assert "5 categories (1 new, 1 no longer there)" in tried.output
    assert '"Kitchen > Bowls" is not in the taxonomy: 8' in tried.output
    assert "Nothing was changed." in tried.output
    with catalogue.reading() as table:
        assert stored_taxonomy(table.connection) is None
    assert run("import", file).exit_code == 0
    checked = run("check")
    assert checked.exit_code == 1
    assert "Products outside of the taxonomy (8 products)" in checked.output
    assert '"Kitchen > Pans" has no products' in checked.output
    assert {each["kind"] for each in json.loads(run("check", "--json").output)["findings"]} == {
        "outside", "empty", "chain",
    }  # fmt: skip
    assert "5 categories" in run("derive").output
    assert "Levels without a choice (8 products)" in run("check").output
    assert run("merge", "Garden > Pots", "Garden").exit_code == 0
    assert run("check").output == "Everything is in order.\n"


def test_attributes_may_come_from_a_file_of_their_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "shop.txt").write_text("Kitchen\n\tMugs\n")
    (tmp_path / "axes.csv").write_text("attribute,value\ncolour,red\ncolour,green\n")
    result = run("import", tmp_path / "shop.txt", "--attributes", tmp_path / "axes.csv")
    assert "1 attribute." in result.output
    assert '"blue" is not among the values of "colour": 3' in run("check").output
    assert "colour: " in run().output


def test_what_is_exported_is_imported_equal(run: Run, catalogue: Catalogue, tmp_path: Path) -> None:
    shown = json.loads(run("--json").output)
    assert "Wrote 5 categories" in run("export", tmp_path / "out.csv").output
    assert run("export").output.splitlines()[0] == "category,id,attribute,value"
    assert run("import", tmp_path / "out.csv").exit_code == 0
    assert json.loads(run("--json").output) == shown | {"source": "file"}
    assert run("export", tmp_path / "no" / "out.csv").exit_code == 1


def test_a_large_tree_is_shown_as_far_as_it_has_products(run: Run, tmp_path: Path) -> None:
    lines = ["Kitchen", "\tMugs", *(f"Shelf {number}" for number in range(300))]
    (tmp_path / "shop.txt").write_text("\n".join(lines))
    assert run("import", tmp_path / "shop.txt").exit_code == 0
    shown = run().output
    assert "Shelf" not in shown and "... and 300 without products" in shown
    assert "Shelf 299 0" in run("--all").output


def test_the_catalogue_may_be_named_before_and_after(catalogue: Catalogue) -> None:
    main = Group("findalike", commands=[command])
    for args in (["-c", str(catalogue.path), "check"], ["check", "-c", str(catalogue.path)]):
        result = CliRunner().invoke(main, ["taxonomy", *args], obj=Path("nowhere"))
        assert result.exit_code == 0, result.output
    assert isinstance(command, click.Group)
