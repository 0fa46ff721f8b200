"""Cookware: bottles, jars, saucepans."""

from __future__ import annotations

import numpy as np

from assets.studio.meshes import ball, curve, disc, lathe, tube, vessel
from assets.studio.model import Kind, Model
from assets.studio.shape import Shape

ALL = ("plain", "plain", "stripes", "dots", "check", "print")


def bottle(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.032, 0.045)
    h = shape.between("height", 0.19, 0.28)
    shoulder = shape.between("shoulder", 0.62, 0.84)
    neck = shape.between("neck", 0.38, 0.75)
    form = shape.pick("form", ["straight", "waist", "tapered"])
    mid = {"straight": 1.0, "waist": 0.86, "tapered": 0.92}[form]
    foot = 1.0 if form != "tapered" else 1.08
    model.add(
        lathe(
            np.vstack(
                [
                    [[1e-5, 0]],
                    curve(
                        [
                            (r * foot * 0.94, 0),
                            (r * foot, h * 0.02),
                            (r * mid, h * 0.4),
                            (r, h * shoulder),
                            (r * neck, h * 0.93),
                            (r * neck, h),
                        ]
                    ),
                    [[1e-5, h]],
                ]
            )
        )
    )
    cap = shape.pick("cap", ["flat", "loop", "dome", "sport"])
    tone = shape.pick("cap material", ["black", "metal", "wood", "second"])
    model.add(disc(r * neck * 1.08, 0.022).moved(z=h), tone)
    if cap == "loop":
        s = r * neck * 0.9
        model.add(tube([(-s, 0, h + 0.015), (-s * 0.8, 0, h + 0.045), (s * 0.8, 0, h + 0.045),
                        (s, 0, h + 0.015)], 0.004), tone)  # fmt: skip
    elif cap == "dome":
        model.add(ball(r * neck, r * neck, r * neck * 0.7).moved(z=h + 0.022), tone)
    elif cap == "sport":
        model.add(disc(r * 0.25, 0.022).moved(z=h + 0.02), "white")
    if shape.chance("band", 0.35):
        model.add(
            lathe(
                [
                    (r * 1.02, h * 0.3),
                    (r * 1.03, h * 0.31),
                    (r * 1.03, h * 0.44),
                    (r * 1.02, h * 0.45),
                ]
            ),
            "second",
        )


def jar(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.045, 0.07)
    h = r * shape.between("tall", 1.5, 2.9)
    belly = shape.between("belly", 0.94, 1.18)
    model.add(
        vessel(
            [(r * 0.95, 0), (r, h * 0.04), (r * belly, h * 0.5), (r, h * 0.94), (r * 0.97, h)],
            0.004,
            sides=shape.pick("sides", [0, 0, 0, 6]),
        )
    )
    lid = shape.pick("lid", ["wood", "metal", "plain"])
    model.add(disc(r * 1.0, 0.018).moved(z=h), lid)
    if shape.chance("knob", 0.6):
        k = shape.between("knob size", 0.009, 0.016)
        model.add(ball(k, k, k).moved(z=h + 0.018 + k * 0.7), lid)
    if shape.chance("label", 0.4):
        s = r * belly * 1.012
        model.add(
            lathe([(s, h * 0.38), (s * 1.004, h * 0.39), (s * 1.004, h * 0.62), (s, h * 0.63)]),
            "white",
        )


def saucepan(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.08, 0.12)
    h = r * shape.between("deep", 0.45, 1.25)
    flare = shape.between("flare", 1.0, 1.12)
    model.add(vessel([(r * 0.9, 0), (r * 0.98, h * 0.1), (r, h * 0.5), (r * flare, h)], 0.003))
    grip = shape.pick("grip material", ["wood", "black", "metal"])
    if shape.chance("long handle", 0.6):
        long = r * shape.between("long", 1.4, 2.0)
        model.add(
            tube(
                [(r * 0.95, 0, h * 0.8), (r + long * 0.3, 0, h * 0.95), (r + long, 0, h * 1.15)],
                [0.008, 0.009, 0.013],
                flat=0.6,
            ),
            grip,
        )
    else:
        for side in (-1, 1):
            model.add(
                tube(
                    [
                        (side * r * 0.98, -0.03, h * 0.8),
                        (side * r * 1.3, -0.03, h * 0.85),
                        (side * r * 1.3, 0.03, h * 0.85),
                        (side * r * 0.98, 0.03, h * 0.8),
                    ],
                    0.006,
                ),
                grip,
            )
    if shape.chance("lid", 0.6):
        f = r * flare
        model.add(
            lathe(curve([(f * 1.02, h), (f * 0.9, h + r * 0.08), (0.001, h + r * 0.2)])), "plain"
        )
        model.add(ball(0.016, 0.016, 0.012).moved(z=h + r * 0.2 + 0.012), grip)


KINDS = (
    Kind(
        "bottle",
        "Water bottles",
        ("bottle", "water bottle", "drinking bottle"),
        ("metal", "plastic", "glass"),
        ALL,
        (12, 40),
        "table",
        bottle,
    ),
    Kind(
        "jar",
        "Storage jars",
        ("jar", "storage jar", "canister"),
        ("glass", "ceramic", "metal"),
        ALL,
        (9, 35),
        "table",
        jar,
    ),
    Kind(
        "saucepan",
        "Saucepans",
        ("saucepan", "pan", "cooking pot"),
        ("metal",),
        ("plain",),
        (25, 110),
        "table",
        saucepan,
    ),
)
