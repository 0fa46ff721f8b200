"""What findalike promises of kills, full disks, damaged files, backups and several processes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from assets import ENCODER
from index.catalogue import Catalogue
from index.changes.checking import check_catalogue
from index.changes.upkeep import back_up
from index.query import Query
from index.search.live import SNAPSHOT
from index.store.place import DATABASE
from index.store.stamp import STAMP
from vision.encoder import Encoder
from vision.errors import CatalogueBusy, CatalogueError, EncoderError

KILLS = 30
DAMAGED = 500
BATCH = 32

Feed = Callable[..., Path]
RunCli = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.usefixtures("tiny_encoder", "few_photos")


@pytest.fixture
def few_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrate in this process as the children do."""
    monkeypatch.setattr("index.search.calibration.VERDICT_PHOTOS", tiny.FEW_PHOTOS)


# --- what a catalogue holds and says -------------------------------------------------------------


def contents(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return every product's pictures, read without findalike."""
    with sqlite3.connect((folder / DATABASE).as_uri() + "?mode=ro", uri=True) as database:
        rows = database.execute(
            "SELECT product_id, sha256 FROM products JOIN views ON key = product_key"
            " ORDER BY product_id, position"
        ).fetchall()
    database.close()
    found: dict[str, list[str]] = {}
    for product_id, sha256 in rows:
        found.setdefault(product_id, []).append(sha256)
    return {product_id: tuple(pictures) for product_id, pictures in found.items()}


def committed(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return ``contents``, or nothing while there is no catalogue yet."""
    try:
        return contents(folder)
    except sqlite3.OperationalError:
        return {}


def wait_for(what: Callable[[], object], child: tiny.Child, seconds: float = 60.0) -> None:
    """Wait until something is true, or the child has ended."""
    deadline = time.monotonic() + seconds
    while not what() and child.process.is_alive():
        assert time.monotonic() < deadline, child.output()
        time.sleep(0.003)


def faults(catalogue: Catalogue) -> list[str]:
    """Return all that ``check`` finds."""
    return [f"{each.kind}: {each.what}" for each in check_catalogue(catalogue)]


def embeddings(catalogue: Catalogue) -> dict[int, np.ndarray]:
    """Return the stored embedding of each index row."""
    with catalogue.reading() as table:
        return {
            view: vector
            for rows in table.rows(catalogue.fingerprint)
            for view, vector in zip(rows.ids.tolist(), rows.vectors, strict=True)
        }


def top_ten(catalogue: Catalogue, photos: list[Path]) -> list[list[str]]:
    """Return the ids found for photos of other products and for each of their colours."""
    answers = catalogue.search_many([Query(photo=path) for path in photos])
    return [[hit.product.product_id for hit in answer.hits] for answer in answers]


def assert_equal(one: Catalogue, other: Catalogue, photos: list[Path]) -> None:
    """Compare all that two catalogues hold and answer."""
    assert contents(one.path) == contents(other.path)
    mine, theirs = embeddings(one), embeddings(other)
    assert mine.keys() == theirs.keys()
    assert min(float(mine[view] @ theirs[view]) for view in mine) >= 0.9999
    assert top_ten(one, photos) == top_ten(other, photos)
    verdicts = [catalogue.info()["verdicts"] for catalogue in (one, other)]
    assert verdicts[0] == pytest.approx(verdicts[1], abs=1e-3)


# --- kill -9 (14) --------------------------------------------------------------------------------


@pytest.fixture
def strangers(photos: Callable[..., list[Path]]) -> list[Path]:
    """100 photos to ask for that are in no catalogue."""
    return photos(100, start=90_000, folder="strangers")


def test_kill_9_at_any_moment_of_an_add(feed: Feed, strangers: list[Path], tmp_path: Path) -> None:
    count = 32 * BATCH
    source, log = feed(count), tmp_path / "log"
    rng = random.Random(0)
    before: dict[str, tuple[str, ...]] = {}
    kills = 0
    for _ in range(KILLS):
        child = tiny.command(tmp_path, "add", source, env={tiny.LOG: str(log), tiny.DELAY: "0.01"})
        known = len(before)
        if rng.random() < 0.8:  # else while it reads, opens or learns
            wait_for(lambda known=known: len(committed(tmp_path / "catalogue")) > known, child)
        time.sleep(rng.random() * 0.05)
        child.kill(signal.SIGKILL)
        kills += child.wait().returncode == -signal.SIGKILL
        now = committed(tmp_path / "catalogue")
        assert before.items() <= now.items(), "something that was committed is gone"
        before = now
        if (tmp_path / "catalogue" / DATABASE).exists() and now:
            with Catalogue.open(tmp_path / "catalogue") as catalogue:
                assert faults(catalogue) == []
    assert kills >= KILLS // 2, "the add was over too soon to be killed"
    done = tiny.command(tmp_path, "add", source, env={tiny.LOG: str(log)}).wait()
    assert done.returncode == 0, done
    assert tiny.embedded(log) <= count + KILLS * BATCH
    with (
        Catalogue.open(tmp_path / "catalogue") as catalogue,
        Catalogue.open(tmp_path / "undisturbed", create=True) as undisturbed,
    ):
        undisturbed.add([source])
        assert faults(catalogue) == []
        assert_equal(catalogue, undisturbed, strangers)


def test_nothing_is_embedded_twice(feed: Feed, run_cli: RunCli, tmp_path: Path) -> None:
    log = {tiny.LOG: str(tmp_path / "log")}
    shutil.copytree(feed(40).parent / "pictures", tmp_path / "again")
    first = run_cli("add", "feed.csv", env=log)
    second = run_cli("add", "feed.csv", "--json", env=log)
    third = run_cli("add", "again", "--json", env=log)  # the same bytes under other names
    assert (first.returncode, second.returncode, third.returncode) == (0, 0, 0)
    assert json.loads(second.stdout)["unchanged"] == 40
    assert json.loads(third.stdout)["added"] == 40
    assert tiny.embedded(tmp_path / "log") == 40


def test_ctrl_c_keeps_what_was_finished(feed: Feed, run_cli: RunCli, tmp_path: Path) -> None:
    source, log = feed(8 * BATCH), tmp_path / "log"
    child = tiny.command(tmp_path, "add", source, env={tiny.LOG: str(log), tiny.DELAY: "0.5"})
    wait_for(lambda: committed(tmp_path / "catalogue"), child)
    child.kill(signal.SIGINT)
    stopped = child.wait()
    assert stopped.returncode == 130
    assert "run the same command to go on" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    kept = contents(tmp_path / "catalogue")
    assert 0 < len(kept) < 8 * BATCH
    again = run_cli("add", source, "--json", env={tiny.LOG: str(log)})
    assert again.returncode == 0
    report = json.loads(again.stdout)
    assert (report["added"], report["unchanged"]) == (8 * BATCH - len(kept), len(kept))
    assert tiny.embedded(log) <= 9 * BATCH
    assert kept.items() <= contents(tmp_path / "catalogue").items()


# --- a full disk (16) ----------------------------------------------------------------------------


def test_files_that_may_not_grow(feed: Feed, run_cli: RunCli, tmp_path: Path) -> None:
    source = feed(12 * BATCH)
    full = tiny.command(tmp_path, "add", source, max_file=600_000).wait()
    assert_full(full)
    kept = contents(tmp_path / "catalogue")
    assert 0 < len(kept) < 12 * BATCH
    assert run_cli("check").returncode == 0
    again = run_cli("add", source, "--json")
    assert json.loads(again.stdout)["unchanged"] == len(kept)
    assert kept.items() <= contents(tmp_path / "catalogue").items()


def test_a_full_disk(feed: Feed, run_cli: RunCli, small_disk: Path, tmp_path: Path) -> None:
    source, folder = feed(12 * BATCH), small_disk / "catalogue"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(16 * 2**20 - 1_400_000))
    full = run_cli("--catalogue", folder, "add", source)
    assert_full(full)
    kept = contents(folder)
    assert 0 < len(kept) < 12 * BATCH
    assert run_cli("--catalogue", folder, "search", "pictures/00003.png").returncode == 0
    ballast.unlink()
    assert run_cli("--catalogue", folder, "check").returncode == 0
    again = run_cli("--catalogue", folder, "add", source, "--json")
    assert json.loads(again.stdout)["unchanged"] == len(kept)
    assert len(contents(folder)) == 12 * BATCH


def assert_full(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1, done
    assert "disk is full" in done.stderr
    assert "goes on where it stopped" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this test may not mount a small disk here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_the_snapshot_cannot_be_written(
    catalogue: Catalogue, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = (catalogue.path / SNAPSHOT).read_bytes()
    monkeypatch.setattr("index.vectors.snapshot.replace_durably", full)
    with pytest.raises(CatalogueError, match=r"safe in the catalogue.*findalike rebuild"):
        catalogue.add([feed(3, start=50)])
    assert (catalogue.path / SNAPSHOT).read_bytes() == before
    assert [path.name for path in catalogue.path.glob("*.tmp")] == []
    with Catalogue.open(catalogue.path) as reader:  # what was committed is found nevertheless
        assert reader.search(Query(like="p51", k=1)).hits
        assert faults(reader) == []
    monkeypatch.undo()
    with tiny.tiny_encoders():
        catalogue.rebuild()
    assert (catalogue.path / SNAPSHOT).read_bytes() != before


# --- damaged files (17) --------------------------------------------------------------------------


def questions(folder: Path) -> list[Query]:
    return [
        *(Query(photo=path, k=5) for path in sorted((folder / "pictures").glob("*.png"))[:6]),
        Query(like="p3", k=5),
        Query(like="p14", k=30),
        Query(text="red", where=("price<9",), k=30),
        Query(text="red", where=("brand=acme", "colour=red|green"), k=30),
        Query(text="blue", where=("category=Kitchen > Mugs",), k=30),
        Query(text="teal", where=("title=Product 9",)),
        Query(text="brown", where=("currency=EUR", "availability=in stock"), k=30),
    ]


def answers(catalogue: Path, queries: list[Query]) -> list[Any]:
    with Catalogue.open(catalogue) as opened:
        found = [opened.search(query) for query in queries]
    return [
        (
            answer.verdict,
            [(hit.product, hit.image, round(hit.score, 4)) for hit in answer.hits],
            [hit.probability and round(hit.probability, 4) for hit in answer.hits],
        )
        for answer in found
    ]


def damage(path: Path, kind: str, rng: random.Random, other: Path) -> None:
    """Do to a file what disks, copies and people do."""
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data))
    run = slice(at, min(len(data), at + rng.choice([1, 16, 512, 4096])))
    if kind == "bit":
        data[at] ^= 1 << rng.randrange(8)
    elif kind == "bytes":
        for _ in range(20):
            data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
    elif kind == "zeros":
        data[run] = bytes(run.stop - run.start)
    elif kind == "noise":
        data[run] = rng.randbytes(run.stop - run.start)
    elif kind == "cut":
        del data[at:]
    elif kind == "empty":
        data.clear()
    elif kind == "swapped":
        data = bytearray((other / path.name).read_bytes())
    if kind == "deleted":
        path.unlink()
    else:
        path.write_bytes(data)


KINDS = ("bit", "bytes", "zeros", "noise", "cut", "empty", "swapped", "deleted")


def try_damage(good: str, other: str, scratch: str, trials: list[int]) -> None:
    """Damage copies and ask them; print a line for each. Runs in a child, which may crash."""
    folder = Path(good).parent
    queries = questions(folder)
    right = answers(Path(good), queries)
    copy = Path(scratch)
    for trial in trials:
        rng = random.Random(trial)
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(good, copy)
        files = sorted(path for path in copy.iterdir() if path.suffix != ".lock")
        # Most in the database, and its write-ahead log where there is one.
        path = rng.choice([path for path in files for _ in range(1 + 2 * ("sqlite" in path.name))])
        kind = rng.choice(KINDS)
        if kind == "swapped" and not (Path(other) / path.name).exists():
            kind = "bit"
        if path.stat().st_size == 0:
            continue
        damage(path, kind, rng, Path(other))
        os.environ[tiny.LOG] = f"{scratch}.log"
        try:
            said = "equal" if answers(copy, queries) == right else "DIFFERENT"
        except CatalogueError as error:
            said = f"error {error}"
        del os.environ[tiny.LOG]
        print(json.dumps([trial, path.name, kind, said]), flush=True)


def left_by_kill(catalogue: Path) -> None:
    """Change a catalogue and die without tidying up, so that a write-ahead log is left."""
    opened = Catalogue.open(catalogue)
    opened.add([catalogue.parent / "more.csv"])
    os.kill(os.getpid(), signal.SIGKILL)


def test_damaged_files_are_noticed(feed: Feed, tmp_path: Path) -> None:
    good, other, killed = (tmp_path / name for name in ("good", "other", "killed"))
    for folder, feeds in (
        (good, [feed(12, name="a.csv"), feed(6, start=12, views=2, name="b.csv")]),
        (other, [feed(12, start=40, name="o.csv")]),
    ):
        with Catalogue.open(folder, create=True) as made:
            made.add(feeds)
    shutil.copytree(good, killed)
    feed(3, start=60, name="more.csv")
    assert tiny.Child(left_by_kill, [killed], folder=tmp_path).wait().returncode == -signal.SIGKILL
    assert (killed / f"{DATABASE}-wal").stat().st_size > 0
    half = DAMAGED // 2
    children = [
        tiny.Child(
            try_damage,
            [str(source), str(other), str(tmp_path / f"copy-{source.name}"), trials],
            folder=tmp_path,
        )
        for source, trials in (
            (good, list(range(half))), (killed, list(range(half, DAMAGED))),
        )
    ]  # fmt: skip
    said = []
    for child in children:
        done = child.wait(300)
        assert done.returncode == 0, done
        said += [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) >= 0.9 * DAMAGED
    assert [each for each in said if each[3] == "DIFFERENT"] == []
    noticed = [each for each in said if each[3].startswith("error")]
    # Neither is needed for an answer. Another catalogue's stamp is a warning all the same.
    assert {kind for _, name, kind, _ in noticed if name == STAMP} <= {"swapped"}
    assert not any(name == SNAPSHOT for _, name, _, _ in noticed)
    assert len(noticed) >= 0.3 * DAMAGED
    assert all("damaged" in each[3] or "There is no catalogue" in each[3] for each in noticed)
    # An index is built again from what is stored. No picture is embedded for that.
    assert tiny.embedded(tmp_path / "copy-good.log") == 0
    assert tiny.embedded(tmp_path / "copy-killed.log") == 0


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE products SET title = 'Another' WHERE key = 3",
        "UPDATE products SET attributes = 'null' WHERE key = 3",
        "UPDATE products SET title = CAST(x'ff41' AS TEXT) WHERE key = 3",
        "UPDATE products SET price = 'cheap' WHERE key = 3",
        "UPDATE products SET key = 500 WHERE key = 5",
        "DELETE FROM products WHERE key = 5",
        "DELETE FROM views WHERE id = 5",
        "UPDATE views SET product_key = 3 WHERE id = 5",
        "UPDATE views SET generation = 99 WHERE id = 5",
        "DELETE FROM embeddings WHERE sha256 = (SELECT sha256 FROM views WHERE id = 5)",
        "UPDATE embeddings SET vector = 'abc'",
        "UPDATE embeddings SET vector = x''",
        "DELETE FROM images WHERE sha256 = (SELECT sha256 FROM views WHERE id = 5)",
        "DELETE FROM attributes WHERE product_key = 3",
        "DELETE FROM calibrations",
        "UPDATE calibrations SET content = x'00'",
        "UPDATE settings SET value = '1' WHERE name = 'generation'",
        *(
            f"DELETE FROM settings WHERE name = '{name}'"
            for name in ("generation", "seal", "encoder", "fingerprint", "identity", "schema")
        ),
        "DELETE FROM settings",
        "DROP TABLE settings",
        "DROP TABLE attributes",
        "DROP INDEX ix_products_brand",
    ],
)
def test_rows_that_were_tampered_with(catalogue: Catalogue, edit: str) -> None:
    catalogue.close()
    (catalogue.path / SNAPSHOT).unlink()
    with sqlite3.connect(catalogue.path / DATABASE) as database:
        database.execute(edit)
    database.close()
    with (
        pytest.raises(CatalogueError, match="damaged"),
        Catalogue.open(catalogue.path) as opened,
    ):
        opened.search(Query(text="red", k=30))


@pytest.mark.parametrize("create", [False, True])
def test_an_emptied_catalogue_is_not_taken_for_a_new_one(
    catalogue: Catalogue, create: bool
) -> None:
    catalogue.close()
    (catalogue.path / DATABASE).write_bytes(b"")
    with pytest.raises(CatalogueError, match="gone or empty"):
        Catalogue.open(catalogue.path, create=create)
    assert (catalogue.path / DATABASE).read_bytes() == b""


def test_an_older_database_is_noticed(catalogue: Catalogue, feed: Feed, tmp_path: Path) -> None:
    back_up(catalogue, tmp_path / "backup")
    catalogue.add([feed(3, start=50)])
    catalogue.close()
    shutil.copy(tmp_path / "backup" / DATABASE, catalogue.path / DATABASE)
    with pytest.raises(CatalogueError, match="products are missing"):
        Catalogue.open(catalogue.path)
    (catalogue.path / STAMP).unlink()  # as the message says
    with Catalogue.open(catalogue.path) as opened:
        assert len(opened.search(Query(text="red", k=30)).hits) == 24


def test_another_encoder_is_refused(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, feed: Feed
) -> None:
    monkeypatch.setenv(tiny.SEED, "1")
    with (
        Catalogue.open(catalogue.path) as opened,
        pytest.raises(CatalogueError, match="not the one this catalogue was made with"),
    ):
        opened.search(Query(text="red"))
    with (
        Catalogue.open(catalogue.path) as opened,
        pytest.raises(CatalogueError, match="not the one this catalogue was made with"),
    ):
        opened.add([feed(2, start=50)])


# --- a backup while products are added (18) ------------------------------------------------------


def test_a_backup_during_an_add(feed: Feed, run_cli: RunCli, tmp_path: Path) -> None:
    source = feed(12 * BATCH)
    child = tiny.command(tmp_path, "add", source, env={tiny.DELAY: "0.1"})
    for turn in range(3):
        wait_for(lambda turn=turn: len(committed(tmp_path / "catalogue")) > turn * 2 * BATCH, child)
        before = contents(tmp_path / "catalogue")
        saved = run_cli("backup", f"backup{turn}")
        assert saved.returncode == 0, saved
        assert before.items() <= contents(tmp_path / f"backup{turn}").items()
    assert child.wait().returncode == 0
    whole = contents(tmp_path / "catalogue")
    for turn in range(3):
        folder = tmp_path / f"backup{turn}"
        copied = contents(folder)
        assert copied.items() <= whole.items()
        assert len(copied) % (BATCH // 2) == 0, "a part of what is committed at once"
        assert run_cli("--catalogue", folder, "check").returncode == 0
        found = run_cli("--catalogue", folder, "search", "pictures/00003.png", "--json")
        assert json.loads(found.stdout)["hits"][0]["product_id"] == "p3"
    resumed = run_cli("--catalogue", "backup0", "add", source)
    assert resumed.returncode == 0
    assert contents(tmp_path / "backup0") == whole


# --- several processes ---------------------------------------------------------------------------


def test_a_second_writer_is_told(feed: Feed, run_cli: RunCli, tmp_path: Path) -> None:
    first = tiny.command(tmp_path, "add", feed(2 * BATCH), env={tiny.DELAY: "8"})
    wait_for((tmp_path / "catalogue" / DATABASE).exists, first)
    time.sleep(0.5)
    second = run_cli("add", feed(3, start=900, name="other.csv"))
    assert second.returncode == 1
    assert "Another findalike process is writing" in second.stderr
    assert "Nothing was changed" in " ".join(second.stderr.split())
    assert not any(name in committed(tmp_path / "catalogue") for name in ("p900", "p901"))
    first.kill(signal.SIGKILL)  # its lock goes with it
    first.wait()
    assert run_cli("add", "other.csv").returncode == 0


def test_two_threads_cannot_write_at_once(catalogue: Catalogue) -> None:
    refused: list[BaseException] = []

    def try_to_write() -> None:
        try:
            with catalogue.writing(wait=0.05):
                pass
        except CatalogueBusy as error:
            refused.append(error)

    with catalogue.writing():
        thread = threading.Thread(target=try_to_write)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_a_reader_sees_what_a_writer_does(
    catalogue: Catalogue, feed: Feed, run_cli: RunCli, tmp_path: Path
) -> None:
    photo = tmp_path / "pictures" / "00200.png"
    source = feed(6 * BATCH, start=200)
    assert catalogue.search(Query(photo=photo)).hits[0].product.product_id != "p200"
    child = tiny.command(tmp_path, "add", source, env={tiny.DELAY: "0.1"})
    seen: list[int] = []
    while child.process.is_alive():
        answer = catalogue.search(Query(text="red", k=1000))
        seen.append(len(answer.hits))
    assert child.wait().returncode == 0
    assert seen == sorted(seen), "a product that was there is gone"
    assert len(set(seen)) >= 3, "products came all at once"
    answer = catalogue.search(Query(photo=photo))
    assert (answer.verdict, answer.hits[0].product.product_id) == ("exact", "p200")
    assert len(catalogue.search(Query(text="red", k=1000)).hits) == 24 + 6 * BATCH
    assert run_cli("remove", "p200", "p201").returncode == 0
    left = catalogue.search(Query(photo=photo, k=1000)).hits
    assert len(left) == 22 + 6 * BATCH
    assert not {"p200", "p201"} & {hit.product.product_id for hit in left}


def test_searches_are_whole_while_products_come_and_go(catalogue: Catalogue, feed: Feed) -> None:
    """Every answer has k products when there are always more than k."""
    more = feed(5, start=100)
    short: list[int] = []
    over = threading.Event()

    def search() -> None:
        while not over.is_set():
            found = len(catalogue.search(Query(text="red", k=24)).hits)
            short.extend([found] if found < 24 else [])

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    with Catalogue.open(catalogue.path) as writer:
        for _ in range(10):
            writer.add([more])
            writer.remove([f"p{number}" for number in range(100, 105)])
    over.set()
    for thread in threads:
        thread.join()
    assert short == []


def test_a_search_that_is_overtaken_looks_again(
    catalogue: Catalogue, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a search's view of the database and its look into the index, products come."""
    index = catalogue.index
    more = [feed(5, start=100)]

    def overtaken(table: Any) -> Any:
        found = index(table)
        if more:
            with Catalogue.open(catalogue.path) as writer:
                writer.add([more.pop()])
            with catalogue.reading() as newer:
                index(newer)  # another thread of this process brings the index up
        return found

    monkeypatch.setattr(catalogue, "index", overtaken)
    assert len(catalogue.search(Query(text="red", k=29)).hits) == 29


# --- adding again --------------------------------------------------------------------------------


def test_a_renamed_file_is_recognised(photos: Callable[..., list[Path]], tmp_path: Path) -> None:
    paths = photos(4)
    with Catalogue.open(tmp_path / "catalogue", create=True) as catalogue:
        catalogue.add([tmp_path / "photos"])
        before = embeddings(catalogue)
        shutil.copy(paths[0], tmp_path / "photos" / "copy.png")
        paths[0].rename(tmp_path / "photos" / "renamed.png")
        report = catalogue.add([tmp_path / "photos"])
        # One of the two is the file renamed, the other is a copy of it.
        assert (report.renamed, report.added, report.embedded) == (1, 1, 0)
        assert set(contents(catalogue.path)) == {
            "renamed.png", "copy.png", "00001.png", "00002.png", "00003.png",
        }  # fmt: skip
        assert before.keys() < embeddings(catalogue).keys()
        assert faults(catalogue) == []


def test_a_product_of_a_feed_is_not_renamed_after_a_file(feed: Feed, tmp_path: Path) -> None:
    with Catalogue.open(tmp_path / "catalogue", create=True) as catalogue:
        catalogue.add([feed(2)])
        (tmp_path / "pictures").rename(tmp_path / "moved")
        report = catalogue.add([tmp_path / "moved"])
        assert (report.renamed, report.added, report.embedded) == (0, 2, 0)
        assert set(contents(catalogue.path)) == {"p0", "p1", "00000.png", "00001.png"}


def test_what_changed_is_updated_without_embedding(feed: Feed, tmp_path: Path) -> None:
    with Catalogue.open(tmp_path / "catalogue", create=True) as catalogue:
        catalogue.add([feed(3)])
        report = catalogue.add([feed(3, title="New", size="XL")])
        assert (report.updated, report.embedded) == (3, 0)
        hits = catalogue.search(Query(like="p0", where=("size=xl",))).hits
        assert {hit.product.title for hit in hits} == {"New"}
        assert faults(catalogue) == []


def test_a_product_gets_other_pictures(feed: Feed, tmp_path: Path) -> None:
    with Catalogue.open(tmp_path / "catalogue", create=True) as catalogue:
        catalogue.add([feed(3, views=3)])
        three = contents(catalogue.path)["p1"]
        report = catalogue.add([feed(3, views=2)])
        assert (report.updated, report.embedded) == (3, 0)
        assert contents(catalogue.path)["p1"] == three[:2]
        report = catalogue.add([feed(3, views=3)])
        assert (report.updated, report.embedded) == (3, 0)  # they were not forgotten
        assert contents(catalogue.path)["p1"] == three
        assert faults(catalogue) == []


def test_pictures_that_come_again_in_later_batches(tmp_path: Path) -> None:
    tiny.write_photos(tmp_path, 40)
    rows = [f"p{number},{number % 40:05d}.png" for number in range(100)]
    source = tmp_path / "feed.csv"
    source.write_text("\n".join(["product_id,image_path", *rows]))
    with Catalogue.open(tmp_path / "catalogue", create=True) as catalogue:
        report = catalogue.add([source])
        assert (report.added, report.embedded) == (100, 40)
        assert faults(catalogue) == []


def test_two_products_may_show_one_picture(tmp_path: Path) -> None:
    tiny.write_photos(tmp_path, 2)
    source = tmp_path / "feed.csv"
    source.write_text("product_id,image_path\na,00000.png\nb,00000.png\nb,00001.png\n")
    with Catalogue.open(tmp_path / "catalogue", create=True) as catalogue:
        assert catalogue.add([source]).embedded == 2
        catalogue.remove(["a"])
        assert len(contents(catalogue.path)["b"]) == 2
        assert catalogue.search(Query(photo=tmp_path / "00000.png")).verdict == "exact"
        assert faults(catalogue) == []


# --- memory --------------------------------------------------------------------------------------


def add_and_tell_memory(folder: str, source: str) -> None:
    """Print the peak of this process's memory in kB, when all is added and nothing learnt yet."""
    status = Path("/proc/self/status")

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "add" and done == total:
            print(next(line for line in status.read_text().splitlines() if "VmHWM" in line))

    with Catalogue.open(folder, create=True) as catalogue:
        catalogue.add([source], progress=progress)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory as Linux tells it")
def test_memory_does_not_grow_with_the_feed(feed: Feed, tmp_path: Path) -> None:
    lines = feed(4000).read_text().splitlines(keepends=True)
    peaks = []
    for count in (1000, 4000):
        source = tmp_path / f"{count}.csv"
        source.write_text("".join(lines[: count + 1]))
        child = tiny.Child(
            add_and_tell_memory, [str(tmp_path / str(count)), str(source)], folder=tmp_path
        )
        peaks.append(int(child.wait().stdout.split()[1]))
    assert peaks[1] - peaks[0] < 10_000, f"{peaks} kB"


# --- places that cannot be used ------------------------------------------------------------------


def test_a_read_only_place_is_told(
    catalogue: Catalogue, small_disk: Path, run_cli: RunCli, feed: Feed
) -> None:
    catalogue.close()
    shutil.copytree(catalogue.path, small_disk / "catalogue")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for arguments in (["add", feed(2, start=50)], ["remove", "p1"], ["search", "--text", "red"]):
        done = run_cli("--catalogue", small_disk / "catalogue", *arguments)
        assert done.returncode == 1, done
        assert "cannot be" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_file_is_no_catalogue(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CatalogueError, match="a catalogue is a folder"):
        Catalogue.open(tmp_path / "file", create=True)
    with pytest.raises(CatalogueError, match="cannot be made"):
        Catalogue.open(tmp_path / "file" / "below", create=True)


def test_a_folder_may_have_any_name(feed: Feed, tmp_path: Path) -> None:
    folder = tmp_path / "what? #1 100%20"
    with Catalogue.open(folder, create=True) as catalogue:
        catalogue.add([feed(2)])
    assert set(contents(folder)) == {"p0", "p1"}


# --- damaged weights (17) ------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The weights file of a tiny network in timm's own folder format."""
    import timm
    from timm.models import save_for_hf

    folder = tmp_path / "weights"
    save_for_hf(timm.create_model("test_resnet"), folder, safe_serialization="both")
    return folder / "model.safetensors"


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_damaged_weights_are_noticed(weights: Path, feed: Feed, tmp_path: Path) -> None:
    spec, source = f"timm:local-dir:{weights.parent}", feed(4)
    folder, photo = tmp_path / "catalogue", tmp_path / "pictures" / "00000.png"
    with tiny.real_encoders():
        with Catalogue.open(folder, encoder=spec, create=True) as catalogue:
            catalogue.add([source])
        flip(weights, -1000)  # a number, a little different
        with (
            Catalogue.open(folder) as catalogue,
            pytest.raises(CatalogueError, match="weights or preprocessing changed"),
        ):
            catalogue.search(Query(photo=photo))
        flip(weights, 3)  # the header
        with (
            Catalogue.open(folder) as catalogue,
            pytest.raises(EncoderError, match="not a readable weights file"),
        ):
            catalogue.search(Query(photo=photo))


def test_damaged_weights_of_the_builtin_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "encoder"
    shutil.copytree(ENCODER, copy)
    flip(copy / "open_clip_model.safetensors", 1_000_000)
    monkeypatch.setattr("vision.networks.openclip.ENCODER", copy)
    with tiny.real_encoders(), pytest.raises(EncoderError, match=r"damaged\. Install findalike"):
        Encoder.load("builtin")
