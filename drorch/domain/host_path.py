"""Paths on this host as policies name them, and which of them an application was granted. Pure: text alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, RootModel, StrictStr

from drorch.domain.explain import fault


def _check(text: str) -> str:
    if not text.startswith("/"):
        raise fault(f"{text[:80]!r} is not an absolute path", "such as /srv/shop")
    if any(ord(character) < 32 for character in text):
        raise fault("must be one line of text")
    if text != "/" and any(part in ("", ".", "..") for part in text[1:].split("/")):
        raise fault(f"{text[:80]!r} is not a plain path", "no //, no . or .., no slash at the end")
    return text


PathText = Annotated[StrictStr, AfterValidator(_check)]
"""An absolute path in its one form: no empty, ``.`` or ``..`` parts, no slash at the end, one line."""


class HostPath(RootModel[PathText]):
    """A path that a policy reads. Only what the host configuration grants to the application (`paths:`) is read."""

    model_config = ConfigDict(frozen=True)


def granting(path: str, granted: Iterable[str]) -> str | None:
    """The longest of the `granted` paths that is `path` itself or one of its parents; None when there is none."""
    found = [place for place in granted if covers(place, path)]
    return max(found, key=len, default=None)


def covers(place: str, path: str) -> bool:
    """Whether `path` is `place` or lies below it. Both are in the form of `PathText`."""
    return path == place or path.startswith(place.rstrip("/") + "/")
