"""Jobs: their queue and leases, what the kinds do, and workers that are killed."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

import index.service.jobs
from index.catalogue import Catalogue
from index.service.jobs import ATTEMPTS, GIVEN_UP, Job, JobError, Jobs, LostLease
from webapp import work
from webapp.foreman import Foreman
from webapp.work import KINDS, UPLOADS, work_off

ROOT = Path(__file__).parent.parent


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> tiny.Clock:
    made = tiny.Clock()
    monkeypatch.setattr(index.service.jobs, "time", made)
    return made


@pytest.fixture
def jobs(catalogue: Catalogue) -> Jobs:
    return Jobs(catalogue.engine)


def upload(catalogue: Catalogue, content: bytes, name: str = "feed.zip") -> dict[str, Any]:
    """Put a feed where the staff pages put them; return a job's arguments."""
    token = "0" * 32
    folder = catalogue.path / UPLOADS / token
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    return {"upload": token, "files": [name], "name": name}


def packed(count: int, start: int = 100, bad: int = 0) -> bytes:
    """Return a ZIP with a feed of products, and rows whose picture is missing."""
    file, rows = io.BytesIO(), io.StringIO()
    writer = csv.writer(rows)
    writer.writerow(["product_id", "image_path", *tiny.product_row(0)])
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(start, start + count):
            picture = io.BytesIO()
            tiny.draw(number).save(picture, "PNG")
            archive.writestr(f"{number}.png", picture.getvalue())
            writer.writerow([f"p{number}", f"{number}.png", *tiny.product_row(number).values()])
        for number in range(bad):
            writer.writerow([f"bad{number}", "gone.png", *tiny.product_row(0).values()])
        archive.writestr("feed.csv", rows.getvalue())
    return file.getvalue()


# --- the queue ----------------------------------------------------------------------------------


def test_one_at_a_time_in_their_order(jobs: Jobs) -> None:
    assert not jobs.waiting()
    first, second = (jobs.add("tag", {"n": number}, who="ada") for number in (1, 2))
    assert jobs.waiting()
    job = jobs.claim("a")
    assert job is not None
    assert (job.id, job.kind, job.args, job.who, job.state) == (
        first, "tag", {"n": 1}, "ada", "running",
    )  # fmt: skip
    assert jobs.claim("b") is None
    assert not jobs.waiting()
    assert jobs.renew(first, "a", ("add", 3, 12))
    assert jobs.get(first).share == 0.25
    assert jobs.running() == jobs.get(first)
    jobs.finish(first, "a", "done", result={"added": 3})
    done = jobs.get(first)
    assert (done.over, done.state, done.result) == (True, "done", {"added": 3})
    then = jobs.claim("b")
    assert then is not None
    assert then.id == second
    assert [each.id for each in jobs.latest()] == [second, first]
    assert jobs.latest(before=second) == [done]
    assert jobs.latest(kinds=("train",)) == []


def test_a_lease_that_ran_out_is_taken_over(jobs: Jobs, clock: tiny.Clock) -> None:
    number = jobs.add("tag", {}, who="ada")
    assert jobs.claim("a", 10) is not None
    clock.now += 9
    assert jobs.renew(number, "a", lease=10)
    clock.now += 9
    assert jobs.claim("b", 10) is None
    clock.now += 2
    job = jobs.claim("b", 10)
    assert job is not None
    assert (job.id, job.attempts) == (number, 2)
    for late in (lambda: jobs.renew(number, "a"), lambda: jobs.finish(number, "a", "done")):
        with pytest.raises(LostLease):
            late()
    jobs.release("b")
    assert jobs.claim("c", 10) is not None
    jobs.release("c")
    assert jobs.claim("d", 10) is None
    assert jobs.get(number).state == "failed"
    assert jobs.get(number).error == GIVEN_UP
    assert jobs.get(number).attempts == ATTEMPTS


def test_stopping(jobs: Jobs) -> None:
    first, second = jobs.add("tag", {}, who="ada"), jobs.add("tag", {}, who="ada")
    assert jobs.cancel(second).state == "cancelled"
    assert jobs.claim("a") is not None
    assert jobs.cancel(first).cancelling
    assert not jobs.renew(first, "a")
    jobs.release("a")  # its worker went away before it could say so
    assert jobs.claim("b") is None
    assert jobs.get(first).state == "cancelled"
    for number, said in ((first, "over"), (999, "no job")):
        with pytest.raises(JobError, match=said):
            jobs.cancel(number)


def test_what_programs_are_told(jobs: Jobs) -> None:
    told = jobs.get(jobs.add("tag", {}, who="ada")).as_dict()
    assert json.loads(json.dumps(told))["state"] == "queued"
    assert told["over"] is False


# --- the kinds ----------------------------------------------------------------------------------


def done(jobs: Jobs, catalogue: Catalogue, kind: str, **args: Any) -> Job:
    number = jobs.add(kind, args, who="ada")
    work_off(catalogue.path, "here")
    return jobs.get(number)


def test_a_feed_is_looked_at_and_then_imported(catalogue: Catalogue, jobs: Jobs) -> None:
    args = upload(catalogue, packed(15, start=20, bad=3))  # four of them are there already
    seen = done(jobs, catalogue, "check", **args)
    assert seen.state == "done", seen.error
    assert (seen.result["products"], seen.result["known"]) == (15, 4)
    assert len(seen.result["rows"]) == 12
    assert seen.result["rows"][0]["title"] == "Product 20"
    assert seen.result["rejected"] == 3
    assert catalogue.info()["products"] == 24
    brought = done(jobs, catalogue, "import", **args)
    assert brought.state == "done", brought.error
    assert brought.result["added"] == 11
    assert brought.result["rejected"] == 3
    assert "tagged" not in brought.result
    assert catalogue.info()["products"] == 35
    with (catalogue.path / "jobs" / str(brought.id) / "rejects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert {row["source"] for row in rows} <= {"feed.zip", "feed.csv"}
    assert str(catalogue.path) not in json.dumps(brought.as_dict())


def test_training_tags_and_import_tags_too(catalogue: Catalogue, jobs: Jobs) -> None:
    taught = done(jobs, catalogue, "train", precision=0.9)
    assert taught.state == "done", taught.error
    assert taught.result["version"] == "1"
    assert taught.result["head"]["precision"] == 0.9
    assert taught.result["tagged"]["unchanged"] == 24  # all were held out in training
    assert done(jobs, catalogue, "tag").result["unchanged"] == 24
    brought = done(jobs, catalogue, "import", **upload(catalogue, packed(2)))
    assert brought.result["tagged"]["predicted"] == 2


def test_an_evaluation_leaves_a_report(catalogue: Catalogue, jobs: Jobs) -> None:
    measured = done(jobs, catalogue, "evaluate", precision=0.9)
    assert measured.state == "done", measured.error
    assert "category" in measured.result["axes"]
    report = (catalogue.path / "jobs" / str(measured.id) / "report.html").read_text()
    assert "<!doctype html>" in report
    assert done(jobs, catalogue, "rebuild").result == {"products": 24}


def test_what_fails_says_so(
    catalogue: Catalogue, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    failed = done(jobs, catalogue, "check", **upload(catalogue, b"no archive"))
    assert failed.state == "failed"
    assert "ZIP" in failed.error
    monkeypatch.setitem(KINDS, "tag", lambda task: 1 // 0)
    broken = done(jobs, catalogue, "tag")
    assert broken.state == "failed"
    assert "division" not in broken.error  # that is for the log
    assert "ZeroDivisionError" in caplog.text


def test_a_job_stops_at_its_next_step(catalogue: Catalogue, jobs: Jobs, monkeypatch: Any) -> None:
    steps: list[int] = []

    def long(task: work.Task) -> dict[str, Any]:
        for step in range(1000):
            steps.append(step)
            if step == 3:
                jobs.cancel(task.job.id)
            task.progress("add", step, 1000)
            time.sleep(0.01)
        return {}

    monkeypatch.setitem(KINDS, "tag", long)
    monkeypatch.setattr(work, "_STEP", 0.0)
    assert done(jobs, catalogue, "tag").state == "cancelled"
    assert len(steps) == 4


def test_a_job_that_takes_long_from_step_to_step_keeps_its_lease(
    catalogue: Catalogue, jobs: Jobs, monkeypatch: Any
) -> None:
    def slow(task: work.Task) -> dict[str, Any]:
        task.progress("learn", 0, 1)
        time.sleep(1.2)
        assert jobs.claim("another", 0.3) is None
        return {}

    monkeypatch.setitem(KINDS, "tag", slow)
    number = jobs.add("tag", {}, who="ada")
    work_off(catalogue.path, "here", lease=0.5)
    assert jobs.get(number).state == "done"
    assert jobs.get(number).attempts == 1


# --- workers ------------------------------------------------------------------------------------


class TinyWorker:
    """A worker in a child that has the tiny encoder; see ``Foreman.hire``."""

    def __init__(self, path: Path, name: str, **env: str) -> None:
        self.child = tiny.Child(work_off, (path, name, 2.0), folder=path.parent, env=env)

    def running(self) -> bool:
        return self.child.process.is_alive()

    def end(self) -> None:
        self.child.kill(signal.SIGKILL)
        self.child.process.join()


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.05)


@pytest.fixture
def foreman(catalogue: Catalogue, jobs: Jobs) -> Iterator[Callable[..., Foreman]]:
    made: list[Foreman] = []

    def start(**env: str) -> Foreman:
        each = Foreman(catalogue.path, jobs)
        each.hire = lambda path, name: TinyWorker(path, name, **env)
        each.start()
        made.append(each)
        return each

    yield start
    for each in made:
        each.close()


def test_a_foreman_has_jobs_done(
    catalogue: Catalogue, jobs: Jobs, foreman: Callable[..., Foreman]
) -> None:
    boss = foreman()
    for _ in range(2):  # a second worker after the first has gone home
        number = jobs.add("rebuild", {}, who="ada")
        boss.wake()
        eventually(lambda number=number: jobs.get(number).over)
        assert jobs.get(number).state == "done", jobs.get(number).error


def test_a_job_goes_on_after_the_server_was_killed(
    catalogue: Catalogue, jobs: Jobs, foreman: Callable[..., Foreman], tmp_path: Path
) -> None:
    log = tmp_path / "embedded"
    number = jobs.add("import", upload(catalogue, packed(100)), who="ada")
    first = foreman(**{tiny.LOG: str(log), tiny.DELAY: "0.5"})
    eventually(lambda: tiny.embedded(log) >= 32 and jobs.get(number).done > 0)
    first.close()  # kills the worker
    assert jobs.waiting()  # nobody has to wait for the lease
    found = jobs.get(number)
    assert found.state == "running"
    there = catalogue.info()["products"]
    assert 24 < there < 124
    foreman(**{tiny.LOG: str(log)})
    eventually(lambda: jobs.get(number).over)
    found = jobs.get(number)
    assert (found.state, found.attempts) == ("done", 2), found.error
    assert catalogue.info()["products"] == 124
    assert found.result["added"] + found.result["unchanged"] == 100
    assert tiny.embedded(log) <= 100 + 2 * 32


def test_a_worker_that_dies_alone_is_replaced(
    catalogue: Catalogue, jobs: Jobs, foreman: Callable[..., Foreman], tmp_path: Path
) -> None:
    log = tmp_path / "embedded"
    number = jobs.add("import", upload(catalogue, packed(64)), who="ada")
    boss = foreman(**{tiny.LOG: str(log), tiny.DELAY: "0.3"})
    eventually(lambda: tiny.embedded(log) >= 32)
    assert isinstance(boss._worker, TinyWorker)
    boss._worker.child.kill(signal.SIGKILL)
    eventually(lambda: jobs.get(number).over)
    assert jobs.get(number).state == "done", jobs.get(number).error
    assert catalogue.info()["products"] == 88


def test_stopping_an_import_keeps_what_was_committed(
    catalogue: Catalogue, jobs: Jobs, foreman: Callable[..., Foreman], tmp_path: Path
) -> None:
    log = tmp_path / "embedded"
    number = jobs.add("import", upload(catalogue, packed(100)), who="ada")
    foreman(**{tiny.LOG: str(log), tiny.DELAY: "0.5"})
    eventually(lambda: jobs.get(number).done > 0)
    jobs.cancel(number)
    eventually(lambda: jobs.get(number).over)
    assert jobs.get(number).state == "cancelled"
    assert 24 < catalogue.info()["products"] < 124
    with catalogue.reading() as table:
        table.verify(catalogue.fingerprint)


def start_worker(catalogue: Catalogue, name: str) -> subprocess.Popen[bytes]:
    """Start the worker's own process, as the foreman does; checks need no encoder."""
    return subprocess.Popen(
        [sys.executable, "-c", "from webapp.work import main; main()", str(catalogue.path), name],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_the_worker_of_a_server_that_is_gone_goes_too(catalogue: Catalogue, jobs: Jobs) -> None:
    row = "x{n},gone.png,A title\n"
    feed = "id,image_path,title\n" + "".join(row.format(n=number) for number in range(400_000))
    number = jobs.add("check", upload(catalogue, feed.encode(), "feed.csv"), who="ada")
    worker = start_worker(catalogue, "w")
    try:
        eventually(lambda: jobs.get(number).state == "running")
        assert worker.stdin is not None
        worker.stdin.close()  # which is what the kernel does when the server is killed
        assert worker.wait(20) == 1
        eventually(jobs.waiting, 5)  # it let go of its lease
    finally:
        worker.kill()
        worker.wait()
    assert not jobs.get(number).over


def test_the_workers_own_process(catalogue: Catalogue, jobs: Jobs) -> None:
    number = jobs.add("check", upload(catalogue, packed(3)), who="ada")
    with start_worker(catalogue, "w") as worker:
        assert worker.wait(60) == 0
    assert jobs.get(number).result["products"] == 3
