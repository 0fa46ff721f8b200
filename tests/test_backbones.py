"""Every family of networks through its real loader, and every way of naming one wrongly."""

from __future__ import annotations

import json
import logging
import pickle
import socket
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import open_clip
import PIL.Image
import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors.torch import save_file
from timm.data import create_transform, resolve_model_data_config
from torch import nn

from vision import models
from vision.encoder import Encoder
from vision.errors import EncoderError, MissingWeights
from vision.images import Image
from vision.networks import classifiers, openclip
from vision.networks.backbones import load_backbone, resolve_spec
from vision.networks.loading import Source, loading

MOBILENET = Path(__file__).parents[2] / "shared" / "weights" / "mobilenetv2_imagenet"
SIZES = [(60, 44), (33, 71), (48, 48), (20, 9), (200, 190)]
WORDS = ["a red mug", "blue shoes", "x"]

CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
# Like a SigLIP: a tower of timm's, pooled text without causal mask, squashed pictures, mean 0.5.
SIGLIP = {
    "embed_dim": 64,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 160, "timm_model_name": "test_vit", "timm_model_pretrained": False,
        "timm_pool": "map", "timm_proj": "none",
    },
    "text_cfg": {
        "context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2,
        "no_causal_mask": True, "pool_type": "last", "proj_bias": True,
    },
}  # fmt: skip
SQUASH = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}


def draw(width: int, height: int) -> Image:
    rng = np.random.default_rng((width, height))
    coarse = PIL.Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return Image(coarse.resize((width, height)), "", width, height, "PNG")


PICTURES = [draw(*size) for size in SIZES]


def unit(rows: torch.Tensor) -> np.ndarray:
    return nn.functional.normalize(rows.detach().float(), dim=1).numpy()


def make_clip(folder: Path, config: dict[str, Any], preprocess: dict[str, Any]) -> Path:
    """Save a small CLIP with random weights in open_clip's folder format."""
    folder.mkdir()
    facts = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(facts))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    with torch.no_grad():  # a new network hardly looks at its picture
        for tensor in model.parameters():
            tensor.add_(torch.randn_like(tensor) * 0.03)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def reference(name: str, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Embed PICTURES and WORDS with open_clip alone."""
    model = open_clip.create_model(name, require_pretrained=True, **options).eval()
    transform = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    batch = torch.stack([transform(each.pixels) for each in PICTURES])
    tokens = open_clip.get_tokenizer(name)(WORDS)
    with torch.no_grad():
        return unit(model.encode_image(batch)), unit(model.encode_text(tokens))


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "tiny", CLIP, {})


@pytest.fixture(scope="module")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("siglip") / "tiny", SIGLIP, SQUASH)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a small CLIP among open_clip's own."""
    path = tmp_path_factory.mktemp("configs") / "findalike-tiny.json"
    path.write_text(json.dumps(CLIP))
    open_clip.add_model_config(path)
    yield "findalike-tiny"
    open_clip.factory._MODEL_CONFIG_PATHS.remove(path)
    open_clip.factory._MODEL_CONFIGS.pop("findalike-tiny")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and nothing fetched before."""

    def fail(*_args: object, **_options: object) -> NoReturn:
        raise socket.gaierror("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


# --- open_clip -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_open_clip_folder_equals_open_clip(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(f"{kind}_folder")
    pictures, words = reference(f"local-dir:{folder}")
    encoder = Encoder.load(f"clip:local-dir:{folder}", device="cpu", backend="torch fp32")
    assert encoder.knows_words
    assert encoder.preprocess.resize == ("squash" if kind == "siglip" else "shortest")
    assert encoder.dim == pictures.shape[1]
    np.testing.assert_allclose(encoder.encode_images(PICTURES), pictures, atol=2e-6)
    np.testing.assert_allclose(encoder.encode_texts(WORDS), words, atol=2e-6)
    assert (pictures @ pictures.T).min() < 0.99  # the pictures are told apart at all


def test_open_clip_file_equals_open_clip(
    registered: str, clip_folder: Path, tmp_path: Path
) -> None:
    file = clip_folder / "open_clip_model.safetensors"
    pictures, words = reference(registered, pretrained=str(file))
    tensors = open_clip.factory.load_state_dict(str(file))
    plain, wrapped = tmp_path / "weights.pt", tmp_path / "training.pt"
    torch.save(tensors, plain)
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in tensors.items()}}, wrapped)
    fingerprints = {Encoder.load(f"clip:local-dir:{clip_folder}", device="cpu").fingerprint}
    for path in (file, plain, wrapped):
        encoder = Encoder.load(f"clip:{registered}@{path}", device="cpu", backend="torch fp32")
        np.testing.assert_allclose(encoder.encode_images(PICTURES), pictures, atol=2e-6)
        np.testing.assert_allclose(encoder.encode_texts(WORDS), words, atol=2e-6)
        fingerprints.add(encoder.fingerprint)
    assert len(fingerprints) == 1


@pytest.mark.parametrize("tag", ["openai", "laion2b_s34b_b79k"])
def test_the_activation_function_goes_with_the_tag(
    tag: str, monkeypatch: pytest.MonkeyPatch, clip_folder: Path
) -> None:
    # OpenAI's weights stand under a name whose configuration has another activation function;
    # open_clip only warns, and the embeddings are worse.
    file = clip_folder / "open_clip_model.safetensors"
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-32", CLIP)
    encoder = Encoder.load(f"clip:ViT-B-32/{tag}@{file}", device="cpu", backend="torch fp32")
    quick = tag == "openai"
    options = {"pretrained": str(file), "force_quick_gelu": quick}
    pictures, words = reference("ViT-B-32", **options)
    np.testing.assert_allclose(encoder.encode_images(PICTURES), pictures, atol=2e-6)
    np.testing.assert_allclose(encoder.encode_texts(WORDS), words, atol=2e-6)
    plain = Encoder.load(f"clip:local-dir:{clip_folder}", device="cpu")
    assert (plain.fingerprint == encoder.fingerprint) == (not quick)


def test_weights_of_a_family_trained_in_one_way_get_its_preprocessing(
    monkeypatch: pytest.MonkeyPatch, siglip_folder: Path
) -> None:
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-16-SigLIP2", SIGLIP)
    file = siglip_folder / "open_clip_model.safetensors"
    preprocess = load_backbone(f"clip:ViT-B-16-SigLIP2@{file}").preprocess
    assert (preprocess.resize, preprocess.mean, preprocess.std) == (
        "squash",
        (0.5,) * 3,
        (0.5,) * 3,
    )


@pytest.mark.parametrize("name", ["clip:ViT-H-14", "clip:ViT-L-14", "timm:vit_base_patch16_224"])
def test_a_file_for_a_family_trained_in_several_ways_needs_the_tag(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"")
    with pytest.raises(EncoderError, match="different preprocessing") as raised:
        load_backbone(f"{name}@{tmp_path / 'w.safetensors'}")
    assert str(raised.value).count(name) >= 2 and "@FILE" in str(raised.value)
    assert len(str(raised.value)) < 600


# --- timm ----------------------------------------------------------------------------------------


def make_timm(folder: Path, name: str, **config: Any) -> Path:
    """Save a timm model with random weights in timm's folder format."""
    folder.mkdir()
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=7)
    save_file(model.state_dict(), folder / "model.safetensors")
    settings = {"num_classes": 7, "classifier": model.pretrained_cfg["classifier"], **config}
    facts = {"architecture": name, "num_classes": 7, "pretrained_cfg": settings}
    (folder / "config.json").write_text(json.dumps(facts))
    return folder


def through_timm(model: Any, pictures: list[Image], **changed: Any) -> np.ndarray:
    config = resolve_model_data_config(model) | changed
    transform = create_transform(**config, is_training=False)
    with torch.no_grad():
        return unit(model.eval()(torch.stack([transform(each.pixels) for each in pictures])))


@pytest.mark.skipif(not MOBILENET.is_dir(), reason="the shared pretrained weights are not here")
def test_real_timm_weights_equal_timm_and_not_their_traps() -> None:
    encoder = Encoder.load(f"timm:local-dir:{MOBILENET}", device="cpu")
    pictures = [draw(300, 280), draw(240, 500), *PICTURES]
    ours = encoder.encode_images(pictures)
    model = timm.create_model(f"local-dir:{MOBILENET}", pretrained=True, num_classes=0)
    same = (ours * through_timm(model, pictures)).sum(axis=1)
    assert same.min() > 0.9999
    # Said in full, so that a change in how timm reads its configuration is seen as well.
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("classifier")}
    padded, plain = (
        timm.create_model("mobilenetv2_100", num_classes=0, pad_type=pad) for pad in ("same", "")
    )
    for each in (padded, plain):
        each.load_state_dict(state)
    right = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 0.875, "interpolation": "bicubic"}
    assert (ours * through_timm(padded, pictures, **right)).sum(axis=1).min() > 0.9999
    assert (ours * through_timm(plain, pictures, **right)).sum(axis=1).mean() < 0.98
    imagenet = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    assert (ours * through_timm(padded, pictures, **right | imagenet)).sum(axis=1).mean() < 0.98
    assert ours.shape[1] == 1280 and (ours >= 0).all()


def test_timm_folder_and_file_equal_timm(tmp_path: Path) -> None:
    folder = make_timm(tmp_path / "m", "mobilenetv3_small_050", mean=[0.5] * 3, crop_mode="squash")
    model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    model.reset_classifier(0)
    encoder = Encoder.load(f"timm:local-dir:{folder}", device="cpu")
    assert encoder.preprocess.resize == "squash" and encoder.preprocess.mean == (0.5,) * 3
    expected = through_timm(model, PICTURES)
    np.testing.assert_allclose(encoder.encode_images(PICTURES), expected, atol=1e-5)
    with_head = timm.create_model(f"local-dir:{folder}", pretrained=True)
    for name, tensors in (("head", with_head.state_dict()), ("body", model.state_dict())):
        file = tmp_path / f"{name}.pt"
        torch.save(tensors, file)
        encoder = Encoder.load(f"timm:mobilenetv3_small_050@{file}", device="cpu")
        np.testing.assert_allclose(
            encoder.encode_images(PICTURES[:1]),
            through_timm(model, PICTURES[:1], **_data_config("mobilenetv3_small_050")),
            atol=1e-5,
        )


def _data_config(name: str) -> dict[str, Any]:
    return dict(resolve_model_data_config(timm.create_model(name)))


def test_a_timm_folder_that_lacks_tensors_is_refused(tmp_path: Path) -> None:
    # timm itself leaves them random when it is asked for no head.
    folder = make_timm(tmp_path / "m", "mobilenetv3_small_050")
    model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    state = model.state_dict()
    del state["blocks.0.0.conv_dw.weight"]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(EncoderError, match="conv_dw"):
        load_backbone(f"timm:local-dir:{folder}")


def test_padding_is_part_of_the_variant(tmp_path: Path) -> None:
    folder = make_timm(tmp_path / "m", "mobilenetv3_small_050")
    before = Encoder.load(f"timm:local-dir:{folder}", device="cpu")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_args": {"pad_type": "same"}}))
    after = Encoder.load(f"timm:local-dir:{folder}", device="cpu")
    assert after.weights_sha256 == before.weights_sha256
    assert after.fingerprint != before.fingerprint


# --- torchvision ---------------------------------------------------------------------------------


def test_torchvision_file_equals_torchvision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torchvision.models.resnet18(weights=None)
    torch.save(model.state_dict(), tmp_path / "r.pth")
    encoder = Encoder.load(f"torchvision:resnet18@{tmp_path / 'r.pth'}", device="cpu")
    model.fc = nn.Identity()
    transform = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    with torch.no_grad():
        rows = model.eval()(torch.stack([transform(each.pixels) for each in PICTURES]))
    assert encoder.dim == 512
    np.testing.assert_allclose(encoder.encode_images(PICTURES), unit(rows), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "dim"),
    [
        ("alexnet", 4096), ("mobilenet_v3_small", 1024), ("efficientnet_b0", 1280),
        ("densenet121", 1024), ("shufflenet_v2_x0_5", 1024), ("googlenet", 1024),
        ("convnext_tiny", 768), ("swin_t", 768), ("vit_b_32", 768), ("inception_v3", 2048),
        ("regnet_y_400mf", 440), ("mnasnet0_5", 1280), ("vgg11", 4096), ("maxvit_t", 512),
    ],
)  # fmt: skip
def test_torchvision_heads_are_removed(name: str, dim: int) -> None:
    # On "meta" shapes only are computed; these three need a few real numbers to be built.
    real = name in ("maxvit_t", "swin_t", "regnet_y_400mf")
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("cpu" if real else "meta"), torch.inference_mode():
        model = torchvision.models.get_model(name, weights=None, **options).eval()
        classifiers._remove_head(model, name)
        assert model(torch.zeros(1, 3, 224, 224)).shape == (1, dim)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_torchvision_networks_with_several_outputs(name: str, tmp_path: Path) -> None:
    options = {"init_weights": False, "aux_logits": True, "transform_input": True}
    model = torchvision.models.get_model(name, weights=None, **options).eval()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    encoder = Encoder.load(f"torchvision:{name}@{tmp_path / 'w.pth'}", device="cpu")
    model.fc = nn.Identity()
    transform = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    with torch.no_grad():
        rows = model(torch.stack([transform(each.pixels) for each in PICTURES[:1]]))
    np.testing.assert_allclose(encoder.encode_images(PICTURES[:1]), unit(rows), atol=1e-5)


def test_a_head_that_is_no_linear_layer_is_refused(tmp_path: Path) -> None:
    model = torchvision.models.squeezenet1_1(weights=None)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    with pytest.raises(EncoderError, match="head of torchvision's squeezenet1_1"):
        load_backbone(f"torchvision:squeezenet1_1@{tmp_path / 'w.pth'}")


# --- wrong names, wrong files --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("", "named like this"),
        ("resnet50", "named like this"),
        ("keras:resnet50", "named like this"),
        ("clip:", "named like this"),
        ("clip:local-dir:", "named like this"),
        ("builtin@x.pt", "named like this"),
        ("clip:ViT-B-23/openai", "Did you mean ViT-B-32"),
        ("clip:ViT-B-32/laion2b_s34b_b97k", "Did you mean laion2b_s34b_b79k"),
        ("clip:ViT-B-32", "names no weights. Use clip:ViT-B-32/"),
        ("clip:local-dir:/nowhere", "has no open_clip_config.json"),
        ("timm:local-dir:/nowhere", "has no config.json"),
        ("torchvision:resnet51", "Did you mean resnet50"),
        ("timm:resnet500", "Did you mean resnet"),
        ("timm:resnet50.a1_in2k", "Did you mean a1_in1k"),
        ("timm:test_vit_x", "Did you mean test_vit"),
        ("torchvision:resnet50@nowhere.pt", "no weights file nowhere.pt"),
        ("clip:hf-hub:owner/model@{file}", "two sources"),
    ],
)
def test_wrong_names_are_explained(spec: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"")
    with pytest.raises(EncoderError) as raised:
        load_backbone(spec.format(file=tmp_path / "w.pt"))
    assert says in str(raised.value)
    assert not isinstance(raised.value, MissingWeights)


class Evil:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (Path(self.path),)  # type: ignore[return-value]

    def __init__(self, path: Path) -> None:
        self.path = str(path)


FILES = ["torchvision:resnet18", "timm:resnet18.a1_in1k", "clip:findalike-tiny"]


@pytest.mark.parametrize("name", FILES)
def test_code_in_weights_is_not_run(name: str, registered: str, tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"state_dict": Evil(tmp_path / "ran")}, path)
    plain = tmp_path / "evil-plain.pt"
    plain.write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    for file in (path, plain):
        with pytest.raises(EncoderError, match=r"runs no code|not a readable"):
            load_backbone(f"{name}@{file}")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "cut.pt", "list.pt", "numbers.pt"])
@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_explained(
    name: str, damage: str, registered: str, tmp_path: Path
) -> None:
    path = tmp_path / (damage if damage.endswith(".pt") else "w.safetensors")
    if damage.startswith("cut"):
        tensors = {"conv1.weight": torch.zeros(64, 3, 7, 7)}
        torch.save(tensors, path) if damage == "cut.pt" else save_file(tensors, path)
        path.write_bytes(path.read_bytes()[:-100])
    elif damage.endswith(".pt"):
        torch.save([1, 2] if damage == "list.pt" else {"a": 1}, path)
    else:
        path.write_bytes(b"" if damage == "empty" else b"<html>404 not found</html>")
    with pytest.raises(EncoderError) as raised:
        load_backbone(f"{name}@{path}")
    assert str(path) in str(raised.value) and len(str(raised.value)) < 500 + len(str(path))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("wrong", ["shape", "missing", "extra", "other"])
def test_files_of_other_models_are_refused(
    name: str, wrong: str, registered: str, clip_folder: Path, tmp_path: Path
) -> None:
    if name.startswith("clip"):
        file = clip_folder / "open_clip_model.safetensors"
        tensors = open_clip.factory.load_state_dict(str(file))
    else:
        tensors = torchvision.models.resnet18(weights=None).state_dict()
    first = next(iter(tensors))
    if wrong == "shape":
        tensors[first] = torch.zeros(5, 5)
    elif wrong == "missing":
        del tensors[first]
    elif wrong == "extra":
        tensors["fc_norm.weight"] = torch.zeros(5)
    else:
        tensors = torchvision.models.mobilenet_v3_small(weights=None).state_dict()
    path = tmp_path / "w.safetensors"
    save_file(tensors, path)
    with pytest.raises(EncoderError) as raised:
        load_backbone(f"{name}@{path}")
    assert not isinstance(raised.value, MissingWeights)
    assert str(path) in str(raised.value)
    assert len(str(raised.value)) < 500 + len(str(path)) and "\n" not in str(raised.value)


def test_folders_with_broken_contents_are_refused(clip_folder: Path, tmp_path: Path) -> None:
    weights = (clip_folder / "open_clip_model.safetensors").read_bytes()
    for config in ("{", "{}", '{"model_cfg": {"embed_dim": 3}}', '{"model_cfg": {"text_cfg": 3}}'):
        for name in ("open_clip_config.json", "config.json"):
            (tmp_path / name).write_text(config)
        (tmp_path / "model.safetensors").write_bytes(weights)
        for family in ("clip", "timm"):
            with pytest.raises(EncoderError, match="cannot be loaded") as raised:
                load_backbone(f"{family}:local-dir:{tmp_path}")
            assert len(str(raised.value)) < 500 + 3 * len(str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    for family in ("clip", "timm"):
        with pytest.raises(EncoderError, match="has no weights"):
            load_backbone(f"{family}:local-dir:{tmp_path}")


def test_a_damaged_builtin_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openclip, "ENCODER_SHA256", "0" * 64)
    with pytest.raises(EncoderError, match=r"damaged.*pip install --force-reinstall"):
        load_backbone("builtin")


@pytest.mark.parametrize(
    ("spec", "origin", "instead"),
    [
        ("clip:ViT-B-32/laion2b_s34b_b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "@PATH"),
        ("clip:hf-hub:Marqo/marqo-fashionSigLIP", "Marqo/marqo-fashionSigLIP", "clip:local-dir:"),
        ("timm:test_vit.r160_in1k", "timm/test_vit.r160_in1k", "@PATH"),
        ("timm:hf-hub:timm/test_vit.r160_in1k", "timm/test_vit.r160_in1k", "timm:local-dir:"),
        ("torchvision:squeezenet1_1", "squeezenet1_1-b8a52dc0.pth", "@PATH"),
    ],
)
def test_missing_weights_offline_say_what_to_do(
    offline: None, spec: str, origin: str, instead: str, tmp_path: Path, registered: str
) -> None:
    if spec.startswith("clip:ViT"):  # the real network would be built first
        open_clip.factory._MODEL_CONFIGS["ViT-B-32"], before = (
            CLIP,
            open_clip.factory._MODEL_CONFIGS["ViT-B-32"],
        )
    try:
        with pytest.raises(MissingWeights) as raised:
            load_backbone(spec)
    finally:
        if spec.startswith("clip:ViT"):
            open_clip.factory._MODEL_CONFIGS["ViT-B-32"] = before
    text = str(raised.value)
    assert all(part in text for part in (spec, origin, str(tmp_path), instead, models.BUILTIN))
    assert len(text) < 1200 and not constants.HF_HUB_OFFLINE


def test_the_hub_is_not_asked_again_and_again_without_a_network(offline: None) -> None:
    here = Path("weights.pt")
    with loading(Source("spec", "", "origin", here)):
        assert constants.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE
    with pytest.raises(MissingWeights), loading(Source("spec", "", "origin", here)):
        raise OSError("gone")
    assert not constants.HF_HUB_OFFLINE
    with loading(Source("spec", "weights.pt", "", here)):
        assert not constants.HF_HUB_OFFLINE  # a file needs no network


def test_loaders_are_quiet_and_leave_logging_as_it_was(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with loading(Source("spec", "weights.pt", "", Path("cache"))):
        print("chatter")
        warnings.warn("chatter", stacklevel=1)
        logging.getLogger().error("chatter")
    logging.getLogger().error("after")
    assert capsys.readouterr().out == "" and caplog.messages == ["after"]


@pytest.mark.parametrize(
    "error",
    [
        ImportError("No module named 'transformers'"),
        RuntimeError("Please `pip install transformers`"),
    ],
)
def test_missing_packages_are_named(error: Exception) -> None:
    source = Source("clip:some", "", "origin", Path("cache"))
    with pytest.raises(EncoderError, match=r"clip:some needs a package.*pip install transformers"):
        _raise_in(source, error)


def _raise_in(source: Source, error: Exception) -> None:
    with loading(source):
        raise error


def test_weights_fetched_before_load_offline(
    offline: None, clip_folder: Path, tmp_path: Path
) -> None:
    commit = "0" * 40
    repository = tmp_path / "hub" / "models--owner--tiny"
    snapshot = repository / "snapshots" / commit
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(clip_folder)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    encoder = Encoder.load("clip:hf-hub:owner/tiny", device="cpu", backend="torch fp32")
    local = Encoder.load(f"clip:local-dir:{clip_folder}", device="cpu", backend="torch fp32")
    assert encoder.fingerprint == local.fingerprint
    np.testing.assert_array_equal(encoder.encode_texts(WORDS), local.encode_texts(WORDS))


def test_torchvision_weights_fetched_before_are_read_without_code(
    offline: None, tmp_path: Path
) -> None:
    cache = models.torch_cache()
    cache.mkdir(parents=True)
    name = Path(torchvision.models.ResNet18_Weights.DEFAULT.url).name
    torch.save({"fc.weight": Evil(tmp_path / "ran")}, cache / name)
    with pytest.raises(EncoderError, match="runs no code"):
        load_backbone("torchvision:resnet18")
    assert not (tmp_path / "ran").exists()
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), cache / name)
    assert Encoder.load("torchvision:resnet18", device="cpu").dim == 512


def test_specs_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_spec("clip:ViT-B-32/openai") == "clip:ViT-B-32/openai"
    assert resolve_spec("builtin") == "builtin"
    assert resolve_spec("timm:resnet18@w.pt") == f"timm:resnet18@{tmp_path}/w.pt"
    assert resolve_spec("timm:resnet18@~/w@2.pt") == f"timm:resnet18@{tmp_path}/w@2.pt"
    assert resolve_spec("clip:local-dir:a/b@c") == f"clip:local-dir:{tmp_path}/a/b@c"
    assert resolve_spec("timm:local-dir:~/m") == f"timm:local-dir:{tmp_path}/m"
    assert resolve_spec("clip:hf-hub:owner/model") == "clip:hf-hub:owner/model"


def test_a_folder_may_have_an_at_sign_in_its_name(clip_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a@b").symlink_to(clip_folder)
    assert load_backbone(f"clip:local-dir:{tmp_path}/a@b").text is not None
