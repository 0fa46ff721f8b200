"""The shopper's pages: one that searches, one for each product, and their pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flask import Blueprint, Response, abort, make_response, render_template, request
from flask_babel import get_locale
from markupsafe import Markup

from index.product import Product
from index.query import Answer, Query, Seen
from index.search.facets import Facets
from index.search.turns import best_turn
from index.store.products import StoredProduct
from vision.images import Image, Region
from vision.pictures.faults import Fault
from vision.pictures.looks import faults_of, regions_of
from webapp.services import services
from webapp.shop.formats import category_levels, register
from webapp.shop.searches import ORDERS, PARTS, WHOLE, Search, numbers, read_search
from webapp.uploads import inline, read_photo, require, trusted

blueprint = Blueprint("shop", __name__)
register(blueprint)

_YEAR = 365 * 24 * 3600
_SIMILAR = 12  # products shown beside one
_FIRST = 12  # products on the start page
_LINKS = ("https://", "http://")
_TURNS = {"right": 1, "left": 3}  # quarters of a circle, clockwise
_THUMB = 112  # pixels of the long side
_PANELS = 100  # remembered
_PARTS = 3  # offered beside the whole photo


@dataclass(frozen=True)
class Card:
    """One product in a list; ``best`` where it is the very one that was asked for."""

    product: Product
    sha256: str
    best: bool = False


@dataclass(frozen=True)
class Part:
    """A part of the photo that can be chosen: as a form has it, and a small JPEG in Base64."""

    region: str
    picture: str
    chosen: bool


@dataclass(frozen=True)
class Found:
    """What the page shows below the question.

    ``faults`` are those of the photo, and ``parts`` its parts, told only where nothing certain was
    found; ``by_itself`` where the shop chose the part. ``shared`` is the address of this search
    after it was asked for; ``more`` tells whether there may be more.
    """

    search: Search
    answer: Answer | None
    cards: tuple[Card, ...]
    facets: Facets
    faults: tuple[Fault, ...]
    parts: tuple[Part, ...]
    by_itself: bool
    like: Product | None
    shared: str
    more: bool


def wants_fragment() -> bool:
    """Tell whether the page's own script asks, which needs the inner part only."""
    return request.headers.get("X-Requested-With") == "fetch"


@blueprint.route("/", methods=["GET", "POST"])
def page() -> Response:
    """Search and show: the one page that does the job, with or without script."""
    service = services()
    search = read_search(request.form if request.method == "POST" else request.args)
    with contextlib.ExitStack() as place:
        if request.method == "POST" or search.asks or search.kept or search.example:
            service.allowance.spend(request.remote_addr or "")
            place.enter_context(service.gate.place())
        photo, search = _photo(search)
        seen = None
        if photo is not None and "turn" not in request.form:
            seen = service.see(search.query(photo)).seen
        if photo is not None or search.asks:
            place.enter_context(service.gate.turn())
        return _answer(search, photo, seen)


def _answer(search: Search, photo: Image | None, seen: Seen | None) -> Response:
    """Find what is asked, and show it: whole, or what stands below the form.

    ``seen`` is the photo embedded already, where it was.
    """
    turn = request.form.get("turn", "")
    quarters = _quarters(photo, turn)
    if photo is not None and quarters:
        # From here on it is another photo, which the page carries along.
        photo = photo.turned(quarters)
        search = replace(search, kept="", example=None, region=None)
    found = _find(search, photo, seen)
    search = found.search
    context = {
        "found": found,
        "search": search,
        "panel": _panel(search, found),
        "parts": PARTS,
        "photo_asked": photo is not None,
        "turned": quarters if turn == "upright" else None,
        "nothing_asked": "go" in request.form and photo is None and not search.asks,
    }
    if wants_fragment():
        if photo is not None and "preview" in request.form:  # the browser cannot show it itself
            context["preview64"] = inline(photo)
        response = make_response(render_template("_found.html", **context))
        if photo is None or search.kept or search.example:
            response.headers["X-Address"] = search.address()
        return response
    context["photo64"] = inline(photo) if photo is not None else ""
    words = services().knows_words
    return make_response(render_template("shop.html", **context, words=words, start=photo is None))


def _panel(search: Search, found: Found) -> Markup:
    """Return what the search can be narrowed by, for which the page takes most of its time.

    Without conditions it is the same for every search, and remembered.
    """
    hidden = not (found.answer or search.narrowed or search.order)
    remembered = services().panels
    key = (search.where, search.order, hidden, str(get_locale()))
    if key not in remembered or remembered[key][0] is not found.facets:
        if len(remembered) >= _PANELS:
            remembered.clear()
        html = render_template(
            "_panel.html", search=search, facets=found.facets, orders=ORDERS, hidden=hidden
        )
        remembered[key] = found.facets, Markup(html)
    return remembered[key][1]


def _photo(search: Search) -> tuple[Image | None, Search]:
    """Return the photo that is asked, and the search without what it replaces."""
    service = services()
    if request.form.get("drop") == "photo":
        return None, search
    photo = read_photo(request, service.decode)
    if photo is not None:
        search = replace(search, kept="", example=None, like="")
    elif search.kept:
        photo = require(service.photos.get(search.kept))
    elif search.example:
        if search.example > len(service.examples):
            abort(404)
        photo = trusted(service.examples[search.example - 1])
    return photo, search


def _quarters(photo: Image | None, turn: str) -> int:
    """Return by how many quarters the photo is to be turned, as asked or as finds most."""
    service = services()
    if photo is None or turn != "upright":
        return _TURNS.get(turn, 0)
    return service.ask(lambda catalogue: best_turn(catalogue, photo))


def _find(search: Search, photo: Image | None, seen: Seen | None) -> Found:
    """Search; the search that comes back names the part that was chosen, and the kept photo."""
    service = services()
    facets = service.facets(search.where)
    stored = service.product(search.like) if search.like else None
    like = stored.product if stored is not None else None
    if photo is None and not search.asks:
        limit = search.shown if search.narrowed or search.order else _FIRST
        products = service.browse(search.where, search.order, limit)
        cards = tuple(_card(each) for each in products)
        more = facets.products > len(cards)
        return Found(search, None, cards, facets, (), (), False, None, "", more)
    query = replace(search.query(photo), seen=seen)
    likely: tuple[Region, ...] = ()
    by_itself = False
    if photo is not None and query.photo_only and search.region is None:
        parted = service.search_parts(query)
        answer, likely, by_itself = parted.answer, parted.likely, parted.region is not None
        search = replace(search, region=parted.region)
    else:
        answer = service.search(query)
        likely = regions_of(photo) if photo is not None else ()
    sure = answer.verdict == "exact"
    cards = tuple(
        Card(hit.product, hit.sha256, sure and place == 0) for place, hit in enumerate(answer.hits)
    )
    if search.order:
        sign = -1 if search.order.startswith("-") else 1
        cards = tuple(sorted(cards, key=lambda each: _by_price(each.product, sign)))
    faults = faults_of(photo) if photo is not None and not sure else ()
    parts = _parts(photo, likely, search.region) if photo is not None else ()
    shared = ""
    if "share" in request.form:
        if photo is not None and not search.kept:
            search = replace(search, kept=service.photos.keep(photo), example=None)
        shared = search.address(shown=Search.shown)
    more = facets.products - bool(like) > len(cards)
    return Found(search, answer, cards, facets, faults, parts, by_itself, like, shared, more)


def _parts(photo: Image, likely: Sequence[Region], chosen: Region | None) -> tuple[Part, ...]:
    """Return the whole photo and the parts to choose from, none where there are no parts."""
    said = numbers(chosen or WHOLE)  # as a form rounds them
    offered = list(likely[:_PARTS])
    offered[-1:] = [each for each in likely[_PARTS:] if numbers(each) == said] or offered[-1:]
    return tuple(
        Part(numbers(each), inline(photo.crop(each), _THUMB), numbers(each) == said)
        for each in (WHOLE, *offered)
        if offered
    )


def _by_price(product: Product, sign: int) -> tuple[bool, float]:
    return product.price is None, sign * (product.price or 0)


def _card(stored: StoredProduct) -> Card:
    return Card(stored.product, stored.views[0].sha256 if stored.views else "")


@blueprint.get("/product")
def product() -> str:
    """Show one product with its pictures, attributes and others like it."""
    service = services()
    stored = service.product(request.args.get("id", ""))
    if stored is None:
        abort(404)
    similar = service.search(Query(like=stored.product.product_id, k=_SIMILAR))
    shown = stored.product
    return render_template(
        "product.html",
        product=shown,
        pictures=[view.sha256 for view in stored.views],
        levels=category_levels(shown.category),
        link=shown.url if shown.url.lower().startswith(_LINKS) else "",
        cards_=[Card(hit.product, hit.sha256) for hit in similar.hits],
    )


@blueprint.get("/pictures/<sha256>.jpg")
def picture(sha256: str) -> Response:
    """Send a product's picture as it is stored: small, without metadata, the same for ever."""
    data = services().preview(sha256)
    if data is None:
        abort(404)
    return _jpeg(data, f"public, max-age={_YEAR}, immutable", sha256)


@blueprint.get("/examples/<int:place>.jpg")
def example(place: int) -> Response:
    """Send an example photo, encoded anew."""
    photos = services().examples
    if not 1 <= place <= len(photos):
        abort(404)
    return _jpeg(trusted(photos[place - 1]).preview(320), "public, max-age=3600", "")


@blueprint.get("/healthz")
def health() -> Response:
    """Say that the app answers and its catalogue can be read."""
    with services().catalogue.reading() as table:
        table.generation()
    response = make_response("ok\n")
    response.mimetype = "text/plain"
    response.headers["Cache-Control"] = "no-store"
    return response


def _jpeg(data: bytes, caching: str, tag: str) -> Response:
    response = make_response(data)
    response.mimetype = "image/jpeg"
    response.headers["Cache-Control"] = caching
    if tag:
        response.set_etag(tag[:32])
        response.make_conditional(request)
    return response
