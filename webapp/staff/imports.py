"""Imports: a feed is uploaded, looked at, and only then put into the catalogue; exports."""

from __future__ import annotations

import io
import re
import secrets
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

from flask import Response, abort, flash, jsonify, redirect, render_template, request, send_file
from flask import url_for as url
from flask_babel import gettext
from werkzeug.wrappers import Response as Answer

from index.changes.upkeep import export_products
from index.service.jobs import Job
from vision.errors import FeedError
from webapp.services import services
from webapp.staff.access import blueprint, desk, note, wants_json
from webapp.staff.jobs import begin
from webapp.work import UPLOADS, forget_upload, sweep_uploads

PART = 8 * 2**20  # bytes that the page's script sends at once
_SUFFIXES = (".zip", ".csv", ".tsv", ".txt", ".jsonl", ".ndjson")
_TOKEN = re.compile(r"[0-9a-f]{32}")
_BLOCK = 2**20


@blueprint.get("/imports")
def imports() -> str:
    """Offer to upload a feed, and list what was imported."""
    done = desk().jobs.latest(kinds=("check", "import"), limit=20)
    return render_template("staff/imports.html", jobs=done, suffixes=_SUFFIXES, part=PART)


@blueprint.post("/imports")
def upload() -> Answer | Response:
    """Take a feed that comes in one piece, from a plain form, and have it checked."""
    file = request.files.get("feed")
    if file is None or not file.filename:
        raise FeedError(gettext("Choose a file first."))
    token, path = _new(file.filename)
    _append(path, file.stream, 0)
    return _check(token, path.name, file.filename)


@blueprint.post("/imports/parts")
def begin_upload() -> Response:
    """Begin a feed that comes in parts; return its token."""
    token, path = _new(request.form.get("name", ""))
    return jsonify(token=token, file=path.name, part=PART)


@blueprint.post("/imports/parts/<token>")
def take_part(token: str) -> Response:
    """Take the next part of a feed: the body is its bytes, ``offset`` where it belongs."""
    path = _path(token)
    offset = request.args.get("offset", -1, type=int)
    size = path.stat().st_size
    if offset != size:  # sent twice, or one was lost
        return jsonify(size=size)
    _append(path, request.stream, offset)
    return jsonify(size=path.stat().st_size)


@blueprint.post("/imports/parts/<token>/end")
def end_upload(token: str) -> Answer | Response:
    """Have a feed checked that has come whole."""
    path = _path(token)
    return _check(token, path.name, request.form.get("name", ""))


def _new(name: str) -> tuple[str, Path]:
    """Make the place for a feed; of the name that the client gives only the kind is used."""
    suffix = next((each for each in _SUFFIXES if name.lower().endswith(each)), None)
    if suffix is None:
        kinds = ", ".join(_SUFFIXES)
        raise FeedError(gettext("This is not a feed. Send one of %(kinds)s.", kinds=kinds))
    sweep_uploads(services().catalogue.path, desk().jobs)
    token = secrets.token_hex(16)
    folder = services().catalogue.path / UPLOADS / token
    folder.mkdir(mode=0o700, parents=True)
    path = folder / f"feed{suffix}"
    path.touch(mode=0o600)
    return token, path


def _path(token: str) -> Path:
    if not _TOKEN.fullmatch(token):
        abort(404)
    found = list((services().catalogue.path / UPLOADS / token).glob("feed.*"))
    if len(found) != 1:
        abort(404)
    return found[0]


def _append(path: Path, stream: Any, offset: int) -> None:
    """Write a part at the end of a file; a feed over the limit is deleted."""
    source: BinaryIO = stream
    with path.open("r+b") as file:
        file.seek(offset)
        while block := source.read(_BLOCK):
            offset += len(block)
            if offset > desk().max_import:
                file.close()
                forget_upload(services().catalogue.path, path.parent.name)
                abort(413)
            file.write(block)


def _check(token: str, file: str, name: str) -> Answer | Response:
    shown = re.sub(r"[^\w .()+-]", "_", Path(name.replace("\\", "/")).name)[:100]
    folders = "folder_categories" in request.form
    args: dict[str, object] = {
        "upload": token, "files": [file], "name": shown, "folder_categories": folders,
    }  # fmt: skip
    number = begin("check", args)
    address = url("staff.preview", number=number)
    return jsonify(address=address) if wants_json() else redirect(address, 303)


@blueprint.get("/imports/<int:number>")
def preview(number: int) -> str:
    """Show what a feed would bring and what not, before anything is written."""
    job = _checked(number)
    imported = _imports_of(job)
    return render_template(
        "staff/preview.html", job=job, gone=not _there(number), imported=imported[:1]
    )


@blueprint.post("/imports/<int:number>/commit")
def commit(number: int) -> Answer:
    """Put a feed that was looked at into the catalogue."""
    checked = _checked(number)
    if checked.state != "done" or not _there(number):
        raise FeedError(gettext("This feed is no longer here. Upload it again."))
    return redirect(url("staff.job", number=begin("import", checked.args)), 303)


@blueprint.post("/imports/<int:number>/discard")
def discard(number: int) -> Answer:
    """Throw away a feed that was looked at and is not wanted."""
    checked = _checked(number)
    if _imports_of(checked):  # products may have their pictures there
        raise FeedError(gettext("This feed was imported; its pictures are in use."))
    if not checked.over:
        desk().jobs.cancel(number)
    forget_upload(services().catalogue.path, checked.args["upload"])
    note("discarded feed", str(number), name=checked.args["name"])
    flash(gettext("The feed was thrown away; nothing was imported."))
    return redirect(url("staff.imports"), 303)


def _checked(number: int) -> Job:
    found = desk().jobs.get(number)
    if found.kind != "check":
        abort(404)
    return found


def _imports_of(checked: Job) -> list[Job]:
    """Return the jobs that imported, or are to import, a feed that was looked at."""
    token = checked.args["upload"]
    found = desk().jobs.latest(kinds=("import",), limit=10_000)
    return [each for each in found if each.args["upload"] == token]


@blueprint.app_template_filter()
def named(text: str, job: Job) -> str:
    """Return what is said of an uploaded feed with its name in place of where it lies."""
    for folder in (services().catalogue.path, services().catalogue.path.resolve()):
        for each in job.args.get("files", ()):
            text = text.replace(str(folder / UPLOADS / job.args["upload"] / each), job.args["name"])
    return text


def _there(number: int) -> bool:
    args = desk().jobs.get(number).args
    folder = services().catalogue.path / UPLOADS / args["upload"]
    return all((folder / each).is_file() for each in args["files"])


@blueprint.get("/export.<kind>")
def export(kind: str) -> Response:
    """Send all products as CSV or JSONL, as ``findalike export`` writes them."""
    if kind not in ("csv", "jsonl"):
        abort(404)
    file = tempfile.TemporaryFile()  # noqa: SIM115  # closed when it is sent
    text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
    export_products(services().catalogue, text, kind)
    text.detach()  # writes what it still has
    file.seek(0)
    note("exported", kind)
    return send_file(
        file, "text/csv" if kind == "csv" else "application/jsonl", as_attachment=True,
        download_name=f"products.{kind}",
    )  # fmt: skip
