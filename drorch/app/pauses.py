"""Seconds between two looks at what others do: short at first, when the quick things become ready."""

from __future__ import annotations

from collections.abc import Iterator


def pauses(first: float, longest: float = 15.0) -> Iterator[float]:
    """`first`, then each half as long again as the one before, up to `longest`."""
    pause = first
    while True:
        yield pause
        pause = min(pause * 1.5, longest)
