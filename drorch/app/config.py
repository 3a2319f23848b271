"""The host configuration: found, read, and refused with every error at once. Secrets are named here, never read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from drorch.app.config_form import Config, ConfigForm, Credential, Drills, Encryption, Signing, VaultConfig
from drorch.app.text_file import read_text
from drorch.app.vault_place import shared_places
from drorch.app.yaml_source import read_yaml
from drorch.domain.errors import InvalidInput, NotFound
from drorch.domain.explain import Loc, Problem, explain, near, read_fields, unknown_keys
from drorch.domain.ignore import wrong_places
from drorch.domain.model import FailureDomain
from drorch.domain.policy import AWS, NAME_HINT, is_name
from drorch.domain.policy_form import DefaultsForm

__all__ = ["Config", "VaultConfig", "find_config", "load_config"]

VARIABLE = "DRORCH_CONFIG"
SYSTEM_PLACE = Path("/etc/drorch/drorch.yaml")
ENGINES = frozenset({"postgres", "mariadb", "mysql"})
SERVERLESS = frozenset({"files"})
"""Dumps that need neither client programs nor a server to drill on."""


def find_config(explicit: Path | None, environ: Mapping[str, str]) -> Path:
    """The configuration's place: `explicit`, ``$DRORCH_CONFIG``, ``./drorch.yaml``, ``/etc/drorch/drorch.yaml``.

    A place that was named must hold a file: nothing else is tried then. NotFound otherwise.
    """
    variable = environ.get(VARIABLE, "")
    for named, how in ((explicit, "--config"), (Path(variable) if variable else None, f"${VARIABLE}")):
        if named is not None:
            if not named.is_file():
                raise NotFound(f"there is no configuration at {named}", cause=f"named by {how}")
            return named
    places = (Path("drorch.yaml"), SYSTEM_PLACE)
    for place in places:
        if place.is_file():
            return place
    looked = f"looked for --config, ${VARIABLE}, ./{places[0]} and {places[1]}"
    raise NotFound("there is no host configuration", hint=looked)


def load_config(
    path: Path,
    *,
    vault_options: Mapping[str, type[BaseModel]],
    regions: frozenset[str] | None = None,
) -> Config:
    """The configuration in `path`. Raises InvalidInput with all findings, NotFound when there is no such file.

    `vault_options` has the options model of every vault type; each model has a property `domain`. `regions` are those
    that AWS has (None: unchecked).
    """
    if not path.is_file():
        raise NotFound(f"there is no configuration at {path}")
    text, findings = read_text(path, str(path))
    source, wrong = (None, ()) if text is None else read_yaml(text, str(path))
    findings.extend(wrong)
    if source is None:
        raise InvalidInput("the host configuration is invalid", findings)
    reading = _Reading(source.data, path.absolute().parent, vault_options, regions)
    config = reading.config(path.absolute())
    if config is None:
        found = sorted({source.finding(problem) for problem in reading.problems})
        raise InvalidInput("the host configuration is invalid", found)
    return config


class _Reading:
    """One reading of the data of a configuration; what is wrong gathers in `problems`."""

    def __init__(
        self,
        data: Mapping[str, Any],
        folder: Path,
        vault_options: Mapping[str, type[BaseModel]],
        regions: frozenset[str] | None,
    ) -> None:
        self.data = data
        self.folder = folder
        self.vault_options = vault_options
        self.top, self.problems = read_fields(ConfigForm, data, ())
        self.problems.extend(unknown_keys(data, ConfigForm.model_fields, (), ()))
        self.regions = None if self.top.get("allow_unknown_regions") else regions

    def config(self, file: Path) -> Config | None:
        """The whole, or None when there are problems."""
        vaults = {name: vault for name, raw in self.top.get("vaults", {}).items() if (vault := self._vault(name, raw))}
        self.problems.extend(self._shared_places(vaults))
        self.problems.extend(self._shared_accounts())
        self.problems.extend(self._default_drill())
        self.problems.extend(wrong_places(self.top.get("ignore", ()), self._accounts(), self.regions))
        self.problems.extend(self._engines("tools"))
        self.problems.extend(self._engines("drills", "scratch"))
        if self.problems:
            return None
        top = dict(self.top)
        del top["version"]
        defaults = top["defaults"]
        top.update(
            file=file,
            vaults=vaults,
            policies=self.folder / top["policies"],
            state=self.folder / top["state"],
            encryption=self._encryption(top["encryption"]),
            signing=self._signing(top["signing"]),
            brake=top["brake"].brake,
            credentials={name: self._credential(entry) for name, entry in top["credentials"].items()},
            drills=self._drills(top["drills"]),
            defaults={name: getattr(defaults, name) for name in defaults.model_fields_set},
        )
        return Config(**top)

    # --- vaults ----------------------------------------------------------------------------------------------------

    def _vault(self, name: str, raw: object) -> VaultConfig | None:
        loc: Loc = ("vaults", name)
        before = len(self.problems)
        if "." in name:
            self._wrong(
                loc, f"{name[:80]!r} is not a vault's name", "names with a dot belong to native snapshots", True
            )
        elif not is_name(name):
            self._wrong(loc, f"{name[:80]!r} is not a name", NAME_HINT, True)
        if not isinstance(raw, Mapping):
            self._wrong(loc, "must be a mapping", "such as {type: directory, path: /mnt/dr, ...}")
            return None
        options = self._options(loc, raw)
        if options is None:
            return None
        domain: FailureDomain = options.domain  # type: ignore[attr-defined]  # promised by whoever hands the models in
        self._check_place(loc, options, domain)
        if len(self.problems) > before:
            return None
        return VaultConfig(name=name, type=raw["type"], options=options, domain=domain)

    def _options(self, loc: Loc, raw: Mapping[str, Any]) -> BaseModel | None:
        kind = raw.get("type")
        if not isinstance(kind, str):
            text = "type must be text" if "type" in raw else "type is missing"
            self._wrong((*loc, "type"), text, f"known: {', '.join(sorted(self.vault_options))}")
            return None
        if kind not in self.vault_options:
            self._wrong((*loc, "type"), f"unknown vault type {kind[:60]!r}", near(kind, self.vault_options))
            return None
        given = {key: raw[key] for key in raw if key != "type"}
        form = self.vault_options[kind]
        if not self._lockable(loc, given, kind):
            del given["lock"]
        try:
            return form.model_validate(given)
        except ValidationError as error:
            self.problems.extend(explain(error, given, loc, form, reserved=()))
        try:  # what is known, so that an unknown key or a wrong lock does not hide an unknown account or region
            known = form.model_fields.keys() - {"lock"}
            return form.model_validate({key: given[key] for key in given if key in known})
        except ValidationError:
            return None

    def _lockable(self, loc: Loc, given: Mapping[str, Any], kind: str) -> bool:
        """Whether `lock`, if it stands there, may: a lock that is asked for and not put would be a promise broken."""
        if "lock" not in given:
            return True
        if "lock" not in self.vault_options[kind].model_fields:
            others = [name for name, form in self.vault_options.items() if "lock" in form.model_fields]
            hint = f"a vault of type {' or '.join(sorted(others))} can have one" if others else ""
            self._wrong((*loc, "lock"), f"a {kind} has no locks", hint, True)
            return False
        if given["lock"] is None:
            self._wrong((*loc, "lock"), "must be a mapping, not nothing", "such as {for: 35d}")
            return False
        return True

    def _check_place(self, loc: Loc, options: BaseModel, domain: FailureDomain) -> None:
        """The account must be one of `aws.accounts`, the region one that AWS has."""
        accounts = self._accounts()
        account = getattr(options, "account", "")
        if account and account not in accounts:
            hint = near(account, accounts) or "accounts are named under aws: accounts:"
            self._wrong((*loc, "account"), f"unknown account {account}", hint)
        if domain.provider == AWS and self.regions is not None and domain.region not in self.regions:
            hint = near(domain.region, self.regions) or "allow_unknown_regions: true if it is new"
            self._wrong((*loc, "region"), f"unknown region {domain.region[:60]!r}", hint)

    def _shared_places(self, vaults: Mapping[str, VaultConfig]) -> Iterator[Problem]:
        """Two vaults of one place: whatever takes one takes the other, and each would count the other's copies."""
        for name, other, same in shared_places({name: (vault.type, vault.options) for name, vault in vaults.items()}):
            message = f"vault {name} is in the same place as vault {other}"
            if not same:
                message = f"vaults {other} and {name} lie one inside the other"
            hint = "a vault has a bucket and prefix, or a folder, of its own"
            yield Problem(("vaults", name), message, hint, at_key=True)

    def _default_drill(self) -> Iterator[Problem]:
        defaults, _ = read_fields(DefaultsForm, self.data.get("defaults", {}), ())
        drill = defaults.get("drill")
        names = self.top.get("vaults", {})
        for index, vault in enumerate(drill.from_ if drill is not None else ()):
            if vault not in names:
                yield Problem(("defaults", "drill", "from", index), f"unknown vault {vault}", near(vault, names))

    def _engines(self, *place: str) -> Iterator[Problem]:
        """Keys of the section at `place` that are not the kind of a dump."""
        for kind in self._section(*place):
            if kind in SERVERLESS:
                message, hint = f"kind {kind} has no {place[-1]}", "it needs no programs and no server: leave it out"
                yield Problem((*place, kind), message, hint, at_key=True)
            elif kind not in ENGINES and is_name(str(kind)):
                yield Problem((*place, kind), f"unknown kind {kind}", near(kind, ENGINES), at_key=True)

    def _shared_accounts(self) -> Iterator[Problem]:
        """One account under two names: a copy in the "other" account would be lost with the first."""
        names: dict[str, str] = {}
        for name, entry in self._section("aws", "accounts").items():
            digits = entry.get("id") if isinstance(entry, Mapping) else None
            if isinstance(digits, str) and digits in names:
                message = f"account {digits} has two names, {names[digits]} and {name}"
                yield Problem(("aws", "accounts", name, "id"), message, "one name per account")
            elif isinstance(digits, str):
                names[digits] = name

    def _accounts(self) -> frozenset[str]:
        """The names of `aws.accounts`, whatever is wrong with the accounts themselves."""
        return frozenset(self._section("aws", "accounts"))

    def _section(self, *place: str) -> Mapping[str, Any]:
        """The mapping at `place` as the file has it; empty when there is none."""
        found: object = self.data
        for key in place:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def _wrong(self, loc: Loc, message: str, hint: str = "", at_key: bool = False) -> None:
        self.problems.append(Problem(loc, message, hint, at_key))

    # --- secrets in files beside the configuration -----------------------------------------------------------------

    def _encryption(self, section: Encryption | None) -> Encryption:
        section = section or Encryption()
        return section.model_copy(update={"identities": tuple(ref.beside(self.folder) for ref in section.identities)})

    def _signing(self, section: Signing) -> Signing:
        key = None if section.key is None else section.key.beside(self.folder)
        return section.model_copy(update={"key": key})

    def _credential(self, entry: Credential) -> Credential:
        return entry.model_copy(update={"secret": entry.secret.beside(self.folder)})

    def _drills(self, section: Drills) -> Drills:
        scratch = {}
        for engine, place in section.scratch.items():
            connection = place.connection
            if connection is not None and connection.password is not None:
                password = connection.password.beside(self.folder)
                place = place.model_copy(update={"connection": connection.model_copy(update={"password": password})})
            scratch[engine] = place
        return section.model_copy(update={"scratch": scratch})
