"""How long work tells how far it has come."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]  # stage, done, total (0: not known)


def silent(_stage: str, _done: int, _total: int) -> None:
    """Take no notice of progress."""
