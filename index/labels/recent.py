"""The values that a person gave lately: likely to be wanted again."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from index.store.tables import labels

_LOOKED_AT = 300  # decisions


def recent_values(connection: Connection, who: str, most: int) -> dict[str, list[str]]:
    """Return the last distinct values that a person set, by axis, the latest first."""
    query = (
        sa.select(labels.c.axis, labels.c.value)
        .where(labels.c.who == who, labels.c.action == "set", labels.c.withdrawn == 0)
        .order_by(labels.c.id.desc())
        .limit(_LOOKED_AT)
    )
    found: dict[str, list[str]] = {}
    for axis, value in connection.execute(query):
        values = found.setdefault(axis, [])
        if value not in values and len(values) < most:
            values.append(value)
    return found
