"""Who goes first while a provider throttles, and the word of it that goes along with the calls of an action.

The word travels with the thread, like a deadline: every port would have to hand it on otherwise, through everything
that never asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import IntEnum

from drorch.domain.action import Action, Cut, Expire, Sweep


class Priority(IntEnum):
    """The smaller, the sooner. What restores waits for nobody; what only tidies up waits for everybody."""

    RESTORE = 0
    COPY = 1
    CUT = 2
    CLEAN_UP = 3


def priority_of(action: Action) -> Priority:
    """Of an action of the loop: what lets go comes last, what brings a point to safety first.

    Marks and records are words about points that exist; some of them protect one.
    """
    if isinstance(action, Expire | Sweep):
        return Priority.CLEAN_UP
    return Priority.CUT if isinstance(action, Cut) else Priority.COPY


@dataclass(frozen=True, slots=True)
class Turn:
    """One action that is being carried out: how its calls rank, and where it has been let in already.

    Only its first call at a service may be made to wait: an action that has begun is brought to its end.
    """

    priority: Priority
    admitted: set[object] = field(default_factory=set)


_TURN: ContextVar[Turn | None] = ContextVar("turn", default=None)


@contextmanager
def acting(priority: Priority) -> Iterator[None]:
    """What this thread calls within the block, it calls with this priority."""
    before = _TURN.set(Turn(priority))
    try:
        yield
    finally:
        _TURN.reset(before)


def turn() -> Turn | None:
    """The action that this thread is carrying out; None for a person's command and for a look at the world."""
    return _TURN.get()
