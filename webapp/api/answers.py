"""What the API sends back."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from index.service.keys import Scope
from webapp.api.texts import Sha256


class Told(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="forbid")


class PictureRef(Told):
    """A picture of a product, and where a small copy of it is."""

    sha256: Sha256
    url: str = Field(examples=["/pictures/SHA256.jpg"])


class ProductFields(Told):
    """What a product says of itself; texts are "" where there is none."""

    product_id: str
    title: str
    description: str
    category: str = Field(examples=["Kitchen > Mugs"])
    brand: str
    price: float | None
    currency: str
    availability: str
    url: str
    attributes: dict[str, str]


class Hit(ProductFields):
    """One product of an answer."""

    score: float = Field(description="How near it is, -1 to 1; comparable within one answer.")
    probability: float | None = Field(description="That it is the very product in the photo.")
    picture: PictureRef


class SearchAnswer(Told):
    """The products, best first."""

    verdict: Literal["exact", "similar", "not stocked"]
    hits: list[Hit]
    faults: list[Literal["dark", "bright", "blurred", "small"]] = Field(
        description="What is wrong with the photo itself, unless the answer is exact."
    )
    unknown: list[str] = Field(description="Words asked for that describe no product.")
    left_out: bool = Field(
        description="The conditions leave out a product that looks more like the photo."
    )
    milliseconds: dict[str, float] = Field(
        description="The time of each stage: read, decode, encode, search, rank, and others."
    )


class Likely(Told):
    """A value and how probable it is."""

    value: str
    probability: float


class TagOfAxis(Told):
    """What the head says of one axis; ``accepted`` is null where it is not sure enough."""

    accepted: str | None
    confidence: float
    outside: float = Field(description="The probability that no value fits.")
    best: list[Likely]


class ReasonGiven(Told):
    """A labelled product that looks like the photo."""

    product_id: str
    title: str
    sha256: str
    cosine: float
    labels: dict[str, str]


class Categorisation(Told):
    """What a photo shows, by axis, and the labelled products that speak for it."""

    tags: dict[str, TagOfAxis]
    reasons: list[ReasonGiven]


class ItemResult(Told):
    """What became of one product of a batch; ``detail`` says why it was refused."""

    product_id: str
    status: Literal["created", "updated", "unchanged", "refused"]
    detail: str
    errors: list[dict[str, str]]


class BatchAnswer(Told):
    """What became of each product, in the order in which they were sent."""

    items: list[ItemResult]
    created: int
    updated: int
    unchanged: int
    refused: int


class ProductAnswer(ProductFields):
    """A product as it holds: what its feed says, what people decided, what the head filled in."""

    pictures: list[PictureRef]
    changed: str = Field(
        description="When it was written last.", json_schema_extra={"format": "date-time"}
    )


class ProductPage(Told):
    """Some products, oldest first; ``next`` is the cursor of the next page, or null."""

    products: list[ProductAnswer]
    next: str | None


class LabelAnswer(Told):
    """What holds on one axis and who says so; the value "" means that none fits."""

    value: str
    source: Literal["feed", "person", "head"]
    time: str = Field(json_schema_extra={"format": "date-time"})
    who: str
    head: str
    confidence: float | None


class LabelsAnswer(Told):
    """A product's labels by axis: "category" or the name of an attribute."""

    product_id: str
    labels: dict[str, LabelAnswer]


class DecisionsAnswer(Told):
    """How many were taken."""

    taken: int


class Undone(Told):
    """One decision that was taken back."""

    product_id: str
    axis: str
    action: str
    value: str


class UndoAnswer(Told):
    """The decisions that were taken back; none where there was nothing to undo."""

    undone: list[Undone]


class QuestionAnswer(Told):
    """One product on one axis for a person to decide."""

    product_id: str
    title: str
    picture: PictureRef
    axis: str
    now: str = Field(description='What holds at present, "" if nothing does.')
    source: str
    best: list[Likely]
    outside: float
    why: str


class QuestionsAnswer(Told):
    """What to decide next, the most useful first, of ``open`` questions."""

    open: int
    questions: list[QuestionAnswer]


class JobAnswer(Told):
    """A job; ``done`` of ``total`` (0: not known) is how far its stage is."""

    id: int
    kind: str
    who: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    created: str = Field(json_schema_extra={"format": "date-time"})
    started: str | None = Field(json_schema_extra={"format": "date-time"})
    finished: str | None = Field(json_schema_extra={"format": "date-time"})
    stage: str
    done: int
    total: int
    result: dict[str, Any]
    error: str


class JobPage(Told):
    """Jobs, the latest first; ``next`` is the cursor of the next page, or null."""

    jobs: list[JobAnswer]
    next: str | None


class HealthAnswer(Told):
    """That the server answers."""

    status: Literal["ok"]


class ReadyAnswer(Told):
    """That searches will be answered: encoder and index are in memory, children run."""

    ready: bool
    products: int
    generation: int


class VersionAnswer(Told):
    """Which findalike this is, and which encoder the catalogue has."""

    version: str
    api: Literal["v1"]
    encoder: str
    words: bool = Field(description="Whether it can be searched by words.")
    scopes: list[Scope]
