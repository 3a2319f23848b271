"""What every test shares: no ambient credentials, no silent skip where none is allowed, and cheap imports."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator

import pytest

_SDKS = ("AWS_", "AZURE_", "GOOGLE_", "STORAGE_EMULATOR_HOST", "OS_", "ST_")
_AMBIENT = (*_SDKS, "PG", "DRORCH_CONFIG", "DRORCH_FAILPOINT", "CREDENTIALS_DIR", "PYTHONDONTWRITEBYTECODE")
_GARBAGE = 20_000
"""Objects made between two looks for garbage; Python's own 700 makes one look in each call of an SDK."""


def pytest_configure(config: pytest.Config) -> None:
    """The variables of the person who runs the tests must not reach the code under test."""
    for name in list(os.environ):
        if name.startswith(_AMBIENT):
            del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    sys.dont_write_bytecode = False  # or each worker and each child compiles all of drorch again
    gc.set_threshold(_GARBAGE)


def pytest_collection_finish() -> None:
    """What is loaded by now stays to the end: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With DRORCH_NO_SKIP set, a skipped test is a failure: CI has everything that a test may want."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("DRORCH_NO_SKIP") and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line(f"{len(reporter.stats['skipped'])} skipped, and none may be", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _untouched_environment() -> Iterator[None]:
    """A test that changes the environment changes it for itself alone."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)
