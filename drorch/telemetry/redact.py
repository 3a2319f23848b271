"""Taking secrets out of what is logged: by the shape of the secret, by the name beside it, and by value.

This is the last net: code that logs a secret is wrong all the same.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

HIDDEN = "[redacted]"
SHORTEST = 4
"""A registered value of fewer characters is not looked for: it would be found inside of ordinary words."""

_DEPTH = 8
_NAMES = r"password|passwd|passphrase|pgpassword|secret|secret_?access_?key|secret_?key|access_?token|token|api_?key"
_SECRET_NAME = re.compile(
    r"(^|_)(password|passwd|passphrase|pgpassword|secret|token|authorization|cookie|api_key|secret_access_key"
    r"|secret_key|private_key|signing_key|accountkey)$"
)

_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    # age identities: Bech32 with this prefix, upper case as age-keygen writes it, lower case is as good.
    (re.compile(r"AGE-SECRET-KEY-[0-9A-Z-]+", re.IGNORECASE), HIDDEN),
    # minisign secret keys: base64 of "Ed", then no KDF (two zero bytes) or "Sc", then "B2".
    (re.compile(r"RW(?:QAAEIy|RTY0Iy)[A-Za-z0-9+/]*={0,2}"), HIDDEN),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
    # Headers: everything up to the end of the line or of the quoted text. A signature is as good as a key for minutes.
    (
        re.compile(r"(\b(?:proxy-)?authorization\b\\?['\"]?\s*[:=,]\s*(?:b?\\?['\"])?)[^'\"\r\n\\]+", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{16,}"), rf"\1 {HIDDEN}"),
    (
        re.compile(
            r"(\bx-(?:amz|goog)-(?:security-token|signature)\b\\?['\"]?\s*[:=,]\s*(?:b?\\?['\"])?)[^\s'\"&,\\]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # scheme://user:password@host, the password up to the last @ before the path.
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@'\"]*:)[^\s/'\"]+@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    # name=value and "name": "value", as in connection strings, queries and dumped mappings.
    (
        re.compile(
            rf"((?:\b|_)(?:{_NAMES}|sig|accountkey)\\?['\"]?\s*=\s*)(?:'[^']*'|\"[^\"]*\"|[^\s&;,'\"]+)", re.IGNORECASE
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(rf"((?:\b|_)(?:{_NAMES})\\?['\"]\s*:\s*)b?(\\?['\"]).*?\2", re.IGNORECASE | re.DOTALL),
        rf"\1\2{HIDDEN}\2",
    ),
    # AWS session tokens (the first bytes of every one are the same) and Google's access tokens.
    (re.compile(r"\b(?:FwoG|FQoG|IQoJ)[A-Za-z0-9+/=_%-]{40,}"), HIDDEN),
    (re.compile(r"\bya29\.[A-Za-z0-9._-]+"), HIDDEN),
    # AWS secret access keys: 40 characters of base64 in mixed case with a digit; a hex digest has one case only.
    (
        re.compile(
            r"(?<![A-Za-z0-9/+=])(?=[A-Za-z0-9/+]{0,39}[A-Z])(?=[A-Za-z0-9/+]{0,39}[a-z])(?=[A-Za-z0-9/+]{0,39}[0-9])"
            r"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"
        ),
        HIDDEN,
    ),
)

_values: tuple[str, ...] = ()
"""Longest first: a value goes before what it begins with."""
_lock = threading.Lock()


def redact(value: str) -> None:
    """Never show `value` again: it, each of its lines, and its quoted and base64 forms are hidden from now on."""
    global _values
    lines = {line.strip() for line in value.splitlines()} | {value, value.strip()}
    forms: set[str] = set()
    for text in lines:
        if len(text) >= SHORTEST:
            plain = base64.b64encode(text.encode()).decode()
            escaped = json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]
            forms |= {text, quote(text, safe=""), quote(text), quote_plus(text), plain, *escaped}
    with _lock:
        _values = tuple(sorted({*_values, *forms}, key=len, reverse=True))


def forget() -> None:
    """Forget every registered value (the end of a test)."""
    global _values
    with _lock:
        _values = ()


def clean_text(text: str) -> str:
    """The text without the secrets in it."""
    for value in _values:
        if value in text:
            text = text.replace(value, HIDDEN)
    for pattern, shown in _SHAPES:
        text = pattern.sub(shown, text)
    return text


def clean(value: object, *, depth: int = _DEPTH) -> object:
    """`value` as plain data (text, numbers, lists, mappings) without secrets; anything else becomes its text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return clean_text(bytes(value).decode("utf-8", "replace"))
    if depth and isinstance(value, Mapping):
        return {clean_text(str(key)): _named(str(key), inner, depth - 1) for key, inner in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return _listed(value, depth - 1)
    return clean_text(_text_of(value))


def _named(name: str, value: object, depth: int) -> object:
    """A value under a name: hidden as a whole when the name says that it is a secret."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|-", "_", name).lower()
    if value not in (None, "", (), [], {}) and _SECRET_NAME.search(words):
        return HIDDEN
    return clean(value, depth=depth)


def _listed(values: Iterable[object], depth: int) -> list[object]:
    entries = list(values)
    if isinstance(values, tuple) and len(entries) == 2 and isinstance(entries[0], str):
        return [clean(entries[0], depth=depth), _named(entries[0], entries[1], depth)]
    cleaned = [clean(entry, depth=depth) for entry in entries]
    return sorted(cleaned, key=str) if isinstance(values, set | frozenset) else cleaned


def _text_of(value: object) -> str:
    """An error by its class and words; what cannot even be shown, by its class."""
    try:
        return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)
    except Exception as error:  # noqa: BLE001  somebody else's __str__ must not end a pass
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
