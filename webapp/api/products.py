"""Products: listed, read, written one by one or many at once, removed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal, cast

from flask import Response, request
from pydantic import ValidationError

from index.changes.upserts import (
    Upsert,
    UpsertError,
    embed,
    needs_learning,
    remove_product,
    upsert_products,
)
from index.product import Product, category_path
from index.service.keys import ApiKey
from index.store.paging import page_of_products
from index.store.products import StoredProduct
from vision.errors import FindalikeError, UnreadableImage
from vision.images import Image
from webapp.api import answers, requests
from webapp.api.operations import operation
from webapp.api.problems import Problem, invalid
from webapp.api.searching import picture_ref, product_fields, read_photo
from webapp.services import services

_READING = (404, 429, 503)
_WRITING = (412, 413, 415, 422, 503)
_KEPT = ("title", "description", "category", "brand", "price", "currency", "availability", "url")


@operation("GET", "/products", tag="products", scope="search", refusals=(422, 429, 503))
def list_all(query: requests.ListQuery) -> answers.ProductPage:
    """List products, oldest first, page by page.

    Send `next` as `cursor` to get the next page. Products that are written meanwhile do not disturb
    the order.
    """
    with services().catalogue.reading() as table:
        found, after = page_of_products(
            table, query.where, after=int(query.cursor), limit=query.limit
        )
    return answers.ProductPage(
        products=[_told(each) for each in found], next=None if after is None else str(after)
    )


@operation("GET", "/products/{product_id}", tag="products", scope="search", refusals=_READING)
def read_product(product_id: str) -> answers.ProductAnswer:
    """Read a product. With If-None-Match, 304 says that it is as it was."""
    return cast(answers.ProductAnswer, _response(_require(product_id)))


@operation(
    "PUT", "/products/{product_id}", tag="products", scope="write", status=200, refusals=_WRITING
)
def put_product(
    product_id: str, body: requests.ProductRequest | requests.ProductForm, key: ApiKey
) -> answers.ProductAnswer:
    """Write a product as a whole, in place of the one with this id or as a new one.

    What is sent counts as the product's feed: people's decisions about category and attributes go
    before it. With If-Match, another version than that is not overwritten (412); If-None-Match: *
    only makes a new product. Pictures are stored small and without metadata.
    """
    wanted, files = _parts(body)
    _check_id(product_id)

    def change(old: StoredProduct | None) -> Product:
        _check_version(old)
        return _product(product_id, wanted)

    return _write(product_id, change, lambda: _pictures(wanted.pictures, files), key)


@operation(
    "PATCH", "/products/{product_id}", tag="products", scope="write", refusals=(404, *_WRITING)
)
def change_product(
    product_id: str, body: requests.ProductChange | requests.ChangeForm, key: ApiKey
) -> answers.ProductAnswer:
    """Change parts of a product: what is left out stays as it is.

    `attributes` are merged; one that is null goes. `pictures` names all that shall be there; files
    of a form come after the ones there are. With If-Match, only that version is changed (412).
    """
    changed, files = _parts(body)

    def change(old: StoredProduct | None) -> Product:
        if old is None:
            raise Problem(404, "There is no product with this id.")
        _check_version(old)
        return _merged(old.feed, changed)

    known = changed.pictures
    if files and known is None:
        stored = _require(product_id)
        known = [requests.KnownPicture(sha256=view.sha256) for view in stored.views]
    return _write(product_id, change, lambda: _pictures(known, files), key)


@operation(
    "DELETE", "/products/{product_id}", tag="products", scope="write", status=204,
    refusals=(404, 412, 503),
)  # fmt: skip
def delete_product(product_id: str, key: ApiKey) -> None:
    """Remove a product with its pictures. With If-Match, only that version (412)."""
    if not remove_product(services().catalogue, product_id, _check_version):
        raise Problem(404, "There is no product with this id.")
    _note(key, "remove product", [product_id])


@operation("POST", "/batch", tag="products", scope="write", refusals=(413, 415, 422, 503))
def write_batch(body: requests.Batch, key: ApiKey) -> answers.BatchAnswer:
    """Write many products, each as PUT does; one that cannot be written does not stop the others.

    The answer has the status of each. All that are written are committed together.
    """
    with services().gate.place():
        given = [_item(each) for each in body.products]
        results = iter(_upsert([each for each in given if isinstance(each, Upsert)]))
    items = [
        each if isinstance(each, answers.ItemResult) else _result(each.product_id, next(results))
        for each in given
    ]
    written = [each.product_id for each in items if each.status in ("created", "updated")]
    _note(key, "write product", written)
    counts = {
        status: sum(each.status == status for each in items)
        for status in ("created", "updated", "unchanged", "refused")
    }
    return answers.BatchAnswer(items=items, **counts)


def etag(stored: StoredProduct) -> str:
    """Return what changes with a product, its pictures, or what its feed says of it."""
    parts = (stored.product.digest(), stored.feed.digest(), *(each.sha256 for each in stored.views))
    return hashlib.blake2b("".join(parts).encode(), digest_size=16).hexdigest()


def _require(product_id: str) -> StoredProduct:
    stored = services().product(product_id)
    if stored is None:
        raise Problem(404, "There is no product with this id.")
    return stored


def _check_id(product_id: str) -> None:
    try:
        requests.Identity(product_id=product_id)
    except ValidationError as error:
        raise invalid(error, "path") from None


def _check_version(old: StoredProduct | None) -> None:
    """Raise Problem where the request is for another version of the product than there is."""
    there = old is not None and request.if_match.contains(etag(old))
    if request.if_match and not there:
        raise Problem(412, "The product is another by now; read it again and merge.")
    if old is not None and request.if_none_match.contains(etag(old)):
        raise Problem(412, "There is a product with this id already.")


def _parts(body: Any) -> tuple[Any, list[bytes]]:
    """Return the product that a body describes, and the files that came along."""
    if isinstance(body, requests.ProductForm | requests.ChangeForm):
        return body.product, body.photo
    return body, []


def _product(product_id: str, wanted: requests.ProductRequest) -> Product:
    return Product(
        product_id=product_id,
        **{name: getattr(wanted, name) for name in _KEPT if name != "category"},
        category=category_path(wanted.category),
        attributes={name: text for name, text in wanted.attributes.items() if text},
    )


def _merged(feed: Product, changed: requests.ProductChange) -> Product:
    fields = {name: getattr(changed, name) for name in _KEPT if name in changed.model_fields_set}
    if "category" in fields:
        fields["category"] = category_path(fields["category"])
    merged = feed.attributes | changed.attributes
    return replace(feed, **fields, attributes={name: text for name, text in merged.items() if text})


def _pictures(
    listed: Sequence[requests.KnownPicture | requests.NewPicture] | None, files: Sequence[bytes]
) -> tuple[Image | str, ...] | None:
    """Decode the pictures that were sent, and return all that the product shall have."""
    if listed is None and not files:
        return None
    found: list[Image | str] = []
    for place, each in enumerate([*(listed or ()), *files], 1):
        if isinstance(each, requests.KnownPicture):
            found.append(each.sha256)
            continue
        try:
            image = read_photo(each if isinstance(each, bytes) else each.base64)
        except UnreadableImage as error:
            raise UnreadableImage(f"Picture {place}: {error}") from error
        found.append(image)
    return tuple(found)


def _write(
    product_id: str,
    change: Callable[[StoredProduct | None], Product],
    pictures: Callable[[], tuple[Image | str, ...] | None],
    key: ApiKey,
) -> answers.ProductAnswer:
    with services().gate.place():
        (result,) = _upsert([Upsert(product_id, change, pictures())])
    if isinstance(result, UpsertError):
        raise result
    if result != "unchanged":
        _note(key, "write product", [product_id])
    response = _response(_require(product_id))
    response.status_code = 201 if result == "created" else 200
    return cast(answers.ProductAnswer, response)


def _upsert(wanted: Sequence[Upsert]) -> list[Any]:
    """Embed what is new where encoding is done, then write."""
    service = services()
    uploads = [image for each in wanted for image in each.uploads]
    embedded = service.gate.run(lambda: embed(service.catalogue, uploads))
    return list(upsert_products(service.catalogue, wanted, embedded))


def _item(given: dict[str, Any]) -> Upsert | answers.ItemResult:
    """Return what a batch's item asks for, or why it is refused."""
    name = str(given.get("product_id", ""))[:512]
    try:
        item = requests.BatchItem.model_validate(given, strict=True)
        product = _product(item.product_id, item)
        return Upsert(item.product_id, lambda _: product, _pictures(item.pictures, []))
    except ValidationError as error:
        problem = invalid(error, "")
        return _refused(name, "The product is not as /openapi.json says.", problem.errors)
    except UnreadableImage as error:
        return _refused(name, str(error), [])


def _result(product_id: str, result: Any) -> answers.ItemResult:
    if isinstance(result, FindalikeError):
        return _refused(product_id, str(result), [])
    status = cast(Literal["created", "updated", "unchanged"], result)
    return answers.ItemResult(product_id=product_id, status=status, detail="", errors=[])


def _refused(product_id: str, detail: str, errors: list[dict[str, str]]) -> answers.ItemResult:
    return answers.ItemResult(product_id=product_id, status="refused", detail=detail, errors=errors)


def _note(key: ApiKey, action: str, product_ids: Sequence[str]) -> None:
    """Note who did it, and ask for a rebuild where the ranking should be learnt anew."""
    service = services()
    desk = service.desk
    desk.audit.note_all(key.who, action, [(each, {}) for each in product_ids])
    if not needs_learning(service.catalogue):
        return
    if all(each.over for each in desk.jobs.latest(limit=1, kinds=("rebuild",))):
        desk.jobs.add("rebuild", {}, who=key.who)
        desk.foreman.wake()


def _told(stored: StoredProduct) -> answers.ProductAnswer:
    return answers.ProductAnswer(
        **product_fields(stored.product),
        pictures=[picture_ref(view.sha256) for view in stored.views],
        changed=when(stored.changed),
    )


def when(seconds: float) -> str:
    """Return a time as RFC 3339 has it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _response(stored: StoredProduct) -> Response:
    """Return a product with its ETag, 304 where it is known."""
    response = Response(_told(stored).model_dump_json(), mimetype="application/json")
    response.set_etag(etag(stored))
    response.headers["Cache-Control"] = "no-cache"
    if request.method == "GET":
        response.make_conditional(request)
    return response
