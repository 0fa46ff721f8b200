"""Backends tried on a catalogue's own pictures: how fast each is, and how far off."""

from __future__ import annotations

import math
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
    by_default,
    candidates,
    compiled,
)
from vision.networks.weights import sha256_of, short
from vision.threads import cores

RECALL = 0.99  # the least recall@10 against the reference
_NEAREST = 10
_LEARN = 64  # pictures that int8 learns its ranges from
_LEAST = 2 * _LEARN  # pictures to judge by
_BATCH = 32
_ROUNDS = 5  # of a query's two pictures, fewer where one takes long; of batches there are several
_ENOUGH = 1.0  # second
# Where time is short: what the reference may have of it, what of the reference's time a candidate
# takes, and int8 beside that to learn, in pictures computed by the reference.
_REFERENCE = 1 / 3
_CANDIDATE = {"fp32": 0.6, "bf16": 0.3, "int8": 0.2}
_LEARNING = 500
_NO_TIME = "there was no time to try it"


def choose(
    encoder: Encoder,
    pixels: np.ndarray,
    home: Path,
    progress: Callable[[str], None] = lambda _: None,
    seconds: float = math.inf,
) -> Choice:
    """Try every backend on pictures, and keep the fastest of those that agree in ``home``.

    ``encoder`` is loaded with the reference backend, ``pixels`` are (n, 3, h, w) uint8 as its
    ``prepare`` makes them, ``progress`` is told of each backend before it is tried. A backend
    agrees where the mean cosine to the reference is at least AGREEMENT and the recall@10, of
    queries by the backend among embeddings by the reference, at least RECALL. Fast is what takes
    the least processor time for a batch and for a query, as the product of both. With so many
    ``seconds`` by the clock, fewer pictures are tried where the reference is slow, and backends
    are left out for which no time is left; the one used by default never is. Raises EncoderError
    where there are too few pictures or seconds, or the folder cannot be written to.
    """
    if len(pixels) < _LEAST:
        raise EncoderError(f"{len(pixels)} pictures are too few to judge by; {_LEAST} will do.")
    network, started = encoder.network, time.perf_counter()
    assert network is not None and encoder.backend == REFERENCE
    progress(REFERENCE)
    pixels, each = _affordable(encoder.encode_pixels, pixels, seconds)
    reference, *costs = _measured(encoder.encode_pixels, pixels)
    trials = [_judge(REFERENCE, reference, reference, *costs)]
    models: dict[str, vino.Model] = {}
    usual, *_ = by_default(network)
    for name in _in_turn(candidates(network), usual, seconds):
        needed = each * _needed(name, len(pixels))
        if name != usual and time.perf_counter() - started + needed > seconds:
            trials.append(Trial(name, refused=_NO_TIME))
            continue
        progress(name)
        try:
            run = _made(name, network, pixels[:_LEARN], models)
            rows, *costs = _measured(run, pixels)
            trials.append(_judge(name, rows, reference, *costs))
        except (Unfit, RuntimeError, ImportError) as error:
            trials.append(Trial(name, refused=f"it does not run: {short(error)}"))
    others = [each for each in trials[1:] if each.backend != usual]
    if others and all(each.refused == _NO_TIME for each in others):
        raise _too_slow(seconds)
    best = max((each for each in trials if not each.refused), key=lambda x: x.speed / x.pair)
    files = _save(models[best.backend], home) if best.backend in models else {}
    facts = (encoder.fingerprint, machine(), len(pixels), tuple(trials), files, time.time())
    choice = Choice(best.backend, *facts)
    write_choice(home, choice)
    return choice


def _affordable(run: Run, pixels: np.ndarray, seconds: float) -> tuple[np.ndarray, float]:
    """Return so many of the pictures as there is time for, and the reference's seconds for one."""
    few = pixels[: min(_BATCH, 2 * cores())]
    run(few)  # what is done once only
    started = time.perf_counter()
    run(few)
    each = (time.perf_counter() - started) / len(few)
    number = max(_LEAST, int(min(len(pixels), seconds * _REFERENCE / each)))
    if number * each > seconds * 2 * _REFERENCE:
        raise _too_slow(seconds)
    return pixels[:number], each


def _too_slow(seconds: float) -> EncoderError:
    return EncoderError(f"The encoder is too slow to try ways to compute it in {seconds:.0f} s.")


def _in_turn(names: tuple[str, ...], usual: str, seconds: float) -> list[str]:
    """Return candidates in the order to try them in: where time is short, the best prospects first.

    These are what is used by default, so that nothing slower takes its place, and bf16, first of
    all on OpenVINO.
    """
    if math.isinf(seconds):
        return list(names)

    def prospects(name: str) -> tuple[bool, bool, bool]:
        return name != usual, not name.endswith("bf16"), not name.startswith("openvino")

    return sorted(names, key=prospects)


def _needed(name: str, pictures: int) -> float:
    """Return how long a backend is expected to take, in pictures computed by the reference."""
    precision = name.split()[-1]
    learning = _LEARNING if precision == "int8" else 0
    return _CANDIDATE.get(precision, 1.0) * pictures + learning


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


def _made(name: str, network: Network, pictures: np.ndarray, models: dict[str, vino.Model]) -> Run:
    """Make a backend, with its model noted in ``models`` if it has one; fp32 and bf16 share it."""
    if not name.startswith("openvino"):
        return build(name, network)
    if name == "openvino int8":
        models[name] = vino.convert(network, pictures)
    else:
        plain = (model for other, model in models.items() if other != "openvino int8")
        models[name] = next(plain, None) or vino.convert(network, None)
    return compiled(models[name], name)


def _judge(name: str, rows: np.ndarray, reference: np.ndarray, batch: float, pair: float) -> Trial:
    """Say how fast a backend is by the processor seconds of a batch and a pair, and how far off."""
    if not np.isfinite(rows).all():
        raise Unfit("its numbers overflow")
    cosines = (rows * reference).sum(axis=1)
    cosine, recall = float(cosines.mean()), recall_at(reference, rows)
    refused = ""
    if cosine < AGREEMENT:
        refused = f"its mean cosine is below {AGREEMENT}"
    elif recall < RECALL:
        refused = f"its recall@{_NEAREST} is below {RECALL}"
    return Trial(name, _BATCH / batch, 1000 * pair, cosine, float(cosines.min()), recall, refused)


def _measured(run: Run, pixels: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Embed pictures: their rows, and the least processor seconds of a full batch and of two."""
    batches = [pixels[at : at + _BATCH] for at in range(0, len(pixels), _BATCH)]
    done = [_timed(run, each) for each in batches]
    batch = min(took for (_, took), each in zip(done, batches, strict=True) if len(each) == _BATCH)
    pairs: list[float] = []
    while len(pairs) < 2 or (len(pairs) < _ROUNDS and sum(pairs) < _ENOUGH):
        pairs.append(_timed(run, pixels[:2])[1])
    return np.concatenate([rows for rows, _ in done]), batch, min(pairs)


def _timed(run: Run, pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """Embed pictures, and say how many processor seconds that took.

    Not by the clock: streams share the cores evenly, so that what costs least is fastest, and what
    else the machine does would choose at random.
    """
    started = time.process_time()
    rows = run(pixels)
    return rows, time.process_time() - started


def _save(model: vino.Model, home: Path) -> dict[str, str]:
    """Write a model under a name of its own, as another process may be reading the one before."""
    path = home / f"openvino-{secrets.token_hex(4)}.xml"
    try:
        vino.save(model, path)
        return {each.name: sha256_of(each) for each in (path, path.with_suffix(".bin"))}
    except (OSError, RuntimeError) as error:
        raise EncoderError(f"{home} cannot be written to ({short(error)}).") from error
