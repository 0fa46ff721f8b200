"""Captions drawn from what is known about a product, with the facts each of them states."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from assets.studio.kinds import KINDS
from assets.training.corpus import Product

_OPENINGS = ("", "", "", "a photo of ", "a picture of ", "a product photo of ", "close-up of ")
_SYNONYMS: dict[str, tuple[str, ...]] = {
    "t-shirt": ("tee", "tee shirt"), "longsleeve": ("long-sleeved top", "sweatshirt"),
    "outwear": ("jacket", "coat", "outerwear"), "pants": ("trousers",),
    "shoes": ("pair of shoes", "footwear"), "hat": ("cap",),
}  # fmt: skip
_SYNONYMS |= {kind.name: kind.nouns for kind in KINDS.values()}
_SAME = {"wood": "wooden", "matt": "matte", "grey": "gray", "check": "checked",
         "stripes": "striped"}  # fmt: skip
_PLAIN = ("plain", "none", "solid", "")


@dataclass(frozen=True)
class Caption:
    """A text and the columns of Product.facts that it speaks of, for ``product``."""

    text: str
    states: tuple[str, ...]
    product: int


def draw_caption(product: Product, number: int, chance: random.Random) -> Caption:
    """Return one of the many captions of a product, drawn with ``chance``."""
    draw = {"render": _of_render, "grocery": _of_grocery, "clothing": _of_clothing}
    text, states = draw[product.source](product.words, chance)
    return Caption(" ".join(text.split()), tuple(s for s in states if s in product.facts), number)


class Facts:
    """What is known of every product, as numbers, to tell quickly which captions hold of which."""

    def __init__(self, products: Sequence[Product]) -> None:
        names = sorted({name for each in products for name in each.facts})
        self.columns = {name: at for at, name in enumerate(names)}
        values: dict[str, int] = {}
        self.codes = torch.full((len(products), len(names)), -1)  # -1 is unknown
        for row, each in enumerate(products):
            for name, value in each.facts.items():
                self.codes[row, self.columns[name]] = values.setdefault(value, len(values))

    def match(self, captions: Sequence[Caption], products: Sequence[int]) -> torch.Tensor:
        """Return which captions hold of which products: (captions, products) int8.

        1 where every stated fact holds, 0 where one is known not to, -1 where that is unknown.
        """
        shown = self.codes[torch.tensor(products)]
        truth = torch.empty(len(captions), len(products), dtype=torch.int8)
        for row, caption in enumerate(captions):
            columns = torch.tensor([self.columns[name] for name in caption.states])
            wanted, found = self.codes[caption.product, columns], shown[:, columns]
            differs = ((found >= 0) & (found != wanted)).any(1)
            unknown = (found < 0).any(1)
            truth[row] = torch.where(differs, 0, torch.where(unknown, -1, 1)).to(torch.int8)
        return truth


def _of_render(words: dict[str, str], chance: random.Random) -> tuple[str, tuple[str, ...]]:
    style = chance.random()
    always = ("kind", "clothing", "grocery", "category")
    if style < 0.25 and words["title"]:
        text = words["title"]
        if style < 0.1 and words["description"]:
            text += ". " + words["description"]
        return text, (*always, "title")
    kind = _name(words["kind"], chance)
    odds = {"colour": 0.75, "material": 0.5, "pattern": 0.5, "finish": 0.25, "size": 0.15}
    kept = [name for name, odd in odds.items() if words[name] and chance.random() < odd]
    parts = {name: words[name].replace("_", " ") for name in kept}
    for name, word in parts.items():
        if word in _SAME and chance.random() < 0.3:
            parts[name] = _SAME[word]
    if "pattern" in parts and parts["pattern"] in _PLAIN and chance.random() < 0.7:
        del parts["pattern"]
    states = [*always, *parts]
    if "colour" in parts and words["second_colour"] and chance.random() < 0.6:
        parts["colour"] += f" and {words['second_colour'].replace('_', ' ')}"
        states.append("second_colour")
    return (_listed if style > 0.8 else _phrase)(kind, parts, chance), tuple(states)


def _phrase(kind: str, parts: dict[str, str], chance: random.Random) -> str:
    """Return "a red glossy ceramic mug with stripes"."""
    after = ""
    pattern = parts.get("pattern", "")
    if pattern and not pattern.endswith(("ed", "y", "ic", "plain")):
        after = f" with {pattern}"
    if "colour" in parts and chance.random() < 0.2:
        after += f" in {parts['colour']}"
        parts = {name: value for name, value in parts.items() if name != "colour"}
    order = ["size", "colour", "finish", "material"]
    if not after.startswith(" with"):
        order.insert(chance.choice((1, 4)), "pattern")
    front = " ".join([*(parts[name] for name in order if name in parts), kind])
    article = chance.choice(("", _article(front)))
    return f"{chance.choice(_OPENINGS)}{article}{front}{after}"


def _listed(kind: str, parts: dict[str, str], chance: random.Random) -> str:
    """Return "mug, ceramic, red, striped"."""
    rest = list(parts.values())
    chance.shuffle(rest)
    return ", ".join([kind, *rest])


def _of_grocery(words: dict[str, str], chance: random.Random) -> tuple[str, tuple[str, ...]]:
    title = words["title"].replace("-", " ").replace("_", " ")
    style = chance.random()
    if style < 0.1 and words["category"]:
        return f"{chance.choice(_OPENINGS)}{words['category']}", ("category", "clothing")
    if style < 0.2 and words["coarse"]:
        coarse = words["coarse"].replace("-", " ")
        return f"{chance.choice(_OPENINGS)}{coarse}", ("coarse", "category", "clothing")
    if style < 0.45 and words["description"]:
        sentences = [s for s in words["description"].split(". ") if s]
        text = f"{title}. {chance.choice(sentences[:2])}"
    elif style < 0.6 and words["category"]:
        text = f"{title}, {words['category']}"
    else:
        text = chance.choice(_OPENINGS) + title
    return text, ("grocery", "kind", "category", "clothing")


def _of_clothing(words: dict[str, str], chance: random.Random) -> tuple[str, tuple[str, ...]]:
    kind = _name(words["category"], chance)
    article = "" if kind.endswith("s") and not kind.endswith("ss") else _article(kind)
    text = chance.choice(_OPENINGS) + chance.choice(("", article)) + kind
    return text, ("clothing", "grocery", "category")


def _name(kind: str, chance: random.Random) -> str:
    kind = kind.replace("_", " ")
    others = _SYNONYMS.get(kind.lower(), ())
    return chance.choice(others) if others and chance.random() < 0.5 else kind


def _article(words: str) -> str:
    return "an " if words[:1].lower() in ("a", "e", "i", "o") else "a "
