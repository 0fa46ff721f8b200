"""Tableware: mugs, bowls, plates, teapots, jugs."""

from __future__ import annotations

import numpy as np

from assets.studio.meshes import ball, curve, lathe, tube, vessel
from assets.studio.model import Kind, Model
from assets.studio.shape import Shape

ALL = ("plain", "plain", "stripes", "dots", "check", "print")


def handle(model: Model, form: str, x: float, low: float, high: float, thick: float) -> None:
    """Add a handle at the right of a vessel whose wall stands at x."""
    reach = (high - low) * 0.75
    middle = (high + low) / 2
    inside = x - thick
    path = {
        "round": [
            (inside, 0, high),
            (x + reach * 0.6, 0, high - 0.05 * reach),
            (x + reach * 0.8, 0, middle),
            (x + reach * 0.6, 0, low + 0.05 * reach),
            (inside, 0, low),
        ],
        "ear": [
            (inside, 0, high),
            (x + reach * 0.75, 0, high + 0.02),
            (x + reach * 0.7, 0, middle),
            (x + reach * 0.2, 0, low + 0.1 * reach),
            (inside, 0, low),
        ],
        "square": [
            (inside, 0, high),
            (x + reach * 0.62, 0, high),
            (x + reach * 0.68, 0, high - 0.004),
            (x + reach * 0.68, 0, low + 0.004),
            (x + reach * 0.62, 0, low),
            (inside, 0, low),
        ],
    }[form]
    model.add(tube(path, thick, flat=1.7), "plain")


def mug(shape: Shape, model: Model) -> None:
    h = shape.between("height", 0.075, 0.125)
    r = shape.between("radius", 0.034, 0.05)
    form = shape.pick("form", ["straight", "barrel", "flared", "tapered", "footed"])
    foot = {"straight": 1, "barrel": 0.8, "flared": 0.62, "tapered": 1.2, "footed": 0.6}[form] * r
    belly = {"straight": 1, "barrel": 1.14, "flared": 0.78, "tapered": 1.12, "footed": 1.02}[
        form
    ] * r
    profile = [(foot * 0.93, 0), (foot, h * 0.03), (belly, h * 0.45), (r, h)]
    if form == "footed":
        profile = [(foot, 0), (foot * 0.8, h * 0.14), (belly, h * 0.42), (r, h)]
    model.add(vessel(profile, 0.0035, sides=shape.pick("sides", [0, 0, 0, 0, 8])))
    thick = shape.between("thick", 0.0035, 0.0055)
    grip = shape.pick("handle", ["round", "ear", "square", "none"])
    if grip != "none":
        handle(model, grip, r * 0.98, h * shape.between("low", 0.16, 0.32), h * 0.84, thick)


def bowl(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.07, 0.13)
    h = r * shape.between("deep", 0.42, 0.85)
    form = shape.pick("form", ["round", "conical", "wide", "upright"])
    middle = {"round": 0.86, "conical": 0.66, "wide": 0.62, "upright": 0.97}[form]
    profile = [(r * 0.42, 0), (r * 0.44, h * 0.08), (r * middle, h * 0.45), (r, h * 0.96)]
    if form == "wide":
        profile += [(r * 1.22, h)]
    model.add(vessel(profile, 0.004, sides=shape.pick("sides", [0, 0, 0, 10])))
    if shape.chance("foot", 0.4):
        model.add(
            lathe([(r * 0.4, -0.012), (r * 0.42, 0.004), (r * 0.36, 0.004), (r * 0.36, -0.012)]),
            "plain",
        )
    if shape.chance("band", 0.35):
        model.add(lathe(curve([(r * 0.99, h * 0.86), (r * 1.025, h * 0.92), (r * 0.99, h * 0.97)])),
                  "second")  # fmt: skip


def plate(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.09, 0.15)
    rim = shape.between("rim", 0.08, 0.4)
    h = r * shape.between("deep", 0.1, 0.24)
    sides = shape.pick("sides", [0, 0, 0, 0, 4, 8])
    well = r * (1 - rim)
    model.add(vessel([(well * 0.7, 0), (well * 0.95, h * 0.15), (well * 1.03, h * 0.7), (r, h)],
                     0.0035, sides=sides))  # fmt: skip
    if shape.chance("ring", 0.5) and not sides:
        model.add(tube([(r * np.cos(a), r * np.sin(a), h) for a in np.linspace(0, 2 * np.pi, 25)],
                       0.0028, 8, steps=3), "second")  # fmt: skip


def teapot(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.065, 0.09)
    h = r * shape.between("tall", 1.05, 1.9)
    form = shape.pick("form", ["round", "pear", "cylinder", "cone"])
    low, mid, high = {
        "round": (0.62, 1.0, 0.5), "pear": (0.9, 1.0, 0.4), "cylinder": (0.95, 1.0, 0.9),
        "cone": (1.05, 0.85, 0.42),
    }[form]  # fmt: skip
    body = [(r * low, 0), (r * (low + mid) / 2 * 1.05, h * 0.14), (r * mid, h * 0.45),
            (r * (mid + high) / 2 * 1.02, h * 0.8), (r * high, h)]  # fmt: skip
    model.add(vessel(body, 0.004))
    lid = [(r * high * 1.04, h), (r * high * 0.9, h + r * 0.1), (r * 0.12, h + r * 0.2)]
    model.add(lathe(curve(lid)), "plain")
    knob = r * shape.between("knob", 0.1, 0.18)
    model.add(
        ball(knob, knob, knob * shape.between("knob high", 0.8, 1.6)).moved(
            z=h + r * 0.2 + knob * 0.6
        ),
        shape.pick("knob material", ["plain", "second", "wood"]),
    )
    tip = shape.between("spout", 0.75, 1.05)
    model.add(
        tube(
            [
                (-r * 0.75, 0, h * 0.3),
                (-r * 1.35, 0, h * 0.45),
                (-r * 1.6, 0, h * tip * 0.85),
                (-r * 1.95, 0, h * tip),
            ],
            [r * 0.26, r * 0.2, r * 0.13, r * 0.1],
        ),
        "plain",
    )
    grip = shape.pick("handle", ["round", "ear", "top"])
    if grip == "top":
        top = h * shape.between("arch", 1.7, 2.1)
        model.add(
            tube(
                [
                    (-r * 0.8, 0, h * 0.8),
                    (-r * 0.8, 0, top * 0.8),
                    (0, 0, top),
                    (r * 0.8, 0, top * 0.8),
                    (r * 0.8, 0, h * 0.8),
                ],
                0.005,
            ),
            "wood",
        )
    else:
        handle(model, grip, r * mid * 0.95, h * 0.22, h * 0.82, 0.006)


def jug(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.05, 0.07)
    h = r * shape.between("tall", 2.4, 3.6)
    belly = shape.between("belly", 1.0, 1.3)
    neck = shape.between("neck", 0.6, 0.95)
    height = shape.between("belly height", 0.25, 0.45)

    def lip(p: np.ndarray) -> np.ndarray:
        up = np.clip((p[:, 2] / h - 0.82) / 0.18, 0, 1) ** 2
        front = np.clip(-p[:, 0] / (r * neck), 0, 1) ** 4
        p[:, 0] -= up * front * r * 0.55
        return p

    body = vessel([(r * 0.75, 0), (r * 0.8, h * 0.04), (r * belly, h * height), (r * neck, h * 0.8),
                   (r * neck * 1.12, h)], 0.0035)  # fmt: skip
    model.add(body.bent(lip))
    handle(
        model, shape.pick("handle", ["round", "ear", "square"]), r * neck, h * 0.42, h * 0.88, 0.006
    )


KINDS = (
    Kind(
        "mug",
        "Mugs",
        ("mug", "coffee mug", "cup"),
        ("ceramic", "ceramic", "metal", "glass"),
        ALL,
        (7, 24),
        "table",
        mug,
    ),
    Kind(
        "bowl",
        "Bowls",
        ("bowl", "serving bowl"),
        ("ceramic", "ceramic", "wood", "glass", "metal"),
        ALL,
        (8, 45),
        "table",
        bowl,
    ),
    Kind(
        "plate",
        "Plates",
        ("plate", "dinner plate"),
        ("ceramic", "ceramic", "wood", "plastic"),
        ALL,
        (6, 30),
        "table",
        plate,
    ),
    Kind(
        "teapot",
        "Teapots",
        ("teapot", "tea pot"),
        ("ceramic", "ceramic", "metal", "glass"),
        ALL,
        (24, 90),
        "table",
        teapot,
    ),
    Kind(
        "jug",
        "Jugs",
        ("jug", "pitcher"),
        ("ceramic", "ceramic", "glass", "metal"),
        ALL,
        (15, 55),
        "table",
        jug,
    ),
)
