"""The heads of a catalogue: files of their own beside it, in versions, one of them in use."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Connection

from index.store.database import read_setting, write_setting
from index.store.writing import ProductWriter
from vision.categories import compose
from vision.errors import HeadError

if TYPE_CHECKING:
    from vision.head import Head
    from vision.taxonomy import Taxonomy

HEADS = "heads"  # the folder
_SETTING = "heads"
_NOTHING_ACCEPTED = {"coverage": 0.0, "precision": None}


@dataclass(frozen=True)
class Shelved:
    """What the database knows of one head: the digest of its files, and where the categories that
    it learnt have moved since."""

    digest: str
    moves: dict[str, str]


@dataclass(frozen=True)
class Register:
    """The heads of a catalogue by version, oldest first, and the version in use ("" for none)."""

    current: str
    heads: dict[str, Shelved]


class HeadShelf:
    """The heads of one catalogue as this process holds them."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder / HEADS
        self._fingerprint = fingerprint
        self._guard = threading.Lock()
        self._loaded: tuple[str, Shelved, Head] | None = None

    def current(self, connection: Connection, taxonomy: Taxonomy) -> tuple[Head, str]:
        """Return the head in use and its version.

        Raises HeadError where there is none, its files are damaged, or it was trained for another
        encoder or for categories that are gone.
        """
        register = read_register(connection)
        version = register.current
        if not version:
            raise HeadError(
                "Nothing has been learnt yet. Label some products, by their feed or with "
                "findalike review import, then run findalike train."
            )
        shelved = register.heads[version]
        with self._guard:
            loaded = self._loaded
            if loaded is None or loaded[:2] != (version, shelved):
                head = self.load(version, shelved)
                loaded = self._loaded = (version, shelved, head)
        head = loaded[2]
        strange = [path for path in head.categories if path not in taxonomy]
        if strange:
            raise HeadError(
                f'Head {version} was trained for another taxonomy: "{strange[0]}"'
                + (f" and {len(strange) - 1} more are" if len(strange) > 1 else " is")
                + " not in this one. Run findalike train."
            )
        return head, version

    def load(self, version: str, shelved: Shelved) -> Head:
        """Read one version from its files, with its categories as they are called now."""
        from vision.head import Head  # loads torch, which most commands can do without

        path = self.folder / f"{version}.json"
        head = Head.load(path, digest=shelved.digest, fingerprint=self._fingerprint)
        return head.renamed(shelved.moves) if shelved.moves else head

    def describe(self, version: str, shelved: Shelved) -> dict[str, Any]:
        """Return what is known of one version, or under "fault" why it cannot be used."""
        try:
            return describe_head(self.load(version, shelved))
        except HeadError as error:
            return {"fault": str(error)}

    def add(self, table: ProductWriter, head: Head) -> str:
        """Write a head as the next version and use it from the end of the transaction on."""
        register = read_register(table.connection)
        taken = [int(each) for each in register.heads] + [
            int(path.stem) for path in self.folder.glob("*.json") if path.stem.isdecimal()
        ]
        version = str(max(taken, default=0) + 1)
        self.folder.mkdir(exist_ok=True)
        digest = head.save(self.folder / f"{version}.json")
        heads = register.heads | {version: Shelved(digest, {})}
        write_register(table.connection, Register(version, heads))
        return version

    def use(self, table: ProductWriter, version: str) -> None:
        """Use another version from now on."""
        register = read_register(table.connection)
        self._require(register, version)
        self.load(version, register.heads[version])  # a damaged one is not taken
        write_register(table.connection, Register(version, register.heads))

    def remove(self, table: ProductWriter, version: str) -> None:
        """Forget a version that is not in use, and delete its files."""
        register = read_register(table.connection)
        self._require(register, version)
        if version == register.current:
            raise HeadError(f"Head {version} is in use. Use another first: findalike heads use N")
        heads = {each: kept for each, kept in register.heads.items() if each != version}
        write_register(table.connection, Register(register.current, heads))
        for path in self.folder.glob(f"{version}.*"):
            with contextlib.suppress(OSError):
                path.unlink()

    def _require(self, register: Register, version: str) -> None:
        if version not in register.heads:
            there = ", ".join(register.heads) or "none"
            raise HeadError(f'There is no head "{version}"; there are: {there}.')


def read_register(connection: Connection) -> Register:
    """Return which heads there are."""
    stored: Any = read_setting(connection, _SETTING) or {"current": "", "heads": {}}
    heads = {version: Shelved(**each) for version, each in stored["heads"].items()}
    return Register(stored["current"], heads)


def write_register(connection: Connection, register: Register) -> None:
    """Store which heads there are."""
    heads = {version: vars(each) for version, each in register.heads.items()}
    write_setting(connection, _SETTING, {"current": register.current, "heads": heads})


def move_heads(connection: Connection, moves: Mapping[str, str]) -> None:
    """Let every head know that categories moved."""
    register = read_register(connection)
    if register.heads:
        heads = {
            version: Shelved(each.digest, compose(each.moves, moves))
            for version, each in register.heads.items()
        }
        write_register(connection, Register(register.current, heads))


def describe_head(head: Head) -> dict[str, Any]:
    """Return what a head learnt from and how well it does, as documented in docs/tagging.md."""
    axes: dict[str, Any] = {}
    for axis, each in head.axes.items():
        figures = dict(each.figures)
        counts = head.counts.get(axis, {})
        measured = each.curve.measured(head.precision) if each.curve else _NOTHING_ACCEPTED
        axes[axis] = {
            "examples": sum(counts.values()),
            "classes": len(dict.fromkeys(each.classes)),
            "experts": {name: round(weight, 3) for name, weight in each.weights.items()},
            "settings": figures.get("settings"),
            **{
                name: figures.get(name)
                for name in ("accuracy", "top3", "calibration_error", "note")
            },
            "coverage": measured["coverage"],
            "accepted_precision": measured["precision"],
        }
    return {
        "time": head.time,
        "fingerprint": head.fingerprint,
        "precision": head.precision,
        "seed": head.seed,
        "axes": axes,
        "skipped": dict(head.skipped),
    }
