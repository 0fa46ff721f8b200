"""How the staff pages come into an app."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Flask
from flask_babel import format_datetime, format_decimal, get_locale
from markupsafe import Markup

from webapp.staff import access, admin, dashboard, imports, jobs, product, products, review

MODULES = (access, admin, dashboard, imports, jobs, product, products, review)  # have the routes
_ENGLISH = "d MMM y, HH:mm"  # the same for readers of all countries


def register(app: Flask) -> None:
    """Add the staff pages to an app."""
    app.config["WTF_CSRF_TIME_LIMIT"] = None  # as long as the session; a queue takes hours
    app.register_blueprint(access.blueprint)


@access.blueprint.app_template_filter()
def moment(seconds: float) -> Markup:
    """Return a point in time as the language writes it, exact for programs."""
    then = datetime.fromtimestamp(seconds, UTC)
    pattern = "short" if get_locale().language != "en" else _ENGLISH
    text = format_datetime(then.astimezone(), pattern, rebase=False)
    return Markup('<time datetime="{}">{}</time>').format(then.isoformat(timespec="seconds"), text)


@access.blueprint.app_template_filter()
def percent(share: float) -> str:
    """Return a share, 0 to 1, in percent."""
    digits = 0 if share >= 0.1 or not share else 1
    return f"{100 * share:.{digits}f}\u00a0%"  # not broken before the sign


@access.blueprint.app_template_filter()
def number(value: float) -> str:
    """Return a number with its thousands parted as the language does."""
    return str(format_decimal(value))
