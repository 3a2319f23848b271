"""What a policy file says, resolved: promises, resources, where their copies go and what keeps them.

These are values; `drorch.domain.policy_file` reads them from what stands in a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    SerializeAsAny,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from drorch.domain.duration import Duration, duration_text
from drorch.domain.explain import fault, type_name
from drorch.domain.ignore import Ignore
from drorch.domain.model import FailureDomain, FailureLevel, LockMode
from drorch.domain.probe_answer import instant_of, meets, understood
from drorch.domain.reach import Reach
from drorch.domain.runbook import Recovery
from drorch.domain.scenario_rule import ScenarioRule
from drorch.domain.schedule import Schedule
from drorch.domain.window import Window

AWS = "aws"
NAME = r"[a-z0-9][a-z0-9_-]{0,62}"


NAME_HINT = "a-z, 0-9, _ and -, at most 63, the first one a letter or a digit"


def is_name(text: str) -> bool:
    """Whether `text` may name a site, application, dataset, resource, vault, account or credential."""
    return re.fullmatch(NAME, text, re.ASCII) is not None


def _check_name(text: str) -> str:
    if not is_name(text):
        raise fault(f"{text[:80]!r} is not a name", NAME_HINT)
    return text


def _check_text(text: str) -> str:
    if not text.strip():
        raise fault("must not be empty")
    return text


Name = Annotated[StrictStr, AfterValidator(_check_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME}$"})]
"""The name of a site, application, dataset, resource, vault, account or credential."""

Text = Annotated[StrictStr, AfterValidator(_check_text)]
"""Text that is not empty."""

Count = Annotated[StrictInt, Field(gt=0)]


def _something(value: object) -> object:
    if value is None:
        raise fault("must not be empty", "give it a value, or leave the key out")
    return value


Something = BeforeValidator(_something)
"""On a key that may be left out: where it stands, it says something. ``keep:`` alone is a slip, not a wish."""


class Frozen(BaseModel):
    """A value without surprises: unknown keys are errors, nothing changes after it was made."""

    # Built at the first use: most processes use few of the models that they import.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, defer_build=True)


class CredentialRef(Frozen):
    """``{credential: NAME}``: a secret of the host configuration, by name. The only form of a secret in a policy."""

    credential: Name

    @model_validator(mode="before")
    @classmethod
    def _never_literal(cls, value: object) -> object:
        name = value.get("credential") if isinstance(value, Mapping) and len(value) == 1 else None
        if isinstance(value, CredentialRef) or (isinstance(name, str) and is_name(name)):
            return value
        raise fault("a secret does not stand in a policy", "write {credential: NAME}, a credential of drorch.yaml")


class Objective(Frozen):
    """The promise at one failure level: the most data lost, the longest time to be back."""

    rpo: Duration | None = None
    rto: Duration | None = None

    @model_validator(mode="after")
    def _promises_something(self) -> Self:
        if self.rpo is None and self.rto is None:
            raise fault("promises nothing", "rpo: DURATION, rto: DURATION, or both")
        return self


class Home(Frozen):
    """Where a resource lives: an AWS account of the host configuration, or another provider."""

    account: Name | None = None
    provider: Name | None = None
    region: Text

    @field_validator("account", mode="before")
    @classmethod
    def _by_name(cls, account: object) -> object:
        if isinstance(account, int):
            raise fault("account must be a name, not a number", "a key of aws.accounts, such as prod")
        return account

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.account is None) == (self.provider is None):
            raise fault("needs either account or provider", "such as {account: prod, region: us-east-1}")
        if self.provider == AWS:
            raise fault("a home in AWS names its account", "write account: NAME instead of provider: aws")
        return self

    @property
    def domain(self) -> FailureDomain:
        """The failure domain of the home."""
        return FailureDomain(self.provider or AWS, self.region, self.account or "")


class Keep(Frozen):
    """Retention rules with restic's meaning: a rule left out is 0, `within` is None; at least one stands."""

    last: Count = 0
    hourly: Count = 0
    daily: Count = 0
    weekly: Count = 0
    monthly: Count = 0
    yearly: Count = 0
    within: Annotated[Duration | None, Something] = None

    @model_validator(mode="after")
    def _keeps_something(self) -> Self:
        if not self.model_fields_set:
            raise fault("keeps nothing", "at least one of last, hourly, daily, weekly, monthly, yearly, within")
        return self


KEEP_NOTHING = Keep.model_construct()
"""What decides when an application's time is over: no rule keeps anything. No policy can say it."""


class LockRule(Frozen):
    """``{for: 35d}``, with `mode` if wanted: what every record and data object of a vault gets at its creation, and
    every member of a native copy once that is usable.
    """

    mode: LockMode = LockMode.COMPLIANCE
    for_: Duration = Field(alias="for")

    @model_validator(mode="before")
    @classmethod
    def _a_mapping(cls, value: object) -> object:
        if isinstance(value, LockRule | Mapping):
            return value
        raise fault(f"must be a mapping, not {type_name(value)}", "such as {for: 35d}")

    @property
    def holds(self) -> bool:
        """Whether nobody can end it early, an administrator of the vault's account included: compliance mode."""
        return self.mode is LockMode.COMPLIANCE


class Retired(Frozen):
    """An application that has left: from `since` on nothing is cut and `keep` (None: its resources' own) decides.

    After `until` (None: never) no rule keeps a point of it any more. Both are aware, UTC.
    """

    since: datetime
    keep: Keep | None = None
    until: datetime | None = None
    reason: str


def _percent(value: object) -> object:
    if isinstance(value, str):
        if not re.fullmatch(r"\d{1,3}%", value, re.ASCII):
            raise fault(f"{value[:40]!r} is not a share", "a whole percentage, such as 20%")
        return int(value[:-1])
    return value


Percent = Annotated[
    StrictInt,
    Field(ge=1, le=100),
    BeforeValidator(_percent),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,3}%$", "examples": ["20%"]}),
]
"""A share from 1 to 100 in percent, as text ``20%``."""


class BrakeRule(Frozen):
    """How much may be deleted `per` span, per application and vault: `share` percent or `count` points, the smaller.

    Beyond that, as many as were added there in the same span.
    """

    share: Percent = 20
    count: Count = 10
    per: Duration = timedelta(days=1)


# --- drills --------------------------------------------------------------------------------------------------------


class Probe(Frozen):
    """A question asked of restored data: its single value is compared (`expect`) or must be recent (`newer_than`)."""

    sql: Text
    expect: StrictStr | None = None
    newer_than: Duration | None = None

    @field_validator("expect")
    @classmethod
    def _understood(cls, text: str | None) -> str | None:
        if text is not None and not understood(text):
            raise fault("expect is not understood", 'OP VALUE with OP one of == != >= <= > <, such as ">= 1"')
        return text

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.expect is None) == (self.newer_than is None):
            raise fault("a probe has either expect or newer_than")
        return self

    @property
    def expected(self) -> str:
        """What is expected, for people: ``>= 1`` or ``newer than 12h``."""
        return self.expect or f"newer than {duration_text(self.newer_than or timedelta())}"

    def compare(self, value: object, now: datetime | None = None) -> bool:
        """Whether `value`, the answer of the restored data, is what is expected; no answer (None) never is.

        Both sides are compared as numbers if the expected one is a number, else as text. `now` is the instant from
        which `newer_than` counts back, the drilled point's `cut_at`.
        """
        if value is None:
            return False
        if self.newer_than is not None:
            when = instant_of(value)
            return now is not None and when is not None and when > now - self.newer_than
        return meets(value, self.expect or "")


def _check_vault(text: str) -> str:
    account, dot, region = text.partition(".")
    if not is_name(account) or (dot and not re.fullmatch(r"[a-z0-9-]+", region)):
        raise fault(f"{text[:80]!r} is not a vault", "a vault of drorch.yaml, or ACCOUNT.REGION for snapshots")
    return text


VaultName = Annotated[
    StrictStr,
    AfterValidator(_check_vault),
    WithJsonSchema({"type": "string", "pattern": f"^{NAME}(\\.[a-z0-9-]+)?$"}),
]
"""The name of an object vault, or of the native vault ``ACCOUNT.REGION``."""


class Login(Frozen):
    """How probes log on to a restored database: its endpoint and engine are what its provider shows.

    `user` and `database` left out are the master user and the database that the source was made with. `password` is
    the one that the user had when the point was cut. `tls` and `ca` as in a `connection:`.
    """

    password: CredentialRef
    user: Annotated[Text | None, Something] = None
    database: Annotated[Text | None, Something] = None
    tls: Literal["verify-full", "require", "off"] | None = None
    ca: Annotated[Text | None, Something] = None

    @field_validator("tls", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        """YAML 1.1 reads the bare word ``off`` as false."""
        return "off" if value is False else value


class DrillRule(Frozen):
    """A restore drill `every` so often, from each of the vaults `from_` (``from:`` in a file; left out, from all, of
    snapshots from all outside the home region).

    Of snapshots alone: how they are brought back for it (`options`, the kind's own), for how many hours at most
    anything of it may be there, how its probes log on (`connect`), and whether databases get a security group of the
    drill's own (`isolation`, by default where nobody says others), into which `reach_from` alone comes.
    """

    every: Duration
    from_: tuple[VaultName, ...] = Field(default=(), alias="from", min_length=1)
    probes: tuple[Probe, ...] = ()
    options: Annotated[dict[str, Any], Something] = Field(default_factory=dict)
    max_hours: Annotated[Count | None, Something] = None
    connect: Annotated[Login | None, Something] = None
    isolation: Annotated[Literal["own"] | None, Something] = None
    reach_from: Annotated[tuple[Reach, ...], Field(min_length=1)] = ()


# --- resources -----------------------------------------------------------------------------------------------------


class VaultRule(Frozen):
    """One vault that a resource's points go to, with its own rules.

    `home` marks the implicit vault of native snapshots in the home region; `every` None means every point. `lock` is
    that of native copies; an object vault has its own.
    """

    vault: str
    keep: Keep
    every: timedelta | None = None
    kms_key: str | None = None
    home: bool = False
    lock: LockRule | None = None


class Origin(Frozen):
    """The template that a resource was made from, and the database that it is of.

    `listed` is false where no server has named the database since the cache was lost: records alone do.
    """

    template: Name
    database: str
    listed: bool = True


class DerivedCadence(Frozen):
    """Why a resource that says no schedule is cut as often as it is: `charge` are the levels whose RPO it keeps, and of
    those `level` (through `vault`) is the tightest. `allowance` is the time to a usable copy there.

    `asked` is the cadence by the policy alone: the same, unless the time that was `measured` asks for a shorter one.
    `kept` is false where no cadence keeps the promise.
    """

    asked: timedelta
    offset: timedelta = timedelta()
    charge: tuple[FailureLevel, ...] = ()
    level: FailureLevel | None = None
    vault: str = ""
    rpo: timedelta = timedelta()
    allowance: timedelta = timedelta()
    measured: bool = False
    kept: bool = True


class ResourcePolicy(Frozen):
    """One resource of an application. `objectives` and `exempt` are those of its dataset, the application's merged in.

    `native` says that the provider's own snapshots are its points; `targets[0]` is then their home vault. `options` is
    the model of the kind. `objectives` may name levels that `exempt` takes the dataset out of. `formerly` are the names
    whose history it carries on; its own name there says that its source was replaced. A dump that takes longer than
    `max_duration` is cancelled, and one starts within its `window` only. A `template` stands for all databases of a
    server, and `origin` is where a resource comes from that one of them became (`drorch.domain.template`).
    `cadence` says where a `schedule` comes from that the file leaves out (`drorch.domain.cadence`).
    """

    name: Name
    kind: str
    dataset: Name
    home: FailureDomain
    schedule: InstanceOf[Schedule]
    options: SerializeAsAny[BaseModel]
    native: bool
    targets: tuple[VaultRule, ...]
    floor: Count = 2
    keep_manual: timedelta = timedelta(days=14)
    drill: DrillRule | None = None
    objectives: dict[FailureLevel, Objective] = Field(default_factory=dict)
    exempt: dict[FailureLevel, str] = Field(default_factory=dict)
    inventory: Literal["exact", "estimate", "off"] = "off"
    max_duration: timedelta | None = None
    window: InstanceOf[Window] | None = None
    formerly: tuple[str, ...] = ()
    template: bool = False
    origin: Origin | None = None
    cadence: DerivedCadence | None = None


class TemplateSeen(Frozen):
    """What became of a template: `why` says what kept its databases from being listed now, `unprotected` has those
    that no resource could be made of, each with why.
    """

    name: Name
    why: str = ""
    unprotected: tuple[tuple[str, str], ...] = ()


class Policy(Frozen):
    """One application. `objectives` and `exempt` are the application's own, without those of its resources.

    `formerly` are names that it had before; `reach_back` is how far back a restore after tampering must reach; `ignore`
    is what may lie without a policy, each entry with account and region.
    `templates` is empty until they were replaced by their resources.
    """

    version: int = 1
    application: Name
    owner: str
    home: Home
    objectives: dict[FailureLevel, Objective] = Field(default_factory=dict)
    exempt: dict[FailureLevel, str] = Field(default_factory=dict)
    resources: tuple[ResourcePolicy, ...]
    retired: Retired | None = None
    formerly: tuple[str, ...] = ()
    reach_back: timedelta | None = None
    ignore: tuple[Ignore, ...] = ()
    templates: tuple[TemplateSeen, ...] = ()
    recovery: InstanceOf[Recovery] | None = None
    scenario: InstanceOf[ScenarioRule] | None = None
