"""Fixtures: an embedded AWS per module, emptied for each test; one embedded PostgreSQL per module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clouds import embedded_aws

from drorch.demo.aws import EmbeddedAws
from drorch.demo.postgres import EmbeddedPostgres


@pytest.fixture(scope="module")
def aws_server() -> Iterator[EmbeddedAws]:
    with embedded_aws() as cloud:
        yield cloud


@pytest.fixture
def aws(aws_server: EmbeddedAws) -> EmbeddedAws:
    aws_server.reset()
    return aws_server


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server
