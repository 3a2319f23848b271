"""What bringing back volumes and instances has in common: how they are found, and how those of a drill are let go.

Everything that a restore makes bears its tag and id from the creating call on. EC2's filters take `*` and `?` in values
as wildcards (EC2 user guide, "List and filter your resources"), so what a listing answers is compared once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from drorch.aws import code_of, mapped
from drorch.domain.errors import DrorchError, NotFound, Refused
from drorch.domain.model import native_vault_name
from drorch.domain.native_restore import CREATING, FAILED, READY, TAG_DRILL, Made, NativeRestore
from drorch.kinds import gone_is_done, legible, pages, tag_map

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts

PERMISSIONS = ("ec2:DescribeVolumes", "ec2:DeleteVolume")

VOLUMES_PER_PAGE = 500
_STATES = {"creating": CREATING, "available": READY, "in-use": READY}
"""Ours for EC2's states of a volume (EC2 API, VolumeState); any other will not become ready."""
_GONE = ("InvalidVolume.NotFound",)

Entry = Mapping[str, Any]


def token(order: NativeRestore, *words: object) -> str:
    """A ClientToken (64 characters of ASCII, the most that EC2 takes), the same for the same restore and `words`."""
    return sha256(" ".join((order.tag, order.id, *map(str, words))).encode()).hexdigest()


def bearing(tag: str, restore: str) -> list[dict[str, Any]]:
    """The filter of a listing of what bears the tag, of one restore or of every one ("")."""
    return [{"Name": f"tag:{tag}", "Values": [restore]} if restore else {"Name": "tag-key", "Values": [tag]}]


def bears(entry: Entry, tag: str, restore: str) -> bool:
    """Whether an entry of a listing bears exactly this tag and id ("" for any id)."""
    value = tag_map(entry.get("Tags")).get(tag)
    return bool(value) and restore in ("", value)


def volumes_bearing(accounts: AwsAccounts, account: str, region: str, tag: str, restore: str) -> list[Entry]:
    """The volumes there that bear the tag, those that are deleted left out. Unavailable."""
    client, vault = accounts.client("ec2", account, region), native_vault_name(account, region)
    found: list[Entry] = []
    filters = bearing(tag, restore)
    for page in pages(client, "describe_volumes", "Volumes", size=VOLUMES_PER_PAGE, vault=vault, Filters=filters):
        with legible("ec2 DescribeVolumes", vault):
            found += [volume for volume in page if volume["VolumeId"] and bears(volume, tag, restore)]
    return [volume for volume in found if volume.get("State") != "deleted"]


def volume_made(volume: Entry, source_id: str = "") -> Made:
    """A volume as EC2 shows it now."""
    state = str(volume.get("State") or "creating")
    at = [f"attached to {where} as {device}" for where, device in attachments(volume)]
    return Made(
        what="volume",
        native_id=volume["VolumeId"],
        state=_STATES.get(state, FAILED),
        detail=", ".join((state, *at)),
        source_id=source_id,
        address="aws_ebs_volume",
        import_id=volume["VolumeId"],
    )


def attachments(volume: Entry) -> list[tuple[str, str]]:
    """(instance, device) of where a volume is attached, or about to be."""
    return [
        (str(attachment.get("InstanceId", "")), str(attachment.get("Device", "")))
        for attachment in volume.get("Attachments") or ()
        if attachment.get("State") != "detached"
    ]


def discard_volumes(accounts: AwsAccounts, account: str, region: str, volumes: Sequence[Entry]) -> tuple[Made, ...]:
    """DeleteVolume of each, as a listing of this moment shows it; what is left. What is attached stays, and says so."""
    left: list[Made] = []
    for volume in volumes:
        if at := attachments(volume):
            where = f"attached to {at[0][0]}: it goes when it is detached there"
            left.append(Made("volume", volume["VolumeId"], READY, where))
        elif volume.get("State") == "deleting":
            left.append(volume_made(volume))
        else:
            left += _delete_volume(accounts, account, region, volume["VolumeId"])
    return tuple(left)


def _delete_volume(accounts: AwsAccounts, account: str, region: str, volume: str) -> list[Made]:
    """Nothing when it is gone; the volume with EC2's own word when it does not let it go."""
    client, vault = accounts.client("ec2", account, region), native_vault_name(account, region)
    try:
        with gone_is_done(_GONE), mapped("ec2 DeleteVolume", resource=volume, vault=vault, mutates=True):
            client.delete_volume(VolumeId=volume)
    except Refused as error:
        return [Made("volume", volume, FAILED, told(error))]
    return []


def require_drill(operation: str, account: str, region: str, tag: str, restore: str) -> None:
    """Refused unless it is a drill's tag with an id: what a restore made is somebody's, and nothing here deletes it."""
    if tag == TAG_DRILL and restore:
        return
    raise Refused(
        "only what a drill made is discarded",
        operation=operation,
        resource=f"{tag}={restore}",
        vault=native_vault_name(account, region),
        hint="delete what a restore made by hand, when nobody needs it",
    )


@contextmanager
def begun_otherwise(order: NativeRestore) -> Iterator[None]:
    """Around a creating call with a token: Refused, with the way out, when the token was used with other parameters."""
    try:
        yield
    except Refused as error:
        if code_of(error) != "IdempotentParameterMismatch":
            raise
        raise Refused(
            f"restore {order.id} was begun with other options",
            operation=error.operation,
            resource=error.resource,
            vault=error.vault,
            cause=error.cause,
            hint="go on with the options it was begun with, or begin another restore",
        ) from error


def told(error: DrorchError) -> str:
    """The provider's own word, or ours."""
    return error.cause or error.message


def described(client: Any, method: str, items: str, vault: str, missing: str, **request: Any) -> list[Entry]:
    """The `items` of a listing by ids, in one call. NotFound, with `missing` as its hint, for one that is not there."""
    operation = f"ec2 {client.meta.method_to_api_mapping[method]}"
    try:
        with mapped(operation, vault=vault):
            reply = getattr(client, method)(**request)
    except NotFound as error:
        raise NotFound(
            "what the restore names is not there", operation=operation, vault=vault, cause=error.cause, hint=missing
        ) from error
    with legible(operation, vault):
        found: list[Entry] = reply[items]
    return found
