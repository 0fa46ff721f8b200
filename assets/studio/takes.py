"""How a product is looked at: a shop's views of it, and a customer's."""

from __future__ import annotations

from dataclasses import dataclass

from assets.studio.kinds import KINDS
from assets.studio.products import Product
from assets.studio.shape import Draw

# What customers' photos show.
SCENES = ("table", "floor", "shelf", "clutter", "dim", "sunlit", "covered", "blurred", "turned", 
          "crop", "far")  # fmt: skip
_LOW = ("rug", "plate", "bowl")  # looked at from above


@dataclass(frozen=True)
class Take:
    """How one picture is taken: angles in degrees, ``fill`` the share of the frame it spans."""

    azimuth: float
    elevation: float
    fill: float
    field: float = 26.0
    roll: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)


def studio_take(product: Product, view: int) -> Take:
    """Return how a shop takes its ``view``-th picture of a product."""
    draw = Draw(f"{product.id}/{product.family}/studio/{view}")
    if KINDS[product.kind].place == "wall":
        azimuth = (0.0, 28.0, -24.0)[view % 3]
        return Take(azimuth + draw.between("azimuth", -5, 5), draw.between("elevation", 2, 10), 0.8)
    azimuth = (-28.0, 42.0, 158.0)[view % 3] + draw.between("azimuth", -9, 9)
    elevation = (16.0, 30.0, 20.0)[view % 3] + draw.between("elevation", -4, 6)
    if product.kind in _LOW:
        elevation += 22
    return Take(azimuth, elevation, draw.between("fill", 0.74, 0.86))


def customer_take(product: Product, scene: str, draw: Draw) -> Take:
    """Return how a customer holds the camera in a scene."""
    azimuth = draw.between("azimuth", -25, 25)
    elevation = (
        draw.between("elevation", 3, 14) if scene == "shelf" else draw.between("elevation", 6, 48)
    )
    if product.kind in _LOW:
        elevation = draw.between("elevation", 28, 75)
    fill = draw.between("fill", 0.5, 0.85)
    roll = draw.between("roll", -7, 7)
    if scene == "far":
        fill = draw.between("fill", 0.3, 0.45)
    elif scene == "crop":
        fill = draw.between("fill", 1.0, 1.3)
    elif scene == "turned":
        roll = draw.pick("turn", (-90, 90, 180, 35, -40))
    shift = (draw.between("shift x", -0.1, 0.1), draw.between("shift y", -0.1, 0.1))
    return Take(azimuth, elevation, fill, draw.between("field", 28, 55), roll, shift)
