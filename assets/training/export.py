"""The finished encoder as a folder that open_clip loads: weights, configuration, vocabulary."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from assets.training.checkpoint import load_checkpoint
from assets.training.corpus import read_corpus
from assets.training.imagenet import original_trunk
from assets.training.network import (
    PREPROCESS,
    VOCABULARY,
    build_model,
    load_tokenizer,
    model_config,
    write_vocabulary,
)
from assets.training.options import Options, TrainingError
from assets.training.pixels import load_pixels
from assets.training.placing import Placer
from assets.training.trainer import backgrounds, starting_axes

_WEIGHTS, _CONFIG = "open_clip_model.safetensors", "open_clip_config.json"


def export_run(run: Path, target: Path, blend: float = 1.0) -> int:
    """Write the averaged model of a run as an encoder; return the size of its weights in bytes.

    The vision tower is ``blend`` parts trained and the rest what it started from (WiSE-FT,
    Wortsman et al. 2022). Raises TrainingError where there is no run or ``blend`` is not 0..1.
    """
    if not 0 <= blend <= 1:
        raise TrainingError("The blend is a number from 0 (the start) to 1 (as trained).")
    state = load_checkpoint(run)
    if state is None:
        raise TrainingError(f"{run} holds no checkpoint of a run.")
    tensors = {**state["model"], **state["average"]}
    start = {f"visual.trunk.{n}": value for n, value in original_trunk().state_dict().items()}
    start["visual.head.proj.weight"] = state["axes"]
    for name, first in start.items():
        if first.is_floating_point() and blend < 1:
            tensors[name] = torch.lerp(first.float(), tensors[name].float(), blend)
    return write_encoder(tensors, target)


def export_start(options: Options, target: Path) -> int:
    """Write the model as training finds it: ImageNet's trunk, principal axes, random words."""
    corpus = read_corpus(options)
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        pixels = load_pixels(corpus, options.stored, Path(folder), options.threads or 4)
        axes = starting_axes(corpus, Placer(pixels, backgrounds(corpus)), options)
        vocabulary = Path(folder) / VOCABULARY
        write_vocabulary(vocabulary)
        size = load_tokenizer(vocabulary).vocab_size
    model = build_model(size, options.seed)
    model.visual.head.proj.weight.data.copy_(axes)
    return write_encoder(model.state_dict(), target)


def write_encoder(tensors: Mapping[str, torch.Tensor], target: Path) -> int:
    """Write an encoder's folder; return the size of its weights in bytes.

    Matrices are stored as float16. Vectors, a hundredth of the whole, stay float32: running
    variances reach further than float16 does. open_clip makes float32 of both.
    """
    from safetensors.torch import save_file

    packed = {
        name: (value.half() if value.is_floating_point() and value.ndim > 1 else value)
        .detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }  # fmt: skip
    wrong = [n for n, v in packed.items() if v.is_floating_point() and not v.isfinite().all()]
    if wrong:
        raise TrainingError(f"{wrong[0]} and {len(wrong) - 1} more tensors do not fit float16.")
    target.mkdir(parents=True, exist_ok=True)
    write_vocabulary(target / VOCABULARY)
    rows = packed["token_embedding.weight"].shape[0]
    config = {"model_cfg": model_config(rows), "preprocess_cfg": PREPROCESS}
    (target / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    part = target / f"{_WEIGHTS}.part"
    save_file(packed, part, metadata={"format": "pt"})
    part.chmod(0o644)  # safetensors lets its owner alone read it, which would ship so
    part.replace(target / _WEIGHTS)
    return (target / _WEIGHTS).stat().st_size
