"""The lines between a worker and whoever started it: events on its standard output, errors in a form that travels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drorch.domain import errors
from drorch.domain.errors import DrorchError, InvalidInput

_WORDS = ("operation", "resource", "vault", "cause", "hint")


def done_event(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The last line of a job that was done."""
    return {"event": "done", "outcome": dict(outcome)}


def progress_event(progress: Mapping[str, Any]) -> dict[str, Any]:
    """How far it is."""
    return {"event": "progress", "progress": dict(progress)}


def failed_event(error: DrorchError) -> dict[str, Any]:
    """The last line of a job that failed; `kind` is the nearest class of the error tree."""
    kind = next(cls.__name__ for cls in type(error).__mro__ if getattr(errors, cls.__name__, None) is cls)
    words = {word: getattr(error, word) for word in _WORDS}
    return {"event": "failed", "kind": kind, "message": error.message, "exit_code": error.exit_code, **words}


def fault_event(error: Exception) -> dict[str, Any]:
    """The last line of a worker with a fault of drorch in it; the traceback is on its standard error."""
    text = f"{type(error).__name__}: {error}"[:500]
    return failed_event(DrorchError("a fault in drorch", operation="worker", cause=text))


def error_of(event: Mapping[str, Any]) -> DrorchError:
    """The error that a `failed` event tells of."""
    cls = getattr(errors, str(event.get("kind")), DrorchError)
    words = {word: str(event.get(word, "")) for word in _WORDS}
    message = str(event.get("message", ""))
    if cls is InvalidInput:
        return InvalidInput(message, hint=words["hint"] or words["cause"])
    if not (isinstance(cls, type) and issubclass(cls, DrorchError)):
        cls = DrorchError
    return cls(message, **words)
