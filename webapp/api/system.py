"""What programs ask about the server: health, readiness, version, measurements, the document."""

from __future__ import annotations

import ipaddress
import json
from importlib.metadata import version

from flask import Blueprint, Response, render_template, request
from prometheus_client import CONTENT_TYPE_LATEST

from index.service.keys import SCOPES
from webapp.api import answers
from webapp.api.document import TAGS, make_document
from webapp.api.operations import authorise, operation
from webapp.services import services

pages = Blueprint("api_pages", __name__)


@operation("GET", "/health", tag="server", refusals=(503,))
def health() -> answers.HealthAnswer:
    """Say that the server answers and its catalogue can be read."""
    with services().catalogue.reading() as table:
        table.generation()
    return answers.HealthAnswer(status="ok")


@operation("GET", "/ready", tag="server", refusals=(503,))
def ready() -> answers.ReadyAnswer:
    """Say that searches are answered at once: encoder and index are in memory, and up to date."""
    catalogue = services().catalogue
    _ = catalogue.encoder
    with catalogue.reading() as table:
        catalogue.index(table)
        return answers.ReadyAnswer(
            ready=True, products=table.counts()["products"], generation=table.generation()
        )


@operation("GET", "/version", tag="server")
def read_version() -> answers.VersionAnswer:
    """Say which findalike this is, and which encoder the catalogue has."""
    service = services()
    return answers.VersionAnswer(
        version=version("findalike"),
        api="v1",
        encoder=service.catalogue.encoder_spec.rpartition("/")[2],
        words=service.knows_words,
        scopes=list(SCOPES),
    )


@pages.get("/readyz")
def readyz() -> Response:
    """Say the same as /api/v1/ready, in a word."""
    ready()
    return Response("ready\n", mimetype="text/plain", headers={"Cache-Control": "no-store"})


@pages.get("/openapi.json")
def document() -> Response:
    """Send the OpenAPI document."""
    made = make_document(services().config.shop_name)
    response = Response(json.dumps(made, indent=1), mimetype="application/json")
    response.headers["Access-Control-Allow-Origin"] = "*"  # it is public, and tools read it
    return response


@pages.get("/api/docs")
def docs() -> str:
    """Show the document to people."""
    made = make_document(services().config.shop_name)
    groups = {
        tag: [
            (path, method, each)
            for path, methods in made["paths"].items()
            for method, each in methods.items()
            if tag in each["tags"]
        ]
        for tag in TAGS
    }
    return render_template("api.html", document=made, groups=groups, about_tags=TAGS)


@pages.get("/metrics")
def measurements() -> Response:
    """Send what was measured, for Prometheus: to this machine, or for a key with scope admin.

    Behind a proxy all requests seem to come from this machine, so that a key is needed there.
    """
    config = services().config
    if config.https or not _is_local(request.remote_addr or ""):
        authorise("admin", required=True)
    return Response(services().metrics.text(), content_type=CONTENT_TYPE_LATEST)


def _is_local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
