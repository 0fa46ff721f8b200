"""Taxonomy files in all their layouts, and the taxonomy that a catalogue goes by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

import index.feeds.taxonomies as files
import index.labels.migrating
from index.catalogue import Catalogue
from index.feeds.taxonomies import read_taxonomy, taxonomy_csv, write_taxonomy
from index.labels.deciding import decide
from index.labels.migrating import adopt, migrate
from index.labels.standing import Decision
from index.labels.taxonomies import (
    Finding,
    aliases,
    categories_by_id,
    category_counts,
    check,
    drop_taxonomy,
    store_taxonomy,
    stored_taxonomy,
    taxonomy_of,
    value_counts,
)
from index.store.products import StoredProduct
from vision.errors import TaxonomyError
from vision.taxonomy import SEPARATOR, Migration, Taxonomy

KITCHEN = ("Kitchen", "Kitchen > Mugs", "Kitchen > Bowls", "Garden", "Garden > Pots")

Read = Callable[..., Taxonomy]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a taxonomy from a text: read("Kitchen", name="shop.txt") -> Taxonomy."""

    def read(content: str | bytes, name: str = "shop.txt", axes: str | None = None) -> Taxonomy:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        if axes is None:
            return read_taxonomy(tmp_path / name)
        (tmp_path / "axes").write_text(axes, encoding="utf-8")
        return read_taxonomy(tmp_path / name, tmp_path / "axes")

    return read


# --- layouts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("indent", ["\t", "  ", "   ", " ", "\t\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_indented_text(read: Read, indent: str, end: str) -> None:
    lines = ["# our shop", "", "Kitchen", f"{indent}Mugs", "", f"{indent}# not yet: Pans"]
    lines += [f"{indent}Bowls", "Garden", f"{indent}Pots "]
    assert read(end.join(lines)).categories == KITCHEN


def test_a_byte_order_mark_does_no_harm(read: Read) -> None:
    for content in ("Küche\n  Becher\n", "category\nKüche > Becher\n", "Küche > Becher\n"):
        found = read(b"\xef\xbb\xbf" + content.encode())
        assert found.categories == ("Küche", "Küche > Becher")


def test_googles_product_taxonomy_with_ids(read: Read) -> None:
    found = read(
        "# Google_Product_Taxonomy_Version: 2021-09-21\n"
        "166 - Apparel & Accessories\n"
        "1604 - Apparel & Accessories > Clothing\n"
        "5598 - Apparel & Accessories > Clothing > Activewear - Sets\n"
    )
    assert found.categories[-1] == "Apparel & Accessories > Clothing > Activewear - Sets"
    assert found.ids["Apparel & Accessories"] == "166"
    assert found.ids[found.categories[-1]] == "5598"


def test_googles_product_taxonomy_without_ids(read: Read) -> None:
    found = read(
        "# Google_Product_Taxonomy_Version: 2021-09-21\n"
        "Apparel & Accessories\n"
        "Apparel & Accessories > Clothing\n"
        "Hardware > Pumps/Valves\n"
    )
    assert found.categories == (
        "Apparel & Accessories", "Apparel & Accessories > Clothing", "Hardware",
        "Hardware > Pumps/Valves",
    )  # fmt: skip
    assert found.ids == {}


SHOPIFY = """\
# Shopify Product Taxonomy - Categories: 2024-07
# Format: {GID} : {Ancestor name} > ... > {Category name}

gid://shopify/TaxonomyCategory/ap     : Animals & Pet Supplies
gid://shopify/TaxonomyCategory/ap-2   : Animals & Pet Supplies > Pet Supplies
gid://shopify/TaxonomyCategory/ap-2-1 : Animals & Pet Supplies > Pet Supplies > Bird : Supplies
"""
SHOPIFY_VALUES = """\
# Shopify Product Taxonomy - Attribute Values: 2024-10-unstable
# Format: {GID} : {Value name} [{Attribute name}]

gid://shopify/TaxonomyValue/13254 : #10 [Paper size]
gid://shopify/TaxonomyValue/2878  : A4 [210 x 297] [Paper size]
gid://shopify/TaxonomyValue/1     : Black [Color]
"""


def test_shopifys_taxonomy_and_its_values(read: Read) -> None:
    found = read(SHOPIFY, axes=SHOPIFY_VALUES)
    assert found.categories[-1] == "Animals & Pet Supplies > Pet Supplies > Bird : Supplies"
    assert found.ids["Animals & Pet Supplies"] == "gid://shopify/TaxonomyCategory/ap"
    assert found.axes == {"Paper size": ("#10", "A4 [210 x 297]"), "Color": ("Black",)}


def test_csv_with_paths_and_attributes_in_any_order(read: Read) -> None:
    found = read(
        "id;attribute;Category;value\n7;;Kitchen > Mugs;\n;colour;;red\n;gift;Kitchen>Bowls;yes\n"
        ";;;\n;colour;;blue\n;gift;;no\n;;Garden > Pots\n",
        "shop.csv",
    )
    assert found.categories == KITCHEN
    assert found.ids == {"Kitchen > Mugs": "7"}
    assert found.axes == {"colour": ("red", "blue"), "gift": ("no", "yes")}


def test_csv_with_levels(read: Read) -> None:
    found = read(
        "id\tLevel 2\tlevel1\tlevel_3\n1\t\tKitchen\n2\tMugs\tKitchen\n"
        "\tBowls\tKitchen\t\n4\tPots\tGarden\t'=sum\n",
        "shop.tsv",
    )
    assert found.categories == (*KITCHEN, "Garden > Pots > =sum")
    assert found.ids == {"Kitchen": "1", "Kitchen > Mugs": "2", "Garden > Pots > =sum": "4"}


letters = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=">")
names = st.text(letters, max_size=12).map(lambda text: " ".join(text.split())).filter(bool)
trees = st.builds(
    Taxonomy,
    st.lists(st.lists(names, min_size=1, max_size=4).map(SEPARATOR.join), min_size=1).map(tuple),
    axes=st.dictionaries(
        names.filter(lambda name: name != "category"),
        st.lists(names, min_size=1).map(tuple), max_size=3,
    ),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(trees, st.data())
def test_what_is_written_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, tree: Taxonomy, data: st.DataObject
) -> None:
    some = data.draw(st.lists(st.sampled_from(tree.categories), unique=True))
    ids = {path: code + str(at) for at, (path, code) in enumerate(zip(some, "=+-@x", strict=False))}
    tree = Taxonomy(tree.categories, ids, tree.axes)
    path = tmp_path_factory.getbasetemp() / "written.csv"
    write_taxonomy(tree, path)
    assert read_taxonomy(path) == tree


def test_no_spreadsheet_takes_a_name_for_a_formula() -> None:
    written = taxonomy_csv(Taxonomy(("=1+1",), {"=1+1": "@2"}, {"-x": ("+y",)}))
    assert written.splitlines()[1:] == ["'=1+1,'@2,,", ",,'-x,'+y"]


# --- files that cannot be read ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("", "a.txt", "it is empty: write one"),
        ("# nothing\n\n", "a.txt", "it is empty"),
        ("Kitchen\n\tMugs\n    Pans\n", "a.txt", "line 3: is not indented.*by a tab each level"),
        ("Kitchen\n  Mugs\n   Pans\n", "a.txt", "line 3: is not indented.*by 2 spaces"),
        ("Kitchen\n  Mugs\n      Pans\n", "a.txt", "line 3: is indented by more than one level"),
        ("  Kitchen\n", "a.txt", "line 1: is indented by more than one level"),
        ("A > B\nA >  > C\n", "a.txt", 'line 2: "" cannot be a name'),
        ("A\n" + "x" * 201, "a.txt", "line 2: .*1 to 200 characters"),
        ("A\n\x07x", "a.txt", "line 2: .*control characters"),
        (" > ".join("A" * 21), "a.txt", "line 1: a category lies 21 levels deep: at most 20"),
        (b"Kitchen\nK\xfcche\n", "a.txt", "line 2: not UTF-8: save the file as UTF-8"),
        ("Kitchen".encode("utf-16"), "a.txt", "not a text in UTF-8"),
        (b"PK\x03\x04\x00\x00", "a.zip", "not a text in UTF-8"),
        ("<rss></rss>", "a.xml", "layout is not known. Readable are indented text"),
        ('{"a": 1}', "a.json", "layout is not known"),
        ("id,name,parent\n1,a,0\n", "a.csv", "line 1: the layout is not known"),
        ("category,name\na,b\n", "a.csv", 'a column "name" is not known'),
        ("category,,\na,b\n", "a.csv", 'a column "" is not known'),
        ("category,category\na,b\n", "a.csv", "a column stands twice"),
        ("category,level1\na,b\n", "a.csv", "either category, or level1"),
        ("level1,level3\na,b\n", "a.csv", "without a gap"),
        ("level1,level2\na,b\n,c\n", "a.csv", "line 3: level1 is empty but a deeper one"),
        ("level1,level2\na,b > c\n", "a.csv", "line 2: .*between names only"),
        ("category,id\nA\nB,1,2\n", "a.csv", "line 3: has 3 fields where the header has 2"),
        ('category,id\nA,1\n"B"x,1\n', "a.csv", "line 3: bad CSV"),
        ("category,id\nA,1\n,2\n", "a.csv", "line 3: has an id but no category"),
        ("category,id\nA,1\nB,1\n", "a.csv", 'line 3: the id "1" stands in line 2 already'),
        ("category,id\nA,1\nA,2\n", "a.csv", 'line 3: "A" has another id in line 2'),
        ("category,attribute,value\nA,colour,\n", "a.csv", "line 2: an attribute needs"),
        ("attribute,value\ncolour,red\n", "a.csv", "holds no categories. Give it with --attr"),
        ("category,attribute,value\nA,category,red\n", "a.csv", 'cannot be called "category"'),
        ("1 - A\nB > C\n", "a.txt", 'line 2: is not "ID - Category'),
        (SHOPIFY + "x\n", "a.txt", "line 7: is neither"),
        ("gid://shopify/TaxonomyAttribute/1 : Color\n", "a.txt", "take attribute_values.txt"),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_why(
    read: Read, content: str | bytes, name: str, message: str
) -> None:
    with pytest.raises(TaxonomyError, match=f"{name}.*{message}"):
        read(content, name)


def test_attributes_come_from_a_file_of_attributes(read: Read) -> None:
    for axes in ("Kitchen\n  Mugs\n", "category,attribute,value\nA,colour,red\n"):
        with pytest.raises(TaxonomyError, match="axes is no list of attributes: write a CSV"):
            read("Kitchen\n", axes=axes)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError, match="cannot be read"):
        read_taxonomy(tmp_path / "none")
    with pytest.raises(TaxonomyError, match="cannot be written"):
        write_taxonomy(Taxonomy(("A",)), tmp_path / "none" / "a.csv")


def test_files_are_limited(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_NODES", 3)
    assert len(read("a\nb\nc\n").categories) == 3
    with pytest.raises(TaxonomyError, match="line 4: there are more than 3 categories"):
        read("a\nb\nc\nd\n")
    with pytest.raises(TaxonomyError, match="line 1: there are more than 3 categories"):
        read("a > b > c > d\n")
    with pytest.raises(TaxonomyError, match="there are more than 3 values"):
        read("category,attribute,value\nA,a,1\n,a,2\n,b,1\n,b,2\n", "a.csv")
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    with pytest.raises(TaxonomyError, match="larger than 0 MB"):
        read("a\n" * 501)


# --- the catalogue's own ------------------------------------------------------------------------


def change(catalogue: Catalogue, how: Callable[[Taxonomy], Migration]) -> int:
    """Migrate; return the number of products concerned."""
    return migrate(catalogue, how)[1]


def counts(catalogue: Catalogue) -> dict[str, int]:
    with catalogue.reading() as table:
        return category_counts(table)


def present(catalogue: Catalogue) -> Taxonomy:
    with catalogue.reading() as table:
        return taxonomy_of(table)


def product(catalogue: Catalogue, product_id: str) -> StoredProduct:
    with catalogue.reading() as table:
        (stored,) = table.get(table.keys([product_id]).values()).values()
        return stored


def give(catalogue: Catalogue, taxonomy: Taxonomy) -> None:
    with catalogue.writing(), catalogue.changing() as writer:
        store_taxonomy(writer, taxonomy)


def test_a_catalogue_goes_by_its_products(catalogue: Catalogue, feed: Callable[..., Path]) -> None:
    found = present(catalogue)
    assert found.categories == (
        "Garden", "Garden > Pots", "Kitchen", "Kitchen > Bowls", "Kitchen > Mugs",
    )  # fmt: skip
    assert found.axes == {}  # eight colours of three products each are too few to learn from
    catalogue.add([feed(24, 30, gift="yes"), feed(24, 60, name="g.csv", gift="no")])
    found = present(catalogue)
    assert set(found.axes) == {"colour", "gift"}
    assert found.axes["gift"] == ("no", "yes")
    with catalogue.reading() as table:
        assert value_counts(table)["gift"] == {"no": 24, "yes": 24}


def test_a_taxonomy_that_was_given_is_kept_until_it_is_dropped(catalogue: Catalogue) -> None:
    given_one = Taxonomy(("Kitchen > Pans",), {"Kitchen": "1"}, {"colour": ("red", "blue")})
    give(catalogue, given_one)
    assert present(catalogue) == given_one
    with catalogue.writing(), catalogue.changing() as writer:
        drop_taxonomy(writer)
    assert "Garden > Pots" in present(catalogue)


def test_one_that_was_given_without_attributes_has_those_of_the_products(
    catalogue: Catalogue, feed: Callable[..., Path]
) -> None:
    give(catalogue, Taxonomy(("Kitchen",)))
    catalogue.add([feed(24, 30, gift="yes"), feed(24, 60, name="g.csv", gift="no")])
    assert set(present(catalogue).axes) == {"colour", "gift"}
    change(catalogue, lambda old: old.renamed("Kitchen", "Home"))
    with catalogue.reading() as table:  # and a change to the tree does not settle them
        assert stored_taxonomy(table.connection) == Taxonomy(("Home",))


def test_a_renamed_category_takes_its_products_along(catalogue: Catalogue) -> None:
    before = product(catalogue, "p2")
    assert change(catalogue, lambda old: old.renamed("Kitchen", "Cooking")) == 16
    assert counts(catalogue) == {
        "Garden > Pots": 8, "Cooking > Bowls": 8, "Cooking > Mugs": 8,
    }  # fmt: skip
    assert product(catalogue, "p2") == before
    with catalogue.reading() as table:
        table.verify(catalogue.fingerprint)
        assert stored_taxonomy(table.connection) is None


def test_later_feeds_may_use_the_old_names(catalogue: Catalogue, feed: Callable[..., Path]) -> None:
    known = feed(12, name="again.csv")
    catalogue.add([known])
    change(catalogue, lambda old: old.renamed("Kitchen > Mugs", "Cups"))
    change(catalogue, lambda old: old.renamed("Kitchen", "Cooking"))
    change(catalogue, lambda old: old.merged("Garden > Pots", "Cooking > Bowls"))
    with catalogue.reading() as table:
        assert aliases(table.connection)["Kitchen > Mugs"] == "Cooking > Cups"
    assert counts(catalogue) == {"Cooking > Cups": 8, "Cooking > Bowls": 16}
    report = catalogue.add([known, feed(3, 50, name="new.csv")])
    assert (report.added, report.updated, report.unchanged) == (3, 0, 12)
    assert counts(catalogue) == {"Cooking > Cups": 9, "Cooking > Bowls": 18}
    catalogue.add([feed(1, 60, name="below.csv", category="Kitchen > Mugs > Tall")])
    assert counts(catalogue)["Cooking > Cups > Tall"] == 1


def test_two_categories_can_swap_their_names(
    catalogue: Catalogue, feed: Callable[..., Path]
) -> None:
    known = feed(12, name="again.csv")
    catalogue.add([known])
    assert product(catalogue, "p0").product.category == "Kitchen > Mugs"
    change(catalogue, lambda old: old.renamed("Kitchen > Mugs", "x"))
    change(catalogue, lambda old: old.renamed("Kitchen > Bowls", "Mugs"))
    change(catalogue, lambda old: old.renamed("Kitchen > x", "Bowls"))
    assert product(catalogue, "p0").product.category == "Kitchen > Bowls"
    assert catalogue.add([known]).unchanged == 12
    assert catalogue.add([feed(12, name="again.csv", brand="Other")]).updated == 12
    assert product(catalogue, "p0").product.category == "Kitchen > Bowls"
    assert product(catalogue, "p1").product.category == "Kitchen > Mugs"


def test_what_people_decided_goes_along(catalogue: Catalogue) -> None:
    decide(catalogue, [Decision("p0", "category", "set", "Garden > Pots")], who="ann")
    assert product(catalogue, "p0").product.category == "Garden > Pots"
    change(catalogue, lambda old: old.renamed("Garden", "Outside"))
    change(catalogue, lambda old: old.moved("Outside > Pots", ""))
    assert product(catalogue, "p0").product.category == "Pots"
    change(catalogue, lambda old: old.split("Pots", ["Clay", "Plastic"]))
    assert product(catalogue, "p0").product.category == "Pots"
    assert counts(catalogue) == {"Pots": 9, "Kitchen > Bowls": 8, "Kitchen > Mugs": 7}


@pytest.mark.parametrize("order", [("p1", "p2"), ("p2", "p1")])
def test_a_category_and_its_namesake_below_it_are_not_mixed_up(
    catalogue: Catalogue, feed: Callable[..., Path], order: tuple[str, str]
) -> None:
    catalogue.add([feed(4, 40, name="m.csv", category="Kitchen > Mugs > Mugs")])
    said = {"p1": "Kitchen > Mugs", "p2": "Kitchen > Mugs > Mugs"}
    for number in order:
        decide(catalogue, [Decision(number, "category", "set", said[number])], who="ann")
    change(catalogue, lambda old: old.merged("Kitchen > Mugs", "Kitchen"))
    assert product(catalogue, "p0").product.category == "Kitchen"
    assert product(catalogue, "p40").product.category == "Kitchen > Mugs"
    assert product(catalogue, "p1").product.category == "Kitchen"
    assert product(catalogue, "p2").product.category == "Kitchen > Mugs"


def test_a_split_makes_the_taxonomy_the_catalogues_own(catalogue: Catalogue) -> None:
    assert change(catalogue, lambda old: old.split("Kitchen > Mugs", ["Tall", "Small"])) == 0
    assert present(catalogue).children("Kitchen > Mugs") == (
        "Kitchen > Mugs > Tall", "Kitchen > Mugs > Small",
    )  # fmt: skip
    assert counts(catalogue)["Kitchen > Mugs"] == 8


def test_a_change_is_made_whole_or_not_at_all(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(catalogue, present(catalogue))
    before = present(catalogue), counts(catalogue)

    def fail(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(index.labels.migrating, "relabel", fail)
    with pytest.raises(KeyboardInterrupt):
        change(catalogue, lambda old: old.renamed("Kitchen", "Cooking"))
    assert (present(catalogue), counts(catalogue)) == before
    with catalogue.reading() as table:
        assert aliases(table.connection) == {}


def test_a_change_is_made_to_the_taxonomy_as_it_stands(catalogue: Catalogue) -> None:
    with Catalogue.open(catalogue.path) as other:
        change(other, lambda old: old.renamed("Kitchen", "Cooking"))
    with pytest.raises(TaxonomyError, match='no category "Kitchen"'):
        change(catalogue, lambda old: old.renamed("Kitchen", "Home"))


def test_ids_lead_to_categories_even_after_a_merger(catalogue: Catalogue) -> None:
    tree = present(catalogue)
    give(catalogue, Taxonomy(tree.categories, {"Kitchen > Mugs": "7", "Garden > Pots": "9"}))
    change(catalogue, lambda old: old.renamed("Kitchen", "Cooking"))
    change(catalogue, lambda old: old.merged("Garden > Pots", "Cooking > Mugs"))
    change(catalogue, lambda old: old.renamed("Cooking > Mugs", "Cups"))
    with catalogue.reading() as table:
        assert categories_by_id(table.connection) == {
            "7": "Cooking > Cups", "9": "Cooking > Cups",
        }  # fmt: skip


# --- looking it over ----------------------------------------------------------------------------


def findings(catalogue: Catalogue, kind: str) -> list[Finding]:
    with catalogue.reading() as table:
        return [each for each in check(table) if each.kind == kind]


def test_a_catalogue_as_its_products_have_it_has_a_chain_at_most(catalogue: Catalogue) -> None:
    with catalogue.reading() as table:
        (found,) = check(table)
    assert (found.kind, found.path, found.products) == ("chain", "Garden", 8)
    assert not found.serious


def test_products_outside_are_found_with_what_was_meant(
    catalogue: Catalogue, feed: Callable[..., Path]
) -> None:
    give(catalogue, Taxonomy(("Kitchen > Mugs", "Home > Bowls")))
    found = findings(catalogue, "outside")
    assert [(each.path, each.products, each.nearest) for each in found] == [
        ("Garden > Pots", 8, ()),
        ("Kitchen > Bowls", 8, ("Home > Bowls",)),
    ]
    assert all(each.serious for each in found)
    catalogue.add([feed(3, 40, name="none.csv", category="")])  # of no category is not outside
    assert len(findings(catalogue, "outside")) == 2


def test_values_that_are_not_closed_in_are_found(catalogue: Catalogue) -> None:
    colours = ("red", "Green", "blue", "orange", "purple", "teal", "brown")
    give(catalogue, Taxonomy(("Kitchen", "Garden"), {}, {"colour": colours, "size": ("S",)}))
    found = {each.path: each for each in findings(catalogue, "value")}
    assert set(found) == {"colour=black", "colour=green"}
    assert found["colour=green"].nearest == ("Green",)
    assert found["colour=green"].products == 3


def test_names_that_look_the_same_are_found(
    catalogue: Catalogue, feed: Callable[..., Path]
) -> None:
    for at, category in enumerate(
        ("kitchen > Mugs", "Kitchen > mug", "Kitchen > Bow ls", "Garden > Mugs", "Toys", "Boxes")
    ):
        catalogue.add([feed(2, 40 + 2 * at, name=f"{at}.csv", category=category)])
    found = {each.path: (each.nearest, each.products) for each in findings(catalogue, "twins")}
    assert found == {
        "Kitchen": (("kitchen",), 22),
        "Kitchen > Bow ls": (("Kitchen > Bowls",), 10),
        "Kitchen > Mugs": (("Kitchen > mug",), 10),
    }


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Mugs", "mug", True), ("Vases", "Vase", True), ("Dresses", "Dress", True),
        ("Boxes", "Box", True), ("Accessories", "accessory", True), ("T-Shirts", "T-shirt", True),
        ("Ｍugs", "Mugs", True), ("Glass", "Glas", False), ("Bed", "Bedding", False),
        ("Shoes", "Shirts", False),
    ],
)  # fmt: skip
def test_what_looks_the_same(catalogue: Catalogue, one: str, other: str, alike: bool) -> None:
    give(catalogue, Taxonomy((one, other)))
    assert bool(findings(catalogue, "twins")) == alike


def test_levels_without_a_choice_and_empty_leaves_are_found(catalogue: Catalogue) -> None:
    give(catalogue, Taxonomy(("A > B > C > D", "A > B > C > E", "Kitchen > Mugs > Tall", "F")))
    chains = [(each.path, each.nearest) for each in findings(catalogue, "chain")]
    assert chains == [("A", ("A > B > C",)), ("Kitchen", ("Kitchen > Mugs",))]
    empty = [each.path for each in findings(catalogue, "empty")]
    assert empty == ["A > B > C > D", "A > B > C > E", "Kitchen > Mugs > Tall", "F"]


def test_a_number_in_a_feed_becomes_its_category(tiny_encoder: object, tmp_path: Path) -> None:
    picture = tiny.write_photos(tmp_path, 1)[0]
    feed = tmp_path / "feed.csv"
    feed.write_text(f"id,image_link,Google_Product_Category\na,{picture},166\n")
    tree = Taxonomy(("Apparel", "Apparel > Clothing"), {"Apparel": "166"})
    with Catalogue.open(tmp_path / "c", create=True) as catalogue:
        catalogue.add([feed])
        adopt(catalogue, tree)
        assert categories(catalogue) == {"a": "Apparel"}
        assert catalogue.add([feed]).unchanged == 1
        migrate(catalogue, lambda known: known.renamed("Apparel", "Clothes"))
        assert categories(catalogue) == {"a": "Clothes"}


def categories(catalogue: Catalogue) -> dict[str, str]:
    with catalogue.reading() as table:
        stored = table.get(list(table.all_keys())).values()
    return {each.product.product_id: each.product.category for each in stored}
