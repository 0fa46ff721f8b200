"""The OpenAPI document: valid, complete, kept by the server, and shown to people."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from flask import Flask
from flask.testing import FlaskClient

from index.catalogue import Catalogue
from index.labels.tagging import tag, train
from index.service.keys import create_key
from webapp.api.operations import OPERATIONS
from webapp.app import create_app
from webapp.services import Config

ROOT = Path(__file__).parent.parent
SEED = 20
EXAMPLES = 12  # requests of each kind for each operation; a few hundred in all


@pytest.fixture
def app(catalogue: Catalogue) -> Iterator[Flask]:
    made = create_app(catalogue, Config(searches_per_minute=0))
    yield made
    made.extensions["findalike"].close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    response = client.get("/openapi.json")
    assert response.mimetype == "application/json"
    found: dict[str, Any] = response.json
    return found


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a document."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from nodes(each)
    elif isinstance(value, list):
        for each in value:
            yield from nodes(each)


def test_it_is_a_valid_document(document: dict[str, Any]) -> None:
    validator = pytest.importorskip("openapi_spec_validator", reason="it is not installed")
    assert document["openapi"] == "3.1.0"
    validator.validate(document)


def test_it_has_every_route_of_the_api_and_no_other(app: Flask, document: dict[str, Any]) -> None:
    routes = {
        (re.sub(r"<(?:[^:>]*:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if rule.rule.startswith("/api/v1/") and method not in ("HEAD", "OPTIONS")
    }
    shown = {(path, method.upper()) for path, each in document["paths"].items() for method in each}
    assert shown == routes
    assert len(shown) == len(OPERATIONS)


def test_everything_is_described(document: dict[str, Any]) -> None:
    names = set()
    for methods in document["paths"].values():
        for each in methods.values():
            assert each["summary"].endswith(".")
            names.add(each["operationId"])
            assert {"400", "401", "429", "500"} <= set(each["responses"])
            for status, answer in each["responses"].items():
                assert answer["description"]
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"]
    assert len(names) == len(OPERATIONS)
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), name


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    used = {each["$ref"].rpartition("/")[2] for each in nodes(document) if "$ref" in each}
    assert used <= set(schemas)


def test_everything_stands_in_the_documentation(document: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = {
        (path, method.lower())
        for methods, path in re.findall(r"^\| ([A-Z, ]+) \| `(/api/v1[^`]*)` \|", page, re.M)
        for method in methods.split(", ")
    }
    assert listed == {(path, each) for path, ms in document["paths"].items() for each in ms}


def test_search_takes_a_photo_in_the_field_photo(document: dict[str, Any]) -> None:
    search = document["paths"]["/api/v1/search"]["post"]
    assert search["security"] == [{}, {"key": []}]
    form = search["requestBody"]["content"]["multipart/form-data"]["schema"]["$ref"]
    fields = document["components"]["schemas"][form.rpartition("/")[2]]["properties"]
    assert fields["photo"]["format"] == "binary"
    kinds = search["requestBody"]["content"]["multipart/form-data"]["encoding"]["photo"]
    assert "image/jpeg" in kinds["contentType"]


def test_the_page(client: FlaskClient, document: dict[str, Any]) -> None:
    response = client.get("/api/docs")
    assert response.status_code == 200
    page = response.text
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", page)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for methods in document["paths"].values():
        for each in methods.values():
            assert each["operationId"] in ids
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def serve_api(path: str, folder: str) -> None:
    import waitress

    with Catalogue.open(path) as catalogue:
        train(catalogue)
        tag(catalogue)
        secret, _ = create_key(catalogue.engine, "test", ["admin"])
        app = create_app(catalogue, Config(searches_per_minute=0))
        server = waitress.create_server(app, host="127.0.0.1", port=0, threads=4)
        Path(folder, "key").write_text(secret)
        Path(folder, "port.part").write_text(str(server.effective_port))
        Path(folder, "port.part").rename(Path(folder, "port"))
        server.run()


def test_schemathesis_finds_no_failure(catalogue: Catalogue, tmp_path: Path) -> None:
    """Hundreds of right and wrong requests get what the document says; see schemathesis.toml."""
    pytest.importorskip("schemathesis", reason="it is not installed")
    child = tiny.Child(serve_api, [str(catalogue.path), str(tmp_path)], folder=tmp_path)
    try:
        while not (tmp_path / "port").exists():
            assert child.process.is_alive(), child.output()
            child.process.join(0.1)
        address = f"http://127.0.0.1:{(tmp_path / 'port').read_text()}/openapi.json"
        command = [
            sys.executable, "-m", "schemathesis.cli", "--config-file",
            str(ROOT / "schemathesis.toml"), "run", address, "--seed", str(SEED),
            "--max-examples", str(EXAMPLES), "--generation-database", "none",
            "--header", f"Authorization: Bearer {(tmp_path / 'key').read_text()}",
        ]  # fmt: skip
        env = {**os.environ, "NO_COLOR": "1"}
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
        )
    finally:
        child.kill(9)
        child.process.join(10)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[-1]) > 300
    assert not re.search("Traceback|RuntimeError", child.output()[1])
