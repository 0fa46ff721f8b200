"""Encoders written to disk in their library's own format, for ``Encoder.load`` to load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from assets import ENCODER
from vision.errors import EncoderError
from vision.models import BUILTIN
from vision.networks.loading import Backbone
from vision.networks.weights import short

_WEIGHTS = {"clip": "open_clip_model.safetensors", "timm": "model.safetensors",
            "torchvision": "model.safetensors"}  # fmt: skip


def local_spec(spec: str, folder: Path) -> str:
    """Return the spec of what ``write_encoder`` writes into a folder."""
    family, name = _family(spec), spec.partition(":")[2]
    if family == "torchvision":
        return f"torchvision:{name.partition('@')[0]}@{folder / _WEIGHTS[family]}"
    return f"{family}:local-dir:{folder}"


def write_encoder(backbone: Backbone, spec: str, folder: Path) -> None:
    """Write a network that ``load_backbone(spec)`` gave, with the weights it has now.

    Everything needed to load it lies in the folder: weights, configuration, and the tokenizer of
    a CLIP that brought its own. Raises EncoderError where it cannot be written in its format.
    """
    from safetensors.torch import save_file

    family = _family(spec)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"clip": _clip, "timm": _timm, "torchvision": _torchvision}[family](
            backbone, spec, folder
        )
        path = folder / _WEIGHTS[family]
        packed = {
            name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, value in tensors.items()
        }
        save_file(packed, path, metadata={"format": "pt"})
        path.chmod(0o644)  # safetensors lets its owner alone read it
    except EncoderError:
        raise
    except Exception as error:  # three libraries, and a disk that may be full
        raise EncoderError(f"{spec} cannot be written to {folder}: {short(error)}") from error


def _family(spec: str) -> str:
    return "clip" if spec == BUILTIN else spec.partition(":")[0]


def _clip(backbone: Backbone, spec: str, folder: Path) -> dict[str, torch.Tensor]:
    """Write an open_clip model's configuration and tokenizer; return both towers' tensors."""
    import open_clip

    image: Any = backbone.image
    name = f"local-dir:{ENCODER}" if spec == BUILTIN else spec.partition(":")[2]
    schema, place = open_clip.factory.parse_model_name(name)
    if schema is None:
        name = place.partition("@")[0].partition("/")[0]
    config = open_clip.get_model_config(name)
    if backbone.variant == "quickgelu":
        config["quick_gelu"] = True
    facts = {"model_cfg": config, "preprocess_cfg": dict(image.preprocess_cfg)}
    _write_json(folder / "open_clip_config.json", facts)
    _write_tokenizer(backbone, spec, config["text_cfg"], place if schema == "local-dir" else "",
                     folder)  # fmt: skip
    assert backbone.text is not None
    words = {key.removeprefix("model."): value for key, value in _state(backbone.text).items()}
    return {**{f"visual.{key}": value for key, value in _state(image).items()}, **words}


def _write_tokenizer(
    backbone: Backbone, spec: str, words: dict[str, Any], source: str, folder: Path
) -> None:
    """Take along what makes token numbers of words, where it does not come with open_clip."""
    own = words.get("tokenizer_kwargs", {}).get("bpe_path", "")
    if own and source:
        shutil.copyfile(Path(source) / own, folder / own)
    elif words.get("hf_tokenizer_name"):
        assert backbone.tokenizer is not None
        made: Any = backbone.tokenizer()
        made.tokenizer.save_pretrained(folder)
    elif not source and "siglip" in spec.lower():  # open_clip goes by the name, which is lost here
        raise EncoderError(f"{spec} cannot be written: its tokenizer cannot be taken along.")


def _timm(backbone: Backbone, spec: str, folder: Path) -> dict[str, torch.Tensor]:
    """Write the configuration of a timm model without its head; return its tensors."""
    from timm.models import filter_pretrained_cfg

    network: Any = backbone.image
    named: Any = filter_pretrained_cfg  # timm publishes no type for it
    config = dict(named(network.pretrained_cfg, remove_source=True))
    architecture = config.pop("architecture")
    # What the repository or folder wanted changed stands in the variant, after two names.
    arguments = json.loads(backbone.variant.split(" ", 2)[2])
    facts = {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": network.num_features,
        "model_args": arguments,
        "pretrained_cfg": {**config, "num_classes": 0, "custom_load": False},
    }
    _write_json(folder / "config.json", facts)
    return _state(network)


def _torchvision(backbone: Backbone, spec: str, folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a torchvision classifier; its head, which is not used, is zeros."""
    from torchvision import models

    name = spec.partition(":")[2].partition("@")[0]
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    whole = models.get_model(name, weights=None, **options).state_dict()
    known = _state(backbone.image)
    return {key: known.get(key, torch.zeros_like(value)) for key, value in whole.items()}


def _state(network: nn.Module) -> dict[str, torch.Tensor]:
    return dict(network.state_dict())


def _write_json(path: Path, facts: dict[str, Any]) -> None:
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
