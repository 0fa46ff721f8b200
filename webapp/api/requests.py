"""What is sent to the API. What is not named here is refused, so that no slip goes unseen."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from index.query import MAX_K
from webapp.api.texts import (
    REGION,
    Base64,
    Category,
    Conditions,
    Currency,
    Cursor,
    Length,
    Line,
    Name,
    Price,
    ProductId,
    Sha256,
    Start,
    Text,
    Upload,
    Url,
    Weight,
    Whole,
    Words,
)


class Asked(BaseModel):
    """A part of a request: what is not in the document is refused, so that no slip goes unseen."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


class Weights(Asked):
    """How much each part of a search counts."""

    photo: Weight = 1.0
    text: Weight = 1.0
    not_: Weight = Field(default=0.5, alias="not")
    like: Weight = 1.0


_REGION_WORDS = (
    "The part of the photo that counts: left, top, width and height, 0 to 1. What reaches over the "
    "edge is cut off."
)
_SOMETHING: JsonDict = {
    "anyOf": [{"required": ["photo"]}, {"required": ["text"]}, {"required": ["like"]}],
    "dependentRequired": {"region": ["photo"]},
}


class _Search(Asked):
    text: Words = Field("", description="Words that it shall be like.", examples=["in blue"])
    not_: Words = Field(default="", alias="not", description="Words that it shall not be like.")
    like: ProductId = Field("", description="The id of a product that it shall be like.")
    where: Conditions
    weights: Weights = Field(default_factory=lambda: Weights())
    k: Whole = Field(10, ge=1, le=MAX_K, description="How many products at most.")

    @model_validator(mode="after")
    def _asks(self) -> Self:
        given = self.model_fields_set
        if not given & {"photo", "text", "like"}:
            raise ValueError("Nothing to look for: give photo, text or like.")
        if "region" in given and "photo" not in given:
            raise ValueError("region is a part of a photo; give photo too.")
        return self


class SearchRequest(_Search):
    """What is looked for: a photo, words, a product, or several of these together."""

    model_config = ConfigDict(json_schema_extra=_SOMETHING)

    photo: Base64 = Field("")
    region: tuple[Start, Start, Length, Length] | None = Field(
        None, examples=[[0.2, 0.1, 0.5, 0.8]], description=_REGION_WORDS
    )


class SearchForm(_Search):
    """The same as a form, with the photo as a file."""

    model_config = ConfigDict(json_schema_extra=_SOMETHING)

    photo: Upload = Field(b"")
    region: str = Field("", pattern=REGION, examples=["0.2,0.1,0.5,0.8"], description=_REGION_WORDS)


class PhotoRequest(Asked):
    """One photo."""

    photo: Base64


class PhotoForm(Asked):
    """One photo as a file."""

    photo: Upload


class KnownPicture(Asked):
    """A picture that the catalogue has."""

    sha256: Sha256


class NewPicture(Asked):
    """A picture that is sent along."""

    base64: Base64


Pictures = Annotated[
    list[KnownPicture | NewPicture],
    Field(
        min_length=1, max_length=100,
        description="All pictures in order. Where left out, a product keeps those it has.",
    ),
]  # fmt: skip


class _Writable(Asked):
    title: Line = ""
    description: Text = ""
    category: Category = ""
    brand: Line = ""
    price: Price | None = None
    currency: Currency = ""
    availability: Line = ""
    url: Url = ""


class ProductRequest(_Writable):
    """A product as a whole; what is left out is empty. A new one needs a picture."""

    attributes: dict[Name, Text] = Field(default_factory=dict, max_length=1000)
    pictures: Pictures | None = None


class ProductChange(_Writable):
    """Changes to a product: what is left out stays, an attribute that is null goes."""

    attributes: dict[Name, Text | None] = Field(default_factory=dict, max_length=1000)
    pictures: Pictures | None = None


class ProductForm(Asked):
    """A product with its pictures as files, which come after those that it names."""

    product: ProductRequest
    photo: list[Upload] = Field(min_length=1, max_length=100)


class ChangeForm(Asked):
    """Changes with pictures as files, which come after those that the product names or has."""

    product: ProductChange = Field(default_factory=lambda: ProductChange())
    photo: list[Upload] = Field(min_length=1, max_length=100)


class BatchItem(ProductRequest):
    """A product of a batch."""

    product_id: ProductId


class Batch(Asked):
    """Products to be written; each is checked by itself, as a BatchItem."""

    products: list[dict[str, Any]] = Field(min_length=1, max_length=1000)


class ListQuery(Asked):
    """Which products, and how many."""

    where: Conditions
    limit: int = Field(50, ge=1, le=500)
    cursor: Cursor = "0"


class DecisionRequest(Asked):
    """What is decided of a product on an axis.

    "set" gives the value, "outside" says that none fits, "reject" that this value does not, "skip"
    leaves it for later.
    """

    product_id: ProductId
    axis: Name = "category"
    action: Literal["set", "outside", "reject", "skip"] = "set"
    value: Line = ""


class Decisions(Asked):
    """Decisions that are taken together, and undone together."""

    decisions: list[DecisionRequest] = Field(min_length=1, max_length=1000)
    new_values: bool = Field(False, description="Let categories and values be new.")


class QuestionsQuery(Asked):
    """How many questions, and of which axis."""

    limit: int = Field(20, ge=1, le=200)
    axis: Name = Field("", description='Only of "category" or this attribute.')


class JobRequest(Asked):
    """Work that is done outside of the request."""

    kind: Literal["train", "tag", "evaluate", "rebuild"]
    precision: float = Field(
        0.98, ge=0.5, le=0.999, description="What accepted tags must reach (train, evaluate)."
    )


class JobsQuery(Asked):
    """How many jobs."""

    limit: int = Field(50, ge=1, le=200)
    cursor: Cursor = "0"


class Identity(Asked):
    """The id in an address that is written to."""

    product_id: ProductId
