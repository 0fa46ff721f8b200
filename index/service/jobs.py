"""Jobs: long work that is asked for in a browser and done outside of the request.

They stand in a table of the catalogue's database. Whoever works on one holds a lease and renews it;
when its process is killed the lease runs out, and another worker takes the job up again. All kinds
of jobs can be taken up: what they have committed is not done twice. One job runs at a time, because
a catalogue has one writer.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Literal, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from index.service.tables import jobs
from index.store.database import transaction
from vision.errors import FindalikeError

State = Literal["queued", "running", "done", "failed", "cancelled"]
OVER: tuple[State, ...] = ("done", "failed", "cancelled")

LEASE = 30.0  # seconds
ATTEMPTS = 3  # how often a job is taken up before it is given up
GIVEN_UP = "The job was stopped three times before it was finished. Start it again if you like."


class JobError(FindalikeError):
    """A job that is not there, or cannot be done what is wished to it."""


class LostLease(JobError):
    """Somebody else works on the job now."""


@dataclass(frozen=True)
class Job:
    """One job. Times are Unix times in seconds, 0 where it did not come to that.

    ``done`` of ``total`` (0: not known) is how far the ``stage`` is. ``result`` is what the kind of
    job says, ``error`` why it failed, in words.
    """

    id: int
    kind: str
    args: dict[str, Any]
    who: str
    state: State
    created: float
    started: float
    finished: float
    stage: str
    done: int
    total: int
    attempts: int
    cancelling: bool
    result: dict[str, Any]
    error: str

    @property
    def over(self) -> bool:
        """Tell whether nothing more will happen."""
        return self.state in OVER

    @property
    def share(self) -> float | None:
        """Return how much of the stage is done, 0 to 1, None where that is not known."""
        return min(1.0, self.done / self.total) if self.total else None

    def as_dict(self) -> dict[str, Any]:
        """Return the job as documented in docs/staff.md."""
        return vars(self) | {"over": self.over}


class Jobs:
    """The jobs of a catalogue."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, kind: str, args: dict[str, Any], *, who: str) -> int:
        """Put a job at the end of the queue; return its number."""
        row = {
            "kind": kind, "args": json.dumps(args), "who": who, "state": "queued",
            "created": time.time(), "started": 0.0, "finished": 0.0, "stage": "", "done": 0,
            "total": 0, "worker": "", "lease": 0.0, "attempts": 0, "cancelling": False,
            "result": "{}", "error": "",
        }  # fmt: skip
        with transaction(self._engine, writes=True) as connection:
            added = connection.execute(sa.insert(jobs).values(row)).inserted_primary_key
            assert added is not None
            return int(added[0])

    def get(self, number: int) -> Job:
        """Return a job; raises JobError where there is none."""
        with transaction(self._engine) as connection:
            return _get(connection, number)

    def latest(self, *, limit: int = 50, kinds: tuple[str, ...] = (), before: int = 0) -> list[Job]:
        """Return the latest jobs first; with ``before`` those older than that one."""
        query = sa.select(jobs).order_by(jobs.c.id.desc()).limit(limit)
        query = query.where(jobs.c.kind.in_(kinds)) if kinds else query
        query = query.where(jobs.c.id < before) if before else query
        with transaction(self._engine) as connection:
            return [_job(row) for row in connection.execute(query)]

    def running(self) -> Job | None:
        """Return the job that is being worked on."""
        query = sa.select(jobs).where(jobs.c.state == "running").order_by(jobs.c.id)
        with transaction(self._engine) as connection:
            row = connection.execute(query).first()
        return None if row is None else _job(row)

    def waiting(self) -> bool:
        """Tell whether there is a job that a worker could take now."""
        with transaction(self._engine) as connection:
            return _next(connection) is not None

    def cancel(self, number: int) -> Job:
        """Stop a job: at once where it waits, and at the next step where it runs.

        What it has committed by then stays. Raises JobError where it is over.
        """
        with transaction(self._engine, writes=True) as connection:
            job = _get(connection, number)
            if job.over:
                raise JobError("This job is over; there is nothing to stop.")
            values: dict[str, Any] = {"cancelling": True}
            if job.state == "queued":
                values |= {"state": "cancelled", "finished": time.time()}
            connection.execute(sa.update(jobs).where(jobs.c.id == number).values(values))
            return _get(connection, number)

    # --- for workers ----------------------------------------------------------------------------

    def claim(self, worker: str, lease: float = LEASE) -> Job | None:
        """Take the next job, or one whose worker is gone; None where there is none to take.

        ``worker`` is a name that nobody else has. Who takes a job must call ``renew`` within
        ``lease`` seconds, again and again.
        """
        now = time.time()
        with transaction(self._engine, writes=True) as connection:
            while (row := _next(connection)) is not None:
                here = jobs.c.id == row.id
                over: dict[str, Any] = {"finished": now, "worker": "", "lease": 0.0}
                if row.cancelling:
                    over |= {"state": "cancelled"}
                elif row.attempts >= ATTEMPTS:
                    over |= {"state": "failed", "error": GIVEN_UP}
                else:
                    values = {
                        "state": "running", "worker": worker, "lease": now + lease,
                        "attempts": row.attempts + 1, "started": row.started or now,
                    }  # fmt: skip
                    connection.execute(sa.update(jobs).where(here).values(values))
                    return _get(connection, row.id)
                connection.execute(sa.update(jobs).where(here).values(over))
        return None

    def renew(
        self,
        number: int,
        worker: str,
        progress: tuple[str, int, int] | None = None,
        lease: float = LEASE,
    ) -> bool:
        """Keep a job and tell how far it is (stage, done, total); return whether to go on.

        False means that somebody wants it stopped. Raises LostLease where another has taken it.
        """
        values: dict[str, Any] = {"lease": time.time() + lease}
        if progress is not None:
            values |= dict(zip(("stage", "done", "total"), progress, strict=True))
        with transaction(self._engine, writes=True) as connection:
            self._mine(connection, number, worker, values)
            return not _get(connection, number).cancelling

    def finish(
        self,
        number: int,
        worker: str,
        state: State,
        *,
        result: dict[str, Any] | None = None,
        error: str = "",
    ) -> None:
        """Say how a job ended; raises LostLease where another has taken it."""
        values: dict[str, Any] = {
            "state": state, "finished": time.time(), "worker": "", "lease": 0.0, "error": error,
            "result": json.dumps(result or {}),
        }  # fmt: skip
        with transaction(self._engine, writes=True) as connection:
            self._mine(connection, number, worker, values)

    def release(self, worker: str) -> None:
        """Let go of the job that a worker held, so that another can take it up at once."""
        mine = sa.and_(jobs.c.worker == worker, jobs.c.state == "running")
        with transaction(self._engine, writes=True) as connection:
            connection.execute(sa.update(jobs).where(mine).values(lease=0.0))

    def _mine(
        self, connection: Connection, number: int, worker: str, values: dict[str, Any]
    ) -> None:
        mine = sa.and_(jobs.c.id == number, jobs.c.worker == worker, jobs.c.state == "running")
        if connection.execute(sa.update(jobs).where(mine).values(values)).rowcount == 0:
            raise LostLease("Another worker has taken this job up.")


def _next(connection: Connection) -> Any:
    """Return the job to be taken next: none while one is held."""
    now = time.time()
    held = sa.select(jobs.c.id).where(jobs.c.state == "running", jobs.c.lease >= now)
    if connection.execute(held).first() is not None:
        return None
    open_ = jobs.c.state.in_(("running", "queued"))
    return connection.execute(sa.select(jobs).where(open_).order_by(jobs.c.id)).first()


def _get(connection: Connection, number: int) -> Job:
    row = connection.execute(sa.select(jobs).where(jobs.c.id == number)).first()
    if row is None:
        raise JobError(f"There is no job {number}.")
    return _job(row)


def _job(row: Any) -> Job:
    return Job(
        row.id, row.kind, json.loads(row.args), row.who, cast(State, row.state), row.created,
        row.started, row.finished, row.stage, row.done, row.total, row.attempts,
        bool(row.cancelling), json.loads(row.result), row.error,
    )  # fmt: skip
