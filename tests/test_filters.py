"""Conditions: what is read from text, and that SQL finds what a plain reading of them finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from index.product import Product, category_path
from index.search.filters import MAX_LENGTH, Condition, check_attributes, parse_filter
from index.store.database import connect
from index.store.products import ProductTable
from index.store.tables import attributes, products, views
from index.store.writing import Change, ProductWriter
from vision.errors import QueryError


@pytest.fixture(scope="module")
def engine() -> Iterator[sa.Engine]:
    """A database in memory, empty but for its tables."""
    made = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
    products.metadata.create_all(made)
    yield made
    made.dispose()


Find = Callable[..., set[str]]


@pytest.fixture
def find(engine: sa.Engine) -> Find:
    """Return a function: find(products, *conditions) -> the ids of those that fit."""

    def found(stock: list[Product], *expressions: str) -> set[str]:
        with engine.connect() as connection:
            _store(connection, stock)
            keys = ProductTable(connection).matching(parse_filter(expressions)).tolist()
            rows = connection.execute(sa.select(products.c.key, products.c.product_id))
            names = {row.key: row.product_id for row in rows}
            connection.rollback()
            return {names[key] for key in keys}

    return found


def _store(connection: sa.Connection, stock: list[Product]) -> None:
    for table in (attributes, views, products):
        connection.execute(sa.delete(table))
    for key, each in enumerate(stock, 1):
        fields = {name: value for name, value in vars(each).items() if name != "attributes"}
        row = fields | {"key": key, "attributes": "{}", "digest": "", "generation": 1, "crc": 0}
        row |= {"feed": "", "changed": 0.0}
        connection.execute(sa.insert(products).values(row))
        for name, value in each.attributes.items():
            connection.execute(
                sa.insert(attributes).values(product_key=key, name=name, value=value)
            )


# --- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "field", "op", "values"),
    [
        ("price<=20", "price", "<=", ("20",)),
        (" price < 20.5 ", "price", "<", ("20.5",)),
        ("Price>=1", "price", ">=", ("1",)),
        ("brand=Acme", "brand", "=", ("Acme",)),
        ("brand!=Acme|Bolt", "brand", "!=", ("Acme", "Bolt")),
        ("category=Kitchen > Mugs", "category", "=", ("Kitchen > Mugs",)),
        ("colour = red | blue |", "colour", "=", ("red", "blue")),
        ("size (cm)=30 x 40", "size (cm)", "=", ("30 x 40",)),
        ("id=a=b", "product_id", "=", ("a=b",)),
    ],
)
def test_conditions_are_read(text: str, field: str, op: str, values: tuple[str, ...]) -> None:
    assert parse_filter([text]) == (Condition(field, op, values),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a condition"),
        ("price", "not a condition"),
        ("=5", "not a condition"),
        ("brand=", "not a condition"),
        ("brand=|", "not a condition"),
        ("price<cheap", "not a price"),
        ("price=nan", "not a price"),
        ("price<inf", "not a price"),
        ("price!=x", "not a price"),
        ("brand<B", "no order"),
        ("category=>", "not a category"),
        ("category!=/", "not a category"),
        ("brand=" + "x" * MAX_LENGTH, "longer than"),
    ],
)
def test_what_is_no_condition_says_so(text: str, says: str) -> None:
    with pytest.raises(QueryError, match=says):
        parse_filter([text])


def test_length_counts_over_all_conditions() -> None:
    with pytest.raises(QueryError, match="longer than"):
        parse_filter(["brand=" + "x" * 100] * 10)


# --- finding -----------------------------------------------------------------------------------


def test_a_category_holds_for_all_below_it(find: Find) -> None:
    names = ("Kitchen", "Kitchen > Mugs", "KITCHEN > mugs > Large", "Kitchenware", "Garden")
    stock = [Product(name, category=name) for name in names]
    assert find(stock, "category=kitchen") == {names[0], names[1], names[2]}
    assert find(stock, "category=Kitchen > Mugs") == {names[1], names[2]}
    assert find(stock, "category=kitchen/mugs") == {names[1], names[2]}
    assert find(stock, "category=kitchen>mugs") == {names[1], names[2]}
    assert find(stock, "category!=kitchen") == {names[3], names[4]}
    assert find(stock, "category=garden|kitchenware") == {names[3], names[4]}


def test_a_slash_may_be_part_of_a_category(find: Find) -> None:
    stock = [
        Product("a", category="Food/Drink > Tea"),
        Product("b", category="Food > Drink"),
        Product("c", category="Food > Snacks"),
    ]
    assert find(stock, "category=food/drink") == {"a", "b"}
    assert find(stock, "category=Food/Drink > Tea") == {"a"}


def test_wildcards_of_sql_are_plain_letters(find: Find) -> None:
    names = ("100% wool", "100x wool", "a_b", "axb", "back\\slash", "back/slash")
    stock = [Product(n, brand=n, category=f"{n} > x", attributes={"is": n}) for n in names]
    for name in names[:4]:
        assert find(stock, f"brand={name}") == {name}
        assert find(stock, f"category={name}") == {name}
        assert find(stock, f"is={name}") == {name}
    assert find(stock, "brand=back\\slash") == {"back\\slash"}


def test_sql_in_a_value_is_only_text(find: Find) -> None:
    nasty = "x' OR '1'='1'; DROP TABLE products; --"
    stock = [Product("a", brand=nasty, attributes={nasty.partition("=")[0]: "y"}), Product("b")]
    assert find(stock, f"brand={nasty}") == {"a"}
    assert find(stock, f"colour={nasty}") == set()
    assert find(stock, "x' OR '1'=y") == {"a"}
    assert find(stock, "brand!=z") == {"a", "b"}


def test_a_missing_price_is_neither_more_nor_less(find: Find) -> None:
    stock = [Product("a", price=5.0), Product("b", price=20.0), Product("c")]
    assert find(stock, "price<10") == {"a"}
    assert find(stock, "price>=5") == {"a", "b"}
    assert find(stock, "price=20|5") == {"a", "b"}
    assert find(stock, "price!=5") == {"b", "c"}
    assert find(stock, "price!=5|20") == {"c"}
    assert find(stock, "price>1", "price<10") == {"a"}


def test_a_missing_attribute_is_not_equal(find: Find) -> None:
    stock = [Product("a", attributes={"colour": "red"}), Product("b", attributes={"size": "red"})]
    assert find(stock, "colour=red") == {"a"}
    assert find(stock, "colour!=red") == {"b"}
    assert find(stock, "colour=red|blue", "size!=red") == {"a"}


@pytest.mark.parametrize("name", ["höhe (cm)", "%", "_", "a b", "'", '"', "☃", "colour|shade"])
def test_attributes_may_have_odd_names(find: Find, name: str) -> None:
    stock = [Product("a", attributes={name: "1"}), Product("b", attributes={f"{name}x": "1"})]
    assert find(stock, f"{name}=1") == {"a"}
    assert find(stock, f"{name.upper()}=1") == {"a"}


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("École", "éCOLE"),
        ("Кухня > Кружки", "КУХНЯ/кружки"),
        ("ΟΔΟΣ", "οδοσ"),
        ("Straße", "straße"),
    ],
)
def test_case_does_not_matter_outside_ascii_either(find: Find, stored: str, asked: str) -> None:
    stock = [Product("a", category=stored, brand=stored), Product("b", category="other")]
    assert find(stock, f"category={asked}") == {"a"}
    if ">" not in stored:
        assert find(stock, f"brand={asked}") == {"a"}


def test_product_ids_compare_exactly(find: Find) -> None:
    stock = [Product("Mug"), Product("mug"), Product("ключ")]
    assert find(stock, "id=mug") == {"mug"}
    assert find(stock, "product_id=ключ|Mug") == {"ключ", "Mug"}
    assert find(stock, "id!=mug") == {"Mug", "ключ"}


def test_very_long_values_are_no_trouble(find: Find) -> None:
    letters = "".join(chr(0x430 + i % 32) for i in range(700))
    stock = [Product("a", title=letters.upper())]
    assert find(stock, f"title={letters}") == {"a"}
    assert find(stock, "colour=" + "|".join("я" * 300)) == set()


WORDS = ["a", "A", "é", "É", "%", "_", "a%", "a b", "\\", "'", "Ж", "ж", "ab"]
texts = st.sampled_from(WORDS)
paths = st.lists(texts, max_size=3).map(lambda levels: category_path(" > ".join([*levels, ""])))
stocks = st.lists(
    st.builds(
        Product,
        st.just(""),
        category=paths,
        brand=st.just("") | texts,
        price=st.none() | st.integers(0, 3).map(float),
        attributes=st.dictionaries(texts, texts, max_size=2),
    ),
    max_size=8,
)
conditions = st.one_of(
    st.builds(Condition, st.just("category"), st.sampled_from(["=", "!="]),
              st.lists(paths.filter(bool), min_size=1, max_size=2).map(tuple)),
    st.builds(Condition, st.just("brand") | texts, st.sampled_from(["=", "!="]),
              st.lists(texts, min_size=1, max_size=2).map(tuple)),
    st.builds(Condition, st.just("price"), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
              st.lists(st.integers(0, 3).map(str), min_size=1, max_size=2).map(tuple)),
)  # fmt: skip


def holds(condition: Condition, product: Product) -> bool:
    """Judge a condition in plain Python: what the SQL has to agree with."""
    if condition.op == "!=":
        return not holds(Condition(condition.field, "=", condition.values), product)
    return any(_holds(condition.field, condition.op, value, product) for value in condition.values)


def _holds(field: str, op: str, value: str, product: Product) -> bool:
    if field == "price":
        if product.price is None:
            return False
        a, b = product.price, float(value)
        return {"=": a == b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op]
    if field == "category":
        own = product.category.casefold().split(" > ")
        wanted = value.casefold().split(" > ")
        return own[: len(wanted)] == wanted
    if field == "brand":
        return product.brand.casefold() == value.casefold()
    return any(
        name.casefold() == field.casefold() and text.casefold() == value.casefold()
        for name, text in product.attributes.items()
    )


@settings(max_examples=150, deadline=None)
@given(stocks, st.lists(conditions, min_size=1, max_size=3))
def test_sql_agrees_with_a_plain_reading(
    engine: sa.Engine, stock: list[Product], asked: list[Condition]
) -> None:
    stock = [Product(**{**vars(each), "product_id": str(at)}) for at, each in enumerate(stock, 1)]
    with engine.connect() as connection:
        _store(connection, stock)
        keys = set(ProductTable(connection).matching(asked).tolist())
        connection.rollback()
    assert keys == {
        int(each.product_id) for each in stock if all(holds(one, each) for one in asked)
    }


def test_an_unknown_attribute_is_named(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        _store(connection, [Product("a", attributes={"colour": "red"})])
        check_attributes(parse_filter(["Colour=blue", "price<1", "brand=x"]), connection)
        with pytest.raises(QueryError, match=r'"colr"; there are colour\. Other'):
            check_attributes(parse_filter(["colr=red"]), connection)


def test_filters_hold_for_what_a_catalogue_writes() -> None:
    engine = connect("sqlite://")
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        writer = ProductWriter(connection)
        mug = Product("mug", category="Küche", price=3.5, attributes={"Farbe": "Grün"})
        writer.put([Change(mug, [])], writer.next_generation())
        asked = ["category=KÜCHE", "price<4", "farbe=GRÜN"]
        assert len(writer.matching(parse_filter(asked))) == 1
    engine.dispose()
