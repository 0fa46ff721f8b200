"""Batches: which views of which products are shown together, so that near ones meet."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from assets.training.captions import Caption, draw_caption
from assets.training.corpus import Corpus
from assets.training.options import Options


@dataclass(frozen=True)
class Batch:
    """Pictures (b,) int64 and the products they show (b,) int64, by number in the corpus.

    ``shown`` lists the batch's products once each; ``captions`` are drawn from them.
    """

    pictures: torch.Tensor
    products: torch.Tensor
    shown: tuple[int, ...]
    captions: tuple[Caption, ...]


class Sampler:
    """Draws batches; each follows from the seed and the step alone, so that a run can go on."""

    def __init__(self, corpus: Corpus, options: Options) -> None:
        self.corpus, self.options = corpus, options
        self.families: dict[str, list[int]] = defaultdict(list)
        self.kinds: dict[str, list[str]] = defaultdict(list)
        self.photos: dict[str, list[int]] = {"grocery": [], "clothing": []}
        for number, product in enumerate(corpus.products):
            if product.source != "render":
                self.photos[product.source].append(number)
                continue
            if product.family not in self.families:
                self.kinds[product.kind].append(product.family)
            self.families[product.family].append(number)

    def draw(self, step: int) -> Batch:
        """Return the batch of a step."""
        chance = random.Random(f"{self.options.seed}/{step}")
        quota = self._quota()
        chosen = self._renders(quota["render"], chance)
        for name, members in self.photos.items():
            chosen += chance.sample(members, min(quota[name], len(members)))
        pictures, products = [], []
        for number in chosen:
            views = self._views(number, chance)
            pictures += views
            products += [number] * len(views)
        captions = tuple(
            draw_caption(self.corpus.products[number], number, chance)
            for number in chosen
            for _ in range(self.options.captions)
        )
        return Batch(torch.tensor(pictures), torch.tensor(products), tuple(chosen), captions)

    def _quota(self) -> dict[str, int]:
        """Return how many products of each source a batch has; what lacks gives its room away."""
        options = self.options
        shares = {"grocery": options.share_grocery, "clothing": options.share_clothing}
        shares = {name: share for name, share in shares.items() if self.photos[name]}
        if self.families:
            shares["render"] = max(0.0, 1.0 - sum(shares.values()))
        whole = sum(shares.values())
        quota = dict.fromkeys(("render", "grocery", "clothing"), 0)
        for name, share in shares.items():
            views = options.photo_views if name == "clothing" else options.views
            quota[name] = max(2, round(options.batch * share / whole / views))
        return quota

    def _renders(self, quota: int, chance: random.Random) -> list[int]:
        """Return products in whole families, each family followed by another of its kind."""
        if not quota:
            return []
        chosen: list[int] = []
        order = chance.sample(sorted(self.families), len(self.families))
        taken: set[str] = set()
        for family in order:
            kind = self.corpus.products[self.families[family][0]].kind
            rivals = [each for each in self.kinds[kind] if each != family]
            pair = [family, *chance.sample(rivals, min(1, len(rivals)))]
            for each in pair:
                if each in taken or len(chosen) >= quota:
                    continue
                taken.add(each)
                members = self.families[each]
                room = min(len(members), self.options.colours, quota - len(chosen))
                chosen += chance.sample(members, room)
        return chosen

    def _views(self, number: int, chance: random.Random) -> list[int]:
        """Return pictures of a product: customers' and the shop's in turn, repeated if few."""
        product = self.corpus.products[number]
        wanted = self.options.photo_views if product.source == "clothing" else self.options.views
        sides: tuple[list[int], list[int]] = ([], [])
        for picture in chance.sample(product.pictures, len(product.pictures)):
            sides[self.corpus.pictures[picture].view == "customer"].append(picture)
        turns = list(_in_turn(sides))
        return [turns[i % len(turns)] for i in range(wanted)]


def _in_turn(sides: tuple[list[int], list[int]]) -> Iterable[int]:
    for at in range(max(map(len, sides))):
        for side in sides:
            if at < len(side):
                yield side[at]
