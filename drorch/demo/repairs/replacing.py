"""How one function of moto is replaced by a repaired one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def around(owner: Any, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Replace ``owner.name``; the decorated function gets the original as its first argument, then the call's own."""
    original = getattr(owner, name)

    def install(repaired: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            return repaired(original, *args, **kwargs)

        setattr(owner, name, call)
        return repaired

    return install


def instead_of(owner: Any, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Replace ``owner.name`` altogether."""

    def install(repaired: Callable[..., Any]) -> Callable[..., Any]:
        setattr(owner, name, repaired)
        return repaired

    return install
