"""What learns: the model, the heads that are thrown away, the optimiser and the averages."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from assets.training import losses
from assets.training.batches import Batch
from assets.training.captions import Facts
from assets.training.corpus import HEADS, Corpus
from assets.training.imagenet import original_trunk
from assets.training.network import (
    Tokenizer,
    build_model,
    early,
    freeze,
    late,
    normalise,
)
from assets.training.options import Options

_LARGEST_SCALE = math.log(100)  # of CLIP's logits, as in Radford et al. 2021
_HEAD_SCALE = 16.0  # heads see unit rows, from which weights of usual size make no clear logits


class Learner:
    """One model in training on one device; ``learn`` takes a step."""

    def __init__(
        self, corpus: Corpus, options: Options, tokenizer: Tokenizer, axes: torch.Tensor
    ) -> None:
        self.options, self.tokenizer = options, tokenizer
        self.device = torch.device(options.device)
        self.facts = Facts(corpus.products)
        self.model: Any = build_model(tokenizer.vocab_size, options.seed)
        self.model.visual.head.proj.weight.data.copy_(axes)
        freeze(self.model, options.frozen)
        vocabularies = {name: corpus.vocabulary(name) for name in HEADS}
        self.heads = nn.ModuleDict(
            {name: nn.Linear(512, len(found)) for name, found in vocabularies.items() if found}
        )
        self.targets = {
            name: torch.tensor([
                found.index(each.labels[name]) if name in each.labels else -100
                for each in corpus.products
            ])
            for name, found in vocabularies.items()
            if found
        }  # fmt: skip
        self.model.to(self.device, memory_format=torch.channels_last)
        self.heads.to(self.device)
        self.teacher: Any = original_trunk().to(self.device, memory_format=torch.channels_last)
        self.rates: list[float] = []
        self.optimiser = self._optimiser()
        self.average = {
            name: value.detach().clone()
            for name, value in self.model.named_parameters()
            if value.requires_grad
        }

    def learn(self, views: torch.Tensor, batch: Batch, step: int, pace: float) -> dict[str, float]:
        """Take a step on views (b, 3, s, s) in 0..1 at ``pace`` of the rates; return the losses."""
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * pace
        parts = self._losses(views, batch, step)
        weights = {
            "products": self.options.weight_products, "words": self.options.weight_words,
            "labels": self.options.weight_labels, "hold": self.options.weight_hold,
            "relations": self.options.weight_relations,
        }  # fmt: skip
        total = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(
            [p for group in self.optimiser.param_groups for p in group["params"]], self.options.clip
        )
        self.optimiser.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, _LARGEST_SCALE)
        self._average(step)
        found = torch.stack([total, *parts.values()]).detach().float().tolist()
        return dict(zip(("total", *parts), found, strict=True))

    def averaged(self) -> dict[str, torch.Tensor]:
        """Return the model's tensors with the averaged weights in place of the last ones."""
        return {**self.model.state_dict(), **self.average}

    def state(self) -> dict[str, Any]:
        """Return all that a checkpoint must hold of the learner."""
        return {
            "model": self.model.state_dict(),
            "heads": self.heads.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }

    def begin_with(self, average: dict[str, torch.Tensor]) -> None:
        """Take the averaged weights of another run as a start."""
        parameters = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, value in average.items():
                parameters[name].copy_(value)
                self.average[name].copy_(value)

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what ``state`` returned."""
        self.model.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        self.optimiser.load_state_dict(state["optimiser"])
        for name, value in state["average"].items():
            self.average[name].copy_(value)

    def _losses(self, views: torch.Tensor, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        options, stages = self.options, self.options.frozen
        trunk = self.model.visual.trunk
        products = batch.products.to(self.device)
        held = self._held(len(views), step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=options.precision == "bf16"):
            pixels = normalise(views)
            with torch.no_grad():  # frozen stages are the original's, so both begin here
                begun = early(trunk, pixels, stages)
                original = late(self.teacher, begun[held], stages).float()
            features = late(trunk, begun, stages)
            raw = self.model.visual.head(features).float()
            texts = self.tokenizer([each.text for each in batch.captions]).to(self.device)
            words = F.normalize(self.model.encode_text(texts).float(), dim=1)
        rows = F.normalize(raw, dim=1)
        place = {product: at for at, product in enumerate(batch.shown)}
        columns = torch.tensor([place[int(each)] for each in batch.products])
        truth = self.facts.match(batch.captions, batch.shown)[:, columns].to(self.device)
        logits = {name: head(rows * _HEAD_SCALE) for name, head in self.heads.items()}
        targets = {
            name: found[batch.products].to(self.device) for name, found in self.targets.items()
        }
        return {
            "products": losses.product_contrast(rows, products, options.temperature),
            "words": losses.word_contrast(rows, words, truth, self.model.logit_scale.exp()),
            "labels": losses.label_loss(logits, targets),
            "hold": losses.hold_loss(features[held].float(), original),
            "relations": losses.relation_loss(rows[held], F.normalize(original, dim=1)),
        }

    def _held(self, count: int, step: int) -> torch.Tensor:
        """Return the rows that the original network sees too, another choice at each step."""
        generator = torch.Generator().manual_seed(self.options.seed * 1_000_003 + step)
        most = max(2, round(self.options.hold_share * count))
        return torch.randperm(count, generator=generator)[:most].to(self.device)

    def _average(self, step: int) -> None:
        decay = min(self.options.ema, (1 + step) / (10 + step))  # short runs forget their start
        with torch.no_grad():
            parameters = dict(self.model.named_parameters())
            torch._foreach_lerp_(
                list(self.average.values()), [parameters[n] for n in self.average], 1 - decay
            )

    def _optimiser(self) -> torch.optim.Optimizer:
        """Return AdamW with a learning rate for each part, and decay of matrices only."""
        options = self.options
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        named = [*self.model.named_parameters(), *self.heads.named_parameters()]
        for name, value in named:
            if not value.requires_grad:
                continue
            rate = options.lr_new
            if name.startswith("visual."):
                trunk = name.startswith("visual.trunk.")
                rate = options.lr_trunk if trunk else options.lr_projection
            decay = options.weight_decay if value.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(value)
        self.rates = [rate for rate, _ in groups]
        return torch.optim.AdamW([
            {"params": values, "lr": rate, "weight_decay": decay}
            for (rate, decay), values in groups.items()
        ])  # fmt: skip
