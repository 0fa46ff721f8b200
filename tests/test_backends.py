"""Backends: each computes the same network, and only what agrees on the pictures is chosen."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import tiny
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import nn

from index.catalogue import Catalogue
from index.query import Query
from vision import choice, trials
from vision.choice import Choice, Trial, machine, read_choice, write_choice
from vision.encoder import Encoder
from vision.errors import EncoderError
from vision.networks import backends, packing, streams, vino
from vision.networks.backends import REFERENCE, Network, Unfit, build
from vision.networks.loading import Backbone
from vision.networks.packing import PackedAttention, PackedLinear, pack
from vision.networks.preprocess import Preprocess
from vision.networks.streams import Streams
from webapp.cli import main

SIDE = 32
HALF = Preprocess("shortest", SIDE, SIDE, (0.4, 0.5, 0.6), (0.3, 0.25, 0.2), "bilinear")
NATIVE_BF16 = backends.computes_bf16()


def transformer() -> nn.Module:
    """A small CLIP tower as open_clip builds it, with attention of torch's own."""
    torch.manual_seed(0)
    tower: nn.Module = open_clip.transformer.VisionTransformer(
        image_size=SIDE, patch_size=8, width=64, layers=2, heads=2, mlp_ratio=2.0, output_dim=24
    )
    return tower.eval()


def convolutional() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
    net = nn.Sequential(*layers, nn.Flatten())
    net[1].running_mean.uniform_(-0.5, 0.5)  # type: ignore[union-attr,operator]
    return net.eval()


def needs_openvino() -> None:
    if find_spec("openvino") is None:  # not by importing it: that is how it starts to report
        pytest.skip("findalike[openvino] is not installed")


def photos(count: int, seed: int = 0) -> np.ndarray:
    """Smooth pictures, each unlike the others: (count, 3, SIDE, SIDE) uint8."""
    coarse = torch.from_numpy(np.random.default_rng(seed).uniform(0, 255, (count, 3, 4, 4)))
    fine = F.interpolate(coarse, (SIDE, SIDE), mode="bilinear")
    pixels: np.ndarray = fine.to(torch.uint8).numpy()
    return pixels


def plain(module: nn.Module, pixels: np.ndarray) -> np.ndarray:
    """What the network says, normalised by hand."""
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (HALF.mean, HALF.std))
    with torch.inference_mode():
        rows = module((torch.from_numpy(pixels) / 255 - mean) / std)
    return nn.functional.normalize(rows, dim=1).numpy()


# --- each backend --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [transformer, convolutional])
@pytest.mark.parametrize("name", [REFERENCE, "packed fp32", "frozen fp32", "openvino fp32"])
def test_float32_is_the_same_whatever_computes_it(name: str, make: Any) -> None:
    if name.startswith("openvino"):
        needs_openvino()
    network = Network(make(), HALF).eval()
    if name == "packed fp32" and make is convolutional:
        with pytest.raises(Unfit, match="no linear layers to pack"):
            build(name, network)
        return
    run, pixels = build(name, network), photos(19)
    expected = plain(network.image, pixels)
    for count in (1, 2, 19):
        np.testing.assert_allclose(run(pixels[:count]), expected[:count], atol=2e-5)


@pytest.mark.parametrize(
    ("name", "least"), [("torch bf16", 0.999), ("packed bf16", 0.999), ("openvino bf16", 0.999)]
)
def test_half_precision_is_near_and_not_the_same(name: str, least: float) -> None:
    if name.startswith("openvino"):
        needs_openvino()
    network = Network(transformer(), HALF).eval()
    pixels = photos(8)
    rows, expected = build(name, network)(pixels), plain(network.image, pixels)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert (rows * expected).sum(axis=1).min() >= least
    assert not np.allclose(rows, expected, atol=1e-6) or not NATIVE_BF16
    assert next(network.image.parameters()).dtype == torch.float32  # the original is left alone


def test_int8_learns_from_the_pictures_and_is_near() -> None:
    needs_openvino()
    network, pixels = Network(transformer(), HALF).eval(), photos(96)
    run = build("openvino int8", network, pixels[:64])
    cosines = (run(pixels) * plain(network.image, pixels)).sum(axis=1)
    assert 0.98 < cosines.mean() < 0.999999


def test_a_graphics_card_takes_none_of_the_processors() -> None:
    with torch.device("meta"):
        network = Network(transformer(), HALF)
    with pytest.raises(Unfit, match="is for processors, not for meta"):
        build("packed fp32", network)


def test_what_cannot_be_traced_is_unfit() -> None:
    class Moody(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return {"rows": lambda: x}  # neither tensor nor tuple

    with pytest.raises((Unfit, AttributeError)):
        build("frozen fp32", Network(Moody(), HALF))


# --- packed weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_computes_what_the_layer_does(dtype: torch.dtype, bias: bool) -> None:
    """Its operator is not torch's promise: an update that changes it is to be noticed here."""
    torch.manual_seed(0)
    layer = nn.Linear(48, 80, bias=bias).to(dtype)
    packed = PackedLinear(layer.weight, layer.bias)
    close = {"atol": 1e-5} if dtype == torch.float32 else {"atol": 0.02, "rtol": 0.02}
    with torch.inference_mode():
        for shape in ((1, 48), (7, 48), (3, 5, 48)):
            x = torch.randn(shape).to(dtype)
            torch.testing.assert_close(packed(x), layer(x), **{"rtol": 1e-4, **close})


def test_attention_to_itself_is_packed_and_any_other_left_to_torch() -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(32, 4, batch_first=True).eval()
    packed = PackedAttention(attention)
    x, y = torch.randn(2, 9, 32), torch.randn(2, 9, 32)
    mask = torch.triu(torch.ones(9, 9, dtype=torch.bool), diagonal=1)
    asked: list[tuple[tuple[torch.Tensor, ...], dict[str, Any]]] = [
        ((x, x, x), {"need_weights": False, "attn_mask": None}),
        ((x, y, y), {"need_weights": False}),
        ((x, x, x), {"need_weights": False, "attn_mask": mask}),
        ((x, x, x), {"need_weights": True}),
        ((x, x, x), {}),
    ]
    with torch.inference_mode():
        for of, options in asked:
            found, weights = packed(*of, **options)
            expected, their_weights = attention(*of, **options)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
            assert (weights is None) == (their_weights is None)


def test_every_linear_layer_is_packed() -> None:
    for tower in (transformer(), timm.create_model("test_vit", num_classes=0)):
        linear = sum(type(each) is nn.Linear for each in tower.modules())
        attention = sum(isinstance(each, nn.MultiheadAttention) for each in tower.modules())
        assert pack(tower) == linear + attention > 0
        assert not any(type(each) is nn.Linear for each in tower.modules())
    assert pack(convolutional()) == 0


def test_a_packed_network_is_one_call_for_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is computed, other threads are not waited for after every operation."""
    called: list[nn.Module] = []
    plain = nn.Module.__call__

    def noted(module: nn.Module, *args: Any, **options: Any) -> Any:
        called.append(module)
        return plain(module, *args, **options)

    pixels = np.zeros((3, 3, SIDE, SIDE), np.uint8)
    run = build("packed fp32", Network(transformer(), HALF).eval())
    monkeypatch.setattr(nn.Module, "__call__", noted)
    for count in (1, 2, 3):  # it was traced with another number
        assert run(pixels[:count]).shape == (count, 24)
    assert called and all(isinstance(each, torch.jit.ScriptModule) for each in called)


def test_what_cannot_be_traced_is_packed_all_the_same() -> None:
    class Undecided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3 * SIDE * SIDE, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if torch.jit.is_tracing():
                raise RuntimeError("this cannot be traced")
            rows: torch.Tensor = self.layer(x.flatten(1))
            return rows

    network = Network(Undecided(), HALF).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, SIDE, SIDE), dtype=np.uint8)
    rows = build("packed fp32", network)(pixels)
    np.testing.assert_allclose(rows, build(REFERENCE, network)(pixels), atol=1e-5)


# --- streams -------------------------------------------------------------------------------------


@pytest.fixture
def own_streams() -> Iterator[None]:
    """Streams of the test's own: as many as the test says there are cores."""
    streams._processor.cache_clear()
    yield
    streams._processor.cache_clear()


@pytest.mark.parametrize("shared", [False, True])
def test_a_batch_is_parted_and_put_together_in_order(
    shared: bool, own_streams: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "cores", lambda: 3)
    streams._processor().shared = shared
    sizes: list[int] = []

    def work(pixels: np.ndarray) -> np.ndarray:
        sizes.append(len(pixels))
        time.sleep(0.01 + 0.01 * (pixels[0, 0] == 0))  # the first ends last
        return pixels * 2

    for count in (1, 2, 3, 7, 40):
        sizes.clear()
        batch = np.arange(count)[:, None]
        assert np.array_equal(streams.in_streams(work, batch), batch * 2)
        assert max(sizes) <= 4 and len(sizes) >= min(3, count)


def test_a_batch_is_always_parted_in_the_same_way(own_streams: None) -> None:
    """The same pictures must be computed to the same bits, whatever else goes on."""
    sizes: dict[int, list[int]] = {}

    def work(pixels: np.ndarray) -> np.ndarray:
        sizes.setdefault(int(pixels[0, 0]), []).append(len(pixels))
        time.sleep(0.002 * (pixels[0, 0] % 3))
        return pixels

    batches = [np.full((count, 1), count) for count in (5, 6, 7, 9, 11)]
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda batch: streams.in_streams(work, batch), batches))
    together = {count: sorted(found) for count, found in sizes.items()}
    sizes.clear()
    for batch in batches:
        streams.in_streams(work, batch)
    assert {count: sorted(found) for count, found in sizes.items()} == together


def test_a_server_shares_passes(own_streams: None) -> None:
    assert not streams._processor().shared
    Encoder.load("builtin", device="cpu").serve()
    assert streams._processor().shared


def test_streams_compute_alone_and_leave_the_others_their_threads(own_streams: None) -> None:
    before, seen = torch.get_num_threads(), set()

    def work(pixels: np.ndarray) -> np.ndarray:
        seen.add(torch.get_num_threads())
        return pixels

    torch.set_num_threads(3)
    try:
        streams.in_streams(work, np.zeros((64, 1)))
        assert seen == {1} and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_an_error_in_a_stream_is_raised() -> None:
    def work(pixels: np.ndarray) -> np.ndarray:
        raise RuntimeError("no such operation")

    with pytest.raises(RuntimeError, match="no such operation"):
        streams.in_streams(work, np.zeros((9, 1)))


def waiting_for(shared: Streams, pictures: int) -> None:
    while len(shared._waiting) < pictures:
        time.sleep(0.001)


def test_callers_at_the_same_time_share_a_pass_and_get_their_own_rows() -> None:
    passes: list[int] = []
    first = threading.Event()

    def work(batch: np.ndarray) -> np.ndarray:
        passes.append(len(batch))
        if len(passes) == 1:
            assert first.wait(30)
        return batch * 2

    shared = Streams(1, 64, shared=True)
    with ThreadPoolExecutor(9) as pool:
        alone = pool.submit(shared.run, work, np.full((2, 1), 100))
        while not passes:
            time.sleep(0.001)
        others = [pool.submit(shared.run, work, np.full((2, 1), at)) for at in range(8)]
        waiting_for(shared, 16)
        first.set()
        assert alone.result(30).tolist() == [[200], [200]]
        for at, each in enumerate(others):
            assert each.result(30).tolist() == [[2 * at], [2 * at]]
    assert passes == [2, 16]


def test_no_pass_is_larger_than_memory_bears_and_errors_reach_their_callers() -> None:
    passes: list[int] = []
    first = threading.Event()

    def work(batch: np.ndarray) -> np.ndarray:
        passes.append(len(batch))
        if len(passes) == 1:
            assert first.wait(30)
            raise RuntimeError("out of memory")
        return batch

    shared = Streams(1, 64, shared=True)
    with ThreadPoolExecutor(5) as pool:
        alone = pool.submit(shared.run, work, np.zeros((1, 1)))
        while not passes:
            time.sleep(0.001)
        others = [pool.submit(shared.run, work, np.zeros((30, 1))) for _ in range(4)]
        waiting_for(shared, 120)
        first.set()
        with pytest.raises(RuntimeError, match="out of memory"):
            alone.result(30)
        assert [len(each.result(30)) for each in others] == [30] * 4
    assert passes == [1, 64, 56]


def test_different_work_is_never_computed_together() -> None:
    passes: list[list[int]] = []
    first = threading.Event()

    def work(batch: np.ndarray) -> np.ndarray:
        if not passes:
            passes.append([])
            assert first.wait(30)
        return batch * 2

    def other(batch: np.ndarray) -> np.ndarray:
        passes.append(batch[:, 0].tolist())
        return batch * 3

    shared = Streams(1, 64, shared=True)
    with ThreadPoolExecutor(3) as pool:
        pool.submit(shared.run, work, np.zeros((1, 1)))
        while not passes:
            time.sleep(0.001)
        one = pool.submit(shared.run, other, np.full((2, 1), 5))
        waiting_for(shared, 2)
        two = pool.submit(shared.run, work, np.full((2, 1), 7))
        waiting_for(shared, 4)
        first.set()
        assert one.result(30).tolist() == [[15], [15]]
        assert two.result(30).tolist() == [[14], [14]]
    assert passes == [[], [5, 5]]


# --- choosing ------------------------------------------------------------------------------------


def reference_encoder(module: nn.Module | None = None) -> Encoder:
    return Encoder("made", Backbone(module or transformer(), HALF, ""), "cpu", REFERENCE)


def test_the_fastest_that_agrees_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Speeds are given here, agreement is measured."""
    encoder = reference_encoder()
    network = encoder.network
    assert network is not None
    right = build(REFERENCE, network)
    rng = np.random.default_rng(0)

    def off(pixels: np.ndarray) -> np.ndarray:
        return backends.unit(right(pixels) + rng.normal(0, 0.004, (len(pixels), 24)))

    def wild(pixels: np.ndarray) -> np.ndarray:
        return np.roll(right(pixels), 1, axis=1)

    def broken(pixels: np.ndarray) -> np.ndarray:
        return right(pixels) * np.nan

    def failing(pixels: np.ndarray) -> np.ndarray:
        raise RuntimeError("no such operation")

    # The faster, the further off; what is as good as the reference comes in the middle.
    runs = {"a": right, "b": right, "c": off, "d": wild, "e": broken, "f": failing}
    seconds = {REFERENCE: 8.0, "a": 4.0, "b": 2.0, "c": 1.0, "d": 0.5, "e": 0.25, "f": 0.1}
    told: list[str] = []
    monkeypatch.setattr(trials, "candidates", lambda _: tuple(runs))
    monkeypatch.setattr(trials, "build", lambda name, _: runs[name])
    monkeypatch.setattr(trials, "_timed", lambda run, some: (run(some), seconds[told[-1]]))
    found = trials.choose(encoder, photos(300), tmp_path, told.append)
    assert told == [REFERENCE, *runs]
    assert found.backend == "b" and found.trial.recall == 1.0 and found.trial.speed == 16.0
    refused = {each.backend: each.refused for each in found.trials}
    assert not refused["a"] and not refused[REFERENCE]
    assert refused["c"] == "its recall@10 is below 0.99"
    assert refused["d"] == "its mean cosine is below 0.999"
    assert refused["e"] == "it does not run: its numbers overflow"
    assert refused["f"] == "it does not run: no such operation"
    assert read_choice(tmp_path) == found and found.unfit(tmp_path, encoder.fingerprint) == ""


def test_real_candidates_are_tried_and_the_choice_is_used(tmp_path: Path) -> None:
    encoder = reference_encoder()
    pixels = photos(160)
    found = trials.choose(encoder, pixels, tmp_path)
    tried = [each.backend for each in found.trials]
    assert tried[0] == REFERENCE and "packed fp32" in tried
    assert all(each.speed > 0 and each.cosine > 0.9 for each in found.trials if not each.refused)
    again = Encoder("made", Backbone(transformer(), HALF, ""), "cpu", None, tmp_path)
    assert again.backend == found.backend and again.fingerprint == encoder.fingerprint
    cosines = (again.encode_pixels(pixels) * encoder.encode_pixels(pixels)).sum(axis=1)
    assert cosines.mean() >= 0.999
    other = Encoder("made", Backbone(convolutional(), HALF, ""), "cpu", None, tmp_path)
    assert other.backend == REFERENCE  # the choice is another encoder's


def test_what_openvino_needs_is_kept_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_openvino()
    encoder = reference_encoder(convolutional())
    monkeypatch.setattr(trials, "candidates", lambda _: ("openvino fp32",))
    slow = encoder.encode_pixels
    monkeypatch.setattr(
        trials, "_timed", lambda run, some: (run(some), 9.0 if run == slow else 1.0)
    )
    (tmp_path / "openvino-old.bin").write_bytes(b"of the choice before")
    found = trials.choose(encoder, photos(160), tmp_path)
    assert found.backend == "openvino fp32" and len(found.files) == 2
    assert {each.name for each in tmp_path.iterdir()} == {"backend.json", *found.files}

    def load() -> Encoder:
        return Encoder("made", Backbone(convolutional(), HALF, ""), "cpu", None, tmp_path)

    chosen = load()
    assert chosen.backend == "openvino fp32"
    np.testing.assert_allclose(
        chosen.encode_pixels(photos(5)), encoder.encode_pixels(photos(5)), atol=1e-5
    )
    weights = tmp_path / next(each for each in found.files if each.endswith(".bin"))
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert found.unfit(tmp_path, encoder.fingerprint) == f"{weights.name} is damaged"
    assert load().backend == REFERENCE
    weights.unlink()
    assert found.unfit(tmp_path, encoder.fingerprint) == f"{weights.name} is gone"
    assert load().backend == REFERENCE
    assert trials.choose(encoder, photos(160), tmp_path).unfit(tmp_path, encoder.fingerprint) == ""
    assert load().backend == "openvino fp32"


def test_a_catalogue_chooses_on_its_own_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str | None, Path | None]] = []

    def load(spec: str, *, device: str = "cpu", backend: Any = None, home: Any = None) -> Encoder:
        asked.append((backend, home))
        return Encoder(spec, Backbone(transformer(), HALF, ""), device, backend, home)

    monkeypatch.setattr(Encoder, "load", staticmethod(load))
    monkeypatch.setattr(trials, "_timed", lambda run, some: (run(some), 1.0))
    shop, said = tmp_path / "shop", CliRunner()
    feed = tiny.write_feed(tmp_path / "feed.csv", 130)
    with Catalogue.open(shop, create=True) as catalogue:
        catalogue.add([feed])
        assert catalogue.info()["backend"] is None
    plain = said.invoke(main, ["-c", str(shop), "info"]).output
    assert "findalike quicken finds" in " ".join(plain.split())
    asked.clear()
    done = said.invoke(main, ["-c", str(shop), "quicken"])
    assert done.exit_code == 0 and "is used" in done.output and "Trying packed fp32." in done.output
    assert asked == [(REFERENCE, None)]
    with Catalogue.open(shop) as catalogue:
        facts = catalogue.info()["backend"]
        assert facts["pictures"] == 130 and facts["unfit"] == ""
        assert catalogue.encoder.backend == facts["backend"]
        assert asked[-1] == (None, shop / "backend")
        catalogue.search(Query(photo=tmp_path / "pictures" / "00003.png"))
    shown = " ".join(said.invoke(main, ["-c", str(shop), "info"]).output.split())
    assert f"{facts['backend']}, 1.0 times the speed of torch fp32 (cosine" in shown
    monkeypatch.setattr(choice, "cores", lambda: 99)
    shown = " ".join(said.invoke(main, ["-c", str(shop), "info"]).output.split())
    assert "it was made on" in shown and "Run findalike quicken again" in shown


def test_a_catalogue_with_few_pictures_is_told_so(tmp_path: Path) -> None:
    with tiny.tiny_encoders(), Catalogue.open(tmp_path / "shop", create=True) as catalogue:
        catalogue.add([tiny.write_feed(tmp_path / "feed.csv", 3)])
    with tiny.tiny_encoders():
        done = CliRunner().invoke(main, ["-c", str(tmp_path / "shop"), "quicken"])
    assert done.exit_code == 1 and "3 pictures are too few to judge by" in done.output


def test_too_few_pictures_are_no_ground(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="127 pictures are too few to judge by; 128 will do"):
        trials.choose(reference_encoder(), photos(127), tmp_path)
    assert not list(tmp_path.iterdir())


def made_choice() -> Choice:
    return Choice("b", "f" * 64, machine(), 200, (Trial("a"), Trial("b", 3.0, 1.0)), {})


def test_a_choice_is_of_one_encoder_and_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_choice(tmp_path, made_choice())
    found = read_choice(tmp_path)
    assert found == made_choice() and found.unfit(tmp_path, "f" * 64) == ""
    assert found.unfit(tmp_path, "0" * 64) == "it was made for another encoder"
    assert f"torch {torch.__version__.partition('+')[0]}" in machine() and "cores" in machine()
    monkeypatch.setattr(choice, "cores", lambda: 99)
    assert found.unfit(tmp_path, "f" * 64).startswith("it was made on ")


@pytest.mark.parametrize(
    "note", ["", "[]", "{}", '{"trials": []}', '{"trials": [{"colour": 1}]}', "null", "\0"]
)
def test_a_damaged_note_is_no_choice(note: str, tmp_path: Path) -> None:
    (tmp_path / "backend.json").write_text(note)
    assert read_choice(tmp_path) is None
    assert read_choice(None) is None and read_choice(tmp_path / "nowhere") is None
    facts = dataclasses.asdict(made_choice()) | {"backend": "never tried"}
    (tmp_path / "backend.json").write_text(json.dumps(facts))
    assert read_choice(tmp_path) is None


def test_recall_counts_the_nearest_of_the_reference() -> None:
    rows = backends.unit(np.random.default_rng(0).normal(size=(60, 8)))
    assert trials.recall_at(rows, rows) == 1.0
    assert trials.recall_at(rows, -rows) < 0.05
    twice = np.concatenate([rows, rows])  # the same picture twice: either is as near
    swapped = np.concatenate([rows[:30], rows[30:], rows])[::1]
    assert trials.recall_at(twice, swapped) == 1.0
    some = rows.copy()
    some[0] = -some[0]
    assert 1 - 1 / 60 <= trials.recall_at(rows, some) < 1.0


def test_nothing_is_reported_to_the_makers_of_openvino() -> None:
    needs_openvino()
    vino.convert(Network(convolutional(), HALF).eval(), None)
    from openvino.tools.ovc import telemetry_utils

    assert telemetry_utils.tm.__name__.endswith("telemetry_stub")


def test_packing_says_why_where_torch_has_it_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise AttributeError("mkldnn has no attribute _reorder_linear_weight")

    monkeypatch.setattr(packing, "PackedLinear", missing)
    with pytest.raises(Unfit, match="has no attribute _reorder_linear_weight"):
        build("packed fp32", Network(transformer(), HALF).eval())
