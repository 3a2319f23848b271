"""Switching a record of Route 53 from what it is known to have been, and from nothing else.

A change is one batch that deletes exactly what was read and creates what is wanted: Route 53 refuses it whole when the
record has changed since (Route 53 API, ChangeResourceRecordSets: batches are all or nothing, DELETE needs every value).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drorch.aws import code_of, mapped
from drorch.domain.errors import Refused, Unavailable
from drorch.domain.runbook import StepProgress, record_region

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts
    from drorch.ports import RecordOrder

PERMISSIONS = ("route53:ListResourceRecordSets", "route53:ChangeResourceRecordSets", "route53:GetChange")

_RACED = "InvalidChangeBatch"
_TAKEN = "the name servers take it over"
_SIMPLE = frozenset({"Name", "Type", "TTL", "ResourceRecords"})
"""What a record without a routing policy, an alias or a health check has."""


class Route53Records:
    """Records of hosted zones (SwitchesRecords). `region` is any of the partition: Route 53 has one control plane."""

    def __init__(self, accounts: AwsAccounts, region: str) -> None:
        self._accounts = accounts
        self._region = record_region(region)
        self._changes: dict[tuple[str, str, str], str] = {}

    def advance(self, order: RecordOrder) -> StepProgress:
        """Look; change it where that is allowed; done once all name servers have it, as far as this process knows."""
        client = self._accounts.client("route53", order.account, self._region)
        named = f"{order.type} {order.name}"
        change = self._changes.get(_key(order))
        if change is not None:
            with mapped("route53 GetChange", resource=named):
                status = client.get_change(Id=change)["ChangeInfo"]["Status"]
            return StepProgress(
                status == "INSYNC", _told(order) if status == "INSYNC" else "the name servers take it over"
            )
        found = _record(client, order)
        if found is not None and _same(found, order.values, order.type) and found.get("TTL") == order.ttl:
            return StepProgress(True, _told(order))
        _allowed(found, order)
        batch = ([_change("DELETE", found)] if found is not None else []) + [_change("CREATE", _wanted(order))]
        try:
            with mapped("route53 ChangeResourceRecordSets", resource=named, mutates=True):
                reply = client.change_resource_record_sets(
                    HostedZoneId=order.zone, ChangeBatch={"Comment": "drorch", "Changes": batch}
                )
        except Refused as error:
            if code_of(error) != _RACED:
                raise
            raise Refused(
                "the record could not be changed: somebody else changed it, or another record is in its way",
                operation="route53 ChangeResourceRecordSets",
                resource=named,
                cause=error.cause,
                hint=f"look at it, and set it by hand to {', '.join(order.values)}",
            ) from error
        self._changes[_key(order)] = reply.get("ChangeInfo", {}).get("Id", "")
        if not self._changes[_key(order)]:
            del self._changes[_key(order)]  # it is looked at again
        return StepProgress(detail=_TAKEN)


def _record(client: Any, order: RecordOrder) -> Mapping[str, Any] | None:
    """The record of that name and type as it is; None where there is none. Refused for one with a routing policy."""
    operation, named = "route53 ListResourceRecordSets", f"{order.type} {order.name}"
    with mapped(operation, resource=named):
        reply = client.list_resource_record_sets(
            HostedZoneId=order.zone, StartRecordName=order.name, StartRecordType=order.type, MaxItems="1"
        )
    if "ResourceRecordSets" not in reply:
        raise Unavailable(
            "the reply to a listing holds no list", operation="route53 ListResourceRecordSets", resource=named
        )
    for found in reply["ResourceRecordSets"]:
        if _name(found["Name"]) == _name(order.name) and found["Type"] == order.type:
            if found.keys() - _SIMPLE:
                raise Refused(
                    f"{order.type} {order.name} is no simple record",
                    operation="record",
                    cause=f"it has {', '.join(sorted(found.keys() - _SIMPLE))}",
                    hint="aliases, routing policies and health checks are not in this version: set it by hand",
                )
            return dict(found)
    return None


def _allowed(found: Mapping[str, Any] | None, order: RecordOrder) -> None:
    """Refused for a record that is there and is not what the runbook says it was."""
    if found is None or _same(found, order.values, order.type):
        return  # of the wanted values nothing but the time to live differs
    if not order.was or not _same(found, order.was, order.type):
        values = ", ".join(_values(found))
        was = (
            f"the runbook says that it was {', '.join(order.was)}"
            if order.was
            else "the runbook says that it was not there"
        )
        raise Refused(
            f"{order.type} {order.name} is {values}: somebody else changed it",
            operation="record",
            cause=was,
            hint=f"set it by hand to {', '.join(order.values)}, or correct `was` in the policy",
        )


def _wanted(order: RecordOrder) -> dict[str, Any]:
    records = [{"Value": value} for value in order.values]
    return {"Name": order.name, "Type": order.type, "TTL": order.ttl, "ResourceRecords": records}


def _change(action: str, record: Mapping[str, Any]) -> dict[str, Any]:
    return {"Action": action, "ResourceRecordSet": dict(record)}


def _values(found: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(record["Value"] for record in found.get("ResourceRecords", ()))


def _same(found: Mapping[str, Any], values: tuple[str, ...], of_type: str) -> bool:
    def spelt(value: str) -> str:
        return _name(value) if of_type == "CNAME" else value.lower()

    return sorted(map(spelt, _values(found))) == sorted(map(spelt, values))


def _name(name: str) -> str:
    """A domain name as it is compared: case and the last dot do not count, ``*`` is spelt ``\\052`` in replies."""
    return name.rstrip(".").lower().replace("\\052", "*")


def _key(order: RecordOrder) -> tuple[str, str, str]:
    return order.zone, order.name, order.type


def _told(order: RecordOrder) -> str:
    return f"{order.type} {order.name} is {', '.join(order.values)}"
