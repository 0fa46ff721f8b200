"""Labels: what holds and who says so, decisions, and what to decide next."""

from __future__ import annotations

from collections.abc import Sequence

from index.labels.deciding import decide, undo
from index.labels.review import Question, queue, queue_length
from index.labels.sheets import resolve
from index.labels.standing import Decision, Label, product_labels
from index.labels.taxonomies import taxonomy_of
from index.service.keys import ApiKey
from webapp.api import answers, requests
from webapp.api.operations import operation
from webapp.api.problems import Problem
from webapp.api.products import when
from webapp.api.searching import picture_ref
from webapp.services import services


@operation("GET", "/labels/{product_id}", tag="labels", scope="read", refusals=(404, 503))
def read_labels(product_id: str) -> answers.LabelsAnswer:
    """Read a product's labels by axis, each with its source.

    A person's word goes before the feed's, the feed's before the head's.
    """
    with services().catalogue.reading() as table:
        key = table.keys([product_id]).get(product_id)
        if key is None:
            raise Problem(404, "There is no product with this id.")
        found = product_labels(table, table.get([key]))[key]
    return answers.LabelsAnswer(
        product_id=product_id, labels={axis: _label(each) for axis, each in found.items()}
    )


@operation("POST", "/decisions", tag="labels", scope="write", refusals=(415, 422, 503))
def take_decisions(body: requests.Decisions, key: ApiKey) -> answers.DecisionsAnswer:
    """Decide labels, all together or none; they count at once.

    They are kept under the key's name; products that look alike are predicted anew in a moment.
    The last name of a category is enough where it is unique.
    """
    catalogue = services().catalogue
    with catalogue.reading() as table:
        taxonomy = taxonomy_of(table)
    decisions = [
        Decision(
            each.product_id,
            each.axis,
            each.action,
            resolve(each.value, each.axis, taxonomy) if each.action in ("set", "reject") else "",
        )
        for each in body.decisions
    ]
    taken = decide(catalogue, decisions, who=key.who, new_values=body.new_values)
    _heed(key, "decide", decisions)
    return answers.DecisionsAnswer(taken=taken)


@operation("POST", "/decisions/undo", tag="labels", scope="write", refusals=(503,))
def undo_decisions(key: ApiKey) -> answers.UndoAnswer:
    """Take back the last decisions that were made with this key, all that were sent together."""
    catalogue = services().catalogue
    undone = undo(catalogue, who=key.who)
    _heed(key, "undo", undone)
    return answers.UndoAnswer(
        undone=[
            answers.Undone(
                product_id=each.product_id, axis=each.axis, action=each.action, value=each.value
            )
            for each in undone
        ]
    )


@operation("GET", "/questions", tag="labels", scope="read", refusals=(503,))
def list_questions(query: requests.QuestionsQuery) -> answers.QuestionsAnswer:
    """List what a person should decide next: what the head is unsure of or contradicts."""
    catalogue = services().catalogue
    found = queue(catalogue, query.limit, axis=query.axis or None)
    with catalogue.reading() as table:
        count = queue_length(table)
    return answers.QuestionsAnswer(open=count, questions=[_question(each) for each in found])


def _heed(key: ApiKey, action: str, decisions: Sequence[Decision]) -> None:
    """Note what was done, and let similar products be predicted anew in a moment."""
    desk = services().desk
    lines = [(each.product_id, {"axis": each.axis, "value": each.value}) for each in decisions]
    desk.audit.note_all(key.who, action, lines)
    for product_id in {each.product_id for each in decisions}:
        desk.again.put(product_id)


def _label(label: Label) -> answers.LabelAnswer:
    return answers.LabelAnswer(
        value=label.value,
        source=label.source,
        time=when(label.time),
        who=label.who,
        head=label.head,
        confidence=label.confidence,
    )


def _question(question: Question) -> answers.QuestionAnswer:
    product = question.stored.product
    return answers.QuestionAnswer(
        product_id=product.product_id,
        title=product.title,
        picture=picture_ref(question.stored.views[0].sha256),
        axis=question.axis,
        now=question.now.value if question.now else "",
        source=question.now.source if question.now else "",
        best=[answers.Likely(value=value, probability=p) for value, p in question.best],
        outside=question.outside,
        why=question.why,
    )
