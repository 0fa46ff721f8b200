"""Leisure: headphones, speakers."""

from __future__ import annotations

from assets.studio.meshes import ball, disc, lathe, prism, rounded, tube
from assets.studio.model import Kind, Model
from assets.studio.shape import Shape


def headphones(shape: Shape, model: Model) -> None:
    r = shape.between("head", 0.075, 0.088)
    cup = shape.between("cup", 0.034, 0.046)
    form = shape.pick("form", ["round", "oval", "square"])
    flat = {"round": 1.0, "oval": 1.3, "square": 1.15}[form]
    power = 4.5 if form == "square" else 2.4
    z = cup * flat
    high = z + shape.between("tall", 0.1, 0.13)
    arch = [
        (-r, 0, z + 0.01),
        (-r * 1.02, 0, z + 0.05),
        (-r * 0.75, 0, high * 0.93),
        (0, 0, high + 0.012),
        (r * 0.75, 0, high * 0.93),
        (r * 1.02, 0, z + 0.05),
        (r, 0, z + 0.01),
    ]
    band = shape.pick("band", ["wide", "thin", "double"])
    if band == "double":
        for y in (-0.012, 0.012):
            model.add(tube([(a, y, c) for a, _, c in arch], 0.003), "metal")
    else:
        model.add(tube(arch, 0.017 if band == "wide" else 0.009, flat=0.35), "plain")
    pad = [(a * 0.96, b, c - 0.008) for a, b, c in arch[2:5]]
    model.add(tube(pad, 0.018, flat=0.5), shape.pick("pad", ["black", "second", "leather"]))
    for side in (-1, 1):
        model.add(ball(0.018, cup, cup * flat, power).moved(side * (r + 0.006), 0, z))
        model.add(
            ball(0.014, cup * 0.92, cup * flat * 0.92, power).moved(side * (r - 0.016), 0, z),
            "black",
        )
        if shape.chance("badge", 0.6):
            b = cup * shape.between("badge size", 0.35, 0.65)
            model.add(
                disc(b, 0.006).turned("y", side * 90).moved(side * (r + 0.022), 0, z),
                shape.pick("badge material", ["second", "metal", "white"]),
            )
    if shape.chance("microphone", 0.25):
        model.add(
            tube(
                [(-r, -0.02, z), (-r - 0.01, -0.07, z - 0.02), (-r * 0.7, -0.11, z - 0.025)],
                [0.003, 0.003, 0.007],
            ),
            "black",
        )


def speaker(shape: Shape, model: Model) -> None:
    form = shape.pick("form", ["box", "cylinder", "lying", "ball"])
    w = shape.between("wide", 0.06, 0.1)
    h = shape.between("high", 0.15, 0.28)
    if form == "cylinder":
        model.add(disc(w * 0.8, h, 0.012))
        model.add(
            lathe(
                [
                    (w * 0.81, h * 0.15),
                    (w * 0.815, h * 0.16),
                    (w * 0.815, h * 0.8),
                    (w * 0.81, h * 0.81),
                ]
            ),
            "second",
        )
        model.add(disc(w * 0.5, 0.006).moved(z=h), "black")
        if shape.chance("strap", 0.5):
            model.add(
                tube(
                    [
                        (w * 0.7, 0, h * 0.95),
                        (w * 1.2, 0, h * 1.1),
                        (w * 1.2, 0, h * 0.8),
                        (w * 0.75, 0, h * 0.75),
                    ],
                    0.005,
                ),
                "leather",
            )
    elif form == "lying":
        model.add(disc(w * 0.6, h * 1.1, 0.02).moved(z=-h * 0.55).turned("y", 90).moved(z=w * 0.6))
        for side in (-1, 1):
            model.add(
                disc(w * 0.5, 0.008).turned("y", side * 90).moved(side * h * 0.55, 0, w * 0.6),
                "second",
            )
        model.add(
            tube(
                [
                    (-h * 0.4, 0, w * 1.15),
                    (-h * 0.35, 0, w * 1.6),
                    (h * 0.35, 0, w * 1.6),
                    (h * 0.4, 0, w * 1.15),
                ],
                0.007,
            ),
            "black",
        )
    elif form == "ball":
        model.add(ball(w, w, w * 0.9, 2.4).moved(z=w * 0.9))
        model.add(disc(w * 0.62, 0.03).turned("x", 90).moved(0, -w * 0.78, w), "black")
        model.add(disc(w * 0.3, 0.03).turned("x", 90).moved(0, -w * 0.82, w), "metal")
    else:
        d = w * 0.9
        model.add(
            prism(rounded(2 * w, h, shape.between("corner", 0.006, 0.04)), 2 * d, 0.006).moved(
                z=h / 2
            )
        )
        cones = shape.pick("cones", [1, 2])
        for at in range(cones):
            c = min(w, h / 2 / cones) * (0.78 if at == 0 else 0.5)
            z = h * (0.5 if cones == 1 else (0.32, 0.75)[at])
            model.add(disc(c, 0.01).turned("x", 90).moved(0, -d, z), "black")
            model.add(
                disc(c * 0.85, 0.012).turned("x", 90).moved(0, -d, z),
                shape.pick("cone", ["rubber", "second", "metal"]),
            )
            model.add(ball(c * 0.3, 0.012, c * 0.3).moved(0, -d - 0.012, z), "black")


KINDS = (
    Kind(
        "headphones",
        "Headphones",
        ("headphones", "headset"),
        ("plastic", "plastic", "metal"),
        ("plain",),
        (29, 260),
        "table",
        headphones,
    ),
    Kind(
        "speaker",
        "Speakers",
        ("speaker", "loudspeaker"),
        ("plastic", "wood", "fabric"),
        ("plain",),
        (35, 220),
        "table",
        speaker,
    ),
)
