"""The encoder: pictures and words in, embeddings out."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import nn

from vision.errors import EncoderError
from vision.images import Image
from vision.models import BUILTIN, LARGE
from vision.networks.backbones import load_backbone
from vision.networks.loading import Backbone
from vision.networks.weights import hash_modules, short

Precision = Literal["fp32", "bf16", "fp16"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# Part of every fingerprint: raise it when anything here changes what an embedding is.
_PIPELINE = 1

# The least cosine to float32 at which a lower precision may be used.
_AGREEMENT = 0.999
_SAME = 0.999999  # that of the same network, computed in another order


class Encoder:
    """A loaded model that turns pictures, and for CLIP models words, into embeddings.

    Embeddings are (n, dim) float32 unit rows, so that a dot product is the cosine similarity.
    ``fingerprint`` is a hex digest of the weights, the preprocessing and what else decides an
    embedding: equal fingerprints mean embeddings that may be compared, whatever file the weights
    came from, and whatever device and precision computed them.
    """

    def __init__(
        self, spec: str, backbone: Backbone, device: str | None, precision: Precision | None
    ) -> None:
        self.spec = spec
        self.preprocess = backbone.preprocess
        self.device = _device(device)
        self.weights_sha256 = hash_modules(backbone.image, backbone.text)
        self._image = _channels_last(backbone.image.to(self.device))
        self._text = backbone.text.to(self.device) if backbone.text is not None else None
        self._tokenizer = backbone.tokenizer
        self._mean = torch.tensor(self.preprocess.mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(self.preprocess.std, device=self.device).view(1, 3, 1, 1)
        self.precision: Precision = "fp32"
        try:
            reference = self.encode_pixels(self._samples())
        except Exception as error:  # a configuration that no picture fits, or too little memory
            raise EncoderError(f"{spec} loads but does not run here: {short(error)}") from error
        self.dim = int(reference.shape[1])
        self._lower(precision, reference)
        self.fingerprint = self._fingerprint(backbone.variant)

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
        EncoderError for an unknown spec, a file that does not fit, a device that is not here or a
        precision that does not agree, MissingWeights where the weights are not here and cannot be
        fetched. Another encoder is never taken instead.
        """
        if precision not in (None, *_DTYPES):
            raise EncoderError(f'There is no precision "{precision}"; use {", ".join(_DTYPES)}.')
        return cls(spec, load_backbone(spec), device, precision)

    @property
    def sees_through_scenes(self) -> bool:
        """Tell whether a low cosine means another product rather than another scene.

        True of the built-in encoder, which was trained for it; of others it is not known, and of
        plain classifiers it does not hold (docs/ranking.md).
        """
        return self.spec == BUILTIN

    @property
    def knows_words(self) -> bool:
        """Tell whether the encoder can embed words."""
        return self._text is not None

    def prepare(self, image: Image) -> np.ndarray:
        """Return the pixels the network sees, (3, h, w) uint8: the part that runs in workers."""
        return self.preprocess(image.pixels, (image.width, image.height))

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
        """Embed prepared pixels: (n, 3, h, w) uint8 as from ``prepare`` to (n, dim), see above."""
        with torch.inference_mode():
            batch = torch.from_numpy(pixels).to(self.device).to(torch.float32)
            # The operations of the models' own transforms in their order, for the same bits.
            batch = batch.div_(255).sub_(self._mean).div_(self._std)
            if mirror:  # one pass takes two thirds of the time of two
                plain, mirrored = self._forward(torch.cat([batch, batch.flip(3)])).chunk(2)
                rows = plain + mirrored
            else:
                rows = self._forward(batch)
            return _unit(rows).cpu().numpy()

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embed words: (n, dim) float32 unit rows.

        Raises EncoderError if the model knows no words, or its tokenizer cannot be had.
        """
        if self._text is None:
            raise EncoderError(
                f"{self.spec} knows pictures only. To search by words, use a CLIP encoder, "
                f"for example --encoder {LARGE}"
            )
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        with torch.inference_mode():
            tokens = self._tokenize(list(texts)).to(self.device)
            return _unit(self._text(tokens)).cpu().numpy()

    @cached_property
    def _tokenize(self) -> Callable[[list[str]], torch.Tensor]:
        assert self._tokenizer is not None
        return self._tokenizer()

    def freeze(self) -> None:
        """Compile the image network, for servers: an answer's encoding takes 0.7 of the time.

        What Python calls hundreds of times becomes one call without the interpreter's lock, and
        batch normalisation part of the convolutions (TorchScript's freezing). Takes a second or
        two. Only where the embeddings agree with those before, and where float32 is computed on a
        processor; transformers in bf16 gain nothing.
        """
        if self.precision != "fp32" or self.device.type != "cpu":
            return
        reference, before = self.encode_pixels(self._samples()), self._image
        batch = torch.rand(2, 3, self.preprocess.crop, self.preprocess.crop)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of shapes that are constants: they are
            try:
                traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                    before, _laid_out(batch), check_trace=False
                )
            except RuntimeError:  # a network that cannot be traced stays as it is
                return
            self._image = torch.jit.freeze(traced)
        agree = [self._agreement(reference) for _ in range(3)]  # it is compiled at the second use
        if min(agree) < _SAME:
            self._image = before

    def _forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Run the network in its precision: (n, 3, h, w) float32 to (n, dim) float32 unit rows."""
        batch = _laid_out(batch.to(_DTYPES[self.precision]))
        rows = self._image(batch)
        return _unit(rows[0] if isinstance(rows, tuple) else rows)

    def _lower(self, asked: Precision | None, reference: np.ndarray) -> None:
        """Move the image network to the precision asked for, or to a faster one that agrees.

        Layer-normalised networks (transformers) bear bf16 well and gain 2 to 4 times by it where
        the processor has it; small convolutional ones do not agree (docs/encoders.md). Raises
        EncoderError where the precision asked for does not agree: the fingerprint promises that
        embeddings of every precision may be compared.
        """
        transformer = any(isinstance(each, nn.LayerNorm) for each in self._image.modules())
        precision = asked or (_native_half(self.device) if transformer else "fp32")
        if precision == "fp32":
            return
        full, self._image = self._image, copy.deepcopy(self._image).to(_DTYPES[precision])
        self.precision = precision
        cosine = self._agreement(reference)
        if cosine >= _AGREEMENT:
            return
        self._image, self.precision = full, "fp32"
        if asked is not None:
            raise EncoderError(
                f"{self.spec} cannot be used in {asked} here: its embeddings would have a cosine "
                f"of {cosine:.4f} to those in fp32, and {_AGREEMENT} is the least. Use fp32."
            )

    def _agreement(self, reference: np.ndarray) -> float:
        """Return the least cosine of the samples to what they are in fp32, -1 if that fails."""
        try:
            cosine = float((self.encode_pixels(self._samples()) * reference).sum(axis=1).min())
        except RuntimeError:  # an operation that the device does not have in this precision
            return -1.0
        return -1.0 if math.isnan(cosine) else cosine  # numbers that overflow

    def _samples(self) -> np.ndarray:
        """Return four fixed random pictures to compare precisions on: (4, 3, h, w) uint8.

        Smooth ones, since they show rounding most: as product photos on plain grounds do.
        """
        side = self.preprocess.crop
        coarse = np.random.default_rng(0).integers(0, 256, (4, 3, 3, 3), dtype=np.uint8)
        fine = nn.functional.interpolate(
            torch.from_numpy(coarse).float(), (side, side), mode="bicubic"
        )
        pixels: np.ndarray = fine.clamp(0, 255).to(torch.uint8).numpy()
        return pixels

    def _fingerprint(self, variant: str) -> str:
        facts = {
            "pipeline": _PIPELINE,
            "weights": self.weights_sha256,
            "variant": variant,
            "preprocess": self.preprocess.as_dict(),
            "dim": self.dim,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _unit(rows: torch.Tensor) -> torch.Tensor:
    """Scale rows to length one in float32."""
    return nn.functional.normalize(rows.flatten(1).to(torch.float32), dim=1)


def _laid_out(batch: torch.Tensor) -> torch.Tensor:
    """Lay a batch out as the weights are."""
    return batch.contiguous(memory_format=torch.channels_last)


def _channels_last(module: nn.Module) -> nn.Module:
    """Lay weights out as convolutions like them best; torch publishes no type for this call."""
    moved: nn.Module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def _device(name: str | None) -> torch.device:
    """Return the device asked for, or CUDA where there is one; raises EncoderError."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise EncoderError(
            f'The device "{name}" cannot be used here ({short(error)}). Use cpu.'
        ) from error
    return device


def _native_half(device: torch.device) -> Precision:
    """Return the half precision that the device computes in natively, or fp32 if none."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    native = device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bf16" if native else "fp32"
