"""A training run: from options to a checkpoint, in as many sittings as it takes."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from assets.training.batches import Batch, Sampler
from assets.training.checkpoint import Log, load_checkpoint, save_checkpoint, write_settings
from assets.training.corpus import Corpus, read_corpus
from assets.training.imagenet import original_trunk
from assets.training.learner import Learner
from assets.training.network import (
    VOCABULARY,
    early,
    late,
    load_tokenizer,
    normalise,
    principal_axes,
    write_vocabulary,
)
from assets.training.options import Options, TrainingError
from assets.training.pixels import load_pixels
from assets.training.placing import Chance, Placer
from assets.training.schedule import Clock, Schedule
from assets.training.wear import wear

_AXES_SIZE = 224
_AXES_BATCH = 64


class Trainer:
    """A run, taken up where its folder left it; ``train`` goes on until the end or a stop."""

    def __init__(self, options: Options) -> None:
        if bool(options.epochs) == bool(options.minutes):
            raise TrainingError("Say how long to train: either --epochs or --minutes.")
        if not options.out:
            raise TrainingError("Name a folder for the run with --out.")
        if options.device.startswith("cuda") and not torch.cuda.is_available():
            raise TrainingError("torch finds no CUDA device here; use --device cpu.")
        if options.threads:
            torch.set_num_threads(options.threads)
        torch.backends.cudnn.deterministic = True
        self.options, self.folder = options, Path(options.out)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.corpus = read_corpus(options)
        state = load_checkpoint(self.folder)
        if state is not None:
            self._check(state)
        self.pixels = load_pixels(self.corpus, options.stored, self.folder, options.threads or 4)
        if options.device.startswith("cuda"):
            self.pixels = self.pixels.to(torch.device(options.device))
        self.placer = Placer(self.pixels, backgrounds(self.corpus))
        write_vocabulary(self.folder / VOCABULARY)
        tokenizer = load_tokenizer(self.folder / VOCABULARY)
        earlier = None
        if options.begin and state is None:
            earlier = load_checkpoint(Path(options.begin))
            if earlier is None:
                raise TrainingError(f"{options.begin} holds no checkpoint of a run to begin with.")
        known = state or earlier
        self.axes = known["axes"] if known else starting_axes(self.corpus, self.placer, options)
        self.learner = Learner(self.corpus, options, tokenizer, self.axes)
        self.sampler = Sampler(self.corpus, options)
        total = None
        if options.epochs:
            total = max(1, round(options.epochs * len(self.corpus.pictures) / options.batch))
        self.schedule = Schedule(options, total)
        self.seconds, self.seen = 0.0, 0
        if state is not None:
            self.learner.restore(state)
            self.schedule.step, self.schedule.total = state["step"], state["total"]
            self.seconds, self.seen = state["seconds"], state["seen"]
        else:
            if earlier is not None:
                self.learner.begin_with(earlier["average"])
            self.save()

    def train(self, stop: Callable[[], bool] = lambda: False) -> list[dict[str, float]]:
        """Take steps until the end or until ``stop`` says so; return the lines of the log."""
        log, lines = Log(self.folder, self.schedule.step), []
        schedule, clock = self.schedule, Clock(self.seconds)
        found: Counter[str] = Counter()  # sums since the last line
        saved, since = time.monotonic(), clock.seconds
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self.sampler.draw, schedule.step)
            while not schedule.done() and not stop():
                batch, size = coming.result(), schedule.size()
                coming = ahead.submit(self.sampler.draw, schedule.step + 1)
                found.update(self._learn(batch, size))
                found.update(steps=1, pictures=len(batch.pictures))
                schedule.step += 1
                self.seen += len(batch.pictures)
                clock.tick()
                self.seconds = clock.seconds
                schedule.plan(clock)
                if found["steps"] == self.options.log_every or schedule.done():
                    lines.append(self._line(found, clock.seconds - since, size))
                    log.add(lines[-1])
                    found, since = Counter(), clock.seconds
                if time.monotonic() - saved > self.options.checkpoint_minutes * 60:
                    self.save()
                    saved = time.monotonic()
        self.save()
        return lines

    def views(self, numbers: torch.Tensor, size: int) -> torch.Tensor:
        """Return this step's random views of pictures: (b, 3, size, size) float32 in 0..1."""
        generator = torch.Generator().manual_seed(self.options.seed * 999_983 + self.schedule.step)
        chance = Chance(generator, self.placer.device)
        with torch.no_grad():
            return wear(self.placer.draw(numbers, size, chance), chance)

    def save(self) -> None:
        """Write the checkpoint and the settings."""
        schedule = self.schedule
        counts = {"step": schedule.step, "total": schedule.total, "seen": self.seen}
        save_checkpoint(self.folder, {
            **counts, **self.learner.state(), "axes": self.axes, "seconds": self.seconds,
            "options": self.options.as_dict(), "corpus": self.corpus.fingerprint(),
        })  # fmt: skip
        options = self.options.as_dict()
        for name in ("renders", "photos", "out", "begin"):  # what was trained on, not where it lay
            options[name] = Path(options[name]).name
        write_settings(self.folder, {
            "options": options, "counts": self.corpus.counts(), "steps": schedule.step,
            "total_steps": schedule.total, "pictures_seen": self.seen,
            "seconds_trained": round(self.seconds, 1), "torch": torch.__version__,
        })  # fmt: skip

    def _check(self, state: dict[str, Any]) -> None:
        if differing := self.options.differing(state["options"]):
            raise TrainingError(
                f"The run in {self.folder} was begun with other options "
                f"({', '.join(differing)}). Give the same, or another folder."
            )
        if state["corpus"] != self.corpus.fingerprint():
            raise TrainingError(f"The run in {self.folder} was begun with other pictures.")

    def _learn(self, batch: Batch, size: int) -> dict[str, Any]:
        """Take a step; raises TrainingError when the loss is no number any more."""
        schedule = self.schedule
        views = self.views(batch.pictures, size)
        found = self.learner.learn(views, batch, schedule.step, schedule.pace())
        if not math.isfinite(found["total"]):
            raise TrainingError(
                f"The loss became {found['total']} at step {schedule.step}; the last checkpoint "
                f"stands. Try lower learning rates in a new folder."
            )
        return found

    def _line(self, sums: Counter[str], seconds: float, size: int) -> dict[str, float]:
        """Print and return the means since the last line."""
        steps, speed = sums.pop("steps"), sums.pop("pictures") / seconds
        line = {
            "step": self.schedule.step, "seconds": round(self.seconds, 1),
            **{name: round(value / steps, 5) for name, value in sums.items()},
            "scale": round(float(self.learner.model.logit_scale.detach().exp()), 2),
            "pace": round(self.schedule.pace(), 4), "size": size, "pictures/s": round(speed, 1),
        }  # fmt: skip
        total = self.schedule.total or "?"
        rest = "  ".join(f"{name} {value}" for name, value in line.items() if name != "step")
        print(f"step {self.schedule.step}/{total}  {rest}", flush=True)
        return line


def backgrounds(corpus: Corpus) -> torch.Tensor:
    """Return the pictures (n,) int64 whose pieces may lie behind cutouts: scenes and photos."""
    numbers = [i for each in corpus.products if each.source != "render" for i in each.pictures]
    numbers += [i for i, each in enumerate(corpus.pictures) if each.view == "customer"]
    return torch.tensor(sorted(set(numbers)), dtype=torch.int64)


def starting_axes(corpus: Corpus, placer: Placer, options: Options) -> torch.Tensor:
    """Return the projection (512, 1280) a run starts with: the axes of its pictures' features."""
    generator = torch.Generator().manual_seed(options.seed)
    order = torch.randperm(len(corpus.pictures), generator=generator)[: options.axes_pictures]
    trunk = original_trunk().to(placer.device, memory_format=torch.channels_last)
    size = min(_AXES_SIZE, placer.pixels.planes.shape[-1])
    features = []
    with torch.no_grad():
        for numbers in torch.split(order.sort().values, _AXES_BATCH):
            pixels = normalise(placer.plain(numbers, size))
            features.append(late(trunk, early(trunk, pixels, 0), 0).float().cpu())
    return principal_axes(torch.cat(features), 512)
