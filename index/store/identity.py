"""Whose a catalogue is: its identity and its encoder, written once when it is made."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from index.store.database import read_setting, transaction, write_setting
from index.store.products import ProductTable
from index.store.tables import damaged
from vision.errors import EncoderExchanged

if TYPE_CHECKING:
    from vision.encoder import Encoder


def require_encoder(connection: Connection, fingerprint: str) -> None:
    """Raise EncoderExchanged where the catalogue was given another encoder since it was opened."""
    if read_setting(connection, "fingerprint") != fingerprint:
        raise EncoderExchanged("The catalogue was given another encoder meanwhile. Open it again.")


def introduce(engine: sa.Engine, load: Callable[[], Encoder]) -> None:
    """Write into a new catalogue whose it is and which encoder it has, unless that is known."""
    with transaction(engine) as connection:
        if read_setting(connection, "encoder") is not None:
            return
    encoder = load()
    with transaction(engine, writes=True) as connection:
        if read_setting(connection, "encoder") is not None:
            return  # another process was faster
        if any(ProductTable(connection).counts().values()):
            raise damaged("it does not say which encoder it has", mendable=False)
        write_setting(connection, "identity", uuid.uuid4().hex)
        write_setting(connection, "encoder", encoder.spec)
        write_setting(connection, "fingerprint", encoder.fingerprint)
