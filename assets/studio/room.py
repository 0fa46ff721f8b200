"""A customer's home around a product: light, ground, walls, other things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np

from assets.studio.kinds import KINDS
from assets.studio.materials import Tree, rgb, shaded
from assets.studio.meshes import box
from assets.studio.products import assortment
from assets.studio.shape import Draw
from assets.studio.stage import add_area, extent_of, put, set_world, stand
from assets.studio.takes import Take

# CC0 panoramas that come with Blender; they light the customers' homes.
_WORLDS = ("interior", "interior", "courtyard", "city", "forest", "sunset", "sunrise", "studio")
_CLUTTER = ("mug", "bowl", "bottle", "jar", "vase", "candle", "planter", "toy car", "speaker",
            "basket")  # fmt: skip
_ROOM = ("#d8d2c6", "#e9e6df", "#b8b2a6", "#9fa8a3", "#c9b8a0", "#7d8791", "#a9b7ba", "#e3d3c5",
         "#6d6259", "#c4a98a", "#8f5f3d", "#5c4130", "#d6b98f", "#b9bcc0", "#8b9a7b")  # fmt: skip


def add_panorama(draw: Draw, strength: float) -> None:
    """Light the scene by the view from some place."""
    tree = set_world((1, 1, 1), strength).node_tree
    name = draw.pick("world", _WORLDS)
    folder = Path(bpy.utils.system_resource("DATAFILES")) / "studiolights" / "world"
    image = tree.nodes.new("ShaderNodeTexEnvironment")
    image.image = bpy.data.images.load(str(folder / f"{name}.exr"), check_existing=True)
    turn = tree.nodes.new("ShaderNodeMapping")
    turn.inputs["Rotation"].default_value = (0, 0, draw.between("world turn", 0, 6.28))
    source = tree.nodes.new("ShaderNodeTexCoord")
    tree.links.new(source.outputs["Generated"], turn.inputs[0])
    tree.links.new(turn.outputs[0], image.inputs[0])
    tree.links.new(image.outputs[0], tree.nodes["Background"].inputs[0])


def add_sun(draw: Draw, power: float) -> None:
    """Add sunlight with hard shadows; ``power`` in watts per square metre."""
    data = bpy.data.lights.new("sun", "SUN")
    data.energy, data.angle = power, 0.02
    made = bpy.data.objects.new("sun", data)
    made.rotation_euler = (
        np.radians(draw.between("sun high", 25, 62)),
        0,
        np.radians(draw.between("sun side", -100, 100)),
    )
    bpy.context.scene.collection.objects.link(made)


def _ground(name: str, draw: Draw, extent: float) -> Any:
    """Return a material for a floor, a table or a wall."""
    tree = Tree(name)
    colour = rgb(draw.pick((name, "colour"), _ROOM))
    other = shaded(colour, draw.between((name, "other"), 0.45, 0.8))
    form = draw.pick((name, "form"), ("planks", "tiles", "stone", "carpet", "plain", "cloth"))
    at = tree.coordinates("UV", 1 / extent)
    rough = 0.5
    value: Any = colour
    if form == "planks":
        bricks = tree.node(
            "TexBrick",
            {
                "Vector": at,
                "Color1": colour,
                "Color2": other,
                "Mortar": shaded(colour, 0.3),
                "Scale": draw.between((name, "scale"), 0.5, 1.4),
                "Mortar Size": 0.008,
                "Row Height": 0.18,
                "Brick Width": 1.6,
            },
        )
        value = tree.mix(
            tree.math("MULTIPLY", tree.noise(9 / extent, 5, (0.1, 1, 1)), 0.5),
            bricks.outputs[0],
            other,
        )
        rough = 0.4
    elif form == "tiles":
        value = tree.node(
            "TexBrick",
            {
                "Vector": at,
                "Color1": colour,
                "Color2": colour,
                "Mortar": other,
                "Scale": draw.between((name, "scale"), 0.6, 2.0),
                "Mortar Size": 0.012,
                "Row Height": 0.5,
                "Brick Width": 0.5,
            },
            offset=0.0,
        ).outputs[0]
        rough = 0.25
    elif form == "stone":
        value = tree.mix(
            tree.noise(draw.between((name, "scale"), 1.5, 6) / extent, 8), colour, other
        )
        rough = 0.3
    elif form in ("carpet", "cloth"):
        fuzz = tree.noise((70 if form == "carpet" else 160) / extent, 4)
        value = tree.mix(fuzz, colour, other)
        if form == "cloth" and draw.chance((name, "check"), 0.5):
            check = tree.node(
                "TexChecker",
                {
                    "Vector": at,
                    "Color1": colour,
                    "Color2": other,
                    "Scale": draw.between((name, "squares"), 3, 9),
                },
            )
            value = check.outputs[0]
        tree.bump(fuzz, extent * 0.01)
        rough = 0.95
    tree.bsdf.inputs["Roughness"].default_value = rough
    tree.put(tree.bsdf.inputs["Base Color"], value)
    return tree.material


def build_room(points: np.ndarray, extent: float, place: str, scene: str, draw: Draw) -> None:
    """Build what the product stands on, and perhaps walls."""
    low, high = points.min(axis=0), points.max(axis=0)
    if scene == "shelf" and place == "table":
        board = _ground("board", draw, extent)
        wide = extent * draw.between("shelf wide", 1.4, 2.6)
        deep = (high[1] - low[1]) * 0.5 + extent * 0.25
        for z in (-0.05 * extent, high[2] + extent * draw.between("shelf high", 0.25, 0.7)):
            put(box(2 * wide, 2 * deep, 0.05 * extent).moved(z=z), board)
        put(
            box(2 * wide, 0.02 * extent, extent * 6).moved(y=deep, z=-3 * extent),
            _ground("back", draw, extent),
        )
        add_area(
            points.mean(axis=0) + np.array([0, -3, 1]) * extent,
            points.mean(axis=0),
            60 * extent**2,
            extent,
        )
        return
    floor = low[2] - (extent * draw.between("hang", 0.8, 2.5) if place == "hanging" else 0.0)
    if place == "table" and scene != "floor":
        put(
            box(
                extent * draw.between("table wide", 2.6, 6),
                extent * draw.between("table deep", 2.2, 4.4),
                0.08 * extent,
            ).moved(y=extent * draw.between("table at", -0.3, 0.7), z=floor - 0.08 * extent),
            _ground("table", draw, extent),
        )
        put(
            box(40 * extent, 40 * extent, 0.01).moved(z=floor - 4 * extent),
            _ground("floor", draw, 4 * extent),
        )
    else:
        put(
            box(40 * extent, 40 * extent, 0.01).moved(z=floor - 0.01),
            _ground("floor", draw, extent),
        )
    if place == "wall" or draw.chance("wall", 0.6):
        y = high[1] + (0.002 if place == "wall" else extent * draw.between("wall at", 0.2, 2.5))
        tilt = 0 if place == "wall" else draw.between("wall turn", -25, 25)
        put(
            box(40 * extent, 0.01, 30 * extent).moved(y=y + 0.005, z=-5 * extent).turned("z", tilt),
            _ground("wall", draw, extent * 2),
        )


def add_things(points: np.ndarray, extent: float, draw: Draw, count: int, place: str) -> None:
    """Put other things beside and behind the product."""
    middle = points.mean(axis=0)
    radius = float(np.hypot(*(points[:, :2] - middle[:2]).T).max())
    taken = [(0.0, 0.0, radius)]
    for at in range(count):
        kind = KINDS[draw.pick(("thing", at), _CLUTTER)]
        thing = assortment(f"clutter/{draw.name}/{at}", [kind], 1)[0]
        size = extent * draw.between(("thing size", at), 0.3, 0.75)
        own = thing.model().points()
        scale = size / extent_of(own)
        own_radius = float(np.hypot(*own[:, :2].T).max()) * scale
        angle = np.radians(draw.between(("thing angle", at), -30, 210))  # not before the product
        away = (radius + own_radius) * draw.between(("thing away", at), 1.05, 1.7)
        x, y = away * np.cos(angle), away * np.sin(angle)
        if place == "wall" and y > 0:
            continue
        if all(np.hypot(x - a, y - b) > own_radius + r for a, b, r in taken):
            taken.append((x, y, own_radius))
            stand(
                thing,
                scale,
                (middle[0] + x, middle[1] + y),
                draw.between(("thing turn", at), 0, 360),
            )


def add_cover(points: np.ndarray, extent: float, take: Take, draw: Draw) -> None:
    """Put something between the camera and a part of the product."""
    a = np.radians(take.azimuth)
    toward, side = np.array([np.sin(a), -np.cos(a)]), np.array([np.cos(a), np.sin(a)])
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    radius = float(np.hypot(*(points[:, :2] - middle[:2]).T).max())
    thing = assortment(f"cover/{draw.name}", [KINDS[draw.pick("cover", _CLUTTER)]], 1)[0]
    own = thing.model().points()
    scale = extent * draw.between("cover size", 0.35, 0.55) / extent_of(own)
    own_radius = float(np.hypot(*own[:, :2].T).max()) * scale
    hand = draw.pick("cover side", (-1, 1)) * radius * draw.between("cover at", 0.35, 0.75)
    at = middle[:2] + toward * (radius + own_radius) * 1.05 + side * hand
    stand(thing, scale, (float(at[0]), float(at[1])), draw.between("cover turn", 0, 360))
