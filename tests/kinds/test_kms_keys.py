"""A key is asked for before the first copy: EC2 accepts a wrong one and lets the copy fail minutes later."""

from __future__ import annotations

import pytest
from native_clouds import ACCOUNT, AWAY, EbsWorld

from drorch.domain.errors import Refused


@pytest.mark.parametrize("spelling", ["KeyId", "Arn"])
def test_a_key_may_be_named_by_its_id_or_arn(ebs_world: EbsWorld, spelling: str) -> None:
    made = ebs_world.client("kms", AWAY).create_key(KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"][spelling]
    ebs_world.kind.check_key(ACCOUNT, AWAY, made)
    assert ebs_world.aws.calls[("kms", "DescribeKey", AWAY)] == 1


def test_a_disabled_key_is_refused(ebs_world: EbsWorld) -> None:
    kms, key = ebs_world.client("kms", AWAY), ebs_world.new_key(AWAY)
    kms.disable_key(KeyId=kms.describe_key(KeyId=key)["KeyMetadata"]["KeyId"])
    with pytest.raises(Refused, match="KeyState is Disabled"):
        ebs_world.kind.check_key(ACCOUNT, AWAY, key)


def test_a_key_that_waits_for_its_deletion_is_refused(ebs_world: EbsWorld) -> None:
    kms, key = ebs_world.client("kms", AWAY), ebs_world.new_key(AWAY)
    kms.schedule_key_deletion(KeyId=kms.describe_key(KeyId=key)["KeyMetadata"]["KeyId"])
    with pytest.raises(Refused, match="PendingDeletion"):
        ebs_world.kind.check_key(ACCOUNT, AWAY, key)


@pytest.mark.parametrize(("spec", "usage"), [("RSA_2048", "ENCRYPT_DECRYPT"), ("HMAC_256", "GENERATE_VERIFY_MAC")])
def test_a_key_of_another_sort_is_refused_with_what_is_wrong(ebs_world: EbsWorld, spec: str, usage: str) -> None:
    made = ebs_world.client("kms", AWAY).create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
    with pytest.raises(Refused, match=f"KeySpec is {spec}") as refused:
        ebs_world.kind.check_key(ACCOUNT, AWAY, made)
    assert AWAY in refused.value.hint
    assert made in refused.value.hint
