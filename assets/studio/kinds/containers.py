"""What holds other things: plant pots, baskets, bins."""

from __future__ import annotations

import numpy as np

from assets.studio.meshes import (
    ball,
    box,
    curve,
    disc,
    lathe,
    tube,
    vessel,
)
from assets.studio.model import Kind, Model
from assets.studio.shape import Shape

ALL = ("plain", "plain", "stripes", "dots", "check", "print")


def planter(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.08, 0.13)
    h = r * shape.between("tall", 1.1, 2.1)
    foot = shape.between("foot", 0.62, 1.05)
    model.add(
        vessel(
            [
                (r * foot * 0.97, 0),
                (r * foot, h * 0.04),
                (r * (1 + foot) / 2 * shape.between("belly", 0.98, 1.12), h * 0.5),
                (r, h),
            ],
            0.006,
            sides=shape.pick("sides", [0, 0, 0, 4, 6]),
        )
    )
    if shape.chance("rim", 0.4):
        model.add(
            lathe(
                curve(
                    [(r * 0.99, h * 0.86), (r * 1.09, h * 0.88), (r * 1.09, h * 0.98), (r * 1.0, h)]
                )
            ),
            "plain",
        )
    if shape.chance("stand", 0.3):
        for a in np.radians([45, 135, 225, 315]):
            model.add(
                tube(
                    [
                        (r * 1.05 * np.cos(a), r * 1.05 * np.sin(a), -h * 0.35),
                        (r * 1.02 * np.cos(a), r * 1.02 * np.sin(a), h * 0.5),
                    ],
                    0.008,
                ),
                "wood",
            )
    model.add(disc(r * 0.93, 0.01).moved(z=h * 0.88), "soil")
    plant = shape.pick("plant", ["leaves", "cactus", "grass", "none"])
    if plant == "cactus":
        c = r * 0.45
        model.add(ball(c, c, c * 2, 2.6).moved(z=h + c * 1.3), "leaf")
    elif plant != "none":
        count = 16 if plant == "leaves" else 30
        for at in range(count):
            a = at * 2.4
            out = r * shape.between(("out", at), 0.5, 1.5) * (1 if plant == "leaves" else 0.7)
            up = r * shape.between(("up", at), 0.9, 2.2)
            tip = (out * np.cos(a), out * np.sin(a), h + up)
            thick = (
                [0.004, r * 0.2, r * 0.16, 0.002]
                if plant == "leaves"
                else [0.005, 0.006, 0.004, 0.001]
            )
            model.add(
                tube(
                    [
                        (0.1 * tip[0], 0.1 * tip[1], h * 0.86),
                        (tip[0] * 0.4, tip[1] * 0.4, h + up * 0.7),
                        (tip[0] * 0.8, tip[1] * 0.8, h + up),
                        tip,
                    ],
                    thick,
                    8,
                    0.2,
                    5,
                ),
                "leaf",
            )


def basket(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.13, 0.2)
    h = r * shape.between("tall", 0.75, 1.7)
    foot = shape.between("foot", 0.78, 1.0)
    rows = int(h / 0.022)
    rope = shape.pick("weave", ["rope", "wicker"])
    band = shape.between("band", 0.25, 0.6) if shape.chance("two tones", 0.5) else 2.0
    for at in range(rows):
        t = at / (rows - 1)
        ring = r * (foot + (1 - foot) * t + 0.07 * np.sin(np.pi * t))
        wave = 0.0 if rope == "rope" else 0.006
        a = np.linspace(0, 2 * np.pi, 49)
        radius = ring + wave * np.cos(a * 24 + np.pi * (at % 2))
        model.add(
            tube(
                np.column_stack(
                    [radius * np.cos(a), radius * np.sin(a), np.full(49, 0.012 + t * h)]
                ),
                0.0125,
                8,
                steps=2,
            ),
            "second" if t > band else "main",
        )
    model.add(disc(r * foot, 0.012), "plain")
    if shape.chance("handles", 0.7):
        for side in (-1, 1):
            model.add(
                tube(
                    [
                        (side * r, -0.05, h * 0.95),
                        (side * r * 1.05, -0.04, h * 1.2),
                        (side * r * 1.05, 0.04, h * 1.2),
                        (side * r, 0.05, h * 0.95),
                    ],
                    0.011,
                ),
                shape.pick("handle material", ["plain", "leather", "second"]),
            )


def bin_(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.11, 0.15)
    h = shape.between("height", 0.24, 0.42)
    form = shape.pick("form", ["open", "pedal", "swing"])
    model.add(
        vessel(
            [(r * shape.between("foot", 0.78, 1.0), 0), (r * 0.97, h * 0.5), (r, h)],
            0.004,
            sides=shape.pick("sides", [0, 0, 4]),
        )
    )
    if form == "pedal":
        model.add(
            lathe(curve([(r * 1.03, h), (r * 0.95, h + r * 0.2), (1e-5, h + r * 0.32)])),
            shape.pick("lid", ["plain", "metal", "black"]),
        )
        model.add(box(r * 0.5, r * 0.5, 0.012).moved(0, -r, 0.01), "metal")
        model.add(lathe(curve([(r * 1.0, 0), (r * 1.03, 0.012), (r * 1.0, 0.024)])), "black")
    elif form == "swing":
        model.add(ball(r * 1.02, r * 1.02, r * 0.62).moved(z=h), "second")
    else:
        model.add(
            tube(
                [(r * np.cos(a), r * np.sin(a), h) for a in np.linspace(0, 2 * np.pi, 25)],
                0.006,
                8,
                steps=3,
            ),
            "plain",
        )


KINDS = (
    Kind(
        "planter",
        "Plant pots",
        ("planter", "plant pot", "flower pot"),
        ("ceramic", "ceramic", "metal", "plastic", "wood"),
        ALL,
        (12, 70),
        "table",
        planter,
    ),
    Kind(
        "basket",
        "Baskets",
        ("basket", "storage basket"),
        ("fabric", "plastic", "leather"),
        ("plain",),
        (15, 60),
        "floor",
        basket,
    ),
    Kind(
        "bin",
        "Bins",
        ("bin", "waste bin"),
        ("metal", "plastic"),
        ("plain", "plain", "stripes", "dots"),
        (14, 80),
        "floor",
        bin_,
    ),
)
