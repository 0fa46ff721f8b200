"""``findalike serve``: a server in a process of its own, and what it does to crowds and floods."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
import tiny
from click.testing import CliRunner
from flask import Flask

import webapp.terminal.serving
from index.catalogue import Catalogue
from webapp.cli import main


def serve_alone(path: str) -> None:
    import resource

    from webapp.terminal.serving import serve

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (160, hard))  # as if few were allowed
    serve.main(["--catalogue", path, "--port", "0"])


@pytest.fixture
def server(tmp_path: Path, catalogue: Catalogue) -> Iterator[tuple[str, tiny.Child]]:
    """Run ``findalike serve`` in a child; give its address."""
    child = tiny.Child(serve_alone, [str(catalogue.path)], folder=tmp_path)
    end = time.monotonic() + 60
    while not (found := re.search(r"http://\S+/", child.output()[0])):
        assert time.monotonic() < end and child.process.is_alive(), child.output()
        time.sleep(0.05)
    yield found[0], child
    child.kill(signal.SIGKILL)
    child.process.join(10)


def test_serve_answers_and_stops_gracefully(server: tuple[str, tiny.Child]) -> None:
    address, child = server
    with urlopen(address) as response:
        assert response.headers["Server"] == "findalike"
        assert b"Find it with a photo" in response.read()
    child.kill(signal.SIGTERM)
    result = child.wait(20)
    assert result.returncode == 0
    assert "Traceback" not in result.stderr


def at(address: str) -> tuple[str, int]:
    host, port = re.findall(r"//(.*):(\d+)/", address)[0]
    return host, int(port)


def test_slow_clients_do_no_harm(server: tuple[str, tiny.Child]) -> None:
    address, _ = server
    part = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 600_000
    with contextlib.ExitStack() as stack:
        # Each takes two files of the server's: its connection, and what it sent so far.
        for _ in range(120):
            slow = stack.enter_context(socket.create_connection(at(address), timeout=20))
            slow.sendall(part)
        started = time.monotonic()
        with urlopen(address, timeout=20) as response:
            assert response.status == 200
        assert time.monotonic() - started < 5


def test_huge_bodies_are_refused(server: tuple[str, tiny.Child]) -> None:
    address, _ = server
    before = set(Path(tempfile.gettempdir()).iterdir())
    with socket.create_connection(at(address), timeout=10) as huge:
        huge.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\n")
        assert huge.recv(100).startswith(b"HTTP/1.1 413")
    # A little over the limit is taken in to be told in words.
    connection = http.client.HTTPConnection(*at(address), timeout=20)
    connection.request("POST", "/", b"x" * (22 * 2**20), {"Content-Type": "multipart/form-data"})
    answer = connection.getresponse()
    assert answer.status == 413
    assert "Send a photo of at most 20 MB" in answer.read().decode()
    connection.close()
    with socket.create_connection(at(address), timeout=20) as endless:
        endless.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 300:
                endless.sendall(b"100000\r\n" + b"x" * 2**20 + b"\r\n")
                sent += 1
        assert sent < 100
        with contextlib.suppress(OSError):
            assert endless.recv(100).startswith(b"HTTP/1.1 413")
    left = {each for each in set(Path(tempfile.gettempdir()).iterdir()) - before if each.is_file()}
    assert not [each for each in left if each.stat().st_size > 2**20]
    with urlopen(address, timeout=20) as response:
        assert response.status == 200


def test_options_reach_the_app(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    apps: list[Flask] = []
    monkeypatch.setattr(webapp.terminal.serving, "run", lambda app, *_: apps.append(app))
    more = ["--keep-missed", "--searches", "7", "--keep-hours", "2", "--closed", "--log-words"]
    for options in ([], more):
        command = ["serve", "--catalogue", str(catalogue.path), *options]
        result = CliRunner().invoke(main, command, catch_exceptions=False)
        assert result.exit_code == 0
    plain, told = (app.extensions["findalike"] for app in apps)
    assert (plain.desk.keep_photos, told.desk.keep_photos) == (False, True)
    assert (plain.config.open_search, told.config.open_search) == (True, False)
    assert (told.config.searches_per_minute, told.config.photo_hours) == (7, 2)
    assert told.config.log_words and told.config.secret_key == plain.config.secret_key


def test_the_key_is_private_and_stays(catalogue: Catalogue) -> None:
    from webapp.terminal.serving import _secret

    path = catalogue.path / "secret.key"
    assert len(_secret(path)) == 64
    assert _secret(path) == _secret(path)
    assert path.stat().st_mode & 0o777 == 0o600
