"""DB instances out of their snapshots: one call, under an identifier that is the key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drorch.domain.errors import AlreadyExists
from drorch.domain.model import native_vault_name
from drorch.domain.native_restore import TAG_DRILL, Made, NativeRestore, RestorePart, RestoreProgress
from drorch.kinds import legible, named_in, tag_map
from drorch.kinds.rds_family.restore_notes import by_hand, deliberate, differences
from drorch.kinds.rds_family.restore_options import RestoredInstance
from drorch.kinds.rds_family.restore_request import instance_request
from drorch.kinds.rds_family.restores import (
    Entry,
    RestoresDatabases,
    Wish,
    bears,
    is_drill,
    is_of,
    name_of,
    progress,
    state_of,
    value_of,
)
from drorch.kinds.rds_family.settings import instance_settings

WHAT, ADDRESS = "database instance", "aws_db_instance"


class RestoresInstances(RestoresDatabases):
    """RestoresSnapshots for DB instances. Instances of clusters are no business of this kind."""

    noun = "instance"

    def advance(self, order: NativeRestore) -> RestoreProgress:
        """RestoreDBInstanceFromDBSnapshot, unless it is there already."""
        part = self._part(order)
        found, instances = self._found(order.account, order.region)
        entry = next((each for each in found if is_of(order, each)), None)
        if entry is None:
            entry = self._restored(order, self._wish(order, part, found, instances))
        made = _made(entry, part.source_id)
        return progress([made], whole=True, notes=self._notes(order, part, entry))

    def made(self, account: str, region: str, tag: str, restore: str = "") -> tuple[tuple[str, Made], ...]:
        """By one whole listing; of drills with their security groups, by one more."""
        found, _ = self._found(account, region)
        databases = tuple((value_of(entry, tag), _made(entry)) for entry in found if bears(entry, tag, restore))
        return (*databases, *(self._drill_groups(account, region).made(restore) if tag == TAG_DRILL else ()))

    def discard(self, account: str, region: str, tag: str, restore: str) -> tuple[Made, ...]:
        """DeleteDBInstance without a last snapshot, each looked at once more before it; at last the security group."""
        self._check_discard(tag, restore, account, region)
        found, _ = self._found(account, region)
        for entry in found:
            if is_drill(entry, restore) and entry.get("DBInstanceStatus") != "deleting":
                self._delete_drilled(account, region, entry["DBInstanceIdentifier"], restore)
        left, _ = self._found(account, region)
        databases = tuple(_made(entry) for entry in left if is_drill(entry, restore))
        return databases or self._drill_groups(account, region).discard(restore)

    # --- how

    def _found(self, account: str, region: str) -> tuple[Sequence[Entry], Sequence[Entry]]:
        instances = self._all_instances(account, region)
        return [entry for entry in instances if not entry.get("DBClusterIdentifier")], instances

    def _wish(
        self,
        order: NativeRestore,
        part: RestorePart,
        found: Sequence[Entry],  # noqa: ARG002  (the names of instances are those of members, too)
        instances: Sequence[Entry],
    ) -> Wish:
        options, recorded = _options(order), part.settings
        name = self._name(order, options, part, {str(entry["DBInstanceIdentifier"]) for entry in instances})
        shown = self._check_snapshot(order, part)
        request = {
            "DBInstanceIdentifier": name,
            "DBSnapshotIdentifier": part.native_id,
            **instance_request(options, recorded, drill=order.tag == TAG_DRILL),
            **self._network(order, options, recorded),
        }
        for field, what, option, given, names in (
            ("DBParameterGroupName", "parameter group", "parameter_group", options.parameter_group, "parameter_groups"),
            ("OptionGroupName", "option group", "option_group", options.option_group, "option_groups"),
        ):
            if group := self._group(order, what, option, given, _names(recorded, names)):
                request[field] = group
        engine = str(shown.get("Engine") or recorded.get("engine") or "")
        classes = options.wanted_classes or tuple(filter(None, [str(recorded.get("class") or "")]))
        offered, tags = self._offered(order, engine, classes), tag_map(shown.get("TagList"))
        return Wish(name, request, offered, tags, self._inside(order, options, recorded))

    def _restored(self, order: NativeRestore, wish: Wish) -> Entry:
        """The instance as the creating call shows it, or as it is found under the name by then."""
        try:
            reply = self._make(order, "restore_db_instance_from_db_snapshot", wish)
        except AlreadyExists:
            return self._own_instance(order, wish.name)
        operation, vault = "rds RestoreDBInstanceFromDBSnapshot", native_vault_name(order.account, order.region)
        entry: Entry = named_in(reply, "DBInstance", operation, wish.name, vault)
        with legible(operation, vault, mutates=True):
            return {**entry, "DBInstanceIdentifier": entry["DBInstanceIdentifier"]}

    def _notes(self, order: NativeRestore, part: RestorePart, entry: Entry | None) -> tuple[str, ...]:
        options, recorded = _options(order), part.settings
        name = str(entry["DBInstanceIdentifier"]) if entry else name_of(order, options, part)
        shown = instance_settings(entry) if entry else None
        drill = order.tag == TAG_DRILL and shown is None  # else it stands among the differences
        found = [*(differences(recorded, shown) if shown else ()), *deliberate(options, recorded, drill=drill)]
        return (*found, *by_hand("instance", name, order.region, recorded, shown))


def _options(order: NativeRestore) -> RestoredInstance:
    if not isinstance(order.options, RestoredInstance):
        raise TypeError(f"rds-instance takes its own options, not {type(order.options).__name__}")
    return order.options


def _names(recorded: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return tuple(recorded.get(name) or ())


def _made(entry: Entry, source_id: str = "") -> Made:
    status = str(entry.get("DBInstanceStatus") or "creating")
    name = str(entry["DBInstanceIdentifier"])
    endpoint = entry.get("Endpoint") or {}
    address, port = endpoint.get("Address"), endpoint.get("Port")
    ready = state_of(status)
    return Made(
        what=WHAT,
        native_id=name,
        state=ready,
        detail=status,
        source_id=source_id,
        address=ADDRESS,
        import_id=name,
        endpoint=f"{address}:{port}" if address and port and ready == "ready" else "",
        engine=str(entry.get("Engine") or ""),
        user=str(entry.get("MasterUsername") or ""),
        database=str(entry.get("DBName") or ""),
    )
