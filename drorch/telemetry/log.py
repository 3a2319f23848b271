"""The journal: JSON lines under systemd and in a pipe, a readable form on a terminal; secrets taken out of both.

A message is a constant in the past tense, and everything variable stands in keys beside it:
``log.info("pass ended", seconds=3)``.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TextIO

import structlog

from drorch.telemetry.redact import clean

Event = MutableMapping[str, Any]
_LIBRARIES = logging.WARNING


def configure(*, stream: TextIO | None = None, environ: Mapping[str, str], json: bool | None = None) -> None:
    """Send everything that is logged, by drorch (from info) and by libraries (from warning), to `stream` (stderr).

    `json` None chooses: JSON lines under systemd (JOURNAL_STREAM or INVOCATION_ID) and wherever `stream` is no
    terminal. Harmless when called again.
    """
    out = _SteadyStream(stream or sys.stderr)
    if json is None:
        json = "JOURNAL_STREAM" in environ or "INVOCATION_ID" in environ or not out.isatty()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info if json else _error_in_words,
    ]
    last: list[Any] = [redacted, _renderer(json=json, environ=environ)]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(out),  # type: ignore[arg-type]  # write and flush is all it uses
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LIBRARIES)
    logging.raiseExceptions = False
    logging.captureWarnings(capture=True)
    threading.excepthook = _thread_died


def redacted(_logger: object, _method: str, event: Event) -> Event:
    """The structlog processor that takes the secrets out of an event, nested ones and those in exceptions too."""
    cleaned = clean(event)
    return cleaned if isinstance(cleaned, dict) else {"event": str(cleaned)}


def _renderer(*, json: bool, environ: Mapping[str, str]) -> Any:
    if json:
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in environ, timestamp_key="at", pad_event_to=24)


def _error_in_words(_logger: object, _method: str, event: Event) -> Event:
    """On a terminal an exception is its class, its words and its place; the traceback is for the journal."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        place = f" (at {frame.tb_frame.f_code.co_filename}:{frame.tb_lineno})" if frame is not None else ""
        event["fault"] = f"{type(error).__name__}: {error}{place}"
    return event


def _thread_died(died: threading.ExceptHookArgs) -> None:
    """What ends a thread is logged like everything else, not printed past the redaction."""
    if died.exc_value is not None and not isinstance(died.exc_value, SystemExit):
        name = died.thread.name if died.thread else ""
        structlog.get_logger().error("thread died", thread=name, exc_info=died.exc_value)


class _SteadyStream:
    """A stream whose loss ends nothing: a journal that restarts, a full disk, a closed pipe. Lines stay whole."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._one = threading.Lock()

    def write(self, text: str) -> None:
        with self._one, suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()

    def flush(self) -> None:
        """Every write has been flushed."""

    def isatty(self) -> bool:
        try:
            return self._stream.isatty()
        except (OSError, ValueError):
            return False
