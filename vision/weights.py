"""Weights files: read without running anything in them, and known by their hash."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
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
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, SafetensorError
    ) as error:  # fmt: skip
        raise EncoderError(unreadable(path, error)) from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise EncoderError(f"{path} holds no table of tensors, so it is no checkpoint.")
    return {key.removeprefix("module."): tensor for key, tensor in state.items()}


def unreadable(path: Path | str, error: Exception) -> str:
    """Say in plain words why a weights file was not loaded."""
    if isinstance(error, pickle.UnpicklingError):
        return (
            f"{path} is not a plain table of tensors. findalike runs no code from weights files; "
            f"save the weights as .safetensors, or as a .pt file that holds tensors only."
        )
    return f"{path} is not a readable weights file ({str(error).splitlines()[0]})."


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_module(*modules: nn.Module | None) -> str:
    """Return the hex SHA-256 over every tensor of the modules, by name, whatever file it came from."""
    digest = hashlib.sha256()
    seen: set[int] = set()
    for module in modules:
        if module is None:
            continue
        for name, tensor in sorted(module.state_dict().items()):
            if tensor.data_ptr() in seen and tensor.numel():
                continue  # towers that share one model
            seen.add(tensor.data_ptr())
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(
                tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            )
    return digest.hexdigest()
