"""A mapping that notes what it was asked: a decision depends on the answers, not on all that it holds. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

_V = TypeVar("_V")


class Asked(Mapping[str, _V], Generic[_V]):
    """Answers as `of` does, which holds no None. `answers` are those given so far by key, None for what is not there.

    Whoever goes through all of it depends on all of it: `whole` says so.
    """

    def __init__(self, of: Mapping[str, _V]) -> None:
        self._of = of
        self.answers: dict[str, _V | None] = {}
        self.whole = False

    def __getitem__(self, key: str) -> _V:
        found = self._of.get(key)
        self.answers[key] = found
        if found is None:
            raise KeyError(key)
        return found

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._asked(key) is not None

    def _asked(self, key: str) -> _V | None:
        found = self.answers[key] = self._of.get(key)
        return found

    def __iter__(self) -> Iterator[str]:
        self.whole = True
        return iter(self._of)

    def __len__(self) -> int:
        self.whole = True
        return len(self._of)

    def close(self) -> None:
        """Nothing more will be asked: only what matters of the mapping is held on to."""
        self._of = dict(self._of) if self.whole else {}

    def answers_as(self, other: Mapping[str, _V]) -> bool:
        """Whether another mapping would have given the same answers."""
        if self.whole:
            return dict(self._of) == dict(other)
        if not other:
            return not any(found is not None for found in self.answers.values())
        return all(other.get(key) == found for key, found in self.answers.items())
