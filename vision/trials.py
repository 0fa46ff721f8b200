"""Backends tried on a catalogue's own pictures: how fast each is, and how far off."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vision.choice import Choice, Trial, machine, write_choice
from vision.encoder import AGREEMENT, Encoder
from vision.errors import EncoderError
from vision.networks import vino
from vision.networks.backends import (
    REFERENCE,
    Network,
    Run,
    Unfit,
    build,
    candidates,
    compiled,
)
from vision.networks.weights import sha256_of, short

RECALL = 0.99  # the least recall@10 against the reference
_NEAREST = 10
_LEARN = 64  # pictures that int8 learns its ranges from; the others judge
_BATCH = 32
_ROUNDS = 5


def choose(
    encoder: Encoder,
    pixels: np.ndarray,
    home: Path,
    progress: Callable[[str], None] = lambda _: None,
) -> Choice:
    """Try every backend on pictures, and keep the fastest of those that agree in ``home``.

    ``encoder`` is loaded with the reference backend, ``pixels`` are (n, 3, h, w) uint8 as its
    ``prepare`` makes them, ``progress`` is told of each backend before it is tried. A backend
    agrees where the mean cosine to the reference is at least AGREEMENT and the recall@10, of
    queries by the backend among embeddings by the reference, at least RECALL. Fast is what takes
    the least processor time for a batch and for a query, as the product of both. Raises
    EncoderError where there are too few pictures, or the folder cannot be written to.
    """
    if len(pixels) < 2 * _LEARN:
        raise EncoderError(f"{len(pixels)} pictures are too few to judge by; {2 * _LEARN} will do.")
    network = encoder.network
    run: Run = encoder.encode_pixels
    assert network is not None and encoder.backend == REFERENCE
    progress(REFERENCE)
    reference = _embed(run, pixels)
    trials = [_judge(REFERENCE, run, pixels, reference)]
    models: dict[str, vino.Model] = {}
    for name in candidates(network):
        progress(name)
        try:
            if name.startswith("openvino"):
                models[name] = _converted(name, network, pixels[:_LEARN], models)
                run = compiled(models[name], name)
            else:
                run = build(name, network)
            trials.append(_judge(name, run, pixels, reference))
        except (Unfit, RuntimeError, ImportError) as error:
            trials.append(Trial(name, refused=f"it does not run: {short(error)}"))
    best = max((each for each in trials if not each.refused), key=lambda x: x.speed / x.pair)
    files = _save(models[best.backend], home) if best.backend in models else {}
    choice = Choice(best.backend, encoder.fingerprint, machine(), len(pixels), tuple(trials), files)
    write_choice(home, choice)
    return choice


def recall_at(reference: np.ndarray, asked: np.ndarray, k: int = _NEAREST) -> float:
    """Return the share of each row's k nearest others that its other embedding finds too.

    ``reference`` and ``asked`` are (n, d) unit rows of the same n pictures; both look among the
    reference's. Rows as near as the k-th are as good as it, so that duplicates do not count.
    """
    truth, found = reference @ reference.T, asked @ reference.T
    for scores in (truth, found):
        np.fill_diagonal(scores, -2.0)
    kth = np.sort(truth, axis=1)[:, -k, None]
    nearest = np.argpartition(-found, k - 1, axis=1)[:, :k]
    return float((np.take_along_axis(truth, nearest, axis=1) >= kth - 1e-6).mean())


def _converted(
    name: str, network: Network, pictures: np.ndarray, models: dict[str, vino.Model]
) -> vino.Model:
    """Return the model behind a backend; fp32 and bf16 share one."""
    if name == "openvino int8":
        return vino.convert(network, pictures)
    return next(iter(models.values()), None) or vino.convert(network, None)


def _judge(name: str, run: Run, pixels: np.ndarray, reference: np.ndarray) -> Trial:
    """Measure a backend's speed and agreement."""
    rows = _embed(run, pixels)
    if not np.isfinite(rows).all():
        raise Unfit("its numbers overflow")
    cosines = (rows * reference).sum(axis=1)
    cosine, recall = float(cosines.mean()), recall_at(reference, rows)
    refused = ""
    if cosine < AGREEMENT:
        refused = f"its mean cosine is below {AGREEMENT}"
    elif recall < RECALL:
        refused = f"its recall@{_NEAREST} is below {RECALL}"
    batch = _best(lambda: run(pixels[:_BATCH]))
    pair = _best(lambda: run(pixels[:2]))
    return Trial(name, _BATCH / batch, 1000 * pair, cosine, float(cosines.min()), recall, refused)


def _embed(run: Run, pixels: np.ndarray) -> np.ndarray:
    runs = [pixels[at : at + _BATCH] for at in range(0, len(pixels), _BATCH)]
    return np.concatenate([run(each) for each in runs])


def _best(work: Callable[[], object]) -> float:
    """Return the least processor seconds of some rounds.

    Not by the clock: streams share the cores evenly, so that what costs least is fastest, and what
    else the machine does would choose at random.
    """
    seconds = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)


def _save(model: vino.Model, home: Path) -> dict[str, str]:
    """Write a model under a name of its own, as another process may be reading the one before."""
    path = home / f"openvino-{secrets.token_hex(4)}.xml"
    try:
        vino.save(model, path)
        return {each.name: sha256_of(each) for each in (path, path.with_suffix(".bin"))}
    except (OSError, RuntimeError) as error:
        raise EncoderError(f"{home} cannot be written to ({short(error)}).") from error
