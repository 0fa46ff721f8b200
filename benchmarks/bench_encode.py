"""The backends of an encoder side by side: speed at several batch sizes, and how far off they are.

    .venv/bin/python benchmarks/bench_encode.py [--encoder clip:ViT-B-32] [--photos FOLDER]
    .venv/bin/python benchmarks/bench_encode.py --serve     # many callers at once

An encoder without weights, such as clip:ViT-B-32, gets random ones, which changes no speed; its
recall then says little. Rounds go over all backends in turn, and the best counts, since what else
the machine does only makes them slower. GFLOP/s are the multiplications and additions that torch
counts in the network, times pictures per second; the peak is that of a large matrix product by
torch in the same precision on all cores, the best of the same rounds. int8 has no such product in
torch; its share is of the bf16 peak.

With --serve, 1 to 16 callers ask for two pictures at a time, as a query does, and the table shows
answers per second and the median time of one: from the streams that all requests share (how
processors are used), and gathered into common batches (how graphics cards are used). Prints
Markdown tables.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from vision.choice import machine
from vision.encoder import Encoder
from vision.images import read_image
from vision.networks.backends import (
    REFERENCE,
    Network,
    Run,
    Unfit,
    build,
    by_default,
    candidates,
)
from vision.networks.streams import Streams, share
from vision.trials import recall_at

SAMPLE = Path(__file__).parents[1] / "assets" / "sample" / "products"


def load(spec: str) -> Encoder:
    """Load an encoder on the reference backend; a CLIP without weights with random ones."""
    family, _, name = spec.partition(":")
    if family != "clip" or any(sign in name for sign in "/@:"):
        return Encoder.load(spec, backend=REFERENCE)
    import open_clip

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pt"
        torch.save(open_clip.create_model(name).state_dict(), path)
        tag = open_clip.list_pretrained_tags_by_model(name)[-1]
        return Encoder.load(f"clip:{name}/{tag}@{path}", backend=REFERENCE)


def seconds(work: Callable[[], object]) -> float:
    """Return how long one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak(dtype: torch.dtype) -> float:
    """Return the GFLOP/s of one large matrix product on all cores."""
    side = 2048
    a, b = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
    return 2 * side**3 / 1e9 / min(seconds(lambda: a @ b) for _ in range(3))


def work_of(network: Network, pixels: np.ndarray) -> float:
    """Return the GFLOP of one picture, a multiplication and an addition counted as two."""
    counter = FlopCounterMode(display=False)
    torch.backends.mha.set_fastpath_enabled(False)  # the counter does not know that operation
    with counter, torch.inference_mode():
        network(torch.from_numpy(pixels[:1]).to(network.device))
    torch.backends.mha.set_fastpath_enabled(True)
    return float(counter.get_total_flops()) / 1e9


def compare(encoder: Encoder, pixels: np.ndarray, rounds: int, sizes: Sequence[int]) -> None:
    """Print speed and agreement of every backend."""
    network = encoder.network
    assert network is not None
    names = candidates(network) if network.device.type == "cpu" else by_default(network)
    runs: dict[str, Run] = {REFERENCE: encoder.encode_pixels}
    for name in names:
        try:
            runs[name] = build(name, network, pixels[:64])
        except Unfit as error:
            print(f"{name} does not run here: {error}", file=sys.stderr)
    reference = embed(encoder.encode_pixels, pixels)
    best: dict[tuple[str, int], float] = {}
    peaks = {torch.float32: 0.0, torch.bfloat16: 0.0}
    for _ in range(rounds):
        for dtype in peaks:
            peaks[dtype] = max(peaks[dtype], peak(dtype))
        for name, run in runs.items():
            for size in sizes:
                taken = min(seconds(lambda run=run, size=size: run(pixels[:size])) for _ in "123")
                best[name, size] = min(taken, best.get((name, size), taken))
    one = work_of(network, pixels)
    print(f"{encoder.spec.partition('@')[0]}, {one:.2f} GFLOP a picture; peak in fp32 "
          f"{peaks[torch.float32]:.0f}, in bf16 {peaks[torch.bfloat16]:.0f} GFLOP/s\n")  # fmt: skip
    columns = " | ".join(f"batch of {size}" for size in sizes)
    print(f"| pictures/s | {columns} | x {REFERENCE} | GFLOP/s | of the peak | cosine, least "
          f"| recall@10 |\n| --- |{' ---: |' * (len(sizes) + 5)}")  # fmt: skip
    largest = max(sizes)
    for name, run in runs.items():
        rows = embed(run, pixels)
        cosines = (rows * reference).sum(axis=1)
        rates = [size / best[name, size] for size in sizes]
        reached = rates[sizes.index(largest)] * one
        limit = peaks[torch.float32 if name.endswith("fp32") else torch.bfloat16]
        gain = best[REFERENCE, largest] / best[name, largest]
        print(f"| {name} | {' | '.join(f'{rate:.1f}' for rate in rates)} | {gain:.1f} | "
              f"{reached:.0f} | {reached / limit:.0%} | {cosines.mean():.5f}, {cosines.min():.5f} "
              f"| {recall_at(reference, rows):.4f} |")  # fmt: skip


def embed(run: Run, pixels: np.ndarray) -> np.ndarray:
    """Embed pictures in batches."""
    return np.concatenate([run(pixels[at : at + 32]) for at in range(0, len(pixels), 32)])


def serve(encoder: Encoder, backends: Sequence[str], pixels: np.ndarray, each: float) -> None:
    """Print what callers at the same time get from streams, and from common batches."""
    network = encoder.network
    assert network is not None
    share()
    print("| backend | way | callers | answers/s | median ms | p95 ms |\n"
          "| --- | --- | ---: | ---: | ---: | ---: |")  # fmt: skip
    for name in backends:
        run = build(name, network, pixels[:64])
        bare = min(seconds(lambda run=run: run(pixels[:2])) for _ in range(20))
        print(f"| {name} | bare call | 1 | {1 / bare:.1f} | {1000 * bare:.1f} | |")
        for way, door in (
            ("streams", run),
            ("gathered", partial(Streams(1, 64, shared=True).run, run)),
        ):
            for callers in (1, 4, 16):
                times = asked(door, pixels, callers, each)
                ordered = sorted(1000 * taken for taken in times)
                middle, late = statistics.median(ordered), ordered[int(0.95 * len(ordered))]
                rate = len(times) / each
                print(f"| {name} | {way} | {callers} | {rate:.1f} | {middle:.1f} | {late:.1f} |",
                      flush=True)  # fmt: skip


def asked(run: Run, pixels: np.ndarray, callers: int, each: float) -> list[float]:
    """Return how long each answer took while so many callers asked for some seconds."""
    times: list[float] = []
    until = time.perf_counter() + each

    def call(at: int) -> None:
        while time.perf_counter() < until:
            at = (at + 2) % (len(pixels) - 2)
            times.append(seconds(partial(run, pixels[at : at + 2])))

    threads = [threading.Thread(target=call, args=(5 * caller,)) for caller in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="clip:ViT-B-32")
    parser.add_argument("--photos", type=Path, default=SAMPLE, help="what agreement is measured on")
    parser.add_argument("--count", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 32])
    parser.add_argument("--serve", action="store_true", help="measure many callers at once")
    parser.add_argument("--seconds", type=float, default=4, help="with --serve, for each line")
    parser.add_argument("--backends", nargs="+", help="with --serve  [default: the usual one]")
    options = parser.parse_args()
    encoder = load(options.encoder)
    assert encoder.network is not None
    photos = sorted(options.photos.rglob("*.jpg"))[: options.count]
    pixels = np.stack([encoder.prepare(read_image(path)) for path in photos])
    print(f"{platform.machine()}, {machine()}, {encoder.device}, {len(photos)} photos\n")
    if options.serve:
        backends = options.backends or by_default(encoder.network)[:1]
        serve(encoder, backends, pixels, options.seconds)
    else:
        compare(encoder, pixels, options.rounds, options.batches)


if __name__ == "__main__":
    main()
