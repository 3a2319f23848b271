"""Machine images of EC2 instances, chosen by tag: one image per instance, of all its volumes at one moment.

CreateImage takes no client token (AWS API model); the image's name, unique in its account and region, is derived from
the point instead. CopyImage takes one, derived from what is copied and where to, so that repeating it makes no second
image. Both tag the image and its snapshots in the creating call. The snapshots of an image live and are let go apart
from it: EC2 keeps them when the image is deregistered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from drorch.aws import code_of, mapped
from drorch.domain.catalogue_native import TAG_IMAGE, TAG_POINT, TAG_SET, TAG_SITE, set_of
from drorch.domain.errors import AlreadyExists, DrorchError, NotFound, Refused, Unavailable
from drorch.domain.model import ObjectLock, native_vault_name
from drorch.domain.native import IMAGE, NativeSnapshot, Source
from drorch.kinds import (
    KEY_PERMISSIONS,
    MOST_FILTER_VALUES,
    carried_tags,
    check_copy,
    check_kms_key,
    check_sharing,
    copied_tags,
    digits_of,
    gone_is_done,
    legible,
    named_in,
    pages,
    permit_snapshot,
    set_text,
    tag_list,
)
from drorch.kinds import Select as Select
from drorch.kinds.ami.listing import seen, source_of
from drorch.kinds.ami.restore import RESTORE_PERMISSIONS as RESTORE_PERMISSIONS
from drorch.kinds.ami.restore import RestoreOptions as RestoreOptions
from drorch.kinds.ami.restore import RestoresImages
from drorch.kinds.snapshot_locks import LOOKING, locks_there
from drorch.ports import CopyOrder, CutOrder

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts

PERMISSIONS = (
    "ec2:DescribeImages",
    "ec2:DescribeSnapshots",
    *LOOKING,
    "ec2:DescribeInstances",
    "ec2:DescribeVolumes",
    "ec2:CreateImage",
    "ec2:CopyImage",
    "ec2:ModifyImageAttribute",  # this and the next only where copies go into another account
    "ec2:ModifySnapshotAttribute",
    "ec2:CreateTags",  # tags in the creating call are authorised as this action (EC2 user guide)
    # These two let go, and can be given for as long as it is wanted: without them copies are marked, and stay.
    "ec2:DeregisterImage",
    "ec2:DeleteSnapshot",
    *KEY_PERMISSIONS,
)

MOST_LIVES = 8
"""So often one copy may be made, let go and made again while EC2 remembers its tokens."""
PER_PAGE = 1000
VOLUMES_PER_PAGE = 500
_LIVING = ["pending", "running", "stopping", "stopped"]
"""The states of an instance that has not ended (EC2 API, InstanceState)."""
_GONE_IMAGE = ("InvalidAMIID.NotFound",)
_UNAVAILABLE_IMAGE = "InvalidAMIID.Unavailable"
"""The image has been deregistered, or is in no state for what is asked (EC2 API, error codes)."""
_GONE_SNAPSHOT = ("InvalidSnapshot.NotFound",)
_DEREGISTERED = "deregistered"


class Options(BaseModel):
    """``select: {tags: {app: shop, role: web}}``; with ``reboot: true`` every cut restarts the instances."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    select: Select
    reboot: bool = False

    @property
    def warning(self) -> str:
        """What people should know before they leave it so; "" for nothing."""
        return "reboot: true restarts every selected instance at each cut" if self.reboot else ""


class AmiImages(RestoresImages):
    """Images of EC2 instances (SnapshotKind, RestoresSnapshots). The state `usable` is an image that is `available`,
    with all snapshots.

    What is listed are images, each with its snapshots as `parts`, and as `part` each snapshot whose image is gone.
    """

    kind = "ami"
    service = "ec2"
    repeatable_cut = True

    def __init__(self, accounts: AwsAccounts) -> None:
        self._accounts = accounts

    def snapshots(self, account: str, region: str, site: str) -> Iterator[NativeSnapshot]:
        """All images there that bear the site's tag, disabled ones too, and what is left of those that are gone."""
        yield from self._listed(account, region, TAG_SITE, site)

    def find(self, account: str, region: str, point: str) -> tuple[NativeSnapshot, ...]:
        """The images there that bear the point's id, and what is left of those that are gone, asked now."""
        return tuple(self._listed(account, region, TAG_POINT, point))

    def sources(self, account: str, region: str, options: Sequence[object]) -> Iterator[Source]:
        """Every living instance that bears one tag key of each of `options`: one listing of them, one of volumes."""
        keys = sorted({min(_options(option).select.tags) for option in options})
        if not keys:
            return
        filters = [{"Name": "instance-state-name", "Values": _LIVING}]
        if len(keys) <= MOST_FILTER_VALUES:
            filters.append({"Name": "tag-key", "Values": keys})
        client, vault = self._accounts.client("ec2", account, region), native_vault_name(account, region)
        instances: list[Mapping[str, Any]] = []
        for page in pages(client, "describe_instances", "Reservations", size=PER_PAGE, vault=vault, Filters=filters):
            instances += [instance for reservation in page for instance in reservation.get("Instances", ())]
        volumes = self._volumes(client, vault, [str(instance.get("InstanceId")) for instance in instances])
        with legible("ec2 DescribeInstances", vault):
            found = [source_of(instance, volumes) for instance in instances]
        yield from found

    def select(self, options: object, sources: Sequence[Source]) -> tuple[Source, ...]:
        """The instances that bear every tag of `options`, each with `reboot` among its settings, for its cut."""
        chosen = _options(options)
        return tuple(
            replace(source, settings={**source.settings, "reboot": chosen.reboot})
            for source in sources
            if chosen.select.fits(source.tags)
        )

    def creating_calls(self, sources: Sequence[Source]) -> tuple[tuple[Source, ...], ...]:
        """Each instance for itself, by instance id."""
        return tuple((source,) for source in sorted(sources, key=lambda source: source.source_id))

    def cut(self, order: CutOrder, call: int) -> tuple[NativeSnapshot, ...]:
        """CreateImage, without a reboot unless the source's settings say so. `parts` are known when it is listed.

        AlreadyExists when the name is taken.
        """
        calls = self.creating_calls(order.sources)
        (source,) = calls[call]
        vault, name = native_vault_name(order.account, order.region), f"drorch-{order.point}-{call + 1}"
        tags = carried_tags({**order.tags, TAG_SET: set_text(call, calls)}, source.tags)
        client = self._accounts.client("ec2", order.account, order.region, repeatable=False)
        with mapped("ec2 CreateImage", resource=source.source_id, vault=vault, mutates=True):
            reply = client.create_image(
                InstanceId=source.source_id,
                Name=name,
                NoReboot=not source.settings.get("reboot", False),
                TagSpecifications=_on_both(tags, name),
            )
        made = named_in(reply, "ImageId", "ec2 CreateImage", source.source_id, vault)
        return (
            NativeSnapshot(
                native_id=made,
                account=order.account,
                region=order.region,
                service=self.service,
                state="pending",
                tags=tags,
                source_id=source.source_id,
                started=None,
                bytes=source.bytes,
                encrypted=source.encrypted,
                kms_key=source.kms_key,
                role=IMAGE,
            ),
        )

    def copy(self, order: CopyOrder) -> NativeSnapshot:
        """CopyImage, called in the destination by its account; repeated by the SDK, for its token makes that harmless.

        EC2 answers a token with the image that it made for it, also when that is deregistered since: then comes the
        next. AlreadyExists when so many have been.
        """
        check_copy(order, "ec2 CopyImage")
        vault, source = native_vault_name(order.account, order.region), order.snapshot
        told = {"operation": "ec2 CopyImage", "resource": source.native_id, "vault": vault}
        if source.state != "usable":
            raise Unavailable("the image cannot be copied yet", cause=source.state, **told)
        client, tags = self._accounts.client("ec2", order.account, order.region), copied_tags(order)
        for life in range(1, MOST_LIVES + 1):
            with mapped("ec2 CopyImage", resource=source.native_id, vault=vault, mutates=True):
                reply = client.copy_image(**_copy_request(order, tags, life))
            made = named_in(reply, "ImageId", "ec2 CopyImage", source.native_id, vault)
            if not self._spent(client, made, vault):
                break
        else:
            raise AlreadyExists("the tokens of this copy were spent on images that are gone", cause=made, **told)
        return NativeSnapshot(
            native_id=made,
            account=order.account,
            region=order.region,
            service=self.service,
            state="pending",
            tags=tags,
            source_id="",
            started=None,
            bytes=source.bytes,
            encrypted=bool(order.kms_key),
            kms_key=order.kms_key,
            role=IMAGE,
        )

    def share(self, order: CopyOrder) -> None:
        """Its snapshots first, then the permission to launch it, without which no other account sees the image:
        CopyImage needs both (EC2 user guide, "Copy an Amazon EC2 AMI": cross-account copying).
        """
        other = check_sharing(self._accounts, order, "ec2 ModifyImageAttribute")
        for part in order.snapshot.parts:
            permit_snapshot(self._accounts, order.from_account, order.from_region, part.native_id, "add", other)
        self._permit_image(order.from_account, order.from_region, order.snapshot.native_id, "Add", other)

    def unshare(self, account: str, region: str, native_id: str, other: str) -> None:
        """Take it back, of an image or of one of its snapshots; harmless twice, and when it is gone."""
        digits = digits_of(self._accounts, other)
        if not native_id.startswith("ami-"):
            with gone_is_done(_GONE_SNAPSHOT):
                permit_snapshot(self._accounts, account, region, native_id, "remove", digits)
            return
        try:
            with gone_is_done(_GONE_IMAGE):
                self._permit_image(account, region, native_id, "Remove", digits)
        except Refused as error:
            if code_of(error) != _UNAVAILABLE_IMAGE:
                raise

    def shared(self, account: str, region: str, site: str, other: str) -> Iterator[str]:
        """Images and snapshots of images that `other` was given by name."""
        client, vault, digits = self._accounts.client("ec2", account, region), *self._named(account, region, other)
        bearing = {"Name": f"tag:{TAG_SITE}", "Values": [site]}
        for page in _images(client, vault, [bearing], ExecutableUsers=[digits]):
            with legible("ec2 DescribeImages", vault):
                found = [entry["ImageId"] for entry in page if entry.get("State") != _DEREGISTERED]
            yield from found
        of_images = [bearing, {"Name": "tag-key", "Values": [TAG_IMAGE]}]
        for page in _snapshots(client, vault, of_images, RestorableByUserIds=[digits]):
            with legible("ec2 DescribeSnapshots", vault):
                found = [entry["SnapshotId"] for entry in page]
            yield from found

    def check_key(self, account: str, region: str, key: str) -> None:
        """Refused with a hint unless the key exists there, is enabled and symmetric."""
        check_kms_key(self._accounts, account, region, key)

    def now(self, account: str, region: str) -> datetime:
        """By the clock of the region's STS."""
        return self._accounts.now(account, region)

    def expire(self, account: str, region: str, native_id: str) -> None:
        """DeregisterImage of an image, which leaves its snapshots; DeleteSnapshot of one of those.

        Refused, with the image's id as its cause, while any image uses the snapshot, a disabled one too. A rule of the
        Recycle Bin may keep what was deleted: no listing shows it.
        """
        client, vault = self._accounts.client("ec2", account, region), native_vault_name(account, region)
        if native_id.startswith("ami-"):
            try:
                with (
                    gone_is_done(_GONE_IMAGE),
                    mapped("ec2 DeregisterImage", resource=native_id, vault=vault, mutates=True),
                ):
                    client.deregister_image(ImageId=native_id)
            except Refused as error:
                if code_of(error) != _UNAVAILABLE_IMAGE:  # whether it is gone, the look after the deletion tells
                    raise
            return
        self._require_unused(client, native_id, vault)
        with gone_is_done(_GONE_SNAPSHOT), mapped("ec2 DeleteSnapshot", resource=native_id, vault=vault, mutates=True):
            client.delete_snapshot(SnapshotId=native_id)

    def locks(self, account: str, region: str, native_ids: Sequence[str] = ()) -> Mapping[str, ObjectLock]:
        """Of snapshots, by DescribeLockedSnapshots: an image has no lock of its own."""
        snapshots = [native_id for native_id in native_ids if not native_id.startswith("ami-")]
        if native_ids and not snapshots:
            return {}
        return locks_there(self._accounts, account, region, snapshots)

    def _named(self, account: str, region: str, other: str) -> tuple[str, str]:
        return native_vault_name(account, region), digits_of(self._accounts, other)

    def _permit_image(self, account: str, region: str, image: str, how: str, digits: str) -> None:
        client, vault = self._accounts.client("ec2", account, region), native_vault_name(account, region)
        with mapped("ec2 ModifyImageAttribute", resource=image, vault=vault):
            client.modify_image_attribute(ImageId=image, LaunchPermission={how: [{"UserId": digits}]})

    def _require_unused(self, client: Any, native_id: str, vault: str) -> None:
        """Refused while an image uses the snapshot: EC2 refuses, too, but its word is one we do not depend on."""
        filters = [{"Name": "block-device-mapping.snapshot-id", "Values": [native_id]}]
        using = sorted(
            str(image.get("ImageId"))
            for page in _images(client, vault, filters)
            for image in page
            if image.get("State") != _DEREGISTERED
        )
        if using:
            raise Refused(
                "an image uses the snapshot",
                operation="ec2 DeleteSnapshot",
                resource=native_id,
                vault=vault,
                cause=", ".join(using),
                hint="perhaps a disabled one that is not listed by default: deregister it, and the snapshot can go",
            )

    def _listed(self, account: str, region: str, tag: str, value: str) -> Iterator[NativeSnapshot]:
        """Snapshots first: what an image made in between consists of is missing then, and it is pending."""
        client, vault = self._accounts.client("ec2", account, region), native_vault_name(account, region)
        bearing = {"Name": f"tag:{tag}", "Values": [value]}
        of_images = [bearing, {"Name": "tag-key", "Values": [TAG_IMAGE]}]
        snapshots = [entry for page in _snapshots(client, vault, of_images) for entry in page]
        images = [entry for page in _images(client, vault, [bearing]) for entry in page]
        with legible("ec2 DescribeImages", vault):
            found = seen(images, snapshots, account, region)
        yield from found

    def _volumes(self, client: Any, vault: str, instances: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The volumes attached to `instances`, by their ids."""
        if not instances:
            return {}
        filters = [{"Name": "attachment.instance-id", "Values": list(instances)}]
        if len(instances) > MOST_FILTER_VALUES:
            filters = [{"Name": "status", "Values": ["in-use"]}]
        listing = pages(client, "describe_volumes", "Volumes", size=VOLUMES_PER_PAGE, vault=vault, Filters=filters)
        with legible("ec2 DescribeVolumes", vault):
            return {volume["VolumeId"]: volume for page in listing for volume in page}

    def _spent(self, client: Any, image: str, vault: str) -> bool:
        """Whether a creating call has just named an image that was deregistered before.

        Deregistered ones are shown as such for a while, and then not at all (EC2 API, DescribeImages); a new one may
        not be known yet.
        """
        with suppress(DrorchError):
            try:
                with mapped("ec2 DescribeImages", resource=image, vault=vault):
                    reply = client.describe_images(ImageIds=[image], IncludeDisabled=True)
            except NotFound:
                return False
            except Refused as error:
                return code_of(error) == _UNAVAILABLE_IMAGE
            return all(found.get("State") == _DEREGISTERED for found in reply.get("Images", ()))
        return False


def copy_token(order: CopyOrder, life: int = 1) -> str:
    """The ClientToken of a copy (at most 64 characters of ASCII), the same whenever the same copy is asked for.

    EC2 refuses a token that comes with other parameters: the key is one that a policy may change.
    """
    place = native_vault_name(order.account, order.region)
    told = f"{order.point} {order.snapshot.native_id} {place} {order.kms_key} {order.attempt} {life}"
    return sha256(told.encode()).hexdigest()


def _copy_request(order: CopyOrder, tags: Mapping[str, str], life: int) -> dict[str, Any]:
    """`life` counts the copies that were made, let go, and are made again."""
    name = f"drorch-{order.point}-{set_of(order.snapshot)[0]}-{order.attempt}" + (f".{life}" if life > 1 else "")
    request: dict[str, Any] = {
        "SourceRegion": order.from_region,
        "SourceImageId": order.snapshot.native_id,
        "Name": name,
        "ClientToken": copy_token(order, life),
        "TagSpecifications": _on_both(tags, name),
    }
    if order.kms_key:
        request |= {"Encrypted": True, "KmsKeyId": order.kms_key}
    return request


def _snapshots(
    client: Any, vault: str, filters: Sequence[Mapping[str, Any]], **more: Any
) -> Iterator[Sequence[dict[str, Any]]]:
    """Pages of the account's own snapshots."""
    return pages(
        client,
        "describe_snapshots",
        "Snapshots",
        size=PER_PAGE,
        vault=vault,
        OwnerIds=["self"],
        Filters=filters,
        **more,
    )


def _images(
    client: Any, vault: str, filters: Sequence[Mapping[str, Any]], **more: Any
) -> Iterator[Sequence[dict[str, Any]]]:
    """Pages of the account's own images, disabled ones too."""
    return pages(
        client,
        "describe_images",
        "Images",
        size=PER_PAGE,
        vault=vault,
        Owners=["self"],
        IncludeDisabled=True,
        Filters=filters,
        **more,
    )


def _on_both(tags: Mapping[str, str], name: str) -> list[dict[str, Any]]:
    """Tags for the image and for its snapshots, which bear the image's name, too: a user tag gives way to it."""
    own = {key: value for key, value in tags.items() if key.startswith("drorch:")}
    of_snapshots = carried_tags({**own, TAG_IMAGE: name}, tags)
    return [
        {"ResourceType": "image", "Tags": tag_list(tags)},
        {"ResourceType": "snapshot", "Tags": tag_list(of_snapshots)},
    ]


def _options(options: object) -> Options:
    if not isinstance(options, Options):
        raise TypeError(f"ami takes its own options, not {type(options).__name__}")
    return options
