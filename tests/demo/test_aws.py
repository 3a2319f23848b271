"""The embedded AWS as a whole: lost regions, faults, counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError
from clouds import REGIONS, aws_environment, client, volume

from drorch.demo.aws import ACCOUNT, EmbeddedAws
from drorch.domain.errors import NotFound

HOME, SECOND, _ = REGIONS


def error_code(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


def cut(call: Callable[[], Any]) -> None:
    with pytest.raises(ConnectionClosedError):
        call()


def test_the_environment_is_enough_for_an_sdk(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws_environment(aws.endpoint_url).items():
        monkeypatch.setenv(name, value)
    assert boto3.session.Session().client("sts").get_caller_identity()["Account"] == ACCOUNT


def test_a_lost_region_closes_connections_and_the_others_answer(aws: EmbeddedAws) -> None:
    made = volume(aws)
    aws.lose_region(HOME)
    cut(client(aws, "ec2").describe_volumes)
    cut(client(aws, "rds").describe_db_instances)
    assert client(aws, "ec2", SECOND).describe_volumes()["Volumes"] == []
    aws.recover_region(HOME)
    assert [one["VolumeId"] for one in client(aws, "ec2").describe_volumes()["Volumes"]] == [made]


def test_a_bucket_is_lost_with_its_home_whatever_region_the_client_signs_for(aws: EmbeddedAws) -> None:
    for bucket, region in (("at-home", HOME), ("elsewhere", SECOND)):
        s3 = client(aws, "s3", region)
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
        s3.put_object(Bucket=bucket, Key="a", Body=b"data")
    aws.lose_region(HOME)
    there = client(aws, "s3", SECOND)
    cut(lambda: there.get_object(Bucket="at-home", Key="a"))
    assert there.get_object(Bucket="elsewhere", Key="a")["Body"].read() == b"data"


def test_nothing_is_copied_out_of_a_lost_region(aws: EmbeddedAws) -> None:
    made = client(aws, "ec2").create_snapshot(VolumeId=volume(aws))["SnapshotId"]
    aws.lose_region(HOME)
    there = client(aws, "ec2", SECOND)
    cut(lambda: there.copy_snapshot(SourceRegion=HOME, SourceSnapshotId=made))
    source = f"arn:aws:rds:{HOME}:{ACCOUNT}:snapshot:one"
    rds = client(aws, "rds", SECOND)
    cut(lambda: rds.copy_db_snapshot(SourceDBSnapshotIdentifier=source, TargetDBSnapshotIdentifier="two"))
    assert there.describe_snapshots()["Snapshots"] == []


def test_a_call_that_fails_before_did_not_happen(aws: EmbeddedAws) -> None:
    aws.fail_next("CreateVolume", "before")
    assert error_code(lambda: volume(aws)) == "Unavailable"
    assert client(aws, "ec2").describe_volumes()["Volumes"] == []
    assert volume(aws)


def test_a_call_that_fails_after_did_happen(aws: EmbeddedAws) -> None:
    aws.fail_next("CreateVolume", "after")
    cut(lambda: volume(aws))
    assert len(client(aws, "ec2").describe_volumes()["Volumes"]) == 1


@pytest.mark.parametrize(
    ("service", "operation", "throttled", "expired"),
    [
        ("ec2", "describe_volumes", "RequestLimitExceeded", "RequestExpired"),
        ("rds", "describe_db_instances", "Throttling", "ExpiredToken"),
        ("s3", "list_buckets", "SlowDown", "ExpiredToken"),
        ("kms", "list_keys", "ThrottlingException", "ExpiredTokenException"),
        ("sts", "get_caller_identity", "Throttling", "ExpiredToken"),
    ],
)
def test_each_service_throttles_and_expires_in_its_own_words(
    aws: EmbeddedAws, service: str, operation: str, throttled: str, expired: str
) -> None:
    names = {"describe_db_instances": "DescribeDBInstances"}
    name = names.get(operation, "".join(part.capitalize() for part in operation.split("_")))
    call = getattr(client(aws, service), operation)
    aws.fail_next(name, "throttle")
    aws.fail_next(name, "credentials-expired")
    assert [error_code(call), error_code(call)] == [throttled, expired]
    assert call()["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert aws.calls[service, name, HOME] == 3


def test_a_fault_can_be_of_one_region_and_many_times(aws: EmbeddedAws) -> None:
    aws.fail_next("DescribeVolumes", "before", times=2, region=SECOND)
    assert client(aws, "ec2").describe_volumes()["Volumes"] == []
    there = client(aws, "ec2", SECOND)
    assert [error_code(there.describe_volumes) for _ in range(2)] == ["Unavailable"] * 2
    assert there.describe_volumes()["Volumes"] == []
    with pytest.raises(ValueError, match="unknown mode"):
        aws.fail_next("DescribeVolumes", "sideways")  # type: ignore[arg-type]


def test_a_short_stream_ends_before_its_announced_length(aws: EmbeddedAws) -> None:
    s3 = client(aws, "s3")
    s3.create_bucket(Bucket="vault", CreateBucketConfiguration={"LocationConstraint": HOME})
    s3.put_object(Bucket="vault", Key="a", Body=b"x" * 100_000)
    aws.fail_next("GetObject", "short")
    reply = s3.get_object(Bucket="vault", Key="a")
    assert reply["ContentLength"] == 100_000
    with pytest.raises(HTTPClientError):
        reply["Body"].read()
    assert len(s3.get_object(Bucket="vault", Key="a")["Body"].read()) == 100_000


def test_a_stale_listing_shows_the_past_for_as_many_passes_as_ordered(aws: EmbeddedAws) -> None:
    ec2 = client(aws, "ec2")
    aws.cap_pages(1)

    def count() -> int:
        return sum(len(page["Volumes"]) for page in ec2.get_paginator("describe_volumes").paginate())

    volume(aws)
    volume(aws)
    assert count() == 2
    aws.stale("DescribeVolumes", 2)
    volume(aws)
    assert [count() for _ in range(3)] == [2, 2, 3]


def test_a_listing_can_fail_half_way(aws: EmbeddedAws) -> None:
    for _ in range(3):
        volume(aws)
    aws.cap_pages(1)
    aws.half("DescribeVolumes")
    pages = iter(client(aws, "ec2").get_paginator("describe_volumes").paginate())
    assert len(next(pages)["Volumes"]) == 1
    assert error_code(lambda: next(pages)) == "Unavailable"
    assert len(list(client(aws, "ec2").get_paginator("describe_volumes").paginate())) == 3


def test_calls_are_counted_by_service_operation_and_region(aws: EmbeddedAws) -> None:
    s3 = client(aws, "s3")
    s3.create_bucket(Bucket="vault", CreateBucketConfiguration={"LocationConstraint": HOME})
    s3.put_object(Bucket="vault", Key="a", Body=b"x")
    upload = s3.create_multipart_upload(Bucket="vault", Key="b")["UploadId"]
    s3.upload_part(Bucket="vault", Key="b", UploadId=upload, PartNumber=1, Body=b"x")
    s3.list_parts(Bucket="vault", Key="b", UploadId=upload)
    s3.list_multipart_uploads(Bucket="vault")
    s3.abort_multipart_upload(Bucket="vault", Key="b", UploadId=upload)
    s3.head_object(Bucket="vault", Key="a")
    s3.get_bucket_versioning(Bucket="vault")
    s3.list_objects_v2(Bucket="vault")
    s3.delete_object(Bucket="vault", Key="a")
    client(aws, "ec2", SECOND).describe_volumes()
    expected = "CreateBucket PutObject CreateMultipartUpload UploadPart ListParts ListMultipartUploads"
    expected += " AbortMultipartUpload HeadObject GetBucketVersioning ListObjectsV2 DeleteObject"
    assert dict(aws.calls) == {
        **{("s3", name, HOME): 1 for name in expected.split()},
        ("ec2", "DescribeVolumes", SECOND): 1,
    }


def test_what_moto_does_not_know_is_an_error_of_the_service(aws: EmbeddedAws) -> None:
    ec2 = client(aws, "ec2")
    assert error_code(ec2.describe_fast_snapshot_restores) == "InternalError"


def test_failing_an_unknown_snapshot_is_not_found(aws: EmbeddedAws) -> None:
    with pytest.raises(NotFound):
        aws.fail_snapshot(HOME, "snap-0")
