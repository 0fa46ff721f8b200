"""Choosing how a catalogue's encoder is computed, by trial on the catalogue's own pictures."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import numpy as np
import sqlalchemy as sa

from index.changes.checking import ANY_SIZE
from index.progress import Progress
from index.store.place import BACKEND
from index.store.tables import embeddings
from vision.batches import ahead
from vision.choice import Choice, read_choice
from vision.errors import CatalogueBusy, EncoderError, FindalikeError
from vision.images import read_image

if TYPE_CHECKING:
    from index.catalogue import Catalogue

_PICTURES = 384
_FIRST = 512  # pictures that an add embeds before it asks whether a choice would pay, and again
# A trial is expected to take so many seconds and as long as so many pictures of the add, at most
# _LONGEST, and to pay where what is left of the add takes _WORTH times as long (docs/encoders.md).
_START = 8.0
_LIKE = 1500
_LONGEST = 120.0
_WORTH = 6
_GRACE = 1.5  # times the longest: then it is ended, whatever it does
_LOOK = 0.2  # seconds

_log = logging.getLogger("findalike")


def choose_backend(
    catalogue: Catalogue,
    progress: Callable[[str], None] = lambda _: None,
    seconds: float = float("inf"),
) -> Choice:
    """Try the ways to compute the encoder on up to 384 previews; the choice is kept for next time.

    No embedding changes: what agrees with the reference may be compared with all there is.
    ``progress`` is told of each backend before it is tried; about ``seconds`` are spent. Raises
    EncoderError where there are too few pictures or seconds, or the catalogue's folder cannot be
    written to, CatalogueBusy where another process is choosing.
    """
    from vision.encoder import Encoder
    from vision.networks.backends import REFERENCE
    from vision.trials import choose

    started = time.perf_counter()
    home = catalogue.path / BACKEND
    lock = filelock.FileLock(home / "choosing.lock")
    try:
        home.mkdir(exist_ok=True)
        held = lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise CatalogueBusy(
            f"Another findalike process is trying the ways to compute the encoder of the catalogue "
            f"in {catalogue.path}. What it chooses holds for all."
        ) from error
    except OSError as error:
        raise EncoderError(f"{home} cannot be written to ({error.strerror}).") from error
    with held:
        encoder = Encoder.load(catalogue.encoder_spec, device="cpu", backend=REFERENCE)

        def prepare(preview: bytes) -> np.ndarray:
            scale = encoder.preprocess.scale
            return encoder.prepare(read_image(preview, at_least=scale, limits=ANY_SIZE))

        pixels = list(ahead(_previews(catalogue), prepare))
        left = seconds - (time.perf_counter() - started)
        return choose(encoder, np.stack(pixels) if pixels else np.empty(0), home, progress, left)


def _previews(catalogue: Catalogue) -> list[bytes]:
    """Return the previews of the first pictures by hash, which are a sample of all."""
    with catalogue.reading() as table:
        mine = sa.select(embeddings.c.sha256).where(
            embeddings.c.fingerprint == catalogue.fingerprint
        )
        hashes = table.connection.execute(mine.order_by(embeddings.c.sha256).limit(_PICTURES))
        previews = table.previews(hashes.scalars())
    return [previews[each] for each in sorted(previews)]


def describe_choice(catalogue: Catalogue) -> dict[str, Any] | None:
    """Return the choice as documented for ``findalike info --json``, None where none was made."""
    choice = read_choice(catalogue.path / BACKEND)
    if choice is None:
        return None
    return choice.as_dict() | {
        "unfit": choice.unfit(catalogue.path / BACKEND, catalogue.fingerprint)
    }


class Chooser:
    """Sees to it that an add with much left to do chooses a backend, once, where there is none.

    The trial is a process of its own: it measures processor time, takes the memory of several
    networks, and uses libraries that may end their process. Where it fails the add goes on.
    """

    def __init__(self, catalogue: Catalogue, progress: Progress) -> None:
        self._catalogue, self._progress = catalogue, progress
        self._over = False
        self._since: tuple[float, int, int] | None = None  # the time, embedded, done

    def look(self, embedded: int, done: int, total: int) -> None:
        """Choose if that would pay, and have the encoder computed so from now on.

        So many pictures of the add were ``embedded``, so many of its ``total`` are ``done``. What
        is left is taken to be as new, and to take as long, as what came since the look before.
        """
        if self._over:
            return
        now = (time.perf_counter(), embedded, done)
        before = self._since = self._since or now
        seconds, new, past = (b - a for a, b in zip(before, now, strict=True))
        if new < _FIRST:
            return
        self._since = now
        left = (total - done) * seconds / past
        expected = min(_LONGEST, _START + _LIKE * seconds / new)
        if left >= _WORTH * expected:
            self._over = True
            if self._wanted():
                self._choose()

    def _wanted(self) -> bool:
        """Tell whether the encoder runs on a processor, and nothing was chosen for it here."""
        facts = describe_choice(self._catalogue)
        on_processor = self._catalogue.encoder.device.type == "cpu"
        return on_processor and (facts is None or bool(facts["unfit"]))

    def _choose(self) -> None:
        try:
            choose_apart(self._catalogue, self._progress)
            choice = read_choice(self._catalogue.path / BACKEND)
            if choice is not None and choice.backend != self._catalogue.encoder.backend:
                self._catalogue.renew_encoder()
        except (FindalikeError, OSError) as error:  # OSError: no memory for a process
            _log.warning(
                "No way to compute the encoder was chosen, it stays as it is: %s Try again with: "
                "findalike quicken", error,
            )  # fmt: skip


def choose_apart(catalogue: Catalogue, progress: Progress) -> None:
    """Choose a backend in a process of its own, within minutes; raises EncoderError if it fails.

    ``progress`` is told of the seconds, and may raise to end it; it ends with this process, too.
    """
    here = str(Path(__file__).parents[2])
    env = dict(os.environ)
    env["PYTHONPATH"] = os.pathsep.join([here, *filter(None, [env.get("PYTHONPATH")])])
    if not catalogue.engine.url.drivername.startswith("sqlite"):
        env["FINDALIKE_DATABASE"] = catalogue.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", "from index.changes.trying import main; main()"]
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [*command, str(catalogue.path), str(_LONGEST)],
            stdin=subprocess.PIPE,  # closed when this process ends, however it does
            stdout=said, stderr=said, env=env,
        )  # fmt: skip
        try:
            while process.poll() is None:
                took = time.monotonic() - started
                if took > _GRACE * _LONGEST:
                    raise EncoderError(f"The trial had not ended after {took:.0f} seconds.")
                progress("choose", int(min(took, _LONGEST)), int(_LONGEST))
                time.sleep(_LOOK)
        finally:
            process.kill()
            process.communicate()
        progress("choose", int(_LONGEST), int(_LONGEST))
        if process.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").split("\n")
            why = next((line for line in reversed(lines) if line.strip()), "it said nothing.")
            raise EncoderError(f"The trial ended with status {process.returncode}: {why}")
