"""The server is killed in the midst of staff's work: nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from http.client import HTTPException
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote, urlencode
from urllib.request import HTTPCookieProcessor, build_opener

import pytest
import tiny
from test_serving import serve_alone

from index.catalogue import Catalogue
from index.labels.standing import product_labels
from index.service.accounts import Accounts
from index.store.seal import missing_rows

PASSWORD = "correct horse battery"
ROUNDS = int(os.environ.get("FINDALIKE_KILLS", "3"))  # docs/reliability.md has 20


class Editor:
    """Somebody at work in a browser, until the server goes away."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._open = build_opener(HTTPCookieProcessor(CookieJar())).open
        self._post("staff/login", "staff/login", {"name": "eve", "password": PASSWORD})

    def _page(self, path: str) -> str:
        with self._open(self._address + path, timeout=10) as answer:
            return str(answer.read().decode())

    def _post(self, page: str, path: str, fields: dict[str, str]) -> None:
        token = re.search(r'name="csrf_token" value="([^"]+)"', self._page(page))
        assert token is not None
        data = urlencode({"csrf_token": token[1]} | fields).encode()
        with self._open(self._address + path, data, timeout=10) as answer:
            assert answer.status == 200
            answer.read()

    def retitle(self, product_id: str, title: str) -> None:
        page = f"staff/product?id={quote(product_id)}"
        seen = re.search(r'name="seen" value="([^"]+)"', self._page(page))
        assert seen is not None
        fields = {"id": product_id, "seen": seen[1], "title": title}
        self._post(page, "staff/product", fields)

    def decide(self, product_id: str, category: str) -> None:
        fields = {"product": product_id, "axis": "category", "action": "set", "value": category}
        self._post("staff/password", "staff/review", fields)

    def merge(self, keep: str, other: str) -> None:
        self._post("staff/password", "staff/product/merge", {"keep": keep, "other": other})


def start(catalogue: Catalogue, folder: Path) -> tuple[tiny.Child, str]:
    child = tiny.Child(serve_alone, [str(catalogue.path)], folder=folder)
    until = time.monotonic() + 60
    while not (found := re.search(r"http://\S+/", child.output()[0])):
        assert time.monotonic() < until and child.process.is_alive(), child.output()
        time.sleep(0.05)
    return child, found[0]


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_no_acknowledged_edit_is_lost(catalogue: Catalogue, tmp_path: Path, round_: int) -> None:
    Accounts(catalogue.engine).add("eve", PASSWORD, "editor")
    rng = random.Random(round_)
    titles: dict[str, str] = {}
    categories: dict[str, str] = {}
    gone: list[str] = []
    child, address = start(catalogue, tmp_path)
    killer = threading.Timer(rng.uniform(0.3, 1.5), child.kill, [signal.SIGKILL])
    try:
        editor = Editor(address)
        killer.start()
        number, doing, pending = 0, "", ""
        while True:
            number += 1
            doing = product_id = f"p{rng.randrange(18)}"
            pending = f"Title {number}"
            editor.retitle(product_id, pending)
            titles[product_id] = pending
            category = rng.choice(tiny.CATEGORIES)
            editor.decide(product_id, category)
            categories[product_id] = category
            if number % 5 == 0 and len(gone) < 5:
                other = f"p{18 + len(gone)}"
                editor.merge(product_id, other)
                gone.append(other)
    except (URLError, ConnectionError, TimeoutError, HTTPException):
        pass
    finally:
        killer.join()
        child.process.join(10)
    assert titles
    with Catalogue.open(catalogue.path) as opened, opened.reading() as table:
        assert not list(missing_rows(table.connection, opened.fingerprint))
        stored = table.get(table.all_keys())
        assert all(each.views for each in stored.values())
        by_id = {each.product.product_id: each for each in stored.values()}
        labels = product_labels(table, stored)
        opened.index(table)  # which says what is out of step
    assert not set(gone) & set(by_id)
    for product_id, title in titles.items():
        # What came last may be in without having been acknowledged.
        assert by_id[product_id].product.title in (title, pending)
    for product_id, category in categories.items():
        label = labels[by_id[product_id].key]["category"]
        assert label.source == "person"
        assert label.value == category or product_id == doing
