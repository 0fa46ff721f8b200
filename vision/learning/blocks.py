"""Which part of a network learns, and what memory that takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn


def last_blocks(network: nn.Module, count: int) -> list[nn.Parameter]:
    """Return the parameters of the last blocks, and of the projection after them if there is one.

    A block is a part of the network that holds at most half of its parameters: a stage of a
    convolutional network, a layer of a transformer.
    """
    half = sum(each.numel() for each in network.parameters()) / 2
    blocks: list[list[nn.Parameter]] = []
    for part in _parts(network, half):
        own = list(part.parameters())
        if blocks and all(each.ndim < 2 for each in own):  # a norm belongs to what it follows
            blocks[-1] += own
        else:
            blocks.append(own)
    # A projection is a matrix after the blocks: a layer of its own, or a parameter of the whole.
    projection = [each for name, each in network.named_parameters(recurse=False) if name == "proj"]
    if len(blocks) > 1 and [each.ndim for each in blocks[-1]] == [2]:
        projection += blocks.pop()
    return [each for block in blocks[-count:] for each in block] + projection


def _parts(network: nn.Module, most: float) -> Iterator[nn.Module]:
    """Yield the parts of a network in order, each with at most so many parameters if it has any."""
    for part in network.children():
        size = sum(each.numel() for each in part.parameters())
        if size > most and any(True for _ in part.children()):
            yield from _parts(part, most)
        elif size:
            yield part


def kept_bytes(compute: Callable[[], object]) -> int:
    """Return how many bytes a computation keeps in order to be learnt from."""
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        _ = compute()
    return sum(kept.values())


def free_bytes(device: torch.device) -> int | None:
    """Return how much memory can be had, None where that is not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return 1024 * int(found[0]) if found else None
