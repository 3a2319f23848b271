"""Manual snapshots of RDS, of instances and of clusters: identifiers as keys, copies by ARN, listings with tags.

RDS takes no client token; the identifier that we choose is the key, and a call that is repeated finds it taken.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from drorch.aws import code_of, mapped
from drorch.domain.catalogue_native import TAG_POINT, TAG_SET, TAG_SITE
from drorch.domain.errors import NotFound, Refused, Unavailable
from drorch.domain.model import native_vault_name
from drorch.domain.native import NativeSnapshot, PendingCopy, SnapshotRoom, Source
from drorch.kinds import (
    GIB,
    carried_tags,
    check_copy,
    check_kms_key,
    check_sharing,
    copied_tags,
    digits_of,
    gone_is_done,
    legible,
    named_in,
    pages,
    set_text,
    tag_list,
    tag_map,
)
from drorch.ports import CopyOrder, CutOrder

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts

RECORDS_PER_PAGE = 100
RESERVED_PREFIXES = ("rds:",)
"""Tag keys may not begin so, beside `aws:` (RDS API, Tag)."""

_ACCOUNT_QUOTAS = {"rds-instance": "ManualSnapshots", "rds-cluster": "ManualClusterSnapshots"}

_STATES = {"available": "usable", "creating": "pending", "copying": "pending"}


class Identified(BaseModel):
    """``identifier: shop-ledger``: what RDS calls it, which it keeps in lower case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identifier: str = Field(pattern=r"^[a-z](-?[a-z0-9])*$", max_length=63)


@dataclass(frozen=True, slots=True)
class Nouns:
    """What the API calls a source and its snapshot; fields, operations and error codes are made of the two."""

    source: str
    snapshot: str


class ManualSnapshots(ABC):
    """The SnapshotKind port but for what its kinds say. The state `usable` is RDS's `available`."""

    kind = ""
    nouns: ClassVar[Nouns]
    options: ClassVar[type[Identified]]
    listing: ClassVar[str]
    """The listing of snapshots as boto spells it."""
    service = "rds"
    repeatable_cut = True

    def __init__(self, accounts: AwsAccounts) -> None:
        self._accounts = accounts

    # --- what each kind says

    @abstractmethod
    def _listed(self, account: str, region: str, wanted: frozenset[str]) -> Iterator[Source]:
        """The sources of these identifiers, out of one listing of all (a filter on an absent name is an error)."""

    @abstractmethod
    def _snapshot(self, entry: Mapping[str, Any], account: str, region: str) -> NativeSnapshot:
        """A snapshot of a listing or of a creating call's reply. KeyError for one that lacks its identifier."""

    @abstractmethod
    def _create(self, client: Any, request: Mapping[str, Any]) -> Any:
        """The creating call of a cut."""

    @abstractmethod
    def _copy(self, client: Any, request: Mapping[str, Any]) -> Any:
        """The creating call of a copy."""

    @abstractmethod
    def _describe(self, client: Any, native_id: str) -> Any:
        """One snapshot, by its identifier."""

    @abstractmethod
    def _delete(self, client: Any, native_id: str) -> object:
        """The call that ends one."""

    @abstractmethod
    def _modify(self, client: Any, native_id: str, change: Mapping[str, Any]) -> object:
        """The call that changes who may restore one."""

    @abstractmethod
    def _check_shareable(self, order: CopyOrder) -> None:
        """Refused for what RDS does not share, where that can be told."""

    @abstractmethod
    def _check_source(self, source: Source, operation: str, vault: str) -> None:
        """Refused for what has no snapshots of this kind."""

    @abstractmethod
    def _copy_request(self, order: CopyOrder, entry: Mapping[str, Any]) -> dict[str, Any]:
        """What a copy of this snapshot (as its region shows it) asks for beside names and tags. Refused."""

    # --- the port

    def snapshots(self, account: str, region: str, site: str) -> Iterator[NativeSnapshot]:
        """All manual snapshots there that bear the site's tag (RDS cannot filter by tag, but lists the tags)."""
        for snapshot in self._manual(account, region):
            if snapshot.tags.get(TAG_SITE) == site:
                yield snapshot

    def find(self, account: str, region: str, point: str) -> tuple[NativeSnapshot, ...]:
        """The manual snapshots there that bear the point's id, in their tags or in their identifier."""
        identifier = _identifier(point)
        return tuple(
            snapshot
            for snapshot in self._manual(account, region)
            if snapshot.tags.get(TAG_POINT) == point
            or snapshot.native_id == identifier
            or snapshot.native_id.startswith(f"{identifier}-")
        )

    def pending_copies(self, account: str, region: str) -> Iterator[PendingCopy]:
        """Every manual snapshot in the making that was copied from another region or account, or is being copied."""
        noun = self.nouns.snapshot
        for page in self._pages(account, region, self.listing, f"{noun}s", SnapshotType="manual"):
            with legible(f"rds Describe{noun}s", native_vault_name(account, region)):
                found = [
                    PendingCopy(entry[f"{noun}Identifier"], _origin_region(entry, noun))
                    for entry in page
                    if _STATES.get(entry.get("Status") or "creating") == "pending" and _is_copy(entry, noun)
                ]
            yield from found

    def sources(self, account: str, region: str, options: Sequence[object]) -> Iterator[Source]:
        """Those that `options` name and that are there, each once."""
        wanted = frozenset(self._identifier_of(option) for option in options)
        if wanted:
            yield from self._listed(account, region, wanted)

    def select(self, options: object, sources: Sequence[Source]) -> tuple[Source, ...]:
        """The source of that identifier, if it is there."""
        wanted = self._identifier_of(options)
        return tuple(source for source in sources if source.source_id == wanted)

    def creating_calls(self, sources: Sequence[Source]) -> tuple[tuple[Source, ...], ...]:
        """One call per source."""
        return tuple((source,) for source in sorted(sources, key=lambda source: source.source_id))

    def cut(self, order: CutOrder, call: int) -> tuple[NativeSnapshot, ...]:
        """Create the snapshot. Unavailable while the source is busy (backing up, modifying): waiting is no failure."""
        calls = self.creating_calls(order.sources)
        (source,) = calls[call]
        vault, operation = native_vault_name(order.account, order.region), f"rds Create{self.nouns.snapshot}"
        self._check_source(source, operation, vault)
        own = {**order.tags, TAG_SET: set_text(call, calls)}
        request = {
            f"{self.nouns.snapshot}Identifier": _identifier(order.point),
            f"{self.nouns.source}Identifier": source.source_id,
            "Tags": tag_list(carried_tags(own, source.tags, RESERVED_PREFIXES)),
        }
        client = self._accounts.client("rds", order.account, order.region, repeatable=False)
        with mapped(operation, resource=source.source_id, vault=vault, mutates=True):
            reply = self._create(client, request)
        made = named_in(reply, self.nouns.snapshot, operation, source.source_id, vault)
        with legible(operation, vault, mutates=True):
            return (self._snapshot(made, order.account, order.region),)

    def copy(self, order: CopyOrder) -> NativeSnapshot:
        """Begin the copy, called in the destination by its account, its source by ARN: one call crosses region and
        account.
        """
        source, vault = order.snapshot, native_vault_name(order.account, order.region)
        operation = f"rds Copy{self.nouns.snapshot}"
        check_copy(order, operation)
        entry = self._copyable(order, operation)
        tags = copied_tags(order, RESERVED_PREFIXES)
        request = {
            f"Source{self.nouns.snapshot}Identifier": entry[f"{self.nouns.snapshot}Arn"],
            f"Target{self.nouns.snapshot}Identifier": f"{_identifier(order.point)}-{order.attempt}",
            "CopyTags": False,
            "Tags": tag_list(tags),
            **self._copy_request(order, entry),
        }
        if order.from_region != order.region:
            request["SourceRegion"] = order.from_region  # botocore signs the request to that region with it
        client = self._accounts.client("rds", order.account, order.region, repeatable=False)
        with mapped(operation, resource=source.native_id, vault=vault, mutates=True):
            reply = self._copy(client, request)
        made = named_in(reply, self.nouns.snapshot, operation, source.native_id, vault)
        with legible(operation, vault, mutates=True):
            return self._snapshot({"TagList": tag_list(tags), **made}, order.account, order.region)

    def snapshot_rooms(self, account: str, region: str) -> Mapping[str, SnapshotRoom]:
        """Of instances and of clusters, everybody's: one call tells both (RDS API, AccountQuota)."""
        client, vault = self._accounts.client("rds", account, region), native_vault_name(account, region)
        with mapped("rds DescribeAccountAttributes", vault=vault):
            reply = client.describe_account_attributes()
        told = {quota.get("AccountQuotaName"): quota for quota in reply.get("AccountQuotas", ())}
        with legible("rds DescribeAccountAttributes", vault):
            return {
                kind: SnapshotRoom(int(told[name]["Used"]), int(told[name]["Max"]))
                for kind, name in _ACCOUNT_QUOTAS.items()
                if name in told
            }

    def share(self, order: CopyOrder) -> None:
        """The attribute `restore`, which lets an account copy, too (RDS user guide, "Sharing a DB snapshot").

        At most 20 accounts at once; Busy beyond.
        """
        operation = f"rds Modify{self.nouns.snapshot}Attribute"
        digits = check_sharing(self._accounts, order, operation)
        self._check_shareable(order)
        self._permit(order.from_account, order.from_region, order.snapshot.native_id, {"ValuesToAdd": [digits]})

    def unshare(self, account: str, region: str, native_id: str, other: str) -> None:
        """Take it back; harmless twice, and when the snapshot is gone."""
        noun = self.nouns.snapshot
        with gone_is_done((f"{noun}NotFound", f"{noun}NotFoundFault")):
            self._permit(account, region, native_id, {"ValuesToRemove": [digits_of(self._accounts, other)]})

    def shared(self, account: str, region: str, site: str, other: str) -> Iterator[str]:  # noqa: ARG002
        """What `other` sees as shared with it by `account`, of drorch's by name: RDS does not list for the owner what
        is shared with whom, and shows others no tags, so that those of another site may be among them.
        """
        noun, owner = self.nouns.snapshot, digits_of(self._accounts, account)
        for page in self._pages(other, region, self.listing, f"{noun}s", SnapshotType="shared", IncludeShared=True):
            with legible(f"rds Describe{noun}s", native_vault_name(other, region)):
                arns = [str(entry[f"{noun}Arn"]).split(":") for entry in page]
            yield from (arn[6] for arn in arns if len(arn) == 7 and arn[4] == owner and arn[6].startswith(_OURS))

    def check_key(self, account: str, region: str, key: str) -> None:
        """Refused with a hint unless the key exists there, is enabled and symmetric."""
        check_kms_key(self._accounts, account, region, key)

    def now(self, account: str, region: str) -> datetime:
        """By the clock of the region's STS."""
        return self._accounts.now(account, region)

    def expire(self, account: str, region: str, native_id: str) -> None:
        """Delete one snapshot; repeated by the SDK, for a repetition finds it gone.

        Unavailable while RDS still makes it; Refused when it is at rest and RDS keeps it all the same, as it does what
        another service manages. A copy that is under way is ended by it (RDS API, both deletions).
        """
        noun = self.nouns.snapshot
        client = self._accounts.client("rds", account, region)
        vault, operation = native_vault_name(account, region), f"rds Delete{noun}"
        gone = (f"{noun}NotFound", f"{noun}NotFoundFault")
        try:
            with gone_is_done(gone), mapped(operation, resource=native_id, vault=vault, mutates=True):
                self._delete(client, native_id)
        except Unavailable as error:
            wrong_state = code_of(error) in (f"Invalid{noun}State", f"Invalid{noun}StateFault")
            if wrong_state and self._at_rest(account, region, native_id):
                raise Refused(
                    "RDS does not let the snapshot go",
                    operation=operation,
                    resource=native_id,
                    vault=vault,
                    cause=error.cause,
                    hint="see whether another service manages it (AWS Backup): then that one deletes it",
                ) from error
            raise

    # --- how

    def _permit(self, account: str, region: str, native_id: str, change: Mapping[str, Any]) -> None:
        """Repeated by the SDK: adding or removing the same account again changes nothing."""
        client, vault = self._accounts.client("rds", account, region), native_vault_name(account, region)
        with mapped(f"rds Modify{self.nouns.snapshot}Attribute", resource=native_id, vault=vault):
            self._modify(client, native_id, {"AttributeName": "restore", **change})

    def _at_rest(self, account: str, region: str, native_id: str) -> bool:
        """Whether nothing is under way with it that one could wait for. False when it is gone meanwhile."""
        try:
            found = self._shown(account, region, native_id)
        except NotFound:
            return False
        return [entry.get("Status") for entry in found] in (["available"], ["failed"])

    def _shown(self, account: str, region: str, native_id: str) -> Sequence[Mapping[str, Any]]:
        """One snapshot as its region shows it now. NotFound."""
        client = self._accounts.client("rds", account, region)
        vault, operation = native_vault_name(account, region), f"rds Describe{self.nouns.snapshot}s"
        with mapped(operation, resource=native_id, vault=vault):
            reply = self._describe(client, native_id)
        shown: Sequence[Mapping[str, Any]] = reply.get(f"{self.nouns.snapshot}s", ())
        return shown

    def _manual(self, account: str, region: str) -> Iterator[NativeSnapshot]:
        noun = f"{self.nouns.snapshot}s"
        for page in self._pages(account, region, self.listing, noun, SnapshotType="manual"):
            with legible(f"rds Describe{noun}", native_vault_name(account, region)):
                found = [self._snapshot(entry, account, region) for entry in page]
            yield from found

    def _pages(
        self, account: str, region: str, method: str, items: str, **request: Any
    ) -> Iterator[Sequence[dict[str, Any]]]:
        """Every page of one listing there. Unavailable for one that says nothing."""
        client, vault = self._accounts.client("rds", account, region), native_vault_name(account, region)
        return pages(client, method, items, size=RECORDS_PER_PAGE, vault=vault, **request)

    def _copyable(self, order: CopyOrder, operation: str) -> Mapping[str, Any]:
        """The source as its region shows it, with its ARN, which holds the account's digits and the partition.

        NotFound when the snapshot is gone, Unavailable while it is not yet `available`: RDS refuses to copy it then.
        """
        source, vault = order.snapshot.native_id, native_vault_name(order.from_account, order.from_region)
        found = next(iter(self._shown(order.from_account, order.from_region, source)), None)
        if found is None or found.get("Status") != "available":
            raise Unavailable(
                "the snapshot cannot be copied yet",
                operation=operation,
                resource=source,
                vault=vault,
                cause=f"status {found.get('Status') if found else 'not told'}",
            )
        with legible(f"rds Describe{self.nouns.snapshot}s", vault):
            return {**found, f"{self.nouns.snapshot}Arn": str(found[f"{self.nouns.snapshot}Arn"])}

    def _identifier_of(self, options: object) -> str:
        if not isinstance(options, self.options):
            raise TypeError(f"{self.kind} takes its own options, not {type(options).__name__}")
        return options.identifier


def shown_snapshot(
    entry: Mapping[str, Any],
    nouns: Nouns,
    account: str,
    region: str,
    *,
    encrypted: bool,
    started: datetime | None,
    origin: datetime | None = None,
) -> NativeSnapshot:
    """What both kinds of snapshot say in the same words. KeyError for an entry without an identifier."""
    status = entry.get("Status") or "creating"
    return NativeSnapshot(
        native_id=entry[f"{nouns.snapshot}Identifier"],
        account=account,
        region=region,
        service=ManualSnapshots.service,
        state=_STATES.get(status, "failed"),
        tags=tag_map(entry.get("TagList")),
        source_id=entry.get(f"{nouns.source}Identifier", ""),
        started=started,
        bytes=(entry.get("AllocatedStorage") or 0) * GIB,
        encrypted=encrypted,
        kms_key=entry.get("KmsKeyId", ""),
        progress=entry.get("PercentProgress") or 0,
        why="" if status in _STATES else f"status {status}",
        origin=origin,
    )


def people_tags(entry: Mapping[str, Any]) -> dict[str, str]:
    """A source's tags but those of AWS itself."""
    return {key: value for key, value in tag_map(entry.get("TagList")).items() if not key.lower().startswith("aws:")}


_OURS = "drorch-"


def _identifier(point: str) -> str:
    return f"{_OURS}{point}"


def _is_copy(entry: Mapping[str, Any], noun: str) -> bool:
    """Of instances RDS names the source's identifier, of clusters its ARN (RDS API, DBSnapshot, DBClusterSnapshot)."""
    named = entry.get(f"Source{noun}Identifier") or entry.get(f"Source{noun}Arn")
    return bool(named) or entry.get("Status") == "copying"


def _origin_region(entry: Mapping[str, Any], noun: str) -> str:
    told = entry.get("SourceRegion")
    parts = str(entry.get(f"Source{noun}Arn") or "").split(":")
    return str(told) if told else (parts[3] if len(parts) > 3 else "")
