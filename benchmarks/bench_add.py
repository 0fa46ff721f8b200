"""Bulk add beside a plain open_clip loop, on the same photos, in one run.

    .venv/bin/python benchmarks/bench_add.py PHOTOS [--model ViT-B-32] [--photos 600]

The loop is what people write: open_clip's own preprocess in a DataLoader with a worker for each
core, float32, batches of 32. findalike decodes, embeds, makes previews and colours, and commits to
its catalogue. Weights are random, which changes no speed. Both run in processes of their own, in
turns, and their times are without imports and the loading of the model; the whole commands' times,
with these and with findalike's calibration, stand beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def plain_loop(photos: list[Path], model_name: str, weights: str) -> float:
    """Embed the photos as an open_clip user would; return seconds."""
    import open_clip
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    model, _, preprocess = open_clip.create_model_and_transforms(model_name, pretrained=weights)
    model.eval()

    class Photos(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(photos)

        def __getitem__(self, at: int) -> torch.Tensor:
            tensor: torch.Tensor = preprocess(Image.open(photos[at]).convert("RGB"))
            return tensor

    started = time.perf_counter()
    rows = []
    with torch.inference_mode():
        for batch in DataLoader(Photos(), batch_size=32, num_workers=os.cpu_count() or 1):
            rows.append(torch.nn.functional.normalize(model.encode_image(batch), dim=1))
    assert sum(len(part) for part in rows) == len(photos)
    return time.perf_counter() - started


def bulk_add(photos: list[Path], model_name: str, weights: str) -> float:
    """Add the photos to a new catalogue; return the seconds of the adding itself."""
    from index.catalogue import Catalogue

    marks: dict[str, float] = {}

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "add" and done == 0:
            marks["start"] = time.perf_counter()
        if stage == "add" and done == total:
            marks["end"] = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        spec = f"clip:{model_name}/laion2b_s34b_b79k@{weights}"
        with Catalogue.open(folder, create=True, encoder=spec) as catalogue:
            report = catalogue.add([str(path) for path in photos], progress=progress)
            print(f"  precision {catalogue.encoder.precision}, {report.embedded} embedded",
                  file=sys.stderr)  # fmt: skip
    return marks["end"] - marks["start"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--photos", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=["plain_loop", "bulk_add"], help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    options = parser.parse_args()
    photos = sorted(options.folder.rglob("*.jpg"))[: options.photos]
    if options.only:
        seconds = {"plain_loop": plain_loop, "bulk_add": bulk_add}[options.only](
            photos, options.model, options.weights
        )
        print(json.dumps(seconds))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, {len(photos)} photos, {options.model}")
    with tempfile.TemporaryDirectory() as folder:
        weights = f"{folder}/random.pt"
        make = (
            "import open_clip, torch, sys; torch.manual_seed(0);"
            "torch.save(open_clip.create_model(sys.argv[1]).state_dict(), sys.argv[2])"
        )
        quiet = subprocess.DEVNULL
        subprocess.run(
            [sys.executable, "-c", make, options.model, weights], check=True, stderr=quiet
        )
        best: dict[str, float] = {}
        for turn in range(options.rounds):
            for way in ("plain_loop", "bulk_add"):
                started = time.perf_counter()
                again = ["--only", way, "--weights", weights, "--model", options.model]
                out = subprocess.run(
                    [
                        sys.executable,
                        __file__,
                        options.folder,
                        "--photos",
                        str(options.photos),
                        *again,
                    ],
                    check=True,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                whole = time.perf_counter() - started
                rate = len(photos) / float(json.loads(out.stdout.splitlines()[-1]))
                best[way] = max(rate, best.get(way, 0.0))
                line = f"round {turn + 1}  {way:11} {rate:7.1f} photos/s"
                print(f"{line}, whole command {whole:.1f} s", flush=True)
        print(f"findalike / plain loop: {best['bulk_add'] / best['plain_loop']:.1f}")


if __name__ == "__main__":
    main()
