"""What a policy says about files: the paths, and the names that are left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate
from functools import cached_property
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr, model_validator

from drorch.domain.explain import fault
from drorch.domain.host_path import HostPath, covers

_ANY_DEPTH = "**"


def _check_glob(text: str) -> str:
    parts = text.removeprefix("/").split("/")
    if not all(parts) or any(part in (".", "..") for part in parts) or any(ord(character) < 32 for character in text):
        raise fault(f"{text[:80]!r} is not a pattern", 'such as "*.tmp", "cache/*" or "/srv/shop/cache"')
    return text


class Options(BaseModel):
    """The keys of `kind: files` beside those that every resource has.

    `paths` are absolute, and none lies within another. `exclude`: a pattern without a slash is compared with every
    name at any depth; one that begins with a slash with the absolute path; any other with the path below each of
    `paths`. ``*``, ``?`` and ``[...]`` stay within one name, ``**`` stands for any number of folders. What matches a
    folder leaves out all that is in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: tuple[HostPath, ...] = Field(min_length=1, description="absolute paths on this host, such as [/srv/shop]")
    exclude: tuple[Annotated[StrictStr, AfterValidator(_check_glob)], ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for number, path in enumerate(self.roots):
            for other in (*self.roots[:number], *self.roots[number + 1 :]):
                if covers(other, path):
                    twice = f"{path} twice" if other == path else f"{path} lies within {other}"
                    raise fault(f"of the paths {twice}", "what lies there would be stored twice")
        return self

    @property
    def roots(self) -> tuple[str, ...]:
        """The paths as text."""
        return tuple(path.root for path in self.paths)


class Exclusion:
    """The patterns of `exclude`, ready to be asked."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._names = tuple(_one(pattern) for pattern in patterns if "/" not in pattern)
        self._whole = tuple(_each(pattern[1:]) for pattern in patterns if pattern.startswith("/"))
        self._below = tuple(_each(pattern) for pattern in patterns if "/" in pattern[1:] and pattern[0] != "/")

    @cached_property
    def _empty(self) -> bool:
        return not (self._names or self._whole or self._below)

    def leaves_out(self, root: str, path: str) -> bool:
        """Whether the absolute `path`, somewhere below the listed path `root`, is left out."""
        if self._empty:
            return False
        name = path.rpartition("/")[2]
        if any(pattern.match(name) for pattern in self._names):
            return True
        below = path[len(root.rstrip("/")) + 1 :].split("/")
        if any(_fits(pattern, below) for pattern in self._below):
            return True
        whole = path[1:].split("/")
        return any(_fits(pattern, whole) for pattern in self._whole)


_Pattern = re.Pattern[str] | None
"""One name of a pattern; None stands for any number of folders."""


def _one(text: str) -> re.Pattern[str]:
    return re.compile(translate(text))


def _each(text: str) -> tuple[_Pattern, ...]:
    return tuple(None if part == _ANY_DEPTH else _one(part) for part in text.split("/"))


def _fits(pattern: Sequence[_Pattern], parts: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    first, rest = pattern[0], pattern[1:]
    if first is None:
        return any(_fits(rest, parts[skipped:]) for skipped in range(len(parts) + 1))
    return bool(parts) and first.match(parts[0]) is not None and _fits(rest, parts[1:])
