"""The shape of a policy file: which keys stand where, and of what type. What they mean together is read elsewhere."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from drorch.domain.cron import parse_cron
from drorch.domain.duration import Duration, duration_text
from drorch.domain.explain import fault, near
from drorch.domain.ignore import Ignore
from drorch.domain.model import FailureLevel
from drorch.domain.moment import Moment
from drorch.domain.policy import (
    Count,
    DrillRule,
    Frozen,
    Home,
    Keep,
    LockRule,
    Name,
    Objective,
    Retired,
    Something,
    Text,
)
from drorch.domain.policy_recovery_form import RecoveryForm
from drorch.domain.policy_scenario_form import ScenarioForm
from drorch.domain.schedule import Cron, Every, Schedule, zone_named, zone_names
from drorch.domain.window import EVERY_DAY, WEEKDAYS, Window

VERSION = 1
NATIVE_ONLY = ("copies",)
DUMP_ONLY = ("vaults", "inventory", "max_duration", "window")
SHORTEST_LOCK, LONGEST_LOCK = timedelta(days=1), timedelta(days=36_500)
"""Of a snapshot (EC2 API, LockSnapshot, LockDuration)."""


def _whole_minutes(length: timedelta) -> timedelta:
    Every(length)
    return length


def _in_host_configuration(_value: object) -> None:
    raise fault("a vault's lock does not stand in a policy", "vaults: {NAME: {lock: {for: 35d}}} in drorch.yaml")


OfTheHost = Annotated[None, BeforeValidator(_in_host_configuration), WithJsonSchema({"not": {}})]

Cadence = Annotated[Duration, AfterValidator(_whole_minutes)]
"""A duration that a grid can have: whole minutes."""


def _zone(name: str | None) -> str | None:
    """The name, if the time zone database has it."""
    if name is not None:
        try:
            zone_named(name)
        except ValueError as error:
            hint = near(name, zone_names()) or "an IANA name such as UTC or Europe/Berlin"
            raise fault(str(error), hint) from error
    return name


class ScheduleForm(Frozen):
    """``{every: 1h}``, with `offset` if wanted, or ``{cron: "15 */6 * * *", timezone: Europe/Berlin}``.

    With neither, the cadence follows from the objectives (`drorch.domain.cadence`); `offset` shifts that as well.
    """

    every: Duration | None = None
    offset: Duration | None = None
    cron: StrictStr | None = None
    timezone: StrictStr | None = None

    @field_validator("cron")
    @classmethod
    def _fires(cls, text: str | None) -> str | None:
        if text is not None:
            parse_cron(text)
        return text

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        return _zone(name)

    @model_validator(mode="after")
    def _one_grid(self) -> Self:
        if self.every is not None and self.cron is not None:
            raise fault("a schedule has either every or cron")
        if self.cron is None:
            if self.timezone is not None:
                raise fault("timezone belongs to cron", "every counts in UTC; shift it with offset")
            if self.every is not None:
                Every(self.every, self.offset or timedelta())
            elif self.offset is not None:
                _whole_minutes(self.offset)
        elif self.offset is not None:
            raise fault("offset belongs to every", "cron names its times itself")
        elif self.timezone is None:
            raise fault("timezone is missing", "an IANA name such as UTC or Europe/Berlin")
        return self

    @property
    def grid(self) -> Schedule | None:
        """The schedule that is meant; None where it follows from the objectives."""
        if self.cron is not None:
            return Cron(self.cron, self.timezone or "")
        return None if self.every is None else Every(self.every, self.offset or timedelta())


def _time_of_day(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d|24:00", text, re.ASCII):
        raise fault(f"{text[:40]!r} is no time of day", 'such as "20:00"; "24:00" is the end of a day')
    return text


TimeOfDay = Annotated[StrictStr, AfterValidator(_time_of_day)]


class WindowForm(Frozen):
    """``{from: "20:00", to: "06:00"}``, with `timezone` (default: the schedule's, else UTC) and `days` if wanted."""

    from_: TimeOfDay = Field(alias="from")
    to: TimeOfDay
    timezone: StrictStr | None = None
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] | None = Field(None, min_length=1)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        return _zone(name)

    @model_validator(mode="after")
    def _closes(self) -> Self:
        self.window("UTC")
        return self

    def window(self, timezone: str) -> Window:
        """What is meant, in `timezone` where it says none."""
        opens, closes = (int(text[:2]) * 60 + int(text[3:]) for text in (self.from_, self.to))
        days = EVERY_DAY if self.days is None else frozenset(WEEKDAYS.index(day) for day in self.days)
        return Window(opens % 1440, closes, self.timezone or timezone, days)


class CopyLockForm(LockRule):
    """``{for: 35d, irrevocable: true}``, or ``{for: 35d, mode: governance}``: a vault's words, and one more.

    A vault is locked by who runs the host, copies by whoever writes a policy: what nobody can take back is said twice.
    """

    irrevocable: StrictBool = False

    @model_validator(mode="after")
    def _meant(self) -> Self:
        if not SHORTEST_LOCK <= self.for_ <= LONGEST_LOCK:
            limits = f"{duration_text(SHORTEST_LOCK)} to {LONGEST_LOCK.days}d"
            raise fault(f"AWS locks no snapshot for {duration_text(self.for_)}", limits)
        if self.holds and not self.irrevocable:
            hint = "irrevocable: true, or mode: governance, which an administrator can take off"
            raise fault("nobody can end a lock in compliance mode early, and its copies cost until it ends", hint)
        if self.irrevocable and not self.holds:
            raise fault("irrevocable belongs to mode compliance", "a lock in governance mode can be taken off")
        return self

    @property
    def rule(self) -> LockRule:
        """What is meant."""
        return LockRule(mode=self.mode, for_=self.for_)


class CopyForm(Frozen):
    """One entry of `copies`: a region that native snapshots are copied to, of the home account unless it names one."""

    region: Text
    kms_key: Text | None = None
    account: Annotated[Name | None, Something] = None
    every: Annotated[Cadence | None, Something] = None
    keep: Annotated[Keep | None, Something] = None
    lock: Annotated[CopyLockForm | None, Something] = None


class TargetForm(Frozen):
    """One entry of `vaults`: a name, or a mapping with rules of its own."""

    vault: Name
    every: Annotated[Cadence | None, Something] = None
    keep: Annotated[Keep | None, Something] = None
    lock: OfTheHost = None

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: object) -> object:
        if isinstance(value, str):
            if "." in value:
                raise fault(f"{value[:80]!r} is not a vault for dumps", "names with a dot belong to native snapshots")
            return {"vault": value}
        return value


Objectives = dict[FailureLevel, Objective]
Exempt = dict[FailureLevel, Text]


class RetiredForm(Frozen):
    """``{since: 2026-11-01, reason: TEXT}``, with `keep` and `until` if wanted."""

    since: Moment
    keep: Annotated[Keep | None, Something] = None
    until: Annotated[Moment | None, Something] = None
    reason: Text

    @field_validator("until")
    @classmethod
    def _after_since(cls, until: datetime | None, info: ValidationInfo) -> datetime | None:
        since = info.data.get("since")
        if until is not None and since is not None and until <= since:
            raise fault("until is not after since", "until is when its last points may go")
        return until

    @property
    def retired(self) -> Retired:
        """What is meant."""
        return Retired(since=self.since, keep=self.keep, until=self.until, reason=self.reason)


class ResourceForm(Frozen):
    """The keys that resources of every kind may have; those of the kind itself stand beside them."""

    name: Name
    kind: StrictStr
    dataset: Annotated[Name | None, Something] = None
    formerly: tuple[Name, ...] = ()
    home: Annotated[Home | None, Something] = None
    schedule: Annotated[ScheduleForm | None, Something] = Field(
        None, description="such as {every: 1h}; left out, the cadence follows from the objectives"
    )
    keep: Annotated[Keep | None, Something] = None
    floor: Count = 2
    keep_manual: Duration = timedelta(days=14)
    objectives: Objectives = Field(default_factory=dict)
    exempt: Exempt = Field(default_factory=dict)
    copies: tuple[CopyForm, ...] = ()
    vaults: tuple[TargetForm, ...] = ()
    drill: Annotated[DrillRule | None, Something] = None
    inventory: Literal["exact", "estimate", "off"] = "exact"
    max_duration: Annotated[Duration | None, Something] = None
    window: Annotated[WindowForm | None, Something] = None


def readable_version(version: int) -> int:
    """The version of a file's form, if it is the one that is read here."""
    if version != VERSION:
        raise fault(f"version {version} is not in this version", f"this drorch reads version: {VERSION}")
    return version


class PolicyForm(Frozen):
    """The top of a policy file. `resources` are read one by one, each as a `ResourceForm` and the model of its kind."""

    version: Annotated[StrictInt, AfterValidator(readable_version)] = Field(description=f"write version: {VERSION}")
    application: Name
    owner: Text = Field(default="", description="whom to ask, such as payments@example.com")
    home: Home = Field(description="such as {account: prod, region: us-east-1}")
    objectives: Objectives = Field(default_factory=dict)
    exempt: Exempt = Field(default_factory=dict)
    retired: Annotated[RetiredForm | None, Something] = None
    formerly: tuple[Name, ...] = ()
    reach_back: Annotated[Duration | None, Something] = None
    ignore: tuple[Ignore, ...] = ()
    recovery: Annotated[RecoveryForm | None, Something] = None
    drill: Annotated[ScenarioForm | None, Something] = None
    resources: Annotated[list[Any], Field(min_length=1)]


LimitedKind = Literal["rds-cluster", "rds-instance"]
"""Kinds of whose snapshots AWS lets an account have few in a region (`drorch.domain.snapshot_quota`)."""


class DefaultsForm(Frozen):
    """What policies leave out, from the host configuration."""

    keep: Annotated[Keep | None, Something] = None
    keep_of: dict[LimitedKind, Keep] = Field(default_factory=dict)
    """Instead of `keep`, for these kinds."""
    drill: Annotated[DrillRule | None, Something] = None
    objectives: Objectives = Field(default_factory=dict)
