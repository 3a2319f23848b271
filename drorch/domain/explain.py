"""What is wrong with data that people wrote, in plain words: pydantic's errors become problems with a place and a hint.

No problem repeats a value that might be a secret: values are shown only where the validator that refused them says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

Loc = tuple[str | int, ...]

RESERVED = frozenset(
    {
        "auth",
    }
)
"""Keys of a policy that the contract reserves for later versions."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong at `loc` (keys and list indices from the top); `at_key` points at the key, not at its value."""

    loc: Loc
    message: str
    hint: str = ""
    at_key: bool = False


def problem_of(loc: Loc, text: str, *, at_key: bool = False) -> Problem:
    """A problem from a message that may end in ``(hint: ...)``, as the ValueErrors of this project do."""
    match = re.fullmatch(r"(.*?) \(hint: (.*)\)", text, re.DOTALL)
    return Problem(loc, match[1], match[2], at_key) if match else Problem(loc, text, at_key=at_key)


def fault(message: str, hint: str = "") -> PydanticCustomError:
    """What a validator raises to say exactly `message` and `hint` to the reader of the file."""
    return PydanticCustomError("fault", "{reason}", {"reason": f"{message} (hint: {hint})" if hint else message})


def near(word: object, words: Iterable[str]) -> str:
    """A hint: the word of `words` that was probably meant, else all of them if they are few."""
    known = sorted(words)
    close = get_close_matches(str(word), known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(known)}" if 0 < len(known) <= 16 else ""


def type_name(value: object) -> str:
    """What people call the type of a value that was read from YAML."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a mapping" if isinstance(value, Mapping) else "a list"


# --- reading a mapping field by field ------------------------------------------------------------------------------


def read_fields(form: type[BaseModel], data: object, loc: Loc) -> tuple[dict[str, Any], list[Problem]]:
    """The valid fields of `data` by field name, and every problem of the others; keys that `form` lacks are ignored.

    Unlike a validation of the whole, what is right stays usable, so that one typing error does not hide the others: a
    list with wrong items is there with None in their places.
    """
    if not isinstance(data, Mapping):
        return {}, [Problem(loc, f"must be a mapping, not {type_name(data)}")]
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, field in form.model_fields.items():
        key = field.alias or name
        if key not in data:
            if field.is_required():
                problems.append(Problem(loc, f"{key} is missing", field.description or ""))
            else:
                values[name] = field.get_default(call_default_factory=True)
            continue
        try:
            values[name] = _adapter(form, name).validate_python(data[key])
        except ValidationError as error:
            problems.extend(explain(error, data, loc, form, within=(key,)))
            if get_origin(field.annotation) is tuple and isinstance(data[key], list):
                values[name] = tuple(_item(form, name, item) for item in data[key])
    return values, problems


def _item(form: type[BaseModel], name: str, item: object) -> Any:
    """The only item of a list field, None where it is wrong: its neighbours are read all the same."""
    try:
        return _adapter(form, name).validate_python([item])[0]
    except ValidationError:
        return None


@cache
def _adapter(form: type[BaseModel], name: str) -> TypeAdapter[Any]:
    field = form.model_fields[name]
    annotation: Any = field.annotation
    for item in field.metadata:
        annotation = Annotated[annotation, item]
    return TypeAdapter(annotation)


def unknown_keys(data: object, known: Iterable[str], loc: Loc, reserved: Iterable[str] = RESERVED) -> list[Problem]:
    """A problem for every key of the mapping `data` that is not in `known`."""
    names = frozenset(known)
    keys = data if isinstance(data, Mapping) else {}
    return [unknown_key((*loc, key), names, reserved) for key in keys if key not in names]


def unknown_key(loc: Loc, known: Iterable[str], reserved: Iterable[str] = RESERVED) -> Problem:
    """The problem of a key that is not known there: reserved for later, or a typing error."""
    if loc[-1] in frozenset(reserved):
        return Problem(loc, f"{loc[-1]} is not in this version", "leave it out; it is reserved for a later one", True)
    return Problem(loc, f"unknown key {_shown(loc[-1])}", near(loc[-1], known), True)


def _shown(key: object) -> str:
    """A key as it fits into one line."""
    text = str(key)[:60]
    return text if text.isprintable() else repr(text)


# --- pydantic's errors ---------------------------------------------------------------------------------------------


def explain(
    error: ValidationError,
    data: object,
    loc: Loc,
    form: type[BaseModel],
    *,
    within: Loc = (),
    reserved: Iterable[str] = RESERVED,
) -> list[Problem]:
    """The problems behind a pydantic error about `data` (at `loc` of its file), which should have been a `form`.

    `within` is the part of `data` that was validated.
    """
    found: dict[Problem, None] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # pydantic counts the valid items only, and has said what is wrong with the others
        place, at_key = _real_loc(data, (*within, *detail["loc"]))
        found[_problem(detail, place, at_key, loc, form, reserved)] = None
    return list(found)


def _problem(
    detail: ErrorDetails, place: Loc, at_key: bool, loc: Loc, form: type[BaseModel], reserved: Iterable[str]
) -> Problem:
    kind = detail["type"]
    where = (*loc, *place)
    context = detail.get("ctx", {})
    if kind == "missing":
        return Problem(where, f"{detail['loc'][-1]} is missing")
    if kind == "extra_forbidden":
        return unknown_key(where, _keys_at(form, place[:-1]), reserved)
    if kind == "value_error":
        return problem_of(where, str(context["error"]), at_key=at_key)
    if kind in ("fault", "duration"):
        return problem_of(where, str(context.get("reason") or detail["msg"]), at_key=at_key)
    return Problem(where, *_plain(kind, detail, context), at_key)


_TYPES = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "dataclass_type": "must be a mapping",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "frozen_set_type": "must be a list",
    "set_type": "must be a list",
}


def _plain(kind: str, detail: ErrorDetails, context: Mapping[str, Any]) -> tuple[str, str]:
    """Message and hint for pydantic's own error types (pydantic, "Validation Errors")."""
    if kind in _TYPES:
        given = detail["input"]
        hint = "put it in quotes" if kind == "string_type" and isinstance(given, bool | int | float) else ""
        return f"{_TYPES[kind]}, not {type_name(given)}", hint
    if kind in ("literal_error", "enum") and detail["loc"][-1:] == ("[key]",):
        known = re.findall(r"'(.*?)'", context["expected"])
        return f"unknown key {_shown(detail['input'])}", near(detail["input"], known)
    if kind in ("literal_error", "enum"):
        known = re.findall(r"'(.*?)'", context["expected"])
        given = detail["input"]
        close = near(given, known) if isinstance(given, str) else ""
        return f"must be one of {', '.join(known)}", close if close.startswith("did") else ""
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        sign = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}
        name = next(key for key in sign if key in context)
        return f"must be {sign[name]} {context[name]}", ""
    if kind == "string_pattern_mismatch":
        return "must have the right form", f"the pattern is {context['pattern']}"
    if kind in ("too_long", "string_too_long"):
        return f"must not be longer than {context['max_length']}", ""
    if kind in ("too_short", "string_too_short"):
        return "must not be empty", ""
    return detail["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("should be", "must be"), ""


def _real_loc(data: object, loc: Sequence[str | int]) -> tuple[Loc, bool]:
    """The steps of pydantic's location that exist in `data`, and whether it means a key.

    pydantic mixes names of validators, of union members and of missing keys into its locations.
    """
    place: list[str | int] = []
    for step in loc:
        listed = isinstance(data, list | tuple) and isinstance(step, int) and step < len(data)
        if listed or (isinstance(data, Mapping) and step in data):
            data = data[step]  # type: ignore[index]
            place.append(step)
        elif step == "[key]":
            return tuple(place), True
    return tuple(place), False


def _keys_at(form: type[BaseModel], place: Loc) -> frozenset[str]:
    """The keys that `form` allows at `place`."""
    models = [form]
    for step in place:
        if not isinstance(step, str):
            continue
        inner = [
            model
            for outer in models
            for name, field in outer.model_fields.items()
            if step in (name, field.alias)
            for model in _models(field.annotation)
        ]
        models = inner or models
    return frozenset(field.alias or name for model in models for name, field in model.model_fields.items())


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]
