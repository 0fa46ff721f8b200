"""The options of a training run, with their defaults and what they mean."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from vision.errors import FindalikeError

# What may change when a run goes on: none of these changes what is learnt.
_FREE = (
    "renders",
    "photos",
    "out",
    "begin",
    "threads",
    "device",
    "checkpoint_minutes",
    "log_every",
)


class TrainingError(FindalikeError):
    """Pictures, tables, options or a run folder that training cannot work with."""


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Options:
    """One training run: where its pictures lie, how long it runs, and what it weighs.

    Sizes are in pixels, shares and probabilities in 0..1. Raises TrainingError where values do not
    go together.
    """

    renders: str = _option("", "folder with products.csv and pictures.csv of the renders")
    photos: str = _option("", "folder with products.csv and queries.csv of the real photos")
    out: str = _option("", "folder of the run: checkpoint, log, settings, decoded pictures")
    begin: str = _option("", "folder of an earlier run, whose averaged weights to begin with")
    epochs: float = _option(0.0, "length of the run, in pictures seen per picture there")
    minutes: float = _option(0.0, "length of the run by the clock, instead of --epochs")
    threads: int = _option(0, "CPU threads; 0 leaves it to torch")
    device: str = _option("cpu", "cpu or cuda")
    precision: str = _option("float32", "float32, or bf16 by torch's autocast")
    seed: int = _option(0, "all chance follows from it and the step's number")
    checkpoint_minutes: float = _option(3.0, "time between checkpoints")
    log_every: int = _option(50, "steps between lines of the log")

    stored: int = _option(256, "side of the pictures as kept in memory")
    size: int = _option(176, "side of the pictures the network sees")
    last_size: int = _option(224, "the same for the last steps")
    last_share: float = _option(0.15, "share of the steps at the last size")
    axes_pictures: int = _option(6000, "most pictures the principal axes are taken from")

    batch: int = _option(128, "pictures in a batch, about")
    views: int = _option(4, "views of each product in a batch")
    photo_views: int = _option(2, "views of each clothing photo in a batch")
    colours: int = _option(4, "most products of one family in a batch")
    captions: int = _option(2, "captions of each product in a batch")
    share_grocery: float = _option(0.2, "share of a batch that is grocery photos")
    share_clothing: float = _option(0.25, "share of a batch that is clothing photos")

    frozen: int = _option(2, "stages of the network that stay as they are; -1 frees the stem too")
    lr_trunk: float = _option(1e-4, "highest learning rate of the network")
    lr_projection: float = _option(3e-4, "highest learning rate of the projection")
    lr_new: float = _option(1e-3, "highest learning rate of the text tower and the heads")
    weight_decay: float = _option(0.05, "AdamW's, on matrices only")
    clip: float = _option(1.0, "longest gradient")
    warmup: int = _option(200, "steps until the highest learning rate, at most a tenth of all")
    ema: float = _option(0.999, "decay of the averaged weights, which are what is exported")

    temperature: float = _option(0.07, "of the contrast between products")
    hold_share: float = _option(0.5, "share of a batch shown to the original network too")
    weight_products: float = _option(1.0, "weight of the contrast between products")
    weight_words: float = _option(0.5, "weight of the contrast between pictures and captions")
    weight_labels: float = _option(0.3, "weight of the heads: kind, colour, class and so on")
    weight_hold: float = _option(1.0, "weight of staying near the original features")
    weight_relations: float = _option(5.0, "weight of staying near the original similarities")

    def __post_init__(self) -> None:
        wrong = [
            (self.epochs < 0 or self.minutes < 0, "a length cannot be negative"),
            (self.size % 16 or self.last_size % 16, "sizes must be multiples of 16"),
            (self.precision not in ("float32", "bf16"), "precision is float32 or bf16"),
            (self.views < 2 or self.photo_views < 2, "contrast needs two views of each product"),
            (self.batch < 2 * self.views, "a batch must hold two products"),
            (not -1 <= self.frozen <= 7, "frozen is -1 to 7"),
            (self.captions < 1, "each product needs a caption"),
            (not 0 < self.hold_share <= 1, "hold_share is above 0, at most 1"),
        ]
        for bad, reason in wrong:
            if bad:
                raise TrainingError(f"These options do not work: {reason}.")

    def as_dict(self) -> dict[str, Any]:
        """Return the options as plain JSON values."""
        return asdict(self)

    def differing(self, earlier: dict[str, Any]) -> list[str]:
        """Return the names of options that an earlier part of the same run had otherwise."""
        now = self.as_dict()
        return [name for name in now if name not in _FREE and now[name] != earlier.get(name)]


def add_options(parser: argparse.ArgumentParser, names: tuple[str, ...] = ()) -> None:
    """Give a parser an argument for every option, or for those in ``names``."""
    for each in fields(Options):
        if names and each.name not in names:
            continue
        parser.add_argument(
            "--" + each.name.replace("_", "-"),
            type=type(each.default),
            default=each.default,
            help=f"{each.metadata['help']} (%(default)s)",
        )


def folder(path: str, what: str) -> Path:
    """Return a folder that was named; raises TrainingError where there is none."""
    if not path or not Path(path).is_dir():
        raise TrainingError(f'There is no folder of {what} at "{path}".')
    return Path(path)
