"""One product: changed, given other pictures, merged with another, removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import abort, flash, redirect, render_template, request
from flask import url_for as url
from flask_babel import gettext
from werkzeug.wrappers import Response as Answer

from index.changes.editing import add_picture, change_product, merge_products, set_pictures
from index.labels.deciding import decide
from index.labels.sheets import resolve
from index.labels.standing import Decision, product_labels
from index.labels.taxonomies import stored_taxonomy
from index.query import check_text
from index.store.products import StoredProduct
from vision.errors import LabelError, QueryError
from vision.taxonomy import CATEGORY
from webapp.services import services
from webapp.shop.searches import read_price
from webapp.staff.access import blueprint, desk, me, note, note_decisions
from webapp.uploads import read_photo

TEXTS = ("title", "brand", "price", "currency", "availability", "url", "description")
AVAILABILITIES = ("in stock", "out of stock", "preorder")
_LONGEST = 10_000  # characters
_CHOICES = 200  # values of an axis that a list offers


@blueprint.get("/product")
def product() -> str:
    """Show one product with all that can be done to it."""
    return _page(_stored(request.args.get("id", "")))


@blueprint.post("/product")
def save_product() -> Answer | tuple[str, int]:
    """Write what was changed: texts and price into the feed's place, labels as decisions.

    What cannot be written is shown again as it was typed, with what is wrong.
    """
    stored = _stored(request.form.get("id", ""))
    try:
        return _save(stored)
    except (QueryError, LabelError) as error:
        return _page(_stored(stored.product.product_id), request.form, gettext(str(error))), 400


def _page(stored: StoredProduct, typed: Mapping[str, str] | None = None, wrong: str = "") -> str:
    taxonomy = desk().taxonomy()
    with services().catalogue.reading() as table:
        fixed = stored_taxonomy(table.connection) is not None
        labels = product_labels(table, {stored.key: stored})[stored.key]
    names = dict.fromkeys([*taxonomy.axes, *stored.product.attributes, *stored.feed.attributes])
    values = {name: taxonomy.axes.get(name, ())[:_CHOICES] for name in names}
    lines = desk().audit.entries(about=stored.product.product_id, limit=20)
    return render_template(
        "staff/product.html", stored=stored, labels=labels, axes=values, fixed=fixed,
        categories=taxonomy.categories[:2000], texts=TEXTS, availabilities=AVAILABILITIES,
        lines=lines, typed=typed or {}, wrong=wrong,
    )  # fmt: skip


def _save(stored: StoredProduct) -> Answer:
    product_id = stored.product.product_id
    values = {name: request.form[name] for name in TEXTS if name in request.form}
    before = vars(stored.feed)
    read: dict[str, Callable[[str], Any]] = {
        "price": read_price,
        "currency": _currency,
        "url": _link,
    }
    changed = {name: read.get(name, _text)(text) for name, text in values.items()}
    changed = {name: value for name, value in changed.items() if value != before[name]}
    decisions = _decisions(stored)
    catalogue = services().catalogue
    if changed:
        was = change_product(catalogue, product_id, request.form.get("seen", ""), changed)
        detail = {name: [vars(was.feed)[name], value] for name, value in changed.items()}
        note("changed", product_id, **detail)
    if decisions:
        decide(catalogue, decisions, who=me().name, new_values=True)
        note_decisions("decided", decisions)
    flash(gettext("Saved.") if changed or decisions else gettext("Nothing was changed."))
    return _show(product_id)


def _decisions(stored: StoredProduct) -> list[Decision]:
    """Return what the form says of category and attributes other than what holds."""
    form, product = request.form, stored.product
    taxonomy = desk().taxonomy()
    wanted = {name.removeprefix("a."): text for name, text in form.items() if name[:2] == "a."}
    now = product.attributes
    if "category" in form:
        wanted, now = wanted | {CATEGORY: form["category"]}, now | {CATEGORY: product.category}
    new = form.get("new_name", "").strip()
    if new and form.get("new_value", "").strip():
        wanted[new] = form["new_value"]
    decisions = []
    for axis, text in wanted.items():
        value = resolve(_text(text), axis, taxonomy)
        if value == now.get(axis, ""):
            continue
        action, product_id = ("set" if value else "outside"), product.product_id
        decisions.append(Decision(product_id, axis, "set" if action == "set" else "outside", value))
    return decisions


@blueprint.post("/product/pictures")
def add_pictures() -> Answer:
    """Add a picture."""
    service = services()
    product_id = _stored(request.form.get("id", "")).product.product_id
    photo = read_photo(request, service.decode)
    if photo is None:
        raise QueryError(gettext("Choose a picture first."))
    added = service.gate.run(lambda: add_picture(service.catalogue, product_id, photo))
    if added:
        note("picture added", product_id, sha256=photo.sha256)
        desk().again.put(product_id)
        flash(gettext("The picture was added."))
    else:
        flash(gettext("The product has this picture already."))
    return _show(product_id)


@blueprint.post("/product/pictures/change")
def change_pictures() -> Answer:
    """Remove a picture, or make it the first."""
    stored = _stored(request.form.get("id", ""))
    product_id, shown = stored.product.product_id, [sha256 for sha256, _ in stored.pictures]
    picture, what = request.form.get("picture", ""), request.form.get("what", "")
    rest = [each for each in shown if each != picture]
    if len(rest) == len(shown):
        abort(404)
    set_pictures(services().catalogue, product_id, [picture, *rest] if what == "first" else rest)
    note("picture moved" if what == "first" else "picture removed", product_id, sha256=picture)
    desk().again.put(product_id)
    flash(gettext("The pictures were changed."))
    return _show(product_id)


@blueprint.get("/product/merge")
def choose_merge() -> Answer | str:
    """Show two products side by side, to choose which of them stays."""
    first = _stored(request.args.get("id", ""))
    wanted = request.args.get("other", "").strip()
    other = services().product(wanted)
    if other is None or first.key == other.key:
        flash(
            gettext("No product has the number %(id)s.", id=wanted)
            if other is None
            else gettext("These are one product already; choose another one.")
        )
        return _show(first.product.product_id)
    return render_template("staff/merge.html", pair=((first, other), (other, first)))


@blueprint.post("/product/merge")
def merge() -> Answer:
    """Make two products one."""
    keep, other = request.form.get("keep", ""), request.form.get("other", "")
    merge_products(services().catalogue, keep, other)
    note("merged", keep, took=other)
    note("merged", other, into=keep)
    desk().again.put(keep)
    flash(gettext("The two products are one now."))
    return _show(keep)


@blueprint.get("/product/remove")
def ask_to_remove() -> str:
    """Ask whether a product is really to be removed."""
    return render_template("staff/remove.html", stored=_stored(request.args.get("id", "")))


@blueprint.post("/product/remove")
def remove() -> Answer:
    """Remove a product."""
    stored = _stored(request.form.get("id", ""))
    services().catalogue.remove([stored.product.product_id])
    note("removed", stored.product.product_id, title=stored.product.title)
    flash(gettext("The product was removed."))
    return redirect(url("staff.products"), 303)


def _stored(product_id: str) -> StoredProduct:
    found = services().product(product_id)
    if found is None:
        abort(404)
    return found


def _show(product_id: str) -> Answer:
    return redirect(url("staff.product", id=product_id), 303)


def _text(text: str) -> str:
    check_text(text)
    if len(text) > _LONGEST:
        raise QueryError(gettext("This text is too long."))
    return text.replace("\r\n", "\n").strip()


def _currency(text: str) -> str:
    text = _text(text).upper()
    if text and not (len(text) == 3 and text.isascii() and text.isalpha()):
        raise QueryError(gettext("A currency has three letters, such as EUR."))
    return text


def _link(text: str) -> str:
    text = _text(text)
    if text and not text.lower().startswith(("https://", "http://")):
        raise QueryError(gettext("The address of a product's page begins with https:// or http://"))
    return text
