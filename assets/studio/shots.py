"""The two kinds of pictures: a shop's in the studio, and a customer's at home."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from assets.studio.kinds import KINDS
from assets.studio.meshes import disc
from assets.studio.products import Product
from assets.studio.room import add_cover, add_panorama, add_sun, add_things, build_room
from assets.studio.shape import Draw
from assets.studio.stage import add_area, aim, clear, extent_of, put, render, set_world, stand
from assets.studio.takes import Take, customer_take


def render_studio(product: Product, take: Take, size: int, samples: int, path: Path) -> None:
    """Render a product alone with its shadow on a transparent ground, as PNG."""
    clear(size, samples)
    points = stand(product)
    extent = extent_of(points)
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    bpy.context.scene.render.film_transparent = True
    set_world((1.0, 1.0, 1.0), 0.55)
    for at, power, side in (
        ((-1.6, -1.8, 2.4), 62, 1.8),
        ((2.0, -1.2, 1.6), 22, 2.4),
        ((0.2, 1.6, 2.6), 26, 1.2),
    ):
        add_area(np.array(at) * extent + middle, middle, power * extent**2, side * extent)
    if KINDS[product.kind].place != "hanging":
        ground = put(disc(60 * extent, 0.001).moved(z=-0.001 + points[:, 2].min()), None)
        ground.is_shadow_catcher = True
    aim(points, take)
    render(path)


def render_customer(
    product: Product, scene: str, draw: Draw, size: int, samples: int, path: Path
) -> None:
    """Render a product in somebody's home, as PNG."""
    clear(size, samples)
    place = KINDS[product.kind].place
    turn = draw.between("product turn", -70, 70) + (180 if draw.chance("behind", 0.12) else 0)
    points = stand(product, turn=0 if place == "wall" else turn)
    extent = extent_of(points)
    take = customer_take(product, scene, draw)
    light = {"dim": draw.between("light", 0.25, 0.5), "sunlit": 0.5}.get(
        scene, draw.between("light", 0.6, 1.3)
    )
    add_panorama(draw, light)
    if scene == "sunlit":
        add_sun(draw, draw.between("sun", 2.5, 6.0))
    elif draw.chance("lamp", 0.4):
        at = np.array(
            [
                draw.between("lamp x", -2, 2),
                -draw.between("lamp y", 0.5, 2),
                draw.between("lamp z", 1.5, 3),
            ]
        )
        warm = draw.pick("warm", ((1, 0.72, 0.45), (1, 0.86, 0.7), (1, 1, 1)))
        add_area(at * extent, points.mean(axis=0), light * 40 * extent**2, 0.5 * extent, warm)
    build_room(points, extent, place, scene, draw)
    if scene == "clutter" or draw.chance("things", 0.45):
        add_things(points, extent, draw, 5 if scene == "clutter" else 2, place)
    aim(points, take)
    if scene == "covered":
        add_cover(points, extent, take, draw)
    settings = bpy.context.scene.view_settings
    settings.view_transform = draw.pick("film", ("Standard", "Standard", "AgX"))
    render(path)
