"""A query says what makes no sense in it before anything is done; an answer is plain JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from index.product import Product
from index.query import DEFAULT_WEIGHTS, MAX_K, Answer, Hit, Query, Seen, check_text
from vision.errors import QueryError
from vision.images import Region


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "Nothing to look for"),
        ({"text": "  "}, "Nothing to look for"),
        ({"where": ("price<5",)}, "Nothing to look for"),
        ({"not_text": "leather"}, "add a photo"),
        ({"text": "mug", "region": Region(0, 0, 1, 1)}, "give the photo too"),
        ({"like": "a", "k": 0}, "from 1 to"),
        ({"like": "a", "k": MAX_K + 1}, "from 1 to"),
        ({"like": "a", "weights": {"colour": 1.0}}, 'no weight "colour"'),
        ({"like": "a", "weights": {"like": -1.0}}, "from 0 up"),
        ({"like": "a", "weights": {"like": math.nan}}, "from 0 up"),
        ({"like": "a", "weights": {"like": 0.0}}, "has the weight 0"),
        ({"like": "a", "not_text": "x", "weights": {"like": 0.0}}, "has the weight 0"),
        ({"like": "\udcff"}, "not text"),
        ({"text": "a\0b"}, "not text"),
        ({"photo": b"", "where": ("brand=\ud800",)}, "not text"),
    ],
)
def test_what_makes_no_sense_is_refused(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(QueryError, match=says):
        Query(**asked)


def test_weights_have_defaults() -> None:
    query = Query(text="mug", like="a", weights={"like": 0.0})
    assert query.weight("like") == 0.0
    assert query.weight("text") == DEFAULT_WEIGHTS["text"]


def test_verdicts_are_for_photos_alone() -> None:
    assert Query(photo=b"").photo_only
    assert Query(photo=b"", text=" ").photo_only
    assert Query(photo=b"", where=("price<5",)).photo_only
    assert not Query(photo=b"", text="mug").photo_only
    assert not Query(photo=b"", like="a").photo_only
    assert not Query(photo=b"", not_text="leather").photo_only


def test_text_of_every_language_is_text() -> None:
    for text in ("mug", "кружка", "コップ", "🥤", "a\nb"):
        check_text(text)


def test_an_answer_is_plain_json() -> None:
    product = Product("ключ-1", "Title", price=None, attributes={"colour": "red"})
    hit = Hit(product, 0.123456789, None, "/photos/a.jpg", "ab" * 32)
    answer = Answer("similar", (hit,), {"read": 1.23456})
    there_and_back = json.loads(json.dumps(answer.as_dict(), allow_nan=False))
    assert there_and_back == answer.as_dict()
    assert there_and_back["verdict"] == "similar"
    assert there_and_back["hits"][0]["product_id"] == "ключ-1"
    assert there_and_back["hits"][0]["probability"] is None
    assert there_and_back["hits"][0]["score"] == pytest.approx(0.123457)


def test_what_was_seen_counts_for_the_same_part_and_encoder_only() -> None:
    photo, part = b"a photo", Region(0, 0, 0.5, 0.5)
    row = np.ones(3, np.float32)
    seen = Seen(photo, part, "", "one", row, row, {})
    assert Query(photo=photo, region=part, seen=seen).seen_by("one") is seen
    assert Query(photo=photo, region=part, seen=seen).seen_by("other") is None
    assert Query(photo=photo, seen=seen).seen_by("one") is None
    assert Query(photo=b"another", region=part, seen=seen).seen_by("one") is None
    assert Query(photo=photo, region=part).seen_by("one") is None
