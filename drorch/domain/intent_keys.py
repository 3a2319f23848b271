"""By which keys intents stand: what is about to be asked of a provider that takes no token (`drorch.app.intents`).

The key of a cut is the point's id.
"""

from __future__ import annotations


def copy_intent(point: str, vault: str) -> str:
    """Of the copy of a point into a vault."""
    return f"{point}@{vault}"


def through_intent(point: str, home: str, into: str) -> str:
    """Of an intermediate in the home's vault, for the copy in `into`."""
    return f"{copy_intent(point, home)}>{into}"


def copied_point(key: str) -> str:
    """The point of which the key begins a copy; "" for the key of a cut."""
    point, at, _ = key.partition("@")
    return point if at else ""
