"""Reasons: labelled products that look like one, and what does not count as one."""

from __future__ import annotations

import pytest

from index.catalogue import Catalogue
from index.labels.reasons import product_reasons
from index.labels.standing import product_labels
from index.labels.tagging import tag


def test_reasons_are_other_products_that_people_or_feeds_labelled(taught: Catalogue) -> None:
    tag(taught)
    with taught.reading() as table:
        keys = list(table.all_keys())
        stored = table.get(keys)
        known = product_labels(table, stored)
    ids = {key: stored[key].product.product_id for key in keys}
    sources = {ids[key]: known.get(key, {}) for key in keys}
    assert {label.source for each in sources.values() for label in each.values()} > {"feed"}
    for axis in ("category", "tint"):
        found = product_reasons(taught, keys, axis)
        assert found.keys() == set(keys)
        for key, reasons in found.items():
            assert len(reasons) == 3
            assert ids[key] not in [each.product_id for each in reasons]
            alike = [each.cosine for each in reasons]
            assert alike == sorted(alike, reverse=True) and alike[0] == pytest.approx(1, abs=0.5)
            for each in reasons:
                label = sources[each.product_id][axis]
                assert (label.source, {axis: label.value}) == ("feed", each.labels)
    assert product_reasons(taught, [], "category") == {}
