"""The texts and numbers that requests are made of, each with what it may be."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints

from index.search.filters import MAX_LENGTH


def _whole(value: Any) -> Any:
    """Return 5.0 as 5: in JSON they are the same number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]

# Letters that no text may hold (NUL), nor an id or a name (control characters).
_TEXT = r"^[^\x00]*$"
_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"
# Neither begins nor ends with a space.
ID = r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$"
_WORDS = r"^[^\x00]*[^\s\x00][^\x00]*$"  # at least one letter that can be seen
_CATEGORY = r"^([^\x00-\x1f\x7f-\x9f]*[^\s>/\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*)?$"
_URL = (
    r"^([hH][tT][tT][pP][sS]?:[^\x00-\x1f\x7f-\x9f]*"
    r"|[/?#][^\x00-\x1f\x7f-\x9f]*|[^\x00-\x1f\x7f-\x9f:]*)$"
)
_START, _LENGTH = r"(0|0?\.[0-9]{1,12})", r"(1|1\.0{1,12}|0?\.[0-9]{0,11}[1-9])"
REGION = rf"^{_START},{_START},{_LENGTH},{_LENGTH}$"
_CONDITION = r"^[^<>=!\x00]*[^\s<>=!\x00][^<>=!\x00]*(=|!=|<|<=|>|>=)[^\x00]*[^\s|\x00][^\x00]*$"

ProductId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512, pattern=ID),
    Field(description="The product's own id, as its feed has it.", examples=["mug-17"]),
]
Sha256 = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{64}$"),
    Field(description="The SHA-256 of a picture's file.", examples=["0" * 64]),
]
Base64 = Annotated[
    str,
    StringConstraints(min_length=4, pattern=r"^[A-Za-z0-9+/]+={0,2}$"),
    Field(
        description="A picture's bytes: JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC.",
        json_schema_extra={"contentEncoding": "base64", "contentMediaType": "image/*"},
    ),
]
Upload = Annotated[
    bytes,
    Field(description="A picture: JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC."),
]
Words = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=_WORDS)]
Condition = Annotated[
    str,
    StringConstraints(min_length=3, max_length=MAX_LENGTH, pattern=_CONDITION),
    Field(
        description="A condition such as price<=20, category=Kitchen > Mugs or colour=red|blue.",
        examples=["price<=20"],
    ),
]
Conditions = Annotated[
    list[Condition],
    Field(default_factory=list, max_length=20, description="Conditions that must all hold."),
]
Cursor = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{1,18}$"),
    Field(description="Where the page begins: `next` of the page before.", examples=["50"]),
]
Start = Annotated[float, Field(ge=0, lt=1)]
Length = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(ge=0.001, le=1000)]

Line = Annotated[str, StringConstraints(max_length=2000, pattern=_LINE, strip_whitespace=True)]
Text = Annotated[str, StringConstraints(max_length=100_000, pattern=_TEXT, strip_whitespace=True)]
Category = Annotated[
    str,
    StringConstraints(max_length=2000, pattern=_CATEGORY),
    Field(description="Levels are parted by > or /.", examples=["Kitchen > Mugs"]),
]
Price = Annotated[float, Field(ge=0, le=1e12, examples=[19.99])]
Currency = Annotated[
    str,
    StringConstraints(pattern=r"^([A-Z]{3})?$"),
    Field(description="ISO 4217.", examples=["EUR"]),
]
Url = Annotated[str, StringConstraints(max_length=2000, pattern=_URL, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=ID)]
