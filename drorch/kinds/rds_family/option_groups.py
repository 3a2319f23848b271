"""Option groups: regional, named by people, and compared before a snapshot is copied into another region.

"Specify this option if you are copying a snapshot from one Region to another, and your DB instance uses a nondefault
option group" (RDS API, CopyDBSnapshot, OptionGroupName). A group of the same name is the one that is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drorch.aws import mapped
from drorch.domain.errors import NotFound, Refused
from drorch.domain.model import native_vault_name
from drorch.ports import CopyOrder

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts

GROUP_PERMISSIONS = ("rds:DescribeOptionGroups",)

_SHARED_ALL_THE_SAME = ("timezone", "ols")

_OPERATION = "rds DescribeOptionGroups"


def option_group_for(accounts: AwsAccounts, order: CopyOrder, name: str) -> str:
    """The group that the copy is made with: the destination's of that name, when it fits; "" for its default group.

    `name` is the source snapshot's own group. Refused, with what to make, when the source's group has options that a
    copy cannot do without (persistent or permanent ones) and the destination has no group of that name with them, for
    the same engine and major version. Without such options a copy under the default group is better than none, and so
    it is where nobody may look at option groups: then RDS itself decides.
    """
    if not name or name.startswith("default:"):
        return ""
    try:
        there = _group(accounts, order.account, order.region, name)
        here = _group(accounts, order.from_account, order.from_region, name)
    except Refused:
        return ""
    wanted = _bound(here)
    lacking = _lacking(here, there, wanted)
    if lacking and wanted:
        raise Refused(
            f"the snapshot needs option group {name} in {order.region}",
            operation=_OPERATION,
            resource=order.snapshot.native_id,
            vault=native_vault_name(order.account, order.region),
            cause=lacking,
            hint=f"make option group {name} in {order.region} as it is in {order.from_region}: {_words(here, wanted)}",
        )
    return "" if lacking else name


def refuse_bound(accounts: AwsAccounts, order: CopyOrder, name: str) -> None:
    """Refused when the snapshot's option group holds options that keep it from being shared: "You can't share a DB
    snapshot that uses an option group with permanent or persistent options" (RDS user guide, "Sharing a DB snapshot",
    which makes an exception of two of Oracle's). Where nobody may look at option groups RDS itself decides.
    """
    if not name:
        return
    try:
        group = _group(accounts, order.from_account, order.from_region, name)
    except Refused:
        return
    bound = tuple(option for option in _bound(group) if option.lower() not in _SHARED_ALL_THE_SAME)
    if bound:
        raise Refused(
            f"the snapshot's option group {name} keeps it from being shared with another account",
            operation="rds ModifyDBSnapshotAttribute",
            resource=order.snapshot.native_id,
            vault=native_vault_name(order.from_account, order.from_region),
            cause=f"persistent or permanent: {', '.join(bound)}",
            hint="copies of its home account only, or a dump of the database into vaults",
        )


def speaks_of_options(error: Refused) -> bool:
    """Whether RDS itself refused for the sake of an option group, without a word of what to do."""
    return not error.hint and "option group" in f"{error.message} {error.cause}".lower()


def refused_for_options(error: Refused, order: CopyOrder, operation: str) -> Refused:
    """RDS's refusal, with a hint."""
    return Refused(
        error.message,
        operation=operation,
        resource=order.snapshot.native_id,
        vault=native_vault_name(order.account, order.region),
        cause=error.cause,
        hint=f"make an option group in {order.region} with the name and the options of the source's own",
    )


def _group(accounts: AwsAccounts, account: str, region: str, name: str) -> Mapping[str, Any]:
    """The option group of that name there; empty when there is none."""
    vault = native_vault_name(account, region)
    try:
        with mapped(_OPERATION, resource=name, vault=vault):
            reply = accounts.client("rds", account, region).describe_option_groups(OptionGroupName=name)
    except NotFound:
        return {}
    return next(iter(reply.get("OptionGroupsList") or ()), {})


def _bound(group: Mapping[str, Any]) -> tuple[str, ...]:
    """The options that a snapshot keeps for good (RDS user guide, persistent and permanent options)."""
    options = group.get("Options") or ()
    return tuple(sorted(o.get("OptionName", "") for o in options if o.get("Persistent") or o.get("Permanent")))


def _lacking(here: Mapping[str, Any], there: Mapping[str, Any], wanted: tuple[str, ...]) -> str:
    """Why the destination's group is not the source's, in words; "" when it fits."""
    if not there:
        return "there is no such group"
    for field in ("EngineName", "MajorEngineVersion"):
        if here and here.get(field) != there.get(field):
            return f"its {field} is {there.get(field)}, not {here.get(field)}"
    present = {option.get("OptionName") for option in there.get("Options") or ()}
    missing = [option for option in wanted if option not in present]
    return f"it lacks {', '.join(missing)}" if missing else ""


def _words(group: Mapping[str, Any], wanted: tuple[str, ...]) -> str:
    return f"{group.get('EngineName')} {group.get('MajorEngineVersion')} with {', '.join(wanted)}"
