"""What brings an application back in another region: its options there, and the steps in their order. Values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import ClassVar

from pydantic import BaseModel

from drorch.domain.duration import duration_text

_ROUTE53 = {"cn-": "cn-northwest-1", "us-gov-": "us-gov-west-1", "": "us-east-1"}
"""The region of Route 53's control plane by how the names of a partition's regions begin (AWS Fault Isolation
Boundaries, Partitional services; botocore, endpoints.json). What answers queries is everywhere."""

LONGEST_WAIT = timedelta(days=1)


def record_region(region: str) -> str:
    """Where Route 53's records are changed from, in the partition of `region`."""
    return next(place for begin, place in _ROUTE53.items() if region.startswith(begin))


@dataclass(frozen=True, slots=True)
class Restore:
    """Bring a resource back from its copy in the region."""

    word: ClassVar = "restore"
    resource: str

    @property
    def said(self) -> object:
        """As a policy says it."""
        return self.resource


@dataclass(frozen=True, slots=True)
class Launch:
    """Run the image that step `image` brings back behind an Auto Scaling group and a target group that are there."""

    word: ClassVar = "launch"
    image: str
    group: str
    target_group: str
    capacity: int = 2

    @property
    def said(self) -> object:
        """As a policy says it."""
        return {
            "image": self.image,
            "group": self.group,
            "target_group": self.target_group,
            "capacity": self.capacity,
        }


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask an address until it answers with `status`, for `at_most` so long."""

    word: ClassVar = "wait"
    http: str
    status: int
    at_most: timedelta

    @property
    def said(self) -> object:
        """As a policy says it."""
        return {"http": self.http, "status": self.status, "for": duration_text(self.at_most)}


@dataclass(frozen=True, slots=True)
class SwitchRecord:
    """Give a Route 53 record of a hosted zone these values. It must be absent, or have the values `was`."""

    word: ClassVar = "record"
    zone: str
    name: str
    type: str
    values: tuple[str, ...]
    ttl: int
    was: tuple[str, ...] = ()

    @property
    def said(self) -> object:
        """As a policy says it."""
        said: dict[str, object] = {"zone": self.zone, "name": self.name, "type": self.type, "ttl": self.ttl}
        return said | {"value": list(self.values)} | ({"was": list(self.was)} if self.was else {})


@dataclass(frozen=True, slots=True)
class Manual:
    """What a person does, and says that it is done."""

    word: ClassVar = "manual"
    text: str

    @property
    def said(self) -> object:
        """As a policy says it."""
        return self.text


@dataclass(frozen=True, slots=True)
class Command:
    """A program of this host with its arguments; no shell reads them."""

    word: ClassVar = "command"
    argv: tuple[str, ...]

    @property
    def said(self) -> object:
        """As a policy says it."""
        return list(self.argv)


Deed = Restore | Launch | Wait | SwitchRecord | Manual | Command
WORDS = tuple(deed.word for deed in (Restore, Launch, Wait, SwitchRecord, Manual, Command))


@dataclass(frozen=True, slots=True)
class StepProgress:
    """How far a step is: whether it is `done`, what it waits for or came to, and `failed`: why it never will be."""

    done: bool = False
    detail: str = ""
    failed: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunbookStep:
    """One step: what is done, after which others, and what a person does instead when it cannot be done ("": none).

    `regional` has the step of every region where they differ; the step itself then is that of the first of them.
    """

    name: str
    deed: Deed
    needs: tuple[str, ...] = ()
    fallback: str = ""
    regional: Mapping[str, RunbookStep] = field(default_factory=dict)

    def in_region(self, region: str) -> RunbookStep:
        """The step as it is carried out there."""
        return self.regional.get(region, self)

    def to_json(self) -> dict[str, object]:
        """As a policy says it, what it left out filled in."""
        if self.regional:
            said = _said_per_region({region: step.to_json() for region, step in self.regional.items()})
            return dict(said) if isinstance(said, Mapping) else {}
        said = {"name": self.name, self.deed.word: self.deed.said, "needs": list(self.needs)}
        return said | ({"fallback": self.fallback} if self.fallback else {})


def _said_per_region(said: Mapping[str, object]) -> object:
    """What is the same everywhere once, the rest as a mapping by region, as deep inside as possible."""
    first, *others = said.values()
    if all(other == first for other in others):
        return first
    if isinstance(first, Mapping) and all(
        isinstance(other, Mapping) and other.keys() == first.keys() for other in others
    ):
        return {
            key: _said_per_region({r: one[key] for r, one in said.items() if isinstance(one, Mapping)}) for key in first
        }
    return dict(said)


def said_of(options: BaseModel) -> dict[str, object]:
    """What is said of how something comes back, as plain data, what is left out left out: read again it is the same."""
    return options.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


@dataclass(frozen=True, slots=True)
class Recovery:
    """``recovery:`` of a policy. `regions` has, per region and resource, the `RestoreOptions` of the resource's kind.

    `steps` stand in an order in which each follows all that it needs; there may be none.
    """

    regions: Mapping[str, Mapping[str, BaseModel]] = field(default_factory=dict)
    steps: tuple[RunbookStep, ...] = ()

    def options(self, region: str, resource: str) -> BaseModel | None:
        """How the resource comes back in the region; None where that is not said."""
        return self.regions.get(region, {}).get(resource)

    def said(self, region: str, resource: str) -> dict[str, object]:
        """The same as plain data; empty where nothing is said."""
        options = self.options(region, resource)
        return {} if options is None else said_of(options)

    def in_region(self, region: str) -> Recovery:
        """As it is carried out there: no step says anything per region any more."""
        return replace(self, steps=tuple(step.in_region(region) for step in self.steps))

    def step(self, name: str) -> RunbookStep | None:
        """The step of that name."""
        return next((step for step in self.steps if step.name == name), None)

    @property
    def restored(self) -> frozenset[str]:
        """The resources that a step brings back."""
        return frozenset(step.deed.resource for step in self.steps if isinstance(step.deed, Restore))
