"""EC2 instances out of the images of a copy, or a new version of a launch template that is there.

RunInstances takes a client token (EC2 API): of one image, instance type and subnet there is one launch of a restore.
All instances of an image are launched by one call, or none is, so what is seen of a launch says that it was made. Where
EC2 has no capacity the next type, or subnet, is tried, under a token of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drorch.aws import code_of, mapped
from drorch.domain.catalogue_native import TAG_IMAGE
from drorch.domain.errors import Busy, NotFound, Refused, Unavailable
from drorch.domain.model import native_vault_name
from drorch.domain.native import IMAGE
from drorch.domain.native_restore import CREATING, FAILED, READY, Made, NativeRestore, RestorePart, RestoreProgress
from drorch.kinds import MOST_TAGS, legible, named_in, pages, restored_tags, tag_list, tag_map
from drorch.kinds.ami import placing, template
from drorch.kinds.ami.placing import Launch, Manner, differences, launches, options_of, types_of
from drorch.kinds.ami.placing import RestoreOptions as RestoreOptions
from drorch.kinds.ami.template import Templates, version_made
from drorch.kinds.ec2_restoring import PERMISSIONS as SHARED
from drorch.kinds.ec2_restoring import (
    Entry,
    attachments,
    bearing,
    bears,
    begun_otherwise,
    described,
    discard_volumes,
    require_drill,
    token,
    told,
    volume_made,
    volumes_bearing,
)

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts

RESTORE_PERMISSIONS = (
    "ec2:DescribeImages",
    "ec2:DescribeInstances",
    "ec2:RunInstances",
    "ec2:CreateTags",  # tags in the creating call are authorised as this action (EC2 user guide)
    "ec2:TerminateInstances",
    *placing.PERMISSIONS,
    *template.PERMISSIONS,
    *SHARED,
)
"""Every call that a restore into instances makes; instances and volumes of drills are deleted, and none else."""

PER_PAGE = 1000
_STATES = {"pending": CREATING, "running": READY}
_ENDED = ("shutting-down", "terminated")
_GONE = "deregistered"
"""What EC2 shows such an image as for a while; after that it answers with an empty list (EC2 API, DescribeImages)."""
_NO_CAPACITY = "Server.InsufficientInstanceCapacity"
"""Why an instance ended that was accepted and could not be started (EC2 API, StateReason)."""
_NEXT = (
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientFreeAddressesInSubnet",
    "Unsupported",
    "VcpuLimitExceeded",
)
"""What is true of one type, zone or subnet alone (EC2 API, error codes): another may do."""
_UNRECORDED = (
    "not recorded, so not as they were: user data, elastic IP addresses, further network interfaces, placement group, "
    "tenancy, metadata options"
)


class RestoresImages:
    """How `ami` brings a copy back (RestoresSnapshots): instances, `ready` when they run; or a template's version."""

    _accounts: AwsAccounts

    def check_restore(self, order: NativeRestore) -> tuple[str, ...]:
        """Whether images, subnets, groups, types, key and profile are there, or the launch template; differences."""
        options, images = options_of(order), self._require_images(order)
        if options.launch_template:
            self._templates(order).require(options.launch_template)
            return ()
        planned = launches(self._accounts, order, images)
        notes = [differences(image, options, planned[image.native_id].first) for image in images]
        return (*(note for of_image in notes for note in of_image), _UNRECORDED)

    def advance(self, order: NativeRestore) -> RestoreProgress:
        """Launch the instances of every image of which none is to be seen, or make the version; say how far it is."""
        if options_of(order).launch_template:
            return self._advance_version(order)
        images, there = _images(order), self._instances(order)
        missing = [image for image in images if not _begun(there.get(image.native_id, ()))]
        if missing or not images:
            tags = {image["ImageId"]: tag_map(image.get("Tags")) for image in self._described(order)}
            planned = launches(self._accounts, order, missing)
            for image in missing:
                spent = {str(entry.get("ClientToken")) for entry in there.get(image.native_id, ())}
                launch = planned[image.native_id]
                there[image.native_id] = self._launch(order, image, launch, tags[image.native_id], spent)
        return _progress(order, images, there)

    def made(self, account: str, region: str, tag: str, restore: str = "") -> tuple[tuple[str, Made], ...]:
        """Instances that have not ended, volumes that ended ones left behind, versions of launch templates."""
        alive = self._alive(account, region, tag, restore)
        found = [(tag_map(entry.get("Tags"))[tag], _made(entry)) for entry in alive]
        left = self._left_behind(account, region, tag, restore, alive)
        found += [(tag_map(volume.get("Tags"))[tag], volume_made(volume)) for volume in left]
        return (*found, *Templates(self._accounts, account, region).made(tag, restore))

    def discard(self, account: str, region: str, tag: str, restore: str) -> tuple[Made, ...]:
        """Terminate a drill's instances, delete the volumes that they leave and its versions of launch templates.

        A volume goes when its instance has ended: asked again. Refused for any other tag.
        """
        require_drill("discard instances", account, region, tag, restore)
        alive = self._alive(account, region, tag, restore)
        left = [self._terminate(account, region, entry) for entry in alive]
        volumes = self._left_behind(account, region, tag, restore, alive)
        left += discard_volumes(self._accounts, account, region, volumes)
        return (*left, *Templates(self._accounts, account, region).discard(tag, restore))

    def _templates(self, order: NativeRestore) -> Templates:
        return Templates(self._accounts, order.account, order.region)

    def _advance_version(self, order: NativeRestore) -> RestoreProgress:
        templates, name = self._templates(order), options_of(order).launch_template
        found = templates.require(name)
        versions = templates.of_restore(str(found.get("LaunchTemplateId")), order.tag, order.id)
        if not versions:
            (image,) = self._require_images(order)
            versions = [templates.create(order, image, found)]
        made = tuple(version_made(version, _images(order)[0].source_id) for version in versions)
        default, numbers = found.get("DefaultVersionNumber"), [str(v["VersionNumber"]) for v in versions]
        said = f"$Default of {name} is version {default}: launch version {', '.join(numbers)}, or make that the default"
        return RestoreProgress(made, done=True, notes=(said,))

    def _described(self, order: NativeRestore) -> list[Entry]:
        """The images of the copy as they are shown now. NotFound, Unavailable, Refused where one cannot be launched."""
        wanted, vault = [image.native_id for image in _images(order)], native_vault_name(order.account, order.region)
        said: dict[str, Any] = {"operation": "ec2 RunInstances", "vault": vault}
        if not wanted:
            raise Refused("the copy holds no image", resource=order.point, **said)
        if options_of(order).launch_template and len(wanted) > 1:
            hint = "without launch_template: each becomes an instance"
            raise Refused(f"a launch template takes one image, the copy has {len(wanted)}", hint=hint, **said)
        client = self._accounts.client("ec2", order.account, order.region)
        hint = "the copy is not whole any more: choose another copy, or another point"
        found = described(client, "describe_images", "Images", vault, hint, ImageIds=wanted, IncludeDisabled=True)
        states = {str(image.get("ImageId")): str(image.get("State")) for image in found}
        for name in wanted:
            state = states.get(name, _GONE)
            if state in ("pending", "transient"):
                raise Unavailable("the image is not available yet", resource=name, cause=f"state {state}", **said)
            if state == _GONE:
                raise NotFound("the image is gone", resource=name, hint=hint, **said)
            if state != "available":
                raise Refused("the image cannot be launched", resource=name, cause=f"state {state}", hint=hint, **said)
        return found

    def _require_images(self, order: NativeRestore) -> list[RestorePart]:
        self._described(order)
        return _images(order)

    def _launch(
        self, order: NativeRestore, image: RestorePart, launch: Launch, tags: Mapping[str, str], spent: Collection[str]
    ) -> list[Entry]:
        """RunInstances with the first type and subnet that has capacity. Busy when none has.

        It is sent once: the SDK would repeat for half a minute what the next type may answer at once.
        """
        client = self._accounts.client("ec2", order.account, order.region, repeatable=False)
        operation, vault = "ec2 RunInstances", native_vault_name(order.account, order.region)
        refused: list[str] = []
        for kind, subnet in launch.tries:
            request = _request(order, image, launch, tags, (kind, subnet))
            if request["ClientToken"] in spent:
                refused.append(f"{kind} in {subnet}: {_NO_CAPACITY}")
                continue
            try:
                with begun_otherwise(order), mapped(operation, resource=image.native_id, vault=vault, mutates=True):
                    reply = client.run_instances(**request)
            except (Busy, Refused) as error:
                if code_of(error) not in _NEXT:
                    raise
                refused.append(f"{kind} in {subnet}: {code_of(error)}")
                continue
            return list(named_in(reply, "Instances", operation, image.native_id, vault))
        raise Busy(
            "there is no capacity for any instance type that may be taken",
            operation=operation,
            resource=image.native_id,
            vault=vault,
            cause="; ".join(refused),
            hint="instance_types: more of them; subnets: in more zones; or wait",
        )

    def _instances(self, order: NativeRestore) -> dict[str, list[Entry]]:
        """Image -> the instances of this restore, those that have ended too, while EC2 shows them."""
        found: dict[str, list[Entry]] = {}
        for entry in self._bearing(order.account, order.region, order.tag, order.id):
            found.setdefault(str(entry.get("ImageId")), []).append(entry)
        return found

    def _alive(self, account: str, region: str, tag: str, restore: str) -> list[Entry]:
        return [entry for entry in self._bearing(account, region, tag, restore) if _state(entry) != "terminated"]

    def _bearing(self, account: str, region: str, tag: str, restore: str) -> list[Entry]:
        client, vault = self._accounts.client("ec2", account, region), native_vault_name(account, region)
        filters = bearing(tag, restore)
        found: list[Entry] = []
        for page in pages(client, "describe_instances", "Reservations", size=PER_PAGE, vault=vault, Filters=filters):
            with legible("ec2 DescribeInstances", vault):
                entries = [entry for reservation in page for entry in reservation.get("Instances", ())]
                found += [entry for entry in entries if entry["InstanceId"] and bears(entry, tag, restore)]
        return found

    def _left_behind(self, account: str, region: str, tag: str, restore: str, alive: Sequence[Entry]) -> list[Entry]:
        """The volumes of instances that a restore made, but for those at which they still are."""
        found = volumes_bearing(self._accounts, account, region, tag, restore)
        there = {entry["InstanceId"] for entry in alive}
        return [
            volume
            for volume in found
            if TAG_IMAGE in tag_map(volume.get("Tags")) and not there & {where for where, _ in attachments(volume)}
        ]

    def _terminate(self, account: str, region: str, entry: Entry) -> Made:
        """TerminateInstances of one; it is left until it has ended, with EC2's own word when it does not let it go."""
        made = _made(entry)
        if _state(entry) == "shutting-down":
            return made
        client, vault = self._accounts.client("ec2", account, region), native_vault_name(account, region)
        try:
            with mapped("ec2 TerminateInstances", resource=made.native_id, vault=vault, mutates=True):
                client.terminate_instances(InstanceIds=[made.native_id])
        except Refused as error:
            return Made("instance", made.native_id, FAILED, told(error))
        return Made("instance", made.native_id, FAILED, "shutting-down")


def _images(order: NativeRestore) -> list[RestorePart]:
    """The images of a copy; their snapshots are parts of them."""
    return [part for part in order.parts if part.role == IMAGE]


def _state(entry: Entry) -> str:
    return str((entry.get("State") or {}).get("Name") or "pending")


def _reason(entry: Entry) -> Entry:
    return entry.get("StateReason") or {}


def _without_capacity(entry: Entry) -> bool:
    return _state(entry) in _ENDED and _reason(entry).get("Code") == _NO_CAPACITY


def _begun(entries: Sequence[Entry]) -> bool:
    """Whether an image was launched and not given up again for want of capacity."""
    return any(not _without_capacity(entry) for entry in entries)


def _made(entry: Entry, source_id: str = "") -> Made:
    """An instance as EC2 shows it now. One that has stopped or ended by itself will not become ready."""
    state = _state(entry)
    why = str(_reason(entry).get("Message") or "")
    shown = f"{state}: {why}" if why and state not in _STATES else state
    where = [str(word) for word in (entry.get("InstanceType"), entry.get("SubnetId")) if word]
    return Made(
        what="instance",
        native_id=entry["InstanceId"],
        state=_STATES.get(state, FAILED),
        detail=", ".join((shown, *where)),
        source_id=source_id,
        address="aws_instance",
        import_id=entry["InstanceId"],
    )


def _request(
    order: NativeRestore, image: RestorePart, launch: Launch, tags: Mapping[str, str], chosen: tuple[str, str]
) -> dict[str, Any]:
    options, (kind, subnet) = options_of(order), chosen
    own = restored_tags(order, tags)
    of_volumes = {**own, TAG_IMAGE: image.native_id}
    if len(of_volumes) > MOST_TAGS:
        of_volumes = {**restored_tags(order, {}), TAG_IMAGE: image.native_id}
    given = {"instance": own, "network-interface": own, "volume": of_volumes}
    request: dict[str, Any] = {
        "ImageId": image.native_id,
        "InstanceType": kind,
        "SubnetId": subnet,
        "SecurityGroupIds": list(launch.groups),
        "MinCount": options.count,
        "MaxCount": options.count,
        "ClientToken": token(order, image.native_id, kind, subnet),
        "TagSpecifications": [{"ResourceType": what, "Tags": tag_list(tags)} for what, tags in given.items()],
    }
    if launch.key_name:
        request["KeyName"] = launch.key_name
    if options.instance_profile:
        request["IamInstanceProfile"] = {"Name": options.instance_profile}
    return request


def _progress(
    order: NativeRestore, images: Sequence[RestorePart], there: Mapping[str, Sequence[Entry]]
) -> RestoreProgress:
    count, waited, notes = options_of(order).count, [], []
    made: list[Made] = []
    for image in images:
        entries = [entry for entry in there[image.native_id] if not _without_capacity(entry)]
        these = [_made(entry, image.source_id) for entry in entries]
        made += these
        waited += [f"{each.native_id} is {each.detail}" for each in these if each.state != READY]
        if len(these) < count:
            waited.append(f"{len(these)} of {count} instances of {image.native_id} are shown")
        if len(these) > count:
            notes.append(f"{len(these)} instances of {image.native_id} bear this restore's id, {count} was asked for")
        notes += _came_up(image, options_of(order), entries)
    if waited:
        return RestoreProgress(tuple(made), done=False, waiting=", ".join(waited))
    return RestoreProgress(tuple(made), done=True, notes=(*notes, _UNRECORDED))


def _came_up(image: RestorePart, options: RestoreOptions, entries: Sequence[Entry]) -> Iterator[str]:
    """What is not as it was wanted or recorded, of instances that are there."""
    wanted = next(iter(types_of(image, options)), "")
    for entry in entries:
        if wanted and (kind := entry.get("InstanceType")) != wanted:
            yield f"{entry['InstanceId']} is a {kind}: {wanted} had no capacity, or is not offered there"
    for now in dict.fromkeys(map(_manner, entries)):
        yield from differences(image, options, now)


def _manner(entry: Entry) -> Manner:
    groups = sorted(str(group.get("GroupId")) for group in entry.get("SecurityGroups") or ())
    told = [str(entry.get(name) or "") for name in ("InstanceType", "SubnetId", "KeyName")]
    return Manner(told[0], told[1], tuple(groups), told[2])
