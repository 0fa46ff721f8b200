"""Networks on OpenVINO: converted, made int8, kept in files, compiled for the processor.

Only with findalike[openvino]. A network takes (n, 3, h, w) uint8 and gives (n, d) float32 rows.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vision.threads import cores

if TYPE_CHECKING:
    from vision.networks.backends import Network

Model = Any  # openvino.Model, which is not there without the extra


def convert(network: Network, pictures: np.ndarray | None) -> Model:
    """Return a network as an OpenVINO model, in int8 if there are pictures to learn from.

    ``pictures`` are (n, 3, h, w) uint8 and like those to come: they give the ranges of values.
    Raises ImportError without the extra.
    """
    with _quiet():
        import openvino

        example = torch.zeros((2, 3, network.side, network.side), dtype=torch.uint8)
        with torch.no_grad():
            model = openvino.convert_model(
                network, example_input=example, input=[-1, 3, network.side, network.side]
            )
        if pictures is None:
            return model
        import nncf

        kind = nncf.ModelType.TRANSFORMER if network.is_transformer else None
        samples = nncf.Dataset([pictures[at : at + 1] for at in range(len(pictures))])
        return nncf.quantize(model, samples, model_type=kind, subset_size=len(pictures))


def save(model: Model, path: Path) -> None:
    """Write a model as ``path`` (.xml) and its weights beside it (.bin), with all their bits."""
    import openvino

    openvino.save_model(model, path, compress_to_fp16=False)


def read(path: Path) -> Model:
    """Read a model that ``save`` wrote."""
    with _quiet():
        import openvino

        return openvino.Core().read_model(path)


def compile_model(model: Model, precision: str) -> Callable[[np.ndarray], np.ndarray]:
    """Compile for as many callers at once as there are cores, each computed by one of them.

    ``precision`` is what floating point is computed in: "f32" or "bf16".
    """
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": cores(),
        "INFERENCE_NUM_THREADS": cores(),
    }
    network = openvino.Core().compile_model(model, "CPU", settings)
    own = threading.local()  # a request is of one caller at a time

    def run(pixels: np.ndarray) -> np.ndarray:
        if not hasattr(own, "request"):
            own.request = network.create_infer_request()
        rows: np.ndarray = own.request.infer([np.ascontiguousarray(pixels)])[0]
        return rows.copy()

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenVINO and NNCF from reporting to their makers, and from writing to the screen."""
    if "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # as if not installed
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # traced constants, names that will change
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
