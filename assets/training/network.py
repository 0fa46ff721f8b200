"""The network: open_clip's CLIP around EfficientNet-Lite0, its start, and its vocabulary."""

from __future__ import annotations

import copy
import gzip
from pathlib import Path
from typing import Any, Protocol

import torch

from assets.training.imagenet import original_trunk

VOCABULARY = "vocabulary.bpe.gz"
_MERGES = 4000
_CONTEXT = 32

PREPROCESS: dict[str, Any] = {
    "size": [224, 224], "mode": "RGB", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 0,
}  # fmt: skip


class Tokenizer(Protocol):
    """Texts to token numbers (n, 32) int64, below ``vocab_size``."""

    vocab_size: int

    def __call__(self, texts: list[str]) -> torch.Tensor: ...


def write_vocabulary(path: Path) -> None:
    """Write the most frequent of open_clip's byte-pair merges (MIT), the same bytes every time."""
    import open_clip

    with gzip.open(open_clip.tokenizer.default_bpe(), "rt", encoding="utf-8") as file:
        lines = [next(file).rstrip("\n") for _ in range(_MERGES + 1)]  # and the header
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
        packed.write("\n".join(lines).encode())  # no last line end: it would count as a merge


def load_tokenizer(path: Path) -> Tokenizer:
    """Return open_clip's tokenizer with the merges of a file."""
    import open_clip

    made: Tokenizer = open_clip.tokenizer.SimpleTokenizer(
        bpe_path=str(path), context_length=_CONTEXT
    )
    return made


def model_config(vocabulary: int) -> dict[str, Any]:
    """Return open_clip's configuration of the model, for so many tokens."""
    return {
        "embed_dim": 512,
        "vision_cfg": {
            "timm_model_name": "tf_efficientnet_lite0", "timm_model_pretrained": False,
            "timm_pool": "avg", "timm_proj": "linear", "image_size": 224,
        },
        "text_cfg": {
            "context_length": _CONTEXT, "vocab_size": vocabulary, "width": 256, "heads": 4,
            "layers": 4, "tokenizer_kwargs": {"bpe_path": VOCABULARY},
        },
    }  # fmt: skip


def build_model(vocabulary: int, seed: int) -> Any:
    """Return an open_clip CLIP with ImageNet's trunk, in eval mode; the rest is random by seed.

    It stays in eval mode in training too: running statistics of the batch normalisation are
    ImageNet's, because batches of renders would move them away from photos.
    """
    import open_clip

    torch.manual_seed(seed)
    config = copy.deepcopy(model_config(vocabulary))
    model = open_clip.model.CLIP(**config)
    model.visual.trunk.load_state_dict(original_trunk().state_dict())
    return model.eval()


def normalise(views: torch.Tensor) -> torch.Tensor:
    """Return pixels (b, 3, s, s) in 0..1 as the network takes them, channels last."""
    return (views * 2 - 1).contiguous(memory_format=torch.channels_last)


def early(trunk: Any, pixels: torch.Tensor, stages: int) -> torch.Tensor:
    """Return what the stem and the first stages make of pixels; nothing when ``stages`` is -1."""
    if stages < 0:
        return pixels
    x: torch.Tensor = trunk.bn1(trunk.conv_stem(pixels))
    for block in trunk.blocks[:stages]:
        x = block(x)
    return x


def late(trunk: Any, x: torch.Tensor, stages: int) -> torch.Tensor:
    """Return the pooled features (b, 1280) from what ``early`` made."""
    if stages < 0:
        x, stages = early(trunk, x, 0), 0
    for block in trunk.blocks[stages:]:
        x = block(x)
    features: torch.Tensor = trunk.forward_head(trunk.bn2(trunk.conv_head(x)))
    return features


def freeze(model: Any, stages: int) -> None:
    """Keep the stem and the first stages as they are; -1 frees all of the network."""
    trunk = model.visual.trunk
    if stages >= 0:
        for part in (trunk.conv_stem, trunk.bn1, *trunk.blocks[:stages]):
            part.requires_grad_(False)


def principal_axes(features: torch.Tensor, count: int) -> torch.Tensor:
    """Return the first principal axes (count, d) float32 of features (n, d), longest first.

    Each axis is turned so that its largest entry is positive, which makes it the same anywhere.
    """
    centred = (features - features.mean(0)).double()
    _, axes = torch.linalg.eigh(centred.T @ centred)
    axes = axes.T.flip(0)[:count]
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    turned: torch.Tensor = axes * largest.sign()
    return turned.float().contiguous()
