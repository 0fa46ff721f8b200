"""For admins: accounts, and the log of who did what."""

from __future__ import annotations

from typing import cast

from flask import flash, redirect, render_template, request
from flask import url_for as url
from flask_babel import gettext
from werkzeug.wrappers import Response as Answer

from index.service.accounts import ROLES, Role
from webapp.staff.access import blueprint, desk, needs, note

_LINES = 100


@blueprint.get("/accounts")
@needs("admin")
def accounts() -> str:
    """List the accounts."""
    return render_template("staff/accounts.html", accounts=desk().accounts.all(), roles=ROLES)


@blueprint.post("/accounts")
@needs("admin")
def add_account() -> Answer:
    """Make an account."""
    form = request.form
    role = cast(Role, form.get("role", "viewer"))
    made = desk().accounts.add(form.get("name", ""), form.get("password", ""), role)
    note("account added", made.name, role=role)
    flash(gettext("The account %(name)s was made.", name=made.name))
    return redirect(url("staff.accounts"), 303)


@blueprint.post("/accounts/change")
@needs("admin")
def change_account() -> Answer:
    """Give an account another role or password, shut it, or open it again."""
    form = request.form
    name, what = form.get("name", ""), form.get("what", "")
    known = desk().accounts
    if what == "role":
        role = cast(Role, form.get("role", ""))
        note("role changed", known.set_role(name, role).name, role=role)
    elif what == "password":
        note("password changed", known.set_password(name, form.get("password", "")).name)
    elif what in ("disable", "enable"):
        changed = known.disable(name, disabled=what == "disable")
        note("account shut" if what == "disable" else "account opened", changed.name)
    flash(gettext("The account %(name)s was changed.", name=name))
    return redirect(url("staff.accounts"), 303)


@blueprint.get("/log")
@needs("admin")
def log() -> str:
    """Show who did what, the latest first."""
    given = {name: request.args.get(name, "") for name in ("who", "action", "about")}
    before = request.args.get("before", 0, type=int)
    lines = desk().audit.entries(**given, before=before, limit=_LINES)
    return render_template(
        "staff/log.html", lines=lines, given=given, actions=desk().audit.actions(),
        more=lines[-1].id if len(lines) == _LINES else 0,
    )  # fmt: skip
