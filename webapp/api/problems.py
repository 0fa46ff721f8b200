"""What went wrong, as ``application/problem+json`` (RFC 9457): what it is, and what to do."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from flask import Response, g
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from index.service.jobs import JobError
from vision.errors import (
    CatalogueBusy,
    CatalogueError,
    EncoderError,
    EncoderExchanged,
    FindalikeError,
    HeadError,
    MissingWeights,
)
from vision.pictures.sandbox import SandboxBusy
from webapp.gates import Full

MIME = "application/problem+json"
_PATTERN = "string_pattern_mismatch"
_WRITTEN = "Not written as the examples in /openapi.json are."
_MOST_FAULTS = 10  # of one request that are told
_BUSY = "Too much is asked at the moment. Send the request again after Retry-After seconds."
_OURS = "Something went wrong on the server. The log has it under this request's id."
_log = logging.getLogger("findalike")

_DETAILS = {
    400: "The request could not be read. Compare it with /openapi.json.",
    404: "There is nothing at this address. /openapi.json lists the addresses.",
    405: "This address does not take that method; the header Allow names those that it takes.",
    408: "The request did not arrive in time. Send it again.",
    413: "The request is too large. Send smaller photos or fewer at once.",
    415: "Send application/json, or multipart/form-data where a photo is taken.",
    431: "The headers are too long.",
}


@dataclass(eq=False)
class Problem(Exception):
    """Why a request is not answered: status, ``detail`` in words, and what may be wrong where.

    ``errors`` are the single faults of a request, each with ``at`` and ``what``.
    """

    status: int
    detail: str
    errors: list[dict[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """Return the answer that says it."""
        made = Response(json.dumps(self.body()), self.status, mimetype=MIME)
        made.headers.update(self.headers)
        made.headers["Cache-Control"] = "no-store"
        return made

    def body(self) -> dict[str, Any]:
        """Return what is sent; ``instance`` is the request's id, which the log has too."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": f"urn:findalike:request:{g.get('request_id', '')}",
        }
        return body | ({"errors": self.errors} if self.errors else {})


def problem_of(error: Exception) -> Problem:
    """Return what is to be said of an error; what nobody can mend goes to the log."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Full) and error.limit:
        detail = "That was a lot in a short time. Send it again after Retry-After seconds."
        return Problem(429, detail, headers={"Retry-After": str(error.retry_after)})
    if isinstance(error, Full | SandboxBusy | CatalogueBusy):
        seconds = error.retry_after if isinstance(error, Full) else 5
        busy = "The catalogue is being written to. Send it again after Retry-After seconds."
        detail = busy if isinstance(error, CatalogueBusy) else _BUSY
        return Problem(503, detail, headers={"Retry-After": str(seconds)})
    if isinstance(error, EncoderExchanged):
        detail = "The catalogue was given another encoder, and is open again now. Send it again."
        return Problem(503, detail, headers={"Retry-After": "1"})
    if isinstance(error, CatalogueError | MissingWeights):
        _log.error("request %s failed", g.get("request_id"), exc_info=error)
        return Problem(503, "The catalogue cannot be used at the moment. " + _OURS)
    if isinstance(error, HeadError | EncoderError | JobError):
        return Problem(409, str(error))
    if isinstance(error, FindalikeError):
        return Problem(422, str(error))
    if isinstance(error, HTTPException) and error.code and 400 <= error.code < 500:
        headers = {}
        if allowed := getattr(error, "valid_methods", None):
            headers["Allow"] = ", ".join(sorted(allowed))
        detail = _DETAILS.get(error.code, HTTPStatus(error.code).description or _DETAILS[400])
        return Problem(error.code, detail, headers=headers)
    _log.error("request %s failed", g.get("request_id"), exc_info=error)
    return Problem(500, _OURS)


def invalid(error: ValidationError, where: str) -> Problem:
    """Return the problem of a request that is not as the document says."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    faults = [
        {
            "at": "/".join(map(str, (where, *each["loc"])))[:200],
            "what": _WRITTEN
            if each["type"] == _PATTERN
            else each["msg"].removeprefix("Value error, "),
        }
        for each in found[:_MOST_FAULTS]
    ]
    detail = "The request is not as /openapi.json says; errors names what to change."
    return Problem(400, detail, faults)
