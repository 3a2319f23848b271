from __future__ import annotations

from collections.abc import Iterator

import pytest
from clouds import aws_environment
from declared import heard, undeclared
from native_clouds import HOME, Cloud, cloud


@pytest.fixture(scope="module")
def _aws() -> Iterator[Cloud]:
    """One embedded AWS for each module."""
    with cloud() as opened:
        yield opened


@pytest.fixture
def aws(_aws: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """An empty embedded AWS."""
    for name, value in aws_environment(_aws.aws.endpoint_url, HOME).items():
        monkeypatch.setenv(name, value)
    _aws.aws.reset()
    _aws.accounts.close()
    return _aws


@pytest.fixture(autouse=True)
def _calls_are_declared() -> Iterator[None]:
    """No step calls what it does not declare."""
    with heard() as calls:
        yield
    assert undeclared(calls) == set()
