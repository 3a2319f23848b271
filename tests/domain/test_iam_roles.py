from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from iam_judge import allowed
from moto.iam.policy_validation import IAMPolicyDocumentValidator

from drorch.domain.iam import MOST_CHARACTERS, characters, documents
from drorch.domain.iam_roles import ROLES, AccountUse, BucketUse, NativeUse, statements
from drorch.stores.s3 import permissions as s3
from drorch.wiring.adapters import SNAPSHOT_KINDS, declared_of, service_of

PROD, VAULT = "111111111111", "222222222222"
HOME, AWAY, OTHER = "us-east-1", "us-west-2", "eu-west-1"
MINE, THEIRS = {"aws:ResourceTag/drorch:site": "acme"}, {"aws:ResourceTag/drorch:site": "other"}
NEW = {"aws:RequestTag/drorch:site": "acme"}
SNAPSHOT = f"arn:aws:ec2:{AWAY}::snapshot/snap-1"
RDS_SNAPSHOT = f"arn:aws:rds:{AWAY}:{PROD}:snapshot:drorch-abc-1"
OBJECT = "arn:aws:s3:::acme-dr/team/drorch/v1/a"
VIA = {"kms:ViaService": f"ec2.{AWAY}.amazonaws.com", "kms:ResourceAliases": ["alias/drorch"]}

NATIVE = tuple(
    NativeUse(
        service_of(kind),
        declared_of(kind),
        homes={HOME: frozenset({"shop-ledger" if kind.startswith("rds") else "*"})},
        copies={AWAY: frozenset({"alias/drorch"})},
    )
    for kind in SNAPSHOT_KINDS
)
BUCKET = BucketUse(
    "acme-dr",
    AWAY,
    "team",
    (*s3.READING, *s3.HISTORY, *s3.LOOKING_AT_LOCKS),
    (*s3.WRITING, *s3.LOCKING),
    s3.LETTING_GO,
)
USE = AccountUse("prod", PROD, "acme", NATIVE, (BUCKET,), ("arn:aws:iam::222222222222:role/drorch",))


def role(name: str, use: AccountUse = USE) -> tuple[dict[str, Any], ...]:
    return documents(statements(use, name))


@pytest.mark.parametrize("name", ROLES)
def test_every_document_is_within_the_grammar_and_the_limits(name: str) -> None:
    for document in role(name):
        IAMPolicyDocumentValidator(json.dumps(document)).validate()
        assert characters(document) <= MOST_CHARACTERS
        sids = [statement["Sid"] for statement in document["Statement"]]
        assert len(sids) == len(set(sids))
        assert all(sid.isalnum() for sid in sids)


def test_the_backup_role_cuts_and_copies_what_will_bear_the_tag() -> None:
    backup = role("backup")
    assert allowed(backup, "ec2:CreateSnapshot", f"arn:aws:ec2:{HOME}:{PROD}:volume/vol-1")
    assert allowed(backup, "ec2:CreateSnapshot", f"arn:aws:ec2:{HOME}::snapshot/*", NEW)
    assert not allowed(backup, "ec2:CreateSnapshot", f"arn:aws:ec2:{HOME}::snapshot/*")
    assert not allowed(backup, "ec2:CreateSnapshot", f"arn:aws:ec2:{OTHER}:{PROD}:volume/vol-1")
    assert allowed(backup, "ec2:CopySnapshot", SNAPSHOT, NEW)
    assert allowed(backup, "ec2:CopySnapshot", f"arn:aws:ec2:{HOME}::snapshot/snap-1", MINE)
    assert not allowed(backup, "ec2:CopySnapshot", f"arn:aws:ec2:{HOME}::snapshot/snap-1", THEIRS)
    assert allowed(backup, "rds:CreateDBSnapshot", f"arn:aws:rds:{HOME}:{PROD}:db:shop-ledger")
    assert not allowed(backup, "rds:CreateDBSnapshot", f"arn:aws:rds:{HOME}:{PROD}:db:another")
    assert allowed(backup, "rds:CopyDBSnapshot", RDS_SNAPSHOT)


@pytest.mark.parametrize("action", ["ec2:DeleteSnapshot", "rds:DeleteDBSnapshot"])
def test_the_backup_role_ends_only_what_bears_the_tag_of_its_site(action: str) -> None:
    backup, of = role("backup"), RDS_SNAPSHOT if action.startswith("rds") else SNAPSHOT
    assert allowed(backup, action, of, MINE)
    assert not allowed(backup, action, of, THEIRS)
    assert not allowed(backup, action, of)


def test_a_snapshot_of_people_can_be_neither_ended_nor_made_ones_own_first() -> None:
    backup = role("backup")
    by_hand = f"arn:aws:rds:{HOME}:{PROD}:snapshot:before-migration"
    assert not allowed(backup, "rds:DeleteDBSnapshot", by_hand, MINE)
    assert not allowed(backup, "rds:AddTagsToResource", by_hand)
    assert not allowed(backup, "rds:AddTagsToResource", RDS_SNAPSHOT, THEIRS)
    assert allowed(backup, "rds:AddTagsToResource", RDS_SNAPSHOT)
    assert allowed(backup, "ec2:CreateTags", SNAPSHOT, {"ec2:CreateAction": "CopySnapshot"})
    assert not allowed(backup, "ec2:CreateTags", SNAPSHOT)
    assert not allowed(backup, "ec2:CreateTags", SNAPSHOT, {"ec2:CreateAction": "CreateVolume"})


@pytest.mark.parametrize("name", ROLES)
def test_no_role_takes_a_lock_off_even_where_another_policy_would_let_it(name: str) -> None:
    everything = {"Statement": [{"Effect": "Allow", "Action": ["*"], "Resource": ["*"]}]}
    for action in (
        "s3:BypassGovernanceRetention",
        "ec2:UnlockSnapshot",
        "kms:ScheduleKeyDeletion",
        "kms:DisableKey",
        "s3:PutLifecycleConfiguration",
    ):
        assert not allowed((*role(name), everything), action, OBJECT)


def test_copies_are_locked_where_a_policy_says_so_and_only_those_of_the_site() -> None:
    action = "ec2:LockSnapshot"
    assert not allowed(role("backup"), action, SNAPSHOT, MINE)
    locking = tuple(
        replace(use, declared=declared_of(kind, locking=True)) for kind, use in zip(SNAPSHOT_KINDS, NATIVE, strict=True)
    )
    backup = role("backup", replace(USE, native=locking))
    assert allowed(backup, action, SNAPSHOT, MINE)
    assert not allowed(backup, action, SNAPSHOT, THEIRS)
    assert not allowed(backup, action, SNAPSHOT)
    assert not allowed(role("restore", replace(USE, native=locking)), action, SNAPSHOT, MINE)


def test_keys_are_used_by_the_services_alone_and_only_those_that_are_named() -> None:
    backup, key = role("backup"), f"arn:aws:kms:{AWAY}:{PROD}:key/k-1"
    assert allowed(backup, "kms:ReEncryptTo", key, VIA)
    assert not allowed(backup, "kms:ReEncryptTo", key, {**VIA, "kms:ResourceAliases": ["alias/payroll"]})
    assert not allowed(backup, "kms:Decrypt", key, {"kms:ResourceAliases": ["alias/drorch"]})
    assert not allowed(backup, "kms:CreateGrant", key, VIA)
    assert allowed(backup, "kms:CreateGrant", key, {**VIA, "kms:GrantIsForAWSResource": "true"})
    assert allowed(backup, "kms:DescribeKey", key, {"kms:ResourceAliases": ["alias/drorch"]})
    assert allowed(backup, "kms:Decrypt", f"arn:aws:kms:{HOME}:{PROD}:key/k-2", VIA)


def test_a_key_with_an_id_is_named_as_it_is() -> None:
    native = tuple(replace(one, copies={AWAY: frozenset({"k-1"})}) for one in NATIVE)
    backup = role("backup", replace(USE, native=native))
    using = "kms:GenerateDataKeyWithoutPlaintext"
    assert allowed(backup, using, f"arn:aws:kms:{AWAY}:{PROD}:key/k-1")
    assert not allowed(backup, using, f"arn:aws:kms:{AWAY}:{PROD}:key/k-2")


def test_any_key_may_be_looked_at_where_copies_lie_for_they_bear_keys_that_no_policy_names_any_more() -> None:
    for region in (HOME, AWAY):
        assert allowed(role("backup"), "kms:DescribeKey", f"arn:aws:kms:{region}:{PROD}:key/k-9")
    assert not allowed(role("backup"), "kms:DescribeKey", f"arn:aws:kms:sa-east-1:{PROD}:key/k-9")
    assert not allowed(role("backup"), "kms:DescribeKey", f"arn:aws:kms:{HOME}:999999999999:key/k-9")


def test_the_bucket_is_written_below_its_prefix_alone() -> None:
    backup = role("backup")
    assert allowed(backup, "s3:PutObject", OBJECT)
    assert not allowed(backup, "s3:PutObject", "arn:aws:s3:::acme-dr/other/a")
    assert allowed(backup, "s3:ListBucket", "arn:aws:s3:::acme-dr")
    assert not allowed(backup, "s3:ListBucket", "arn:aws:s3:::another")


def test_the_restore_role_reads_and_makes_and_changes_nothing_that_is_there() -> None:
    restore = role("restore")
    for action in ("s3:GetObject", "s3:GetObjectVersion"):
        assert allowed(restore, action, OBJECT)
    for action in ("s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObjectRetention"):
        assert not allowed(restore, action, OBJECT)
    assert allowed(restore, "ec2:CreateVolume", SNAPSHOT, MINE)
    assert not allowed(restore, "ec2:CreateVolume", SNAPSHOT, THEIRS)
    for key in ("drorch:restore", "drorch:drill"):
        assert allowed(
            restore, "ec2:CreateVolume", f"arn:aws:ec2:{AWAY}:{PROD}:volume/*", {"aws:TagKeys": ["app", key]}
        )
    assert not allowed(restore, "ec2:CreateVolume", f"arn:aws:ec2:{AWAY}:{PROD}:volume/*", {"aws:TagKeys": ["app"]})
    assert not allowed(restore, "ec2:CreateTags", f"arn:aws:ec2:{AWAY}:{PROD}:volume/vol-1")
    assert allowed(restore, "rds:RestoreDBInstanceFromDBSnapshot", RDS_SNAPSHOT, {"aws:TagKeys": ["drorch:restore"]})
    assert not allowed(restore, "rds:RestoreDBInstanceFromDBSnapshot", RDS_SNAPSHOT)
    for action, of in (("ec2:DeleteSnapshot", SNAPSHOT), ("rds:DeleteDBSnapshot", RDS_SNAPSHOT)):
        assert not allowed(restore, action, of, MINE)


def of_ec2(kind: str) -> str:
    return f"arn:aws:ec2:{AWAY}:{PROD}:{kind}/x-1"


def test_the_restore_role_lets_go_what_bears_a_drills_tag_and_nothing_else_of_ec2() -> None:
    restore = role("restore")
    ending = {"ec2:DeleteVolume": "volume", "ec2:TerminateInstances": "instance"}
    ending |= {"ec2:DeleteLaunchTemplateVersions": "launch-template"}
    for action, kind in ending.items():
        assert allowed(restore, action, of_ec2(kind), {"aws:ResourceTag/drorch:drill": "d7k2"})
        for context in ({}, MINE, {"aws:ResourceTag/drorch:restore": "r1"}):
            assert not allowed(restore, action, of_ec2(kind), context)
    for action in ("ec2:DeleteSnapshot", "ec2:DeregisterImage", "ec2:DetachVolume", "ec2:ModifyLaunchTemplate"):
        assert not allowed(restore, action, of_ec2("volume"), {"aws:ResourceTag/drorch:drill": "d7k2"})


@pytest.mark.parametrize("kinds", [SNAPSHOT_KINDS, ("rds-instance",), ("rds-cluster",)])
def test_the_restore_role_makes_and_changes_security_groups_of_drills_alone(kinds: tuple[str, ...]) -> None:
    native = tuple(use for kind, use in zip(SNAPSHOT_KINDS, NATIVE, strict=True) if kind in kinds)
    restore = role("restore", replace(USE, native=native))
    group, vpc = of_ec2("security-group"), of_ec2("vpc")
    drills = {"aws:ResourceTag/drorch:drill": "d7k2"}
    assert allowed(restore, "ec2:CreateSecurityGroup", group, {"aws:TagKeys": ["drorch:drill"]})
    assert allowed(restore, "ec2:CreateSecurityGroup", vpc)
    assert not allowed(restore, "ec2:CreateSecurityGroup", group, {"aws:TagKeys": ["drorch:restore"]})
    assert allowed(restore, "ec2:CreateTags", group, {"ec2:CreateAction": "CreateSecurityGroup"})
    assert not allowed(restore, "ec2:CreateTags", group)
    for action in ("RevokeSecurityGroupEgress", "AuthorizeSecurityGroupIngress", "DeleteSecurityGroup"):
        assert allowed(restore, f"ec2:{action}", group, drills)
        for context in ({}, MINE, {"aws:ResourceTag/drorch:restore": "r1"}):
            assert not allowed(restore, f"ec2:{action}", group, context)
    assert not allowed(restore, "ec2:AuthorizeSecurityGroupEgress", group, drills)


def test_without_databases_no_security_group_is_made() -> None:
    native = tuple(use for kind, use in zip(SNAPSHOT_KINDS, NATIVE, strict=True) if kind == "ebs")
    restore = role("restore", replace(USE, native=native))
    said = {"aws:TagKeys": ["drorch:drill"]}
    assert not allowed(restore, "ec2:CreateSecurityGroup", of_ec2("security-group"), said)


def test_the_restore_role_launches_what_will_bear_a_tag_out_of_the_sites_images_and_passes_no_role() -> None:
    restore = role("restore")
    for kind in ("instance", "volume", "network-interface"):
        assert allowed(restore, "ec2:RunInstances", of_ec2(kind), {"aws:TagKeys": ["drorch:drill"]})
        assert not allowed(restore, "ec2:RunInstances", of_ec2(kind))
        creating = {"ec2:CreateAction": "RunInstances"}
        assert allowed(restore, "ec2:CreateTags", of_ec2(kind), creating)
        assert not allowed(restore, "ec2:CreateTags", of_ec2(kind))
    image = f"arn:aws:ec2:{AWAY}::image/ami-1"
    assert allowed(restore, "ec2:RunInstances", image, MINE)
    assert not allowed(restore, "ec2:RunInstances", image, THEIRS)
    for kind in ("subnet", "security-group", "key-pair"):
        assert allowed(restore, "ec2:RunInstances", of_ec2(kind))
    assert allowed(restore, "iam:GetInstanceProfile", f"arn:aws:iam::{PROD}:instance-profile/web")
    assert not allowed(restore, "iam:PassRole", f"arn:aws:iam::{PROD}:role/web")


def test_the_restore_role_attaches_what_was_restored_and_no_other_volume() -> None:
    restore = role("restore")
    for tag in ("drorch:restore", "drorch:drill"):
        assert allowed(restore, "ec2:AttachVolume", of_ec2("volume"), {f"aws:ResourceTag/{tag}": "r1"})
    assert not allowed(restore, "ec2:AttachVolume", of_ec2("volume"), MINE)
    assert allowed(restore, "ec2:AttachVolume", of_ec2("instance"))


def test_the_restore_role_lets_go_databases_by_a_drills_tag_and_name_together() -> None:
    restore, drilled = role("restore"), {"aws:ResourceTag/drorch:drill": "d7k2"}
    for action, kind in (("rds:DeleteDBInstance", "db"), ("rds:DeleteDBCluster", "cluster")):
        own, other = (f"arn:aws:rds:{AWAY}:{PROD}:{kind}:{name}" for name in ("drorch-drill-d7k2-data", "shop-ledger"))
        assert allowed(restore, action, own, drilled)
        assert not allowed(restore, action, own)
        assert not allowed(restore, action, other, drilled)
        assert not allowed(restore, action, own, {"aws:ResourceTag/drorch:restore": "r1"})
    for action in ("rds:ModifyDBInstance", "rds:ModifyDBCluster", "rds:RemoveTagsFromResource"):
        assert not allowed(restore, action, f"arn:aws:rds:{AWAY}:{PROD}:db:drorch-drill-d7k2-data", drilled)


def test_the_restore_role_makes_databases_that_will_bear_a_tag() -> None:
    restore, made = role("restore"), f"arn:aws:rds:{AWAY}:{PROD}:db:shop-ledger"
    for action in ("rds:RestoreDBInstanceFromDBSnapshot", "rds:CreateDBInstance", "rds:AddTagsToResource"):
        assert allowed(restore, action, made, {"aws:TagKeys": ["app", "drorch:restore"]})
        assert allowed(restore, action, made, {"aws:TagKeys": ["drorch:drill"]})
        assert not allowed(restore, action, made, {"aws:TagKeys": ["app"]})
    group = f"arn:aws:rds:{AWAY}:{PROD}:cluster-pg:shop"
    assert allowed(restore, "rds:RestoreDBClusterFromSnapshot", group, {"aws:TagKeys": ["drorch:restore"]})


def test_the_vault_account_takes_copies_and_cuts_nothing() -> None:
    native = tuple(replace(one, homes={}, from_homes=frozenset({(PROD, HOME)})) for one in NATIVE)
    vault = role("vault", AccountUse("vault", VAULT, "acme", native, (BUCKET,)))
    assert allowed(vault, "ec2:CopySnapshot", SNAPSHOT, NEW)
    assert allowed(vault, "ec2:CopySnapshot", f"arn:aws:ec2:{HOME}::snapshot/snap-1", MINE)
    assert not allowed(vault, "ec2:CreateSnapshot", SNAPSHOT, NEW)
    assert not allowed(vault, "ec2:CreateSnapshot", f"arn:aws:ec2:{HOME}:{PROD}:volume/vol-1")
    assert allowed(vault, "rds:CopyDBSnapshot", f"arn:aws:rds:{HOME}:{PROD}:snapshot:drorch-abc")
    assert not allowed(vault, "rds:CreateDBSnapshot", f"arn:aws:rds:{AWAY}:{VAULT}:snapshot:drorch-abc")
    assert allowed(vault, "s3:PutObject", OBJECT)


CROSSING = tuple(replace(one, shared_with=frozenset({VAULT})) for one in NATIVE)
CUT = f"arn:aws:ec2:{HOME}::snapshot/snap-1"
SHARE = "ec2:ModifySnapshotAttribute"


def test_the_backup_role_shares_its_own_snapshots_with_the_vault_accounts_alone() -> None:
    backup = role("backup", replace(USE, native=CROSSING))
    for change in ("ec2:Add/userId", "ec2:Remove/userId"):
        assert allowed(backup, SHARE, CUT, {**MINE, change: VAULT})
        assert not allowed(backup, SHARE, CUT, {**MINE, change: "333333333333"})
        assert not allowed(backup, SHARE, CUT, {**THEIRS, change: VAULT})
    assert not allowed(backup, SHARE, CUT, {**MINE, "ec2:Add/group": "all"})
    assert not allowed(backup, SHARE, SNAPSHOT, {**MINE, "ec2:Add/userId": VAULT}), "copies are not shared on"
    for action, kind in (
        ("ModifyDBSnapshotAttribute", "snapshot"),
        ("ModifyDBClusterSnapshotAttribute", "cluster-snapshot"),
    ):
        own = f"arn:aws:rds:{HOME}:{PROD}:{kind}:drorch-abc"
        assert allowed(backup, f"rds:{action}", own, MINE)
        assert not allowed(backup, f"rds:{action}", own, THEIRS)
        assert not allowed(backup, f"rds:{action}", f"arn:aws:rds:{HOME}:{PROD}:{kind}:payroll", MINE)


def test_nobody_shares_where_no_copy_crosses_accounts() -> None:
    assert not allowed(role("backup"), SHARE, CUT, {**MINE, "ec2:Add/userId": VAULT})


def test_the_vault_account_copies_what_the_homes_share_and_shares_nothing() -> None:
    native = tuple(replace(one, homes={}, from_homes=frozenset({(PROD, HOME)})) for one in NATIVE)
    vault = role("vault", AccountUse("vault", VAULT, "acme", native, (BUCKET,)))
    assert allowed(vault, "ec2:CopySnapshot", CUT, {"ec2:Owner": PROD})
    assert not allowed(vault, "ec2:CopySnapshot", CUT, {"ec2:Owner": "333333333333"})
    assert not any("Modify" in json.dumps(document) for document in vault)


def test_listings_are_bounded_by_the_regions_in_use() -> None:
    assert allowed(role("backup"), "ec2:DescribeSnapshots", context={"aws:RequestedRegion": AWAY})
    assert not allowed(role("backup"), "ec2:DescribeSnapshots", context={"aws:RequestedRegion": OTHER})


def test_what_needs_nothing_gets_nothing() -> None:
    assert statements(AccountUse("idle", PROD, "acme"), "backup") == ()
    assert AccountUse("idle", PROD, "acme").roles == ()


def test_several_hundred_databases_are_all_of_a_region() -> None:
    names = frozenset(f"db-{number}" for number in range(300))
    native = tuple(replace(one, homes={HOME: names}) for one in NATIVE)
    assert len(role("backup", replace(USE, native=native))) <= 2
    backup = role("backup", replace(USE, native=native))
    assert allowed(backup, "rds:CreateDBSnapshot", f"arn:aws:rds:{HOME}:{PROD}:db:db-7")


def test_china_has_a_partition_of_its_own() -> None:
    native = tuple(replace(one, homes={"cn-north-1": frozenset({"*"})}, copies={}) for one in NATIVE)
    text = json.dumps(role("backup", AccountUse("prod", PROD, "acme", native)))
    assert "arn:aws-cn:ec2:cn-north-1" in text
    assert "arn:aws:ec2" not in text
