"""The host configuration as it stands in `drorch.yaml`: its sections, each with its own rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    InstanceOf,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

from drorch.app.reading import TrustedKey
from drorch.app.secret import FORMS, HINT, SecretRef
from drorch.crypto.age import check_recipient
from drorch.crypto.minisign import PublicKey
from drorch.domain.duration import Duration
from drorch.domain.errors import DrorchError, NotInThisVersion
from drorch.domain.explain import fault
from drorch.domain.host_path import PathText
from drorch.domain.ignore import Ignore
from drorch.domain.key_proof import PROVE_EVERY
from drorch.domain.model import FailureDomain
from drorch.domain.policy import BrakeRule, Count, Frozen, Name, Percent, Text
from drorch.domain.policy_form import DefaultsForm, readable_version
from drorch.domain.unprotected import SHORTEST


def _absolute(text: str) -> str:
    if not text.startswith("/") or "\0" in text:
        raise fault("must be an absolute path")
    return text


AbsolutePath = Annotated[StrictStr, AfterValidator(_absolute)]


class VaultConfig(BaseModel):
    """One vault for dumps and records: the model of its type's own keys, and what is lost together with it."""

    model_config = {"frozen": True}

    name: Name
    type: str
    options: InstanceOf[BaseModel]
    domain: FailureDomain


_EXTERNAL_ID = r"[\w+=,.@:/-]{2,1224}"
"""As STS takes it (STS API, AssumeRole, ExternalId)."""


class Account(Frozen):
    """An AWS account: its twelve digits, and the role to assume ("" for ambient credentials), with the external id that
    its trust policy asks for.
    """

    id: StrictStr = Field(description='twelve digits in quotes, such as "111111111111"')
    role_arn: StrictStr = ""
    external_id: StrictStr = ""

    @model_validator(mode="after")
    def _one_account(self) -> Self:
        if not re.fullmatch(r"\d{12}", self.id, re.ASCII):
            raise fault("an account id is twelve digits", 'in quotes: id: "111111111111"')
        role = re.fullmatch(r"arn:aws[a-z-]*:iam::(\d{12}):role/.+", self.role_arn, re.ASCII)
        if self.role_arn and role is None:
            raise fault("role_arn is not the ARN of a role", "arn:aws:iam::ACCOUNT:role/NAME")
        if role is not None and role[1] != self.id:
            raise fault(f"role_arn is of account {role[1]}, not {self.id}")
        if self.external_id and role is None:
            raise fault("external_id belongs to role_arn", "AssumeRole alone takes it")
        if self.external_id and not re.fullmatch(_EXTERNAL_ID, self.external_id, re.ASCII):
            raise fault("this is not an external id", "2 to 1224 letters, digits and any of +=,.@:/-_")
        return self


class Aws(Frozen):
    """The accounts that policies and vaults name by these keys."""

    accounts: dict[Name, Account] = Field(default_factory=dict)


def _recipient(text: str) -> str:
    if text.upper().startswith("AGE-SECRET-KEY"):
        raise fault("a secret key is no recipient", "the public key that belongs to it begins with age1")
    try:
        check_recipient(text)
    except DrorchError as error:
        later = isinstance(error, NotInThisVersion)
        raise fault(error.message if later else "this is not an age recipient", "age1..., a public key") from error
    return text


def _secret_inside(value: object) -> object:
    """``{file: PATH, more: ...}`` as ``{secret: {file: PATH}, more: ...}``, for entries that are a secret and more."""
    given = value if isinstance(value, Mapping) else {}
    if isinstance(given.get("secret"), SecretRef):
        return value
    secret = {form: given[form] for form in FORMS if form in given}
    if len(secret) != 1:
        raise fault("a secret does not stand in the configuration", HINT)
    return {"secret": secret, **{key: given[key] for key in given if key not in FORMS}}


def _not_in_environment(ref: SecretRef | None) -> SecretRef | None:
    if ref is not None and ref.env is not None:
        raise fault("a passphrase does not stand in the environment", "write {file: PATH} or {systemd: NAME}")
    return ref


class IdentityRef(Frozen):
    """Where an identity file lies and, when it is protected, where its passphrase lies."""

    secret: SecretRef
    passphrase: Annotated[SecretRef | None, AfterValidator(_not_in_environment)] = None

    @model_validator(mode="before")
    @classmethod
    def _one_mapping(cls, value: object) -> object:
        return _secret_inside(value)

    def beside(self, folder: Path) -> Self:
        """The same, relative files taken as relative to `folder`."""
        passphrase = None if self.passphrase is None else self.passphrase.beside(folder)
        return self.model_copy(update={"secret": self.secret.beside(folder), "passphrase": passphrase})


class Encryption(Frozen):
    """Whom dumps are encrypted to, and the identities of a host that runs drills."""

    recipients: Annotated[tuple[Annotated[StrictStr, AfterValidator(_recipient)], ...], Field(min_length=1)] = ()
    identities: tuple[IdentityRef, ...] = ()


class Trusted(Frozen):
    """A public key whose records count; with `until`, those that the store says were written before."""

    key: StrictStr
    until: StrictStr | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare_key(cls, value: object) -> object:
        return {"key": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _readable(self) -> Self:
        _ = self.trusted
        return self

    @property
    def trusted(self) -> TrustedKey:
        """The key and its end."""
        try:
            key = PublicKey.parse(self.key)
        except DrorchError as error:
            raise fault("this is not a minisign public key", "RW..., the second line of the .pub file") from error
        try:
            until = None if self.until is None else datetime.fromisoformat(self.until)
        except ValueError as error:
            raise fault("until is not a time", "such as 2027-01-01T00:00Z") from error
        if until is not None and until.tzinfo is None:
            raise fault("until has no time zone", "such as 2027-01-01T00:00Z")
        return TrustedKey(key, until)


class Signing(Frozen):
    """The key that signs records, and the public keys whose records count."""

    key: SecretRef | None = None
    trusted: tuple[Trusted, ...] = ()


class Credential(Frozen):
    """A secret that policies may name, and the applications that may name it (default: none)."""

    secret: SecretRef
    applications: tuple[Name, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _one_mapping(cls, value: object) -> object:
        return _secret_inside(value)


class Limits(Frozen):
    """How many dumps run at once, over all and per database server.

    `copies`: how many copies of a service may be under way in one region of an account, everybody's counted; what is
    left out is AWS's default.
    """

    dumps: Count = 4
    dumps_per_server: Count = 1
    copies: dict[Literal["ec2", "rds", "rds-cluster"], Count] = Field(default_factory=dict)


def _with_sign(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise fault(
            "must be a percentage, not a bare number", f"such as {value}%" if 1 <= value <= 100 else "such as 20%"
        )
    return value


class BrakeForm(Frozen):
    """``{share: 20%, count: 10, per: 1d}``; what is left out is as in `BrakeRule`."""

    share: Annotated[Percent, BeforeValidator(_with_sign)] = BrakeRule().share
    count: Count = BrakeRule().count
    per: Duration = BrakeRule().per

    @property
    def brake(self) -> BrakeRule:
        """What is meant."""
        return BrakeRule(share=self.share, count=self.count, per=self.per)


class ScratchConnection(Frozen):
    """A database server that drills may create and drop databases on. `port` and `database` default by the engine."""

    host: Text
    port: Annotated[StrictInt, Field(gt=0, le=65535)] | None = None
    user: Text
    database: Text | None = None
    password: SecretRef | None = None
    tls: Literal["verify-full", "require", "off"] | None = None
    ca: AbsolutePath | None = None


class Scratch(Frozen):
    """Where drills restore: a throw-away server from installed binaries (`connection` None), or this server."""

    connection: ScratchConnection | None = None

    @model_validator(mode="before")
    @classmethod
    def _private(cls, value: object) -> object:
        if value == "private":
            return {}
        if isinstance(value, str) or value == {}:
            raise fault("must be private or {connection: ...}")
        return value

    @property
    def private(self) -> bool:
        """Whether a throw-away server is started for every drill."""
        return self.connection is None


class Drills(Frozen):
    """Where drills restore, by engine; an engine that is not named has a private server."""

    scratch: dict[str, Scratch] = Field(default_factory=dict)


_LISTEN = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\s]+)):(\d{1,5})", re.ASCII)


class Listen(Frozen):
    """Address and port of the listener."""

    host: str
    port: int

    @model_validator(mode="before")
    @classmethod
    def _address(cls, value: object) -> object:
        match = _LISTEN.fullmatch(value) if isinstance(value, str) else None
        if match is None or int(match[3]) > 65535:
            raise fault("must be HOST:PORT", "such as 127.0.0.1:9188 or [::1]:9188")
        return {"host": match[1] or match[2], "port": int(match[3])}


class Http(Frozen):
    """The listener of metrics and health; None: there is none."""

    listen: Listen | None = None


def _hourly(every: timedelta) -> timedelta:
    if every < SHORTEST:
        raise fault("is too often", "1h at the least: everything is listed, without a filter")
    return every


class UnprotectedRule(Frozen):
    """How often everything is listed for the metric `drorch_unprotected`; None: only `drorch unprotected` does."""

    every: Annotated[Duration, AfterValidator(_hourly)] | None = None


def _daily(every: timedelta) -> timedelta:
    if every < timedelta(days=1):
        raise fault("is too often", "1d at the least: a drill takes a place of the host, and its time")
    return every


class AuditRule(Frozen):
    """How often a point that nobody chose is drilled; None: only when a person asks for one."""

    every: Annotated[Duration, AfterValidator(_daily)] | None = None


class RecoveryRule(Frozen):
    """Whether a runbook may run commands on this host."""

    commands: StrictBool = False


class ConfigForm(Frozen):
    """The top of `drorch.yaml`. `vaults` are read one by one, each by the model of its type."""

    version: Annotated[StrictInt, AfterValidator(readable_version)] = Field(description="write version: 1")
    site: Name = Field(description="one installation, such as acme-prod")
    policies: Text = Field(description="the folder of the policy files, such as policies/")
    state: Text = "/var/lib/drorch"
    tick: Duration = timedelta(seconds=60)
    vaults: dict[str, Any] = Field(default_factory=dict)
    aws: Aws = Aws()
    encryption: Encryption | None = None
    signing: Signing = Signing()
    credentials: dict[Name, Credential] = Field(default_factory=dict)
    paths: dict[Name, tuple[PathText, ...]] = Field(default_factory=dict)
    tools: dict[Name, tuple[AbsolutePath, ...]] = Field(default_factory=dict)
    limits: Limits = Limits()
    brake: BrakeForm = BrakeForm()
    grace: Duration = timedelta(days=3)
    prove_every: Duration = PROVE_EVERY
    drills: Drills = Drills()
    defaults: DefaultsForm = DefaultsForm()
    http: Http = Http()
    unprotected: UnprotectedRule = UnprotectedRule()
    ignore: tuple[Ignore, ...] = ()
    recovery: RecoveryRule = RecoveryRule()
    audits: AuditRule = AuditRule()
    allow_unknown_regions: StrictBool = False


class Config(Frozen):
    """The host configuration, read and resolved: paths absolute, secrets by reference only."""

    file: Path
    site: str
    policies: Path
    state: Path
    tick: timedelta
    vaults: dict[str, VaultConfig]
    aws: Aws
    encryption: Encryption
    signing: Signing
    credentials: dict[str, Credential]
    paths: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """What of this host each application may read; an application that is not named reads nothing."""
    tools: dict[str, tuple[str, ...]]
    limits: Limits
    brake: BrakeRule = BrakeRule()
    grace: timedelta = timedelta(days=3)
    """From the expiring mark to the deletion, at the least."""
    prove_every: timedelta = PROVE_EVERY
    """How often each recipient's key has to be proved (`drorch key check`) before an alarm stands."""
    drills: Drills
    defaults: dict[str, object]
    """What policies leave out: `keep`, `drill` and `objectives`, as far as they are given."""
    http: Http
    unprotected: UnprotectedRule = UnprotectedRule()
    ignore: tuple[Ignore, ...] = ()
    """What may lie without a policy, each with its reason."""
    recovery: RecoveryRule = RecoveryRule()
    audits: AuditRule = AuditRule()
    allow_unknown_regions: bool
