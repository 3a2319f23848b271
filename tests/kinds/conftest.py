from __future__ import annotations

from collections.abc import Iterator

import pytest
from native_clouds import AmiWorld, Cloud, EbsWorld, RdsClusterWorld, RdsWorld, cloud


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    """One embedded AWS per module; the worlds empty it."""
    with cloud() as opened:
        yield opened


@pytest.fixture
def ebs_world(aws: Cloud) -> EbsWorld:
    return EbsWorld(aws)


@pytest.fixture
def rds_world(aws: Cloud) -> RdsWorld:
    return RdsWorld(aws)


@pytest.fixture
def cluster_world(aws: Cloud) -> RdsClusterWorld:
    return RdsClusterWorld(aws)


@pytest.fixture
def ami_world(aws: Cloud) -> AmiWorld:
    return AmiWorld(aws)
