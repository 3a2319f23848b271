"""Damage on purpose: bytes, text and JSON changed by a seeded random generator, so that a run can be repeated."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

LARGEST = 256 * 1024
"""Bytes of one input; what grows beyond is cut."""

_NUMBERS = (0, 1, -1, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64)
_WORDS = (
    "", "0", "-0", "00", "1e999", "NaN", "Infinity", "null", "true", "../..", "/", "//", ".", "..", "\\", "%00", "%2e",
    "\x00", "\r\n", "\n", "\t", " ", "\u2028", "\ufeff", "\u202e", "\u0130", "\u00b2", "\u0663", "\uff11", "e\u0301",
    "\U0001f600", "\ud800", "9" * 30, "1" * 5000, "A" * 300, "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z", "*/0", "P1M", "1/0:0", "&a", "*a", "<<", "!!x", "[::", "[", "{", "<!--", "&#0;",
)  # fmt: skip
_JSON: tuple[Any, ...] = (None, True, False, "", [], {}, [[]], {"": ""}, 0.5, -1, 2**63, 10**400, 10**4200)


class Mutator:
    """Makes inputs from seeds. The same seeds and the same `rng` state make the same inputs."""

    def __init__(self, seeds: Sequence[bytes], rng: random.Random) -> None:
        self._seeds = [seed[:LARGEST] for seed in seeds] or [b""]
        self._rng = rng
        self._blind: tuple[Callable[[bytearray], None], ...] = (
            self._flip, self._byte, self._cut, self._end, self._double, self._splice, self._word, self._number,
            self._line, self._repeat,
        )  # fmt: skip

    def next(self) -> bytes:
        """One input: a seed with one to four changes; where it is JSON, half of the time within its structure."""
        seed = self._rng.choice(self._seeds)
        if self._rng.random() < 0.5 and (changed := self._json(seed)) is not None:
            return changed[:LARGEST]
        data = bytearray(seed)
        for _ in range(self._rng.choice((1, 1, 1, 2, 3, 4))):
            self._rng.choice(self._blind)(data)
        return bytes(data[:LARGEST])

    # --- without an eye for structure ------------------------------------------------------------------------------

    def _place(self, data: bytearray) -> int:
        return self._rng.randrange(len(data) + 1)

    def _span(self, data: bytearray) -> tuple[int, int]:
        start = self._place(data)
        return start, min(len(data), start + self._rng.choice((1, 2, 4, 8, 32, 200)))

    def _flip(self, data: bytearray) -> None:
        if data:
            data[self._rng.randrange(len(data))] ^= 1 << self._rng.randrange(8)

    def _byte(self, data: bytearray) -> None:
        if data:
            data[self._rng.randrange(len(data))] = self._rng.randrange(256)

    def _cut(self, data: bytearray) -> None:
        start, end = self._span(data)
        del data[start:end]

    def _end(self, data: bytearray) -> None:
        del data[self._place(data) :]

    def _double(self, data: bytearray) -> None:
        start, end = self._span(data)
        data[end:end] = data[start:end]

    def _splice(self, data: bytearray) -> None:
        other = self._rng.choice(self._seeds)
        data[self._place(data) :] = other[self._rng.randrange(len(other) + 1) :]

    def _word(self, data: bytearray) -> None:
        start, end = self._span(data)
        data[start : self._rng.choice((start, end))] = self._rng.choice(_WORDS).encode("utf-8", "surrogatepass")

    def _number(self, data: bytearray) -> None:
        """Over one of its decimal numbers where it has any, else over a machine word."""
        number = self._rng.choice(_NUMBERS)
        start = self._place(data)
        while start < len(data) and not 48 <= data[start] <= 57:
            start += 1
        if start < len(data):
            end = start
            while end < len(data) and 48 <= data[end] <= 57:
                end += 1
            data[start:end] = str(number).encode()
        elif len(data) >= 8:
            at, width = self._rng.randrange(len(data) - 7), self._rng.choice((1, 2, 4, 8))
            order = self._rng.choice(("little", "big"))
            data[at : at + width] = (number % 256**width).to_bytes(width, order)

    def _line(self, data: bytearray) -> None:
        """Two lines change places, or one goes."""
        lines = bytes(data).split(b"\n")
        first, second = self._rng.randrange(len(lines)), self._rng.randrange(len(lines))
        if self._rng.random() < 0.5:
            lines[first], lines[second] = lines[second], lines[first]
        else:
            del lines[first]
        data[:] = b"\n".join(lines)

    def _repeat(self, data: bytearray) -> None:
        """A short piece many times: long lines, deep nesting."""
        start = self._place(data)
        piece = bytes(data[start : start + self._rng.choice((1, 1, 2, 6))])
        data[start:start] = piece * self._rng.choice((10, 100, 2000))

    # --- JSON ------------------------------------------------------------------------------------------------------

    def _json(self, seed: bytes) -> bytes | None:
        """A JSON seed changed within its structure; None when it is none."""
        try:
            return self._restructured(json.loads(seed))
        except (ValueError, RecursionError):
            return None

    def _restructured(self, content: Any) -> bytes:
        for _ in range(self._rng.choice((1, 1, 2, 3))):
            places = list(_places(content))
            if not places:
                break
            holder, key = self._rng.choice(places)
            self._change(holder, key, places)
        text = json.dumps(content, ensure_ascii=self._rng.random() < 0.5, sort_keys=True, separators=(",", ":"))
        return text.encode("utf-8", "surrogatepass") + b"\n"

    def _change(self, holder: Any, key: Any, places: Sequence[tuple[Any, Any]]) -> None:
        how = self._rng.randrange(6)
        if how == 0:
            del holder[key]
        elif how == 1:
            other, name = self._rng.choice(places)
            holder[key] = json.loads(json.dumps(other[name])) if name in _keys(other) else None
        elif how == 2 and isinstance(holder, list):
            holder.extend([holder[key]] * self._rng.choice((1, 3, 50)))
        elif how == 2:
            holder[self._rng.choice(_WORDS)] = holder[key]
        elif how == 3 and isinstance(holder[key], str):
            text, at = holder[key], self._rng.randrange(len(holder[key]) + 1)
            holder[key] = text[:at] + self._rng.choice(_WORDS) + text[at + self._rng.randrange(2) :]
        elif how == 4:
            deep: Any = holder[key]
            for _ in range(self._rng.choice((1, 70, 900))):
                deep = [deep] if self._rng.random() < 0.5 else {"a": deep}
            holder[key] = deep
        else:
            holder[key] = self._rng.choice((*_JSON, *_NUMBERS, *_WORDS))


def _keys(holder: Any) -> Any:
    return holder.keys() if isinstance(holder, dict) else range(len(holder))


def _places(content: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """Every (holder, key) below `content`, down to a depth that recursion can take."""
    if depth < 50 and isinstance(content, dict | list):
        for key in list(_keys(content)):
            yield content, key
            yield from _places(content[key], depth + 1)
