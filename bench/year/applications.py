"""The applications of the year: their policies, and in which sites they live.

A site is a group of applications with one cadence: its passes run when its slots begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import Field

from drorch.domain.model import FailureDomain
from drorch.domain.policy import Frozen, Policy, Text
from drorch.domain.policy_file import parse_policy
from drorch.domain.vocabulary import KindWords, Vocabulary

HOME, AWAY = "prod.us-east-1", "prod.us-west-2"
VAULTS = {
    "s3-west": FailureDomain("aws", "us-west-2", "vault"),
    "gcs-eu": FailureDomain("gcp", "europe-west1"),
    "s3-home": FailureDomain("aws", "us-east-1", "prod"),
}
DOMAINS = {
    **VAULTS,
    HOME: FailureDomain("aws", "us-east-1", "prod"),
    AWAY: FailureDomain("aws", "us-west-2", "prod"),
}


class Select(Frozen):
    """Which volumes are meant."""

    tags: dict[str, str] = Field(min_length=1)


class Volumes(Frozen):
    """Stands in for the options of `ebs`."""

    select: Select


class Instance(Frozen):
    """Stands in for the options of `rds-instance`."""

    identifier: Text


class Nothing(Frozen):
    """The lean dumps need no options."""


WORDS = Vocabulary(
    kinds={
        "ebs": KindWords(Volumes, native=True, service="ec2"),
        "rds-instance": KindWords(Instance, native=True, service="rds"),
        "memory": KindWords(Nothing, native=False),
    },
    regions=frozenset({"us-east-1", "us-west-2"}),
    vaults=VAULTS,
    locks={},
    accounts=frozenset({"prod", "vault"}),
)


@dataclass(frozen=True, slots=True)
class Class:
    """A sort of application: how many of a hundred, what it is cut by, and what is kept."""

    name: str
    share: float
    kind: str
    schedule: Mapping[str, str]
    keep: Mapping[str, int]
    vaults: tuple[str, ...] = ()
    drill_days: int = 0
    then: Mapping[str, int] | None = None
    """The keep rules after somebody has shortened them."""


@dataclass(frozen=True, slots=True)
class Site:
    """A group of applications of one class, simulated on its own."""

    number: int
    of: Class
    names: tuple[str, ...]
    seed: int
    days: int
    sabotage: str = ""

    def policies(self, *, shortened: bool = False) -> tuple[Policy, ...]:
        """The policies of all its applications."""
        return tuple(_policy(name, self.of, shortened=shortened) for name in self.names)


def _policy(name: str, of: Class, *, shortened: bool) -> Policy:
    keep = dict(of.then) if shortened and of.then else dict(of.keep)
    resource: dict[str, Any] = {"name": "data", "kind": of.kind, "schedule": dict(of.schedule), "keep": keep}
    if of.kind == "ebs":
        resource |= {"select": {"tags": {"app": name}}, "copies": [{"region": "us-west-2"}]}
    elif of.kind == "rds-instance":
        resource |= {"identifier": f"db-{name}", "copies": [{"region": "us-west-2"}]}
    else:
        resource |= {"vaults": list(of.vaults)}
        if of.drill_days:
            resource["drill"] = {"every": f"{of.drill_days}d", "from": [of.vaults[-1]]}
    body = {
        "version": 1,
        "application": name,
        "owner": "team@example.com",
        "home": {"account": "prod", "region": "us-east-1"},
        "resources": [resource],
    }
    policy, problems = parse_policy(body, WORDS)
    if policy is None:
        raise ValueError(f"{name}: {problems}")
    return policy


def slot_length(of: Class) -> timedelta:
    """About how long a slot is."""
    every = of.schedule.get("every", "1d")
    return timedelta(hours=int(every[:-1])) if every.endswith("h") else timedelta(days=int(every[:-1]))
