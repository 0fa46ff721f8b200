"""Products: a shape, a look, and what a shop says of them; attributes are true by construction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from assets.studio.kinds import DEPARTMENT_OF, KINDS
from assets.studio.model import Kind, Model
from assets.studio.shape import Draw, Shape, fraction

PALETTE = {
    "white": "#efece6",
    "black": "#1c1c1e",
    "grey": "#8b8d90",
    "beige": "#d9c7a7",
    "brown": "#6f4526",
    "red": "#b3231f",
    "orange": "#e0741c",
    "yellow": "#eebd2b",
    "green": "#3f7d43",
    "olive": "#7a7a3a",
    "turquoise": "#2fa6a3",
    "light blue": "#8fc1e3",
    "blue": "#2456b5",
    "navy": "#1d2a4d",
    "purple": "#6b3f94",
    "pink": "#e79ab4",
    "silver": "#c9ccd0",
    "gold": "#cf9f45",
    "copper": "#b8693f",
    "clear": "#f2f7f6",
}
_COLOURS = tuple(list(PALETTE)[:16])
_BY_MATERIAL = {
    "ceramic": _COLOURS,
    "fabric": _COLOURS,
    "plastic": _COLOURS,
    "wood": (
        "beige",
        "brown",
        "brown",
        "beige",
        "black",
        "white",
        "red",
        "green",
        "blue",
        "yellow",
    ),
    "metal": (
        "silver",
        "silver",
        "gold",
        "copper",
        "black",
        "white",
        "red",
        "blue",
        "green",
        "turquoise",
    ),
    "glass": ("clear", "clear", "green", "blue", "orange", "grey", "pink", "turquoise"),
    "leather": ("brown", "brown", "black", "beige", "red", "navy", "olive", "grey"),
}
_FINISHES = {
    "ceramic": ("glossy", "glossy", "matt"),
    "fabric": ("woven", "woven", "soft"),
    "plastic": ("glossy", "matt"),
    "wood": ("oiled", "lacquered"),
    "metal": ("polished", "brushed", "matt"),
    "glass": ("clear", "frosted"),
    "leather": ("smooth", "grained"),
}
_SIZES = {"small": 0.85, "medium": 1.0, "large": 1.18}
BRANDS = (
    "Fjellby",
    "Oakhollow",
    "Lumika",
    "Casa Verra",
    "Tidewick",
    "Norrsken & Field",
    "Kobalt Row",
    "Pinstripe Mill",
    "Maren Hus",
    "Quillon",
)
_STYLES = (
    "Alder", "Arbor", "Astra", "Bask", "Birke", "Bodega", "Breeze", "Calla", "Cedar", "Cleo",
    "Cove", "Dahl", "Delta", "Dune", "Eiger", "Elm", "Ember", "Fable", "Fern", "Fika", "Flint",
    "Glade", "Grove", "Halden", "Harbor", "Hazel", "Hygge", "Indra", "Iris", "Isla", "Jasper",
    "Juno", "Kelp", "Kiln", "Koto", "Lark", "Linden", "Loft", "Lykke", "Maple", "Mesa", "Mira",
    "Moss", "Nami", "Nest", "Nova", "Oslo", "Otto", "Pebble", "Pine", "Plaza", "Quartz", "Quay",
    "Ridge", "Rill", "Rowan", "Sable", "Sage", "Senna", "Skye", "Sol", "Spruce", "Tansy",
    "Terra", "Thistle", "Tide", "Umber", "Vale", "Vela", "Verve", "Willow", "Wren", "Yarrow",
    "Yuma", "Zephyr", "Zinnia",
)  # fmt: skip


@dataclass(frozen=True)
class Product:
    """One product. ``family`` shares shape and name; ``twin`` > 0 is a near twin of its family.

    Colours are names of PALETTE; ``second`` is the colour of the pattern and of small parts.
    """

    id: str
    family: str
    twin: int
    kind: str
    colour: str
    second: str
    material: str
    pattern: str
    finish: str
    size: str

    @property
    def shape(self) -> Shape:
        """Return the measures of its shape."""
        return Shape(self.family, self.twin)

    @property
    def scale(self) -> float:
        """Return how much larger than its kind's model it is."""
        return _SIZES[self.size]

    @property
    def department(self) -> str:
        """Return the upper level of its category."""
        return DEPARTMENT_OF.get(self.kind, "Other")

    @property
    def category(self) -> str:
        """Return the lower level of its category."""
        return KINDS[self.kind].category

    @property
    def style(self) -> str:
        """Return the name that its family bears."""
        return Draw(self.family).pick("style", _STYLES) + (" II" if self.twin else "")

    @property
    def brand(self) -> str:
        """Return the maker of its family."""
        return Draw(self.family).pick("brand", BRANDS)

    @property
    def price(self) -> float:
        """Return its price in euros."""
        low, high = KINDS[self.kind].price
        value = low + (high - low) * fraction(self.family, "price") ** 1.5 * self.scale
        return float(round(value) - 0.05 if value < 100 else round(value / 10) * 10 - 1.0)

    @property
    def title(self) -> str:
        """Return its title in the shop."""
        return f"{self.style} {KINDS[self.kind].nouns[0]}, {self.colour}{self._with_pattern}"

    @property
    def description(self) -> str:
        """Return a sentence or two for the product page."""
        width, depth, height = (100 * each for each in self.measures)
        return (
            f"{self.finish.capitalize()} {self.material} {KINDS[self.kind].nouns[-1]} in "
            f"{self.colour}{self._with_pattern}. "
            f"{width:.0f} x {depth:.0f} x {height:.0f} cm."
        )

    @property
    def measures(self) -> tuple[float, float, float]:
        """Return width, depth and height in metres, measured on the model."""
        points = self.model().points() * self.scale
        width, depth, height = points.max(axis=0) - points.min(axis=0)
        return float(width), float(depth), float(height)

    @property
    def _with_pattern(self) -> str:
        if self.pattern == "plain":
            return ""
        return f" with {self.second} {'print' if self.pattern == 'print' else self.pattern}"

    def model(self) -> Model:
        """Return its parts in metres, before ``scale``."""
        model = Model()
        KINDS[self.kind].build(self.shape, model)
        return model


def assortment(
    name: str, kinds: Sequence[Kind], each: int, twins: float = 0.08, taste: float = 1.0
) -> list[Product]:
    """Return ``each`` products of every kind, in families of one to four colours.

    ``name`` seeds everything: two names share no shape. ``twins`` is the share of near twins;
    the higher ``taste``, the more of a kind are in its favourite colours and material.
    """
    products = []
    for kind in kinds:
        found: list[Product] = []
        number = 0
        while len(found) < each:
            found += _family(f"{name}/{kind.name}/{number}", kind, twins, taste)
            number += 1
        products += found[:each]
    return [
        replace(product, id=f"{name[0].upper()}{at:05d}") for at, product in enumerate(products)
    ]


def _family(family: str, kind: Kind, twins: float, taste: float) -> list[Product]:
    draw = Draw(family)
    material = draw.pick("material", kind.materials)
    if draw.chance("taste", 1 - 1 / taste):
        material = kind.materials[0]
    pattern = "plain" if material in ("glass", "leather") else draw.pick("pattern", kind.patterns)
    # A shop has favourite colours: half of all choices fall on the first three of its kind.
    palette = list(dict.fromkeys(Draw(kind.name).shuffled("colours", _BY_MATERIAL[material])))
    weights = [4.0 * taste**2, 3.0 * taste, 2.0][: len(palette)] + [0.6] * (len(palette) - 3)
    count = draw.weighted("variants", (1, 2, 3, 4), (0.4, 0.3, 0.2, 0.1))
    colours: list[str] = []
    for at in range(12):
        colour = draw.weighted(("colour", at), palette, weights)
        if colour not in colours and len(colours) < count:
            colours.append(colour)
    finish = draw.pick("finish", _FINISHES[material])
    size = draw.weighted("size", tuple(_SIZES), (0.25, 0.5, 0.25))
    made = [
        Product(
            "", family, 0, kind.name, colour, _second(draw, colour), material, pattern, finish, size
        )
        for colour in colours
    ]
    if draw.chance("twin", twins * 3):
        made.append(replace(made[0], twin=1))
    return made


def _second(draw: Draw, colour: str) -> str:
    """Return a colour that stands out against the first."""
    light = {"white", "beige", "yellow", "light blue", "pink", "clear", "silver", "gold"}
    if draw.chance(("neutral", colour), 0.5):
        return draw.pick(
            ("second", colour),
            ("black", "navy", "brown") if colour in light else ("white", "beige"),
        )
    others = [each for each in _COLOURS if each != colour and (each in light) != (colour in light)]
    return draw.pick(("second", colour), others)
