"""An add with much to do chooses how its encoder is computed, and nothing is lost by it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import filelock
import numpy as np
import pytest
import tiny
from click.testing import CliRunner
from test_backends import HALF, convolutional, photos, reference_encoder

import index.changes.choosing as choosing
from index.catalogue import Catalogue
from index.changes.checking import check_catalogue
from index.changes.choosing import Chooser, choose_apart, choose_backend
from index.query import Query
from vision import trials
from vision.choice import Choice, Trial, machine, read_choice, write_choice
from vision.encoder import Encoder
from vision.errors import CatalogueBusy, EncoderError
from vision.networks.backends import REFERENCE
from vision.networks.loading import Backbone
from webapp.cli import main
from webapp.terminal import backends as terminal

ROOT = Path(__file__).parent.parent


# --- when it pays --------------------------------------------------------------------------------


class Clock:
    """Stands in for the module ``time`` of the chooser."""

    def __init__(self) -> None:
        self.now, self.step = 0.0, 0

    def perf_counter(self) -> float:
        return self.now


def looked(
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
    steps: list[tuple[float, int, int]],
    total: int,
    device: str = "cpu",
) -> list[int]:
    """Return at which of the steps (seconds, embedded, done) of an add a choice is made."""
    clock, chosen = Clock(), []
    encoder = SimpleNamespace(device=SimpleNamespace(type=device))
    catalogue: Any = SimpleNamespace(path=home, fingerprint="f" * 64, encoder=encoder)
    monkeypatch.setattr(choosing, "time", clock)
    monkeypatch.setattr(Chooser, "_choose", lambda _: chosen.append(clock.step))
    chooser = Chooser(catalogue, lambda *_: None)
    for clock.step, (clock.now, embedded, done) in enumerate(steps):
        chooser.look(embedded, done, total)
    return chosen


def even(
    pace: float, new: int = 16, done: int = 16, number: int = 60
) -> list[tuple[float, int, int]]:
    """Return the steps of an add that takes ``pace`` seconds for each picture that is embedded."""
    return [(pace * new * at, new * at, done * at) for at in range(number)]


def test_a_choice_is_made_once_where_much_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at(*args: Any, **more: Any) -> list[int]:
        return looked(monkeypatch, tmp_path, *args, **more)

    assert at(even(0.01, number=150), 50_000) == [32]  # after 512 pictures, and not again
    assert at(even(0.01), 5_000) == []
    assert at(even(0.2), 6_000) == [32]  # a large network: fewer pictures are much
    assert at(even(0.2), 2_000) == []
    assert at(even(0.01, number=30), 50_000) == []
    # Of a feed whose products are nearly all there already little is left, however long it is.
    assert at(even(0.01, new=16, done=800), 60_000) == []
    # An add that goes on where another stopped: first what is there, then what is new.
    first = [(0.001 * 512 * step, 0, 512 * step) for step in range(20)]
    seconds, _, done = first[-1]
    later = [(seconds + 0.01 * 16 * n, 16 * n, done + 16 * n) for n in range(1, 80)]
    assert len(at(first + later, 60_000)) == 1


def test_a_choice_is_made_where_there_is_none_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "backend"
    home.mkdir()
    steps = even(0.01)

    def left_by(fingerprint: str, where: str) -> list[int]:
        write_choice(home, Choice("b", fingerprint, where, 200, (Trial("a"), Trial("b")), {}))
        return looked(monkeypatch, tmp_path, steps, 50_000)

    assert left_by("f" * 64, machine()) == []
    assert left_by("f" * 64, "a Cray") == [32]
    assert left_by("e" * 64, machine()) == [32]
    (home / "backend.json").write_text("{half a")
    assert looked(monkeypatch, tmp_path, steps, 50_000) == [32]
    assert looked(monkeypatch, tmp_path, steps, 50_000, device="cuda") == []


# --- within an add -------------------------------------------------------------------------------


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an add choose as soon as it can, after 128 pictures and however little is left."""
    monkeypatch.setattr(choosing, "_FIRST", 144)
    monkeypatch.setattr(choosing, "_WORTH", -1)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let a small network be every encoder; list the backends of those that were loaded."""
    loaded: list[str] = []

    def load(spec: str, *, device: Any = "cpu", backend: Any = None, home: Any = None) -> Encoder:
        encoder = Encoder(spec, Backbone(convolutional(), HALF, ""), "cpu", backend, home)
        loaded.append(encoder.backend)
        return encoder

    monkeypatch.setattr(Encoder, "load", staticmethod(load))
    return loaded


def test_an_add_goes_on_with_what_was_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: None, made: list[str]
) -> None:
    computed: list[tuple[str, int]] = []
    encode = Encoder.encode_pixels

    def noted(self: Encoder, pixels: np.ndarray, *, mirror: bool = False) -> np.ndarray:
        if not mirror:
            computed.append((self.backend, len(pixels)))
        return encode(self, pixels, mirror=mirror)

    def apart(catalogue: Catalogue, _progress: Any) -> None:
        with Catalogue.open(catalogue.path) as own, catalogue.reading() as table:
            there = table.counts()["images"]
            assert choose_backend(own).pictures == min(there, 384) and there >= 144

    slow = lambda run, some: (run(some), 9.0 if getattr(run, "__self__", None) else 1.0)  # noqa: E731
    monkeypatch.setattr(trials, "candidates", lambda _: ("frozen fp32",))
    monkeypatch.setattr(trials, "_timed", slow)
    monkeypatch.setattr(choosing, "choose_apart", apart)
    feed = tiny.write_feed(tmp_path / "feed.csv", 420)
    pictures = sorted((tmp_path / "pictures").iterdir())
    with Catalogue.open(tmp_path / "shop", create=True) as shop:
        server = Catalogue.open(tmp_path / "shop")
        with server:
            assert server.encoder.backend == REFERENCE  # loaded before, and used while the add runs
            monkeypatch.setattr(Encoder, "encode_pixels", noted)
            report = shop.add([feed])
            monkeypatch.setattr(Encoder, "encode_pixels", encode)
            assert (report.added, report.embedded) == (420, 420)
            assert shop.encoder.backend == "frozen fp32"
            hits = server.search(Query(photo=pictures[-1])).hits
            assert hits[0].product.product_id == "p419"
        names = [name for name, _ in computed]
        turn = names.index("frozen fp32")
        assert turn > 0 and set(names[turn:]) == {"frozen fp32"}
        assert set(names[:turn]) == {REFERENCE}
        assert [each for each in made if each != REFERENCE] == ["frozen fp32"]
        assert not list(check_catalogue(shop))
        facts = shop.info()["backend"]
        assert facts["backend"] == "frozen fp32" and time.time() - 600 < facts["time"] < time.time()
        made.clear()
        shop.add([tiny.write_feed(tmp_path / "more.csv", 200, start=500)])
        assert made == []  # chosen once
    with Catalogue.open(tmp_path / "shop") as again:
        assert again.encoder.backend == "frozen fp32"


def test_an_add_whose_trial_fails_says_so_and_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    early: None,
    made: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for error in (EncoderError("It is full."), OSError(12, "Cannot allocate memory")):
        shop = tmp_path / type(error).__name__

        def failing(*_: Any, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(choosing, "choose_apart", failing)
        caplog.clear()
        with caplog.at_level(logging.WARNING), Catalogue.open(shop, create=True) as catalogue:
            report = catalogue.add([tiny.write_feed(tmp_path / "feed.csv", 320)])
            assert (report.added, catalogue.encoder.backend) == (320, REFERENCE)
            assert catalogue.info()["backend"] is None
        (told,) = caplog.messages
        assert "stays as it is" in told and str(error) in told and "findalike quicken" in told


# --- the process of its own -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of 130 pictures with the built-in encoder."""
    folder = tmp_path_factory.mktemp("filled")
    with Catalogue.open(folder / "shop", create=True) as catalogue:
        catalogue.add([tiny.write_feed(folder / "feed.csv", 130)])
    return folder / "shop"


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    with contextlib.suppress(OSError):
        return [int(each) for each in listed.read_text().split()]
    return []


def lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def until(true: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)
    return found


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """List the processes that are started."""
    found: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            found.append(self)

    monkeypatch.setattr(choosing.subprocess, "Popen", Noted)
    yield found
    assert all(each.poll() is not None for each in found)  # none is left, however it went


def test_a_process_of_its_own_chooses(filled: Path, started: list[Any]) -> None:
    told: list[tuple[str, int, int]] = []
    with Catalogue.open(filled) as catalogue:
        with catalogue.writing():  # as an add does
            choose_apart(catalogue, lambda *each: told.append(each))
        choice = read_choice(filled / "backend")
        assert choice is not None and choice.pictures == 130
        assert choice.unfit(filled / "backend", catalogue.fingerprint) == ""
    assert {stage for stage, _, _ in told} == {"choose"} and told[-1][1:] == (120, 120)


def test_a_trial_that_fails_says_why(tmp_path: Path, started: list[Any]) -> None:
    with Catalogue.open(tmp_path / "shop", create=True) as catalogue:
        catalogue.add([tiny.write_feed(tmp_path / "feed.csv", 3)])
        with pytest.raises(EncoderError, match="status 1: 3 pictures are too few to judge by"):
            choose_apart(catalogue, lambda *_: None)


def test_a_trial_ends_where_the_add_is_stopped_or_it_takes_too_long(
    filled: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with Catalogue.open(filled) as catalogue:
        with pytest.raises(KeyboardInterrupt):
            choose_apart(catalogue, stopped)
        monkeypatch.setattr(choosing, "_LONGEST", 0.1)
        with pytest.raises(EncoderError, match="had not ended after"):
            choose_apart(catalogue, lambda *_: None)
    assert len(started) == 2 and all(each.returncode == -signal.SIGKILL for each in started)


def test_a_trial_ends_with_an_add_that_is_killed(filled: Path) -> None:
    script = (
        "import sys; from index.catalogue import Catalogue\n"
        "from index.changes.choosing import choose_apart\n"
        "with Catalogue.open(sys.argv[1]) as shop, shop.writing():\n"
        "    choose_apart(shop, lambda *_: None)\n"
    )
    env, before = os.environ | {"PYTHONPATH": str(ROOT)}, read_choice(filled / "backend")
    with subprocess.Popen([sys.executable, "-c", script, str(filled)], env=env) as add:
        (trial,) = until(lambda: children(add.pid))
        until(lambda: "trying" in Path(f"/proc/{trial}/cmdline").read_text())
        add.kill()
    until(lambda: not lives(trial))
    assert read_choice(filled / "backend") == before  # it did not come to its end
    with Catalogue.open(filled) as catalogue, catalogue.writing():
        assert not list(check_catalogue(catalogue, files=False))
    with filelock.FileLock(filled / "backend" / "choosing.lock").acquire(timeout=0):
        pass  # it went with the process


def test_one_process_chooses_at_a_time(tmp_path: Path, made: list[str]) -> None:
    with Catalogue.open(tmp_path / "shop", create=True) as catalogue:
        catalogue.add([tiny.write_feed(tmp_path / "feed.csv", 130)])
        (tmp_path / "shop" / "backend").mkdir()
        with (
            filelock.FileLock(tmp_path / "shop" / "backend" / "choosing.lock"),
            pytest.raises(CatalogueBusy, match="Another findalike process is trying"),
        ):
            choose_backend(catalogue)
        assert choose_backend(catalogue).pictures == 130


# --- trials that must not take long ---------------------------------------------------------------


def slowed(monkeypatch: pytest.MonkeyPatch, each: float, candidate: float = 0.0) -> list[str]:
    """Let the reference take so many seconds for a picture, by a clock of the trials' own."""
    told: list[str] = []
    clock = SimpleNamespace(now=0.0)
    right = reference_encoder().encode_pixels

    def run(pixels: np.ndarray, *, mirror: bool = False) -> np.ndarray:
        clock.now += len(pixels) * (each if told[-1:] == [REFERENCE] else candidate)
        return right(pixels)

    fake = SimpleNamespace(
        perf_counter=lambda: clock.now, process_time=lambda: clock.now, time=time.time
    )
    monkeypatch.setattr(trials, "time", fake)
    monkeypatch.setattr(trials, "cores", lambda: 4)
    monkeypatch.setattr(Encoder, "encode_pixels", lambda _, pixels: run(pixels))
    monkeypatch.setattr(trials, "_made", lambda *_: run)
    monkeypatch.setattr(trials, "by_default", lambda _: ("packed bf16", REFERENCE))
    names = ("packed fp32", "torch bf16", "packed bf16", "openvino bf16")
    monkeypatch.setattr(trials, "candidates", lambda _: names)
    return told


@pytest.mark.parametrize(
    ("each", "candidate", "pictures", "tried"),
    [
        (0.01, 0.005, 384, ["packed bf16", "openvino bf16", "torch bf16", "packed fp32"]),
        (0.2, 0.06, 200, ["packed bf16", "openvino bf16", "torch bf16", "packed fp32"]),
        (0.3, 0.25, 133, ["packed bf16", "openvino bf16"]),
        (0.45, 0.2, 128, ["packed bf16", "openvino bf16"]),
    ],
)
def test_slow_encoders_are_tried_on_fewer_pictures_and_the_best_prospects_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: float, candidate: float, pictures: int,
    tried: list[str],
) -> None:  # fmt: skip
    told = slowed(monkeypatch, each, candidate)
    found = trials.choose(reference_encoder(), photos(384), tmp_path, told.append, 120)
    assert told == [REFERENCE, *tried]
    assert found.pictures == pictures and found.backend in tried
    left = {each.backend: each.refused for each in found.trials if each.backend not in told}
    assert set(left.values()) <= {"there was no time to try it"} and len(left) == 4 - len(tried)


def test_what_is_used_by_default_is_always_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = slowed(monkeypatch, 0.58, 0.05)
    monkeypatch.setattr(trials, "by_default", lambda _: ("packed fp32", REFERENCE))
    trials.choose(reference_encoder(), photos(384), tmp_path, told.append, 120)
    assert told[:3] == [REFERENCE, "packed fp32", "openvino bf16"]


def test_what_is_too_slow_to_be_tried_is_no_ground(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = slowed(monkeypatch, 0.8)
    with pytest.raises(EncoderError, match="too slow to try ways to compute it in 120 s"):
        trials.choose(reference_encoder(), photos(384), tmp_path, told.append, 120)
    assert told == [REFERENCE]
    told = slowed(monkeypatch, 0.5, 0.4)
    with pytest.raises(EncoderError, match="too slow"):  # what is used by default is no choice
        trials.choose(reference_encoder(), photos(384), tmp_path, told.append, 120)
    assert told == [REFERENCE, "packed bf16"]
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(trials, "candidates", lambda _: ("packed bf16",))  # there is no other way
    assert trials.choose(reference_encoder(), photos(384), tmp_path, told.append).pictures == 384


# --- what is said ---------------------------------------------------------------------------------


def test_an_add_says_what_was_chosen_and_info_what_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: None, made: list[str]
) -> None:
    monkeypatch.setattr(trials, "_timed", lambda run, some: (run(some), 1.0))
    monkeypatch.setattr(trials, "candidates", lambda _: ("frozen fp32",))
    monkeypatch.setattr(choosing, "choose_apart", lambda shop, _: choose_backend(shop))
    feed, said = tiny.write_feed(tmp_path / "feed.csv", 320), CliRunner()
    add = ["-c", str(tmp_path / "shop"), "add", str(feed)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "nice", lambda _: 0)
    shown = " ".join(said.invoke(main, add).stdout.split())
    assert "The encoder is computed with torch fp32, 1.0 times the speed of torch" in shown
    assert "recall@10 1.000) from now on." in shown
    assert "is computed with" not in said.invoke(main, add).output  # said once
    shown = " ".join(said.invoke(main, ["-c", str(tmp_path / "shop"), "info"]).stdout.split())
    assert "the least 1.00000" in shown and "chosen by measurement on" in shown
    assert time.strftime("%Y-%m-%d") in shown and machine() in shown


def test_a_large_catalogue_without_a_choice_is_told_in_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[str]
) -> None:
    with Catalogue.open(tmp_path / "shop", create=True) as catalogue:
        catalogue.add([tiny.write_feed(tmp_path / "feed.csv", 130)])
        screen = SimpleNamespace(isatty=lambda: True)
        monkeypatch.setattr(terminal, "sys", SimpleNamespace(stdout=screen))
        assert terminal.choice_line(catalogue, time.time()) == ""
        monkeypatch.setattr(terminal, "_MANY", 100)
        assert "findalike quicken would find" in terminal.choice_line(catalogue, time.time())
        screen.isatty = lambda: False
        assert terminal.choice_line(catalogue, time.time()) == ""
        screen.isatty = lambda: True
        choose_backend(catalogue)
        assert terminal.choice_line(catalogue, time.time()) == ""
