"""Keys as KMS describes them on the embedded cloud; what it does not answer is no word on a key."""

from __future__ import annotations

import json

import pytest
from native_clouds import ACCOUNT, AWAY, HOME, EbsWorld

from drorch.domain.errors import NotFound, Refused, Unavailable
from drorch.kinds.kms_keys import AwsKmsKeys

USING = "kms:GenerateDataKeyWithoutPlaintext"


@pytest.fixture
def keys(ebs_world: EbsWorld) -> AwsKmsKeys:
    return AwsKmsKeys(ebs_world.aws_accounts)


def test_a_key_is_described_by_alias_and_by_arn(ebs_world: EbsWorld, keys: AwsKmsKeys) -> None:
    found = keys.describe(ACCOUNT, AWAY, ebs_world.new_key(AWAY))
    assert (found.state, found.usage, found.spec, found.manager) == (
        "Enabled",
        "ENCRYPT_DECRYPT",
        "SYMMETRIC_DEFAULT",
        "CUSTOMER",
    )
    assert keys.describe(ACCOUNT, AWAY, found.arn) == found


def test_a_key_of_another_region_is_not_there(ebs_world: EbsWorld, keys: AwsKmsKeys) -> None:
    with pytest.raises(NotFound):
        keys.describe(ACCOUNT, AWAY, ebs_world.new_key(HOME))


def test_the_default_key_is_one_that_aws_keeps(ebs_world: EbsWorld, keys: AwsKmsKeys) -> None:
    ec2 = ebs_world.client("ec2")
    made = ec2.create_volume(Size=8, AvailabilityZone=f"{HOME}a", Encrypted=True)
    assert keys.describe(ACCOUNT, HOME, made["KmsKeyId"]).manager == "AWS"


def test_the_replica_of_a_key_of_several_regions_is_a_key_there(ebs_world: EbsWorld, keys: AwsKmsKeys) -> None:
    kms = ebs_world.client("kms")
    made = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    with pytest.raises(NotFound):
        keys.describe(ACCOUNT, AWAY, made)
    kms.replicate_key(KeyId=made, ReplicaRegion=AWAY)
    assert keys.describe(ACCOUNT, AWAY, made).state == "Enabled"


@pytest.mark.parametrize("mode", ["before", "throttle", "credentials-expired", "denied"])
def test_what_is_no_word_on_the_key_is_unavailable(ebs_world: EbsWorld, keys: AwsKmsKeys, mode: str) -> None:
    key = ebs_world.new_key(AWAY)
    ebs_world.aws.fail_next("DescribeKey", mode, times=9)  # type: ignore[arg-type]
    with pytest.raises(Refused if mode == "denied" else Unavailable):
        keys.describe(ACCOUNT, AWAY, key)


def test_a_lost_region_says_nothing(ebs_world: EbsWorld, keys: AwsKmsKeys) -> None:
    key = ebs_world.new_key(AWAY)
    ebs_world.lose(AWAY)
    with pytest.raises(Unavailable):
        keys.describe(ACCOUNT, AWAY, key)
    with pytest.raises(Unavailable):
        keys.require_use(ACCOUNT, AWAY, key)


def test_a_dry_run_tells_whether_a_key_may_be_used(ebs_world: EbsWorld, keys: AwsKmsKeys) -> None:
    key = ebs_world.new_key(AWAY)
    keys.require_use(ACCOUNT, AWAY, key)
    kms = ebs_world.client("kms", AWAY)
    own = kms.describe_key(KeyId=key)["KeyMetadata"]["KeyId"]
    deny = {"Effect": "Deny", "Principal": "*", "Action": [USING], "Resource": "*"}
    kms.put_key_policy(KeyId=own, PolicyName="default", Policy=json.dumps({"Statement": [deny]}))
    with pytest.raises(Refused, match="AccessDenied"):
        keys.require_use(ACCOUNT, AWAY, key)
