"""What `drorch doctor` asks of AWS: callers, rights, keys, quotas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice

from drorch.app.doctor import Answer, Check, Verdict, ok
from drorch.aws import asking
from drorch.aws.errors import code_of
from drorch.domain.errors import DrorchError, Refused, Unavailable
from drorch.domain.iam_roles import Declared, purposes
from drorch.domain.kms import DEFAULT_OF_AWS
from drorch.domain.model import native_vault_name
from drorch.domain.native import SnapshotRoom, Source
from drorch.domain.policy import Policy, ResourcePolicy, VaultRule
from drorch.domain.snapshot_quota import MOST, counted
from drorch.ports import CountsSnapshots, TellsLocks
from drorch.wiring import adapters
from drorch.wiring.host import Host
from drorch.wiring.rights import copy_places, native_resources

DENIED = "UnauthorizedOperation"
"""EC2's code for a dry run that would not be allowed (EC2 API, DryRun)."""
MAY_USE = "copies work all the same where its policy lets EC2 and RDS use it for drorch; drorch iam prints the rights"
NEARLY = 0.8
"""Of a quota: from here on it is a warning."""


def identity(host: Host, account: str, regions: Sequence[str]) -> Answer:
    """Whose credentials these are, by the first of `regions` whose STS answers. Refused when there are none.

    Raises Unavailable, that of the last region, when none answers.
    """
    *others, last = regions
    for region in others:
        with suppress(Unavailable):
            return _identity(host, account, region)
    return _identity(host, account, last)


def _identity(host: Host, account: str, region: str) -> Answer:
    digits, arn = asking.caller(host.accounts, account, region)
    wanted = host.config.aws.accounts[account].id
    if wanted and digits != wanted:
        return Answer(
            Verdict.FAILED, f"the credentials belong to account {digits}, not to {wanted}", "see aws.accounts"
        )
    return ok(arn or digits)


# --- rights --------------------------------------------------------------------------------------------------------


def rights(host: Host, policies: Sequence[Policy]) -> Iterator[Check]:
    """One for each kind, account and region."""
    for (kind, account, region), uses in _places(policies):
        subject = f"{kind} {native_vault_name(account, region)}"
        yield Check("rights", subject, partial(_rights, host, kind, account, region, uses))


def _places(policies: Sequence[Policy]) -> list[tuple[tuple[str, str, str], list[tuple[ResourcePolicy, VaultRule]]]]:
    """(kind, account, region) and which resources have which copies there, in that order."""
    places: dict[tuple[str, str, str], list[tuple[ResourcePolicy, VaultRule]]] = defaultdict(list)
    for _, resource in native_resources(policies):
        for rule, account, region in copy_places(resource):
            places[resource.kind, account, region].append((resource, rule))
    return sorted(places.items(), key=lambda item: item[0])


def _rights(
    host: Host, kind: str, account: str, region: str, uses: Sequence[tuple[ResourcePolicy, VaultRule]]
) -> Answer:
    """Listings are made; what makes something is asked by a dry run where EC2 offers one; what ends it is not asked."""
    declared = adapters.declared_of(kind, locking=any(rule.lock is not None for _, rule in uses))
    sample = _sample(host, kind, account, region, uses)
    cutting, copying = any(rule.home for _, rule in uses), any(not rule.home for _, rule in uses)
    allowed: list[str] = []
    denied: list[str] = []
    unasked: list[str] = []
    lacking: list[str] = []
    unclear: list[str] = []
    for action in _making(declared):
        if not (copying if ":Copy" in action else cutting):
            continue
        try:
            answer = asking.dry_run(host.accounts, account, region, action, sample)
        except DrorchError as error:
            (denied if code_of(error) == DENIED else unclear).append(action)
        else:
            (allowed if answer else lacking if action in asking.DRY else unasked).append(action)
    ending = [a for purpose, names in purposes(declared.permissions) if purpose in _FOR_GOOD for a in names]
    parts = ["listed"]
    for words, actions in (
        ("denied", denied),
        ("by dry run", allowed),
        ("unclear", unclear),
        ("nothing there to ask with", lacking),
    ):
        parts += [f"{words}: {', '.join(actions)}"] if actions else []
    parts.append(f"not asked, for that would do it: {', '.join([*unasked, *ending])}")
    verdict = Verdict.FAILED if denied else Verdict.WARNING if unclear else Verdict.OK
    return Answer(verdict, "; ".join(parts), "drorch iam prints the policy" if denied else "")


_FOR_GOOD = ("changing its own copies", "*lets go*")


def _making(declared: Declared) -> list[str]:
    return [action for what, names in purposes(declared.permissions) if what == "points and copies" for action in names]


def _sample(
    host: Host, kind: str, account: str, region: str, uses: Sequence[tuple[ResourcePolicy, VaultRule]]
) -> asking.Sample:
    """Makes the listings that the rights to look are asked by."""
    of, site = host.kinds[kind], host.config.site
    next(iter(of.snapshots(account, region, site)), None)
    if isinstance(of, TellsLocks):
        of.locks(account, region)
    found: list[Source] = []
    if any(rule.home for _, rule in uses):
        options = [resource.options for resource, rule in uses if rule.home]
        found = list(islice(of.sources(account, region, options), 100))
    home = next((resource.home for resource, rule in uses if not rule.home), None)
    snapshot = None
    if home is not None:
        snapshot = next((s for s in of.snapshots(home.account, home.region, site) if s.state == "usable"), None)
    return asking.Sample(
        site=site,
        volume=found[0].source_id if found else "",
        instance=next((source.instance for source in found if source.instance), ""),
        snapshot=snapshot.native_id if snapshot is not None else "",
        source_region=home.region if home is not None else "",
    )


# --- keys ----------------------------------------------------------------------------------------------------------


def keys(host: Host, policies: Sequence[Policy], without: str = "") -> Iterator[Check]:
    """One for each key that copies are encrypted with, in regions other than `without`."""
    named: dict[tuple[str, str, str], tuple[str, bool]] = {}
    for _, resource in native_resources(policies):
        for rule, account, region in copy_places(resource):
            if rule.kms_key and region != without:
                crosses = named.get((account, region, rule.kms_key), ("", False))[1] or account != resource.home.account
                named[account, region, rule.kms_key] = resource.kind, crosses
    for (account, region, key), (kind, crosses) in sorted(named.items()):
        subject = f"{key} {native_vault_name(account, region)}"
        yield Check("key", subject, partial(_key, host, kind, account, region, key, crosses))


def _key(host: Host, kind: str, account: str, region: str, key: str, crosses: bool) -> Answer:
    """Raises as `check_key` does."""
    host.kinds[kind].check_key(account, region, key)
    keys = adapters.build_kms_keys(host.accounts)
    if keys.describe(account, region, key).manager == DEFAULT_OF_AWS:
        if crosses:
            hint = "make a key of your own there: AWS's default key cannot be shared"
            return Answer(Verdict.FAILED, "the default key of AWS, and the copy crosses accounts", hint)
        return ok("enabled, symmetric; the default key of AWS, which cannot be shared with another account")
    try:
        keys.require_use(account, region, key)
    except Refused as error:
        return Answer(Verdict.WARNING, f"enabled, symmetric; a dry run of its use is refused: {error.cause}", MAY_USE)
    return ok("enabled, symmetric, and drorch may use it")


# --- quotas --------------------------------------------------------------------------------------------------------


def quotas(host: Host, policies: Sequence[Policy], only: frozenset[str] | None = None) -> Iterator[Check]:
    """One for each kind, account and region: what the policies will hold there. `only` narrows the regions."""
    for (kind, account, region), uses in _places(policies):
        if only is None or region in only:
            subject = f"{kind} {native_vault_name(account, region)}"
            yield Check("quota", subject, partial(_quota, host, kind, account, region, uses))


def _quota(
    host: Host, kind: str, account: str, region: str, uses: Sequence[tuple[ResourcePolicy, VaultRule]]
) -> Answer:
    service = adapters.service_of(kind)
    wanted = asking.QUOTAS.get(kind) or asking.QUOTAS[service]
    counts = [(counted(resource, rule, host.config.grace), _members(host, resource)) for resource, rule in uses]
    ours = sum(sum(points) * members for points, members in counts)
    bound = "at least" if any(MOST in points for points, _ in counts) else "at most"
    others, (allowed, told) = 0, asking.quota(host.accounts, account, region, wanted)
    room = _room(host, kind, account, region)
    if room is not None:
        own = sum(1 for _ in host.kinds[kind].snapshots(account, region, host.config.site))
        others, allowed, told = max(room.used - own, 0), room.most, True
    return of_quota(ours + others, allowed, told, f"{wanted.name}: {bound} {ours} of ours", others)


def _room(host: Host, kind: str, account: str, region: str) -> SnapshotRoom | None:
    """Everybody's, and the quota in force, where the service itself tells."""
    of = host.kinds[kind]
    if isinstance(of, CountsSnapshots):
        with suppress(DrorchError):
            return of.snapshot_rooms(account, region).get(kind)
    return None


def _members(host: Host, resource: ResourcePolicy) -> int:
    """How many snapshots one point of the resource is, as its sources are now."""
    of, home = host.kinds[resource.kind], resource.home
    return max(len(of.select(resource.options, tuple(of.sources(home.account, home.region, [resource.options])))), 1)


def of_quota(needed: int, allowed: int, told: bool, words: str, others: int = 0) -> Answer:
    """What is needed against what is allowed; `told` says that Service Quotas said so."""
    said = f"{words}{f' and {others} of others' if others else ''}, {allowed} allowed"
    said += "" if told else " (AWS's default; Service Quotas did not say)"
    if needed > allowed:
        return Answer(Verdict.FAILED, said, "keep fewer, or ask AWS for a higher quota")
    return (
        Answer(Verdict.WARNING, said, "ask AWS for a higher quota in time") if needed > NEARLY * allowed else ok(said)
    )
