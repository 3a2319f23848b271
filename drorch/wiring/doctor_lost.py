"""What `drorch doctor --lose region:R` asks: whether the regions that copies lie in are ready to take over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from drorch.app.doctor import Answer, Check, Verdict, ok
from drorch.aws import asking
from drorch.domain.errors import Usage
from drorch.domain.loss import parse_loss
from drorch.domain.model import FailureLevel, native_vault_name, survives
from drorch.domain.policy import Policy, ResourcePolicy
from drorch.wiring import doctor_aws
from drorch.wiring.host import Host
from drorch.wiring.rights import copy_places, native_resources

SHAPE = "region:NAME, such as region:us-east-1"


def lost_region(text: str, policies: Sequence[Policy]) -> str:
    """The region of a ``--lose``. Usage for another form, and for a region in which nothing lives."""
    loss = parse_loss(text)
    if loss.level is not FailureLevel.REGION or not loss.name:
        raise Usage(f"{text!r} cannot be lost here", hint=SHAPE)
    region = loss.name
    homes = sorted({resource.home.region for policy in policies for resource in policy.resources})
    if region not in homes:
        raise Usage(f"nothing of these policies lives in {region}", hint=f"they live in {', '.join(homes) or 'none'}")
    return region


def checks(host: Host, policies: Sequence[Policy], region: str) -> list[Check]:
    """For every resource that lives in the lost region: where it comes back, and whether that place is ready."""
    hit = [
        policy.model_copy(update={"resources": tuple(r for r in policy.resources if r.home.region == region)})
        for policy in policies
    ]
    targets = {
        (account, place)
        for _, resource in native_resources(hit)
        for _, account, place in copy_places(resource)
        if place != region
    }
    return [
        *_left(host, hit),
        *(_sts(host, account, place) for account, place in sorted(targets)),
        *doctor_aws.keys(host, hit, without=region),
        *doctor_aws.quotas(host, hit, only=frozenset(place for _, place in targets)),
        *_instances(host, hit, region),
        *_settings(host, hit, region),
    ]


def _left(host: Host, policies: Sequence[Policy]) -> Iterator[Check]:
    for policy in policies:
        for resource in policy.resources:
            yield Check("left", f"{policy.application}/{resource.name}", partial(_what_is_left, host, resource))


def _what_is_left(host: Host, resource: ResourcePolicy) -> Answer:
    """Which of its vaults the loss of the region leaves, by the policy alone."""
    if resource.native:
        left = sorted(
            native_vault_name(account, region)
            for _, account, region in copy_places(resource)
            if region != resource.home.region
        )
    else:
        domains = {rule.vault: host.vaults[rule.vault].domain for rule in resource.targets if rule.vault in host.vaults}
        left = sorted(v for v, domain in domains.items() if survives(FailureLevel.REGION, resource.home, domain))
    if left:
        return ok(f"copies go to {', '.join(left)}")
    if why := resource.exempt.get(FailureLevel.REGION):
        return ok(f"nothing is left, and that is meant: {why}")
    return Answer(Verdict.FAILED, "no copy of it goes outside the region", "copies: [{region: ...}], or another vault")


def _sts(host: Host, account: str, region: str) -> Check:
    """A role must be assumable by the target's own STS: the global endpoint lies in one region."""
    subject = native_vault_name(account, region)
    return Check("account", f"STS of {subject}", partial(doctor_aws.identity, host, account, (region,)))


# --- databases -----------------------------------------------------------------------------------------------------


def _databases(policies: Sequence[Policy], region: str) -> Iterator[tuple[str, ResourcePolicy, str, str]]:
    """(subject, resource, account, target region) of every instance and region that it is copied to."""
    for policy, resource in native_resources(policies):
        if resource.kind != "rds-instance":
            continue
        for _, account, place in copy_places(resource):
            if place != region:
                yield f"{policy.application}/{resource.name} in {place}", resource, account, place


def _instances(host: Host, policies: Sequence[Policy], region: str) -> Iterator[Check]:
    needed: dict[tuple[str, str], int] = defaultdict(int)
    for _, _, account, place in _databases(policies, region):
        needed[account, place] += 1
    for (account, place), count in sorted(needed.items()):
        ask = partial(_room, host, account, place, count)
        yield Check("quota", f"instances {native_vault_name(account, place)}", ask)


def _room(host: Host, account: str, region: str, needed: int) -> Answer:
    there = asking.instances(host.accounts, account, region)
    allowed, told = asking.quota(host.accounts, account, region, asking.QUOTAS["instances"])
    return doctor_aws.of_quota(there + needed, allowed, told, f"database instances: {needed} to restore, {there} there")


def _settings(host: Host, policies: Sequence[Policy], region: str) -> Iterator[Check]:
    for subject, resource, account, place in _databases(policies, region):
        yield Check("restore", subject, partial(_restorable, host, resource, account, place))


def _restorable(host: Host, resource: ResourcePolicy, account: str, region: str) -> Answer:
    """What a restore there would miss that the instance has now. Unavailable where its home does not answer."""
    kind, home = host.kinds[resource.kind], resource.home
    listed = tuple(kind.sources(home.account, home.region, [resource.options]))
    found = kind.select(resource.options, listed)
    if not found:
        return Answer(Verdict.UNKNOWN, "the instance is not there: its class and its groups are not known")
    settings = found[0].settings
    missing = _missing_groups(host, settings, account, region)
    engine, version, size = (str(settings.get(name, "")) for name in ("engine", "engine_version", "class"))
    if size and engine and not asking.offered(host.accounts, account, region, engine, version, size):
        return Answer(
            Verdict.FAILED,
            f"{size} with {engine} {version} is not offered there" + "".join(f"; no {what}" for what in missing),
            "choose a class that is, and write it into the runbook",
        )
    if missing:
        said = "; ".join(f"no {what}" for what in missing)
        return Answer(Verdict.WARNING, f"{said}: a restore would take the defaults", "make them there beforehand")
    return ok(f"{size} with {engine} {version} is offered, its groups are there")


def _missing_groups(host: Host, settings: Mapping[str, object], account: str, region: str) -> list[str]:
    """The groups that the region does not have by their names; defaults are everywhere."""
    named = [("subnet group", str(settings.get("subnet_group") or ""))]
    for what, key in (("parameter group", "parameter_groups"), ("option group", "option_groups")):
        names = settings.get(key)
        named += [(what, str(name)) for name in (names if isinstance(names, list) else [])]
    return [
        f"{what} {name}"
        for what, name in named
        if name and not name.startswith("default") and not asking.has_group(host.accounts, account, region, what, name)
    ]
