"""kill -9 at random moments of a bulk add, with the real encoder and real photos.

    .venv/bin/python benchmarks/bench_durability.py PHOTOS [--kills 100] [--limit 4000]

Adds a folder of photos in a process that is killed at a random moment, checks the catalogue, starts
again, and so on; at the end compares it with a catalogue that was filled without a disturbance, in
all it holds and in the top 10 of 100 queries. Prints the figures; exits with 1 if one is wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from index.catalogue import Catalogue
from index.changes.checking import check_catalogue
from index.query import Query
from index.store.tables import products, views
from vision.encoder import Encoder

BATCH = 32
Contents = dict[str, tuple[str, ...]]


def add_and_note(photos: str, folder: str, log: str) -> None:
    """Be ``findalike add``, the one to be killed, and note how many pictures are embedded."""
    from webapp.cli import main

    embed = Encoder.encode_pixels

    def noted(self: Encoder, pixels: np.ndarray, *, mirror: bool = False) -> np.ndarray:
        if not mirror and hasattr(self, "fingerprint"):  # neither a query nor the load's own test
            with Path(log).open("a") as file:
                file.write(f"{len(pixels)}\n")
        return embed(self, pixels, mirror=mirror)

    Encoder.encode_pixels = noted  # type: ignore[method-assign]
    main(["--catalogue", folder, "add", photos])


def contents(folder: Path) -> Contents:
    """Return every product's pictures, {} while there is no catalogue."""
    if not (folder / "catalogue.sqlite").exists():
        return {}
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(folder / "catalogue.sqlite")))
    query = (
        sa.select(products.c.product_id, views.c.sha256)
        .join(views, views.c.product_key == products.c.key)
        .order_by(views.c.id)
    )
    found: dict[str, list[str]] = {}
    try:
        with engine.connect() as connection:
            for name, sha256 in connection.execute(query):
                found.setdefault(name, []).append(sha256)
    except sa.exc.OperationalError:  # killed before there was a table
        pass
    engine.dispose()
    return {name: tuple(pictures) for name, pictures in found.items()}


def start(photos: Path, folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start an add that can be killed."""
    return subprocess.Popen(
        [sys.executable, __file__, "--add", str(photos), str(folder), str(log)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def vectors(catalogue: Catalogue) -> dict[int, np.ndarray]:
    """Return the stored embedding of each index row."""
    with catalogue.reading() as table:
        return {
            view: vector
            for rows in table.rows(catalogue.fingerprint)
            for view, vector in zip(rows.ids.tolist(), rows.vectors, strict=True)
        }


def top_ten(catalogue: Catalogue, photos: list[Path]) -> list[list[str]]:
    """Return what each photo finds when its middle is cut out, so that its hash is not known."""
    from vision.images import Region

    middle = Region(0.1, 0.1, 0.8, 0.8)
    answers = catalogue.search_many([Query(photo=path, region=middle) for path in photos])
    return [[hit.product.product_id for hit in answer.hits] for answer in answers]


def main() -> None:
    """Kill, check, compare, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--limit", type=int, default=4000, help="photos to use")
    options = parser.parse_args()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        photos, folder, log = work / "photos", work / "killed", work / "log"
        photos.mkdir()
        found = sorted(path for path in options.photos.rglob("*") if path.is_file())
        for at, path in enumerate(rng.sample(found, min(options.limit, len(found)))):
            shutil.copy(path, photos / f"{at:05d}{path.suffix}")
        lost = faults = kills = 0
        slowest, before = 0.0, Contents()
        for _ in range(options.kills):
            child = start(photos, folder, log)
            moment = rng.random()
            if moment < 0.2:  # while it starts
                time.sleep(rng.uniform(0.5, 4.0))
            else:  # after its first commit
                while child.poll() is None and len(contents(folder)) <= len(before):
                    time.sleep(0.05)
                time.sleep(rng.uniform(0.0, 0.6))
            child.send_signal(signal.SIGKILL)
            kills += child.wait() == -signal.SIGKILL
            now = contents(folder)
            lost += len(before.items() - now.items())
            before = now
            if now:
                opened = time.perf_counter()
                with Catalogue.open(folder) as catalogue:
                    with catalogue.reading() as table:
                        catalogue.index(table)
                    slowest = max(slowest, time.perf_counter() - opened)
                    faults += sum(each.serious for each in check_catalogue(catalogue, files=False))
            print(f"\r{kills} kills, {len(now)} products", end="", file=sys.stderr, flush=True)
        last = start(photos, folder, log).wait()
        embedded = sum(int(line) for line in log.read_text().split())
        images = len({sha256 for shown in contents(folder).values() for sha256 in shown})
        with (
            Catalogue.open(folder) as killed,
            Catalogue.open(work / "undisturbed", create=True) as undisturbed,
        ):
            undisturbed.add([photos])
            mine, theirs = vectors(killed), vectors(undisturbed)
            same_ids = contents(folder) == contents(work / "undisturbed") and list(mine) == list(
                theirs
            )
            cosine = min(float(mine[view] @ theirs[view]) for view in mine)
            asked = sorted(photos.iterdir())[:: max(1, len(mine) // 100)][:100]
            same = sum(
                a == b
                for a, b in zip(top_ten(killed, asked), top_ten(undisturbed, asked), strict=True)
            )
    rows = [
        ("kills that met the process alive", kills, kills >= 0.9 * options.kills),
        ("committed products lost", lost, lost == 0),
        ("serious faults found by check", faults, faults == 0),
        ("slowest opening after a kill, s", f"{slowest:.2f}", slowest <= 10),
        ("exit status of the last add", last, last in (0, 2)),
        ("images / embedded", f"{images} / {embedded}", embedded <= images + kills * BATCH),
        ("ids equal an undisturbed run's", same_ids, same_ids),
        ("least cosine to its vectors", f"{cosine:.6f}", cosine >= 0.9999),
        ("queries with the same top 10", f"{same} of {len(asked)}", same == len(asked)),
    ]
    print(f"\n{os.cpu_count()} cores, batch {BATCH}, encoder builtin")
    for name, value, good in rows:
        print(f"{name:<36} {value!s:>16}  {'ok' if good else 'WRONG'}")
    raise SystemExit(not all(good for *_, good in rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--add"]:
        add_and_note(*sys.argv[2:])
    else:
        main()
