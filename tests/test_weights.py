"""Weights files are read without running them, and hashed by what they hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vision.errors import EncoderError
from vision.networks.weights import fill, hash_modules, read_weights, sha256_of, short


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))


def test_every_kind_of_file_gives_the_same_tensors(tmp_path: Path) -> None:
    state = dict(network().state_dict())
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.pt")
    torch.save({"model": state, "epoch": 3}, tmp_path / "c.pth")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "d.bin")
    for path in sorted(tmp_path.iterdir()):
        tensors = read_weights(path)
        assert tensors.keys() == state.keys()
        assert all(torch.equal(tensors[key], state[key]) for key in state), path


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"<html>", b"\x80\x04.", b"\x80\x02}q\x00.", b"\x80\x02]q\x00.", b"\x95"],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".txt"])
def test_what_is_no_checkpoint_is_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(EncoderError) as raised:
        read_weights(path)
    assert str(path) in str(raised.value) and len(str(raised.value)) < 350 + len(str(path))


def test_filling_wants_every_tensor_and_no_other(tmp_path: Path) -> None:
    state = dict(network().state_dict())

    def try_with(tensors: dict[str, torch.Tensor], head: tuple[str, ...] = ()) -> nn.Module:
        save_file(tensors, tmp_path / "w.safetensors")
        model = network(1)
        fill(model, tmp_path / "w.safetensors", "the network", head)
        return model

    assert hash_modules(try_with(state)) == hash_modules(network())
    with pytest.raises(EncoderError, match=r"1 tensors are missing and 0 .*3\.bias"):
        try_with({key: value for key, value in state.items() if key != "3.bias"})
    extra = {"fc.weight": torch.zeros(2), "fc_norm.weight": torch.zeros(2)}
    with pytest.raises(EncoderError, match=r"1 are too many \(fc_norm\.weight\)"):
        try_with(state | extra, head=("fc",))
    try_with(state | {"fc.weight": torch.zeros(2)}, head=("fc",))
    with pytest.raises(EncoderError, match="does not fit the network") as raised:
        try_with({key: torch.zeros(7, 7) for key in state})
    assert len(str(raised.value)) < 400 + len(str(tmp_path)) and "\n" not in str(raised.value)


def test_the_hash_follows_the_values_only() -> None:
    plain = hash_modules(network())
    assert plain == hash_modules(network())
    assert plain == hash_modules(network().to(memory_format=torch.channels_last))
    counted = network()
    counted[1].num_batches_tracked.add_(5)  # type: ignore[operator,union-attr]
    assert plain == hash_modules(counted)
    assert plain != hash_modules(network().half())
    assert plain != hash_modules(network(), network())
    assert plain != hash_modules(None, network())
    wide, high = nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False)
    nn.init.ones_(wide.weight), nn.init.ones_(high.weight)
    assert hash_modules(wide) != hash_modules(high)


def test_the_hash_does_not_depend_on_shared_memory() -> None:
    apart, shared = (nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)]) for _ in range(2))
    for layers in (apart, shared):
        for layer in layers:
            nn.init.ones_(layer.weight), nn.init.zeros_(layer.bias)
    shared[1].weight = shared[0].weight
    assert hash_modules(apart) == hash_modules(shared)
    swapped = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
    swapped.load_state_dict(shared.state_dict())
    with torch.no_grad():
        swapped[1].weight[0, 0] = 2
    other = nn.ModuleList([swapped[1], swapped[0]])
    assert len({hash_modules(each) for each in (shared, swapped, other)}) == 3


@pytest.mark.parametrize("name", ["0.weight", "1.running_var", "3.bias"])
def test_one_changed_bit_changes_the_hash(name: str) -> None:
    model = network()
    before = hash_modules(model)
    with torch.no_grad():
        model.state_dict()[name].view(-1).view(torch.uint8)[1] ^= 1
    assert hash_modules(model) != before


def test_sha256_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_of(tmp_path / "f").startswith("ba7816bf8f01cfea")


def test_long_remarks_are_cut() -> None:
    assert short("one\n  two") == "one two"
    assert short(ValueError("x" * 500)) == "x" * 199 + "…"
    assert short(ValueError()) == "ValueError()"
