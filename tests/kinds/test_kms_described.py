"""Keys as KMS describes them on the embedded cloud; what it does not answer is no word on a key."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from native_clouds import ACCOUNT, AWAY, HOME, POINT, EbsWorld, RdsWorld, copy_order, cut_order, selected

from drorch.domain.copy_failure import Cause, failure_of
from drorch.domain.errors import NotFound, Refused, Unavailable
from drorch.domain.native import NativeSnapshot
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


# --- what becomes of copies whose keys or sources go ------------------------------------------------------------------


def begun(world: EbsWorld | RdsWorld, key: str) -> NativeSnapshot:
    """A copy under way."""
    order = cut_order(selected(world))
    world.kind.cut(order, 0)
    world.finish()
    (source,) = world.kind.find(ACCOUNT, HOME, POINT)
    world.kind.copy(copy_order(source, key=key))
    return source


def became(world: EbsWorld | RdsWorld) -> NativeSnapshot:
    world.finish()
    (found,) = world.kind.find(ACCOUNT, AWAY, POINT)
    return found


def disable(world: EbsWorld | RdsWorld, key: str) -> None:
    kms = world.client("kms", AWAY)
    kms.disable_key(KeyId=kms.describe_key(KeyId=key)["KeyMetadata"]["KeyId"])


def test_a_copy_whose_key_was_disabled_meanwhile_says_so(ebs_world: EbsWorld) -> None:
    ebs_world.source_with()
    key = ebs_world.new_key(AWAY)
    begun(ebs_world, key)
    disable(ebs_world, key)
    found = became(ebs_world)
    assert found.state == "failed" and failure_of(found.why).cause is Cause.KEY


def test_one_of_rds_says_that_it_failed(rds_world: RdsWorld) -> None:
    key = rds_world.new_key(AWAY)
    rds_world.source_with(key=rds_world.new_key(HOME))
    begun(rds_world, key)
    disable(rds_world, key)
    found = became(rds_world)
    assert (found.state, found.why) == ("failed", "status failed")


def test_a_copy_whose_source_was_deleted_meanwhile_says_so(ebs_world: EbsWorld) -> None:
    ebs_world.source_with()
    source = begun(ebs_world, "")
    ebs_world.kind.expire(ACCOUNT, HOME, source.native_id)
    found = became(ebs_world)
    assert found.state == "failed" and failure_of(found.why).cause is Cause.SOURCE


@pytest.mark.parametrize("name", ["ebs_world", "rds_world"])
def test_a_copy_at_home_under_another_key_is_one_of_its_own(request: pytest.FixtureRequest, name: str) -> None:
    world: EbsWorld | RdsWorld = request.getfixturevalue(name)
    world.source_with(key=world.new_key(HOME))
    world.kind.cut(cut_order(selected(world)), 0)
    world.finish()
    (source,) = world.kind.find(ACCOUNT, HOME, POINT)
    key = world.new_key(HOME)
    order = replace(copy_order(source, key=key), account=ACCOUNT, region=HOME)
    step = {"drorch:intermediate": "vault.us-west-2"}
    world.kind.copy(replace(order, tags={**order.tags, **step}))
    world.finish()
    made = next(s for s in world.kind.find(ACCOUNT, HOME, POINT) if s.native_id != source.native_id)
    own = world.client("kms").describe_key(KeyId=key)["KeyMetadata"]["Arn"]
    assert (made.state, made.kms_key) == ("usable", own) and source.kms_key != own
    assert made.tags["drorch:intermediate"] == "vault.us-west-2" and made.tags["drorch:source"] == source.native_id
