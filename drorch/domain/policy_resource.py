"""One resource of a policy file, read and resolved: its kind, options, home, vaults, schedule and drill."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ValidationError

from drorch.domain.explain import Loc, Problem, explain, near, read_fields, unknown_keys
from drorch.domain.host_path import HostPath
from drorch.domain.instant import to_slot
from drorch.domain.model import native_vault_name
from drorch.domain.policy import CredentialRef, DerivedCadence, DrillRule, Home, Keep, ResourcePolicy, VaultRule
from drorch.domain.policy_datasets import Said
from drorch.domain.policy_form import (
    DUMP_ONLY,
    NATIVE_ONLY,
    CopyForm,
    DefaultsForm,
    PolicyForm,
    ResourceForm,
    ScheduleForm,
    TargetForm,
)
from drorch.domain.policy_grants import not_granted, not_readable, to_be_granted
from drorch.domain.schedule import Every, Schedule
from drorch.domain.template import server_options
from drorch.domain.vocabulary import KindWords, Vocabulary
from drorch.domain.window import Window

_MINUTE = timedelta(minutes=1)
_COMMON = frozenset(field.alias or name for name, field in ResourceForm.model_fields.items())
_TOP_ONLY = PolicyForm.model_fields.keys() - ResourceForm.model_fields.keys()


@dataclass(frozen=True, slots=True)
class Around:
    """What a resource is read within: the application (its name "" and its home None where they are wrong)."""

    application: str
    home: Home | None
    vocabulary: Vocabulary
    defaults: DefaultsForm


@dataclass(slots=True)
class Draft:
    """A resource while it is read: what of it is valid so far, and everything that is wrong with it."""

    loc: Loc
    raw: object
    around: Around
    values: dict[str, Any] = field(default_factory=dict)
    words: KindWords | None = None
    options: BaseModel | None = None
    targets: tuple[VaultRule, ...] = ()
    drill: DrillRule | None = None
    problems: list[Problem] = field(default_factory=list)

    def wrong(self, *place: str | int, message: str, hint: str = "", at_key: bool = False) -> None:
        """Note a problem at `place` below the resource."""
        self.problems.append(Problem((*self.loc, *place), message, hint, at_key))

    def has(self, key: str) -> bool:
        """Whether the file says `key` here."""
        return isinstance(self.raw, Mapping) and key in self.raw

    @property
    def dataset(self) -> str:
        """The dataset it protects: its own name unless it says another; "" when that cannot be told."""
        return str(self.values.get("dataset") or self.values.get("name") or "")

    @property
    def home(self) -> Home | None:
        """Its own home, else the application's."""
        return self.values.get("home") or self.around.home

    @property
    def said(self) -> Said:
        """What it says about its dataset's objectives."""
        values = self.values
        return Said(self.loc, str(values.get("name", "")), values.get("objectives", {}), values.get("exempt", {}))


def read_resource(raw: object, loc: Loc, around: Around) -> Draft:
    """Read one entry of `resources`; what is wrong is in the draft's `problems`."""
    draft = Draft(loc, raw, around)
    draft.values, problems = read_fields(ResourceForm, raw, loc)
    draft.problems.extend(problems)
    if not isinstance(raw, Mapping):
        return draft
    draft.words = _kind(draft)
    if draft.words is not None:
        _options(draft, draft.words)
        _only_where_it_belongs(draft, draft.words)
        _home(draft, draft.words)
        draft.targets = tuple(_native_targets(draft) if draft.words.native else _dump_targets(draft))
        draft.drill = _native_drill(draft) if draft.words.native else _drill(draft)
        if not draft.words.native:
            check_window(draft, _grid(draft))
    return draft


def finish(draft: Draft, objectives: dict[Any, Any], exempt: dict[Any, Any]) -> ResourcePolicy:
    """The resolved resource of a draft without problems, under its dataset's objectives and exemptions.

    Where it says no schedule its `cadence` is still to be derived: one minute stands for it.
    """
    values = draft.values
    home, options, words = draft.home, draft.options, draft.words
    if home is None or options is None or words is None:
        raise ValueError(f"resource {draft.dataset!r} was not read completely")
    return ResourcePolicy(
        name=values["name"],
        kind=values["kind"],
        dataset=draft.dataset,
        home=home.domain,
        schedule=_grid(draft) or Every(_MINUTE),
        cadence=None if _grid(draft) else DerivedCadence(asked=_MINUTE, offset=_offset(draft)),
        options=options,
        native=words.native,
        targets=draft.targets,
        floor=values["floor"],
        keep_manual=values["keep_manual"],
        drill=draft.drill,
        objectives=objectives,
        exempt=exempt,
        inventory="off" if words.native else values["inventory"],
        max_duration=values["max_duration"],
        window=_window_of(draft),
        formerly=values["formerly"],
        template=server_options(options) is not None,
    )


def _window_of(draft: Draft) -> Window | None:
    """The window that is meant, in the schedule's time zone where it names none."""
    said, grid = draft.values.get("window"), _grid(draft)
    return None if said is None else said.window("UTC" if grid is None else grid.zone.key)


def _grid(draft: Draft) -> Schedule | None:
    """The schedule that the file says, if it says one."""
    said: ScheduleForm | None = draft.values.get("schedule")
    return None if said is None else said.grid


def _offset(draft: Draft) -> timedelta:
    said: ScheduleForm | None = draft.values.get("schedule")
    return timedelta() if said is None or said.offset is None else said.offset


def check_window(draft: Draft, grid: Schedule | None) -> None:
    """A slot that begins outside the window could only be missed."""
    window = None if grid is None else _window_of(draft)
    slot = None if window is None or grid is None else window.outside(grid)
    if slot is not None:
        message = f"slot {to_slot(slot)} of the schedule begins outside the window {window}"
        draft.wrong("window", message=message, hint="a dump starts within it only: let every slot begin there")


# --- the kind and its own keys -------------------------------------------------------------------------------------


def _kind(draft: Draft) -> KindWords | None:
    vocabulary = draft.around.vocabulary
    kind = draft.values.get("kind")
    if kind is None or kind in vocabulary.kinds:
        return vocabulary.kinds.get(kind or "")
    draft.wrong("kind", message=f"unknown kind {kind[:60]!r}", hint=near(kind, vocabulary.kinds))
    return None


def _options(draft: Draft, words: KindWords) -> None:
    raw = draft.raw if isinstance(draft.raw, Mapping) else {}
    own = {item.alias or name for name, item in words.options.model_fields.items()}
    belongs = _COMMON - set(DUMP_ONLY if words.native else NATIVE_ONLY)
    known = own | belongs
    foreign = {key: raw[key] for key in raw if key not in _COMMON}
    for key in _TOP_ONLY & foreign.keys() - own:
        draft.wrong(key, message=f"{key} is not for a resource", hint="it stands at the top of the file", at_key=True)
        del foreign[key]
    draft.problems.extend(unknown_keys(foreign, known, draft.loc))
    given = {key: raw[key] for key in raw if key in own}
    try:
        draft.options = words.options.model_validate(given)
    except ValidationError as error:
        draft.problems.extend(explain(error, given, draft.loc, words.options))
        return
    for place, named in to_be_granted(draft.options):
        if isinstance(named, HostPath):
            _granted(draft, place, not_readable(named.root, draft.around.application, draft.around.vocabulary))
        else:
            _may_use(draft, (*place, "credential"), named)


def _may_use(draft: Draft, place: Loc, named: CredentialRef) -> None:
    _granted(draft, place, not_granted(named.credential, draft.around.application, draft.around.vocabulary))


def _granted(draft: Draft, place: Loc, why_not: tuple[str, str] | None) -> None:
    if why_not is not None:
        draft.wrong(*place, message=why_not[0], hint=why_not[1])


def _only_where_it_belongs(draft: Draft, words: KindWords) -> None:
    for key in DUMP_ONLY if words.native else NATIVE_ONLY:
        if not draft.has(key):
            continue
        kind = draft.values["kind"]
        if key == "copies":
            message, hint = f"copies is not for kind {kind}", "dumps go to vaults: [NAME, ...]"
        elif key == "vaults":
            message, hint = f"vaults is not for kind {kind}", "snapshots go to copies: [{region: ...}]"
        else:
            message, hint = f"{key} is not for kind {kind}", "it is for dumps"
        draft.wrong(key, message=message, hint=hint, at_key=True)


def _home(draft: Draft, words: KindWords) -> None:
    own = draft.values.get("home")
    if isinstance(draft.raw, Mapping) and draft.has("home"):
        draft.problems.extend(check_home(draft.raw["home"], (*draft.loc, "home"), draft.around.vocabulary))
    if words.native and draft.home is not None and draft.home.account is None:
        place = ("home",) if own is not None else ("kind",)
        message = f"kind {draft.values['kind']} lives in AWS, its home is provider {draft.home.provider}"
        draft.wrong(*place, message=message, hint="home: {account: NAME, region: ...}")


def check_home(raw: object, loc: Loc, vocabulary: Vocabulary) -> Iterator[Problem]:
    """An account or an AWS region that is not known, in a home as the file has it, right otherwise or not."""
    home, _ = read_fields(Home, raw, loc)
    account = home.get("account")
    if account is None:
        return
    if vocabulary.accounts is not None and account not in vocabulary.accounts:
        hint = near(account, vocabulary.accounts) or "accounts are named in drorch.yaml"
        yield Problem((*loc, "account"), f"unknown account {account}", hint)
    if "region" in home:
        yield from check_region(home["region"], (*loc, "region"), vocabulary)


def check_region(region: str, loc: Loc, vocabulary: Vocabulary) -> Iterator[Problem]:
    """A region that AWS does not have."""
    if vocabulary.regions is not None and region not in vocabulary.regions:
        hint = near(region, vocabulary.regions) or "allow_unknown_regions: true in drorch.yaml if it is new"
        yield Problem(loc, f"unknown region {region[:60]!r}", hint)


# --- where points go -----------------------------------------------------------------------------------------------


def _keep(draft: Draft) -> Keep | None:
    """The resource's own rules, else the default; a problem when there are none."""
    defaults = draft.around.defaults
    own: Keep | None = draft.values.get("keep")
    keep = own or defaults.keep_of.get(draft.values.get("kind", ""), defaults.keep)
    if keep is None and not draft.has("keep"):
        draft.wrong(message="keep is missing", hint="such as keep: {last: 3, daily: 14}")
    return keep


def _native_targets(draft: Draft) -> Iterator[VaultRule]:
    account, region = (draft.home.account, draft.home.region) if draft.home is not None else (None, "")
    keep = _keep(draft)
    if account and keep is not None:
        yield VaultRule(vault=native_vault_name(account, region), keep=keep, home=True)
    seen = {(account, region): "it is the home region"}
    entries: tuple[CopyForm | None, ...] = draft.values.get("copies", ())
    for index, copy in enumerate(entries):
        if copy is None:
            continue
        place, into = (*draft.loc, "copies", index, "region"), copy.account or account
        draft.problems.extend(check_region(copy.region, place, draft.around.vocabulary))
        draft.problems.extend(_check_account(draft, copy, (*draft.loc, "copies", index, "account")))
        if region and _partition(copy.region) != _partition(region):
            hint = f"a region of the same partition as {region}"
            draft.problems.append(Problem(place, "AWS cannot copy between partitions", hint))
        if (into, copy.region) in seen:
            of = f" of account {into}" if copy.account else ""
            draft.problems.append(Problem(place, f"region {copy.region}{of} twice", seen[into, copy.region]))
        seen.setdefault((into, copy.region), "one entry per account and region")
        _lockable(draft, index, copy)
        rules = copy.keep or keep
        if into and account and rules is not None:
            vault, lock = native_vault_name(into, copy.region), copy.lock.rule if copy.lock else None
            yield VaultRule(vault=vault, keep=rules, every=copy.every, kms_key=copy.kms_key, lock=lock)


def _lockable(draft: Draft, index: int, copy: CopyForm) -> None:
    """A lock that is asked for and not put would be a promise broken."""
    words, kind = draft.words, draft.values.get("kind")
    if copy.lock is None or words is None or words.locks:
        return
    message, hint = (
        f"copies of kind {kind} have no locks",
        "AWS locks snapshots of kind ebs; dumps are locked by a vault",
    )
    if words.locks_later:
        message, hint = f"lock on copies of kind {kind} is not in this version", words.locks_later
    draft.wrong("copies", index, "lock", message=message, hint=hint, at_key=True)


def _check_account(draft: Draft, copy: CopyForm, place: Loc) -> Iterator[Problem]:
    """An account that is not known, or a kind whose copies cannot lie in another one than the home's."""
    known, home = draft.around.vocabulary.accounts, draft.home
    if copy.account is None:
        return
    if known is not None and copy.account not in known:
        hint = near(copy.account, known) or "accounts are named in drorch.yaml"
        yield Problem(place, f"unknown account {copy.account}", hint)
    elif draft.words is not None and not draft.words.shares and home is not None and copy.account != home.account:
        message = f"a copy of kind {draft.values['kind']} in another account is not in this version"
        yield Problem(place, message, "copies of its home account only")


_PARTITION = re.compile(r"(cn|us-gov|us-iso[a-z]?|eu-iso[a-z]?|eusc)-")
"""Regions by their first letters, of AWS partitions with accounts of their own (botocore, partitions.json)."""


def _partition(region: str) -> str:
    """What the names of the region's partition begin with; "" for the commercial one."""
    match = _PARTITION.match(region)
    return match[1] if match else ""


def _dump_targets(draft: Draft) -> Iterator[VaultRule]:
    known = draft.around.vocabulary.vaults
    entries: tuple[TargetForm | None, ...] = draft.values.get("vaults", ())
    if not entries and "vaults" in draft.values:
        draft.wrong(message="vaults is missing", hint="name at least one vault that the dumps go to")
    seen: set[str] = set()
    wanting = False
    for index, entry in enumerate(entries):
        if entry is None:
            continue
        if known is not None and entry.vault not in known:
            hint = near(entry.vault, known) or "vaults are named in drorch.yaml"
            draft.wrong("vaults", index, *_within(draft, index), message=f"unknown vault {entry.vault}", hint=hint)
        if entry.vault in seen:
            draft.wrong("vaults", index, message=f"vault {entry.vault} twice", hint="one entry per vault")
        seen.add(entry.vault)
        keep = entry.keep or draft.values.get("keep") or draft.around.defaults.keep
        if keep is not None:
            yield VaultRule(vault=entry.vault, keep=keep, every=entry.every)
        wanting = wanting or keep is None
    if wanting:
        _keep(draft)


def _within(draft: Draft, index: int) -> tuple[str, ...]:
    raw = draft.raw["vaults"][index] if isinstance(draft.raw, Mapping) else None
    return ("vault",) if isinstance(raw, Mapping) else ()


def _drill(draft: Draft) -> DrillRule | None:
    """The drill, its vaults resolved: those it names, or all; a default drill goes to those of its vaults we have."""
    ours = tuple(rule.vault for rule in draft.targets)
    answers = draft.words is None or draft.words.probes
    if draft.has("drill"):
        _check_from(draft)
        own: DrillRule | None = draft.values.get("drill")
        _check_native_words(draft, own, native=False)
        if own is not None and own.probes and not answers:
            hint = "the drill compares what is restored with the inventory"
            draft.wrong("drill", "probes", message=f"kind {draft.values['kind']} answers no probes", hint=hint)
        return own.model_copy(update={"from_": ours}) if own is not None and not own.from_ else own
    default = draft.around.defaults.drill
    if default is None:
        return None
    shared = tuple(vault for vault in default.from_ if vault in ours) if default.from_ else ours
    if ours and not shared:
        hint = "give this resource a drill of its own, or one of the default's vaults"
        draft.wrong(message=f"the default drill is from {', '.join(default.from_)}, where no dump goes", hint=hint)
    return default.model_copy(update={"from_": shared, "probes": default.probes if answers else ()})


def _native_drill(draft: Draft) -> DrillRule | None:
    """Of snapshots, where the policy itself asks for one: it costs money at the provider, so no default is one."""
    own: DrillRule | None = draft.values.get("drill") if draft.has("drill") else None
    if own is None:
        return None
    _check_native_words(draft, own, native=True)
    ours = [rule.vault for rule in draft.targets]
    for index, vault in enumerate(own.from_):
        if ours and vault not in ours:
            message = f"drill from {vault}, where no copy goes"
            draft.wrong("drill", "from", index, message=message, hint=near(vault, ours))
    away = tuple(rule.vault for rule in draft.targets if not rule.home) or tuple(ours)
    return own if own.from_ else own.model_copy(update={"from_": away})


def _check_native_words(draft: Draft, own: DrillRule | None, *, native: bool) -> None:
    if own is None:
        return
    if native and own.probes and draft.words is not None and not draft.words.probes:
        hint = "it is drilled whether all of it can be made from the copy; probes are for databases"
        draft.wrong("drill", "probes", message=f"a drill of kind {draft.values['kind']} asks no probes", hint=hint)
    if native and own.connect:
        _may_use(draft, ("drill", "connect", "password", "credential"), own.connect.password)
    for key in ("options", "max_hours", "connect", "isolation", "reach_from"):
        if getattr(own, key) and not native:
            draft.wrong("drill", key, message=f"{key} is for drills of snapshots", hint="leave it out", at_key=True)


def _check_from(draft: Draft) -> None:
    """Every vault that the drill names must be one that the resource's dumps go to."""
    raw = draft.raw if isinstance(draft.raw, Mapping) else {}
    drill, _ = read_fields(DrillRule, raw["drill"], draft.loc)
    entries: tuple[TargetForm | None, ...] = draft.values.get("vaults", ())
    listed = [entry.vault for entry in entries if entry is not None]
    named: tuple[str | None, ...] = drill.get("from_", ())
    for index, vault in enumerate(named):
        if vault is not None and vault not in listed and None not in entries:
            hint = near(vault, listed)
            draft.wrong("drill", "from", index, message=f"drill from {vault}, where no dump goes", hint=hint)
        if vault is not None and vault in named[:index]:
            draft.wrong("drill", "from", index, message=f"vault {vault} twice")
