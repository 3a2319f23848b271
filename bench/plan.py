"""Planning at scale: many applications of many points, read from the cache one application after the other.

The cache is filled with signed manifests as a listing would leave them; then a process of its own reads, folds and
plans every application once, as the first pass of a daemon or `drorch plan` does, and again a minute later each time,
as later passes do: what nothing has changed of is remembered, as far as the memory's bound reaches.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.measure import Figure, tell, tell_figures
from drorch.app.cache import Cache, CachedRecord
from drorch.app.catalogue import VaultReader
from drorch.app.locks import Locks
from drorch.app.observe import Observer, World
from drorch.app.passing import Guards
from drorch.app.planning import Planner
from drorch.app.policies import check_file
from drorch.domain import layout
from drorch.domain.action import Keep
from drorch.domain.instant import to_slot, to_text
from drorch.domain.model import FailureDomain, Vault
from drorch.domain.policy import Policy
from drorch.domain.record import RecordType, artefacts_of, compose
from drorch.ports import ObjectStore
from drorch.wiring.adapters import vocabulary

NOW = datetime(2026, 11, 20, 0, 10, tzinfo=UTC)
VAULTS = {"one": Vault("one", FailureDomain("onprem", "a")), "two": Vault("two", FailureDomain("onprem", "b"))}
REACH_SECONDS, REACH_MIB, REACH_AT = 1.5, 250, 10_000
PASSES = 4
_NAME = "data.zst.age"


def main(given: Sequence[str] | None = None) -> int:
    """0; 1 when the plan does not keep exactly every point."""
    parser = argparse.ArgumentParser(prog="bench.plan", description="planning many applications of many points")
    parser.add_argument("--applications", type=int, default=500)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    if options.child:
        sys.stdout.write(json.dumps(_planned(options.child, options.applications, options.points)))
        return 0
    told = []
    with tempfile.TemporaryDirectory(prefix="drorch-bench-") as folder:
        cache = Path(folder) / "cache.sqlite"
        tell(f"{options.applications} applications of {options.points} points are written")
        _fill(cache, options.applications, options.points)
        command = [sys.executable, "-m", "bench.plan", "--child", str(cache), "--applications"]
        command += [str(options.applications), "--points", str(options.points)]
        for number in range(options.rounds):
            tell(f"round {number + 1} of {options.rounds}")
            told.append(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))
    _tell(told, options.applications, options.points, options.json)
    wanted = [options.applications * options.points * len(VAULTS)] * PASSES
    return 0 if all(each["kept"] == wanted for each in told) else 1


def _tell(told: Sequence[dict[str, Any]], applications: int, points: int, file: Path | None) -> None:
    first = [each["cpu_seconds"][0] * 1e3 / applications for each in told]
    later = [statistics.median(each["cpu_seconds"][1:]) * 1e3 / applications for each in told]
    reach = REACH_SECONDS * 1e3 / REACH_AT
    unit = "CPU ms an application"
    figures = [
        Figure("first pass", unit, tuple(first), reach, 2),
        Figure("every later pass, nothing having changed", unit, tuple(later), reach, 2),
        Figure("remembered of all applications", "%", tuple(each["remembered"] for each in told), digits=0),
        Figure("peak memory", "MiB", tuple(each["mib"] for each in told), REACH_MIB, 0),
    ]
    ratios = {"a first pass takes, of a later one": [a / b for a, b in zip(first, later, strict=True)]}
    title = (
        f"\n{applications:,} applications of {points} points in two vaults; to reach are "
        f"{REACH_SECONDS} CPU s and {REACH_MIB} MiB for {REACH_AT:,}"
    )
    facts = {"applications": applications, "points": points, "vaults": len(VAULTS), "cores": os.cpu_count()}
    tell_figures(title, figures, ratios, facts, file)


def _fill(file: Path, applications: int, points: int) -> None:
    cache = Cache(file, "")
    for vault in VAULTS:
        for number in range(applications):
            name = f"app-{number:05}"
            made = [_manifest(name, n) for n in range(points)]
            objects = {path: size for _, sizes in made for path, size in sizes.items()}
            prefixes = (f"{layout.RECORDS}{name}/", f"{layout.DATA}{name}/")
            cache.replace(vault, prefixes, [r.path for r, _ in made], [r for r, _ in made], objects)
        cache.set_listing(vault, to_text(NOW))
    cache.close()


def _manifest(application: str, number: int) -> tuple[CachedRecord, dict[str, int]]:
    cut_at = NOW.replace(minute=1) - timedelta(days=number)
    volume = {"object": _NAME, "bytes": 2_000_000, "sha256": "11" * 32}
    artefact = {"name": _NAME, "bytes": 2_000_000, "header_bytes": 200, "leaf_bytes": 1 << 20}
    record = compose(
        RecordType.MANIFEST,
        site="bench",
        at=cut_at,
        application=application,
        resource="data",
        point=f"{application}-{number:06}",
        cut_at=cut_at,
        kind="postgres",
        slot=to_slot(cut_at.replace(minute=0)),
        totals={"tables": 100, "rows": 1_000_000, "bytes": 10_000_000, "cipher_bytes": 2_000_000, "uncounted": 0},
        artefacts=[artefact | {"leaves_sha256": "22" * 32, "volumes": [volume]}],
    )
    folder = layout.data_folder(application, "data", cut_at, record.point)
    leaves = artefacts_of(record)[0].leaves_bytes
    sizes = {folder + _NAME: 2_000_000, folder + _NAME + layout.LEAVES: leaves}
    return CachedRecord(record.path, "1@1", to_text(cut_at), "signed", "", record.data), sizes


def _planned(file: Path, applications: int, points: int) -> dict[str, object]:
    """CPU seconds of each pass, how many copies each keeps, the peak of this process in MiB."""
    cache = Cache(file, "")
    reader = VaultReader(cache, (), "")
    observer = Observer(
        site="", vaults=VAULTS, store_of=_no_store, kinds={}, reader=reader, cache=cache, valid_id=lambda *_: True
    )
    planner = Planner(
        observer=observer,
        point_id=lambda *words: "-".join(map(str, words)),
        locks=Locks(file.parent),
        guards=Guards(),
        drills=True,
        state_since=lambda: None,
    )
    base = _policy("app", points)
    policies = [base.model_copy(update={"application": f"app-{number:05}"}) for number in range(applications)]
    seconds, kept = [], []
    for number in range(PASSES):
        began, now = time.process_time(), NOW + timedelta(minutes=number)
        look = planner.look(World(now, changes=cache.changes()), now, {}, {})
        plans = (planner.planned(policy, look, valid=True) for policy in policies)
        kept.append(sum(isinstance(action, Keep) for plan in plans for action in plan.actions))
        seconds.append(time.process_time() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    remembered = 100 * planner.remembered / applications
    figures = {"applications": applications, "points": points, "remembered": remembered}
    return {"cpu_seconds": seconds, "kept": kept, "mib": peak, **figures}


def _no_store(vault: str) -> ObjectStore:
    raise SystemExit(f"{vault} is in the cache alone")


def _policy(name: str, points: int) -> Policy:
    text = (
        f"version: 1\napplication: {name}\nhome: {{account: prod, region: us-east-1}}\n"
        "objectives: {region: {rpo: 2d, rto: 1d}}\nresources:\n"
        "  - {name: data, kind: postgres, connection: {host: localhost, database: d, user: u}, schedule: {every: 1d}, "
        f"vaults: [one, two], keep: {{daily: {points}}}}}\n"
    )
    words = vocabulary(vaults={n: v.domain for n, v in VAULTS.items()}, accounts=frozenset({"prod"}))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{name}.yaml").write_text(text)
        policy, findings = check_file(Path(folder) / f"{name}.yaml", words)
    if policy is None:
        raise SystemExit(str(findings))
    return policy


if __name__ == "__main__":
    sys.exit(main())
