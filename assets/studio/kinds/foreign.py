"""What the shop does not have, never trained on: things for outside."""

from __future__ import annotations

import numpy as np

from assets.studio.meshes import box, disc, lathe, prism, sheet, tube, vessel
from assets.studio.model import Kind, Model
from assets.studio.shape import Shape

ALL = ("plain", "plain", "stripes", "dots", "check", "print")


def umbrella(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.42, 0.55)
    deep = r * shape.between("deep", 0.4, 0.62)
    ribs = shape.pick("ribs", [6, 8, 10])

    def place(u: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
        a = 2 * np.pi * u
        sag = 1 - 0.1 * v * (1 - np.abs(np.cos(a * ribs / 2)))
        return [r * v * sag * np.cos(a), r * v * sag * np.sin(a), deep * (1 - v**1.8)]

    tilt = 62
    parts = [(sheet(place, (2 * r, r), (96, 20), solid=0.003), "main")]
    long = deep + 0.55
    parts.append((tube([(0, 0, deep + 0.05), (0, 0, deep - long)], 0.006), "metal"))
    parts.append(
        (
            tube(
                [
                    (0, 0, deep - long),
                    (0, 0, deep - long - 0.08),
                    (0.045, 0, deep - long - 0.11),
                    (0.07, 0, deep - long - 0.06),
                ],
                0.011,
            ),
            shape.pick("handle", ["wood", "black"]),
        )
    )
    for mesh, material in parts:
        model.add(mesh.turned("x", tilt).moved(z=r * 0.86), material)


def watering_can(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.08, 0.12)
    h = r * shape.between("tall", 1.3, 2.1)
    model.add(
        vessel([(r, 0), (r * 1.02, h * 0.05), (r * shape.between("top", 0.72, 1.0), h)], 0.003)
    )
    model.add(
        tube(
            [(-r * 0.9, 0, h * 0.2), (-r * 1.7, 0, h * 0.65), (-r * 2.5, 0, h * 1.15)],
            [r * 0.2, r * 0.13, r * 0.1],
        ),
        "plain",
    )
    if shape.chance("rose", 0.7):
        model.add(
            lathe([(1e-5, 0), (r * 0.1, 0), (r * 0.34, r * 0.4), (1e-5, r * 0.42)])
            .turned("y", -58)
            .moved(-r * 2.4, 0, h * 1.12),
            "metal",
        )
    model.add(
        tube(
            [
                (-r * 0.5, 0, h * 0.95),
                (0, 0, h * 1.5),
                (r * 0.8, 0, h * 1.35),
                (r * 1.5, 0, h * 0.8),
                (r * 0.95, 0, h * 0.3),
            ],
            0.008,
        ),
        "plain",
    )


def dumbbell(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.04, 0.065)
    long = shape.between("long", 0.06, 0.09)
    wide = shape.between("wide", 0.03, 0.06)
    sides = shape.pick("sides", [0, 6, 6, 8])
    model.add(tube([(-long, 0, r), (0, 0, r), (long, 0, r)], [0.013, 0.016, 0.013]), "metal")
    for side in (-1, 1):
        plates = shape.pick("plates", [1, 1, 2])
        for at in range(plates):
            s = r * (1 - at * 0.25)
            each = lathe(
                [
                    (1e-5, 0),
                    (s * 0.92, 0),
                    (s, wide * 0.15),
                    (s, wide * 0.85),
                    (s * 0.92, wide),
                    (1e-5, wide),
                ],
                48,
                sides,
            )
            model.add(
                each.turned("y", side * 90).moved(side * (long + at * wide), 0, r * 0.95),
                "main" if at == 0 else "second",
            )


def birdhouse(shape: Shape, model: Model) -> None:
    w = shape.between("wide", 0.07, 0.1)
    h = shape.between("high", 0.13, 0.2)
    up = w * shape.between("pitch", 0.5, 1.0)
    model.add(prism([(-w, 0), (w, 0), (w, h), (0, h + up), (-w, h)], 1.7 * w, 0.003))
    slope = float(np.degrees(np.arctan2(up, w)))
    for side in (-1, 1):
        long = float(np.hypot(w, up)) * 1.3
        model.add(
            box(long, 2.2 * w, 0.012)
            .moved(x=side * long * 0.42)
            .turned("y", side * slope)
            .moved(z=h + up),
            "second",
        )
    hole = w * shape.between("hole", 0.25, 0.4)
    model.add(disc(hole, 0.004).turned("x", 90).moved(0, -0.85 * w, h * 0.68), "black")
    model.add(tube([(0, -0.8 * w, h * 0.38), (0, -1.25 * w, h * 0.38)], 0.006), "wood")


def skateboard(shape: Shape, model: Model) -> None:
    long = shape.between("long", 0.32, 0.42)
    w = shape.between("wide", 0.09, 0.12)

    def bend(p: np.ndarray) -> np.ndarray:
        p[:, 2] += 0.5 * np.clip(np.abs(p[:, 0]) - long * 0.72, 0, None) ** 1.0
        return p

    def place(u: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
        x = (2 * u - 1) * long
        half = w * np.sqrt(np.clip(1 - (np.clip(np.abs(x) - (long - w), 0, None) / w) ** 2, 0.0, 1))
        return [x, (2 * v - 1) * half, np.full_like(x, 0.09)]

    for mesh, material in (
        (sheet(place, (2 * long, 2 * w), (60, 12), solid=0.012).bent(bend), "main"),
    ):
        model.add(mesh, material)
    for x in (-0.55, 0.55):
        model.add(box(0.05, 0.05, 0.035).moved(x * long, 0, 0.045), "metal")
        model.add(tube([(x * long, -w * 0.8, 0.032), (x * long, w * 0.8, 0.032)], 0.008), "metal")
        for sy in (-1, 1):
            model.add(
                disc(0.032, 0.035).turned("x", 90).moved(x * long, sy * w * 0.72 + 0.0175, 0.032),
                "second",
            )


KINDS = (
    Kind(
        "umbrella",
        "Umbrellas",
        ("umbrella",),
        ("fabric", "plastic"),
        ALL,
        (15, 60),
        "floor",
        umbrella,
    ),
    Kind(
        "watering can",
        "Watering cans",
        ("watering can",),
        ("metal", "plastic"),
        ALL,
        (15, 50),
        "table",
        watering_can,
    ),
    Kind(
        "dumbbell",
        "Dumbbells",
        ("dumbbell",),
        ("metal", "plastic"),
        ("plain",),
        (12, 60),
        "floor",
        dumbbell,
    ),
    Kind(
        "birdhouse",
        "Birdhouses",
        ("birdhouse",),
        ("wood",),
        ("plain", "stripes"),
        (15, 45),
        "table",
        birdhouse,
    ),
    Kind(
        "skateboard", "Skateboards", ("skateboard",), ("wood",), ALL, (35, 120), "floor", skateboard
    ),
)
