"""Changes of Route 53's records: all of a batch or nothing, and of each only what is there.

moto looks for what is created or deleted in a journal of all that ever was.
"""

from __future__ import annotations

from typing import Any

from moto.route53.exceptions import Route53ClientError
from moto.route53.models import Route53Backend

from drorch.demo.repairs.replacing import around


@around(Route53Backend, "change_resource_record_sets")
def _change(original: Any, self: Any, zoneid: str, change_list: list[dict[str, Any]]) -> None:
    """ "CREATE", "DELETE: you must specify all the same values that you specified when you created it"; "Route 53 makes
    either all of the changes or none" (Route 53 API, ChangeResourceRecordSets).
    """
    zone = self.get_hosted_zone(zoneid)
    left = [_spelt(record) for record in zone.rrsets]
    for change in change_list:
        wanted = _wanted(change["ResourceRecordSet"])
        same = next((record for record in left if record[:3] == wanted[:3]), None)
        named = f"resource record set [name='{wanted[0]}', type='{wanted[1]}']"
        if change["Action"] == "CREATE" and same is not None:
            raise _refused(f"Tried to create {named} but it already exists")
        if change["Action"] == "DELETE" and same is None:
            raise _refused(f"Tried to delete {named} but it was not found")
        if change["Action"] == "DELETE" and same != wanted:
            raise _refused(f"Tried to delete {named} but the values provided do not match the current values")
        left = [record for record in left if record != same]
        left += [wanted] if change["Action"] != "DELETE" else []
    for change in change_list:
        if change["Action"] == "DELETE":
            wanted = _wanted(change["ResourceRecordSet"])
            zone.rrsets = [record for record in zone.rrsets if _spelt(record)[:3] != wanted[:3]]
    kept = [change for change in change_list if change["Action"] != "DELETE"]
    original(self, zoneid, [{**change, "Action": "UPSERT"} for change in kept])


def _spelt(record: Any) -> tuple[Any, ...]:
    values = tuple(sorted(record.records or ()))
    return _name(record.name), record.type, record.set_identifier, str(record.ttl), values


def _wanted(record: dict[str, Any]) -> tuple[Any, ...]:
    values = tuple(sorted(value["Value"] for value in record.get("ResourceRecords") or ()))
    return _name(record["Name"]), record["Type"], record.get("SetIdentifier"), str(record.get("TTL")), values


def _name(name: str) -> str:
    return name.rstrip(".").lower()


def _refused(message: str) -> Route53ClientError:
    return Route53ClientError("InvalidChangeBatch", f"[{message}]")
