"""Weights files: read without running anything in them, and known by their hash."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from pathlib import Path

import torch
from torch import nn

from vision.errors import EncoderError


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint by name, on the CPU.

    ``.safetensors`` holds no code; anything else is unpickled with ``weights_only=True``, which
    admits tensors and plain containers only. Raises EncoderError for anything else.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on the pickle's version
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no checkpoint makes unpicklers raise almost anything
        raise EncoderError(unreadable(path, error)) from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise EncoderError(f"{path} holds no table of tensors, so it is no checkpoint.")
    return {str(key).removeprefix("module."): tensor for key, tensor in state.items()}


def fill(model: nn.Module, path: Path, name: str, head: tuple[str, ...] = ()) -> None:
    """Load a checkpoint into ``model``: no tensor may be missing, and none too many.

    Only modules named in ``head`` may stand in the file and not in the model. Raises EncoderError,
    in which ``name`` is what the model is called.
    """
    tensors = read_weights(path)
    try:
        missing, extra = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:  # shapes that differ
        raise EncoderError(f"{path} does not fit {name}: {short(error)}") from error
    extra = [key for key in extra if key.rpartition(".")[0] not in head]
    if missing or extra:
        wrong = ", ".join([*missing, *extra][:3])
        raise EncoderError(
            f"{path} does not fit {name}: {len(missing)} tensors are missing and {len(extra)} are "
            f"too many ({short(wrong)}). Is it a checkpoint of this very model?"
        )


def short(text: object, most: int = 200) -> str:
    """Return what a library said on one line of at most ``most`` characters."""
    words = " ".join(str(text).split()) or repr(text)
    return words if len(words) <= most else words[: most - 1] + "…"


def unreadable(path: Path | str, error: Exception) -> str:
    """Say in plain words why a weights file was not loaded."""
    if isinstance(error, pickle.UnpicklingError):
        return (
            f"{path} is not a plain table of tensors. findalike runs no code from weights files; "
            f"save the weights as .safetensors, or as a .pt file that holds tensors only."
        )
    return f"{path} is not a readable weights file ({short(error)}). Is it complete?"


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_modules(*modules: nn.Module | None) -> str:
    """Return the hex SHA-256 over the names, types, shapes and values of all tensors.

    It depends neither on the file they came from nor on how they lie in memory. Counters of
    training steps are left out: they change nothing, and some files lack them.
    """
    digest = hashlib.sha256()
    for at, module in enumerate(modules):
        state = module.state_dict() if module is not None else {}
        for name, tensor in sorted(state.items()):
            if name.endswith("num_batches_tracked"):
                continue
            digest.update(f"{at} {name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(memoryview(values.numpy()))
    return digest.hexdigest()
