"""A head's two files: arrays as safetensors, all else as JSON that vouches for them.

The JSON holds the SHA-256 of the arrays' file and one of itself, and is read only if it is byte for
byte what would be written: a flipped bit anywhere is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from vision.errors import HeadError
from vision.head.acceptance import Curve
from vision.head.axis import AxisHead
from vision.head.corrections import Similarity
from vision.head.experts import KINDS
from vision.head.inputs import Space
from vision.head.outside import Outside

_FORMAT = 1  # raise it when files of before can no longer be read


@dataclass(frozen=True)
class Contents:
    """What the files hold: arrays in ``space``, ``axes`` and ``memory``, and ``about``, JSON."""

    space: Space
    axes: dict[str, AxisHead]
    memory: np.ndarray
    about: dict[str, Any]


def write_head(contents: Contents, path: Path) -> str:
    """Write both files, the JSON last; return the digest that tells this head from others."""
    arrays = {f"space.{name}": value for name, value in vars(contents.space).items()}
    arrays["memory"] = contents.memory
    for at, each in enumerate(contents.axes.values()):
        arrays |= {f"{at}.{name}": value for name, value in _arrays(each).items()}
    packed = save({name: np.ascontiguousarray(value) for name, value in arrays.items()})
    body = {
        "format": _FORMAT,
        "arrays": hashlib.sha256(packed).hexdigest(),
        "axes": [_describe(each) for each in contents.axes.values()],
        "about": contents.about,
    }
    _write(path.with_suffix(".safetensors"), packed)
    _write(path, _sealed(body))
    return _digest(body)


def read_head(path: Path, digest: str = "") -> Contents:
    """Read both files.

    Raises:
        HeadError: where they are not what was written, or not the head with this digest.
    """
    body = _opened(path)
    if body.get("format") != _FORMAT:
        raise HeadError(f"The head in {path} is of another version of findalike. Train anew.")
    if digest and digest != _digest(body):
        raise HeadError(f"{path} holds another head than was expected. {_MEND}")
    arrays_path = path.with_suffix(".safetensors")
    try:
        packed = arrays_path.read_bytes()
        if hashlib.sha256(packed).hexdigest() != body["arrays"]:
            raise HeadError(f"{arrays_path} is damaged. {_MEND}")
        arrays = load(packed)
    except (OSError, SafetensorError) as error:
        raise HeadError(f"{arrays_path} cannot be read ({error}). {_MEND}") from error
    space = Space(**{name: arrays[f"space.{name}"] for name in Space.__dataclass_fields__})
    axes = {
        each["axis"]: _axis(each, _below(str(at), arrays)) for at, each in enumerate(body["axes"])
    }
    return Contents(space, axes, arrays["memory"], body["about"])


def _below(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with a prefix and a dot, without these."""
    return {
        name.partition(".")[2]: value
        for name, value in arrays.items()
        if name.partition(".")[0] == prefix
    }


_MEND = "Put its files back from a backup, go back to another head, or train anew: findalike train"


def _describe(axis: AxisHead) -> dict[str, Any]:
    outside = axis.outside
    return {
        "axis": axis.axis,
        "classes": list(axis.classes),
        "tree": axis.tree,
        "colour_weight": axis.colour_weight,
        "experts": list(axis.experts),
        "weights": dict(axis.weights),
        "outside": outside and [outside.limit, outside.told, outside.caught],
        "curve": axis.curve is not None,
        "similarity": asdict(axis.similarity),
        "figures": dict(axis.figures),
    }


def _arrays(axis: AxisHead) -> dict[str, np.ndarray]:
    found = {"kept": axis.kept}
    for name, expert in axis.experts.items():
        found |= {f"{name}.{part}": value for part, value in expert.arrays().items()}
    found.pop("neighbours.rows", None)  # they stand in the head's memory, once for all axes
    if axis.outside is not None:
        found["outside"] = axis.outside.weights
    if axis.curve is not None:
        found |= {f"curve.{name}": value for name, value in vars(axis.curve).items()}
    return found


def _axis(described: dict[str, Any], arrays: dict[str, np.ndarray]) -> AxisHead:
    experts = {}
    for name in described["experts"]:
        own = _below(name, arrays)
        if name == "neighbours":
            own["rows"] = np.empty((0, 0), dtype=np.float32)
        experts[name] = KINDS[name](**own)
    outside = None
    if described["outside"]:
        outside = Outside(arrays["outside"], *described["outside"])
    curve = None
    if described["curve"]:
        curve = Curve(**{name: arrays[f"curve.{name}"] for name in Curve.__dataclass_fields__})
    return AxisHead(
        described["axis"], tuple(described["classes"]), described["tree"],
        described["colour_weight"], experts, described["weights"], arrays["kept"], outside, curve,
        Similarity(**described["similarity"]), described["figures"],
    )  # fmt: skip


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _sealed(body: dict[str, Any]) -> bytes:
    whole = {"sha256": _digest(body), "head": body}
    return (json.dumps(whole, indent=1, sort_keys=True) + "\n").encode()


def _opened(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HeadError(f"The head in {path} cannot be read ({error}). {_MEND}") from error
    try:
        body: dict[str, Any] = json.loads(data)["head"]
        whole = _sealed(body) == data
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise HeadError(f"{path} is damaged. {_MEND}")
    return body


def _write(path: Path, data: bytes) -> None:
    """Write a file that is whole or not there."""
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
