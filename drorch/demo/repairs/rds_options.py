"""RDS option groups: which options a snapshot cannot do without, and that a copy keeps to its region's groups."""

from __future__ import annotations

from typing import Any

from moto.rds.exceptions import InvalidParameterCombination, OptionGroupNotFoundFaultError
from moto.rds.models import DBSnapshot, OptionGroup, RDSBackend, rds_backends

from drorch.demo.repairs.replacing import around

_PERMANENT = frozenset({"Timezone", "OLS", "TDE"})
"""Oracle's options that are both persistent and permanent (RDS user guide, "Working with option groups")."""

_option_group: Any = OptionGroup
_options: Any = _option_group.options
_option_group.options = property(
    lambda self: [
        {**option, "Persistent": option["OptionName"] in _PERMANENT, "Permanent": option["OptionName"] in _PERMANENT}
        for option in _options.fget(self)
    ]
)
_snapshot: Any = DBSnapshot
_snapshot.option_group_name = property(
    lambda self: self.__dict__.get("_copied_into_group") or self.database.option_group_name
)


@around(RDSBackend, "copy_db_snapshot")
def _copy_db_snapshot(
    original: Any, self: Any, source_db_snapshot_identifier: str, target_db_snapshot_identifier: str, **given: Any
) -> Any:
    """In another region or account a copy has the group that is named, which must be there, or the default one.

    Without the permanent options of its source's group it is refused.
    """
    source = self.get_db_snapshot(source_db_snapshot_identifier)
    name = given.get("option_group_name")
    if name and name not in self.option_groups:
        raise OptionGroupNotFoundFaultError(name)
    own = rds_backends[source.account_id][source.region].option_groups.get(source.option_group_name)
    wanted = _permanent(own)
    elsewhere = (source.account_id, source.region) != (self.account_id, self.region_name)
    if elsewhere and not wanted <= _permanent(self.option_groups.get(name or "")):
        message = f"The snapshot requires a target option group with the following options: {', '.join(sorted(wanted))}"
        raise InvalidParameterCombination(message)
    made = original(self, source_db_snapshot_identifier, target_db_snapshot_identifier, **given)
    if elsewhere:
        made._copied_into_group = name or f"default:{made.engine}-{made.engine_version.split('.')[0]}"
    return made


def _permanent(group: Any) -> set[str]:
    return {option["OptionName"] for option in group.options if option["Permanent"]} if group else set()
