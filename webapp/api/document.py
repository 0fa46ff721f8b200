"""The OpenAPI 3.1 document, made from the operations and their models."""

from __future__ import annotations

import copy
import re
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from webapp.api.operations import FORM, JSON, OPERATIONS, Operation
from webapp.api.problems import MIME
from webapp.api.texts import ID

TAGS = {
    "search": "Find products by photo, words or product; say what a photo shows.",
    "products": "The catalogue's products.",
    "labels": "Categories and attributes, and who says so.",
    "jobs": "Work that takes longer than a request.",
    "server": "Health, readiness, version, measurements.",
}
_ABOUT = (
    "Search a shop's catalogue by photo, and keep it. Keys are made with `findalike keys create` "
    "and sent as `Authorization: Bearer KEY`; cookies count for nothing here. Everything that "
    "changes answers 503 with Retry-After while another process writes."
)
_PICTURES = ", ".join(
    f"image/{kind}" for kind in ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "heic")
)
_REFUSALS = {
    400: "The request is not as this document says.",
    401: "A key is needed, or it is no longer good.",
    403: "The key may not do that.",
    404: "It is not there.",
    409: "Not possible as things stand, such as categorising before a head was trained.",
    412: "It is another version than the one that was named.",
    413: "The request is too large.",
    415: "The body has another type than those that are taken.",
    422: "It is as this document says, but cannot be done: a file that is no picture, say.",
    429: "Too much from one client; see Retry-After.",
    500: "The server failed.",
    503: "Not at the moment; see Retry-After.",
}
_PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "product_id": (
        {"type": "string", "minLength": 1, "maxLength": 512, "pattern": ID},
        "The product's id; a / in it is sent as %2F or as it is.",
    ),
    "job": ({"type": "integer", "minimum": 1, "maximum": 10**15}, "The job's number."),
}
_PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457), and what to do.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "The request's id, as in X-Request-ID."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["at", "what"],
                "properties": {"at": {"type": "string"}, "what": {"type": "string"}},
            },
        },
    },
}


class _Schemas(GenerateJsonSchema):
    """JSON Schema without defaults that only stand for something that is left out."""

    def default_schema(self, schema: Any) -> dict[str, Any]:
        """Leave out a default that says nothing."""
        found = super().default_schema(schema)
        if found.get("default") in ("", None, b"", [], {}):
            found.pop("default", None)
        return found

    def dict_schema(self, schema: Any) -> dict[str, Any]:
        """Say of names that they must match: pydantic leaves those that do not alone."""
        found = super().dict_schema(schema)
        if (patterns := found.pop("patternProperties", None)) is not None:
            ((_, found["additionalProperties"]),) = patterns.items()
            found["propertyNames"] = self.generate_inner(schema["keys_schema"])
        return found


def make_document(title: str) -> dict[str, Any]:
    """Return the document, for an app whose settings say which operations need a key."""
    schemas, refs = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for each in OPERATIONS:
        paths.setdefault(f"/api/v1{each.path}", {})[each.method.lower()] = _operation(each, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{title}: findalike API",
            "version": version("findalike"),
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": {"Problem": copy.deepcopy(_PROBLEM)} | schemas,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key made with findalike keys create.",
                }
            },
        },
    }


def _schemas() -> tuple[dict[str, Any], dict[type[BaseModel], dict[str, Any]]]:
    """Return the schemas of all models by name, and a reference to each."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = []
    for each in OPERATIONS:
        wanted += [(model, "validation") for model in each.models("body")]
        wanted += [(model, "serialization") for model in each.models("return")]
    refs, made = models_json_schema(
        list(dict.fromkeys(wanted)),
        ref_template="#/components/schemas/{model}",
        schema_generator=_Schemas,
    )
    return made["$defs"], {model: ref for (model, _), ref in refs.items()}  # type: ignore[misc]


def _operation(made: Operation, refs: dict[type[BaseModel], dict[str, Any]]) -> dict[str, Any]:
    summary, description = made.words
    found: dict[str, Any] = {
        "operationId": made.name,
        "tags": [made.tag],
        "summary": summary,
        "responses": _responses(made, refs),
        "security": [{"key": []}] if made.needs_key else [{}, {"key": []}],
    }
    scope = "read" if made.scope == "search" else made.scope
    needed = f"Scope: {scope}" + ("." if made.needs_key else ", or without a key.")
    found["description"] = "\n\n".join(filter(None, (description, needed if scope else "")))
    if parameters := _parameters(made):
        found["parameters"] = parameters
    if models := made.models("body"):
        content: dict[str, Any] = {JSON: {"schema": refs[models[0]]}}
        if len(models) > 1:
            photo = {"photo": {"contentType": _PICTURES}}
            content[FORM] = {"schema": refs[models[1]], "encoding": photo}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _parameters(made: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in re.findall(r"{(\w+)}", made.path):
        schema, text = _PARAMETERS[name]
        found.append(
            {"name": name, "in": "path", "required": True, "schema": schema, "description": text}
        )
    for model in made.models("query"):
        schema = model.model_json_schema(schema_generator=_Schemas)
        for name, each in schema["properties"].items():
            each.pop("title", None)
            text = each.pop("description", "")
            found.append(
                {"name": name, "in": "query", "schema": each}
                | ({"description": text} if text else {})
            )
    if 412 in made.refusals:
        found += [
            {
                "name": name, "in": "header", "schema": {"type": "string"},
                "description": "ETags of versions, or *.",
            }
            for name in ("If-Match", "If-None-Match")
        ]  # fmt: skip
    return found


def _responses(
    made: Operation, refs: dict[type[BaseModel], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return what an operation may answer, by status."""
    number = {"X-Request-ID": {"schema": {"type": "string"}, "description": "Also in the log."}}
    retry = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
    good: dict[str, Any] = {"description": "Done.", "headers": number}
    if models := made.models("return"):
        good["content"] = {JSON: {"schema": refs[models[0]]}}
    tag = {"ETag": {"schema": {"type": "string"}, "description": "This version of the product."}}
    single = made.path == "/products/{product_id}" and made.status == 200
    if single:
        good["headers"] = number | tag
    found = {str(made.status): good}
    if single and made.method == "GET":
        found["304"] = {"description": "It is as it was.", "headers": number | tag}
    if made.name == "put_product":
        found["201"] = good | {"description": "It is new."}
    shared = {400, 401, 403, 429, 500}
    for status in sorted({*shared, *made.refusals}):
        headers = number | (retry if status in (429, 503) else {})
        found[str(status)] = {
            "description": _REFUSALS[status],
            "headers": headers,
            "content": {MIME: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return found
