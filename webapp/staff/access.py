"""The door to the staff pages: who may see and do what, log-in and log-out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    flash,
    g,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_babel import gettext
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as Answer

from index.labels.standing import Decision
from index.service.accounts import Account, AccountError, Role, TooManyAttempts, WrongPassword
from vision.errors import (
    CatalogueBusy,
    CatalogueError,
    EncoderError,
    EncoderExchanged,
    FindalikeError,
)
from webapp.gates import Full
from webapp.services import services
from webapp.staff.desk import Desk

blueprint = Blueprint("staff", __name__, url_prefix="/staff")

V = TypeVar("V", bound=Callable[..., Any])

_TOKEN = "staff"  # in the cookie
_READS = ("GET", "HEAD", "OPTIONS")


def needs(role: Role | None) -> Callable[[V], V]:
    """Say which role a page needs, None: no log-in; without this, reading needs a viewer and
    changing an editor."""

    def mark(view: V) -> V:
        view.role = role  # type: ignore[attr-defined]
        return view

    return mark


def desk() -> Desk:
    """Return the desk of the app that answers the present request."""
    return services().desk


def me() -> Account:
    """Return who is logged in."""
    return cast(Account, g.account)


def note(action: str, about: str = "", **detail: Any) -> None:
    """Put a line about who is logged in into the log."""
    desk().audit.note(me().name, action, about, **detail)


def note_decisions(action: str, decisions: Iterable[Decision]) -> None:
    """Put lines about decisions into the log, and have what looks like them predicted anew."""
    lines = [
        (each.product_id, {"axis": each.axis, "action": each.action, "value": each.value})
        for each in decisions
    ]
    desk().audit.note_all(me().name, action, lines)
    for product_id, _ in lines:
        desk().again.put(product_id)


def wants_json() -> bool:
    """Tell whether a page's own script asks."""
    return request.headers.get("X-Requested-With") == "fetch"


@blueprint.before_request
def _guard() -> Answer | None:
    """Let in who is logged in and may do this; nobody from another site."""
    if request.method not in _READS:
        _refuse_strangers()
    view = current_app.view_functions[request.endpoint or ""]
    usual: Role = "viewer" if request.method in _READS else "editor"
    role: Role | None = getattr(view, "role", usual)
    token = session.get(_TOKEN, "")
    g.account = desk().accounts.of(token) if token else None
    if role is None:
        return None
    if g.account is None:
        if request.method != "GET" or wants_json():
            abort(401)
        return redirect(url_for("staff.log_in", to=request.full_path.rstrip("?")), 303)
    if not me().may(role):
        abort(403)
    return None


def _refuse_strangers() -> None:
    """Refuse what a page of another site sends; beside the token, because a token may leak."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        abort(403)
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        abort(403)


@blueprint.after_request
def _keep_private(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "private, no-store")
    return response


@blueprint.errorhandler(HTTPException)
def _refuse(error: HTTPException) -> tuple[str, int]:
    if error.code is None or error.code >= 500:
        raise error
    known = {
        401: gettext("You are not logged in, or were away for long. Log in again."),
        403: gettext("Your account may not do this. Ask an admin."),
        404: gettext("There is nothing at this address."),
        405: gettext("This address does not take that kind of request."),
        413: gettext("That is too large."),
    }
    old = gettext("This page is too old, or the request came from elsewhere. Load it again.")
    return _tell(error.code, known.get(error.code, old))


@blueprint.errorhandler(CatalogueBusy)
def _ask_to_wait(_error: Exception) -> tuple[str, int]:
    return _tell(
        503,
        gettext(
            "Products are being written just now, by an import perhaps. Nothing was changed; "
            "try again shortly."
        ),
    )


@blueprint.errorhandler(EncoderExchanged)
def _open_again(_error: Exception) -> tuple[str, int]:
    services().renew(services().catalogue)
    return _tell(503, gettext("The shop was brought up to date just now. Try again."))


@blueprint.errorhandler(FindalikeError)
def _explain(error: FindalikeError) -> tuple[str, int]:
    if isinstance(error, CatalogueError | EncoderError):
        raise error  # may name places on the server
    return _tell(400, gettext(str(error)))


def _tell(status: int, text: str) -> tuple[str, int]:
    name = "_error.html" if wants_json() else "staff/error.html"
    return render_template(name, status=status, text=text), status


@blueprint.get("/login")
@needs(None)
def log_in() -> Answer | str:
    """Show the page to log in at."""
    if g.account is not None:
        return redirect(_inside(request.args.get("to", "")), 303)
    return render_template("staff/login.html", to=request.args.get("to", ""), name="", wrong="")


@blueprint.post("/login")
@needs(None)
def try_log_in() -> Answer | tuple[str, int] | Response:
    """Log in: whatever the browser had before, it has a new session afterwards."""
    name, password = request.form.get("name", ""), request.form.get("password", "")
    address = request.remote_addr or ""
    try:
        token = _session(name, password, address)
    except TooManyAttempts as error:
        wrong = gettext("Too many wrong passwords. Wait some minutes and try again.")
        page = render_template("staff/login.html", to=_to(), name=name[:64], wrong=wrong)
        return Response(page, 429, {"Retry-After": str(error.retry_after)})
    except WrongPassword:
        desk().audit.note("", "wrong password", name[:64], address=address)
        wrong = gettext("Name or password is wrong.")
        return render_template("staff/login.html", to=_to(), name=name[:64], wrong=wrong), 401
    _forget()
    session[_TOKEN] = token
    account = desk().accounts.of(token)
    if account is None:  # disabled this very moment
        raise Full(5)
    desk().audit.note(account.name, "log-in", account.name, address=address)
    return redirect(_inside(_to()), 303)


@blueprint.post("/logout")
@needs("viewer")
def log_out() -> Answer:
    """End the session, here and in the database."""
    note("log-out", me().name)
    _forget()
    return redirect(url_for("staff.log_in"), 303)


@blueprint.get("/password")
def password() -> str:
    """Show the page to change one's password at."""
    return render_template("staff/password.html", wrong="")


@blueprint.post("/password")
@needs("viewer")
def change_password() -> Answer | tuple[str, int]:
    """Change one's own password, which needs the present one; all one's sessions end."""
    name, new = me().name, request.form.get("new", "")
    address = request.remote_addr or ""
    try:
        token = _session(name, request.form.get("old", ""), address)
        if new != request.form.get("again"):
            desk().accounts.log_out(token)
            raise AccountError("The two new passwords differ.")
        desk().accounts.set_password(name, new)
        token = _session(name, new, address)
    except AccountError as error:
        return render_template("staff/password.html", wrong=gettext(str(error))), 400
    note("password changed", name)
    _forget()
    session[_TOKEN] = token
    flash(gettext("Your password was changed. Other browsers were logged out."))
    return redirect(url_for("staff.dashboard"), 303)


def _session(name: str, password: str, address: str) -> str:
    """Return the token of a new session, once there is a place at the door."""
    known = desk().accounts
    return desk().door.run(lambda: known.log_in(name, password, address))


def _forget() -> None:
    if token := session.get(_TOKEN):
        desk().accounts.log_out(token)
    session.clear()


def _to() -> str:
    return request.form.get("to", "")


def _inside(path: str) -> str:
    """Return an address among the staff pages, whatever was asked for."""
    parts = urlsplit(path)
    fits = not parts.scheme and not parts.netloc and path.startswith("/staff/")
    return path if fits and "\\" not in path and path.isprintable() else url_for("staff.dashboard")
