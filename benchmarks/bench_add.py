"""Bulk add beside clip-retrieval and a plain open_clip loop, on the same photos, in one run.

    .venv/bin/python benchmarks/bench_add.py PHOTOS [--photos 300] [--megapixels 12]
        [--clip-retrieval OTHER/bin/python] [--backends "packed bf16" "openvino int8"]

The loop is what people write: open_clip's own preprocess in a DataLoader with a worker for each
core, float32, batches of 32. clip-retrieval is its ``clip_inference`` with its own settings
(batches of 256, four workers), run by the Python that --clip-retrieval names; it does not go
together with findalike's libraries, so make that one with

    python3 -m venv OTHER && OTHER/bin/pip install clip-retrieval

findalike decodes, embeds, makes previews and colours, and commits to its catalogue. Weights are
random, which changes no speed (but no int8 would be chosen on them: the backends are told). With
--megapixels the photos are enlarged first. Each runs in a process of its own, in turns; times are
without imports and the loading of the model, and the whole command's stands beside them. Processor
seconds tell what the work costs where the machine does other work, too. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

CLIP_RETRIEVAL = """
import importlib.metadata, json, resource, sys, time
import torch
from clip_retrieval.clip_inference import reader
from clip_retrieval.clip_inference.main import main
marks = []
def used():
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in parts)
start = reader.FilesReader.__iter__
def noted(self):
    marks.append((time.perf_counter(), used()))
    return start(self)
reader.FilesReader.__iter__ = noted
main(sys.argv[1], sys.argv[2], clip_model=sys.argv[3], enable_text=False)
print(json.dumps({
    "seconds": time.perf_counter() - marks[0][0], "processor": used() - marks[0][1],
    "what": f"clip-retrieval {importlib.metadata.version('clip-retrieval')}, its defaults, "
            f"torch {torch.__version__}"}))
"""


def used() -> float:
    """Return the processor seconds of this process and its children that ended."""
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in parts)


def plain_loop(photos: Sequence[Path], model_name: str, weights: str) -> dict[str, object]:
    """Embed the photos as an open_clip user would."""
    import open_clip
    import torch
    from torch.utils.data import DataLoader, Dataset

    model, _, preprocess = open_clip.create_model_and_transforms(model_name, pretrained=weights)
    model.eval()

    class Photos(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(photos)

        def __getitem__(self, at: int) -> torch.Tensor:
            tensor: torch.Tensor = preprocess(Image.open(photos[at]).convert("RGB"))
            return tensor

    started, before = time.perf_counter(), used()
    rows = []
    with torch.inference_mode():
        for batch in DataLoader(Photos(), batch_size=32, num_workers=os.cpu_count() or 1):
            rows.append(torch.nn.functional.normalize(model.encode_image(batch), dim=1))
    assert sum(len(part) for part in rows) == len(photos)
    return {
        "seconds": time.perf_counter() - started,
        "processor": used() - before,
        "what": f"open_clip loop, torch fp32, torch {torch.__version__}",
    }


def bulk_add(
    photos: Sequence[Path], model_name: str, weights: str, backend: str
) -> dict[str, object]:
    """Add the photos to a new catalogue, whose encoder is computed with a backend."""
    from index import catalogue as door
    from vision.encoder import Encoder

    marks: list[tuple[float, float]] = []

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "add" and done in (0, total):
            marks.append((time.perf_counter(), used()))

    door._load = lambda spec, home=None: Encoder.load(spec, backend=backend)
    with tempfile.TemporaryDirectory() as folder:
        spec = f"clip:{model_name}/laion2b_s34b_b79k@{weights}"
        with door.Catalogue.open(folder, create=True, encoder=spec) as catalogue:
            report = catalogue.add([str(path) for path in photos], progress=progress)
            assert catalogue.encoder.backend == backend and report.added == len(photos)
    return {
        "seconds": marks[-1][0] - marks[0][0],
        "processor": marks[-1][1] - marks[0][1],
        "what": f"findalike add, {backend}",
    }


def enlarged(photos: Sequence[Path], megapixels: float, folder: Path) -> list[Path]:
    """Write the photos anew with so many pixels, as JPEGs like a camera's."""
    made = []
    for at, path in enumerate(photos):
        picture = Image.open(path).convert("RGB")
        factor = (megapixels * 1e6 / (picture.width * picture.height)) ** 0.5
        size = (round(picture.width * factor), round(picture.height * factor))
        made.append(folder / f"{at:05d}.jpg")
        picture.resize(size, Image.Resampling.BICUBIC).save(made[-1], quality=90)
    return made


def run(command: Sequence[object]) -> dict[str, float | str]:
    """Run a way in a process of its own; return what it measured, and the whole command's time."""
    started = time.perf_counter()
    out = subprocess.run(
        [str(each) for each in command], check=True, capture_output=True, text=True
    )
    # Others may have written to the same line.
    measured: dict[str, float | str] = json.loads(re.findall(r'{"seconds".*?}', out.stdout)[-1])
    return measured | {"whole": time.perf_counter() - started}


def compare(options: argparse.Namespace, photos: Sequence[Path], folder: Path) -> None:
    """Run every way in turns, and print the table."""
    weights = folder / "random.pt"
    make = (
        "import open_clip, torch, sys; torch.manual_seed(0);"
        "torch.save(open_clip.create_model(sys.argv[1]).state_dict(), sys.argv[2])"
    )
    subprocess.run(
        [sys.executable, "-c", make, options.model, weights], check=True, stderr=subprocess.PIPE
    )
    listed = folder / "photos.json"
    listed.write_text(json.dumps([str(path) for path in photos]))
    again = [sys.executable, __file__, listed, "--model", options.model, "--weights", weights]
    ways: dict[str, list[object]] = {"loop": [*again, "--only", "loop"]}
    if options.clip_retrieval:
        theirs = folder / "photos"
        theirs.mkdir()
        for at, path in enumerate(photos):
            (theirs / f"{at:05d}.jpg").write_bytes(path.read_bytes())
        name = f"open_clip:{options.model}/{weights}"
        ways["clip-retrieval"] = [
            options.clip_retrieval, "-c", CLIP_RETRIEVAL, theirs, folder / "out", name,
        ]  # fmt: skip
    for backend in options.backends:
        ways[backend] = [*again, "--only", backend]
    best: dict[str, dict[str, float | str]] = {}
    for turn in range(options.rounds):
        for way, command in ways.items():
            found = run(command)
            print(f"round {turn + 1}: {way} {found['seconds']:.1f} s", file=sys.stderr, flush=True)
            if way not in best or float(found["seconds"]) < float(best[way]["seconds"]):
                best[way] = found
    print("| | photos/s | x clip-retrieval | x loop | processor ms/photo | whole command |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for found in best.values():
        rate = len(photos) / float(found["seconds"])
        shares = [
            f"{float(best[base]['seconds']) / float(found['seconds']):.1f}" if base in best else "-"
            for base in ("clip-retrieval", "loop")
        ]
        cost = 1000 * float(found["processor"]) / len(photos)
        print(
            f"| {found['what']} | {rate:.1f} | {' | '.join(shares)} | {cost:.0f} | "
            f"{float(found['whole']):.1f} s |"
        )


def main() -> None:
    with_openvino = importlib.util.find_spec("openvino") is not None
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--megapixels", type=float, help="enlarge the photos to so many")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--clip-retrieval", help="a Python that has clip-retrieval")
    parser.add_argument(
        "--backends", nargs="+",
        default=["packed bf16", *(["openvino bf16", "openvino int8"] if with_openvino else [])],
    )  # fmt: skip
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        photos = [Path(each) for each in json.loads(options.folder.read_text())]
        measured = (
            plain_loop(photos, options.model, options.weights)
            if options.only == "loop"
            else bulk_add(photos, options.model, options.weights, options.only)
        )
        print(json.dumps(measured))
        return
    with tempfile.TemporaryDirectory() as folder:
        photos = sorted(options.folder.rglob("*.jpg"))[: options.photos]
        if options.megapixels:
            large = Path(folder) / "large"
            large.mkdir()
            photos = enlarged(photos, options.megapixels, large)
        size = f"{options.megapixels:g} megapixels" if options.megapixels else "as they are"
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, {len(photos)} photos, {size}, "
            f"{options.model}, random weights, best of {options.rounds} rounds\n",
            flush=True,
        )
        compare(options, photos, Path(folder))


if __name__ == "__main__":
    main()
