"""Adapters declare what they have to be allowed to do: all of it (tests/contract listens to the calls), and no more."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import permissions_page
import pytest
from botocore import xform_name
from declared import heard, undeclared
from live_stores import BUCKET, REGION, s3_store
from native_clouds import ACCOUNT, HOME, Cloud, EbsWorld, cloud, cut

import drorch
from drorch.domain.errors import DrorchError
from drorch.kinds import ebs
from drorch.stores.s3 import permissions
from drorch.wiring.adapters import SNAPSHOT_KINDS

PACKAGE = Path(drorch.__file__).parent
BY_THE_CALL = ("CreateTags", "AddTagsToResource")


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with cloud() as opened:
        yield opened


@pytest.mark.parametrize("kind", SNAPSHOT_KINDS)
def test_a_kind_declares_no_right_that_it_does_not_use(kind: str) -> None:
    module = importlib.import_module(f"drorch.kinds.{SNAPSHOT_KINDS[kind][0]}")
    own = Path(module.__file__ or "")
    files = own.parent.glob("*.py") if own.name == "__init__.py" else [own]
    shared = [PACKAGE / "kinds" / name for name in ("__init__.py", "snapshot_locks.py")]
    shared += [*(PACKAGE / "kinds" / "rds_family").glob("*.py")]
    text = "".join(file.read_text() for file in (*files, *shared))
    names = [right.partition(":")[2] for right in module.PERMISSIONS]
    assert [name for name in names if name not in BY_THE_CALL and xform_name(name) not in text] == []


def test_the_s3_adapter_declares_no_right_that_it_does_not_use() -> None:
    text = "".join(path.read_text() for path in (PACKAGE / "stores" / "s3").glob("*.py"))
    named = {name for name in _operations_of_s3() if re.search(rf"[.\"]{xform_name(name)}\b", text)}
    needed = {
        action
        for name in named
        for request in ({}, {"VersionId": "1"}, {"ObjectLockMode": "COMPLIANCE"})
        for action in permissions.actions_of(name, request)
    }
    # HeadObject shows no lock to who may not read it, and no operation of ours asks for that alone.
    assert needed | {"s3:GetObjectRetention"} == set(permissions.PERMISSIONS)


def _operations_of_s3() -> list[str]:
    import boto3

    return list(boto3.session.Session(region_name="us-east-1").client("s3").meta.service_model.operation_names)


def test_a_call_that_a_kind_does_not_declare_is_heard(monkeypatch: pytest.MonkeyPatch, aws: Cloud) -> None:
    with heard() as calls:
        world = EbsWorld(aws)
        world.source_with()
        cut(world)
        assert ("drorch.kinds.ebs", "ec2:CreateSnapshot") in calls
        assert ("drorch.kinds.ebs", "ec2:CreateTags") in calls
        assert undeclared(calls) == set()
        monkeypatch.setattr(ebs, "PERMISSIONS", ("ec2:DescribeVolumes", "ec2:CreateTags"))
        assert undeclared(calls) == {("drorch.kinds.ebs", "ec2:CreateSnapshot")}


def test_what_kinds_share_counts_for_the_kind_that_calls(aws: Cloud) -> None:
    with heard() as calls:
        aws.accounts.close()
        world = EbsWorld(aws)
        world.kind.check_key(ACCOUNT, HOME, world.new_key(HOME))
        assert ("drorch.kinds.ebs", "kms:DescribeKey") in calls


def test_a_version_of_an_object_is_a_right_of_its_own(aws: Cloud) -> None:
    world = EbsWorld(aws)
    world.client("s3", REGION).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    with heard() as calls:
        store = s3_store()
        store.put("drorch/v1/a", b"a")
        with pytest.raises(DrorchError):
            list(store.read("drorch/v1/a", version="none"))
        list(store.read("drorch/v1/a"))
    assert {("drorch.stores.s3", "s3:GetObject"), ("drorch.stores.s3", "s3:GetObjectVersion")} <= calls
    assert undeclared(calls) == set()


def test_the_page_says_what_adapters_declare() -> None:
    text = permissions_page.PAGE.read_text()
    assert permissions_page.page(text) == text, "python tests/permissions_page.py writes it anew"
