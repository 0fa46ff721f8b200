"""The review queue: what the head is unsure of, decided one by one or many at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flask import Response, abort, flash, jsonify, redirect, render_template, request
from flask import url_for as url
from flask_babel import gettext, ngettext
from werkzeug.wrappers import Response as Answer

from index.labels.categorising import explain_category
from index.labels.deciding import decide, undo
from index.labels.reasons import Reason, product_reasons
from index.labels.recent import recent_values
from index.labels.review import Question, queue, queue_length
from index.labels.sheets import resolve
from index.labels.standing import Action, Decision
from vision.images import read_image
from vision.taxonomy import CATEGORY, Taxonomy
from webapp.services import services
from webapp.staff.access import blueprint, desk, me, note_decisions, wants_json

AHEAD = 6  # questions that a page has at once
GRID = 24
_BEST = 3
_KEYS = 9  # values that have a key of their own
_COMPLETIONS = 12
_SEEN = 60  # questions that a page may have in hand

_ACTIONS: tuple[Action, ...] = ("set", "outside", "reject", "skip")


@dataclass(frozen=True)
class Card:
    """A question as it is shown: ``others`` are values to pick besides the three best."""

    question: Question
    reasons: tuple[Reason, ...]
    others: tuple[str, ...]

    @property
    def key(self) -> str:
        """Return what tells it from other questions on a page."""
        return f"{self.question.stored.key}:{self.question.axis}"


@dataclass(frozen=True)
class Choice:
    """What the queue can be narrowed down to: the axes, and the one that was chosen or ""."""

    axes: tuple[str, ...]
    axis: str


@blueprint.get("/review")
def review() -> str:
    """Show the next question, with those after it ready where there is script."""
    cards, open_, choice = _cards(AHEAD)
    return render_template("staff/review.html", cards=cards, open=open_, choice=choice)


@blueprint.get("/review/more")
def more_questions() -> str:
    """Return questions that the page does not have yet."""
    seen = set(request.args.getlist("seen")[:_SEEN])
    cards, _, choice = _cards(AHEAD, seen)
    return render_template("staff/_questions.html", cards=cards, choice=choice)


@blueprint.get("/review/grid")
def review_grid() -> str:
    """Show many questions at once, of one axis."""
    cards, open_, choice = _cards(GRID, reasons=False, default=CATEGORY)
    return render_template("staff/grid.html", cards=cards, open=open_, choice=choice)


@blueprint.post("/review")
def take_decision() -> Answer | Response:
    """Take a decision about one product, or the same about all that were picked."""
    form = request.form
    action = form.get("action", "")
    value = form.get("value", "")
    if action.startswith("pick:"):  # a button that has the value with it
        action, value = "set", action.removeprefix("pick:")
    axis = form.get("axis", "")
    picked = form.getlist("picked") if "grid" in form else [form.get("product", "")]
    if not picked:
        flash(gettext("Pick some products first."))
        return _back()
    if action == "set":
        value = _resolved(value, axis)
    decisions = []
    for each in picked:
        meant = form.get(f"proposal:{each}", "") if action in ("accept", "reject") else value
        decisions.append(_decision(each, axis, action, meant))
    service = services()
    decide(service.catalogue, decisions, who=me().name, new_values="new" in form)
    note_decisions("decided", decisions)
    if wants_json():
        return jsonify(taken=len(decisions), value=value)
    flash(ngettext("%(num)s decision taken.", "%(num)s decisions taken.", len(decisions)))
    return _back()


def _decision(product_id: str, axis: str, action: str, value: str) -> Decision:
    if action == "accept":
        return Decision(product_id, axis, "set", value)
    if action == "reject":
        return Decision(product_id, axis, "reject", value)
    for known in _ACTIONS:
        if action == known:
            return Decision(product_id, axis, known, value if known == "set" else "")
    abort(400)


def _resolved(value: str, axis: str) -> str:
    """Return the value that was meant: the last name of a category is enough, "mug" for "Mugs"."""
    taxonomy = desk().taxonomy()
    found = resolve(value, axis, taxonomy)
    if found in values_of(taxonomy, axis):
        return found
    many = [resolve(value.strip() + ending, axis, taxonomy) for ending in ("s", "es")]
    return next((each for each in many if each in values_of(taxonomy, axis)), found)


@blueprint.post("/review/undo")
def take_back() -> Answer | Response:
    """Take one's own last step back."""
    undone = undo(services().catalogue, who=me().name)
    note_decisions("undone", undone)
    if wants_json():
        return jsonify(undone=[each.product_id for each in undone])
    if undone:
        flash(
            ngettext("%(num)s decision taken back.", "%(num)s decisions taken back.", len(undone))
        )
    else:
        flash(gettext("There is nothing of yours to take back."))
    return _back()


@blueprint.get("/review/heat.jpg")
def heat_map() -> Response:
    """Send a product's picture with what speaks for a category glowing."""
    service = services()
    data = service.preview(request.args.get("picture", ""))
    if data is None:
        abort(404)
    value = request.args.get("value", "")
    jpeg = service.gate.run(lambda: explain_category(service.catalogue, read_image(data), value))
    return Response(jpeg, mimetype="image/jpeg", headers={"Cache-Control": "private, max-age=600"})


@blueprint.get("/values")
def complete() -> Response:
    """Return the values of an axis that fit what was typed so far, the best first, as JSON."""
    typed = request.args.get("q", "").strip().lower()
    axis = request.args.get("axis", CATEGORY)
    values = values_of(desk().taxonomy(), axis)
    return jsonify(matches(values, typed)[:_COMPLETIONS])


def values_of(taxonomy: Taxonomy, axis: str) -> tuple[str, ...]:
    """Return the values of an axis."""
    return taxonomy.categories if axis == CATEGORY else taxonomy.axes.get(axis, ())


def matches(values: Iterable[str], typed: str) -> list[str]:
    """Return the values that have all the words typed, those whose last name begins so first."""
    words = typed.split()
    found = [value for value in values if all(word in value.lower() for word in words)]

    def rank(value: str) -> tuple[bool, bool, int, str]:
        last = value.lower().rpartition(" > ")[2]
        return (not last.startswith(typed), typed not in last, len(value), value)

    return sorted(found, key=rank)


def _cards(
    count: int, seen: Iterable[str] = (), *, reasons: bool = True, default: str = ""
) -> tuple[list[Card], int, Choice]:
    """Return the next questions, how many are open, and what they were chosen by."""
    catalogue = services().catalogue
    seen = set(seen)
    axis = request.args.get("axis", default)
    taxonomy = desk().taxonomy()
    axes = ((CATEGORY,) if taxonomy.categories else ()) + tuple(taxonomy.axes)
    axis = axis if axis in axes else default
    with catalogue.reading() as table:
        open_ = 0 if seen else queue_length(table, axis or None)
        recent = recent_values(table.connection, me().name, _KEYS)
    asked = queue(catalogue, count + len(seen), axis=axis or None)
    asked = [each for each in asked if f"{each.stored.key}:{each.axis}" not in seen][:count]
    why: dict[tuple[int, str], tuple[Reason, ...]] = {}
    if reasons:
        for each_axis in {each.axis for each in asked}:
            keys = [each.stored.key for each in asked if each.axis == each_axis]
            found = product_reasons(catalogue, keys, each_axis)
            why |= {(key, each_axis): like for key, like in found.items()}
    cards = [
        Card(each, why.get((each.stored.key, each.axis), ()), _others(each, taxonomy, recent))
        for each in asked
    ]
    return cards, open_, Choice(axes, axis)


def _others(
    question: Question, taxonomy: Taxonomy, recent: dict[str, list[str]]
) -> tuple[str, ...]:
    """Return values for the keys after the best: all of a short axis, else those lately given."""
    best = {value for value, _ in question.best[:_BEST]}
    left = _KEYS - len(best)
    values = values_of(taxonomy, question.axis)
    if question.axis == CATEGORY or len(values) - len(best) > left:
        known = set(values)
        values = tuple(each for each in recent.get(question.axis, ()) if each in known)
    return tuple(each for each in values if each not in best)[:left]


def _back() -> Answer:
    """Return to where the form was."""
    page = "staff.review_grid" if "grid" in request.form else "staff.review"
    return redirect(url(page, axis=request.form.get("back", "") or None), 303)
