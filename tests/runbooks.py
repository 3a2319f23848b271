"""A policy with a runbook of every sort of step, and a host that carries all of them out."""

from __future__ import annotations

from policy_words import KINDS, Instance, Volumes, words
from pydantic import Field

from drorch.domain.policy import Frozen, Text
from drorch.domain.vocabulary import KindWords


class Placed(Frozen):
    """Stands in for the RestoreOptions of a kind that must be told where to."""

    subnet_group: Text
    security_groups: tuple[Text, ...] = Field(default=())
    share: float | None = None


class Zoned(Frozen):
    """Stands in for the RestoreOptions of a kind that needs nothing to be said."""

    zone: Text | None = None


RESTORING = KINDS | {
    "ami": KindWords(Volumes, native=True, service="ec2", restore=Zoned),
    "ebs": KindWords(Volumes, native=True, service="ec2", restore=Zoned),
    "rds-instance": KindWords(Instance, native=True, service="rds", restore=Placed),
}
ALL = frozenset({"restore", "launch", "wait", "record", "manual", "command"})

TOP = """
version: 1
application: shop
home: {account: prod, region: HOME}
resources:
  - name: ledger
    kind: rds-instance
    identifier: shop-ledger
    schedule: {every: 1d}
    copies: [{region: us-west-2}]
    keep: {last: 2}
  - name: web
    kind: ami
    select: {tags: {app: shop}}
    schedule: {every: 1d}
    copies: [{region: us-west-2}, {region: ap-south-1}]
    keep: {daily: 7}
  - name: orders
    kind: postgres
    connection: {host: orders.internal}
    schedule: {every: 1d}
    vaults: [gcs-eu]
    keep: {last: 2}
recovery:
  regions:
    us-west-2:
      ledger: {subnet_group: dr, security_groups: [sg-1]}
  steps:
"""

STEPS = """
    - {name: database, restore: ledger}
    - {name: image, restore: web, needs: []}
    - {name: site, launch: {image: image, group: shop-dr, target_group: shop-tg}, needs: [database]}
    - {name: healthy, wait: {http: "https://shop-dr.internal/health"}}
    - {name: dns, record: {zone: Z1, name: shop.example.com, type: CNAME, value: dr.example.com}, fallback: "page 12"}
    - {name: word, manual: "Tell payments"}
    - {name: reindex, command: [/usr/local/bin/reindex, --all]}
"""

REGIONS = frozenset({"us-east-1", "us-west-2", "eu-central-1", "ap-south-1"})
HOST = words(kinds=RESTORING, commands=True, regions=REGIONS)


def shop(steps: str = STEPS, home: str = "eu-central-1") -> str:
    return (TOP.replace("HOME", home) + steps.strip("\n")).strip("\n")


def changed(old: str, new: str) -> str:
    assert shop().count(old) == 1, old
    return shop().replace(old, new)


TWO = shop("""
    - {name: image, restore: web}
    - name: site
      launch: {image: image, group: {us-west-2: dr-west, ap-south-1: dr-south}, target_group: dr}
    - {name: healthy, wait: {http: {us-west-2: "https://west.internal/", ap-south-1: "https://south.internal/"}}}
    - name: dns
      record:
        {zone: Z1, name: example.com, type: A, ttl: 30, value: {us-west-2: 10.0.0.1, ap-south-1: [10.1.0.1, 10.1.0.2]}}
      fallback: {us-west-2: page 12, ap-south-1: page 13}
    - {name: word, manual: {us-west-2: Tell the west, ap-south-1: Tell the south}}
    - {name: reindex, command: {us-west-2: [/bin/west], ap-south-1: [/bin/south, --all]}}
""").replace("      ledger: {subnet_group: dr, security_groups: [sg-1]}", "      web: {}\n    ap-south-1: {}")
"""The same application with two regions to come back in, and steps that do there what has to be done there."""
