"""Files of a run that are whole or not there: the checkpoint, the settings, the log."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import torch

from assets.training.options import TrainingError

_CHECKPOINT, _SETTINGS, _LOG = "checkpoint.pt", "settings.json", "log.csv"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Put a checkpoint of tensors and plain values in place of the last, in one step."""
    part = folder / f"{_CHECKPOINT}.part"
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / _CHECKPOINT)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the checkpoint of a run, None where there is none yet; raises TrainingError."""
    path = folder / _CHECKPOINT
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpicklers raise almost anything
        raise TrainingError(f"{path} is damaged; remove it to begin again ({error}).") from error
    return state


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write settings.json in one step."""
    part = folder / f"{_SETTINGS}.part"
    part.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    part.replace(folder / _SETTINGS)


class Log:
    """The file log.csv: a line every so many steps, and none of steps that will come again."""

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / _LOG
        kept: list[dict[str, str]] = []
        if self.path.is_file():
            with self.path.open(encoding="utf-8", newline="") as file:
                # A line cut off by a crash has no number of a step, or fields missing.
                kept = [row for row in csv.DictReader(file) if None not in row.values()]
            kept = [row for row in kept if row["step"].isdigit() and int(row["step"]) <= step]
            self.path.unlink()
        for row in kept:
            self.add(row)

    def add(self, row: dict[str, Any]) -> None:
        """Append a line; the first gives the columns."""
        new = not self.path.is_file()
        with self.path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
