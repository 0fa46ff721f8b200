"""The table of recommended encoders against the libraries that load them."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import timm
import torch
import torchvision

from vision.models import BUILTIN, MODELS, Model, hub_cache, torch_cache
from vision.networks.backbones import FAMILIES

TAGGED = [m for m in MODELS if m.spec.startswith("clip:") and "hf-hub:" not in m.spec]
NEEDS_TRANSFORMERS = "xlm-roberta"  # open_clip cannot even build it without that package


def test_specs_are_distinct_and_the_first_needs_no_download() -> None:
    assert len({model.spec for model in MODELS}) == len(MODELS)
    assert MODELS[0].spec == BUILTIN and MODELS[0].on_this_machine()
    assert all(model.megabytes and model.source for model in MODELS[1:])
    assert all(f"  {model.spec.partition(':')[0]}" in FAMILIES for model in MODELS)


@pytest.mark.parametrize("model", TAGGED, ids=lambda model: str(model.spec))
def test_clip_entries_are_those_of_open_clip(model: Model) -> None:
    architecture, tag = model.spec.removeprefix("clip:").split("/")
    weights = open_clip.get_pretrained_cfg(architecture, tag)
    assert weights["hf_hub"] == f"{model.source}/"
    config = open_clip.get_model_config(architecture)
    assert config["embed_dim"] == model.dim
    if NEEDS_TRANSFORMERS in architecture:
        return
    with torch.device("meta"):  # shapes only
        network = open_clip.create_model(architecture, load_weights=False, device="meta")
    parameters = sum(each.numel() for each in network.parameters())
    assert model.megabytes == pytest.approx(parameters * 4 / 1e6, rel=0.02)


@pytest.mark.parametrize("model", [m for m in MODELS if "hf-hub:" in m.spec], ids=lambda m: m.spec)
def test_hub_entries_name_their_repository(model: Model) -> None:
    assert model.spec == f"clip:hf-hub:{model.source}"


def test_timm_and_torchvision_entries_are_theirs() -> None:
    for model in MODELS:
        family, _, name = model.spec.partition(":")
        if family == "timm":
            config = timm.get_pretrained_cfg(name)
            assert config is not None and config.hf_hub_id == model.source
            with torch.device("meta"):
                network = timm.create_model(name, num_classes=0)
            assert network.num_features == model.dim
            parameters = sum(each.numel() for each in network.parameters())
            assert model.megabytes == pytest.approx(parameters * 4 / 1e6, rel=0.02)
        elif family == "torchvision":
            weights = torchvision.models.get_model_weights(name).DEFAULT
            assert Path(weights.url).name == model.source
            assert model.megabytes == pytest.approx(weights.meta["_file_size"], rel=0.02)


CLIP = next(model for model in MODELS if model.source == "laion/CLIP-ViT-B-32-laion2B-s34B-b79K")
RESNET = next(model for model in MODELS if model.spec.startswith("torchvision:"))


@pytest.mark.parametrize(
    ("variable", "value", "hub"),
    [
        ("HF_HUB_CACHE", "x", "x"),
        ("HUGGINGFACE_HUB_CACHE", "x", "x"),
        ("HF_HOME", "x", "x/hub"),
        ("XDG_CACHE_HOME", "x", "x/huggingface/hub"),
        ("HOME", "x", "x/.cache/huggingface/hub"),
    ],
)
def test_hub_weights_are_found_where_the_library_keeps_them(
    variable: str, value: str, hub: str, tmp_path: Path, clean_env: pytest.MonkeyPatch
) -> None:
    clean_env.setenv(variable, str(tmp_path / value))
    assert hub_cache() == tmp_path / hub
    repository = tmp_path / hub / "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    weights = snapshot / "open_clip_model.safetensors"
    weights.symlink_to("../../blobs/123")
    assert not CLIP.on_this_machine()  # begun, and not finished
    (repository / "blobs").mkdir()
    (repository / "blobs" / "123").write_bytes(b"x")
    assert CLIP.on_this_machine() and not RESNET.on_this_machine()


@pytest.mark.parametrize(
    ("variable", "folder"),
    [("TORCH_HOME", "x"), ("XDG_CACHE_HOME", "x/torch"), ("HOME", "x/.cache/torch")],
)
def test_torchvision_weights_are_found_where_the_library_keeps_them(
    variable: str, folder: str, tmp_path: Path, clean_env: pytest.MonkeyPatch
) -> None:
    clean_env.setenv(variable, str(tmp_path / "x"))
    assert torch_cache() == tmp_path / folder / "hub" / "checkpoints"
    assert torch_cache() == Path(torch.hub.get_dir()) / "checkpoints"
    assert not RESNET.on_this_machine()
    torch_cache().mkdir(parents=True)
    (torch_cache() / RESNET.source).write_bytes(b"x")
    assert RESNET.on_this_machine() and not CLIP.on_this_machine()


@pytest.fixture
def clean_env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (
        "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "TORCH_HOME",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_docs_name_every_recommended_encoder() -> None:
    text = (Path(__file__).parents[1] / "docs" / "encoders.md").read_text()
    for model in MODELS:
        row = next(line for line in text.splitlines() if line.startswith(f"| `{model.spec}` |"))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        size = f"{model.megabytes} MB" if model.megabytes else "-"
        assert cells[1:5] == [str(model.dim), size, model.words, model.licence]
