"""What a region of the embedded AWS offers, allows and refuses, each seen through boto3."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from clouds import REGIONS, client

from drorch.demo.aws import EmbeddedAws

HOME, SECOND, _ = REGIONS


def test_every_class_is_offered_but_those_that_a_region_withholds(aws: EmbeddedAws) -> None:
    aws.withhold_class(SECOND, "db.x2g.large")
    found = {
        (region, name): bool(
            client(aws, "rds", region).describe_orderable_db_instance_options(Engine="postgres", DBInstanceClass=name)[
                "OrderableDBInstanceOptions"
            ]
        )
        for region in (HOME, SECOND)
        for name in ("db.x2g.large", "db.t3.micro")
    }
    assert [place for place, offered in found.items() if not offered] == [(SECOND, "db.x2g.large")]


def test_a_quota_is_known_where_it_was_set(aws: EmbeddedAws) -> None:
    aws.set_quota(HOME, "rds", "L-272F1212", 250)
    asked = {"ServiceCode": "rds", "QuotaCode": "L-272F1212"}
    assert client(aws, "service-quotas").get_service_quota(**asked)["Quota"]["Value"] == 250
    with pytest.raises(ClientError, match="NoSuchResourceException"):
        client(aws, "service-quotas", SECOND).get_service_quota(**asked)


@pytest.mark.parametrize(
    ("service", "operation", "method", "code"),
    [
        ("ec2", "DescribeVolumes", "describe_volumes", "UnauthorizedOperation"),
        ("rds", "DescribeDBInstances", "describe_db_instances", "AccessDenied"),
        ("s3", "ListBuckets", "list_buckets", "AccessDenied"),
        ("kms", "ListKeys", "list_keys", "AccessDeniedException"),
    ],
)
def test_each_service_denies_in_its_own_words(
    aws: EmbeddedAws, service: str, operation: str, method: str, code: str
) -> None:
    aws.fail_next(operation, "denied")
    with pytest.raises(ClientError) as raised:
        getattr(client(aws, service), method)()
    assert raised.value.response["Error"]["Code"] == code
