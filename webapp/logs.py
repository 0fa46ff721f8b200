"""The log of requests: one JSON object on each line.

It has no photos, and no words unless asked. ``X-Request-ID`` of an answer is ``request_id`` here.
Addresses of clients are not written: they are personal data, and the server in front knows them.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from flask import Flask, Response, g, request

from webapp.services import services

log = logging.getLogger("findalike.requests")
_REJECTED = {429: "limit", 503: "full"}
_STANDARD = set(vars(logging.makeLogRecord({})))


class JsonLines(logging.Formatter):
    """Writes a record and what was given as ``extra`` as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: each for name, each in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def write_json_lines() -> None:
    """Let everything that is logged go to standard error as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def log_requests(app: Flask) -> None:
    """Let an app write a line for each request, and count it."""
    app.before_request(_begin)
    app.after_request(_note)


def _begin() -> None:
    g.started = time.perf_counter()


def _note(response: Response) -> Response:
    service = services()
    seconds = time.perf_counter() - g.get("started", time.perf_counter())
    endpoint = request.endpoint or "none"
    service.metrics.answered(endpoint, response.status_code, seconds)
    if response.status_code in _REJECTED and "Retry-After" in response.headers:
        service.metrics.rejected(_REJECTED[response.status_code])
    facts: dict[str, Any] = {
        "request_id": g.get("request_id", ""),
        "method": request.method,
        "operation": endpoint,
        "status": response.status_code,
        "milliseconds": round(seconds * 1000, 1),
    }
    for name in ("key", "verdict"):
        if name in g:
            facts[name] = g.get(name)
    if "stages" in g:
        facts["stages"] = {name: round(each, 1) for name, each in g.stages.items()}
    if service.config.log_words and "words" in g:
        facts["words"] = g.words
    if endpoint != "static":
        log.info("request", extra=facts)
    return response
