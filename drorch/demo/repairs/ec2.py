"""EC2: snapshots that take time, in pages, with their keys, owners and tags as AWS keeps them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidParameterCombination,
    InvalidParameterDependency,
    InvalidSnapshotInUse,
)
from moto.ec2.models import ec2_backends
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.elastic_block_store import EBSBackend, Snapshot
from moto.ec2.responses.elastic_block_store import ElasticBlockStore
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix, random_snapshot_id
from moto.kms.models import kms_backends

from drorch.demo.repairs import copy_places, states
from drorch.demo.repairs.kms import is_default, key_arn
from drorch.demo.repairs.paging import BadToken, page
from drorch.demo.repairs.replacing import around, instead_of

SNAPSHOT = "ec2::snapshot"
COPIED_VOLUME = "vol-ffffffff"
"""The volume id that AWS shows on a copy: it names no volume (EC2 API, Snapshot)."""
FOREIGN = "drorch::foreignsnapshot"
"""The state machine of other people's copies: nothing that a test says of its own snapshots moves them."""
_FEWEST_PER_PAGE, _MOST_PER_PAGE = 5, 1000

_NO_KEY = "Given key ID is not accessible"
"""The StateMessage of a copy whose key cannot be used (packer#6737)."""
_NO_SOURCE = "The source snapshot was deleted"


def _ends(snapshot: Any) -> str:
    """A copy needs its key until it is done: it is made asynchronously (EC2 API, Snapshot, StateMessage)."""
    backend, key = snapshot.ec2_backend, snapshot.kms_key_id
    lost = snapshot.is_copy and key and key_arn(backend.account_id, backend.region_name, key) is None
    return _NO_KEY if lost else ""


_snapshot: Any = Snapshot
states.manage(_snapshot, SNAPSHOT, [("pending", "completed")], failed="error", ends=_ends)
_snapshot.state = property(lambda self: self.status)
_snapshot.state_message = None
_snapshot.is_copy = False
_snapshot.copied_from = ""
_snapshot.kms_key_id = None
_snapshot.transfer_type = property(lambda self: "standard" if self.is_copy else None)
_snapshot.progress = property(lambda self: "100%" if self.status == "completed" else "45%")


@instead_of(TaggedEC2Resource, "get_tags")
def _get_tags(self: Any) -> list[dict[str, str]]:
    """moto searches the tags of the whole region for each resource; a listing of 3,000 took 10 s."""
    if not self.id:
        return []
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(self.id), "")
    tags = self.ec2_backend.tags.get(self.id, {})
    return [{"resource_id": self.id, "key": key, "value": value, "resource_type": kind} for key, value in tags.items()]


@around(EBSBackend, "_create_default_encryption_key")
def _create_default_encryption_key(original: Any, self: Any) -> Any:
    """The default key is one that AWS keeps (KMS API, KeyMetadata, KeyManager)."""
    arn = original(self)
    kms_backends[self.account_id][self.region_name].describe_key(arn).key_manager = "AWS"
    return arn


@around(EBSBackend, "create_volume")
def _create_volume(original: Any, self: Any, size: Any, zone_name: str, **given: Any) -> Any:
    """A volume from an encrypted snapshot keeps its key; moto drops it. Keys are shown as ARNs."""
    key = given.get("kms_key_id")
    if given.get("snapshot_id"):
        snapshot = self.get_snapshot(given["snapshot_id"])
        _require_completed(snapshot)
        if snapshot.encrypted and not key:
            given["encrypted"], key = True, snapshot.kms_key_id
    if key:
        given["kms_key_id"] = key_arn(self.account_id, self.region_name, key) or key
    return original(self, size, zone_name, **given)


@around(EBSBackend, "create_snapshot")
def _create_snapshot(original: Any, self: Any, volume_id: str, description: str, *rest: Any, **more: Any) -> Any:
    snapshot = original(self, volume_id, description, *rest, **more)
    snapshot.volume = copy.copy(snapshot.volume)  # its size stays what it was at the cut
    snapshot.kms_key_id = snapshot.volume.kms_key_id if snapshot.encrypted else None
    return snapshot


@instead_of(ElasticBlockStore, "create_snapshots")
def _create_snapshots(self: Any) -> ActionResult:
    """One set: State in the reply, CopyTagsFromSource, ExcludeDataVolumeIds (EC2 API, CreateSnapshots)."""
    wanted = self._get_param("InstanceSpecification", {})
    tags = self._parse_tag_specification().get("snapshot", {})
    self.error_on_dryrun()
    instance = self.ec2_backend.get_instance(wanted["InstanceId"])
    excluded = set(wanted.get("ExcludeDataVolumeIds") or [])
    mapping = instance.get_block_device_mapping
    attached = {block.volume_id for _, block in mapping}
    if unknown := excluded - attached:
        raise EC2ClientError("InvalidParameterValue", f"Not attached to the instance: {', '.join(sorted(unknown))}")
    if str(wanted.get("ExcludeBootVolume", False)).lower() == "true":
        excluded |= {block.volume_id for device, block in mapping if device == instance.root_device_name}
    chosen = [block.volume_id for _, block in mapping if block.volume_id not in excluded]
    if not chosen:
        raise EC2ClientError("InvalidParameterValue", "Every volume of the instance is excluded")
    made = []
    for volume_id in chosen:
        snapshot = self.ec2_backend.create_snapshot(volume_id, self._get_param("Description", ""))
        copied = snapshot.volume.tag_set if self._get_param("CopyTagsFromSource") == "volume" else []
        own = {tag["key"]: tag["value"] for tag in copied if not tag["key"].startswith("aws:")}
        snapshot.add_tags({**own, **tags})
        made.append(snapshot)
    return ActionResult({"Snapshots": made})


@instead_of(ElasticBlockStore, "copy_snapshot")
def _copy_snapshot(self: Any) -> ActionResult:
    """A copy: its own StartTime, no volume, the destination's key; a key that is not there fails it later.

    "If you specify a KMS key ID, alias, or ARN that is not valid, the action can appear to complete, but eventually
    fails" (EC2 API, CopySnapshot, KmsKeyId).
    """
    asked = self._get_param("KmsKeyId")
    encrypt = self._get_bool_param("Encrypted", False)
    tags = self._parse_tag_specification().get("snapshot", {})
    if asked and not encrypt:
        raise InvalidParameterDependency("KmsKeyId", "Encrypted")
    backend = self.ec2_backend
    source_id = self._get_param("SourceSnapshotId")
    region, description = self._get_param("SourceRegion"), self._get_param("Description") or ""
    _require_completed(copyable(backend, source_id, region))
    self.error_on_dryrun()
    require_place(backend)
    made = copied(backend, source_id, region, asked=asked, encrypt=encrypt, description=description)
    made.add_tags(tags)
    return ActionResult({"SnapshotId": made.id, "Tags": made.tag_set})


def copied(
    backend: Any, source_id: str, region: str, *, asked: str | None, encrypt: bool, description: str = ""
) -> Any:
    """A copy in the region of `backend` of a snapshot of `region`, under the key that was asked for."""
    source = copyable(backend, source_id, region)
    key = None
    if source.encrypted or encrypt:
        key = asked or backend.default_kms_key_id or backend._create_default_encryption_key()
    arn = key_arn(backend.account_id, backend.region_name, key) if key else None
    made = _snapshot(backend, random_snapshot_id(), copy.copy(source.volume), description, source.encrypted, arn)
    backend.snapshots[made.id] = made
    made.volume.id = COPIED_VOLUME
    made.is_copy, made.copied_from = True, source_id
    made.encrypted = key is not None
    if key and not arn:
        made.kms_key_id = key
        states.fail(made, _NO_KEY)
    return made


def copyable(backend: Any, source_id: str, region: str) -> Any:
    """The account's own snapshot of `region`, or one that is shared with it (EC2 user guide, "Copy a snapshot that was
    shared with you"); InvalidSnapshot.NotFound for every other, as if it were not there.
    """
    shared = (s for s in _shared_with(backend.account_id, region) if s.id == source_id)
    return next(shared, None) or ec2_backends[backend.account_id][region].get_snapshot(source_id)


def _shared_with(account: str, region: str) -> Iterator[Any]:
    """The snapshots of other accounts whose owners let `account` make volumes of them."""
    for owner, regions in ec2_backends.items():
        for snapshot in regions[region].snapshots.values() if owner != account and region in regions else ():
            allowed = account in snapshot.create_volume_permission_userids
            if allowed or "all" in snapshot.create_volume_permission_groups:
                yield snapshot


@around(EBSBackend, "add_create_volume_permission")
def _share(original: Any, self: Any, snapshot_id: str, user_ids: list[str], groups: list[str]) -> Any:
    """ "Snapshots encrypted with your default KMS key cannot be shared" (EC2 API, ModifySnapshotAttribute)."""
    snapshot = self.get_snapshot(snapshot_id)
    if snapshot.encrypted and is_default(self.account_id, self.region_name, snapshot.kms_key_id):
        raise EC2ClientError("InvalidParameter", "Encrypted snapshots with EBS default key cannot be shared")
    return original(self, snapshot_id, user_ids, groups)


@around(EBSBackend, "delete_snapshot")
def _delete_snapshot(original: Any, self: Any, snapshot_id: str) -> Any:
    """A snapshot that an image uses stays, a disabled image too (EC2 user guide, disable an AMI).

    Copies of it that are under way fail: no page promises that they end well.
    """
    for image in self.amis.values():
        if snapshot_id in getattr(image, "used_snapshots", ()):
            raise InvalidSnapshotInUse(snapshot_id, image.id)
    gone = original(self, snapshot_id)
    for backend in ec2_backends[self.account_id].values():
        copies: list[Any] = list(backend.snapshots.values())
        for snapshot in copies:
            if snapshot.copied_from == snapshot_id and snapshot.status == "pending":
                states.fail(snapshot, _NO_SOURCE)
    return gone


@instead_of(ElasticBlockStore, "describe_snapshots")
def _describe_snapshots(self: Any) -> ActionResult:
    ids = self._get_param("SnapshotIds", [])
    backend = self.ec2_backend
    others = [_as_seen_by(backend, s) for s in _shared_with(backend.account_id, backend.region_name) if s.id in ids]
    own = [native_id for native_id in ids if native_id not in {s.id for s in others}]
    found = []
    if own or not ids:
        found = backend.describe_snapshots(snapshot_ids=own, filters=self._filters_from_querystring())
    found = [*found, *others]
    if owners := self._get_param("OwnerIds", []):
        accounts = {backend.account_id if owner == "self" else owner for owner in owners}
        found = [snapshot for snapshot in found if snapshot.owner_id in accounts]
    if users := self._get_param("RestorableByUserIds", []):
        found = [s for s in found if not s.create_volume_permission_userids.isdisjoint(users)]
    return in_pages(self, "Snapshots", found, by_id=bool(ids))


def _as_seen_by(backend: Any, snapshot: Any) -> Any:
    """Tags are those that the looking account gave (EC2 user guide, "Tag your Amazon EC2 resources")."""
    seen = copy.copy(snapshot)
    seen.ec2_backend = backend
    return seen


@instead_of(ElasticBlockStore, "describe_volumes")
def _describe_volumes(self: Any) -> ActionResult:
    ids = self._get_param("VolumeIds", [])
    found = self.ec2_backend.describe_volumes(volume_ids=ids, filters=self._filters_from_querystring())
    return in_pages(self, "Volumes", found, by_id=bool(ids))


def in_pages(response: Any, name: str, found: list[Any], *, by_id: bool) -> ActionResult:
    """The page of `found` that a listing asks for, as the list `name`; of a listing `by_id` there are no pages."""
    size = response._get_param("MaxResults")
    if size is not None and by_id:
        raise InvalidParameterCombination("The parameter MaxResults cannot be used with a list of ids")
    if size is not None and int(size) < _FEWEST_PER_PAGE:
        message = f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value greater than 5."
        raise EC2ClientError("InvalidParameterValue", message)
    try:
        limit = min(int(size), _MOST_PER_PAGE) if size is not None else None
        chosen, token = page(found, response._get_param("NextToken"), limit)
    except BadToken as error:
        raise EC2ClientError("InvalidNextToken", "The token is not valid") from error
    if name in ("Snapshots", "Volumes"):
        states.described(chosen)
    return ActionResult({name: chosen, "NextToken": token})


def require_place(backend: Any) -> None:
    """In the words of EC2; the code is that of its error page, ResourceLimitExceeded."""
    if copy_places.is_full("ec2", backend.snapshots.values()):
        limit = copy_places.places["ec2"]
        message = f"Too many snapshot copies in progress. The limit is {limit} for this destination region."
        raise EC2ClientError("ResourceLimitExceeded", message)


def foreign_copy(account: str, region: str) -> Any:
    """A copy that somebody else began in this account: pending until `states.finish_one`, without a tag."""
    backend: Any = ec2_backends[account][region]
    volume = backend.create_volume(8, f"{region}a")
    made = backend.create_snapshot(volume.id, "")
    del backend.volumes[volume.id]
    made.volume.id = COPIED_VOLUME
    made.is_copy = True
    states.hold_one(made, FOREIGN)
    return made


def _require_completed(snapshot: Any) -> None:
    if snapshot.status != "completed":
        raise EC2ClientError("IncorrectState", f"{snapshot.id} is in invalid state - {snapshot.status}")
