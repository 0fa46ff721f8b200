"""The list of products: searched by words, number or photo, narrowed down, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Response, render_template, request

from index.query import Query
from index.search.listing import list_products
from index.store.products import StoredProduct
from vision.taxonomy import CATEGORY
from webapp.services import services
from webapp.staff.access import blueprint, desk
from webapp.uploads import read_photo

PAGE = 48
_SIMILAR = 24
_CATEGORIES = 2000  # that a list offers


@dataclass(frozen=True)
class Listed:
    """What the list shows. ``asked`` are the fields of the form, ``verdict`` that of a photo."""

    products: tuple[StoredProduct, ...]
    total: int
    asked: dict[str, str]
    page: int
    pages: int
    verdict: str


@blueprint.get("/products")
def products() -> str:
    """List products that fit."""
    asked = {name: request.args.get(name, "").strip() for name in ("q", "category", "without")}
    page = max(1, request.args.get("page", 1, type=int))
    where = (f"category={asked['category']}",) if asked["category"] else ()
    with services().catalogue.reading() as table:
        found = list_products(
            table, asked["q"], where=where, without=asked["without"], limit=PAGE,
            offset=(page - 1) * PAGE,
        )  # fmt: skip
    pages = max(1, -(-found.total // PAGE))
    return _page(Listed(found.products, found.total, asked, page, pages, ""))


@blueprint.post("/products/photo")
def products_by_photo() -> str | Response:
    """List the products that look most like a photo."""
    service = services()
    photo = read_photo(request, service.decode)
    if photo is None:
        return Response(status=303, headers={"Location": "/staff/products"})
    query = Query(photo=photo, k=_SIMILAR)
    answer = service.gate.run(lambda: service.catalogue.search(query))
    with service.catalogue.reading() as table:
        keys = table.keys(hit.product.product_id for hit in answer.hits)
        stored = table.get(keys.values())
    shown = tuple(
        stored[keys[hit.product.product_id]]
        for hit in answer.hits
        if hit.product.product_id in keys
    )
    asked = {"q": "", "category": "", "without": ""}
    return _page(Listed(shown, len(shown), asked, 1, 1, answer.verdict))


def _page(listed: Listed) -> str:
    taxonomy = desk().taxonomy()
    axes = (CATEGORY, *taxonomy.axes)
    return render_template(
        "staff/products.html",
        listed=listed,
        categories=taxonomy.categories[:_CATEGORIES],
        axes=axes,
    )
