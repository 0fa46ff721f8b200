"""What a kind of product is, and the parts that make one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from assets.studio.meshes import Mesh
from assets.studio.shape import Shape


@dataclass
class Model:
    """The parts of one product: meshes with the name of their material.

    Materials: main (the product's own, with its pattern), plain (the same without), second (the
    pattern's colour), and fixed ones: wood, metal, black, white, rubber, leaf, soil, wick, glow.
    """

    parts: list[tuple[Mesh, str]] = field(default_factory=list)

    def add(self, mesh: Mesh, material: str = "main") -> None:
        """Add a part."""
        self.parts.append((mesh, material))

    def points(self) -> np.ndarray:
        """Return the vertices of all parts, (n, 3) float64."""
        return np.vstack([mesh.vertices for mesh, _ in self.parts])


Build = Callable[[Shape, Model], None]


@dataclass(frozen=True)
class Kind:
    """A kind of product: its names, what it may be made of, and the function that builds it.

    ``place`` says where one stands in a room: table, floor, wall or hanging. ``price`` in euros.
    """

    name: str
    category: str
    nouns: tuple[str, ...]
    materials: tuple[str, ...]
    patterns: tuple[str, ...]
    price: tuple[float, float]
    place: str
    build: Build
