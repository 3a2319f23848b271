"""Canonical JSON: what records are written in, and the strict reader for bytes that may come from a stranger."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from drorch.domain.errors import Damaged

LARGEST_RECORD = 16 * 1024 * 1024
"""Bytes; a manifest of the largest dump is some tens of KiB."""

_BEYOND = 10**30
"""No number that a record counts is so large. Sums of those of thousands of digits could not even be shown."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""How JSON spells half a character. drorch writes characters as they are, and never an escape of this kind."""


def canonical_bytes(content: Mapping[str, object]) -> bytes:
    """UTF-8, keys sorted, separators ``,`` and ``:``, one trailing newline.

    Raises TypeError for floats, numbers of more than 30 digits and anything else that JSON of this form does not carry:
    they are a fault in drorch.
    """
    _refuse_floats(content, "$")
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8") + b"\n"


def parse_canonical(data: bytes) -> dict[str, Any]:
    """The content of a record. Raises Damaged on anything but one JSON object that `canonical_bytes` could write:
    without floats, numbers of more than 30 digits, duplicate keys or halves of characters (lone surrogates).
    """
    if len(data) > LARGEST_RECORD:
        raise Damaged("a record is larger than any that drorch writes", cause=f"{len(data)} bytes")
    try:
        content = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_float=_no_float,
            parse_constant=_no_float,
            parse_int=_integer,
        )
        if _SURROGATE.search(data):
            json.dumps(content, ensure_ascii=False).encode("utf-8")
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Damaged("a record is not canonical JSON", cause=str(error)) from error
    if not isinstance(content, dict):
        raise Damaged("a record is not a JSON object")
    return content


def _refuse_floats(value: object, where: str) -> None:
    if value is None or isinstance(value, str | bool | int):
        if isinstance(value, int) and not -_BEYOND < value < _BEYOND:
            raise TypeError(f"{where}: the number has more than 30 digits")
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where}: the key {key!r} is not text")
            _refuse_floats(inner, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            _refuse_floats(inner, f"{where}[{number}]")
    else:
        raise TypeError(f"{where}: {type(value).__name__} does not belong in a record")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return content


def _no_float(text: str) -> None:
    raise ValueError(f"the number {text} is not an integer")


def _integer(text: str) -> int:
    if len(text.removeprefix("-")) > 30:
        raise ValueError("a number has more than 30 digits")
    return int(text)
