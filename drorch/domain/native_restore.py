"""What a native point is brought back from, where, and how far that is: values between the core and the kinds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

TAG_RESTORE, TAG_DRILL, TAG_EXPIRES = "drorch:restore", "drorch:drill", "drorch:expires-at"
"""On everything that a restore makes; on everything that a drill makes, and until when that may be there."""

DRILL_NAMES = "drorch-drill-"
"""What the name of everything begins with that a drill makes and RDS knows by its name: nothing else is let go."""

CREATING, READY, FAILED = "creating", "ready", "failed"


@dataclass(frozen=True, slots=True)
class RestorePart:
    """One native object of the copy, with what its signed record says of its source.

    `role`, `source_id`, `device`, `instance` and `image` are as in `Member`; `settings` are those that were captured
    at the cut (empty where no record tells them).
    """

    native_id: str
    role: str = "snapshot"
    source_id: str = ""
    bytes: int = 0
    device: str = ""
    instance: str = ""
    image: str = ""
    encrypted: bool = False
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Isolation:
    """A network of a drill's own: what it makes lies in a security group made for it, out of which nothing goes.

    Into it come `reach_from` alone, networks (CIDR) and security groups of the same VPC, to the database's port.
    """

    reach_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NativeRestore:
    """One copy of a native point to be brought back in the account and region in which it lies.

    Whatever is made bears `tags` from its creating call on; `tag` is the key among them whose value `id` is this
    restore's own (`drorch:restore`, or `drorch:drill`): what bears it is of this restore, whoever began it and when.
    `options` are the kind's own `RestoreOptions`; with an `isolation`, of a drill alone, their security groups do not
    count.
    """

    account: str
    region: str
    application: str
    resource: str
    point: str
    cut_at: datetime
    tag: str
    id: str
    tags: Mapping[str, str]
    parts: tuple[RestorePart, ...]
    options: object
    isolation: Isolation | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """One thing that a restore made, as its provider shows it now.

    `what` is a field's word (volume, instance, launch template version, database instance, cluster, cluster member),
    `state` is `creating`, `ready` or `failed`, `detail` the provider's own word with its progress. `address` is the
    type of its Terraform/OpenTofu resource and `import_id` what `terraform import` takes for it; "" where there is
    none. `endpoint` is HOST:PORT where it can be asked queries; `engine` is then the provider's word for what answers
    there, `user` its master user, `database` the one that it was made with.
    """

    what: str
    native_id: str
    state: str
    detail: str = ""
    source_id: str = ""
    address: str = ""
    import_id: str = ""
    endpoint: str = ""
    engine: str = ""
    user: str = ""
    database: str = ""


@dataclass(frozen=True, slots=True)
class RestoreProgress:
    """How far a restore is: what is there of it, in the order of making; whether that is all; what it waits for.

    `notes` are differences to what was recorded and what remains to be done by hand, complete once it is `done`.
    """

    made: tuple[Made, ...]
    done: bool
    waiting: str = ""
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Made, ...]:
        """What will not become ready."""
        return tuple(made for made in self.made if made.state == FAILED)
