"""One guard of the product taken out, to prove that the year would see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bench.year import installation
from drorch.app import passing
from drorch.app.observe import Observer
from drorch.domain import brake, objective, plan_expiry
from drorch.domain.action import Expire

GUARDS = ("newest", "grace", "incomplete", "rpo")


def apply(guard: str) -> None:
    """Take out the guard of that name; "" leaves the product whole."""
    if guard:
        {"newest": _newest, "grace": _grace, "incomplete": _incomplete, "rpo": _rpo}[guard]()


def _newest() -> None:
    """Retention lets the newest point of a vault go at once, and the brake does not look at what is left."""
    judge: Callable[..., Any] = plan_expiry.judge
    step: Callable[..., Any] = plan_expiry._next_step

    def careless(*given: Any) -> Any:
        verdicts = judge(*given)
        return (replace(verdicts[0], kept=False), *verdicts[1:]) if len(verdicts) > 3 else verdicts

    def at_once(application: str, resource: str, copy: Any, point: str, reason: str, observed: Any, now: Any) -> Any:
        newest = next((p for p in observed.catalogue.of(resource) if p.copy_in(copy.vault)), None)
        if newest is None or newest.id != point:
            return step(application, resource, copy, point, reason, observed, now)
        return Expire(application, resource, copy.vault, point, reason, observed.writable)

    plan_expiry.judge = careless  # type: ignore[assignment]
    plan_expiry._next_step = at_once
    brake._lasts = lambda *_given: {}


def _grace() -> None:
    """A mark stands for an hour only."""
    given = passing.Guards

    installation.Guards = lambda **more: given(**{**more, "grace": timedelta(hours=1)})  # type: ignore[attr-defined,assignment]


def _incomplete() -> None:
    """A listing that failed is taken for a complete one."""
    observe = Observer.observe

    def careless(self: Observer, *given: Any, **more: Any) -> Any:
        world = observe(self, *given, **more)
        return replace(world, unread={}, natives=tuple(replace(v, complete=True) for v in world.natives))

    Observer.observe = careless  # type: ignore[method-assign]


def _rpo() -> None:
    """Every copy survives everything."""
    objective._left = lambda *_given: True
