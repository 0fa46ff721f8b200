"""The choice of a backend for one encoder on one machine, kept in a folder with what it needs."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vision.errors import EncoderError
from vision.threads import cores

_NOTE = "backend.json"
_ABILITIES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


@dataclass(frozen=True)
class Trial:
    """What one backend did on the catalogue's pictures.

    ``speed`` is pictures per processor second in batches of 32, ``pair`` the processor milliseconds
    of a query's two;
    ``cosine`` the mean and ``least`` the least cosine to the reference; ``recall`` the share of the
    reference's ten nearest pictures that it finds among the reference's embeddings. ``refused``
    says why it may not be used, "" if it may.
    """

    backend: str
    speed: float = 0.0
    pair: float = 0.0
    cosine: float = 0.0
    least: float = 0.0
    recall: float = 0.0
    refused: str = ""


@dataclass(frozen=True)
class Choice:
    """The backend to use for the encoder with ``fingerprint`` on ``machine``, and its grounds.

    ``files`` are what the backend is read from, with their hex SHA-256, in the choice's folder;
    ``pictures`` is how many were tried, ``time`` the Unix time when.
    """

    backend: str
    fingerprint: str
    machine: str
    pictures: int
    trials: tuple[Trial, ...]
    files: dict[str, str]
    time: float = 0.0

    @property
    def trial(self) -> Trial:
        """Return what the chosen backend did."""
        return next(each for each in self.trials if each.backend == self.backend)

    def unfit(self, home: Path, fingerprint: str) -> str:
        """Say why the choice cannot be used here and now, or "" if it can."""
        if self.fingerprint != fingerprint:
            return "it was made for another encoder"
        if self.machine != machine():
            return f"it was made on {self.machine}"
        for name, sha256 in self.files.items():
            try:
                with (home / name).open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                        return f"{name} is damaged"
            except OSError:
                return f"{name} is gone"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Return the choice as plain JSON values."""
        return asdict(self)


def read_choice(home: Path | None) -> Choice | None:
    """Return the choice that lies in a folder; None if there is none, or it cannot be read."""
    if home is None:
        return None
    try:
        facts = json.loads((home / _NOTE).read_text(encoding="utf-8"))
        trials = tuple(Trial(**each) for each in facts.pop("trials"))
        choice = Choice(**facts, trials=trials)
        _ = choice.trial
        return choice
    except (OSError, ValueError, TypeError, KeyError, AttributeError, StopIteration):
        return None


def write_choice(home: Path, choice: Choice) -> None:
    """Put a choice in its folder in place of the one before, whose files go.

    Raises EncoderError where the folder cannot be written to.
    """
    note, temporary = home / _NOTE, home / f"{_NOTE}.tmp"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(choice.as_dict(), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(note)
    except OSError as error:
        raise EncoderError(f"{home} cannot be written to ({error.strerror}).") from error
    for path in home.iterdir():
        if path.suffix in (".xml", ".bin") and path.name not in choice.files:
            with contextlib.suppress(OSError):
                path.unlink()


def machine() -> str:
    """Describe what a measurement depends on: processor, cores, versions of the libraries."""
    name, flags = platform.processor() or platform.machine(), ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        facts = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}
        name, flags = facts.get("model name", name), facts.get("flags", "")
    able = " ".join(each for each in _ABILITIES if each in flags.split())
    versions = [f"{each} {_version(each)}" for each in ("torch", "openvino") if _version(each)]
    return ", ".join([name, f"{cores()} cores", *([able] if able else []), *versions])


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""
