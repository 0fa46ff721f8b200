"""Choosing how a catalogue's encoder is computed, by trial on the catalogue's own pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from index.changes.checking import ANY_SIZE
from index.store.place import BACKEND
from index.store.tables import embeddings
from vision.batches import ahead
from vision.choice import Choice, read_choice
from vision.errors import EncoderError
from vision.images import read_image

if TYPE_CHECKING:
    from index.catalogue import Catalogue

_PICTURES = 384


def choose_backend(
    catalogue: Catalogue, progress: Callable[[str], None] = lambda _: None
) -> Choice:
    """Try the ways to compute the encoder on up to 384 previews; the choice is kept for next time.

    No embedding changes: what agrees with the reference may be compared with all there is.
    ``progress`` is told of each backend before it is tried. Raises EncoderError where there are
    too few pictures, or the catalogue's folder cannot be written to.
    """
    from vision.encoder import Encoder
    from vision.networks.backends import REFERENCE
    from vision.trials import choose

    home = catalogue.path / BACKEND
    try:
        home.mkdir(exist_ok=True)
    except OSError as error:
        raise EncoderError(f"{home} cannot be made ({error.strerror}).") from error
    with catalogue.reading() as table:
        mine = sa.select(embeddings.c.sha256).where(
            embeddings.c.fingerprint == catalogue.fingerprint
        )
        hashes = table.connection.execute(mine.order_by(embeddings.c.sha256).limit(_PICTURES))
        previews = table.previews(hashes.scalars())
    encoder = Encoder.load(catalogue.encoder_spec, device="cpu", backend=REFERENCE)

    def prepare(preview: bytes) -> np.ndarray:
        scale = encoder.preprocess.scale
        return encoder.prepare(read_image(preview, at_least=scale, limits=ANY_SIZE))

    pixels = list(ahead([previews[each] for each in sorted(previews)], prepare))
    return choose(encoder, np.stack(pixels) if pixels else np.empty(0), home, progress)


def describe_choice(catalogue: Catalogue) -> dict[str, Any] | None:
    """Return the choice as documented for ``findalike info --json``, None where none was made."""
    choice = read_choice(catalogue.path / BACKEND)
    if choice is None:
        return None
    return choice.as_dict() | {
        "unfit": choice.unfit(catalogue.path / BACKEND, catalogue.fingerprint)
    }
