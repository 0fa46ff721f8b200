"""The kinds of products by department, and those that only strangers are made of."""

from __future__ import annotations

from assets.studio.kinds import (
    bags,
    containers,
    cookware,
    decor,
    foreign,
    furniture,
    hats,
    lighting,
    play,
    shoes,
    strange,
    tableware,
    textiles,
    toys,
)
from assets.studio.model import Kind

_MODULES = (bags, containers, cookware, decor, foreign, furniture, hats, lighting, play,
            shoes, strange, tableware, textiles, toys)  # fmt: skip
KINDS: dict[str, Kind] = {kind.name: kind for module in _MODULES for kind in module.KINDS}

# The order gives products their numbers.
DEPARTMENTS: dict[str, tuple[str, ...]] = {
    "Kitchen": ("mug", "bowl", "plate", "teapot", "bottle", "jar", "saucepan", "jug"),
    "Lighting": ("table lamp", "floor lamp", "pendant lamp"),
    "Furniture": ("chair", "stool", "table", "bookshelf", "sofa"),
    "Bags": ("tote bag", "backpack", "suitcase", "handbag"),
    "Clothing": ("sneaker", "boot", "hat", "beanie"),
    "Home": ("vase", "clock", "cushion", "rug", "planter", "basket", "candle", "picture frame",
             "blanket", "bin"),
    "Leisure": ("headphones", "speaker", "toy car", "stacking toy", "toy robot"),
}  # fmt: skip
DEPARTMENT_OF: dict[str, str] = {
    name: department for department, names in DEPARTMENTS.items() for name in names
}
STOCKED: tuple[Kind, ...] = tuple(KINDS[name] for name in DEPARTMENT_OF)
# Never in the shop, never trained on.
FOREIGN: tuple[Kind, ...] = tuple(
    KINDS[name]
    for name in ("umbrella", "watering can", "dumbbell", "birdhouse", "fan", "camera", "teddy bear",
                 "skateboard", "lantern")
)  # fmt: skip
