"""Pydantic's errors in a person's words: where in the file, what was found, what was expected."""

import difflib
from collections.abc import Collection, Container, Iterator

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from wherry.teams import models
from wherry.teams.document import Document, Problem
from wherry.teams.words import Location, show

_WAREHOUSES: dict[str, type[BaseModel]] = {"snowflake": models.Snowflake, "postgres": models.Postgres}
_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "greater_than_equal": "at least {ge}",
    "int_type": "a whole number",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "string_type": "text",
    "too_long": "at most {max_length} entries",
    "too_short": "at least {min_length} entry",
    "tuple_type": "a list",
    "union_tag_invalid": "snowflake or postgres",
    "expected": "{expected}",
}


def explain(document: Document, error: ValidationError, known: Collection[Location]) -> Iterator[Problem]:
    """Each of pydantic's errors as a problem, but for places that are `known` to be refused already."""
    for details in error.errors(include_url=False):
        location = _keys(details["loc"], document.lines)
        refused = any(location[: len(place)] == place for place in known)
        if not refused and not _inherited(document, details["loc"], location) and not _echo(details):
            yield document.problem(*_problem(details, location))


def _keys(location: Location, lines: Container[Location]) -> Location:
    """A location as keys of the file: without pydantic's own steps, unless a hostile file has keys of these names."""
    if len(location) > 2 and location[0] == "warehouses" and location[2] in _WAREHOUSES:
        location = (*location[:2], *location[3:])
    keys: Location = ()
    for step in location:
        if step not in ("[key]", "<env>", "<literal>") or (*keys, step) in lines:
            keys = (*keys, step)
    return keys


def _inherited(document: Document, location: Location, keys: Location) -> bool:
    """Whether an error is of a key that a warehouse took over with `like`: then it is reported where it is written."""
    if len(keys) < 2 or keys[0] != "warehouses":
        return False
    warehouse = document.data["warehouses"].get(keys[1])
    if not isinstance(warehouse, dict) or "like" not in warehouse:
        return False
    return len(keys) == 2 or (location[2] in _WAREHOUSES and keys[2] not in warehouse)


def _echo(error: ErrorDetails) -> bool:
    """Whether pydantic calls a list too short only because its entries are wrong, each of which it reports."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _problem(error: ErrorDetails, location: Location) -> tuple[Location, str, str]:
    match error["type"]:
        case "missing":
            return location, "nothing", "this key, which is required"
        case "extra_forbidden":
            return location, "an unknown key", _fields(error["loc"], location)
        case "union_tag_not_found":
            return (*location, "type"), "nothing", "snowflake or postgres"
        case "union_tag_invalid":
            return (*location, "type"), show(error["input"]["type"]), "snowflake or postgres"
    text = _EXPECTED.get(error["type"])
    return location, show(error["input"]), text.format(**error.get("ctx", {})) if text else error["msg"]


def _fields(raw: Location, location: Location) -> str:
    """The keys that would have been right, the likeliest first."""
    fields = _model(raw, location).model_fields
    names = [field.alias or name for name, field in fields.items()]
    names += ["like"] if location[0] == "warehouses" and len(location) == 3 else []
    close = difflib.get_close_matches(str(location[-1]), names, n=1)
    return f"one of {', '.join(names)}" + (f" (did you mean {close[0]}?)" if close else "")


def _model(raw: Location, location: Location) -> type[BaseModel]:  # noqa: PLR0911  (a table of cases)
    """The model that has no such key."""
    match location:
        case (_,):
            return models.Team
        case ("quota", _):
            return models.Quota
        case ("warehouses", _, _):
            return _WAREHOUSES[str(raw[2])]
        case ("projects", _, _):
            return models.Project
        case ("projects", _, "git", _):
            return models.Git
        case ("projects", _, "resources", _):
            return models.Resources
        case ("projects", _, "nodes", _, _):
            return models.NodeRule
        case ("projects", _, "nodes", _, "resources", _):
            return models.ResourceOverrides
    return models.EnvRef
