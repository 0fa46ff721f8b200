"""The encoder: pictures and words in, embeddings out."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from vision.backbones import Backbone, load_backbone
from vision.errors import EncoderError
from vision.images import Image
from vision.models import BUILTIN, MODELS
from vision.weights import hash_module

Precision = Literal["fp32", "bf16", "fp16"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# Part of every fingerprint: raise it when anything here changes what an embedding is.
_PIPELINE = 1

# The least cosine to float32 at which a lower precision may be used.
_AGREEMENT = 0.999


class Encoder:
    """A loaded model that turns pictures, and for CLIP models words, into embeddings.

    Embeddings are (n, dim) float32 unit rows, so that a dot product is the cosine similarity.
    ``fingerprint`` is a hex digest of the weights and the preprocessing: equal fingerprints mean
    embeddings that may be compared, whatever file the weights came from.
    """

    def __init__(
        self, spec: str, backbone: Backbone, device: str | None, precision: Precision | None
    ) -> None:
        self.spec = spec
        self.preprocess = backbone.preprocess
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.weights_sha256 = hash_module(backbone.image, backbone.text)
        self._image = backbone.image.to(self.device, memory_format=torch.channels_last)
        self._text = backbone.text
        self._tokenizer = backbone.tokenizer
        self._mean = torch.tensor(self.preprocess.mean, device=self.device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(self.preprocess.std, device=self.device).view(1, 3, 1, 1) * 255
        self.precision: Precision = "fp32"
        reference = self.encode_pixels(self._samples())
        self.dim = int(reference.shape[1])
        self._lower(precision, reference)
        self.fingerprint = self._fingerprint()

    @classmethod
    def load(
        cls,
        spec: str = BUILTIN,
        *,
        device: str | None = None,
        precision: Precision | None = None,
    ) -> Encoder:
        """Load the encoder that ``spec`` names, such as ``"clip:ViT-B-32/laion2b_s34b_b79k"``.

        ``device`` is a torch device (default: CUDA where there is one); ``precision`` is that of
        the image network (default: the fastest whose embeddings agree with float32). Raises
        EncoderError for an unknown spec or a file that does not fit, MissingWeights where the
        weights are not here and cannot be fetched. Another encoder is never taken instead.
        """
        return cls(spec, load_backbone(spec), device, precision)

    @property
    def knows_words(self) -> bool:
        """Tell whether the encoder can embed words."""
        return self._text is not None

    def prepare(self, image: Image) -> np.ndarray:
        """Return the pixels the network sees, (3, h, w) uint8: the part that runs in workers."""
        return self.preprocess(image.pixels)

    def encode_images(self, images: Sequence[Image], *, mirror: bool = False) -> np.ndarray:
        """Embed pictures: (n, dim) float32 unit rows.

        With ``mirror`` a row is the mean of the picture's and its mirror image's embedding, which
        finds a little more and takes twice the time; findalike uses it for queries.
        """
        if not images:
            return np.empty((0, self.dim), dtype=np.float32)
        return self.encode_pixels(
            np.stack([self.prepare(image) for image in images]), mirror=mirror
        )

    def encode_pixels(self, pixels: np.ndarray, *, mirror: bool = False) -> np.ndarray:
        """Embed prepared pixels, (n, 3, h, w) uint8 as from ``prepare``: (n, dim) float32 unit rows."""
        with torch.inference_mode():
            batch = torch.from_numpy(pixels).to(self.device)
            batch = (batch.to(torch.float32) - self._mean) / self._std
            rows = self._forward(batch)
            if mirror:
                rows = rows + self._forward(batch.flip(3))
            return _unit(rows).cpu().numpy()

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embed words: (n, dim) float32 unit rows; raises EncoderError if the model knows no words."""
        if self._text is None:
            words = next(model.spec for model in MODELS if model.words != "none")
            raise EncoderError(
                f"The encoder {self.spec} knows pictures only, no words. For searching by words "
                f"make a catalogue with a CLIP encoder, for example --encoder {words}"
            )
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        with torch.inference_mode():
            tokens = self._tokenize(list(texts)).to(self.device)
            return _unit(self._text.to(self.device)(tokens)).cpu().numpy()

    @cached_property
    def _tokenize(self) -> Any:
        assert self._tokenizer is not None
        return self._tokenizer()

    def _forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Run the network in its precision: (n, 3, h, w) float32 to (n, dim) float32 unit rows."""
        batch = batch.to(_DTYPES[self.precision]).contiguous(memory_format=torch.channels_last)
        rows = self._image(batch)
        return _unit(rows[0] if isinstance(rows, tuple) else rows)

    def _lower(self, asked: Precision | None, reference: np.ndarray) -> None:
        """Move the image network to the precision asked for, or to a faster one that agrees.

        Layer-normalised networks (transformers) bear bf16 well and gain 2 to 4 times by it where
        the processor has it; small convolutional ones do not agree (docs/encoders.md).
        """
        transformer = any(isinstance(m, nn.LayerNorm) for m in self._image.modules())
        precision = asked or _native_half(self.device)
        if precision == "fp32" or (asked is None and not transformer):
            return
        full = copy.deepcopy(self._image) if asked is None else None
        self._image = self._image.to(_DTYPES[precision])
        self.precision = precision
        cosine = float((self.encode_pixels(self._samples()) * reference).sum(axis=1).min())
        if full is not None and not cosine >= _AGREEMENT:
            self._image, self.precision = full, "fp32"

    def _samples(self) -> np.ndarray:
        """Return four fixed smooth random pictures to compare precisions on: (4, 3, h, w) uint8."""
        side = self.preprocess.crop
        coarse = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)
        fine = nn.functional.interpolate(
            torch.from_numpy(coarse).float(), (side, side), mode="bicubic"
        )
        pixels: np.ndarray = fine.clamp(0, 255).to(torch.uint8).numpy()
        return pixels

    def _fingerprint(self) -> str:
        facts = {
            "pipeline": _PIPELINE,
            "weights": self.weights_sha256,
            "preprocess": self.preprocess.as_dict(),
            "dim": self.dim,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _unit(rows: torch.Tensor) -> torch.Tensor:
    """Scale rows to length one in float32."""
    return nn.functional.normalize(rows.flatten(1).to(torch.float32), dim=1)


def _native_half(device: torch.device) -> Precision:
    """Return the half precision that the device computes in natively, or fp32 if none."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    native = device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bf16" if native else "fp32"
