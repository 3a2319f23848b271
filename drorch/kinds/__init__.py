"""Kinds of resources whose points are the provider's own snapshots: one module per kind, and here what they share.

Importing this package loads no SDK.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from drorch.aws import code_of, mapped
from drorch.domain.catalogue_native import TAG_SET
from drorch.domain.errors import DrorchError, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.kms import DEFAULT_OF_AWS, KmsKey, faults_of
from drorch.domain.model import native_vault_name
from drorch.domain.native import Source
from drorch.domain.native_restore import TAG_DRILL, NativeRestore
from drorch.ports import CopyOrder

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts

MOST_TAGS = 50
"""User tags that one AWS resource may bear; `aws:` tags do not count (EC2 user guide, tag restrictions)."""

MOST_FILTER_VALUES = 200
"""Values that one filter of a Describe call takes (EC2 user guide)."""

SNAPSHOT_STATES = {"completed": "usable", "pending": "pending", "recovering": "pending"}
"""Ours for EC2's states of a snapshot; any other is `failed`."""
IN_THE_BIN = "recoverable"
"""The state of a snapshot that was deleted and that a rule of the Recycle Bin still keeps (EC2 API, SnapshotState)."""

GIB = 1 << 30

KEY_PERMISSIONS = ("kms:DescribeKey",)
KEY_USE = (
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)
"""What EC2 and RDS do with keys in the caller's name when they copy what is encrypted: no call of ours, but our right
(https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html).
"""


# --- selection -----------------------------------------------------------------------------------------------------


class Select(BaseModel):
    """What bears every one of these tags, with exactly these values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tags: dict[str, str] = Field(min_length=1)

    @field_validator("tags")
    @classmethod
    def _chosen_by_people(cls, tags: dict[str, str]) -> dict[str, str]:
        for key in tags:
            if not key or key.lower().startswith(("aws:", "drorch:")):
                raise ValueError(f"{key!r} cannot select anything: choose a tag that people set")
        return tags

    def fits(self, tags: Mapping[str, str]) -> bool:
        """Whether something that bears `tags` is chosen."""
        return all(tags.get(key) == value for key, value in self.tags.items())


# --- tags ----------------------------------------------------------------------------------------------------------


def user_tags(tags: Mapping[str, str], reserved: Sequence[str] = ()) -> dict[str, str]:
    """The tags that people gave: without `aws:` ones (AWS refuses them), drorch's own, and the `reserved` prefixes.

    drorch's own are left behind because a volume that a restore or a drill made bears some that are not its
    snapshots'.
    """
    prefixes = ("aws:", "drorch:", *reserved)
    return {key: value for key, value in sorted(tags.items()) if not key.lower().startswith(prefixes)}


def carried_tags(own: Mapping[str, str], source: Mapping[str, str], reserved: Sequence[str] = ()) -> dict[str, str]:
    """Our own tags and as many of the source's user tags as fit under AWS's ceiling, the last by key left out."""
    room = max(0, MOST_TAGS - len(own))
    return {**own, **dict(list(user_tags(source, reserved).items())[:room])}


def restored_tags(order: NativeRestore, source: Mapping[str, str], reserved: Sequence[str] = ()) -> dict[str, str]:
    """What a restore's things bear: its own tags, then the source's user tags; those of a drill its own alone.

    A policy selects by user tags: what a drill made in its region must not be cut as if it were the application's.
    """
    own = {**order.tags, order.tag: order.id}
    return own if order.tag == TAG_DRILL else carried_tags(own, source, reserved)


def copied_tags(order: CopyOrder, reserved: Sequence[str] = ()) -> dict[str, str]:
    """What a copy bears: our own tags, those of the order and the set it belongs to, then user tags up to the ceiling.

    A full source leaves no room for `drorch:source`: then a user tag gives way to it.
    """
    own = {key: value for key, value in order.tags.items() if key.startswith("drorch:")}
    if TAG_SET in order.snapshot.tags:
        own.setdefault(TAG_SET, order.snapshot.tags[TAG_SET])
    return carried_tags(own, {**order.snapshot.tags, **order.tags}, reserved)


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags in the form of the AWS requests."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tag_map(tags: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    """Tags from the form of the AWS replies; a resource without tags may carry no list at all."""
    return {tag["Key"]: tag.get("Value", "") for tag in tags or ()}


def set_text(call: int, calls: Sequence[Sequence[Source]]) -> str:
    """``I/N:M``: the I-th (from 1) of the N creating calls of a point, with M members."""
    return f"{call + 1}/{len(calls)}:{len(calls[call])}"


def sets_by_instance(sources: Sequence[Source]) -> tuple[tuple[Source, ...], ...]:
    """One set per instance, by instance id, then each unattached source for itself; within a set by source id."""
    ordered = sorted(sources, key=lambda source: (not source.instance, source.instance, source.source_id))
    sets: list[list[Source]] = []
    for source in ordered:
        if sets and source.instance and sets[-1][0].instance == source.instance:
            sets[-1].append(source)
        else:
            sets.append([source])
    return tuple(tuple(members) for members in sets)


# --- requests and replies ------------------------------------------------------------------------------------------


def pages(
    client: Any, method: str, items: str, *, size: int, vault: str, **request: Any
) -> Iterator[Sequence[dict[str, Any]]]:
    """The `items` of every page that a listing `method` (in boto's spelling) answers.

    Raises Unavailable for a reply without the list: a listing that says nothing is incomplete, never empty.
    """
    operation = f"{client.meta.service_model.service_name} {client.meta.method_to_api_mapping[method]}"
    listing = client.get_paginator(method).paginate(**request, PaginationConfig={"PageSize": size})
    replies = iter(listing)
    while True:
        with mapped(operation, vault=vault):
            reply = next(replies, None)
        if reply is None:
            return
        if items not in reply:
            raise Unavailable("the reply to a listing holds no list", operation=operation, vault=vault)
        yield reply[items]


def percent(text: str) -> int:
    """``45%``; nothing is decided by it, so one that cannot be read is none."""
    digits = text.removesuffix("%")
    return min(int(digits), 100) if digits.isdecimal() and len(digits) <= 3 else 0


@contextmanager
def legible(operation: str, vault: str, *, mutates: bool = False) -> Iterator[None]:
    """Around nothing but what takes fields out of a reply: one that lacks a name or a key is Unavailable.

    OutcomeUnknown when the call `mutates`.
    """
    try:
        yield
    except KeyError as error:
        kind = OutcomeUnknown if mutates else Unavailable
        raise kind("the reply cannot be read", operation=operation, vault=vault, cause=f"without {error}") from error


def named_in(reply: Mapping[str, Any], key: str, operation: str, resource: str, vault: str) -> Any:
    """The field of a creating call's reply that names what was made. Raises OutcomeUnknown when it is not there."""
    value = reply.get(key)
    if not value:
        raise OutcomeUnknown(
            "AWS accepted the request and did not say what it made",
            operation=operation,
            resource=resource,
            vault=vault,
            cause=f"no {key} in the reply",
        )
    return value


@contextmanager
def gone_is_done(codes: Sequence[str]) -> Iterator[None]:
    """Around a deletion: that the snapshot itself is gone (one of `codes`) is what was wanted.

    Any other NotFound is raised: a proxy's 404 would report as deleted what is still there.
    """
    try:
        yield
    except NotFound as error:
        if code_of(error) not in codes:
            raise


def check_copy(order: CopyOrder, operation: str) -> None:
    """What is known before the call: Refused for encrypted without a key."""
    snapshot, vault = order.snapshot, native_vault_name(order.account, order.region)
    if snapshot.encrypted and not order.kms_key:
        raise Refused(
            "the snapshot is encrypted and its copy has no key",
            operation=operation,
            resource=snapshot.native_id,
            vault=vault,
            hint=f"name a KMS key of {order.region}: copies: [{{region: {order.region}, kms_key: alias/NAME}}]",
        )


def check_sharing(accounts: AwsAccounts, order: CopyOrder, operation: str) -> str:
    """The twelve digits of the account that the order's snapshot is to be shared with.

    Refused when its copy could not be made there: what `check_copy` refuses, and a snapshot under the key that AWS
    manages, which AWS shares with nobody (EC2 API, ModifySnapshotAttribute; RDS user guide, "Sharing encrypted
    snapshots"). Where nobody may ask whose key it is, AWS itself decides.
    """
    check_copy(order, operation)
    snapshot, manager = order.snapshot, ""
    if snapshot.encrypted and snapshot.kms_key:
        with suppress(DrorchError):
            manager = described_key(accounts, order.from_account, order.from_region, snapshot.kms_key).manager
    if manager == DEFAULT_OF_AWS:
        raise Refused(
            f"the snapshot is encrypted with the default key of AWS, which cannot be shared with {order.account}",
            operation=operation,
            resource=snapshot.native_id,
            vault=native_vault_name(order.from_account, order.from_region),
            cause=f"KeyManager of {snapshot.kms_key} is AWS",
            hint="encrypt the source with a key of your own, whose policy lets the other account use it",
        )
    return digits_of(accounts, order.account)


def permit_snapshot(accounts: AwsAccounts, account: str, region: str, native_id: str, how: str, digits: str) -> None:
    """``add`` or ``remove`` an account that may make volumes of a snapshot, which is to copy it, too (EBS user guide,
    "Share an Amazon EBS snapshot"). Repeated by the SDK: the same again changes nothing.
    """
    client, vault = accounts.client("ec2", account, region), native_vault_name(account, region)
    with mapped("ec2 ModifySnapshotAttribute", resource=native_id, vault=vault):
        client.modify_snapshot_attribute(
            SnapshotId=native_id, Attribute="createVolumePermission", OperationType=how, UserIds=[digits]
        )


def digits_of(accounts: AwsAccounts, account: str) -> str:
    """The twelve digits of an account. Refused when the configuration does not tell them."""
    digits = accounts.account(account).id
    if not digits:
        raise Refused(f"aws.accounts.{account} has no id", operation="share a snapshot", hint='id: "222222222222"')
    return digits


def check_kms_key(accounts: AwsAccounts, account: str, region: str, key: str) -> None:
    """Refused with a hint unless `key` (alias, id or ARN) is an enabled, symmetric encryption key in `region`.

    A copy with a wrong key is accepted by EC2 and fails minutes later (packer#6737), so it is asked for beforehand.
    """
    vault = native_vault_name(account, region)
    hint = f"copies into {region} need an enabled, symmetric KMS key there that drorch may use; checked {key}"
    try:
        found = described_key(accounts, account, region, key)
    except Refused as error:
        raise Refused(
            f"the KMS key {key} cannot be used in {region}",
            operation="kms DescribeKey",
            resource=key,
            vault=vault,
            cause=error.cause or error.message,
            hint=hint,
        ) from error
    if wrong := faults_of(found):
        raise Refused(
            f"the KMS key {key} in {region} does not fit",
            operation="kms DescribeKey",
            resource=key,
            vault=vault,
            cause="; ".join(wrong),
            hint=hint,
        )


def described_key(accounts: AwsAccounts, account: str, region: str, key: str) -> KmsKey:
    """DescribeKey; fields that the reply does not tell are empty."""
    client = accounts.client("kms", account, region)
    with mapped("kms DescribeKey", resource=key, vault=native_vault_name(account, region)):
        reply = client.describe_key(KeyId=key)
    facts = reply.get("KeyMetadata") or {}
    return KmsKey(
        arn=facts.get("Arn", ""),
        state=facts.get("KeyState", ""),
        usage=facts.get("KeyUsage", ""),
        spec=facts.get("KeySpec", ""),
        manager=facts.get("KeyManager", ""),
    )
