"""A vault's own RESTORE.md, its commands taken out and given to a shell that has neither drorch nor Python."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dumped import APPLICATION, SITE, HandClock

from drorch.app.dump import DumpLimits, DumpOrder, DumpOutcome, dump
from drorch.app.reading import TrustedKey
from drorch.app.rewrap import Hands, rewrap
from drorch.app.vaults import init_vault
from drorch.app.verify import Place
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.ports import Engine, StoreLimits
from drorch.stores.directory import DirectoryStore, Options
from drorch.wiring import adapters

MIB = 1024 * 1024
COMMON = ("bash", "cat", "sed", "grep", "tail", "base64", "mkdir", "minisign", "age", "zstd", "sha256sum")
"""What every guide asks for, and what POSIX has."""
FORBIDDEN = ("drorch", "python", "python3", "pip", "perl")


class GuidedVault:
    """A folder as a vault, with dumps and the guide that drorch writes of them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.store = DirectoryStore("nas", str(folder), limits=StoreLimits(part_bytes=MIB))
        self.folder = folder
        self.clock = HandClock(datetime.now(UTC) + timedelta(minutes=1))
        self.key = SecretKey.generate()
        self.identity, self.recipient = new_identity()

    def dump(self, resource: str, engine: Engine, options: object, volume_bytes: int | None = None) -> DumpOutcome:
        """Cut a point; `volume_bytes` is the largest object."""
        order = DumpOrder(
            site=SITE,
            application=APPLICATION,
            resource=resource,
            kind=engine.kind,
            point=f"p-{resource}",
            slot="2026-11-20T12:00Z",
            recipients=(self.recipient,),
            inventory="exact",
        )
        limits = DumpLimits(volume_bytes=volume_bytes)
        vaults = {"nas": self.store}
        return dump(order, engine, options, {}, vaults, self.key, clock=self.clock, limits=limits)

    def rewrap(self, made: DumpOutcome) -> str:
        """A new identity that opens the point by a header beside it."""
        identity, recipient = new_identity()
        place = Place(APPLICATION, made.manifest.resource, made.cut_at, made.point)
        trusted = [TrustedKey(self.key.public)]
        hands = Hands(lambda _vault: self.store, trusted, [self.identity], lambda: self.key, self.clock)
        assert rewrap(place, recipient, "nas", ["nas"], hands).written
        return identity

    def guide(self) -> str:
        """RESTORE.md as it lies in the vault after `vault init`."""
        words = adapters.guide_words({"nas": Options(path=str(self.folder), provider="onprem", region="office")})
        init_vault(
            self.store,
            site=SITE,
            key=self.key,
            trusted=[TrustedKey(self.key.public)],
            recipients=[self.recipient],
            now=self.clock.now(),
            words=words,
        )
        return (self.folder / layout.RESTORE_GUIDE).read_text()


def blocks(guide: str) -> dict[str, str]:
    """Name -> commands of every fenced block."""
    found = re.findall(r"^```bash (\S+)\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


def point_of(guide: str, resource: str) -> str:
    """The folder that the table names for a resource."""
    (row,) = [line for line in guide.splitlines() if line.startswith("|") and f"| {resource} |" in line]
    return row.split("|")[-2].strip().strip("`")


@dataclass
class Shell:
    """A folder to work in and the only programs there are: `programs` from PATH, `more` by their paths."""

    folder: Path
    programs: Sequence[str] = ()
    more: Mapping[str, Path] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)

    def run(self, guide: str, names: Sequence[str], identity: str, key: str, **settings: str) -> str:
        """Give the blocks `names` of a guide in one shell, with the person's settings; what they print."""
        own = self.folder / "bin"
        self.folder.mkdir(exist_ok=True)
        own.mkdir()
        for name in (*COMMON, *self.programs):
            found = shutil.which(name)
            assert found, name
            (own / name).symlink_to(found)
        for name, path in self.more.items():
            (own / name).symlink_to(path)
        work = self.folder / "work"
        work.mkdir()
        (work / "key.txt").write_text(identity + "\n")
        given = {"KEY": key, **settings}
        found = blocks(guide)
        found["settings"] = _set(found["settings"], given)
        script = "\n".join(f"# --- {name}\n{found[name]}" for name in ("settings", *names))
        print(f"\n$ # PATH={own}: {' '.join(sorted(path.name for path in own.iterdir()))}\n{script}")  # noqa: T201
        absent = f"! command -v {' '.join(FORBIDDEN)} || exit 99\n"
        environ = {"PATH": str(own), "HOME": str(work), **self.environ}
        bash = shutil.which("bash")
        assert bash
        command = [bash, "-e", "-c", absent + script]
        done = subprocess.run(command, cwd=work, env=environ, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{done.returncode}: {done.stderr}\n{done.stdout}"
        return done.stdout


def _set(block: str, given: Mapping[str, str]) -> str:
    for name, value in given.items():
        block, count = re.subn(rf"^{name}=\S+", f"{name}='{value}'", block, flags=re.MULTILINE)
        assert count == 1, name
    return block
