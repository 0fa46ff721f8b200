"""Lighting: table lamps, floor lamps, pendant lamps."""

from __future__ import annotations

import numpy as np

from assets.studio.meshes import ball, curve, disc, lathe, tube
from assets.studio.model import Kind, Model
from assets.studio.shape import Shape

ALL = ("plain", "plain", "stripes", "dots", "check", "print")


def shade(shape: Shape, model: Model, r: float, z: float) -> float:
    """Add a lamp shade whose lower edge is at z, and return its height."""
    form = shape.pick("shade", ["drum", "cone", "bell", "dome"])
    h = r * shape.between("shade tall", 0.9, 1.5)
    top = {"drum": 0.92, "cone": 0.45, "bell": 0.5, "dome": 0.12}[form]
    middle = {"drum": 0.96, "cone": 0.72, "bell": 0.6, "dome": 0.8}[form]
    line = curve([(r, z), (r * middle, z + h * 0.55), (r * top, z + h)])
    model.add(lathe(np.vstack([line, (line - [0.004, 0])[::-1]])))
    model.add(ball(r * 0.22, r * 0.22, r * 0.28).moved(z=z + h * 0.3), "glow")
    return h


def table_lamp(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.1, 0.16)
    h = shape.between("height", 0.18, 0.34)
    base = shape.pick("base", ["vase", "column", "ball", "tripod", "stack"])
    tone = shape.pick("base material", ["wood", "metal", "second", "white", "plain"])
    if base == "vase":
        model.add(
            lathe(
                np.vstack(
                    [
                        [[1e-5, 0]],
                        curve(
                            [
                                (0.06, 0),
                                (0.05, 0.015),
                                (shape.between("belly", 0.06, 0.1), h * 0.35),
                                (0.03, h * 0.75),
                                (0.018, h),
                            ]
                        ),
                    ]
                )
            ),
            tone,
        )
    elif base == "column":
        model.add(disc(0.075, 0.02), tone)
        model.add(tube([(0, 0, 0), (0, 0, h)], shape.between("stem", 0.006, 0.02)), tone)
    elif base == "ball":
        b = h * 0.36
        model.add(ball(b, b, b).moved(z=b), tone)
        model.add(tube([(0, 0, b), (0, 0, h)], 0.01), "metal")
    elif base == "tripod":
        for a in np.radians([90, 210, 330]):
            model.add(
                tube(
                    [
                        (0.11 * np.cos(a), 0.11 * np.sin(a), 0),
                        (0.01 * np.cos(a), 0.01 * np.sin(a), h),
                    ],
                    0.009,
                ),
                tone,
            )
    else:
        for at in range(3):
            b = h / 6
            model.add(
                ball(b * (1.25 - at * 0.2), b * (1.25 - at * 0.2), b).moved(z=b * (2 * at + 1)),
                tone,
            )
    shade(shape, model, r, h * 0.95)


def floor_lamp(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.15, 0.25)
    h = shape.between("height", 1.15, 1.45)
    base = shape.pick("base", ["disc", "tripod", "arc"])
    tone = shape.pick("base material", ["wood", "metal", "black", "white"])
    if base == "tripod":
        for a in np.radians([90, 210, 330]):
            model.add(
                tube(
                    [
                        (0.3 * np.cos(a), 0.3 * np.sin(a), 0),
                        (0.02 * np.cos(a), 0.02 * np.sin(a), h),
                    ],
                    0.014,
                ),
                tone,
            )
        shade(shape, model, r, h * 0.97)
        return
    model.add(disc(shape.between("foot", 0.13, 0.18), 0.025), tone)
    if base == "disc":
        model.add(tube([(0, 0, 0), (0, 0, h)], shape.between("stem", 0.009, 0.018)), tone)
        shade(shape, model, r, h * 0.97)
        return
    reach = shape.between("reach", 0.35, 0.6)
    model.add(
        tube(
            [
                (0, 0, 0),
                (0, 0, h * 0.75),
                (reach * 0.3, 0, h * 1.12),
                (reach * 0.85, 0, h * 1.12),
                (reach, 0, h),
            ],
            0.012,
        ),
        tone,
    )
    hood = Model()
    shade(shape, hood, r * 0.75, h * 0.85)
    for mesh, material in hood.parts:
        model.add(mesh.moved(x=reach), material)


def pendant(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.13, 0.24)
    h = shade(shape, model, r, 0.0)
    model.add(tube([(0, 0, h * 0.9), (0, 0, h + shape.between("cord", 0.12, 0.3))], 0.004), "black")
    model.add(disc(0.03, 0.04).moved(z=h * 0.97), shape.pick("cap", ["metal", "wood", "black"]))
    if shape.chance("ring", 0.4):
        model.add(tube([(r * np.cos(a), r * np.sin(a), 0) for a in np.linspace(0, 2 * np.pi, 25)],
                       0.006, 8, steps=3), "metal")  # fmt: skip


KINDS = (
    Kind(
        "table lamp",
        "Table lamps",
        ("table lamp", "desk lamp", "lamp"),
        ("fabric", "fabric", "metal", "glass"),
        ALL,
        (29, 120),
        "table",
        table_lamp,
    ),
    Kind(
        "floor lamp",
        "Floor lamps",
        ("floor lamp", "standing lamp"),
        ("fabric", "fabric", "metal"),
        ALL,
        (59, 240),
        "floor",
        floor_lamp,
    ),
    Kind(
        "pendant lamp",
        "Pendant lamps",
        ("pendant lamp", "hanging lamp", "ceiling lamp"),
        ("metal", "metal", "glass", "fabric"),
        ALL,
        (35, 190),
        "hanging",
        pendant,
    ),
)
