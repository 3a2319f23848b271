"""Sizes as people read them."""

from __future__ import annotations


def size_text(count: int) -> str:
    """Bytes in binary units: ``700 B``, ``1.5 KiB``, ``212.0 GiB``, ``3.1 TiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
