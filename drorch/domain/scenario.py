"""Drills of whole applications: which steps of the runbook they carry out, which they leave out and why. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from drorch.domain.model import place_of
from drorch.domain.policy import Policy, ResourcePolicy
from drorch.domain.runbook import Command, Launch, Manual, Recovery, Restore, RunbookStep, SwitchRecord, Wait
from drorch.domain.runbook_order import launched
from drorch.domain.scenario_rule import ScenarioRule

SCENARIO = "scenario.region"
"""What stands for the whole application in actions, locks and proofs: no resource has a name with a dot."""

LEFT_OUT = "left out"
"""The outcome of a step that a drill does not carry out."""

_WHY = {
    Launch.word: "a group that serves is not changed; its image comes back as an instance of the drill's own",
    Wait.word: "the address is that of the real recovery, and a drill changes nothing that would make it answer",
    SwitchRecord.word: "the record would send people to what the drill made",
    Manual.word: "nobody is asked",
    Command.word: "what a command does, no tag can undo",
}


@dataclass(frozen=True, slots=True)
class ScenarioStep:
    """A step as a drill has it: it brings `resource` back, or is left out and says why (`left_out`)."""

    name: str
    resource: str = ""
    needs: tuple[str, ...] = ()
    left_out: str = ""

    @property
    def step(self) -> RunbookStep:
        """As a runbook has it; nobody is asked for what fails."""
        return RunbookStep(self.name, Restore(self.resource), self.needs)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A resource that a drill brings back: its kind, the accounts of its copies in the region, and how: `mapped` as the
    runbook says, `own` as its drill does.
    """

    kind: str
    accounts: tuple[str, ...]
    mapped: Mapping[str, object] = field(default_factory=dict)
    own: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScenarioOrder:
    """What a drill of an application does in `region`. `vaults` are those that it may read points from: none of the
    region that is lost. `looks` are the (kind, account, region) in which it looks for other drills, `most` is
    how long anything of it may be there.
    """

    site: str
    application: str
    region: str
    steps: tuple[ScenarioStep, ...]
    resources: Mapping[str, Rehearsed]
    vaults: tuple[str, ...]
    looks: tuple[tuple[str, str, str], ...]
    most: timedelta

    def to_json(self) -> dict[str, object]:
        """As it goes through a pipe."""
        return {
            **{name: getattr(self, name) for name in ("site", "application", "region")},
            "steps": [{name: getattr(step, name) for name in ScenarioStep.__slots__} for step in self.steps],
            "resources": {
                name: {"kind": of.kind, "accounts": list(of.accounts), "mapped": dict(of.mapped), "own": dict(of.own)}
                for name, of in self.resources.items()
            },
            "vaults": list(self.vaults),
            "looks": [list(look) for look in self.looks],
            "most_s": self.most.total_seconds(),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, object]) -> ScenarioOrder:
        """The inverse of `to_json`."""
        steps = [ScenarioStep(**{**step, "needs": tuple(step["needs"])}) for step in body["steps"]]  # type: ignore[attr-defined]
        resources: Mapping[str, Mapping[str, object]] = body["resources"]  # type: ignore[assignment]
        return cls(
            site=str(body["site"]),
            application=str(body["application"]),
            region=str(body["region"]),
            steps=tuple(steps),
            resources={
                name: Rehearsed(**{**of, "accounts": tuple(of["accounts"])})  # type: ignore[arg-type]
                for name, of in resources.items()
            },
            vaults=tuple(body["vaults"]),  # type: ignore[arg-type]
            looks=tuple(tuple(look) for look in body["looks"]),  # type: ignore[attr-defined]
            most=timedelta(seconds=float(str(body["most_s"]))),
        )


def scenario_steps(recovery: Recovery, natives: Collection[str]) -> tuple[ScenarioStep, ...]:
    """The steps in their order: those that bring back one of `natives` are carried out, each after all of them that it
    needs, through steps that are left out, too.
    """
    found: list[ScenarioStep] = []
    before: dict[str, tuple[str, ...]] = {}
    for step in recovery.steps:  # each stands behind all that it needs
        needs = tuple(dict.fromkeys(name for need in step.needs for name in before[need]))
        if isinstance(step.deed, Restore) and step.deed.resource in natives:
            found.append(ScenarioStep(step.name, step.deed.resource, needs))
            before[step.name] = (step.name,)
        else:
            why = _WHY.get(step.deed.word, "only snapshots come back in a drill of the whole application")
            found.append(ScenarioStep(step.name, left_out=why))
            before[step.name] = needs
    return tuple(found)


def rehearsed(policy: Policy, region: str) -> dict[str, ResourcePolicy]:
    """The resources that a drill of the application brings back in a region, in the order of its steps."""
    recovery, named = policy.recovery or Recovery(), {resource.name: resource for resource in policy.resources}
    steps = [step.deed.resource for step in recovery.steps if isinstance(step.deed, Restore)]
    return {
        name: named[name] for name in steps if name in named and named[name].native and accounts_in(named[name], region)
    }


def rehearsal(policy: Policy, region: str) -> dict[str, Rehearsed]:
    """How each of them is brought back. Of an image that a step launches there is one instance."""
    recovery = policy.recovery or Recovery()
    one = launched(recovery)
    return {
        name: Rehearsed(
            kind=resource.kind,
            accounts=accounts_in(resource, region),
            mapped=recovery.said(region, name),
            own={**(resource.drill.options if resource.drill else {}), **({"count": 1} if name in one else {})},
        )
        for name, resource in rehearsed(policy, region).items()
    }


def accounts_in(resource: ResourcePolicy, region: str) -> tuple[str, ...]:
    """The accounts of the copies that a resource has in a region."""
    places = (place_of(rule.vault) for rule in resource.targets)
    return tuple(account for account, where in places if where == region)


def scenario_order(
    policy: Policy, rule: ScenarioRule, *, site: str, vaults: tuple[str, ...], looks: Collection[tuple[str, str, str]]
) -> ScenarioOrder:
    """What one drill does. `vaults` are the object vaults outside the home region, `looks` where others drill."""
    resources = rehearsal(policy, rule.into)
    accounts = {account for of in resources.values() for account in of.accounts}
    own = {(of.kind, account, rule.into) for of in resources.values() for account in of.accounts}
    return ScenarioOrder(
        site=site,
        application=policy.application,
        region=rule.into,
        steps=scenario_steps(policy.recovery or Recovery(), resources),
        resources=resources,
        vaults=vaults,
        looks=tuple(sorted(own | {look for look in looks if look[1] in accounts})),
        most=rule.most,
    )


def scenario_places(policy: Policy) -> frozenset[tuple[str, str, str]]:
    """(kind, account, region) of everything that drills of the whole application may make, in any of its regions."""
    regions = policy.recovery.regions if policy.recovery is not None and policy.scenario is not None else ()
    return frozenset(
        (resource.kind, account, region)
        for region in regions
        for resource in rehearsed(policy, region).values()
        for account in accounts_in(resource, region)
    )
