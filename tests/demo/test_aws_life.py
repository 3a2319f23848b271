"""The embedded AWS starts empty, alone in its process, and really stops."""

from __future__ import annotations

import socket

import pytest
from clouds import REGIONS, client, embedded_aws, volume

from drorch.domain.errors import Refused


def test_a_stopped_cloud_refuses_connections() -> None:
    with embedded_aws() as aws:
        port = int(aws.endpoint_url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            assert connection.getpeername()[1] == port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    with pytest.raises(Refused):
        _ = aws.endpoint_url
    aws.stop()


def test_a_process_has_one_embedded_aws_at_a_time() -> None:
    with embedded_aws(), pytest.raises(Refused):
        embedded_aws().start()
    with embedded_aws() as later:
        assert later.endpoint_url


def test_every_world_begins_empty() -> None:
    for _ in range(2):
        with embedded_aws() as aws:
            assert client(aws, "ec2").describe_volumes()["Volumes"] == []
            volume(aws)
            aws.lose_region(REGIONS[0])
            aws.fail_next("DescribeVolumes", "before")
