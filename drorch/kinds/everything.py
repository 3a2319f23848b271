"""Everything that could be protected in an account and region, chosen by nobody: for the question what is forgotten.

One unfiltered, paginated listing per kind; `drorch.app.unprotected` says how often.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from drorch.domain.model import native_vault_name
from drorch.domain.native import Source
from drorch.kinds import GIB, legible, pages, tag_map

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts

PERMISSIONS = ("ec2:DescribeVolumes", "rds:DescribeDBInstances", "rds:DescribeDBClusters")

VOLUMES_PER_PAGE = 500
RECORDS_PER_PAGE = 100


class AwsEverything:
    """Volumes, RDS instances outside of clusters, and clusters (Everything)."""

    def __init__(self, accounts: AwsAccounts) -> None:
        self._accounts = accounts

    def sources(self, kind: str, account: str, region: str) -> Iterator[Source]:
        """All of a kind there; volumes that are in use or available. Raises Unavailable at any item."""
        yield from {"ebs": self._volumes, "rds-instance": self._instances, "rds-cluster": self._clusters}[kind](
            account, region
        )

    def _volumes(self, account: str, region: str) -> Iterator[Source]:
        client, vault = self._accounts.client("ec2", account, region), native_vault_name(account, region)
        alive = [{"Name": "status", "Values": ["in-use", "available"]}]
        for page in pages(client, "describe_volumes", "Volumes", size=VOLUMES_PER_PAGE, vault=vault, Filters=alive):
            with legible("ec2 DescribeVolumes", vault):
                found = [_volume(entry) for entry in page]
            yield from found

    def _instances(self, account: str, region: str) -> Iterator[Source]:
        """Without members of clusters: their data are the cluster's."""
        for entry in self._databases("describe_db_instances", "DBInstances", account, region):
            if not entry.get("DBClusterIdentifier"):
                yield _database(entry, "DBInstanceIdentifier", "DbiResourceId", account, region)

    def _clusters(self, account: str, region: str) -> Iterator[Source]:
        for entry in self._databases("describe_db_clusters", "DBClusters", account, region):
            yield _database(entry, "DBClusterIdentifier", "DbClusterResourceId", account, region)

    def _databases(self, method: str, items: str, account: str, region: str) -> Iterator[Mapping[str, Any]]:
        client, vault = self._accounts.client("rds", account, region), native_vault_name(account, region)
        for page in pages(client, method, items, size=RECORDS_PER_PAGE, vault=vault):
            yield from page


def _volume(entry: Mapping[str, Any]) -> Source:
    attached = sorted(a["InstanceId"] for a in entry.get("Attachments", ()) if a.get("InstanceId"))
    return Source(
        source_id=entry["VolumeId"],
        bytes=entry.get("Size", 0) * GIB,
        instance=attached[0] if attached else "",
        tags=tag_map(entry.get("Tags")),
        identity=entry["VolumeId"],
    )


def _database(entry: Mapping[str, Any], name: str, identity: str, account: str, region: str) -> Source:
    with legible("rds Describe", native_vault_name(account, region)):
        return Source(
            source_id=entry[name],
            bytes=(entry.get("AllocatedStorage") or 0) * GIB,
            tags=tag_map(entry.get("TagList")),
            identity=entry.get(identity) or "",
            settings={"engine": entry["Engine"]} if entry.get("Engine") else {},
        )
