"""Classifiers with their heads removed: torchvision's and timm's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from vision.errors import EncoderError
from vision.models import hub_cache, torch_cache
from vision.networks.loading import (
    Backbone,
    Source,
    folder_of,
    loading,
    only,
    reach,
    square,
    unknown,
)
from vision.networks.preprocess import Preprocess
from vision.networks.weights import fill


def load_torchvision(name: str, path: Path | None, spec: str) -> Backbone:
    """Load a torchvision classifier without its head, with its default weights or from a file."""
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise EncoderError(unknown("torchvision", name, known))
    weights = models.get_model_weights(name).DEFAULT
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):  # as torchvision does for its own weights
        options = {"transform_input": True, "init_weights": False}
    model = models.get_model(name, weights=None, **options)
    if path is not None:
        fill(model, path, spec.partition("@")[0])
    else:
        cache = torch_cache()
        with loading(Source(spec, "", weights.url, cache)):
            if not (cache / Path(weights.url).name).is_file():
                reach(weights.url)
            state = weights.get_state_dict(
                model_dir=str(cache), progress=True, check_hash=True, weights_only=True
            )
            model.load_state_dict(state)
    _remove_head(model, name)
    transform = weights.transforms()
    preprocess = Preprocess(
        "shortest", transform.resize_size[0], transform.crop_size[0], tuple(transform.mean),
        tuple(transform.std), str(transform.interpolation.value),
    )  # fmt: skip
    return Backbone(model.eval(), preprocess, f"torchvision {name}")


def _remove_head(model: nn.Module, name: str) -> None:
    """Put the identity in place of the last linear layer, whatever the family calls it."""
    for attribute in ("fc", "classifier", "head", "heads"):
        head = getattr(model, attribute, None)
        if isinstance(head, nn.Linear):
            setattr(model, attribute, nn.Identity())
            return
        if isinstance(head, nn.Sequential) and isinstance(head[-1], nn.Linear):
            head[-1] = nn.Identity()
            return
    raise EncoderError(
        f"findalike cannot tell the head of torchvision's {name} from its body; "
        f"use another, such as torchvision:resnet50."
    )


def load_timm(name: str, path: Path | None, spec: str) -> Backbone:
    """Load a timm model without its head: by name, from a hub repository, a folder or a file."""
    import timm

    scheme, _, place = name.rpartition(":")
    if scheme == "local-dir":
        place = folder_of(place, "config.json", "timm")
        source = Source(spec, place, "", hub_cache())
    elif scheme == "hf-hub":
        source = Source(spec, "", f"huggingface.co/{place}", hub_cache())
    else:
        place = name
        source = Source(spec, str(path or ""), _timm_name(name, path), hub_cache())
    with loading(source):
        # With its head, because timm lets tensors be missing when it is asked for none.
        model: Any = timm.create_model(
            f"{scheme}:{place}" if scheme else place, pretrained=path is None
        )
        arguments = _timm_arguments(scheme, place)
    if path is not None:
        head = model.pretrained_cfg.get("classifier") or ()
        model.reset_classifier(0)
        fill(model, path, f"timm:{name}", (head,) if isinstance(head, str) else tuple(head))
    return _timm_backbone(model, str(model.pretrained_cfg["architecture"]), arguments)


def _timm_name(name: str, path: Path | None) -> str:
    """Return the repository the weights of a timm model come from; raises EncoderError."""
    import timm

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise EncoderError(unknown("timm", architecture, timm.list_models()))
    configs = {
        each.partition(".")[2]: config
        for each in timm.list_pretrained(f"{architecture}.*")
        if (config := timm.get_pretrained_cfg(each))
    }
    if tag and tag not in configs:
        raise EncoderError(unknown(f"{architecture} weights", tag, list(configs)))
    if path is None and not configs:
        raise EncoderError(f"timm has no weights for {architecture}; use timm:{architecture}@FILE.")
    if path is not None and not tag:
        trained = {each: (config.mean, config.std) for each, config in configs.items()}
        only(trained, f"timm:{architecture}.{{}}@FILE")
    config = configs.get(tag) or timm.get_pretrained_cfg(architecture)
    return (
        f"huggingface.co/{config.hf_hub_id}" if config and config.hf_hub_id else "its URL in timm"
    )


def _timm_arguments(scheme: str, place: str) -> dict[str, Any]:
    """Return what a repository or folder wants changed about the model, such as its padding."""
    from timm.models import load_model_config_from_hf

    if scheme == "hf-hub":
        return dict(load_model_config_from_hf(place)[2] or {})
    if scheme == "local-dir":
        return dict(json.loads((Path(place) / "config.json").read_text()).get("model_args") or {})
    return {}


def _timm_backbone(model: Any, architecture: str, arguments: dict[str, Any]) -> Backbone:
    """Remove the head, and take the preprocessing from the model's own configuration."""
    from timm.data.config import resolve_model_data_config

    model.reset_classifier(0)
    config = resolve_model_data_config(model)  # type: ignore[no-untyped-call]
    _, height, width = config["input_size"]
    side = square(height, width)
    border = config["crop_mode"] == "border"
    preprocess = Preprocess(
        "longest" if border else "squash" if config["crop_mode"] == "squash" else "shortest",
        int(side / config["crop_pct"]), side, tuple(config["mean"]), tuple(config["std"]),
        config["interpolation"], None if border else 0,
    )  # fmt: skip
    variant = f"timm {architecture} {json.dumps(arguments, sort_keys=True)}"
    return Backbone(model.eval(), preprocess, variant)
