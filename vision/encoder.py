"""The encoder: pictures and words in, embeddings out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vision.choice import read_choice
from vision.errors import EncoderError
from vision.images import Image
from vision.models import BUILTIN, LARGE
from vision.networks import vino
from vision.networks.backbones import load_backbone
from vision.networks.backends import (
    BACKENDS,
    REFERENCE,
    Network,
    Run,
    Unfit,
    agreement,
    build,
    by_default,
    compiled,
    unit,
)
from vision.networks.loading import Backbone
from vision.networks.streams import on_card, share
from vision.networks.weights import hash_modules, short

# Part of every fingerprint: raise it when anything here changes what an embedding is.
_PIPELINE = 1

# The least cosine to the reference at which another backend may be used.
AGREEMENT = 0.999
_SAME = 0.999999  # that of the same network, computed in another order


class Encoder:
    """A loaded model that turns pictures, and for CLIP models words, into embeddings.

    Embeddings are (n, dim) float32 unit rows, so that a dot product is the cosine similarity.
    ``fingerprint`` is a hex digest of the weights, the preprocessing and what else decides an
    embedding: equal fingerprints mean embeddings that may be compared, whatever file the weights
    came from, and whatever device and ``backend`` computed them.
    """

    def __init__(
        self,
        spec: str,
        backbone: Backbone,
        device: str | None,
        backend: str | None,
        home: Path | None = None,
    ) -> None:
        self.spec = spec
        self.preprocess = backbone.preprocess
        self.device = _device(device)
        self.weights_sha256 = hash_modules(backbone.image, backbone.text)
        image = _channels_last(backbone.image)
        self.network: Network | None = Network(image, self.preprocess).eval().to(self.device)
        self._transformer = self.network.is_transformer
        self._text = backbone.text.to(self.device) if backbone.text is not None else None
        self._tokenizer = backbone.tokenizer
        self.backend, self._run = REFERENCE, build(REFERENCE, self.network)
        try:
            reference = self._run(self._samples())
        except Exception as error:  # a configuration that no picture fits, or too little memory
            raise EncoderError(f"{spec} loads but does not run here: {short(error)}") from error
        self.dim = int(reference.shape[1])
        self.fingerprint = self._fingerprint(backbone.variant)
        if backend is not None or not self._take_chosen(home):
            self._take_agreeing(backend, reference)

    @classmethod
    def load(
        cls,
        spec: str = BUILTIN,
        *,
        device: str | None = None,
        backend: str | None = None,
        home: Path | None = None,
    ) -> Encoder:
        """Load the encoder that ``spec`` names, such as ``"clip:ViT-B-32/laion2b_s34b_b79k"``.

        ``device`` is a torch device (default: CUDA where there is one); ``backend`` is how the
        image network is computed (default: what was chosen by measurement and lies in the folder
        ``home``, else the fastest of a few that agrees with the reference). Raises EncoderError
        for an unknown spec, a file that does not fit, a device that is not here or a backend that
        does not agree, MissingWeights where the weights are not here and cannot be fetched.
        Another encoder is never taken instead.
        """
        if backend not in (None, *BACKENDS):
            raise EncoderError(f'There is no backend "{backend}"; use {", ".join(BACKENDS)}.')
        return cls(spec, load_backbone(spec), device, backend, home)

    @property
    def sees_through_scenes(self) -> bool:
        """Tell whether a low cosine means another product rather than another scene.

        True of the built-in encoder, which was trained for it; of others it is not known, and of
        plain classifiers it does not hold (docs/ranking.md).
        """
        return self.spec == BUILTIN

    @property
    def mirrors(self) -> bool:
        """Tell whether photos that are asked are averaged with their mirror image.

        It finds a little more with convolutional networks (docs/ranking.md). For a transformer a
        second pass would be more than half of what a search takes (docs/design.md).
        """
        return not self._transformer

    @property
    def batch(self) -> int:
        """Return how many pictures are best embedded at once, and bulk work commits together."""
        return 32 if self.device.type == "cpu" else 256

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
        finds a little more and takes twice the time; findalike uses it for queries where the
        encoder ``mirrors``.
        """
        if not images:
            return np.empty((0, self.dim), dtype=np.float32)
        return self.encode_pixels(
            np.stack([self.prepare(image) for image in images]), mirror=mirror
        )

    def encode_pixels(self, pixels: np.ndarray, *, mirror: bool = False) -> np.ndarray:
        """Embed prepared pixels: (n, 3, h, w) uint8 as from ``prepare`` to (n, dim), see above."""
        if not mirror:
            return self._run(pixels)
        # One pass takes less than two do.
        plain, mirrored = np.split(self._run(np.concatenate([pixels, pixels[..., ::-1]])), 2)
        return unit(plain + mirrored)

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
            rows = nn.functional.normalize(self._text(tokens).to(torch.float32), dim=1)
            return rows.cpu().numpy()

    @cached_property
    def _tokenize(self) -> Callable[[list[str]], torch.Tensor]:
        assert self._tokenizer is not None
        return self._tokenizer()

    def serve(self) -> None:
        """Make ready for many callers at once, in whose answers every millisecond counts.

        On a processor, what torch computes in float32 is compiled, which takes a second or two
        and leaves 0.7 of the time. What callers ask for at the same time is computed together.
        Embeddings stay what they were, but for their last bits.
        """
        if self.device.type == "cuda":
            self._run = partial(on_card, self._run)
            return
        share()
        if self.backend == REFERENCE and self.network is not None:
            reference = self._run(self._samples())
            try:
                run = build("frozen fp32", self.network)
            except Unfit:  # a network that cannot be traced stays as it is
                return
            if agreement(run, self._samples(), reference) >= _SAME:
                self._take("frozen fp32", run)

    def _take(self, backend: str, run: Run) -> None:
        self.backend, self._run = backend, run
        if backend != REFERENCE:
            self.network = None  # its memory

    def _take_chosen(self, home: Path | None) -> bool:
        """Use the backend chosen for this machine, if one was and it can still be used."""
        choice = read_choice(home)
        if choice is None or home is None or self.network is None or self.device.type != "cpu":
            return False
        if choice.unfit(home, self.fingerprint):
            return False
        try:
            model = next((name for name in choice.files if name.endswith(".xml")), None)
            if model is None:
                self._take(choice.backend, build(choice.backend, self.network))
            else:
                self._take(choice.backend, compiled(vino.read(home / model), choice.backend))
        except Unfit:
            return False
        return True

    def _take_agreeing(self, asked: str | None, reference: np.ndarray) -> None:
        """Use the backend asked for, or the first of the usual ones that agrees.

        Raises EncoderError where the one asked for does not agree with the reference: the
        fingerprint promises that embeddings of all backends may be compared.
        """
        assert self.network is not None
        why = ""
        for name in (asked,) if asked else by_default(self.network):
            try:
                run = build(name, self.network, self._samples())
            except Unfit as error:
                why = str(error)
                continue
            cosine = agreement(run, self._samples(), reference)
            if cosine >= AGREEMENT:
                self._take(name, run)
                return
            why = (
                f"its embeddings would have a cosine of {cosine:.4f} to those of {REFERENCE}, and "
                f"{AGREEMENT} is the least"
            )
        raise EncoderError(f"{self.spec} cannot use {asked} here: {why}. Use {REFERENCE}.")

    def _samples(self) -> np.ndarray:
        """Return four fixed random pictures to compare backends on: (4, 3, h, w) uint8.

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
