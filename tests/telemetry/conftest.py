"""Registered secrets and the set-up of logging end with the test."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest
import structlog

from drorch.telemetry.redact import forget


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hook = list(root.handlers), root.level, threading.excepthook
    yield
    forget()
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    logging.raiseExceptions = True
    root.handlers[:], threading.excepthook = handlers, hook
    root.setLevel(level)
