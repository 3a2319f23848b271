"""The folder of policies: one file per application, and one bad file touches its own application only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from drorch.app.git_commit import commit_of
from drorch.app.text_file import read_text
from drorch.app.yaml_source import YamlSource, read_yaml
from drorch.domain.errors import Finding, InvalidInput, Unavailable
from drorch.domain.policy import Policy
from drorch.domain.policy_file import parse_policy
from drorch.domain.vocabulary import Vocabulary

ATTEMPTS = 5
"""How often a folder that changes under the reader is read anew before it is left to the next pass."""


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy and the text that it was read from. `file` is its name in the folder, `digest` the text's SHA-256.

    `stale` says that the file is invalid now and this is its last valid text: it is cut under, nothing is deleted
    under it.
    """

    policy: Policy
    file: str
    text: str
    digest: str
    commit: str
    stale: bool = False


@dataclass(frozen=True, slots=True)
class InvalidPolicy:
    """A file that is not a policy, and the application that it is probably about."""

    application: str
    file: str


@dataclass(frozen=True, slots=True)
class PolicySet:
    """What a folder of policies says.

    `valid` has one entry per application, by name, the stale ones included; `findings` is everything wrong, by place;
    `invalid` the files in which it is. `missing` names applications that have a last valid text but no file any more.
    """

    valid: tuple[LoadedPolicy, ...]
    findings: tuple[Finding, ...] = ()
    invalid: tuple[InvalidPolicy, ...] = ()
    missing: tuple[str, ...] = ()
    commit: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """The last valid text of an application whose file has become another's, under a name that no file has: to be
    remembered beside the files' own texts, so that it stays missed."""

    def get(self, application: str) -> LoadedPolicy | None:
        """The application's policy, if it has one."""
        return next((loaded for loaded in self.valid if loaded.policy.application == application), None)


@dataclass(frozen=True, slots=True)
class _Read:
    """One file as it was read: the policy or what is wrong."""

    file: str
    text: str
    application: str
    policy: Policy | None
    findings: tuple[Finding, ...]
    name_place: tuple[int, int] = (1, 1)
    formerly: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """The names that the application had before, each with its place."""
    digest: str = ""


class PolicyFolder:
    """A folder of policies that is read again and again under one vocabulary: a text seen before is not parsed anew."""

    def __init__(self, folder: Path, vocabulary: Vocabulary) -> None:
        self.folder = folder
        self.vocabulary = vocabulary
        self._seen: dict[tuple[str, str], _Read] = {}
        self._last: tuple[tuple[object, ...], PolicySet] | None = None

    def load(self, last_valid: Mapping[str, str]) -> PolicySet:
        """As `load_policies`; the same object as the last time where the same is read."""
        texts, unread, commit = _settled(self.folder)
        told = (texts, unread, commit, last_valid)
        if self._last is None or self._last[0] != told:
            self._last = (texts, unread, commit, dict(last_valid)), self._understood(texts, unread, commit, last_valid)
        return self._last[1]

    def _understood(
        self,
        texts: Mapping[str, str],
        findings: Mapping[str, list[Finding]],
        commit: str,
        last_valid: Mapping[str, str],
    ) -> PolicySet:
        if not texts and not findings:
            raise InvalidInput(f"there is no policy in {self.folder}", hint="one file APPLICATION.yaml per application")
        seen, self._seen = self._seen, {}
        read = [self._parse(name, text, seen) for name, text in sorted(texts.items())]
        read.extend(_Read(name, "", "", None, tuple(found)) for name, found in findings.items())
        read = _without_doubles(self.folder, read)
        mute = [r.file for r in read if not r.application and r.file in last_valid]
        told = {name: self._parse(name, last_valid[name], seen).application for name in mute}
        read = _without_contested(self.folder, read, told)
        valid = [LoadedPolicy(r.policy, r.file, r.text, r.digest, commit) for r in read if r.policy is not None]
        invalid = sorted((r for r in read if r.policy is None), key=lambda r: r.file)
        renamed = self._renamed(read, last_valid, seen)
        last_valid = {**last_valid, **renamed}
        in_question = {r.file for r in invalid} | (last_valid.keys() - texts.keys())
        before = {name: self._parse(name, last_valid[name], seen) for name in sorted(in_question & last_valid.keys())}
        valid.extend(_stale(invalid, before, {loaded.policy.application for loaded in valid}))
        named = {loaded.policy.application for loaded in valid} | {_about(r, before) for r in invalid}
        named.update(name for loaded in valid for name in loaded.policy.formerly)
        gone = {r.application for name, r in before.items() if name not in texts and name not in findings}
        return PolicySet(
            valid=tuple(sorted(valid, key=lambda loaded: loaded.policy.application)),
            findings=tuple(sorted({finding for r in invalid for finding in r.findings})),
            invalid=tuple(InvalidPolicy(_about(r, before), r.file) for r in invalid),
            missing=tuple(sorted(gone - named - {""})),
            commit=commit,
            renamed=renamed,
        )

    def _renamed(
        self, read: Sequence[_Read], last_valid: Mapping[str, str], seen: Mapping[tuple[str, str], _Read]
    ) -> dict[str, str]:
        """Files that were another application's when they were last valid: that one is as gone as with its file."""
        found = {}
        for r in read:
            old = last_valid.get(r.file)
            if r.policy is not None and old is not None and old != r.text:
                application = self._parse(r.file, old, seen).application
                if application and application != r.application:
                    found[f"{r.file}@{application}"] = old
        return found

    def _parse(self, name: str, text: str, seen: Mapping[tuple[str, str], _Read]) -> _Read:
        key = (name, text)
        self._seen[key] = seen.get(key) or _parse(self.folder, name, text, self.vocabulary)
        return self._seen[key]


def load_policies(folder: Path, vocabulary: Vocabulary, last_valid: Mapping[str, str]) -> PolicySet:
    """Read every ``*.yaml`` in `folder`. `last_valid` has, by file name, the text that was valid when last seen.

    Raises InvalidInput when the folder cannot be read or holds no policy at all, Unavailable when it keeps changing
    while it is read.
    """
    return PolicyFolder(folder, vocabulary).load(last_valid)


def check_file(path: Path, vocabulary: Vocabulary) -> tuple[Policy | None, tuple[Finding, ...]]:
    """One policy file, wherever it lies: the policy, or everything that is wrong with it."""
    text, findings = read_text(path, str(path))
    if text is None:
        return None, tuple(findings)
    read = _parse(path.parent, path.name, text, vocabulary)
    return read.policy, read.findings


def check_files(paths: Sequence[Path], vocabulary: Vocabulary) -> tuple[tuple[Policy, ...], tuple[Finding, ...]]:
    """As `check_file`, for several: two of one application are an error in both, as are two of one history."""
    read = []
    for path in dict.fromkeys(paths):
        text, findings = read_text(path, str(path))
        if text is None:
            read.append(_Read(str(path), "", "", None, tuple(findings)))
        else:
            read.append(_parse(Path(), str(path), text, vocabulary))
    read = _without_contested(Path(), _without_doubles(Path(), read), {})
    policies = tuple(r.policy for r in read if r.policy is not None)
    return policies, tuple(sorted({finding for r in read for finding in r.findings}))


# --- reading -------------------------------------------------------------------------------------------------------


def _settled(folder: Path) -> tuple[dict[str, str], dict[str, list[Finding]], str]:
    """All texts, all files that cannot be read, and the commit, of one instant in which nothing changed."""
    for _ in range(ATTEMPTS):
        before = _stamp(folder)
        texts: dict[str, str] = {}
        findings: dict[str, list[Finding]] = {}
        for name in before.files:
            path = f"{folder}{os.sep}{name}"
            text, found = read_text(path, path)
            if text is None:
                findings[name] = found
            elif name.endswith(".yml"):
                findings[name] = [Finding(path, 1, 1, "not read: its name ends in .yml", "rename it to .yaml")]
            else:
                texts[name] = text
        if _stamp(folder) == before:
            return texts, findings, before.commit
    raise Unavailable(
        f"the policies in {folder} change while they are read", hint="they are read again at the next pass"
    )


@dataclass(frozen=True, slots=True)
class _Stamp:
    """Another one once the checked-out commit or a policy file has changed. `files` has, by name and in their order,
    inode, size and time of change; nothing where a file cannot be asked.
    """

    commit: str
    files: Mapping[str, tuple[int, ...]]


def _stamp(folder: Path) -> _Stamp:
    """Of the policy files of the folder, hidden ones left out (``.pre-commit-config.yaml`` is none)."""
    commit = commit_of(folder)
    try:
        with os.scandir(folder) as entries:
            found = [(e.name, e) for e in entries if e.name.endswith((".yaml", ".yml")) and e.name[0] != "."]
    except OSError as error:
        reason = (error.strerror or "").lower()
        hint = "policies: in drorch.yaml names the folder"
        raise InvalidInput(f"the policies folder {folder} cannot be read: {reason}", hint=hint) from error
    return _Stamp(commit, {name: _of_file(entry) for name, entry in sorted(found)})


def _of_file(entry: os.DirEntry[str]) -> tuple[int, ...]:
    try:
        seen = entry.stat()
    except OSError:
        return ()
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


def _parse(folder: Path, name: str, text: str, vocabulary: Vocabulary) -> _Read:
    source, findings = read_yaml(text, str(folder / name))
    if source is None:
        return _Read(name, text, "", None, findings)
    policy, problems = parse_policy(source.data, vocabulary)
    place = source.place(("application",))
    found = tuple(sorted({source.finding(problem) for problem in problems}))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return _Read(name, text, _application(source), policy, found, place, _formerly(source), digest)


def _application(source: YamlSource) -> str:
    name = source.data.get("application")
    return name if isinstance(name, str) else ""


def _formerly(source: YamlSource) -> dict[str, tuple[int, int]]:
    """What a file says that its application was called, right otherwise or not."""
    names = source.data.get("formerly")
    entries = names if isinstance(names, list) else ()
    return {name: source.place(("formerly", i)) for i, name in enumerate(entries) if isinstance(name, str)}


# --- several files together ----------------------------------------------------------------------------------------


def _without_doubles(folder: Path, read: list[_Read]) -> list[_Read]:
    """The same files; those that claim one application are all refused, each with a finding that names the others."""
    claims: dict[str, list[str]] = {}
    for r in read:
        if r.application:
            claims.setdefault(r.application, []).append(r.file)
    result = []
    for r in read:
        others = [file for file in claims.get(r.application, ()) if file != r.file]
        if others:
            message = f"application {r.application} is also in {', '.join(others)}"
            double = Finding(str(folder / r.file), *r.name_place, message, "one application, one file")
            r = replace(r, policy=None, findings=(*r.findings, double))
        result.append(r)
    return result


def _without_contested(folder: Path, read: list[_Read], told: Mapping[str, str]) -> list[_Read]:
    """The same files; those that claim the history of an application that there still is are refused, and so is that.

    So are two that claim one history. `told` has the applications of the last valid texts of files that name none now:
    they are still about them.
    """
    present = [(r.file, r.application or told.get(r.file, "")) for r in read]
    named: dict[str, list[str]] = {}
    claimed: dict[str, list[str]] = {}
    for r, (file, application) in zip(read, present, strict=True):
        named.setdefault(application, []).append(file)
        for name in r.formerly:
            claimed.setdefault(name, []).append(file)
    result = []
    for r, (_, application) in zip(read, present, strict=True):
        found = []
        for name, place in r.formerly.items():
            still = [file for file in named.get(name, ()) if file != r.file]
            if still:
                message = f"formerly names application {name}, which is still in {', '.join(still)}"
                found.append(Finding(str(folder / r.file), *place, message, "remove that file, or the name from here"))
            rivals = [file for file in claimed[name] if file != r.file]
            if rivals:
                message = f"the history of application {name} is claimed by {', '.join(rivals)} too"
                found.append(Finding(str(folder / r.file), *place, message, "one history, one application"))
        heirs = [file for file in claimed.get(application, ()) if file != r.file]
        if application and heirs:
            message = f"application {application} is formerly of {', '.join(heirs)}"
            hint = "remove this file, or the name from there"
            found.append(Finding(str(folder / r.file), *r.name_place, message, hint))
        if found:
            r = replace(r, policy=None, findings=(*r.findings, *found))
        result.append(r)
    return result


def _stale(invalid: list[_Read], before: Mapping[str, _Read], taken: set[str]) -> Iterator[LoadedPolicy]:
    """The last valid texts of files that are invalid now, unless they claim an application that has a valid file."""
    for r in invalid:
        old = before.get(r.file)
        if old is None or old.policy is None or old.application in taken:
            continue
        taken.add(old.application)
        yield LoadedPolicy(old.policy, r.file, old.text, old.digest, "", stale=True)


def _about(r: _Read, before: Mapping[str, _Read]) -> str:
    """The application that a file is about: what it says, what it said when it was valid, else its name."""
    old = before.get(r.file)
    return r.application or (old.application if old is not None else "") or Path(r.file).stem
