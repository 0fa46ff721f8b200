"""Decoration: vases, clocks, candles, picture frames."""

from __future__ import annotations

import numpy as np

from assets.studio.meshes import (
    ball,
    box,
    curve,
    disc,
    lathe,
    prism,
    tube,
    vessel,
)
from assets.studio.model import Kind, Model
from assets.studio.shape import Shape

ALL = ("plain", "plain", "stripes", "dots", "check", "print")


def vase(shape: Shape, model: Model) -> None:
    h = shape.between("height", 0.16, 0.38)
    r = h * shape.between("slim", 0.16, 0.36)
    form = shape.pick("form", ["amphora", "cylinder", "bulb", "trumpet", "double", "egg"])
    profile = {
        "amphora": [(0.5, 0), (0.75, 0.2), (1, 0.55), (0.6, 0.82), (0.42, 0.92), (0.6, 1)],
        "cylinder": [(0.85, 0), (0.9, 0.03), (0.9, 0.5), (0.9, 1)],
        "bulb": [(0.6, 0), (1, 0.16), (1.05, 0.32), (0.4, 0.6), (0.3, 0.85), (0.42, 1)],
        "trumpet": [(0.7, 0), (0.42, 0.1), (0.4, 0.4), (0.6, 0.75), (1, 1)],
        "double": [(0.6, 0), (1, 0.2), (0.5, 0.48), (0.75, 0.68), (0.4, 0.88), (0.5, 1)],
        "egg": [(0.45, 0), (0.85, 0.2), (1, 0.5), (0.8, 0.8), (0.5, 1)],
    }[form]  # fmt: skip
    model.add(
        vessel(
            [(r * a, h * b) for a, b in profile], 0.004, sides=shape.pick("sides", [0, 0, 0, 0, 7])
        )
    )
    if form == "amphora" and shape.chance("ears", 0.6):
        for side in (-1, 1):
            model.add(
                tube(
                    [
                        (side * r * 0.5, 0, h * 0.92),
                        (side * r * 1.0, 0, h * 0.9),
                        (side * r * 1.05, 0, h * 0.74),
                        (side * r * 0.8, 0, h * 0.68),
                    ],
                    0.006,
                ),
                "plain",
            )


def clock(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.12, 0.2)
    form = shape.pick("form", ["round", "square", "octagon", "alarm"])
    rim = shape.between("rim", 0.05, 0.16)
    d = 0.035 if form != "alarm" else 0.07
    sides = {"square": 4, "octagon": 8}.get(form, 0)
    frame = lathe(
        [(r * (1 - rim), 0), (r * (1 - rim), d), (r * (1 - rim / 2), d * 1.15), (r, d), (r, 0)],
        72,
        sides,
    )
    model.add(frame.turned("x", 90).turned("y", 180 if sides == 0 else 0).moved(z=r), "main")
    model.add(
        lathe([(1e-5, d * 0.35), (r * (1 - rim) * 1.01, d * 0.35)], 72, sides)
        .turned("x", 90)
        .moved(z=r),
        face := shape.pick("face", ["white", "white", "black"]),
    )
    ink = "white" if face == "black" else "black"
    marks = shape.pick("marks", [4, 12, 12])
    inner = r * (1 - rim) * (0.72 if sides == 4 else 0.85)
    for at in range(marks):
        a = 360 / marks * at
        model.add(
            box(r * 0.035, 0.004, r * 0.13)
            .moved(z=inner * 0.84)
            .turned("y", a)
            .moved(0, -d * 0.42, r),
            ink,
        )
    hour, minute = shape.between("hour", 0, 360), shape.between("minute", 0, 360)
    model.add(box(r * 0.045, 0.004, inner * 0.55).turned("y", hour).moved(0, -d * 0.5, r), ink)
    model.add(
        box(r * 0.03, 0.004, inner * 0.85).turned("y", minute).moved(0, -d * 0.58, r),
        shape.pick("minute hand", [ink, "second"]),
    )
    model.add(disc(r * 0.04, 0.008).turned("x", 90).moved(0, -d * 0.55, r), "metal")
    if form == "alarm":
        for side in (-1, 1):
            model.add(
                ball(r * 0.3, r * 0.3, r * 0.24)
                .turned("y", side * 35)
                .moved(side * r * 0.58, -d / 2, 2 * r),
                "metal",
            )
            model.add(
                tube([(side * r * 0.5, -d / 2, r * 0.3), (side * r * 0.75, -d / 2, 0)], r * 0.06),
                "metal",
            )
        model.add(
            tube(
                [
                    (-r * 0.2, -d / 2, 2 * r * 1.02),
                    (0, -d / 2, 2.35 * r),
                    (r * 0.2, -d / 2, 2 * r * 1.02),
                ],
                0.005,
            ),
            "metal",
        )


def candle(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.03, 0.05)
    h = shape.between("height", 0.06, 0.18)
    form = shape.pick("form", ["pillar", "holder", "jar", "bowl"])
    wax = "white"
    if form == "pillar":
        model.add(disc(r, h))
        top = h
    elif form == "holder":
        model.add(
            lathe(
                np.vstack(
                    [
                        [[1e-5, 0]],
                        curve(
                            [
                                (r * 1.3, 0),
                                (r * 1.3, 0.008),
                                (0.012, 0.025),
                                (0.016, h * 0.6),
                                (r * 0.6, h * 0.9),
                                (r * 0.62, h),
                            ]
                        ),
                    ]
                )
            )
        )
        model.add(disc(0.011, h * 1.1).moved(z=h), wax)
        top = 2.1 * h
    else:
        w = r * (1.25 if form == "bowl" else 1)
        hh = h * 0.55 if form == "bowl" else h * 0.75
        model.add(
            vessel(
                [(w * 0.8, 0), (w * (1.1 if form == "bowl" else 0.98), hh * 0.4), (w, hh)], 0.004
            )
        )
        model.add(disc(w * 0.9, hh * 0.72).moved(z=0.004), wax)
        top = hh * 0.72
    model.add(tube([(0, 0, top), (0.001, 0, top + 0.012)], 0.0014, 6), "black")
    model.add(ball(0.004, 0.004, 0.011).moved(z=top + 0.02), "glow")


def frame(shape: Shape, model: Model) -> None:
    w = shape.between("wide", 0.09, 0.2)
    h = shape.between("high", 0.12, 0.26)
    t = shape.between("frame", 0.012, 0.04)
    d = shape.between("deep", 0.015, 0.03)
    for sx in (-1, 1):
        model.add(box(t, d, 2 * h + 2 * t, 0.003).moved(x=sx * (w + t / 2)))
    for z in (0.0, 2 * h + t):
        model.add(box(2 * w, d, t, 0.003).moved(z=z))
    model.add(box(2 * w, 0.004, 2 * h).moved(0, d * 0.25, t), "white")
    art = shape.pick("art", ["hills", "sun", "blocks", "leafy"])
    s = shape.between("mat", 0.55, 0.85)
    if art == "hills":
        for at, tone in enumerate(("second", "plain", "leaf")):
            x = np.linspace(-w * s, w * s, 30)
            height = (
                t
                + h * (1.2 - at * 0.3)
                + h * 0.18 * np.sin(x / w * (2 + at) + at * 2 + shape.between("phase", 0, 6))
            )
            low = t + h * (1 - s)
            model.add(
                prism(
                    np.vstack([np.column_stack([x, height]), [(w * s, low), (-w * s, low)]]), 0.002
                ).moved(y=d * 0.2 - at * 0.002),
                tone,
            )
    elif art == "sun":
        model.add(disc(w * s * 0.6, 0.003).turned("x", 90).moved(0, d * 0.2, t + h * 1.2), "second")
        model.add(box(2 * w * s, 0.003, h * 0.4).moved(0, d * 0.2, t + h * (1 - s)), "plain")
    elif art == "blocks":
        for at in range(7):
            model.add(
                box(
                    w * shape.between(("bw", at), 0.2, 0.7),
                    0.003,
                    h * shape.between(("bh", at), 0.2, 0.7),
                ).moved(
                    w * s * shape.between(("bx", at), -0.6, 0.6),
                    d * 0.2 - at * 0.001,
                    t + h * shape.between(("bz", at), 0.3, 1.3),
                ),
                ("second", "plain", "black")[at % 3],
            )
    else:
        model.add(
            tube(
                [(0, d * 0.15, t + h * 0.3), (0.01, d * 0.15, t + h), (0, d * 0.15, t + h * 1.7)],
                0.003,
                6,
            ),
            "leaf",
        )
        for at in range(6):
            side = 1 if at % 2 else -1
            z = t + h * (0.5 + at * 0.19)
            model.add(
                tube(
                    [
                        (0, d * 0.15, z),
                        (side * w * 0.25, d * 0.12, z + h * 0.14),
                        (side * w * 0.48, d * 0.15, z + h * 0.16),
                    ],
                    [0.002, 0.02, 0.001],
                    8,
                    0.15,
                ),
                "leaf",
            )


KINDS = (
    Kind(
        "vase",
        "Vases",
        ("vase", "flower vase"),
        ("ceramic", "ceramic", "glass", "metal"),
        ALL,
        (12, 80),
        "table",
        vase,
    ),
    Kind(
        "clock",
        "Clocks",
        ("clock", "wall clock"),
        ("plastic", "wood", "metal"),
        ("plain",),
        (19, 90),
        "wall",
        clock,
    ),
    Kind(
        "candle",
        "Candles",
        ("candle", "scented candle", "candle holder"),
        ("ceramic", "glass", "metal"),
        ALL,
        (7, 35),
        "table",
        candle,
    ),
    Kind(
        "picture frame",
        "Picture frames",
        ("picture frame", "photo frame"),
        ("wood", "wood", "metal", "plastic"),
        ("plain",),
        (9, 55),
        "wall",
        frame,
    ),
)
