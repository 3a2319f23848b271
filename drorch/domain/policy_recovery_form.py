"""The shape of ``recovery:`` in a policy: regions with the options of resources there, and steps."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    StrictInt,
    StrictStr,
    Tag,
    WithJsonSchema,
    model_validator,
)

from drorch.domain.duration import Duration, duration_text
from drorch.domain.explain import Loc, fault
from drorch.domain.policy import Frozen, Name, Something, Text
from drorch.domain.runbook import (
    LONGEST_WAIT,
    WORDS,
    Command,
    Deed,
    Launch,
    Manual,
    Restore,
    RunbookStep,
    SwitchRecord,
    Wait,
)

_LONGEST_TTL = 2_147_483_647
"""Seconds (Route 53 API, ResourceRecordSet, TTL)."""

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]+", re.ASCII)

_T = TypeVar("_T")


def _how_said(value: object) -> str:
    by_region = isinstance(value, Mapping) and any(isinstance(k, str) and _REGION.fullmatch(k) for k in value)
    return "by region" if by_region else "once"


PerRegion = Annotated[
    Annotated[_T, Tag("once")] | Annotated[dict[StrictStr, _T], Tag("by region")], Discriminator(_how_said)
]
"""A value, or one for each region: ``{us-west-2: dr, eu-west-1: dr-eu}``."""


def _said_in(region: str, value: _T | dict[str, _T]) -> _T:
    """What is said for the region; where nothing is (that is a problem of its own) what is said for another."""
    return value.get(region, next(iter(value.values()))) if isinstance(value, dict) else value


class LaunchForm(Frozen):
    """``{image: STEP, group: NAME, target_group: NAME, capacity: 2}``: both groups are there already.

    `capacity` is how many instances are launched at the least: one in each of two zones.
    """

    image: Name
    group: PerRegion[Text]
    target_group: PerRegion[Text]
    capacity: Annotated[StrictInt, Field(ge=2)] = 2


def _address(text: str) -> str:
    try:
        url = urlsplit(text)
        right = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        right = False
    if not right or not text.isascii() or not text.isprintable() or " " in text:
        raise fault(f"{text[:80]!r} is no address", 'such as "https://shop-dr.internal/health"')
    if url.username is not None or url.password is not None:
        raise fault("a secret does not stand in a policy", "an address without user and password")
    return text


def _at_most_a_day(length: timedelta) -> timedelta:
    if length > LONGEST_WAIT:
        raise fault("is longer than a step waits", f"{duration_text(LONGEST_WAIT)} at most")
    return length


class WaitForm(Frozen):
    """``{http: ADDRESS, status: 200, for: 10m}``: waits until it answers so, for so long at most."""

    http: PerRegion[Annotated[StrictStr, AfterValidator(_address)]]
    status: Annotated[StrictInt, Field(ge=100, le=599)] = 200
    for_: Annotated[Duration, AfterValidator(_at_most_a_day)] = Field(timedelta(minutes=10), alias="for")


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


_Values = Annotated[
    tuple[Text, ...],
    Field(min_length=1, max_length=100),
    BeforeValidator(_several),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


def _zone(text: str) -> str:
    if not re.fullmatch(r"[A-Z0-9]{1,32}", text, re.ASCII):
        raise fault(f"{text[:40]!r} is not the id of a hosted zone", "such as Z0123456789ABCDEFGHIJ")
    return text


class RecordForm(Frozen):
    """``{zone: ID, name: shop.example.com, type: CNAME, value: ..., ttl: 60}``; `was` is what it may be before."""

    zone: PerRegion[Annotated[StrictStr, AfterValidator(_zone)]]
    name: PerRegion[Text]
    type: Literal["A", "AAAA", "CNAME"]
    value: PerRegion[_Values]
    ttl: Annotated[StrictInt, Field(ge=0, le=_LONGEST_TTL)] = 60
    was: Annotated[PerRegion[_Values] | None, Something] = None


def _program(argv: tuple[str, ...]) -> tuple[str, ...]:
    if not argv[0].startswith("/") or any("\0" in word for word in argv):
        raise fault("a command begins with the absolute path of its program", "such as [/usr/local/bin/reindex, --all]")
    return argv


_Program = Annotated[tuple[StrictStr, ...], Field(min_length=1), AfterValidator(_program)]


class StepForm(Frozen):
    """One entry of `steps`: a name, what it does, and `needs` (default: the step before) and `fallback` if wanted.

    Texts of what it does may be said per region.
    """

    name: Name
    restore: Annotated[Name | None, Something] = None
    launch: Annotated[LaunchForm | None, Something] = None
    wait: Annotated[WaitForm | None, Something] = None
    record: Annotated[RecordForm | None, Something] = None
    manual: Annotated[PerRegion[Text] | None, Something] = None
    command: Annotated[PerRegion[_Program] | None, Something] = None
    needs: Annotated[tuple[Name, ...] | None, Something] = None
    fallback: Annotated[PerRegion[Text] | None, Something] = None

    @model_validator(mode="before")
    @classmethod
    def _one_deed(cls, value: object) -> object:
        if isinstance(value, Mapping):
            said = [word for word in WORDS if word in value]
            if not said:
                raise fault("a step does nothing", f"one of {', '.join(WORDS)}")
            if len(said) > 1:
                raise fault(f"a step does one thing, not {' and '.join(said)}", "write a step for each")
        return value

    @model_validator(mode="after")
    def _not_itself(self) -> Self:
        if self.name in (self.needs or ()):
            raise fault(f"step {self.name} needs itself", "needs names earlier steps")
        return self

    def deed_in(self, region: str) -> Deed:
        """What is meant to be done in the region."""
        if self.restore is not None:
            return Restore(self.restore)
        if self.launch is not None:
            told = self.launch
            group, behind = _said_in(region, told.group), _said_in(region, told.target_group)
            return Launch(told.image, group, behind, told.capacity)
        if self.wait is not None:
            return Wait(_said_in(region, self.wait.http), self.wait.status, self.wait.for_)
        if self.record is not None:
            said = self.record
            zone, name, value = (_said_in(region, said.zone), _said_in(region, said.name), _said_in(region, said.value))
            return SwitchRecord(zone, name, said.type, value, said.ttl, _said_in(region, said.was or ()))
        if self.command is not None:
            return Command(_said_in(region, self.command))
        return Manual(_said_in(region, self.manual or ""))

    def step(self, before: str, regions: Collection[str]) -> RunbookStep:
        """What is meant in `regions`, `before` being the step that stands before it ("": none)."""
        needs = ((before,) if before else ()) if self.needs is None else self.needs
        if self.launch is not None:
            needs = (*needs, self.launch.image)
        needs = tuple(dict.fromkeys(needs))
        ordered = sorted(regions) or [""]
        each = {
            region: RunbookStep(self.name, self.deed_in(region), needs, _said_in(region, self.fallback or ""))
            for region in ordered
        }
        first = each[ordered[0]]
        return first if all(step == first for step in each.values()) else replace(first, regional=each)

    def not_for(self, regions: Collection[str]) -> Iterator[tuple[Loc, str]]:
        """(place, what is wrong) of every value that is said per region, and not for exactly these."""
        for loc, said in _regional(self, ()):
            missing, other = sorted(set(regions) - said.keys()), sorted(said.keys() - set(regions))
            if other:
                yield loc, f"{other[0]} is no region of this runbook"
            if missing:
                yield loc, f"nothing is said for {', '.join(missing)}"


def _regional(form: BaseModel, loc: Loc) -> Iterator[tuple[Loc, Mapping[str, object]]]:
    """Everything in a form that is said per region, and where."""
    for name in type(form).model_fields:
        value = getattr(form, name)
        if isinstance(value, BaseModel):
            yield from _regional(value, (*loc, name))
        elif isinstance(value, dict):
            yield (*loc, name), value


class RecoveryForm(Frozen):
    """``{regions: {REGION: {RESOURCE: {...}}}, steps: [...]}``. The options are read by the kinds of the resources."""

    regions: Annotated[dict[StrictStr, dict[Name, dict[str, Any]]], Field(min_length=1)]
    steps: tuple[StepForm, ...] = ()
