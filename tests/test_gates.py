"""How much may come in: threads, places, room for bytes, and what each client may ask."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import tiny
from flask import Flask

from index.catalogue import Catalogue
from webapp.app import create_app
from webapp.gates import Allowance, Full, Gate, Room
from webapp.services import Config, Services


@pytest.fixture
def app(catalogue: Catalogue) -> Iterator[Flask]:
    made = create_app(catalogue, Config(searches_per_minute=0))
    yield made
    service(made).close()


def service(app: Flask) -> Services:
    found: Services = app.extensions["findalike"]
    return found


def photo() -> dict[str, object]:
    file = io.BytesIO()
    tiny.draw(7).save(file, "PNG")
    return {"photo": (io.BytesIO(file.getvalue()), "photo.png")}


def test_every_thread_is_warmed() -> None:
    gate = Gate(5, 0)
    seen: set[str] = set()
    gate.warm(lambda: seen.add(threading.current_thread().name))
    assert len(seen) == 5
    with pytest.raises(ZeroDivisionError):
        gate.warm(lambda: 1 // 0)
    gate.close()


def test_room_is_taken_and_given_back() -> None:
    room = Room(100)
    room.take(60)
    room.take(40)
    with pytest.raises(Full) as error:
        room.take(1)
    assert (error.value.retry_after, error.value.limit) == (2, False)
    room.give(60)
    room.take(60)
    room.give(40)
    room.give(60)
    room.take(100)


def test_bodies_that_find_no_room_are_refused_unread(app: Flask) -> None:
    client = app.test_client()
    body = photo()
    assert client.post("/", data=body).status_code == 200
    for most in (200, 10**9, 200, 10**9):  # and what was refused takes no room from the next
        service(app).room = room = Room(most)
        for _ in range(5):
            response = client.post("/", data=photo())
            assert response.status_code == (503 if most == 200 else 200)
        room.take(most)  # all is free again
    service(app).room = Room(200)
    response = client.post("/", data=photo())
    assert response.headers["Retry-After"] == "2"
    assert "Many people" in response.text
    response = client.post("/api/v1/search", json={"text": "red" * 100})
    assert response.status_code == 503
    assert response.json is not None
    assert response.headers["Retry-After"] == "2"
    assert client.get("/").status_code == 200
    assert service(app).gate.waiting == 0


def test_room_is_given_back_after_an_error(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(service(app), "decode", fail)
    service(app).room = room = Room(10_000)
    for _ in range(5):
        assert app.test_client().post("/", data=photo()).status_code == 500
    with contextlib.closing(app.test_client().post("/", data={"photo": "x" * 100_000})) as refused:
        assert refused.status_code == 503
    room.take(10_000)


def test_a_third_may_come_in_ten_seconds() -> None:
    allowance = Allowance(120)

    def allowed(address: str, now: float) -> bool:
        try:
            allowance.spend(address, now)
        except Full as full:
            assert full.limit and 1 <= full.retry_after <= 60
            return False
        return True

    # One address at ten times its limit, twenty times a second: nine of ten are refused in time.
    answers = [allowed("1.1.1.1", 600 + each / 20) for each in range(30 * 20)]
    assert sum(answers) == 40
    assert allowed("2.2.2.2", 601)
    # Twice a second is the limit itself.
    assert all(allowed("3.3.3.3", 900 + each / 2) for each in range(120))
    # Who slows down is let in again.
    assert allowed("1.1.1.1", 600 + 30 + 121)


def test_a_decoded_photo_is_measured_and_a_bad_one_counted(app: Flask) -> None:
    client = app.test_client()
    client.post("/", data=photo())
    client.post("/", data={"photo": (io.BytesIO(b"no picture"), "a.jpg")})
    lines = service(app).metrics.text().decode().splitlines()
    assert 'findalike_stage_seconds_count{stage="decode"} 1.0' in lines
    assert 'findalike_rejected_total{reason="picture"} 1.0' in lines


def test_turns_are_taken_one_after_the_other() -> None:
    gate = Gate(2, 5, patience=0.2)
    with gate.turn(), gate.turn(), ThreadPoolExecutor(1) as other:
        third = other.submit(_take, gate)
        while not gate.waiting:
            assert not third.done()
        with pytest.raises(Full):
            third.result()
        assert gate.waiting == 0
    with gate.turn(), gate.turn():  # both were given back
        assert gate.run(lambda: 1) == 1
    gate.close()


def _take(gate: Gate) -> None:
    with gate.turn():
        pass
