"""Operations: what the API can do, each declared once, for the routes and for the document.

An operation is a function. Its docstring describes it; its parameters say what it takes: ``body``
and ``query`` are models, ``key`` is who asks, all others are parts of the address.
"""

from __future__ import annotations

import inspect
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from flask import Blueprint, Response, g, request
from pydantic import BaseModel, ValidationError

from index.service.keys import SCOPES, ApiKey, Scope, find_key, note_use
from vision.errors import CatalogueError
from webapp.api.problems import Problem, invalid
from webapp.services import services

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")
OPERATIONS: list[Operation] = []

JSON, FORM = "application/json", "multipart/form-data"
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_BEARER = re.compile(r"Bearer ([\x21-\x7e]{1,200})", re.IGNORECASE)


@dataclass(frozen=True)
class Operation:
    """One thing that the API does.

    ``scope`` is what a key must have for it, "" where anybody may, "search" where anybody may in a
    shop that lets everybody search. ``status`` is that of success, ``refusals`` those of its own
    kind of failure.
    """

    method: str
    path: str
    tag: str
    scope: Scope | str
    call: Callable[..., Any]
    status: int = 200
    refusals: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Return the name that programs know it by."""
        return self.call.__name__

    @property
    def words(self) -> tuple[str, str]:
        """Return its summary and its description."""
        summary, _, rest = (inspect.getdoc(self.call) or "").partition("\n\n")
        return " ".join(summary.split()), rest

    @property
    def types(self) -> dict[str, Any]:
        """Return the types of what it takes, and of what it returns as "return"."""
        return get_type_hints(self.call)

    def models(self, part: str) -> tuple[type[BaseModel], ...]:
        """Return the models of ``body``, ``query`` or ``return``: none, one or several."""
        hint = self.types.get(part)
        return tuple(
            each
            for each in (hint, *get_args(hint))
            if isinstance(each, type) and issubclass(each, BaseModel)
        )

    @property
    def needs_key(self) -> bool:
        """Tell whether nobody may do it without a key, in the present app."""
        if self.scope == "search":
            return not services().config.open_search
        return bool(self.scope)


def operation(
    method: str,
    path: str,
    *,
    tag: str,
    scope: Scope | str = "",
    status: int = 200,
    refusals: tuple[int, ...] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function an operation of the API."""

    def declare(call: Callable[..., Any]) -> Callable[..., Any]:
        made = Operation(method, path, tag, scope, call, status, refusals)
        OPERATIONS.append(made)

        def view(**address: Any) -> Response:
            return _answer(made, address)

        rule = path.replace("{product_id}", "<product:product_id>")
        rule = rule.replace("{job}", "<int(max=1000000000000000):job>")
        blueprint.add_url_rule(rule, made.name, view, methods=[method], strict_slashes=True)
        return call

    return declare


def _answer(made: Operation, address: dict[str, Any]) -> Response:
    """Do an operation for the present request."""
    g.operation = made.name
    given: dict[str, Any] = dict(address)
    needed: Scope = made.scope if made.scope in SCOPES else "read"
    key = authorise(needed, required=made.needs_key)
    if key is None and made.scope:
        services().allowance.spend(request.remote_addr or "")
    if "key" in made.types:
        given["key"] = key
    started = time.perf_counter()
    if models := made.models("query"):
        given["query"] = _query(models[0])
    if models := made.models("body"):
        given["body"] = _body(models)
    g.stages = {"read": (time.perf_counter() - started) * 1000}
    result = made.call(**given)
    if isinstance(result, Response):
        return result
    if result is None:
        return Response(status=made.status)
    text = result.model_dump_json(by_alias=True)
    return Response(text, made.status, mimetype=JSON)


def authorise(scope: Scope, *, required: bool) -> ApiKey | None:
    """Return whose key was shown; raises Problem where none, or one that may not do it, was.

    Cookies count for nothing here, so that no page elsewhere can make a browser ask for something.
    """
    service = services()
    shown = request.headers.get("Authorization", "")
    if not shown and not required:
        return None
    match = _BEARER.fullmatch(shown)
    key = find_key(service.catalogue.engine, match[1]) if match else None
    if key is None:
        service.allowance.spend(request.remote_addr or "")
        if not shown:
            detail = "This needs a key: send the header Authorization: Bearer KEY."
            raise Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
        detail = "The key is unknown or no longer good; findalike keys create makes another."
        bearer = 'Bearer error="invalid_token"'
        raise Problem(401, detail, headers={"WWW-Authenticate": bearer})
    if not key.may(scope):
        bearer = f'Bearer error="insufficient_scope", scope="{scope}"'
        detail = f"This key may not do that; it needs the scope {scope}."
        raise Problem(403, detail, headers={"WWW-Authenticate": bearer})
    g.key = key.name
    try:
        note_use(service.catalogue.engine, key)
    except CatalogueError:  # the database is busy or full: no reason not to answer
        g.key_noted = False
    return key


def _query(model: type[BaseModel]) -> BaseModel:
    values: dict[str, Any] = {}
    for name, texts in request.args.lists():
        values[name] = _texts(model, name, texts, "query")
    try:
        return model.model_validate(values, strict=True)
    except ValidationError as error:
        raise invalid(error, "query") from None


def _body(models: tuple[type[BaseModel], ...]) -> BaseModel:
    """Read the body as the first model in JSON, or as the second from a form."""
    if request.mimetype == JSON:
        try:
            return models[0].model_validate_json(request.get_data(cache=False), strict=True)
        except ValidationError as error:
            raise invalid(error, "body") from None
    if request.mimetype == FORM and len(models) > 1:
        try:
            return models[1].model_validate(_form(models[1]), strict=True)
        except ValidationError as error:
            raise invalid(error, "body") from None
    taken = f"{JSON} or {FORM}" if len(models) > 1 else JSON
    raise Problem(415, f"Send {taken}, and say so in the header Content-Type.")


def _form(model: type[BaseModel]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, texts in request.form.lists():
        values[name] = _texts(model, name, texts, "body")
    for name, files in request.files.lists():
        data = [file.stream.read() for file in files]
        if name in values:
            raise Problem(400, f"The field {name[:50]} is both a file and a text; send one.")
        values[name] = data if _is_list(model, name) else data[0]
        if not _is_list(model, name) and len(data) > 1:
            raise Problem(400, f"The field {name[:50]} takes one file only.")
    return values


def _texts(model: type[BaseModel], name: str, texts: list[str], where: str) -> Any:
    """Return a field's texts as values: numbers, JSON objects, lists or texts, as it has them."""
    if _is_list(model, name):
        return texts
    if len(texts) > 1:
        raise Problem(400, f"{where}: {name[:50]} may stand there once only.")
    (text,) = texts
    types = _types(model, name)
    if int in types and _INTEGER.fullmatch(text):
        return int(text)
    if any(isinstance(each, type) and issubclass(each, BaseModel) for each in types):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise Problem(400, f"{where}: {name[:50]} is not JSON.") from None
    return text


def _is_list(model: type[BaseModel], name: str) -> bool:
    return any(getattr(each, "__origin__", each) is list for each in _types(model, name))


def _types(model: type[BaseModel], name: str) -> tuple[Any, ...]:
    """Return what a field may be: its type, or those of a union."""
    by_name: Mapping[str, Any] = {
        field.alias or own: field.annotation for own, field in model.model_fields.items()
    }
    hint = by_name.get(name)
    return (hint, *get_args(hint))
