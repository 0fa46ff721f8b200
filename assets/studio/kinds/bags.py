"""Bags: totes, backpacks, suitcases, handbags."""

from __future__ import annotations

import numpy as np

from assets.studio.meshes import ball, box, disc, prism, rounded, sheet, tube
from assets.studio.model import Kind, Model
from assets.studio.shape import Shape

CLOTH = ("plain", "plain", "stripes", "dots", "check", "print")


def tote(shape: Shape, model: Model) -> None:
    w = shape.between("wide", 0.17, 0.23)
    h = shape.between("high", 0.3, 0.42)
    d = shape.between("deep", 0.04, 0.09)
    flare = shape.between("flare", 0.9, 1.2)

    def place(u: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
        a = 2 * np.pi * u
        ring = (
            np.sign(np.cos(a)) * np.abs(np.cos(a)) ** 0.35,
            np.sign(np.sin(a)) * np.abs(np.sin(a)) ** 0.45,
        )
        fold = 1 + 0.12 * np.sin(3 * a + 1) * (1 - v) * v
        slim = 1 - 0.45 * v**2
        return [ring[0] * w * (1 + (flare - 1) * v), ring[1] * d * slim * fold, v * h]

    model.add(sheet(place, (4 * w, h), (64, 16), solid=0.003))
    model.add(box(1.86 * w, 1.75 * d, 0.006), "plain")
    drop = shape.between("handle", 0.12, 0.26)
    tone = shape.pick("handle material", ["plain", "second", "leather", "black"])
    x = w * shape.between("handle at", 0.3, 0.5)
    for y in (-d * 0.5, d * 0.5):
        model.add(
            tube(
                [
                    (-x, y * 1.15, h * 0.82),
                    (-x, y, h * 1.02),
                    (-x * 0.7, y * 0.9, h + drop * 0.85),
                    (0, y * 0.8, h + drop),
                    (x * 0.7, y * 0.9, h + drop * 0.85),
                    (x, y, h * 1.02),
                    (x, y * 1.15, h * 0.82),
                ],
                0.011,
                flat=0.3,
            ),
            tone,
        )
    if shape.chance("pocket", 0.4):
        model.add(box(w * 0.9, 0.006, h * 0.4).moved(y=-d * 0.98, z=h * 0.2), "second")


def backpack(shape: Shape, model: Model) -> None:
    w = shape.between("wide", 0.13, 0.17)
    h = shape.between("high", 0.2, 0.26)
    d = shape.between("deep", 0.07, 0.11)
    form = shape.pick("form", ["rounded", "roll top", "flap"])
    model.add(ball(w, d, h, 4.5 if form == "rounded" else 7).moved(z=h))
    tone = shape.pick("trim", ["plain", "second", "leather", "black"])
    if form == "flap":
        model.add(ball(w * 1.02, d * 1.05, h * 0.28, 6).moved(z=h * 1.78), tone)
        for x in (-0.45, 0.45):
            model.add(box(0.022, 0.008, h * 0.6).moved(x * w, -d * 1.06, h * 0.95), "leather")
            model.add(box(0.028, 0.01, 0.024).moved(x * w, -d * 1.09, h * 1.0), "metal")
    elif form == "roll top":
        model.add(
            tube(
                [(-w * 0.95, 0, 2 * h * 1.04), (0, 0, 2 * h * 1.05), (w * 0.95, 0, 2 * h * 1.04)],
                d * 0.42,
            ),
            "plain",
        )
        model.add(box(0.03, 0.008, h * 0.5).moved(0, -d * 0.9, h * 1.5), "black")
    ph = h * shape.between("pocket", 0.5, 0.8)
    model.add(
        ball(w * 0.78, d * 0.5, ph / 1.6, 5).moved(y=-d * 0.8, z=ph * 0.72),
        shape.pick("pocket material", ["plain", "second", "main"]),
    )
    model.add(
        tube(
            [
                (-w * 0.6, -d * 1.27, ph * 1.1),
                (0, -d * 1.33, ph * 1.13),
                (w * 0.6, -d * 1.27, ph * 1.1),
            ],
            0.004,
            8,
        ),
        "metal",
    )
    model.add(
        tube(
            [
                (-0.03, d * 0.3, 2 * h * 0.98),
                (-0.025, d * 0.3, 2 * h + 0.03),
                (0.025, d * 0.3, 2 * h + 0.03),
                (0.03, d * 0.3, 2 * h * 0.98),
            ],
            0.007,
        ),
        tone,
    )
    for side in (-1, 1):
        model.add(
            tube(
                [
                    (side * w * 0.45, d * 0.85, 1.9 * h),
                    (side * w * 0.55, d * 1.7, 1.6 * h),
                    (side * w * 0.6, d * 1.7, 0.8 * h),
                    (side * w * 0.75, d * 0.8, 0.25 * h),
                ],
                0.025,
                flat=0.35,
            ),
            tone,
        )
        if shape.chance("side pockets", 0.5):
            model.add(ball(0.03, d * 0.6, h * 0.4, 4).moved(side * w, 0, h * 0.45), "plain")


def suitcase(shape: Shape, model: Model) -> None:
    w = shape.between("wide", 0.17, 0.25)
    h = shape.between("high", 0.48, 0.7)
    d = shape.between("deep", 0.1, 0.14)
    form = shape.pick("form", ["ribbed", "smooth", "retro"])
    foot = 0.0 if form == "retro" else 0.045
    if form == "retro":
        h *= 0.62
        w *= 1.35
    model.add(
        prism(rounded(2 * w, h, shape.between("corner", 0.03, 0.08)), 2 * d, 0.02).moved(
            z=foot + h / 2
        )
    )
    if form == "ribbed":
        count = shape.pick("ribs", [5, 7, 9])
        for x in np.linspace(-0.78, 0.78, count):
            for y in (-d, d):
                model.add(
                    box(0.012, 0.012, h * 0.82, 0.005).moved(x * w, y, foot + h * 0.09), "plain"
                )
    elif form == "retro":
        for x in (-0.55, 0.55):
            model.add(
                box(0.035, 2 * d + 0.012, h * 1.012, 0.003).moved(x * w, 0, foot - h * 0.006),
                "leather",
            )
            model.add(box(0.045, 0.012, 0.035).moved(x * w, -d - 0.008, foot + h * 0.72), "metal")
    else:
        model.add(
            prism(rounded(1.5 * w, h * 0.3, 0.02), 0.012, 0.003).moved(y=-d, z=foot + h * 0.3),
            "second",
        )
    model.add(box(2 * w * 1.005, 0.012, h * 0.94, 0.003).moved(z=foot + h * 0.03), "black")
    if form == "retro":
        model.add(
            tube([(-0.07, 0, h), (-0.06, 0, h + 0.035), (0.06, 0, h + 0.035), (0.07, 0, h)], 0.009),
            "leather",
        )
        return
    for sx in (-1, 1):
        for sy in (-1, 1):
            model.add(
                disc(0.024, 0.02).turned("y", 90).moved(sx * w * 0.8, sy * d * 0.7, 0.024), "black"
            )
    up = shape.between("pull", 0.02, 0.28)
    for x in (-0.07, 0.07):
        model.add(tube([(x, d * 0.7, h), (x, d * 0.7, h + foot + up)], 0.006, 8), "metal")
    model.add(box(0.17, 0.026, 0.022, 0.008).moved(0, d * 0.7, h + foot + up), "black")


def handbag(shape: Shape, model: Model) -> None:
    w = shape.between("wide", 0.12, 0.18)
    h = shape.between("high", 0.14, 0.22)
    d = shape.between("deep", 0.04, 0.07)
    form = shape.pick("form", ["trapeze", "half moon", "box"])
    if form == "half moon":
        a = np.linspace(np.pi, 2 * np.pi, 24)
        outline = np.column_stack([w * np.cos(a), h + h * np.sin(a)])
    else:
        top = 0.72 if form == "trapeze" else 0.98
        outline = np.array([(-w, 0), (w, 0), (w * top, h), (-w * top, h)])
    model.add(prism(outline, 2 * d, 0.015))
    metal = "metal"
    if form == "box" or shape.chance("flap", 0.4):
        model.add(
            prism(rounded(1.7 * w, h * 0.6, 0.03), 0.012, 0.004).moved(y=-d - 0.004, z=h * 0.72),
            "plain",
        )
        model.add(box(0.03, 0.012, 0.026, 0.004).moved(0, -d - 0.016, h * 0.45), metal)
    drop = shape.between("handle", 0.09, 0.24)
    x = w * shape.between("handle at", 0.4, 0.7)
    tone = shape.pick("handle material", ["plain", "second", "metal", "leather"])
    model.add(
        tube(
            [
                (-x, 0, h * 0.97),
                (-x * 0.9, 0, h + drop * 0.6),
                (0, 0, h + drop),
                (x * 0.9, 0, h + drop * 0.6),
                (x, 0, h * 0.97),
            ],
            0.007,
        ),
        tone,
    )
    for sx in (-1, 1):
        model.add(ball(0.013, 0.013, 0.013).moved(sx * x, 0, h), metal)


KINDS = (
    Kind(
        "tote bag",
        "Tote bags",
        ("tote bag", "shopping bag", "tote"),
        ("fabric", "fabric", "leather"),
        CLOTH,
        (12, 60),
        "table",
        tote,
    ),
    Kind(
        "backpack",
        "Backpacks",
        ("backpack", "rucksack"),
        ("fabric", "fabric", "leather"),
        CLOTH,
        (35, 130),
        "floor",
        backpack,
    ),
    Kind(
        "suitcase",
        "Suitcases",
        ("suitcase", "trolley case"),
        ("plastic", "plastic", "metal", "leather"),
        ("plain", "plain", "stripes", "print"),
        (70, 260),
        "floor",
        suitcase,
    ),
    Kind(
        "handbag",
        "Handbags",
        ("handbag", "purse"),
        ("leather", "leather", "fabric"),
        CLOTH,
        (39, 240),
        "table",
        handbag,
    ),
)
