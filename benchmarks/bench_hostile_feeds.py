"""What ``findalike add`` does with feeds that were made to harm.

    .venv/bin/python benchmarks/bench_hostile_feeds.py [--only zip ...]

Makes feeds of its own in a new folder, each with one good product: ZIP files that name places
outside, bombs and lies about sizes, links, absolute paths, wrong encodings, NUL bytes, lines of 20
MB, 10,000 columns, deep JSON, scripts and formulas. Adds each by the command in a process of its
own and prints its exit status, what went in and what was reported, the time, the peak of the
memory, and whether anything was written outside of the catalogue or a traceback shown. The last
line exports what went in, and adds that to another catalogue: formulas must come back as they were.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PHOTO = (ROOT / "assets/sample/photos").rglob("*.jpg").__next__().read_bytes()
GOOD = "good,good.jpg,A good product\n"
HEAD = "product_id,image_path,title\n"
FORMULAS = ("=1+1", "+A1", "-2+3", "@SUM(A1)", "=cmd|' /C calc'!A0", "\t=1", "'=1", "''quoted")
SCRIPT = "<script>alert(1)</script>"


@dataclass(frozen=True)
class Run:
    """What one command did."""

    status: int
    seconds: float
    memory: float  # MB at its peak
    output: str


def table(text: str | bytes) -> Callable[[Path], Path]:
    """Return what writes a CSV with this text beside a good picture."""

    def write(folder: Path) -> Path:
        (folder / "good.jpg").write_bytes(PHOTO)
        path = folder / "feed.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def lines(text: str | bytes) -> Callable[[Path], Path]:
    """Return what writes a JSONL file with this text after a good product."""
    good = json.dumps({"product_id": "good", "image_path": "good.jpg", "title": "A good product"})

    def write(folder: Path) -> Path:
        data = text.encode() if isinstance(text, str) else text
        return table(good.encode() + b"\n" + data)(folder).rename(folder / "feed.jsonl")

    return write


def archive(fill: Callable[[zipfile.ZipFile], None], feed: str = GOOD) -> Callable[[Path], Path]:
    """Return what writes a ZIP file with a feed, a good picture, and what ``fill`` puts in."""

    def write(folder: Path) -> Path:
        path = folder / "feed.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("feed.csv", HEAD + feed)
            made.writestr("good.jpg", PHOTO)
            fill(made)
        return path

    return write


def slip(made: zipfile.ZipFile) -> None:
    """Put in members that lie outside, and a link."""
    for name in ("../../slipped.jpg", "/tmp/slipped.jpg", "C:\\slipped.jpg", "a/../../slipped.jpg"):
        made.writestr(zipfile.ZipInfo(name), PHOTO)
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    made.writestr(link, "/etc/passwd")


def bomb(made: zipfile.ZipFile) -> None:
    """Put in a picture that inflates to 4 GB."""
    with made.open(zipfile.ZipInfo("bomb.jpg"), "w", force_zip64=True) as file:
        for _ in range(4096):
            file.write(bytes(2**20))


def feed_bomb(folder: Path) -> Path:
    """Write a ZIP file whose table inflates to 4 GB."""
    path = folder / "feed.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        made.writestr("good.jpg", PHOTO)
        info = zipfile.ZipInfo("feed.csv")
        info.compress_type = zipfile.ZIP_DEFLATED
        with made.open(info, "w", force_zip64=True) as file:
            file.write((HEAD + GOOD).encode())
            for _ in range(4096):
                file.write(b"a" * (2**20 - 1) + b"\n")
    return path


def many(made: zipfile.ZipFile) -> None:
    """Put in 100,000 empty members."""
    for number in range(100_000):
        made.writestr(zipfile.ZipInfo(f"{number}.jpg"), b"")


def lying(folder: Path) -> Path:
    """Write a ZIP file whose directory says that a picture of 60 MB has 100 bytes."""
    path = archive(
        lambda made: made.writestr("lying.jpg", bytes(60 * 2**20)), GOOD + "l,lying.jpg,L\n"
    )(folder)
    data = path.read_bytes()
    at = data.rindex(b"lying.jpg") - 46
    path.write_bytes(data[: at + 24] + (100).to_bytes(4, "little") + data[at + 28 :])
    return path


def links(folder: Path) -> Path:
    """Make a folder with links that lead out of it, in circles and to nothing."""
    shop = folder / "shop"
    shop.mkdir()
    (shop / "good.jpg").write_bytes(PHOTO)
    (folder / "secret.jpg").write_bytes(PHOTO)
    (shop / "out.jpg").symlink_to(folder / "secret.jpg")
    (shop / "passwd.jpg").symlink_to("/etc/passwd")
    (shop / "loop").symlink_to(shop)
    (shop / "nothing.jpg").symlink_to("nothing")
    os.mkfifo(shop / "pipe.jpg")
    return shop


def written(rows: list[list[str]]) -> str:
    """Return rows as CSV."""
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def outside(row: str) -> str:
    """Return a table whose second product has this picture."""
    return HEAD + GOOD + written([["bad", row, "Outside"]])


BACK = [[f"f{number}", "good.jpg", text] for number, text in enumerate(FORMULAS)]
FEEDS: dict[str, Callable[[Path], Path]] = {
    "zip: places outside, a link": archive(
        slip, GOOD + "s,../../slipped.jpg,S\nt,link.jpg,T\nu,/tmp/slipped.jpg,U\n"
    ),
    "zip: a picture of 4 GB": archive(bomb, GOOD + "b,bomb.jpg,B\n"),
    "zip: a table of 4 GB": feed_bomb,
    "zip: a lie about a size": lying,
    "zip: in a zip": archive(lambda made: made.writestr("inner.zip", b"PK\3\4" + bytes(1000))),
    "zip: 100,000 members": archive(many),
    "zip: cut off": lambda folder: cut(archive(bomb)(folder)),
    "folder: links and a pipe": links,
    "csv: an absolute path": table(outside("/etc/passwd")),
    "csv: a path upwards": table(outside("../../../../../../etc/passwd")),
    "csv: a path with NUL": table(outside("good.jpg\0.png")),
    "csv: NUL bytes": table(HEAD.encode() + GOOD.encode() + b"n,\0\0\0,N\0\n" * 1000),
    "csv: Latin-1": table(HEAD.encode() + GOOD.encode() + "ä,good.jpg,Größe\n".encode("latin-1")),
    "csv: UTF-16": table((HEAD + GOOD).encode("utf-16")),
    "csv: UTF-32": table((HEAD + GOOD).encode("utf-32")),
    "csv: a line of 20 MB": table(HEAD + GOOD + "x,good.jpg," + "x" * 20 * 2**20 + "\n"),
    "csv: a header of 20 MB": table("product_id,image_path," + "x" * 20 * 2**20 + "\n" + GOOD),
    "csv: 10,000 columns": table(
        "product_id,image_path," + ",".join(f"c{n}" for n in range(10_000)) + "\n" + GOOD
    ),
    "csv: rows of 10,000 columns": table(HEAD + GOOD + ("x" + "," * 10_000 + "\n") * 200),
    "csv: quotes that never close": table(HEAD + GOOD + '"a,b\n' * 100_000),
    "csv: one product 100,000 times": table(HEAD + GOOD * 100_000),
    "csv: a picture named 100,000 times": table(
        HEAD + GOOD + "p," + "|".join(f"{n}.jpg" for n in range(100_000)) + ",P\n"
    ),
    "csv: scripts and formulas": table(
        HEAD + GOOD + written(BACK) + written([["script", "good.jpg", SCRIPT]])
    ),
    "jsonl: a line of 20 MB": lines('{"product_id": "' + "x" * 20 * 2**20 + '"}\n'),
    "jsonl: 100,000 brackets": lines("[" * 100_000 + "]" * 100_000 + "\n"),
    "jsonl: nested attributes": lines('{"a":' * 50_000 + "1" + "}" * 50_000 + "\n"),
    "jsonl: a number of 100,000 digits": lines(
        '{"product_id": "n", "image_path": "good.jpg", "price": ' + "9" * 100_000 + "}\n"
    ),
    "jsonl: no JSON at all": lines(os.urandom(2**20)),
}


def cut(path: Path) -> Path:
    """Take away the end of a file."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    return path


def run(*arguments: str | Path) -> Run:
    """Run findalike; the memory is that of its process tree's largest process."""
    command = [sys.executable, "-c", "from webapp.cli import main; main()", *map(str, arguments)]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        out.seek(0)
        return Run(process.returncode, seconds, usage.ru_maxrss / 1024, out.read())


def count(rejects: Path) -> int:
    """Return how many things were reported as passed over."""
    if not rejects.exists():
        return 0
    with rejects.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.DictReader(file))


def attempt(name: str, make: Callable[[Path], Path], home: Path) -> bool:
    """Make a feed, add it, and print the line of the table; tell whether all held."""
    folder = home / "feed"
    folder.mkdir()
    source = make(folder)
    catalogue, rejects = home / "catalogue", home / "rejects.csv"
    before = {path for path in home.rglob("*") if not path.is_relative_to(catalogue)}
    done = run("add", source, "--catalogue", catalogue, "--rejects", rejects)
    after = {path for path in home.rglob("*") if not path.is_relative_to(catalogue)} - before
    stray = [path.name for path in after if path != rejects]
    stray += [
        str(path) for path in (Path("/tmp/slipped.jpg"), Path("/slipped.jpg")) if path.exists()
    ]
    found = run("info", "--catalogue", catalogue, "--json")
    products = json.loads(found.output)["products"] if found.status == 0 else 0
    held = (
        not stray and "Traceback" not in done.output and done.status in (0, 1, 2)
        and done.memory <= 1500 and done.seconds <= 120
    )  # fmt: skip
    print(f"| {name} | {done.status} | {products} | {count(rejects)} | {done.seconds:.1f} | "
          f"{done.memory:.0f} | {'yes' if held else '**no**'} |", flush=True)  # fmt: skip
    if not held:
        print(done.output[-2000:], stray, file=sys.stderr)
    if name == "csv: scripts and formulas":
        held = there_and_back(home, catalogue) and held
    for path in (folder, catalogue):
        shutil.rmtree(path, ignore_errors=True)
    rejects.unlink(missing_ok=True)
    return held


def there_and_back(home: Path, catalogue: Path) -> bool:
    """Export, add the export to another catalogue, and compare the titles."""
    exported, other = home / "out.csv", home / "other"
    run("export", exported, "--catalogue", catalogue)
    with exported.open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    bare = [cell for cell in cells if cell[:1] in ("=", "+", "@", "\t", "\r") or cell[:2] == "-2"]
    run("add", exported, "--images", "/", "--catalogue", other)
    titles = []
    for each in (catalogue, other):
        run("export", home / "again.jsonl", "--catalogue", each)
        text = (home / "again.jsonl").read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.splitlines()]
        titles.append({row["product_id"]: row["title"] for row in rows})
    same = titles[0] == titles[1] and len(titles[0]) > len(FORMULAS)
    print(f"exported as CSV: {len(bare)} cells that a spreadsheet would compute; added again: "
          f"{len(titles[1])} titles {'the same' if same else 'CHANGED'}")  # fmt: skip
    for path in (exported, home / "again.jsonl"):
        path.unlink()
    shutil.rmtree(other)
    return same and not bare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="feeds whose name begins so")
    options = parser.parse_args()
    print(
        "| feed | exit status | products in | reported | seconds | MB | held |\n" + "|---" * 7 + "|"
    )
    with tempfile.TemporaryDirectory() as folder:
        chosen = {name: make for name, make in FEEDS.items() if name.startswith(options.only)}
        held = [attempt(name, make, Path(folder)) for name, make in chosen.items()]
    print(f"{sum(held)} of {len(held)} held")


if __name__ == "__main__":
    main()
