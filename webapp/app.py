"""The web app: a factory that puts the pages together and guards them all alike."""

from __future__ import annotations

import hashlib
import logging
import secrets
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, make_response, render_template, request, url_for
from flask_babel import Babel, get_locale, gettext
from flask_wtf import CSRFProtect
from werkzeug.exceptions import HTTPException

from index.catalogue import Catalogue
from vision.errors import CatalogueError, EncoderError, EncoderExchanged, FindalikeError
from vision.pictures.sandbox import SandboxBusy
from webapp.api.mount import explain, mount
from webapp.gates import Full
from webapp.logs import log_requests
from webapp.services import Config, Services, bound_bodies, services
from webapp.shop import pages as shop
from webapp.staff.register import register as register_staff

LANGUAGES = {"en": "English", "zh": "中文"}

# No script, style or picture from elsewhere, none written into a page. Pictures in a page: the
# shopper's own photo, which is not kept.
_POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "font-src 'self'",
        "img-src 'self' data: blob:", "connect-src 'self'", "manifest-src 'self'",
        "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
    )
)  # fmt: skip
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # a shared photo's address is for who has it only
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=(), payment=(), usb=()",
}
_log = logging.getLogger("findalike")


def create_app(catalogue: Catalogue, config: Config | None = None) -> Flask:
    """Return the app that serves a catalogue; its ``Services`` are in ``extensions["findalike"]``.

    Behind any WSGI server; ``findalike serve`` has waitress. The client's address is the one that
    the server gives: it, not the app, knows which proxies to trust.
    """
    config = config or Config()
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=config.secret_key or secrets.token_hex(32),
        MAX_CONTENT_LENGTH=config.max_upload + 2**16,  # the photo and the other fields
        MAX_FORM_MEMORY_SIZE=2**20,
        MAX_FORM_PARTS=200,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=config.https,
        SEND_FILE_MAX_AGE_DEFAULT=365 * 24 * 3600,  # static addresses change with the content
    )
    app.extensions["findalike"] = Services(catalogue, config)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    Babel(app, locale_selector=_language, default_translation_directories="translations")
    bound_bodies(app)  # before anything reads them
    guard = CSRFProtect(app)
    app.register_blueprint(shop.blueprint)
    register_staff(app)
    guard.exempt(shop.blueprint)  # shoppers change nothing and have no cookie
    mount(app, guard)
    log_requests(app)
    app.before_request(_number)
    app.after_request(_finish)
    app.jinja_env.globals.update(
        settings=config,
        languages=LANGUAGES,
        language=_language,
        asset=_asset,
        other_language=_other_language,
        request_id=lambda: g.get("request_id", ""),
    )
    for error in (HTTPException, FindalikeError, Full, SandboxBusy):
        app.register_error_handler(error, _explain)
    if not app.debug:
        app.register_error_handler(Exception, _explain)
    return app


def _language() -> str:
    """Return the language asked for in the address, chosen before, or preferred by the browser."""
    for wish in (request.args.get("lang"), request.cookies.get("lang")):
        if wish in LANGUAGES:
            return str(wish)
    return request.accept_languages.best_match(LANGUAGES, default="en") or "en"


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((Path(__file__).parent / "static" / name).read_bytes()).hexdigest()[:12]


def _asset(name: str) -> str:
    """Return the address of a static file, which changes with its content."""
    return url_for("static", filename=name, v=_digest(name))


def _other_language(code: str) -> str:
    """Return the address of this page in another language; a photo that was sent stays behind."""
    if request.method != "GET" or request.endpoint is None:
        return url_for("shop.page", lang=code)
    given: dict[str, Any] = {
        name: values
        for name, values in request.args.lists()
        if name not in ("lang", "_external", "_anchor", "_method", "_scheme")
    }
    return url_for(request.endpoint, **(request.view_args or {}), **given, lang=code)


def _number() -> None:
    g.request_id = secrets.token_hex(8)


def _finish(response: Response) -> Response:
    """Add what every answer carries."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["X-Request-ID"] = g.get("request_id", "")
    if response.mimetype == "text/html":
        response.headers.setdefault("Cache-Control", "private, no-store")
        response.headers.setdefault("Content-Language", str(get_locale() or "en"))
        response.vary.update(("Accept-Language", "Cookie", "X-Requested-With"))
    wish = request.args.get("lang")
    if wish in LANGUAGES:
        response.set_cookie("lang", str(wish), max_age=365 * 24 * 3600, samesite="Lax")
    return response


def _explain(error: Exception) -> Response:
    """Return the page that says in plain words what went wrong; details go to the log."""
    if isinstance(error, EncoderExchanged):
        services().renew(services().catalogue)
    if request.path.startswith("/api/"):
        return explain(error)
    status, text, retry = _words(error)
    if status >= 500 and not retry:
        _log.error("request %s failed", g.get("request_id"), exc_info=error)
    name = "_error.html" if shop.wants_fragment() else "error.html"
    response = make_response(render_template(name, status=status, text=text), status)
    if retry:
        response.headers["Retry-After"] = str(retry)
    if isinstance(error, HTTPException) and status == 405:
        response.headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
    return response


def _words(error: Exception) -> tuple[int, str, int]:
    """Return the status, what to say, and after how many seconds to try again (0: no use)."""
    if isinstance(error, Full):
        if error.limit:
            return 429, gettext("That was a lot in a short time. Wait a minute."), error.retry_after
        return 503, gettext("Many people are searching. Try again shortly."), error.retry_after
    if isinstance(error, SandboxBusy):
        return 503, gettext("Many people are searching. Try again shortly."), 5
    if isinstance(error, EncoderExchanged):
        return 503, gettext("The shop was brought up to date just now. Try again."), 1
    if isinstance(error, CatalogueError | EncoderError):
        return 503, gettext("The shop cannot be searched at the moment. Try again later."), 0
    if isinstance(error, FindalikeError):
        return 400, gettext(str(error)), 0
    if isinstance(error, HTTPException) and error.code and error.code < 500:
        most = f"{services().config.max_upload / 2**20:.3g}"
        known = {
            404: gettext("There is nothing at this address."),
            405: gettext("This address does not take that kind of request."),
            413: gettext("That is too large. Send a photo of at most %(most)s MB.", most=most),
        }
        other = gettext("The request could not be understood. Go back and try again.")
        return error.code, known.get(error.code, other), 0
    return 500, gettext("Something went wrong on our side. Try again."), 0
