from __future__ import annotations

from collections.abc import Iterator

import pytest
from live_stores import gcs_bucket, s3_bucket

from drorch.demo.aws import EmbeddedAws
from drorch.demo.gcs import EmbeddedGcs


@pytest.fixture
def aws() -> Iterator[EmbeddedAws]:
    """An embedded AWS with the bucket ``acme-dr``."""
    with s3_bucket() as opened:
        yield opened


@pytest.fixture
def google() -> Iterator[EmbeddedGcs]:
    """An embedded GCS with the bucket ``acme-dr``."""
    with gcs_bucket() as opened:
        yield opened
