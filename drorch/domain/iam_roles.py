"""Which rights a role of an account gets: what adapters declare, narrowed to what a site uses and what bears its tag.

Actions are told apart by their verbs, so that a kind that declares more gets it in the right form: listings, what makes
something, what ends something, and what changes what is drorch's own. Resources and condition keys:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html and list_amazonrds.html;
tags in the creating call: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/supported-iam-actions-tagging.html;
keys: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from drorch.domain.catalogue_native import TAG_SITE
from drorch.domain.iam import Conditions, Statement
from drorch.domain.iam_ec2_restored import restored_in_ec2
from drorch.domain.iam_isolation import CREATING as ISOLATING
from drorch.domain.iam_isolation import isolating
from drorch.domain.iam_rds_restored import restored_in_rds
from drorch.domain.iam_runbook import RunbookUse, runbook_statements

ROLES = ("backup", "vault", "restore")
MOST_NAMED = 50
"""Databases that are named one by one in a statement; more of them become all of the region."""

_READING = ("Describe", "List", "Get")
_ENDING = ("Delete", "Deregister")
_COPYING = "Copy"
_SHARING = ("Modify", "Attribute")
_TAGGING = frozenset({"ec2:CreateTags", "rds:AddTagsToResource"})
_GRANTING = "kms:CreateGrant"
_NEVER = ("s3:BypassGovernance*", "s3:PutLifecycleConfiguration", "ec2:Unlock*", "kms:Disable*", "kms:Schedule*")
"""Denied, so that no other policy of the role gives it: what takes a lock off, what deletes by a rule, what makes keys
useless.
"""


@dataclass(frozen=True, slots=True)
class Declared:
    """What one adapter declares beside its code. `behalf` is what AWS does with keys in the caller's name, `restore`
    what brings a native copy back.
    """

    permissions: tuple[str, ...]
    behalf: tuple[str, ...] = ()
    restore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NativeUse:
    """What one kind of snapshot does in one account.

    `homes` maps the regions where sources live to their names ("*" where they are chosen otherwise), `copies` the
    regions that copies go into to the KMS keys named for them; `from_homes` are the (account id, region) pairs that
    these copies come from, `shared_with` the ids of the accounts that copies of what is cut there go to.
    """

    service: str
    declared: Declared
    homes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    copies: Mapping[str, frozenset[str]] = field(default_factory=dict)
    from_homes: frozenset[tuple[str, str]] = frozenset()
    shared_with: frozenset[str] = frozenset()
    drilled: bool = False
    """Whether copies there are brought back in drills, by who makes them."""

    @property
    def regions(self) -> frozenset[str]:
        """Every region that it works in."""
        return frozenset({*self.homes, *self.copies})


@dataclass(frozen=True, slots=True)
class BucketUse:
    """One bucket at AWS; `reading`, `writing` and `letting_go` are the actions that it needs."""

    bucket: str
    region: str
    prefix: str
    reading: tuple[str, ...]
    writing: tuple[str, ...]
    letting_go: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AccountUse:
    """What a site does in one account. `assumed` are the roles of other accounts that its credentials take on.

    `role_arn` is the role that is taken on there, with `external_id`, by credentials of the accounts `trusts`; all ""
    and empty where the credentials are the host's own.
    """

    account: str
    id: str
    site: str
    native: tuple[NativeUse, ...] = ()
    buckets: tuple[BucketUse, ...] = ()
    assumed: tuple[str, ...] = ()
    asking: tuple[str, ...] = ()
    """Listings that no cut and no copy needs: of `drorch doctor`, `drorch unprotected` and `drorch status`."""
    role_arn: str = ""
    external_id: str = ""
    trusts: frozenset[str] = frozenset()
    runbooks: RunbookUse = field(default_factory=RunbookUse)

    @property
    def is_home(self) -> bool:
        """Whether sources live there."""
        return any(use.homes for use in self.native)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that make sense there: `vault` where no sources live."""
        first = "backup" if self.is_home or (self.assumed and not self.buckets) else "vault"
        return tuple(role for role in (first, "restore") if statements(self, role))


def statements(use: AccountUse, role: str) -> tuple[Statement, ...]:
    """The statements of one of `ROLES` in the account; none where it has nothing to do there.

    `backup` cuts, copies and writes, `vault` writes into the buckets of the account and takes the copies of others,
    `restore` reads and brings back. None can take a lock off; what is ended bears the site's tag, or lies in a bucket.
    """
    if role == "restore":
        found = [*_restoring(use), *runbook_statements(use.runbooks, use.id, partition)]
        found += _of_buckets(use, writes=False)
    elif role == "vault":
        taken = [use_ for use_ in use.native if use_.from_homes]
        found = [*_working(use, taken), *_of_buckets(use, writes=True), *_assuming(use)]
    else:
        found = [*_working(use, use.native), *_of_buckets(use, writes=True), *_assuming(use)]
    if not found:
        return ()
    return (Statement("Never", _NEVER, ("*",), effect="Deny"), *found)


def partition(region: str) -> str:
    """The partition in the ARNs of a region (AWS general reference, "Amazon Resource Names")."""
    known = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "us-iso-": "aws-iso", "us-isob-": "aws-iso-b"}
    return next((name for start, name in known.items() if region.startswith(start)), "aws")


# --- native copies -------------------------------------------------------------------------------------------------


def _working(use: AccountUse, native: Sequence[NativeUse]) -> Iterator[Statement]:
    if not native:
        return
    drilled = [one for one in native if one.drilled]
    yield _looking(native, dict.fromkeys([*_declared(native), *use.asking, *_wanted(drilled)]))
    yield from _bringing_back(use, drilled)
    for service, of in (("ec2", _of_ec2), ("rds", _of_rds)):
        mine = [one for one in native if one.service == service]
        if mine:
            yield from of(use, mine)
    yield from _of_keys(use, native)


def _looking(native: Sequence[NativeUse], actions: Iterable[str]) -> Statement:
    """Listings know no resources: they are bounded by the regions alone."""
    regions = sorted({region for one in native for region in one.regions} | {region for _, region in _sources(native)})
    kept = tuple(action for action in actions if _verb(action) in _READING and not action.startswith(("kms:", "iam:")))
    return Statement("Look", kept, ("*",), {"StringEquals": {"aws:RequestedRegion": regions}})


def _of_ec2(use: AccountUse, native: Sequence[NativeUse]) -> Iterator[Statement]:
    actions = _sorted_out(_declared(native, "ec2:"))
    kinds = ["snapshot", *(["image"] if any("Image" in action for action in actions.making) else [])]
    regions = sorted({region for one in native for region in one.regions})
    own = tuple(f"arn:{partition(region)}:ec2:{region}::{kind}/*" for region in regions for kind in kinds)
    homes = sorted({region for one in native for region in one.homes})
    foreign = sorted({owner for owner, _ in _sources(native)})
    if homes:
        sources = tuple(
            f"arn:{partition(region)}:ec2:{region}:{use.id}:{kind}/*"
            for region in homes
            for kind in ("volume", "instance")
        )
        cutting = tuple(action for action in actions.making if _verb(action) != _COPYING)
        yield Statement("CutEc2From", cutting, sources)
    else:
        actions = _Actions(tuple(a for a in actions.making if _verb(a) == _COPYING), *actions.rest)
    yield Statement("MakeEc2", actions.making, own, {"StringEquals": {f"aws:RequestTag/{TAG_SITE}": use.site}})
    copying = tuple(action for action in actions.making if _verb(action) == _COPYING)
    origins = {region for _, region in _sources(native)} | set(regions)
    copied = tuple(f"arn:{partition(r)}:ec2:{r}::{kind}/*" for r in sorted(origins) for kind in kinds)
    yield from _if_any("CopyEc2", copying, copied, _bearing(use))
    if foreign:  # tags that another account gave are not seen
        shared = tuple(
            f"arn:{partition(r)}:ec2:{r}::{kind}/*" for r in sorted({r for _, r in _sources(native)}) for kind in kinds
        )
        yield from _if_any("CopySharedEc2", copying, shared, {"StringEquals": {"ec2:Owner": foreign}})
    yield from _sharing_ec2(use, native, actions.sharing)
    creating = [action.partition(":")[2] for action in actions.making]
    yield from _if_any("TagEc2", actions.tagging, own, {"StringEquals": {"ec2:CreateAction": creating}})
    yield from _if_any("ChangeEc2", actions.changing, own, _bearing(use))
    yield from _if_any("LetGoEc2", actions.ending, own, _bearing(use))


def _sharing_ec2(use: AccountUse, native: Sequence[NativeUse], sharing: tuple[str, ...]) -> Iterator[Statement]:
    """Its own snapshots, with the accounts that copy them and never with everybody."""
    crossing = [one for one in native if one.shared_with]
    accounts = sorted({account for one in crossing for account in one.shared_with})
    cut = sorted({region for one in crossing for region in one.homes})
    conditions: Conditions = {
        **_bearing(use),
        "StringEqualsIfExists": {"ec2:Add/userId": accounts, "ec2:Remove/userId": accounts},
        "Null": {"ec2:Add/group": "true"},
    }
    kinds = ("snapshot", "image") if any("Image" in action for action in sharing) else ("snapshot",)
    own = tuple(f"arn:{partition(region)}:ec2:{region}::{kind}/*" for region in cut for kind in kinds)
    yield from _if_any("ShareEc2", sharing, own, conditions)


def _of_rds(use: AccountUse, native: Sequence[NativeUse]) -> Iterator[Statement]:
    """RDS tells snapshots apart by their names, which drorch chooses."""
    actions = _sorted_out(_declared(native, "rds:"))
    regions = sorted({region for one in native for region in one.regions})
    kinds = [kind for word, kind in _RDS_KINDS if any(word in action for action in actions.making)]
    own = tuple(f"{_rds(region, use.id)}:{kind}:drorch-*" for region in regions for kind in kinds)
    sources = tuple(_databases(use, native))
    cutting = tuple(action for action in actions.making if _verb(action) != _COPYING)
    copying = tuple(action for action in actions.making if _verb(action) == _COPYING)
    if sources:
        yield from _if_any("CutRds", cutting, (*sources, *own))
    origins = tuple(
        f"{_rds(region, owner)}:{kind}:drorch-*" for owner, region in sorted(_sources(native)) for kind in kinds
    )
    yield from _if_any("CopyRds", copying, (*own, *origins))
    crossing = sorted({region for one in native if one.shared_with for region in one.homes})
    cut = tuple(f"{_rds(region, use.id)}:{kind}:drorch-*" for region in crossing for kind in kinds)
    yield from _if_any("ShareRds", actions.sharing, cut, _bearing(use))  # no key tells with whom
    # No key of a creating call is known here: what bears another site's tag is left alone.
    others = {"StringEqualsIfExists": {f"aws:ResourceTag/{TAG_SITE}": use.site}}
    yield from _if_any("TagRds", actions.tagging, own, others)
    yield from _if_any("ChangeRds", actions.changing, own, _bearing(use))
    yield from _if_any("LetGoRds", actions.ending, own, _bearing(use))


_RDS_KINDS = (("DBSnapshot", "snapshot"), ("DBClusterSnapshot", "cluster-snapshot"))
_RDS_SOURCES = {"snapshot": "db", "cluster-snapshot": "cluster"}


def _databases(use: AccountUse, native: Sequence[NativeUse]) -> Iterator[str]:
    for one in native:
        of = [_RDS_SOURCES[kind] for word, kind in _RDS_KINDS if any(word in a for a in one.declared.permissions)]
        for region, names in sorted(one.homes.items()):
            for name in sorted(names) if len(names) <= MOST_NAMED else ["*"]:
                yield from (f"{_rds(region, use.id)}:{source}:{name}" for source in of)


def _rds(region: str, account: str) -> str:
    return f"arn:{partition(region)}:rds:{region}:{account}"


def _of_keys(use: AccountUse, native: Sequence[NativeUse]) -> Iterator[Statement]:
    """The keys that copies are encrypted with, and those of the sources, used by EC2 and RDS in the caller's name."""
    named = {(region, key) for one in native for region, keys in one.copies.items() for key in keys}
    regions = sorted({region for one in native for region in one.regions})
    own = tuple(f"arn:{partition(region)}:kms:{region}:{use.id}:key/*" for region in regions)
    looking = tuple(action for action in _declared(native, "kms:") if _verb(action) in _READING)
    yield from _if_any("LookAtKeys", looking, own)  # copies bear keys that no policy names any more
    if not named:
        return
    asking = tuple(action for action in _declared(native, "kms:") if action not in looking)
    behalf = tuple(dict.fromkeys(action for one in native for action in one.declared.behalf))
    services = sorted({f"{one.service}.{region}.amazonaws.com" for one in native for region in one.regions})
    homes = {(use.id, region) for one in native for region in one.homes} | _sources(native)
    anywhere = tuple(f"arn:{partition(r)}:kms:{r}:{owner}:key/*" for owner, r in sorted(homes))
    for sid, keys, narrowed in _keys(use, named):
        yield from _if_any(f"AskKey{sid}", asking, keys, narrowed)
        yield from _using(f"{sid}", behalf, keys, narrowed, services)
    yield from _using("OfSources", behalf, anywhere, {}, services)


def _keys(use: AccountUse, named: Iterable[tuple[str, str]]) -> Iterator[tuple[str, tuple[str, ...], Conditions]]:
    """Keys by their ids as resources; those by an alias as all that bear it: an alias is no resource of these calls."""
    ids, aliases, regions = set(), set(), set()
    for region, key in named:
        text = key.rpartition(":")[2]
        if text.startswith("alias/"):
            aliases.add(text)
            regions.add(region)
        else:
            ids.add(key if key.startswith("arn:") else f"arn:{partition(region)}:kms:{region}:{use.id}:key/{key}")
    if ids:
        yield "ById", tuple(ids), {}
    if aliases:
        resources = tuple(f"arn:{partition(region)}:kms:{region}:{use.id}:key/*" for region in regions)
        yield "ByAlias", resources, {"ForAnyValue:StringEquals": {"kms:ResourceAliases": sorted(aliases)}}


def _using(
    sid: str, behalf: Sequence[str], keys: tuple[str, ...], narrowed: Conditions, services: Sequence[str]
) -> Iterator[Statement]:
    via: Conditions = {**narrowed, "StringEquals": {"kms:ViaService": services}}
    yield from _if_any(f"UseKey{sid}", tuple(a for a in behalf if a != _GRANTING), keys, via)
    granting = {**via, "Bool": {"kms:GrantIsForAWSResource": "true"}}
    yield from _if_any(f"GrantKey{sid}", tuple(a for a in behalf if a == _GRANTING), keys, granting)


def _restoring(use: AccountUse) -> Iterator[Statement]:
    """Looking, making new resources out of what bears the site's tag, letting go what a drill made. Nothing else that
    is there can be changed.
    """
    if not use.native:
        return
    yield _looking(use.native, dict.fromkeys([*_declared(use.native), *_wanted(use.native), *use.asking]))
    yield from _bringing_back(use, use.native)
    yield from _of_keys(use, use.native)


def _wanted(native: Sequence[NativeUse]) -> dict[str, None]:
    """What brings copies of these kinds back."""
    return dict.fromkeys(action for one in native for action in one.declared.restore)


def _bringing_back(use: AccountUse, native: Sequence[NativeUse]) -> Iterator[Statement]:
    wanted = _wanted(native)
    for service, of in (("ec2", _restored_ec2), ("rds", _restored_databases)):
        regions = sorted({region for one in native if one.service == service for region in one.regions})
        actions = [action for action in wanted if action.startswith(f"{service}:") and _verb(action) not in _READING]
        if actions:
            yield from of(use, actions, regions)
    isolated = sorted({r for one in native if ISOLATING in one.declared.restore for r in one.regions})
    yield from isolating([f"arn:{partition(region)}:ec2:{region}:{use.id}:" for region in isolated])
    profiles = (f"arn:{partition(region)}:iam::{use.id}:instance-profile/*" for one in native for region in one.regions)
    yield from _if_any("LookAtProfiles", tuple(a for a in wanted if a.startswith("iam:")), tuple(sorted(set(profiles))))


def _restored_ec2(use: AccountUse, actions: Sequence[str], regions: Sequence[str]) -> Iterator[Statement]:
    mine = [f"arn:{partition(region)}:ec2:{region}:{use.id}:" for region in regions]
    copies = [f"arn:{partition(region)}:ec2:{region}::" for region in regions]
    yield from restored_in_ec2(actions, mine, copies, _bearing(use))


def _restored_databases(use: AccountUse, actions: Sequence[str], regions: Sequence[str]) -> Iterator[Statement]:
    yield from restored_in_rds(actions, [_rds(region, use.id) for region in regions])


# --- buckets and roles ---------------------------------------------------------------------------------------------


def _of_buckets(use: AccountUse, *, writes: bool) -> Iterator[Statement]:
    for number, bucket in enumerate(use.buckets, 1):
        arn = f"arn:{partition(bucket.region)}:s3:::{bucket.bucket}"
        objects = (f"{arn}/{bucket.prefix}/*" if bucket.prefix else f"{arn}/*",)
        parts = [("Read", bucket.reading)]
        if writes:
            parts += [("Write", bucket.writing), ("LetGo", bucket.letting_go)]
        for sid, actions in parts:
            whole = tuple(action for action in actions if "Bucket" in action)
            yield from _if_any(f"{sid}Bucket{number}", whole, (arn,))
            yield from _if_any(f"{sid}Objects{number}", tuple(a for a in actions if a not in whole), objects)


def _assuming(use: AccountUse) -> Iterator[Statement]:
    yield from _if_any("Assume", ("sts:AssumeRole",) if use.assumed else (), use.assumed)


def purposes(actions: Iterable[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(what for, actions) of what a kind declares, for people; purposes without actions are left out."""
    given = tuple(dict.fromkeys(actions))
    sorted_out = _sorted_out(action for action in given if not action.startswith("kms:"))
    found = (
        ("looking", tuple(action for action in given if _verb(action) in _READING)),
        ("whether a key may be used, by a dry run", tuple(action for action in given if _verb(action) == "Generate")),
        ("points and copies", sorted_out.making),
        ("tags in the creating call", sorted_out.tagging),
        ("sharing with another account while that one copies", sorted_out.sharing),
        ("changing its own copies", sorted_out.changing),
        ("*lets go*", sorted_out.ending),
    )
    return tuple((purpose, names) for purpose, names in found if names)


# --- actions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Actions:
    making: tuple[str, ...]
    tagging: tuple[str, ...]
    ending: tuple[str, ...]
    changing: tuple[str, ...]
    sharing: tuple[str, ...]

    @property
    def rest(self) -> tuple[tuple[str, ...], ...]:
        """All but what makes something."""
        return self.tagging, self.ending, self.changing, self.sharing


def _sorted_out(actions: Iterable[str]) -> _Actions:
    """All but the listings, by what they do."""
    found = {sort: [] for sort in ("making", "tagging", "ending", "changing", "sharing")}  # type: dict[str, list[str]]
    for action in dict.fromkeys(actions):
        verb = _verb(action)
        if action in _TAGGING:
            found["tagging"].append(action)
        elif verb in ("Create", _COPYING):
            found["making"].append(action)
        elif verb in _ENDING:
            found["ending"].append(action)
        elif verb == _SHARING[0] and action.endswith(_SHARING[1]):
            found["sharing"].append(action)
        elif verb not in _READING:
            found["changing"].append(action)
    return _Actions(**{sort: tuple(names) for sort, names in found.items()})


def _verb(action: str) -> str:
    """``Copy`` of ``ec2:CopySnapshot``."""
    name = action.partition(":")[2]
    end = next((i for i, letter in enumerate(name) if i and letter.isupper()), len(name))
    return name[:end]


def _declared(native: Sequence[NativeUse], prefix: str = "") -> list[str]:
    found = (action for one in native for action in one.declared.permissions if action.startswith(prefix))
    return list(dict.fromkeys(found))


def _sources(native: Sequence[NativeUse]) -> set[tuple[str, str]]:
    return {origin for one in native for origin in one.from_homes}


def _bearing(use: AccountUse) -> Conditions:
    return {"StringEquals": {f"aws:ResourceTag/{TAG_SITE}": use.site}}


def _if_any(
    sid: str, actions: tuple[str, ...], resources: tuple[str, ...], conditions: Conditions | None = None
) -> Iterator[Statement]:
    if actions and resources:
        yield Statement(sid, actions, resources, conditions or {})
