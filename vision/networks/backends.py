"""The backends: ways to compute an image network, from plain torch to int8 on OpenVINO.

    torch fp32       as the model's authors computed it: the reference for all others
    torch bf16/fp16  lower precision, where the processor or graphics card has it
    packed fp32/bf16 torch, with the weights of linear layers laid out ahead (transformers)
    frozen fp32      TorchScript with batch normalisation part of the convolutions
    openvino fp32/bf16/int8  compiled by OpenVINO, for which findalike[openvino] is installed

Which of them is used is the encoder's business: by its own check when it is loaded, or by what
``vision.trials`` measured on the catalogue's pictures.
"""

from __future__ import annotations

import copy
import importlib.util
import math
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from vision.networks import vino
from vision.networks.packing import pack
from vision.networks.preprocess import Preprocess
from vision.networks.streams import in_streams
from vision.networks.weights import short

Run = Callable[[np.ndarray], np.ndarray]  # (n, 3, h, w) uint8 to (n, d) float32 unit rows

REFERENCE = "torch fp32"
OPENVINO = ("openvino fp32", "openvino bf16", "openvino int8")
BACKENDS = (
    REFERENCE, "torch bf16", "torch fp16", "packed fp32", "packed bf16", "frozen fp32", *OPENVINO,
)  # fmt: skip

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Unfit(Exception):
    """A backend that cannot compute this network here; says why in a few words."""


class Network(nn.Module):
    """An image network and the normalisation before it: (n, 3, h, w) uint8 to (n, d) float32."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, image: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.image = image
        self.side = preprocess.crop
        self.dtype = torch.float32
        for name in ("mean", "std"):
            value = torch.tensor(getattr(preprocess, name)).view(1, 3, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return rows of any length."""
        # The operations of the models' own transforms in their order, for the same bits.
        batch = pixels.to(torch.float32).div(255).sub(self.mean).div(self.std)
        rows = self.image(_laid_out(batch.to(self.dtype)))
        rows = rows[0] if isinstance(rows, tuple) else rows
        return rows.flatten(1).to(torch.float32)  # type: ignore[no-any-return]

    def lowered(self, dtype: torch.dtype) -> Network:
        """Return a copy whose network computes in ``dtype``; the normalisation stays in float32."""
        other = copy.deepcopy(self)
        other.image.to(dtype)
        other.dtype = dtype
        return other

    @property
    def is_transformer(self) -> bool:
        """Tell whether the network normalises by layer, as transformers do."""
        return any(isinstance(each, nn.LayerNorm) for each in self.image.modules())

    @property
    def device(self) -> torch.device:
        """Return the device that the network is on."""
        return self.mean.device


def build(name: str, network: Network, pictures: np.ndarray | None = None) -> Run:
    """Make a backend ready for use.

    ``pictures`` are (n, 3, h, w) uint8, for int8 to learn its ranges from. Raises Unfit.
    """
    kind, _, precision = name.partition(" ")
    if network.device.type != "cpu" and kind != "torch":
        raise Unfit(f"is for processors, not for {network.device.type}")
    try:
        if kind == "openvino":
            return compiled(vino.convert(network, pictures if precision == "int8" else None), name)
        if kind == "frozen":
            return _on_torch(_frozen(network), network.device)
        dtype = _DTYPES[precision]
        made = network if dtype == torch.float32 and kind == "torch" else network.lowered(dtype)
        if kind == "packed":
            if not pack(made.image):
                raise Unfit("it has no linear layers to pack")
            return _on_torch(_frozen_if_possible(made), network.device)
        return _on_torch(made, network.device)
    except (RuntimeError, AttributeError, ImportError) as error:
        raise Unfit(short(error)) from error


def compiled(model: vino.Model, name: str) -> Run:
    """Make a converted network ready for use in the precision that the backend's name ends on."""
    run = vino.compile_model(model, "bf16" if name.endswith("bf16") else "f32")
    return lambda pixels: unit(in_streams(run, pixels))


def by_default(network: Network) -> tuple[str, ...]:
    """Return the backends worth trying where nothing was measured, the fastest first.

    Transformers bear bf16 well and gain 2 to 4 times by it where the processor has it; small
    convolutional networks do not agree in it (docs/encoders.md).
    """
    if not network.is_transformer:
        return (REFERENCE,)
    if network.device.type == "cuda":
        return ("torch bf16" if torch.cuda.is_bf16_supported() else "torch fp16", REFERENCE)
    if network.device.type == "cpu" and computes_bf16():
        return ("packed bf16", "torch bf16", "packed fp32", REFERENCE)
    return ("packed fp32", REFERENCE)


def candidates(network: Network) -> tuple[str, ...]:
    """Return the backends worth measuring on a processor, without the reference."""
    halves = ("torch bf16",) if computes_bf16() else ()
    ahead = ("packed fp32", *(("packed bf16",) if halves else ()))
    torch_alone = (*halves, *ahead) if network.is_transformer else (*halves, "frozen fp32")
    return torch_alone + (OPENVINO if importlib.util.find_spec("openvino") else ())


def computes_bf16() -> bool:
    """Tell whether the processor has bf16 of its own."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def agreement(run: Run, pixels: np.ndarray, reference: np.ndarray) -> float:
    """Return the least cosine of what a backend says to the reference, -1 if it fails."""
    try:
        cosine = float((run(pixels) * reference).sum(axis=1).min())
    except RuntimeError:  # an operation that the device does not have in this precision
        return -1.0
    return -1.0 if math.isnan(cosine) else cosine  # numbers that overflow


def unit(rows: np.ndarray) -> np.ndarray:
    """Scale rows to length one: (n, d) float32."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: np.ndarray = (rows / np.maximum(lengths, 1e-12)).astype(np.float32, copy=False)
    return scaled


def _on_torch(network: Callable[[torch.Tensor], torch.Tensor], device: torch.device) -> Run:
    def compute(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            batch = torch.from_numpy(pixels)
            if device.type == "cuda":  # from pinned memory the copy need not be waited for
                batch = batch.pin_memory().to(device, non_blocking=True)
            rows: np.ndarray = network(batch.to(device)).cpu().numpy()
            return rows

    if device.type == "cpu":
        return lambda pixels: unit(in_streams(compute, pixels))
    return lambda pixels: unit(compute(pixels))


def _frozen(network: Network) -> Callable[[torch.Tensor], torch.Tensor]:
    """Compile a network: what Python calls hundreds of times becomes one call without its lock."""
    batch = torch.zeros((2, 3, network.side, network.side), dtype=torch.uint8)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that are constants: they are
        traced = torch.jit.trace(network, batch, check_trace=False)  # type: ignore[no-untyped-call]
        frozen: Callable[[torch.Tensor], torch.Tensor] = torch.jit.freeze(traced)
    for _ in range(3):  # it is compiled at the second use
        frozen(batch)
    return frozen


def _frozen_if_possible(network: Network) -> Callable[[torch.Tensor], torch.Tensor]:
    """Compile a network, or leave it as it is where tracing fails: it then computes the same."""
    try:
        return _frozen(network)
    except RuntimeError:
        return network


def _laid_out(batch: torch.Tensor) -> torch.Tensor:
    """Lay a batch out as convolutions like it best, and as the weights are."""
    return batch.contiguous(memory_format=torch.channels_last)
