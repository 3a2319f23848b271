"""The crisis kit in a folder: everything but keys that a person needs on the day, summed up, signed, and replaceable.

It is made in a folder of its own inside the target, so that whatever stops it leaves the last kit as it was; then the
files of the last kit go and the new ones take their place, the signed sums last.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from drorch.app.guide_writing import COMMENT as GUIDE_COMMENT
from drorch.app.kit_page import KitFacts, KitVault, commands_markdown, page_html, page_markdown, trust_words
from drorch.app.kit_wheels import fetch_wheels, needed, own_wheel, requirements, this_platform
from drorch.app.reading import TrustedKey, read_pair
from drorch.crypto.key_token import fingerprint
from drorch.crypto.minisign import BadSignature, PublicKey, SecretKey, verify
from drorch.domain import layout
from drorch.domain.errors import DrorchError, Refused, Unavailable
from drorch.ports import ObjectStore

SUMS = layout.SUMS
STAGING = ".drorch-kit"
_SIGNED = (SUMS, SUMS + layout.SIGNATURE)
_SHORTEST_SECRET = 8
"""Characters: a shorter one stands by chance in any text."""


@dataclass(frozen=True, slots=True)
class KitSources:
    """What a kit is made of: configuration files by their names in the kit, the stores of the vaults, the signing key,
    the extras of drorch that the vaults need, the environment of pip, and every secret that must not be in it.
    """

    configuration: Mapping[str, bytes]
    store_of: Callable[[str], ObjectStore]
    key: SecretKey
    extras: Sequence[str]
    environ: Mapping[str, str]
    secrets: Sequence[str]


@dataclass(frozen=True, slots=True)
class Kit:
    """What was made. `vaults` say why a RESTORE.md is missing; `kept` are files of others that were left alone."""

    folder: Path
    files: int
    bytes: int
    wheels: int
    vaults: tuple[KitVault, ...]
    dumps: int
    kept: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The document of ``--json``."""
        return {
            "folder": str(self.folder),
            "files": self.files,
            "bytes": self.bytes,
            "wheels": self.wheels,
            "dumps": self.dumps,
            "kept": list(self.kept),
            "vaults": [{"vault": v.name, "url": v.url, "guide": not v.why, "why": v.why or None} for v in self.vaults],
        }


def make_kit(folder: Path, facts: KitFacts, sources: KitSources, *, wheels: bool = True) -> Kit:
    """Make the kit in `folder`, or make it anew there. A vault that cannot be read is told, and takes no other along.

    Refused for a folder that holds anything and no kit of this site, or when a secret would get into the kit;
    Unavailable when the folder cannot be written or the wheels cannot be had. The last kit then is as it was.
    """
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        last = _files_of_last(folder, facts)
        staging = folder / STAGING
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            facts = _build(staging, facts, sources, wheels=wheels)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        made = _put_in_place(folder, staging, last, facts)
        shutil.rmtree(staging)  # while it is there, the folder is known as that of a kit that was interrupted
        return made


def _build(staging: Path, facts: KitFacts, sources: KitSources, *, wheels: bool) -> KitFacts:
    """The whole kit in a folder of its own; the facts as they turned out."""
    vaults = tuple(_guide(staging, vault, facts.trusted, sources.store_of) for vault in facts.vaults)
    facts = replace(facts, vaults=vaults, platform=this_platform() if wheels else "")
    _write_all(staging, {**_texts(facts), **sources.configuration})
    _wheels(staging, sources, fetched=wheels)
    _require_no_secret(staging, sources.secrets)
    _sign(staging, sources.key, facts.site)
    return facts


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            "the kit could not be written",
            operation="kit",
            resource=str(folder),
            cause=error.strerror or str(error),
            hint="is the stick mounted, writable and large enough?",
        ) from error


# --- whose folder it is ----------------------------------------------------------------------------------------------


def _comment(site: str) -> str:
    return layout.trusted_comment("kit", site)


def _files_of_last(folder: Path, facts: KitFacts) -> set[str]:
    """The files of the kit that lies there, and of one that was interrupted; none in an empty folder. Refused else."""
    there = {path.name for path in folder.iterdir()}
    if STAGING in there:
        return {*_listed(folder), *_listed(folder / STAGING)}
    if not there:
        return set()
    keys = [facts.signing, *(entry.key for entry in facts.trusted)]
    try:
        signature = (folder / _SIGNED[1]).read_bytes()
        ours = verify((folder / SUMS).read_bytes(), signature, keys).trusted_comment == _comment(facts.site)
    except (OSError, BadSignature):
        ours = False
    if not ours:
        raise Refused(
            "the folder is not empty, and no kit of this site lies there",
            operation="kit",
            resource=str(folder),
            hint="name a folder that is empty, or that is not there yet",
        )
    return set(_listed(folder))


def _listed(folder: Path) -> Iterator[str]:
    """The files that the sums name, as far as they lie in the folder, and the sums themselves."""
    yield from _SIGNED
    try:
        text = (folder / SUMS).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    for line in text.splitlines():
        name = line.partition("  ")[2]
        if name and not name.startswith("/") and ".." not in PurePosixPath(name).parts:
            yield name


# --- what goes in ----------------------------------------------------------------------------------------------------


def _texts(facts: KitFacts) -> dict[str, bytes]:
    texts = {
        "KIT.md": page_markdown(facts),
        "kit.html": page_html(facts),
        "COMMANDS.md": commands_markdown(facts),
        "trusted.pub": "".join(_public(facts)),
        "recipients.txt": "".join(f"{text} {fingerprint(text)}\n" for text in facts.recipients),
    }
    return {name: text.encode() for name, text in texts.items()}


def _public(facts: KitFacts) -> Iterator[str]:
    """Two lines for each key, as in a .pub file; `minisign -p` reads the first of them, which signs now."""
    for word in trust_words(facts):
        key, _, until = word.partition("@before=")
        end = f", counts until {until}" if until else ""
        yield f"untrusted comment: minisign public key {PublicKey.parse(key).name}{end}\n{key}\n"


def _guide(
    staging: Path, vault: KitVault, trusted: Sequence[TrustedKey], store_of: Callable[[str], ObjectStore]
) -> KitVault:
    """Bring the vault's RESTORE.md as it lies there, verified."""
    try:
        text, signature = read_pair(store_of(vault.name), layout.RESTORE_GUIDE, GUIDE_COMMENT, trusted)
    except DrorchError as error:
        return replace(vault, why=str(error))
    name = f"vaults/{vault.name}/RESTORE.md"
    _write_all(staging, {name: text, name + layout.SIGNATURE: signature})
    return vault


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def _wheels(staging: Path, sources: KitSources, *, fetched: bool) -> None:
    folder = staging / "wheels"
    folder.mkdir()
    own_wheel(folder)
    versions = needed(sources.extras)
    if fetched:
        fetch_wheels(folder, versions, sources.environ)
    _write_all(staging, {"requirements.txt": requirements(folder, versions, hashed=fetched).encode()})


def _require_no_secret(staging: Path, secrets: Iterable[str]) -> None:
    """What was copied from the configuration may hold one in a comment; wheels are not of this host."""
    known = [secret.encode() for secret in secrets if len(secret) >= _SHORTEST_SECRET]
    for path in _files(staging):
        body = b"" if path.suffix == ".whl" else path.read_bytes()
        if any(secret in body for secret in known):
            raise Refused(
                "a secret of this host stands in what the kit copies",
                operation="kit",
                resource=path.relative_to(staging).as_posix(),
                hint="take it out of the file (a comment?); secrets stay where {file:}, {env:} and {systemd:} point",
            )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# --- sums, and the change of kits ------------------------------------------------------------------------------------


def _sign(staging: Path, key: SecretKey, site: str) -> None:
    lines = []
    for path in _files(staging):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"{digest}  {path.relative_to(staging).as_posix()}\n")
    sums = "".join(lines).encode()
    _write_all(staging, {SUMS: sums, SUMS + layout.SIGNATURE: key.sign(sums, _comment(site))})


def _put_in_place(folder: Path, staging: Path, last: set[str], facts: KitFacts) -> Kit:
    names = [path.relative_to(staging).as_posix() for path in _files(staging)]
    size = sum((staging / name).stat().st_size for name in names)
    for name in sorted(last.difference(names)):
        (folder / name).unlink(missing_ok=True)
    for name in sorted(names, key=lambda name: name in _SIGNED):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (staging / name).replace(folder / name)
    kept = [path.relative_to(folder).as_posix() for path in _files(folder) if STAGING not in path.parts]
    return Kit(
        folder=folder,
        files=len(names),
        bytes=size,
        wheels=sum(name.endswith(".whl") for name in names),
        vaults=tuple(facts.vaults),
        dumps=len(facts.dumps),
        kept=tuple(sorted(set(kept) - set(names))),
    )
