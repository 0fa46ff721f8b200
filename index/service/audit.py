"""The audit log: who did what on the staff pages, when. Lines are added, never changed."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from index.service.tables import audit
from index.store.database import transaction


@dataclass(frozen=True)
class Entry:
    """One line: at ``time`` (Unix time) ``who`` did ``action`` to ``about``."""

    id: int
    time: float
    who: str
    action: str
    about: str
    detail: dict[str, Any]


class AuditLog:
    """The audit log of a catalogue."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def note(self, who: str, action: str, about: str = "", **detail: Any) -> None:
        """Add a line."""
        self.note_all(who, action, [(about, detail)])

    def note_all(self, who: str, action: str, lines: list[tuple[str, dict[str, Any]]]) -> None:
        """Add several lines, each of what it is about and its detail, at once."""
        now = time.time()
        rows = [
            {
                "time": now,
                "who": who,
                "action": action,
                "about": about,
                "detail": json.dumps(detail, ensure_ascii=False),
            }
            for about, detail in lines
        ]
        if rows:
            with transaction(self._engine, writes=True) as connection:
                connection.execute(sa.insert(audit), rows)

    def entries(
        self, *, who: str = "", action: str = "", about: str = "", before: int = 0, limit: int = 100
    ) -> list[Entry]:
        """Return the latest lines first; with ``before`` those older than that line."""
        query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
        for column, value in ((audit.c.who, who), (audit.c.action, action), (audit.c.about, about)):
            query = query.where(column == value) if value else query
        query = query.where(audit.c.id < before) if before else query
        with transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        return [
            Entry(row.id, row.time, row.who, row.action, row.about, json.loads(row.detail))
            for row in rows
        ]

    def actions(self) -> list[str]:
        """Return the actions that there are, in alphabetical order."""
        query = sa.select(audit.c.action).distinct().order_by(audit.c.action)
        with transaction(self._engine) as connection:
            return list(connection.execute(query).scalars())
