"""Materials as Blender node trees: what a surface is made of, its pattern and its finish."""

from __future__ import annotations

from typing import Any

import bpy

from assets.studio.products import PALETTE, Product
from assets.studio.shape import Draw

Node = Any
Colour = tuple[float, float, float, float]
FIXED = {
    "wood": ("wood", "#a9743f", "oiled"), "metal": ("metal", "#c4c7ca", "polished"),
    "black": ("plastic", "#18181a", "matt"), "white": ("plastic", "#eeece6", "matt"),
    "rubber": ("plastic", "#5b5148", "matt"), "leaf": ("plastic", "#3b7a35", "matt"),
    "soil": ("fabric", "#3a2a1e", "woven"), "leather": ("leather", "#7a4a28", "grained"),
}  # fmt: skip


def rgb(colour: str) -> Colour:
    """Return a hex colour as linear light, as Blender wants it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    red, green, blue = linear
    return red, green, blue, 1.0


def shaded(colour: Colour, factor: float) -> Colour:
    """Return a colour made brighter or darker."""
    red, green, blue, alpha = colour
    return min(1.0, red * factor), min(1.0, green * factor), min(1.0, blue * factor), alpha


class Tree:
    """A material's nodes, put together by name and value."""

    def __init__(self, name: str) -> None:
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.nodes = self.material.node_tree.nodes
        self.bsdf = self.nodes["Principled BSDF"]

    def node(
        self, kind: str, inputs: dict[int | str, Any] | None = None, **properties: Any
    ) -> Node:
        """Add a node; an input given a node's output is linked, anything else is set."""
        made = self.nodes.new(f"ShaderNode{kind}")
        for name, value in properties.items():
            setattr(made, name, value)
        for key, value in (inputs or {}).items():
            self.put(made.inputs[key], value)
        return made

    def put(self, socket: Any, value: Any) -> None:
        """Set or link one input."""
        if hasattr(value, "is_output"):
            self.material.node_tree.links.new(value, socket)
        else:
            socket.default_value = value

    def math(self, operation: str, a: Any, b: Any = 0.0) -> Any:
        """Return the output of a formula of two values."""
        return self.node("Math", {0: a, 1: b}, operation=operation).outputs[0]

    def mix(self, factor: Any, a: Any, b: Any, blend: str = "MIX") -> Any:
        """Return the output of a mix of two colours."""
        made = self.node("Mix", data_type="RGBA", blend_type=blend)
        for at, value in ((0, factor), (6, a), (7, b)):
            self.put(made.inputs[at], value)
        return made.outputs[2]

    def coordinates(self, name: str, scale: float = 1.0) -> Any:
        """Return texture coordinates (UV in metres, or Object) times ``scale``."""
        source = self.node("TexCoord").outputs[name]
        return self.node("Mapping", {"Vector": source, "Scale": (scale,) * 3}).outputs[0]

    def noise(
        self, scale: float, detail: float = 3.0, stretch: tuple[float, float, float] = (1, 1, 1)
    ) -> Any:
        """Return smooth noise in [0, 1] over the object."""
        at = self.node(
            "Mapping", {"Vector": self.node("TexCoord").outputs["Object"], "Scale": stretch}
        ).outputs[0]
        return self.node("TexNoise", {"Vector": at, "Scale": scale, "Detail": detail}).outputs[0]

    def bump(self, height: Any, distance: float, strength: float = 0.6) -> None:
        """Give the surface a relief."""
        self.put(
            self.bsdf.inputs["Normal"],
            self.node(
                "Bump", {"Height": height, "Distance": distance, "Strength": strength}
            ).outputs[0],
        )


def pattern_mask(tree: Tree, pattern: str, draw: Draw, extent: float) -> Any:
    """Return 0 where the first colour is and 1 where the second is; ``extent`` in metres."""
    period = extent / draw.pick("repeat", (4, 6, 8, 11))
    parts = tree.node("SeparateXYZ", {0: tree.coordinates("UV", 1 / period)}).outputs
    u, v = parts[0], parts[1]

    def bands(value: Any, share: float) -> Any:
        return tree.math("LESS_THAN", tree.math("FRACT", value), share)

    if pattern == "stripes":
        along = draw.pick("direction", (u, v, v))
        wide = bands(along, draw.pick("share", (0.25, 0.5, 0.5)))
        if draw.chance("pinstripe", 0.3):
            return tree.math("MAXIMUM", wide, bands(tree.math("ADD", along, 0.3), 0.06))
        return wide
    if pattern == "check":
        share = draw.pick("share", (0.5, 0.5, 0.2))
        return tree.math("MULTIPLY", tree.math("ADD", bands(u, share), bands(v, share)), 0.5)
    x = tree.math("SUBTRACT", tree.math("FRACT", u), 0.5)
    row = tree.math("MULTIPLY", tree.math("FLOOR", u), 0.5)  # every other row is shifted by half
    y = tree.math("SUBTRACT", tree.math("FRACT", tree.math("ADD", v, row)), 0.5)
    radius = tree.math(
        "SQRT", tree.math("ADD", tree.math("POWER", x, 2.0), tree.math("POWER", y, 2.0))
    )
    if pattern == "dots":
        return tree.math("LESS_THAN", radius, draw.between("dot", 0.18, 0.36))
    petals = draw.pick("petals", (3.0, 4.0, 5.0, 6.0, 8.0))
    turn = tree.math("MULTIPLY", tree.math("ARCTAN2", y, x), petals)
    lobes = tree.math(
        "ADD",
        tree.math("MULTIPLY", tree.math("COSINE", turn), draw.between("depth", 0.25, 0.5)),
        0.62,
    )
    flower = tree.math("LESS_THAN", radius, tree.math("MULTIPLY", lobes, 0.42))
    heart = tree.math("LESS_THAN", radius, 0.09)
    return tree.math("SUBTRACT", flower, heart)


def surface(tree: Tree, material: str, colour: Any, finish: str, extent: float) -> None:
    """Set up the surface of one material; ``colour`` is a value or an output."""
    ins = tree.bsdf.inputs
    rough = {"glossy": 0.12, "matt": 0.6, "polished": 0.16, "brushed": 0.34, "oiled": 0.5,
             "lacquered": 0.22, "clear": 0.02, "frosted": 0.35, "smooth": 0.35, "grained": 0.5,
             "woven": 0.9, "soft": 0.95}[finish]  # fmt: skip
    ins["Roughness"].default_value = rough
    if material == "wood":
        grain = tree.noise(7 / extent, 6, (1.0, 1.0, 0.12))
        rings = tree.node(
            "TexWave",
            {
                "Vector": tree.node("TexCoord").outputs["Object"],
                "Scale": 3.2 / extent,
                "Distortion": 5.0,
                "Detail": 3.0,
            },
        ).outputs[1]
        dark = tree.mix(1.0, colour, (0.5, 0.42, 0.36, 1), "MULTIPLY")
        colour = tree.mix(tree.math("MULTIPLY", tree.math("ADD", grain, rings), 0.42), colour, dark)
        ins["Coat Weight"].default_value = 0.6 if finish == "lacquered" else 0.0
    elif material == "metal":
        ins["Metallic"].default_value = 1.0
        if finish == "brushed":
            tree.bump(tree.noise(260 / extent, 2, (1, 1, 0.03)), extent * 0.002, 0.25)
        elif finish == "matt":  # powder-coated
            ins["Metallic"].default_value = 0.15
    elif material == "glass":
        ins["Transmission Weight"].default_value = 1.0
        ins["IOR"].default_value = 1.3  # thin walls: less bending than solid glass
    elif material == "fabric":
        ins["Sheen Weight"].default_value = 0.35 if finish == "soft" else 0.15
        weave = tree.node(
            "TexChecker", {"Vector": tree.coordinates("UV", 1.0), "Scale": 260 / extent}
        ).outputs[1]
        fuzz = tree.noise(140 / extent, 2)
        tree.bump(tree.math("ADD", weave, fuzz), extent * 0.004, 0.5)
        colour = tree.mix(
            tree.math("MULTIPLY", fuzz, 0.35),
            colour,
            tree.mix(1.0, colour, (0.6, 0.6, 0.6, 1), "MULTIPLY"),
        )
    elif material == "leather":
        cells = tree.node(
            "TexVoronoi", {"Vector": tree.node("TexCoord").outputs["Object"], "Scale": 90 / extent}
        ).outputs[0]
        tree.bump(cells, extent * 0.003, 0.5 if finish == "grained" else 0.15)
        colour = tree.mix(
            tree.math("MULTIPLY", tree.noise(6 / extent), 0.35),
            colour,
            tree.mix(1.0, colour, (0.55, 0.5, 0.48, 1), "MULTIPLY"),
        )
        ins["Coat Weight"].default_value = 0.15
    elif material == "ceramic" and finish == "glossy":
        ins["Coat Weight"].default_value = 0.7
    tree.put(ins["Base Color"], colour)


def of_product(product: Product, extent: float) -> dict[str, Any]:
    """Return the materials that a product's parts name; ``extent`` is its size in metres."""
    draw = Draw(product.family)
    shift = Draw(f"{product.family}/{product.colour}")

    def tone(name: str) -> Colour:
        values = rgb(PALETTE[name])
        bright = shift.between(("tone", name), 0.85, 1.15)
        return shaded(values, bright)

    first, second = tone(product.colour), tone(product.second)
    made = {}
    for slot, colour in (("main", first), ("plain", first), ("second", second)):
        tree = Tree(slot)
        value: Any = colour
        if slot == "main" and product.pattern != "plain":
            value = tree.mix(pattern_mask(tree, product.pattern, draw, extent), first, second)
        surface(tree, product.material, value, product.finish, extent)
        made[slot] = tree.material
    for slot, (material, name, finish) in FIXED.items():
        tree = Tree(slot)
        surface(tree, material, rgb(name), finish, extent)
        made[slot] = tree.material
    glow = Tree("glow")
    glow.bsdf.inputs["Emission Color"].default_value = (1.0, 0.78, 0.48, 1)
    glow.bsdf.inputs["Emission Strength"].default_value = 4.0
    made["glow"] = glow.material
    return made
