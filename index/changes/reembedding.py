"""Another encoder for a catalogue: every picture embedded anew beside the old, then one switch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import sqlalchemy as sa

from index.catalogue import Catalogue
from index.changes.checking import ANY_SIZE
from index.feeds import read_bytes
from index.progress import Progress, silent
from index.search.live import forget_calibration
from index.store.database import write_setting
from index.store.products import CHUNK, ProductTable, chunks
from index.store.tables import embedding_crc, embeddings, views
from vision.batches import Picture, ahead, decode
from vision.encoder import Encoder
from vision.errors import UnreadableImage
from vision.networks.backbones import resolve_spec

BATCH = 32  # pictures embedded and committed together


@dataclass(frozen=True)
class Reembedded:
    """What a change of encoder did.

    ``embedded`` pictures were embedded now, ``from_previews`` of them from the stored preview,
    because their file is gone or changed; ``known`` had been embedded before an interruption.
    ``switched`` is False where the catalogue had this very encoder already.
    """

    spec: str
    fingerprint: str
    embedded: int
    from_previews: int
    known: int
    switched: bool


@dataclass(frozen=True)
class _Source:
    """What a picture can be made from anew: where files of it lay, its preview, and its colour as
    it was described (float16, None where that is damaged).
    """

    sha256: str
    locations: Sequence[str]
    preview: bytes
    colour: np.ndarray | None


def reembed(
    catalogue: Catalogue, spec: str, *, batch: int = BATCH, progress: Progress = silent
) -> Reembedded:
    """Give a catalogue another encoder; products, labels and decisions stay.

    The new embeddings are committed batch by batch beside the old ones, which go on answering;
    after an interruption the same call goes on, and one with the present encoder drops what was
    begun. When all are there, one transaction switches over. After that everyone, the caller too,
    has to open the catalogue again. Raises CatalogueBusy while another process writes, EncoderError
    and MissingWeights for the spec.
    """
    encoder = Encoder.load(resolve_spec(spec))
    switched = encoder.fingerprint != catalogue.fingerprint
    embedded = from_previews = known = 0
    with catalogue.writing():
        if switched:
            _drop_damaged(catalogue, encoder.fingerprint)
            with catalogue.reading() as table:
                waiting, total = _waiting(table, encoder.fingerprint)
            known = total - len(waiting)
            progress("embed", known, total)
            sources = _sources(catalogue, waiting)
            made = ahead(sources, lambda each: _decode(each, encoder), depth=4 * batch)
            while run := list(islice(made, batch)):
                pixels = np.stack([picture.pixels for picture, _ in run])
                rows = encoder.encode_pixels(pixels)
                with catalogue.changing() as writer:
                    writer.add_images([picture for picture, _ in run], rows, encoder.fingerprint)
                embedded += len(run)
                from_previews += sum(small for _, small in run)
                progress("embed", known + embedded, total)
        _switch(catalogue, encoder)
        fresh = Catalogue(
            catalogue.path, catalogue.engine, encoder.spec, encoder.fingerprint, catalogue.identity
        )
        fresh.__dict__["encoder"] = encoder  # loaded already
        fresh.settle(learn=switched, progress=progress)
    return Reembedded(encoder.spec, encoder.fingerprint, embedded, from_previews, known, switched)


def _switch(catalogue: Catalogue, encoder: Encoder) -> None:
    """Make an encoder the catalogue's own and drop the embeddings of all others, all at once."""
    with catalogue.changing() as table:
        table.verify(encoder.fingerprint)
        if encoder.fingerprint != catalogue.fingerprint:
            table.next_generation()
            forget_calibration(table, catalogue.fingerprint)
        write_setting(table.connection, "encoder", encoder.spec)
        write_setting(table.connection, "fingerprint", encoder.fingerprint)
        others = embeddings.c.fingerprint != encoder.fingerprint
        table.connection.execute(sa.delete(embeddings).where(others))
        table.remove_unused_images()


def _drop_damaged(catalogue: Catalogue, fingerprint: str) -> None:
    """Drop what an earlier call embedded and does not match its checksum any more."""
    with catalogue.reading() as table:
        streamed = table.connection.execution_options(yield_per=CHUNK)
        mine = sa.select(embeddings).where(embeddings.c.fingerprint == fingerprint)
        bad = [row.sha256 for row in streamed.execute(mine) if embedding_crc(row) != row.crc]
    if bad:
        with catalogue.changing() as writer:
            for chunk in chunks(bad):
                writer.connection.execute(
                    sa.delete(embeddings).where(
                        embeddings.c.fingerprint == fingerprint, embeddings.c.sha256.in_(chunk)
                    )
                )


def _waiting(table: ProductTable, fingerprint: str) -> tuple[list[str], int]:
    """Return the SHA-256s of pictures without an embedding, and how many pictures there are."""
    query = sa.select(views.c.sha256).group_by(views.c.sha256).order_by(sa.func.min(views.c.id))
    shown = table.connection.execute(query).scalars().all()
    known = table.known_images(shown, fingerprint)
    return [each for each in shown if each not in known], len(shown)


def _sources(catalogue: Catalogue, waiting: Sequence[str]) -> Iterator[_Source]:
    """Yield what the catalogue knows of pictures, in their order."""
    for some in chunks(waiting):
        with catalogue.reading() as table:
            owners, previews = table.owners(some), table.previews(some)
            colours = _colours(table, some, catalogue.fingerprint)
        for each in some:
            locations = [location for _, location in owners[each]]
            yield _Source(each, locations, previews[each], colours.get(each))


def _colours(table: ProductTable, hashes: Sequence[str], fingerprint: str) -> dict[str, np.ndarray]:
    """Return the colours that are stored with embeddings: no encoder has a say in them."""
    query = sa.select(embeddings).where(
        embeddings.c.fingerprint == fingerprint, embeddings.c.sha256.in_(hashes)
    )
    return {
        row.sha256: np.frombuffer(row.colour, dtype="<f2")
        for row in table.connection.execute(query)
        if embedding_crc(row) == row.crc
    }


def _decode(source: _Source, encoder: Encoder) -> tuple[Picture, bool]:
    """Return a picture from its file, or else its preview, and whether it was the preview."""
    picture, small = _from_file(source, encoder), False
    if picture is None:
        picture, small = decode(source.preview, encoder, ANY_SIZE), True
    colour = picture.colour if source.colour is None else source.colour
    return replace(picture, sha256=source.sha256, colour=colour), small


def _from_file(source: _Source, encoder: Encoder) -> Picture | None:
    """Return a picture from any file that still has its bytes, None where there is none."""
    for location in source.locations:
        try:
            data = read_bytes(location, ANY_SIZE.max_bytes)
            if hashlib.sha256(data).hexdigest() == source.sha256:
                return decode(data, encoder, ANY_SIZE)
        except UnreadableImage:
            continue
    return None
