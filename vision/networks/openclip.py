"""CLIP, SigLIP and their kin, as open_clip builds and loads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from assets import ENCODER, ENCODER_SHA256
from vision.errors import EncoderError
from vision.models import BUILTIN, hub_cache
from vision.networks.loading import Backbone, Source, folder_of, loading, only, square, unknown
from vision.networks.preprocess import Preprocess
from vision.networks.weights import sha256_of


def load_builtin() -> Backbone:
    """Load the CLIP that ships with findalike; raises EncoderError if its weights are damaged."""
    weights = ENCODER / "open_clip_model.safetensors"
    if not weights.is_file() or sha256_of(weights) != ENCODER_SHA256:
        raise EncoderError(
            "The weights of the built-in encoder are damaged. Install findalike again: "
            "pip install --force-reinstall --no-deps findalike"
        )
    return load_open_clip(f"local-dir:{ENCODER}", None, BUILTIN)


def load_open_clip(name: str, path: Path | None, spec: str) -> Backbone:
    """Load both towers of an open_clip model: by name and tag, from the hub, a folder or a file."""
    import open_clip

    schema, place = open_clip.factory.parse_model_name(name)
    options: dict[str, Any] = {}
    if schema is None:
        place, _, tag = name.partition("/")
        options = _options(place, tag, path, spec)
        source = Source(spec, str(path or ""), _origin(place, tag), hub_cache())
    elif path is not None:
        raise EncoderError(f'"{spec}" names two sources of weights; give one of them.')
    elif schema == "local-dir":
        place = folder_of(place, "open_clip_config.json", "open_clip")
        source = Source(spec, place, "", hub_cache())
    else:
        source = Source(spec, "", f"huggingface.co/{place}", hub_cache())
    model_name = f"{schema}:{place}" if schema else place
    with loading(source):
        model = open_clip.create_model(
            model_name, require_pretrained=True, weights_only=True, **options
        ).eval()
        words = open_clip.get_model_config(model_name)["text_cfg"]

    def tokenizer() -> Callable[[list[str]], torch.Tensor]:
        repository = words.get("hf_tokenizer_name") or ("siglip" in place.lower() and place)
        here = place if schema == "local-dir" or not repository else ""
        origin = f"huggingface.co/{repository}, the tokenizer"
        with loading(Source(spec, here, origin, hub_cache())):
            made: Callable[[list[str]], torch.Tensor] = open_clip.get_tokenizer(
                model_name, **_vocabulary(words, place if schema == "local-dir" else "")
            )
        return made

    quick = any(isinstance(each, open_clip.transformer.QuickGELU) for each in model.modules())
    image, model.visual = model.visual, None  # two towers that share nothing
    preprocess = _preprocess(image.preprocess_cfg)
    return Backbone(image, preprocess, "quickgelu" if quick else "", _TextTower(model), tokenizer)


def _vocabulary(words: Mapping[str, Any], folder: str) -> dict[str, str]:
    """Return where a folder keeps its own byte pairs: open_clip looks beside the program."""
    name = words.get("tokenizer_kwargs", {}).get("bpe_path", "")
    return {"bpe_path": str(Path(folder) / name)} if folder and name else {}


def _options(architecture: str, tag: str, path: Path | None, spec: str) -> dict[str, Any]:
    """Return what open_clip must be told to load the weights as they were trained."""
    import open_clip

    config = open_clip.get_model_config(architecture)
    if config is None:
        raise EncoderError(unknown("open_clip", architecture, open_clip.list_models()))
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag and tag not in tags:
        raise EncoderError(unknown(f"{architecture} weights", tag, tags))
    if not tag and path is None:
        examples = [*(f"clip:{architecture}/{each}" for each in tags), f"clip:{architecture}@FILE"]
        raise EncoderError(f'"{spec}" names no weights. Use {" or ".join(examples[-3:])}.')
    if not tag:
        trained = {each: tuple(_settings(architecture, each).items()) for each in tags}
        tag = only(trained, f"clip:{architecture}/{{}}@FILE")
    settings = _settings(architecture, tag)
    return {
        "pretrained": str(path.resolve()) if path else tag,
        # Left to itself, open_clip only warns that the activation function is another.
        "force_quick_gelu": settings.pop("quick_gelu"),
        "force_preprocess_cfg": settings,
    }


def _settings(architecture: str, tag: str) -> dict[str, Any]:
    """Return how the network and its pictures were set up when these weights were trained."""
    import open_clip

    keys = ("mean", "std", "interpolation", "resize_mode")
    config = open_clip.get_pretrained_cfg(architecture, tag) if tag else {}
    settings = {key: config[key] for key in keys if key in config}
    return {**settings, "quick_gelu": bool(config.get("quick_gelu"))}


def _origin(architecture: str, tag: str) -> str:
    import open_clip

    config = open_clip.get_pretrained_cfg(architecture, tag) if tag else {}
    hub = str(config.get("hf_hub", "")).strip("/")
    return f"huggingface.co/{hub}" if hub else str(config.get("url", ""))


def _preprocess(config: Mapping[str, Any]) -> Preprocess:
    size, mean, std = config["size"], config["mean"], config["std"]
    side = square(*size) if isinstance(size, Sequence) else int(size)
    return Preprocess(
        config["resize_mode"], side, side,
        tuple(mean) if isinstance(mean, Sequence) else (mean,) * 3,
        tuple(std) if isinstance(std, Sequence) else (std,) * 3,
        # open_clip knows no other.
        "bilinear" if config["interpolation"] == "bilinear" else "bicubic",
        int(config.get("fill_color", 0)),
    )  # fmt: skip


class _TextTower(nn.Module):
    """The words' half of a CLIP."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        model: Any = self.model
        rows: torch.Tensor = model.encode_text(tokens)
        return rows
