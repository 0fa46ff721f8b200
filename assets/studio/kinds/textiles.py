"""Textiles: cushions, rugs, blankets."""

from __future__ import annotations

import numpy as np

from assets.studio.meshes import (
    ball,
    box,
    curve,
    disc,
    lathe,
    pillow,
    sheet,
    tube,
)
from assets.studio.model import Kind, Model
from assets.studio.shape import Shape

ALL = ("plain", "plain", "stripes", "dots", "check", "print")


def cushion(shape: Shape, model: Model) -> None:
    w = shape.between("wide", 0.4, 0.5)
    form = shape.pick("form", ["square", "square", "long", "round", "bolster"])
    plump = shape.between("plump", 0.13, 0.2)
    if form == "round":
        model.add(ball(w / 2, plump / 2, w / 2, 2.4).moved(z=w / 2))
        model.add(
            tube(
                [
                    (w * 0.5 * np.cos(a), 0, w / 2 + w * 0.5 * np.sin(a))
                    for a in np.linspace(0, 2 * np.pi, 25)
                ],
                0.008,
                8,
                steps=3,
            ),
            "second",
        )
        return
    if form == "bolster":
        r = w * 0.2
        model.add(
            lathe(
                curve(
                    [
                        (1e-5, 0),
                        (r * 0.9, 0.004),
                        (r, 0.03),
                        (r * 1.03, w * 0.5),
                        (r, w - 0.03),
                        (r * 0.9, w - 0.004),
                        (1e-5, w),
                    ]
                )
            )
            .moved(z=-w / 2)
            .turned("y", 90)
            .moved(z=r)
        )
        return
    d = w * (0.62 if form == "long" else 1.0)
    lean = shape.between("lean", 62, 76)
    parts = [(pillow(w, d, plump), "main")]
    trim = shape.pick("trim", ["none", "piping", "tassels", "buttons"])
    if trim == "piping":
        edge = [
            (sx * w / 2 * 0.985, sy * d / 2 * 0.985, plump / 2)
            for sx, sy in (
                (-1, -1),
                (0, -0.95),
                (1, -1),
                (0.95, 0),
                (1, 1),
                (0, 0.95),
                (-1, 1),
                (-0.95, 0),
                (-1, -1),
            )
        ]
        parts.append((tube(edge, 0.006, 8), "second"))
    elif trim == "tassels":
        for sx in (-1, 1):
            for sy in (-1, 1):
                parts.append(
                    (
                        tube(
                            [
                                (sx * w * 0.49, sy * d * 0.49, plump / 2),
                                (sx * w * 0.54, sy * d * 0.54, plump / 2),
                            ],
                            [0.006, 0.016],
                        ),
                        "second",
                    )
                )
    elif trim == "buttons":
        for x in (-0.18, 0, 0.18):
            parts.append((ball(0.014, 0.014, 0.008).moved(x * w, 0, plump * 0.99), "second"))
    for mesh, material in parts:
        model.add(
            mesh.moved(z=-plump / 2)
            .turned("x", lean)
            .moved(z=d / 2 * np.sin(np.radians(lean)) + 0.01),
            material,
        )


def rug(shape: Shape, model: Model) -> None:
    w = shape.between("wide", 0.55, 0.75)
    d = shape.between("deep", 0.38, 0.5)
    form = shape.pick("form", ["rectangle", "rectangle", "round", "oval"])
    if form == "rectangle":
        model.add(box(2 * w, 2 * d, 0.015, 0.006))
        if shape.chance("border", 0.5):
            b = shape.between("border wide", 0.03, 0.07)
            for sy in (-1, 1):
                model.add(box(2 * w, b, 0.019, 0.004).moved(y=sy * (d - b / 2)), "second")
            for sx in (-1, 1):
                model.add(box(b, 2 * d, 0.019, 0.004).moved(x=sx * (w - b / 2)), "second")
        if shape.chance("fringe", 0.5):
            for sx in (-1, 1):
                for y in np.linspace(-d * 0.97, d * 0.97, 26):
                    model.add(
                        tube([(sx * w, y, 0.008), (sx * (w + 0.07), y + 0.005, 0.004)], 0.006, 5),
                        "white",
                    )
        return
    squash = 1.0 if form == "round" else 0.68
    model.add(disc(w, 0.015).scaled(1, squash))
    for at in range(shape.pick("rings", [0, 1, 2, 3])):
        r = w * (0.96 - at * 0.22)
        model.add(
            tube(
                [
                    (r * np.cos(a), squash * r * np.sin(a), 0.014)
                    for a in np.linspace(0, 2 * np.pi, 33)
                ],
                0.02,
                8,
                0.25,
                3,
            ),
            "second",
        )


def blanket(shape: Shape, model: Model) -> None:
    w = shape.between("wide", 0.2, 0.28)
    d = shape.between("deep", 0.15, 0.2)
    folds = shape.pick("folds", [3, 4, 5])
    thick = shape.between("thick", 0.022, 0.034)
    path = []
    for at in range(folds):
        z = thick * (0.55 + at * 1.05)
        row = [(-d, z), (-d * 0.5, z), (d * 0.5, z), (d, z)]
        path += row if at % 2 == 0 else row[::-1]
        side = 1 if at % 2 == 0 else -1
        if at < folds - 1:
            path.append((side * (d + thick * 0.6), z + thick * 0.52))
    line = curve(path, 6)

    def place(u: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
        at = v * (len(line) - 1)
        y = np.interp(at, np.arange(len(line)), line[:, 0])
        z = np.interp(at, np.arange(len(line)), line[:, 1])
        return [(2 * u - 1) * w * (1 + 0.01 * np.sin(at)), y, z + 0.003 * np.sin(9 * u + at)]

    model.add(sheet(place, (2 * w, 2 * d * folds), (24, 160), solid=thick * 0.8))
    if shape.chance("fringe", 0.5):
        top = line[-1]
        for x in np.linspace(-w * 0.97, w * 0.97, 30):
            model.add(
                tube(
                    [(x, top[0], top[1]), (x, top[0] + np.sign(top[0]) * 0.03, top[1] - 0.02)],
                    0.004,
                    5,
                ),
                "second",
            )


KINDS = (
    Kind(
        "cushion",
        "Cushions",
        ("cushion", "throw pillow"),
        ("fabric", "fabric", "fabric", "leather"),
        (*ALL, "check"),
        (12, 50),
        "table",
        cushion,
    ),
    Kind(
        "rug",
        "Rugs",
        ("rug", "carpet"),
        ("fabric",),
        ("plain", "stripes", "check", "print", "dots"),
        (39, 320),
        "floor",
        rug,
    ),
    Kind(
        "blanket",
        "Blankets",
        ("blanket", "throw"),
        ("fabric",),
        ("plain", "stripes", "check", "check", "print"),
        (25, 110),
        "table",
        blanket,
    ),
)
