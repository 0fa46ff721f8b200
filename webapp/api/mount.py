"""The API put onto an app: its routes, its errors, its log."""

from __future__ import annotations

from flask import Flask, Response
from flask_wtf import CSRFProtect
from werkzeug.routing import BaseConverter

from webapp.api import labels, products, searching, system, work
from webapp.api.operations import blueprint
from webapp.api.problems import problem_of

PARTS = (searching, products, labels, work, system)  # importing them declares their operations


class ProductId(BaseConverter):
    """A product's id in an address: whatever it is, slashes too."""

    regex = r"[\s\S]+"
    part_isolating = False


def mount(app: Flask, guard: CSRFProtect) -> None:
    """Put the API onto an app. It needs no CSRF token, because it takes no cookie."""
    app.url_map.converters["product"] = ProductId
    app.register_blueprint(blueprint)
    app.register_blueprint(system.pages)
    guard.exempt(blueprint)


def explain(error: Exception) -> Response:
    """Return the problem that an error is."""
    return problem_of(error).response()


blueprint.register_error_handler(Exception, explain)
system.pages.register_error_handler(Exception, explain)
