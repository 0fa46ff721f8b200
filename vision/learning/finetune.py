"""Fine-tuning: the last blocks of an encoder learn what tells a shop's own products apart."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vision.batches import ahead
from vision.encoder import Encoder
from vision.errors import EncoderError
from vision.learning.blocks import free_bytes, kept_bytes, last_blocks
from vision.learning.lessons import PRODUCTS, VIEWS, Lessons, Shot, draw_batches, make_view
from vision.learning.losses import hold_loss, product_contrast, relation_loss
from vision.networks.weights import short

_PATIENCE = 4  # epochs without a better score before it ends
_WARMUP = 0.1  # share of the steps in which the rates rise
_DECAY, _CLIP = 0.05, 1.0
_TEMPERATURE = 0.07
_HEAD_SCALE = 16.0  # unit rows make no clear logits by themselves
_WEIGHTS = {"products": 1.0, "labels": 1.0, "hold": 1.0, "relations": 5.0}
_NEAR = 12  # products most like a product, some of which come into its batch
_BATCH = 32  # pictures embedded at once where nothing is learnt


@dataclass(frozen=True)
class Course:
    """How long and how deep: epochs at most, minutes at most (0: any), blocks that learn.

    The same seed gives the same weights on the same machine's CPU, unless minutes end it.
    """

    epochs: int = 12
    minutes: float = 0.0
    blocks: int = 3
    rate: float = 1e-4
    seed: int = 0


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch: its number from 1, the mean loss, the judge's score (higher
    is better) and the seconds since the beginning. Number 0 is the encoder as it was.
    """

    number: int
    loss: float
    score: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """How it went: all epochs from 0, which of them was best, and what ended it.

    ``ended`` is "done", "no better" (the score stopped rising), "minutes" or "interrupted".
    """

    epochs: tuple[Epoch, ...]
    best: int
    ended: str


def finetune(
    encoder: Encoder,
    network: nn.Module,
    lessons: Lessons,
    course: Course,
    *,
    judge: Callable[[], float],
    report: Callable[[Epoch], None],
) -> Outcome:
    """Train the last blocks of ``network``, the image tower that ``encoder`` runs in fp32.

    Four losses: contrast between the products of a batch, which holds those that look alike;
    categories; and two that hold embeddings and their similarities where they were. Batch
    normalisation keeps its statistics. The network is left with the weights of the epoch that
    ``judge`` scored best. Ctrl-C ends it after the last whole epoch; before the first,
    KeyboardInterrupt is raised and the network is as it was. Raises EncoderError where there is too
    little memory.
    """
    learner = _Learner(encoder, network, lessons, course)
    started = time.monotonic()
    epochs = [Epoch(0, 0.0, judge(), 0.0)]
    best, kept, ended = 0, learner.weights(), "done"
    report(epochs[0])
    try:
        for number in range(1, course.epochs + 1):
            until = started + course.minutes * 60 if course.minutes else math.inf
            loss = learner.epoch(number, until)
            epochs.append(Epoch(number, loss, judge(), time.monotonic() - started))
            report(epochs[-1])
            if epochs[-1].score > epochs[best].score:
                best, kept = number, learner.weights()
            if number - best >= _PATIENCE:
                ended = "no better"
                break
            if time.monotonic() >= until:
                ended = "minutes"
                break
    except KeyboardInterrupt:
        if not best:
            learner.put(kept)
            raise
        ended = "interrupted"
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or "memory" in str(error):
            raise _too_little_memory(short(error)) from error
        raise
    learner.put(kept)
    return Outcome(tuple(epochs), best, ended)


def _too_little_memory(reason: str) -> EncoderError:
    return EncoderError(
        f"There is not enough memory to train this encoder here ({reason}). Let fewer blocks learn "
        f"(--blocks 1), use a machine with more memory, or a smaller encoder."
    )


class _Learner:
    """The network in training, with all that is drawn and remembered from batch to batch."""

    def __init__(
        self, encoder: Encoder, network: nn.Module, lessons: Lessons, course: Course
    ) -> None:
        self.encoder, self.network, self.lessons, self.course = encoder, network, lessons, course
        network.eval().requires_grad_(False)  # eval keeps the statistics, and drops nothing
        self.learning = last_blocks(network, course.blocks)
        for each in self.learning:
            each.requires_grad_(True)
        self._require_memory()
        self.original = self._originals()
        self.near = self._neighbours()
        self.head = self._head()
        matrices = [each for each in self.learning if each.ndim > 1]
        others = [each for each in self.learning if each.ndim <= 1]
        groups = [(matrices, course.rate, _DECAY), (others, course.rate, 0.0)]
        if self.head is not None:
            groups.append((list(self.head.parameters()), 10 * course.rate, 0.0))
        self.rates = [rate for _, rate, _ in groups]
        self.optimiser = torch.optim.AdamW(
            [{"params": some, "lr": rate, "weight_decay": decay} for some, rate, decay in groups]
        )
        self.step = 0
        self.steps = course.epochs * lessons.batches

    def weights(self) -> list[torch.Tensor]:
        """Return a copy of what learns."""
        return [each.detach().clone() for each in self.learning]

    def put(self, weights: list[torch.Tensor]) -> None:
        """Take up a copy again."""
        with torch.no_grad():
            for each, value in zip(self.learning, weights, strict=True):
                each.copy_(value)

    def epoch(self, number: int, until: float) -> float:
        """See every product once, up to a number and until a time; return the mean loss."""
        rng = np.random.default_rng((self.course.seed, number))
        batches = draw_batches(self.lessons, self.near, rng)
        pixels = self._pixels(shot for batch in batches for shot in batch)
        losses = []
        for batch in batches:
            seen = np.stack([next(pixels) for _ in batch])
            losses.append(self._learn(batch, seen))
            if time.monotonic() >= until:
                break
        return float(np.mean(losses))

    def _learn(self, shots: Sequence[Shot], pixels: np.ndarray) -> float:
        """Take a step on a batch; return its loss."""
        device = self.encoder.device
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * self._pace()
        self.step += 1
        rows = self._embed(pixels)
        plain = torch.tensor([at for at, shot in enumerate(shots) if shot.plain], device=device)
        held = torch.stack([self.original[shot.picture] for shot in shots if shot.plain])
        parts = {
            "products": product_contrast(
                rows, torch.tensor([shot.product for shot in shots], device=device), _TEMPERATURE
            ),
            "hold": hold_loss(rows[plain], held),
            "relations": relation_loss(rows[plain], held),
        }
        labels = self.labels[[shot.picture for shot in shots]].to(device)
        if self.head is not None and bool((labels >= 0).any()):
            parts["labels"] = F.cross_entropy(
                _HEAD_SCALE * self.head(rows), labels, ignore_index=-1
            )
        loss = torch.stack([_WEIGHTS[name] * part for name, part in parts.items()]).sum()
        number = float(loss.detach())
        if not math.isfinite(number):
            raise EncoderError("The loss is no number any more. Let fewer blocks learn: --blocks 1")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.learning, _CLIP)
        self.optimiser.step()
        return number

    def _embed(self, pixels: np.ndarray) -> torch.Tensor:
        """Embed pixels (b, 3, h, w) uint8 as ``Encoder`` does, to be learnt from: unit rows."""
        encoder = self.encoder
        batch = torch.from_numpy(pixels).to(encoder.device, torch.float32).div_(255)
        for shift, divide in ((encoder.preprocess.mean, False), (encoder.preprocess.std, True)):
            values = torch.tensor(shift, device=encoder.device).view(1, 3, 1, 1)
            batch = batch.div_(values) if divide else batch.sub_(values)
        rows = self.network(batch.contiguous(memory_format=torch.channels_last))
        rows = rows[0] if isinstance(rows, tuple) else rows
        return F.normalize(rows.flatten(1), dim=1)

    def _require_memory(self) -> None:
        """Raise EncoderError where a batch would not fit: Linux would end the process unasked."""
        side = self.encoder.preprocess.crop
        two = np.zeros((2, 3, side, side), np.uint8)
        needed = kept_bytes(lambda: self._embed(two)) * VIEWS * PRODUCTS // 2
        free = free_bytes(self.encoder.device)
        if free is not None and needed > free:
            what = f"it takes {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
            raise _too_little_memory(what)

    def _pace(self) -> float:
        """Return the share of the highest rates: a ramp, then a cosine to nothing."""
        rise = max(1, round(_WARMUP * self.steps))
        if self.step < rise:
            return (self.step + 1) / rise
        return 0.5 + 0.5 * math.cos(math.pi * (self.step - rise) / max(1, self.steps - rise))

    def _pixels(self, shots: Iterable[Shot]) -> Iterator[np.ndarray]:
        """Make views ahead of the network, in order."""
        return ahead(shots, lambda shot: make_view(self.lessons, shot, self.encoder.preprocess))

    def _originals(self) -> torch.Tensor:
        """Return what the encoder makes of the pictures before it learns: (n, d) unit rows."""
        shots = [Shot(0, at, True, 0, 0) for at in range(len(self.lessons.pictures))]
        pixels, rows = self._pixels(shots), []
        for start in range(0, len(shots), _BATCH):
            batch = np.stack([next(pixels) for _ in shots[start : start + _BATCH]])
            rows.append(self.encoder.encode_pixels(batch))
        return torch.from_numpy(np.concatenate(rows)).to(self.encoder.device)

    def _neighbours(self) -> list[list[int]]:
        """Return which products look most like each, itself among them."""
        rows = torch.stack([self.original[own].mean(0) for own in self.lessons.by_product])
        rows = F.normalize(rows - rows.mean(0), dim=1)
        count = min(len(rows), _NEAR)
        near: list[list[int]] = (rows @ rows.T).topk(count).indices.tolist()
        return near

    def _head(self) -> nn.Linear | None:
        """Return a layer that tells categories, which begins with their means and is thrown away;
        none where there are not two categories.
        """
        known = np.unique(self.lessons.labels[self.lessons.labels >= 0])
        place = {label: at for at, label in enumerate(known.tolist())}
        self.labels = torch.tensor([place.get(each, -1) for each in self.lessons.labels.tolist()])
        if len(known) < 2:
            return None
        means = torch.stack([self.original[self.labels == at].mean(0) for at in range(len(known))])
        head = nn.Linear(means.shape[1], len(known), device=means.device)
        with torch.no_grad():
            head.weight.copy_(F.normalize(means - means.mean(0), dim=1))
            head.bias.zero_()
        return head
