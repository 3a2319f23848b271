"""What the policies of tests may name: small stand-ins for the kinds, and a host with two vaults."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from drorch.app.yaml_source import read_yaml
from drorch.domain.errors import Finding
from drorch.domain.model import FailureDomain
from drorch.domain.policy import CredentialRef, Frozen, Policy, Text
from drorch.domain.policy_file import parse_policy
from drorch.domain.vocabulary import KindWords, Vocabulary


class Select(Frozen):
    """Which volumes are meant."""

    tags: dict[str, str] = Field(min_length=1)


class Volumes(Frozen):
    """Stands in for the options of `ebs`."""

    select: Select


class Instance(Frozen):
    """Stands in for the options of `rds-instance`."""

    identifier: Text


class Connection(Frozen):
    """How a database is reached."""

    host: Text
    password: CredentialRef | None = None


class Database(Frozen):
    """Stands in for the options of `postgres`."""

    connection: Connection


class Several(Frozen):
    """Stands in for options that mean all databases but those that begin with ``tmp``."""

    database: str = ""
    named: tuple[str, ...] = ()

    @property
    def several(self) -> bool:
        return not self.database

    def covers(self, database: str) -> bool:
        return not database.startswith("tmp")

    def of(self, database: str) -> Several:
        if "\n" in database:
            raise ValueError("must be one line of text")
        return Several(database=database)

    @property
    def meaning(self) -> str:
        return "every database of db:5432"


VAULTS = {
    "s3-west": FailureDomain("aws", "us-west-2", "vault"),
    "s3-home": FailureDomain("aws", "us-east-1", "prod"),
    "gcs-eu": FailureDomain("gcp", "europe-west1"),
}


class Returned(BaseModel):
    """How snapshots of these kinds come back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    zone: str = ""
    attach: str = ""
    deletion_protection: bool = True


class Networked(Returned):
    """How snapshots of databases come back."""

    security_groups: tuple[str, ...] = ()


KINDS = {
    "ebs": KindWords(Volumes, native=True, service="ec2", locks=True, shares=True, probes=False),
    "rds-instance": KindWords(Instance, native=True, service="rds", shares=True),
    "postgres": KindWords(Database, native=False),
}

RETURNING = {name: replace(kind, restore=Returned) if kind.native else kind for name, kind in KINDS.items()}
"""The same, where snapshots can be brought back."""

REGIONS = frozenset({"us-east-1", "us-west-2", "eu-central-1"})


def words(**changes: Any) -> Vocabulary:
    """The vocabulary of a host whose application `shop` may use the credential `orders-db`."""
    given: dict[str, Any] = {
        "kinds": KINDS,
        "regions": REGIONS,
        "vaults": VAULTS,
        "locks": {},
        "accounts": frozenset({"prod", "vault"}),
        "credentials": {"orders-db": frozenset({"shop"}), "bank-db": frozenset({"bank"})},
    }
    return Vocabulary(**(given | changes))


def read(
    text: str, vocabulary: Vocabulary | None = None, file: str = "shop.yaml"
) -> tuple[Policy | None, list[Finding]]:
    """The policy in `text` (indentation of the test taken off), or its findings in order."""
    source, findings = read_yaml(textwrap.dedent(text).lstrip("\n"), file)
    if source is None:
        return None, list(findings)
    policy, problems = parse_policy(source.data, vocabulary or words())
    return policy, sorted(source.finding(problem) for problem in problems)


def policy_of(text: str, vocabulary: Vocabulary | None = None) -> Policy:
    """The policy in `text`, which must be valid."""
    policy, findings = read(text, vocabulary)
    assert policy is not None, [str(finding) for finding in findings]
    return policy
