"""Jobs: started, followed live, stopped; their reports."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

from flask import Response, abort, flash, jsonify, redirect, render_template, request, send_file
from flask import url_for as url
from flask_babel import gettext
from werkzeug.wrappers import Response as Answer

from index.service.jobs import Job
from vision.errors import QueryError
from webapp.services import services
from webapp.staff.access import blueprint, desk, me, needs, note
from webapp.work import FOLDER, REJECTS, REPORT

KINDS = ("train", "tag", "evaluate", "rebuild")  # that are started by a button
_STREAM = 50.0  # seconds until a page has to ask again
_LOOK = 0.5  # seconds between two looks at a job

# The report is a page of its own with its style inside; nothing in it is run.
_REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
)


@blueprint.get("/jobs")
def jobs() -> str:
    """List the jobs, and offer new ones."""
    before = request.args.get("before", 0, type=int)
    listed = desk().jobs.latest(limit=30, before=before)
    return render_template("staff/jobs.html", jobs=listed, kinds=KINDS)


@blueprint.post("/jobs")
def start_job() -> Answer:
    """Start a job of one of the kinds that have a button."""
    kind = request.form.get("kind", "")
    if kind not in KINDS:
        abort(400)
    args: dict[str, object] = {}
    if kind in ("train", "evaluate"):
        args["precision"] = _precision(request.form.get("precision", "0.98"))
    return redirect(url("staff.job", number=begin(kind, args)), 303)


def begin(kind: str, args: dict[str, object]) -> int:
    """Put a job into the queue in the name of who is logged in."""
    number = desk().jobs.add(kind, args, who=me().name)
    note(f"started {kind}", str(number), **args)
    desk().foreman.wake()
    return number


def _precision(text: str) -> float:
    try:
        precision = float(text.replace(",", ".").strip(" %"))
    except ValueError:
        precision = -1.0
    precision = precision / 100 if precision > 1 else precision
    if not 0.5 <= precision <= 0.9999:
        raise QueryError(gettext("The share that must be right is from 50 to 99.99 percent."))
    return precision


@blueprint.get("/jobs/<int:number>")
def job(number: int) -> Answer | str:
    """Show one job, as it goes on."""
    found = desk().jobs.get(number)
    if found.kind == "check":
        return redirect(url("staff.preview", number=number), 303)
    report = (_folder(number) / REPORT).is_file()
    return render_template("staff/job.html", job=found, report=report)


@blueprint.get("/jobs/<int:number>.json")
def job_state(number: int) -> Response:
    """Return how far a job is."""
    return jsonify(_state(desk().jobs.get(number)))


@blueprint.get("/jobs/<int:number>/events")
def follow(number: int) -> Response:
    """Tell how far a job is whenever that changes, as server-sent events.

    Each page that follows has a thread; when too many do, the others are told to ask (204).
    """
    service = desk()
    service.jobs.get(number)  # tells if there is none
    if not service.streams.acquire(blocking=False):
        return Response(status=204)

    def events() -> Iterator[str]:
        try:
            last, until = "", time.monotonic() + _STREAM
            yield "retry: 1000\n\n"
            while time.monotonic() < until:
                found = service.jobs.get(number)
                text = json.dumps(_state(found))
                yield f"data: {text}\n\n" if text != last else ": still here\n\n"
                if found.over:
                    return
                last = text
                time.sleep(_LOOK)
        finally:
            service.streams.release()

    answer = Response(events(), mimetype="text/event-stream")
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Accel-Buffering"] = "no"
    return answer


def _state(found: Job) -> dict[str, object]:
    return {
        "state": found.state, "stage": found.stage, "done": found.done, "total": found.total,
        "cancelling": found.cancelling, "over": found.over, "text": progress_text(found),
    }  # fmt: skip


@blueprint.app_template_filter()
def progress_text(found: Job) -> str:
    """Return in words how far a job is."""
    if found.over:
        return state_name(found.state)
    if found.cancelling:
        return str(gettext("Stopping …"))
    if found.state == "queued":
        return str(gettext("Waiting for its turn"))
    stage = "train" if found.stage.startswith("train ") else found.stage
    stages = {
        "read": gettext("Reading the feed"), "add": gettext("Adding pictures"),
        "learn": gettext("Learning what is alike"), "tag": gettext("Tagging products"),
        "": gettext("Starting"), "train": gettext("Training"),
        "cross-validate": gettext("Asking about products held out"),
        "learning curve": gettext("Seeing what more labels would bring"),
    }  # fmt: skip
    name = stages.get(stage, gettext("Working"))
    return f"{name}: {found.done} / {found.total}" if found.total else str(name)


@blueprint.app_template_filter()
def state_name(state: str) -> str:
    """Return the name of a job's state."""
    names = {
        "queued": gettext("Waiting"), "running": gettext("Running"), "done": gettext("Finished"),
        "failed": gettext("Failed"), "cancelled": gettext("Stopped"),
    }  # fmt: skip
    return str(names.get(state, state))


@blueprint.app_template_filter()
def kind_name(kind: str) -> str:
    """Return the name of a kind of job."""
    names = {
        "check": gettext("Preview of a feed"), "import": gettext("Import"),
        "train": gettext("Training"), "tag": gettext("Tagging"),
        "evaluate": gettext("Evaluation"), "rebuild": gettext("New index"),
    }  # fmt: skip
    return str(names.get(kind, kind))


@blueprint.post("/jobs/<int:number>/cancel")
def cancel_job(number: int) -> Answer:
    """Stop a job."""
    desk().jobs.cancel(number)
    note("stopped job", str(number))
    flash(gettext("The job is being stopped. What it had written stays."))
    return redirect(url("staff.job", number=number), 303)


@blueprint.get("/jobs/<int:number>/rejects.csv")
def rejects(number: int) -> Response:
    """Send everything that a check or an import passed over, as CSV."""
    return _file(number, REJECTS, "text/csv")


@blueprint.get("/jobs/<int:number>/report")
@needs("viewer")
def report(number: int) -> Response:
    """Show the report of an evaluation."""
    answer = _file(number, REPORT, "text/html")
    answer.headers["Content-Security-Policy"] = _REPORT_POLICY
    return answer


def _file(number: int, name: str, kind: str) -> Response:
    path = _folder(number) / name
    if not path.is_file():
        abort(404)
    return send_file(path.resolve(), mimetype=kind, as_attachment=kind == "text/csv", max_age=0)


def _folder(number: int) -> Path:
    return services().catalogue.path / FOLDER / str(number)
