"""What a region offers and allows: instance classes that can be ordered, quotas that somebody had raised.

moto offers classes of two engines alone, and knows the quotas of VPC alone.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.rds.responses import RDSResponse
from moto.servicequotas.models import ServiceQuotasBackend

from drorch.demo.repairs.replacing import around

withheld: set[tuple[str, str]] = set()
"""(region, instance class) of what is not offered; everything else is."""
scarce: set[tuple[str, str]] = set()
"""(region, instance class of RDS) of what is offered, and not to be had now."""
raised: dict[tuple[str, str, str], int] = {}
"""(region, service, code of the quota) -> its value; what is not here is no such resource."""
full: dict[tuple[str, str], str] = {}
"""(zone, EC2 instance type) -> the code with which a launch is refused there; of everything else there is enough."""


def clear() -> None:
    """Everything is offered, there is enough of it, and no quota was raised."""
    withheld.clear()
    full.clear()
    scarce.clear()
    raised.clear()


@around(RDSResponse, "describe_orderable_db_instance_options")
def _describe_orderable(original: Any, self: Any) -> Any:
    """One option for a class that is asked for by name, none where the region withholds it.

    "To filter: DBInstanceClass, EngineVersion" (RDS API, DescribeOrderableDBInstanceOptions).
    """
    wanted = self.params.get("DBInstanceClass")
    if not wanted:
        return original(self)
    option = {
        "Engine": self.params.get("Engine"),
        "EngineVersion": self.params.get("EngineVersion") or "",
        "DBInstanceClass": wanted,
        "Vpc": True,
    }
    offered = (self.region, wanted) not in withheld
    return ActionResult({"OrderableDBInstanceOptions": [option] if offered else []})


@around(ServiceQuotasBackend, "get_service_quota")
def _get_service_quota(original: Any, self: Any, service_code: str, quota_code: str) -> Any:
    value = raised.get((self.region_name, service_code, quota_code))
    if value is None:
        return original(self, service_code, quota_code)
    return {"ServiceCode": service_code, "QuotaCode": quota_code, "Value": float(value), "Adjustable": True}
