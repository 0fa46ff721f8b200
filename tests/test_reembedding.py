"""Changing a catalogue's encoder: all pictures anew, one switch, never two encoders mixed."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from click.testing import CliRunner

from index.catalogue import Catalogue
from index.changes.checking import check_catalogue
from index.changes.reembedding import Reembedded, reembed
from index.query import Query
from index.store.place import DATABASE
from vision.encoder import Encoder
from vision.errors import CatalogueBusy, CatalogueError, EncoderError
from webapp.terminal.encoders import reembed as command

KILLS = 12
OLD = tiny.TinyEncoder().fingerprint
pytestmark = pytest.mark.usefixtures("tiny_encoder", "few_photos")


def seed(number: int) -> None:
    """Make every encoder loaded from now on, here and in children, that of this number."""
    os.environ[tiny.SEED] = str(number)


@pytest.fixture(autouse=True)
def first_encoder() -> Iterator[None]:
    seed(0)
    yield
    del os.environ[tiny.SEED]


@pytest.fixture
def few_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrate in this process as the children do."""
    monkeypatch.setattr("index.search.calibration.VERDICT_PHOTOS", tiny.FEW_PHOTOS)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder of a catalogue whose picture files are this test's own: 40 products, 80 files."""
    return make(tmp_path / "own", tiny.write_feed(tmp_path / "feed.csv", 40, views=2))


def make(folder: Path, *feeds: Path) -> Path:
    with Catalogue.open(folder, create=True) as catalogue:
        catalogue.add(feeds)
    return folder


def change(folder: Path, number: int = 1, batch: int = 8) -> Reembedded:
    """Give a catalogue the encoder of this number."""
    seed(number)
    with Catalogue.open(folder) as catalogue:
        return reembed(catalogue, f"tiny:{number}", batch=batch)


def change_slowly(folder: str) -> None:
    """Do so in a child, which is told the number by its surroundings."""
    with Catalogue.open(folder) as catalogue:
        reembed(catalogue, "tiny", batch=4)


def fingerprint(number: int) -> str:
    before = os.environ[tiny.SEED]
    seed(number)
    found = tiny.TinyEncoder().fingerprint
    seed(int(before))
    return found


def rows(folder: Path) -> dict[str, int]:
    """Return how many embeddings each encoder has, read without findalike."""
    with sqlite3.connect(folder / DATABASE) as database:
        found = database.execute("SELECT fingerprint, count(*) FROM embeddings GROUP BY 1")
        counted = dict(found.fetchall())
    database.close()
    return counted


def held(catalogue: Catalogue) -> dict[int, tuple[bytes, bytes]]:
    """Return each view's embedding and colour."""
    with catalogue.reading() as table:
        return {
            view: (vector.tobytes(), colour.tobytes())
            for some in table.rows(catalogue.fingerprint)
            for view, vector, colour in zip(
                some.ids.tolist(), some.vectors, some.colours, strict=True
            )
        }


def indexed(catalogue: Catalogue) -> np.ndarray:
    """Return the vectors that searches see, in order of their views."""
    with catalogue.reading() as table:
        store = catalogue.index(table).store
        return store.vectors()[np.argsort(store.views)].copy()


def answers(catalogue: Catalogue, photos: list[Path]) -> list[list[tuple[str, float]]]:
    found = catalogue.search_many([Query(photo=path, k=5) for path in photos])
    return [[(hit.product.product_id, round(hit.score, 4)) for hit in each.hits] for each in found]


def products(folder: Path) -> list[Any]:
    with Catalogue.open(folder) as catalogue, catalogue.reading() as table:
        return [table.get([key])[key] for key in table.all_keys()]


# --- what it does --------------------------------------------------------------------------------


def test_all_is_as_if_made_with_the_new_encoder(
    own: Path, tmp_path: Path, photos: Callable[..., list[Path]]
) -> None:
    asked = photos(6, start=500)
    before = products(own)
    with Catalogue.open(own) as catalogue:
        colours = {view: colour for view, (_, colour) in held(catalogue).items()}
        first = answers(catalogue, asked)
    done = change(own)
    assert done == Reembedded("tiny:1", fingerprint(1), 80, 0, 0, True)
    assert rows(own) == {fingerprint(1): 80}
    assert products(own) == before
    fresh = make(tmp_path / "fresh", tmp_path / "feed.csv")
    with Catalogue.open(own) as catalogue, Catalogue.open(fresh) as other:
        assert catalogue.encoder_spec == "tiny:1"
        assert catalogue.fingerprint == catalogue.encoder.fingerprint == fingerprint(1)
        assert held(catalogue) == held(other)
        assert {view: colour for view, (_, colour) in held(catalogue).items()} == colours
        assert catalogue.info()["verdicts"] == other.info()["verdicts"] is not None
        assert answers(catalogue, asked) == answers(other, asked) != first
        assert not list(check_catalogue(catalogue))


def test_an_encoder_of_another_length(
    own: Path, monkeypatch: pytest.MonkeyPatch, photos: Callable[..., list[Path]]
) -> None:
    class Wide(tiny.TinyEncoder):
        dim = 2 * tiny.DIM

        def __init__(self, spec: str = "wide", **_options: object) -> None:
            super().__init__(spec)
            self.fingerprint = "f" * 64

        def _project(self, pixels: np.ndarray) -> np.ndarray:
            rows = super()._project(pixels)
            return np.concatenate([rows, rows[:, ::-1]], axis=1)

    monkeypatch.setattr(Encoder, "load", staticmethod(Wide))
    with Catalogue.open(own) as catalogue:
        reembed(catalogue, "wide")
    with Catalogue.open(own) as catalogue:
        assert not list(check_catalogue(catalogue))
        assert len(answers(catalogue, photos(1))[0]) == 5


def test_pictures_whose_file_is_gone_or_changed_come_from_the_preview(own: Path) -> None:
    pictures = sorted((own.parent / "pictures").iterdir())
    pictures[0].unlink()
    pictures[1].write_bytes(pictures[2].read_bytes())
    pictures[3].write_bytes(b"no picture")
    with Catalogue.open(own) as catalogue:
        colours = {view: colour for view, (_, colour) in held(catalogue).items()}
    done = change(own)
    assert (done.embedded, done.from_previews) == (80, 3)
    with Catalogue.open(own) as catalogue:
        assert {view: colour for view, (_, colour) in held(catalogue).items()} == colours
        kinds = {each.kind for each in check_catalogue(catalogue)}
        assert kinds == {"missing file", "changed file"}


def test_the_same_weights_elsewhere_change_the_name_only(own: Path) -> None:
    with Catalogue.open(own) as catalogue:
        before = held(catalogue)
        done = reembed(catalogue, "tiny:moved")
        assert done == Reembedded("tiny:moved", OLD, 0, 0, 0, False)
        assert catalogue.search(Query(like="p1")).hits  # nobody has to open it again
    with Catalogue.open(own) as catalogue:
        assert catalogue.encoder_spec == "tiny:moved"
        assert held(catalogue) == before


def test_an_empty_catalogue_changes_its_encoder_too(tmp_path: Path) -> None:
    with Catalogue.open(tmp_path / "empty", create=True):
        pass
    assert change(tmp_path / "empty").switched
    make(tmp_path / "empty", tiny.write_feed(tmp_path / "feed.csv", 3))
    assert rows(tmp_path / "empty") == {fingerprint(1): 3}


# --- interrupted ---------------------------------------------------------------------------------


def interrupt(folder: Path, monkeypatch: pytest.MonkeyPatch, batches: int = 3) -> None:
    """Begin a change to encoder 1 and stop it by Ctrl-C after some batches."""
    encode, left = tiny.TinyEncoder.encode_pixels, [batches]

    def failing(self: tiny.TinyEncoder, pixels: np.ndarray, **options: bool) -> np.ndarray:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return encode(self, pixels, **options)

    with monkeypatch.context() as patched:
        patched.setattr(tiny.TinyEncoder, "encode_pixels", failing)
        with pytest.raises(KeyboardInterrupt):
            change(folder)
    seed(0)


def test_interrupted_it_goes_on_where_it_stopped(
    own: Path, monkeypatch: pytest.MonkeyPatch, photos: Callable[..., list[Path]]
) -> None:
    asked = photos(4)
    with Catalogue.open(own) as catalogue:
        before = answers(catalogue, asked)
    interrupt(own, monkeypatch)
    assert rows(own) == {fingerprint(0): 80, fingerprint(1): 24}
    with Catalogue.open(own) as catalogue:  # which goes on as it was
        assert answers(catalogue, asked) == before
        assert not list(check_catalogue(catalogue))
        # What comes and goes meanwhile is no trouble.
        catalogue.remove(["p0"])
        catalogue.add([tiny.write_feed(own.parent / "more.csv", 5, start=100)])
    done = change(own)
    assert (done.embedded, done.known) == (80 - 24 + 5, 24 - 2)
    with Catalogue.open(own) as catalogue:
        assert not list(check_catalogue(catalogue))


def test_what_was_embedded_before_and_is_damaged_is_made_again(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(own, monkeypatch)
    with sqlite3.connect(own / DATABASE) as database:
        database.execute(
            "UPDATE embeddings SET vector = zeroblob(64) WHERE rowid IN"
            " (SELECT rowid FROM embeddings WHERE fingerprint = ? LIMIT 2)",
            [fingerprint(1)],
        )
    database.close()
    assert change(own).known == 22
    with Catalogue.open(own) as catalogue:
        assert not list(check_catalogue(catalogue))


def test_giving_the_present_encoder_drops_what_was_begun(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(own, monkeypatch)
    assert not change(own, 0).switched
    assert rows(own) == {fingerprint(0): 80}


def test_killed_before_it_learnt_anew_it_searches_right_and_learns_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So few pictures have a space without a mean, which is the same for every encoder."""
    folder = make(tmp_path / "small", tiny.write_feed(tmp_path / "feed.csv", 10))

    def killed(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Catalogue, "settle", killed)
        with pytest.raises(KeyboardInterrupt):
            change(folder)
    fresh = make(tmp_path / "fresh", tmp_path / "feed.csv")
    with Catalogue.open(folder) as catalogue, Catalogue.open(fresh) as other:
        assert catalogue.fingerprint == fingerprint(1)
        np.testing.assert_array_equal(indexed(catalogue), indexed(other))
        assert catalogue.info()["verdicts"] is None
    assert not change(folder).switched
    with Catalogue.open(folder) as catalogue, Catalogue.open(fresh) as other:
        assert catalogue.info()["verdicts"] == other.info()["verdicts"] is not None


def test_kill_9_at_any_moment(own: Path, tmp_path: Path, photos: Callable[..., list[Path]]) -> None:
    """To one encoder, and when that is done, to the other again."""
    asked, expected = photos(3, start=700), {}
    for number in (1, 0):
        seed(number)
        with Catalogue.open(make(tmp_path / f"{number}", tmp_path / "feed.csv")) as catalogue:
            expected[catalogue.fingerprint] = answers(catalogue, asked)
    rng, kills, present = random.Random(0), 0, 0
    for _ in range(KILLS):
        wanted = fingerprint(1 - present)
        before = rows(own).get(wanted, 0)
        env = {tiny.SEED: str(1 - present), tiny.DELAY: "0.01"}
        child = tiny.Child(change_slowly, [str(own)], folder=tmp_path, env=env)
        deadline = time.monotonic() + 60
        while child.process.is_alive() and rows(own).get(wanted, 0) <= before:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(rng.random() * 0.1)
        child.kill(signal.SIGKILL)
        kills += child.wait().returncode == -signal.SIGKILL
        found = rows(own)
        assert found[wanted] >= before, "something that was committed is gone"
        with Catalogue.open(own) as catalogue:
            present = 1 if catalogue.fingerprint == fingerprint(1) else 0
            seed(present)
            assert found[catalogue.fingerprint] == 80
            if catalogue.info()["verdicts"]:  # else it was killed before it learnt anew
                assert answers(catalogue, asked) == expected[catalogue.fingerprint]
            assert not list(check_catalogue(catalogue, files=False))
    assert kills > KILLS // 2
    change(own, 1 - present)
    with Catalogue.open(own) as catalogue:
        assert answers(catalogue, asked) == expected[fingerprint(1 - present)]


# --- others that have it open --------------------------------------------------------------------


def test_who_has_it_open_is_told_to_open_it_again(
    own: Path, photos: Callable[..., list[Path]], tmp_path: Path
) -> None:
    asked = photos(2)
    more = tiny.write_feed(tmp_path / "more.csv", 5, start=100)
    with Catalogue.open(own) as searching, Catalogue.open(own) as idle:
        before = answers(searching, asked)
        assert idle.encoder.fingerprint == OLD
        change(own)
        assert before
        for act in (
            lambda: answers(searching, asked),
            lambda: answers(searching, asked),
            lambda: answers(idle, asked),
            lambda: searching.add([more]),
            lambda: idle.remove(["p1"]),
            idle.info,
            idle.rebuild,
        ):
            with pytest.raises(CatalogueError, match=r"another encoder meanwhile\. Open it again"):
                act()
    assert rows(own) == {fingerprint(1): 80}
    with Catalogue.open(own) as catalogue:
        assert not list(check_catalogue(catalogue))


def test_searches_go_on_while_it_works(own: Path, tmp_path: Path) -> None:
    photo = tiny.write_photos(tmp_path / "asked", 1, start=900)
    env = {tiny.SEED: "1", tiny.DELAY: "0.02"}
    with Catalogue.open(own) as catalogue:
        before = answers(catalogue, photo)
        child = tiny.Child(change_slowly, [str(own)], folder=tmp_path, env=env)
        seen = 0
        try:
            while child.process.is_alive():
                assert answers(catalogue, photo) == before
                seen += len(rows(own)) == 2
        except CatalogueError as error:
            assert "another encoder meanwhile" in str(error)
        assert seen > 3
        assert child.wait().returncode == 0, child.output()


def test_one_writer_at_a_time(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(1)
    with Catalogue.open(own) as one, Catalogue.open(own) as other, one.writing():
        lock = other.writing
        monkeypatch.setattr(other, "writing", lambda: lock(wait=0.1))
        with pytest.raises(CatalogueBusy):
            reembed(other, "tiny:1")
    assert rows(own) == {OLD: 80}


# --- the command ---------------------------------------------------------------------------------


def test_the_command_says_what_it_did(own: Path) -> None:
    (own.parent / "pictures" / "00003.png").unlink()
    seed(1)
    done = CliRunner().invoke(command, ["tiny:1"], obj=own)
    assert done.exit_code == 0, done.output
    assert "has the encoder tiny:1 now. Embedded 80 pictures, 1 from their previews" in done.output
    again = CliRunner().invoke(command, ["tiny:1"], obj=own)
    assert "has this encoder already: tiny:1" in again.output


def test_an_encoder_that_does_not_exist_changes_nothing(own: Path) -> None:
    with tiny.real_encoders(), Catalogue.open(own) as catalogue:
        for spec in ("timm:nothing", "clip:local-dir:nowhere"):
            with pytest.raises(EncoderError):
                reembed(catalogue, spec)
    assert rows(own) == {OLD: 80}
