"""What the volumes of a restore are to be like, and under which names an instance gets them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from drorch.domain.errors import Refused
from drorch.domain.native_restore import RestorePart

VolumeType = Literal["gp3", "gp2", "io2", "io1", "st1", "sc1", "standard"]
DEFAULT_TYPE = "gp3"
WITH_IOPS = ("gp3", "io1", "io2")
NEEDING_IOPS = ("io1", "io2")
WITH_THROUGHPUT = ("gp3",)
"""Which types take which parameter (EC2 API, CreateVolume: Iops, Throughput)."""
DEVICES = tuple(f"/dev/sd{letter}" for letter in "fghijklmnop")
"""The names that EC2 recommends for data volumes (EC2 user guide, "Device names for volumes on Amazon EC2")."""


class Attach(BaseModel):
    """``{instance: i-0123456789abcdef0}``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance: str = Field(pattern=r"^i-[0-9a-f]{8,17}$", description="one that is there, such as i-0123456789abcdef0")


class RestoreOptions(BaseModel):
    """``{zone: us-west-2a}``; the rest as it was recorded, unless it is said here.

    `initialization_rate` is in MiB/s (EC2 API, CreateVolume, VolumeInitializationRate).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: str = Field(
        pattern=r"^[a-z]{2}(-[a-z0-9]+)+$", description="an availability zone of the copy's region, such as us-west-2a"
    )
    type: VolumeType | None = Field(default=None, description=f"one of {', '.join(get_args(VolumeType))}")
    iops: int | None = Field(default=None, ge=100, le=256_000, description=f"a number, for {', '.join(WITH_IOPS)}")
    throughput: int | None = Field(default=None, ge=125, le=2_000, description="MiB/s, for gp3, such as 250")
    initialization_rate: int | None = Field(default=None, ge=100, le=300, description="MiB/s, 100 to 300")
    kms_key: str = Field(default="", description="an enabled key of the copy's region, such as alias/shop")
    attach: Attach | None = Field(default=None, description="such as {instance: i-0123456789abcdef0}")


@dataclass(frozen=True, slots=True)
class Shape:
    """What kind of volume it becomes; 0 for what EC2 chooses. MiB/s."""

    type: str
    iops: int = 0
    throughput: int = 0


def shape_of(part: RestorePart, options: RestoreOptions) -> Shape:
    """As recorded, but for what the options say. A type that was not recorded gets its own defaults.

    Refused for numbers that its type does not take, and for a type that needs a number which nothing tells.
    """
    recorded = _recorded(part)
    kind = options.type or recorded.type or DEFAULT_TYPE
    wrong = "iops" if options.iops and kind not in WITH_IOPS else ""
    wrong = "throughput" if options.throughput and kind not in WITH_THROUGHPUT else wrong
    if wrong:
        takes = ", ".join(WITH_IOPS if wrong == "iops" else WITH_THROUGHPUT)
        raise _refused(part, f"a volume of type {kind} takes no {wrong}", f"type: one of {takes}, or without {wrong}:")
    as_it_was = kind == recorded.type
    iops = options.iops or (recorded.iops if as_it_was or kind in NEEDING_IOPS else 0)
    throughput = options.throughput or (recorded.throughput if as_it_was else 0)
    if kind in NEEDING_IOPS and not iops:
        raise _refused(part, f"a volume of type {kind} needs iops, and the record tells none", "iops: 3000, or a type")
    return Shape(kind, iops if kind in WITH_IOPS else 0, throughput if kind in WITH_THROUGHPUT else 0)


def differences(part: RestorePart, options: RestoreOptions) -> tuple[str, ...]:
    """What will not be as it was recorded, in words."""
    recorded, made = _recorded(part), shape_of(part, options)
    named = part.source_id or part.native_id
    if not recorded.type:
        return () if options.type else (f"{named}: no record tells its type; it becomes {made.type}",)
    said = []
    if recorded.type != made.type:
        said.append(f"{recorded.type}, now {made.type}")
    if recorded.type in WITH_IOPS and recorded.iops and made.iops != recorded.iops:
        said.append(f"{recorded.iops} IOPS, now {made.iops or 'the default'}")
    if recorded.type in WITH_THROUGHPUT and recorded.throughput and made.throughput != recorded.throughput:
        said.append(f"{recorded.throughput} MiB/s, now {made.throughput or 'the default'}")
    return (f"{named}: was {'; '.join(said)}",) if said else ()


def devices_for(wanted: Sequence[tuple[str, str]], used: Collection[str]) -> Mapping[str, str]:
    """Volume -> device, of (volume, device as recorded or ""): that one where it is free, else the next free.

    ``/dev/sdf`` and ``/dev/xvdf`` are one place. Refused when there are not enough.
    """
    taken = {_place(device) for device in used}
    chosen: dict[str, str] = {}
    for volume, recorded in wanted:
        if recorded and _place(recorded) not in taken:
            chosen[volume] = recorded
            taken.add(_place(recorded))
    free = [device for device in DEVICES if _place(device) not in taken]
    without = [volume for volume, _ in wanted if volume not in chosen]
    if len(without) > len(free):
        raise Refused(
            f"{len(without)} volumes have no name on the instance, and it has {len(free)} free",
            operation="ec2 AttachVolume",
            resource=without[0],
            hint="attach them to another instance, or without attach: and by hand",
        )
    return {**chosen, **dict(zip(without, free, strict=False))}


def _place(device: str) -> str:
    return device.removeprefix("/dev/").removeprefix("xvd").removeprefix("sd")


def _recorded(part: RestorePart) -> Shape:
    told = part.settings
    return Shape(str(told.get("type") or ""), _number(told.get("iops")), _number(told.get("throughput")))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _refused(part: RestorePart, message: str, hint: str) -> Refused:
    return Refused(message, operation="ec2 CreateVolume", resource=part.source_id or part.native_id, hint=hint)
