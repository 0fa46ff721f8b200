"""The ``serve`` subcommand: the app behind a server that can face the public."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import secrets
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from webapp.terminal.command import open_catalogue, with_catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from flask import Flask

    from index.catalogue import Catalogue
    from webapp.services import Config

_THREADS = 32  # requests at once: those that search, those that wait to, and as many others
_CONNECTIONS = 1000  # open at once: slow clients hold a connection, but no thread
_FILES = 4 * _CONNECTIONS  # open at once, at most
_M_ARENA_MAX = -8  # of glibc's mallopt
_IDLE = 30  # seconds without a byte until a connection is closed


@click.command(short_help="Open the shop in a browser.")
@with_catalogue
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, help="The port to listen on.")
@click.option("--name", default="findalike", show_default=True, help="The shop's name.")
@click.option(
    "--proxy", metavar="ADDRESS",
    help="The reverse proxy whose X-Forwarded-For and -Proto are believed.",
)  # fmt: skip
@click.option(
    "--searches", default=120, show_default=True, help="What one client may ask in a minute."
)
@click.option(
    "--keep-hours", default=24.0, show_default=True, help="How long shared photos are kept."
)
@click.option("--closed", is_flag=True, help="Searching through the API needs a key.")
@click.option("--log-words", is_flag=True, help="Write the words of searches into the log.")
@click.option(
    "--keep-missed", is_flag=True,
    help="Keep small copies of photos that nothing was found for, for the staff.",
)  # fmt: skip
@click.option("--debug", is_flag=True, help="For development: errors in full, pages read anew.")
def serve(
    path: Path,
    host: str,
    port: int,
    name: str,
    proxy: str | None,
    searches: int,
    keep_hours: float,
    closed: bool,
    log_words: bool,
    keep_missed: bool,
    debug: bool,
) -> None:
    """Serve the shopper's pages until stopped with Ctrl-C or SIGTERM."""  # fmt: skip
    if debug and host not in ("127.0.0.1", "localhost", "::1"):
        raise click.ClickException("--debug shows the code to everyone; leave out --host.")
    with open_catalogue(path) as catalogue:
        from webapp.services import Config

        config = Config(
            shop_name=name,
            photo_hours=keep_hours,
            searches_per_minute=searches,
            https=proxy is not None,
            open_search=not closed,
            log_words=log_words,
            keep_missed=keep_missed,
        )
        with shop_of(catalogue, config) as app:
            if debug:
                click.echo(f"http://{_shown(host)}:{port}/ (debug)")
                app.run(host, port, debug=True, use_reloader=False)
            else:
                run(app, host, port, proxy)


@contextlib.contextmanager
def shop_of(catalogue: Catalogue, config: Config) -> Iterator[Flask]:
    """Open the app of a catalogue, ready to answer; cookies are signed with the catalogue's key."""
    from webapp.app import create_app

    app = create_app(catalogue, replace(config, secret_key=_secret(catalogue.path / "secret.key")))
    service = app.extensions["findalike"]
    try:
        share_heaps()
        service.warm()
        yield app
    finally:
        service.close()


def share_heaps() -> None:
    """Let threads share their memory; must come before they begin.

    glibc gives each thread a heap of its own, and keeps in it what the thread once used.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 3)


def run(app: Flask, host: str, port: int, proxy: str | None = None) -> None:
    """Serve an app with waitress until SIGTERM or SIGINT; requests under way are finished.

    waitress, because it is one process of plain Python: the model is there once, its threads share
    it, and a slow client costs it a connection, not a thread.
    """
    import waitress

    from webapp.logs import write_json_lines

    write_json_lines()
    _allow_files()
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    trusted = {} if proxy is None else {
        "trusted_proxy": proxy,
        "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"},
    }  # fmt: skip
    try:
        server = waitress.create_server(  # type: ignore[attr-defined]  # missing in its stubs
            app,
            host=host,
            port=port,
            threads=_THREADS,
            connection_limit=_CONNECTIONS,
            backlog=1024,
            channel_timeout=_IDLE,
            cleanup_interval=10,
            # What is a little over the limit is taken in, so that the app can say so; a
            # connection that is cut off while it sends seldom reads why.
            max_request_body_size=3 * app.config["MAX_CONTENT_LENGTH"],
            max_request_header_size=32 * 1024,
            asyncore_use_poll=True,
            ident="findalike",
            clear_untrusted_proxy_headers=True,
            **trusted,
        )
    except OSError as error:
        raise click.ClickException(
            f"{host}:{port} cannot be listened on ({error.strerror}). Try another --port."
        ) from error
    signal.signal(signal.SIGTERM, _stop)
    address = f"http://{_shown(host)}:{server.effective_port}"
    click.echo(f"{address}/ (staff: /staff/, programs: /api/docs)")
    sys.stdout.flush()
    server.run()
    server.close()


def _allow_files() -> None:
    """Let the process open as many files as connections need: a long body is a file until read."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # not everywhere
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _secret(path: Path) -> str:
    """Return the key that signs cookies, made at first use; all processes of a shop share it."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written ({error.strerror}).") from error
    return path.read_text()
