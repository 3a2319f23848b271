"""Every action, met by every fault at the instant when it acts, until nothing is left to do: then the world is judged.

``PYTHONPATH=tests python tests/app/test_fault_matrix.py`` prints the matrix. A fault that was never met fails its cell,
unless the cell is declared impossible, with its reason.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import structlog
from faults import Faults, FaultySnapshots, FaultyStore
from witness import Witness, at_rest
from worlds import AWAY, EU, HOME, IMAGES, LEDGER, ORDERS, ROOM, SEATS, VOLUMES, WEST, Installation

from drorch.app.passing import Guards
from drorch.domain import layout
from drorch.domain.action import (
    EXECUTABLE,
    Action,
    Copy,
    Cut,
    Drill,
    Expire,
    Lock,
    Mark,
    Repair,
    Replicate,
    Ship,
    Sweep,
    Unshare,
    Verify,
    WriteHead,
    WriteRecord,
    WriteRunbook,
)
from drorch.domain.errors import OutcomeUnknown, Unavailable
from drorch.domain.instant import to_compact
from drorch.domain.plan_sweep import LEFTOVER_AFTER
from drorch.domain.policy import LockRule

DRILLED = ORDERS.replace("keep: {last: 3}", "keep: {last: 2}")
DUMPS = DRILLED.replace(
    '        drill: {every: 7d, from: [gcs-eu], probes: [{sql: select count(*) from orders, expect: ">= 1"}]}\n', ""
)
PLANNED = DUMPS.replace(
    "    resources:", "    recovery: {regions: {us-west-2: {}}, steps: [{name: word, manual: x}]}\n    resources:"
)
SNAPSHOTS = VOLUMES.replace("keep: {last: 3}", "keep: {last: 2}")
LOCKED_SNAPSHOTS = SNAPSHOTS.replace("us-west-2}", "us-west-2, lock: {for: 10d, irrevocable: true}}")
VAULTED = SNAPSHOTS.replace("{region: us-west-2}", "{region: us-west-2, account: vault}")
WEB = IMAGES.replace("keep: {last: 3}", "keep: {last: 2}")
INSTANCE = LEDGER.replace("keep: {last: 3}", "keep: {last: 2}")
CLUSTER = SEATS.replace("keep: {last: 3}", "keep: {last: 2}")
GRACE = timedelta(days=1)
LOCKED = LockRule(for_=timedelta(days=10))


@dataclass(frozen=True)
class Row:
    """An action at the place where it acts.

    `place` is a kind or a vault, `call` the method that does it, on paths (or in regions) that contain `only`; `reads`
    is what is read on the way (a vault, part of a path), `writes` what is written into a vault.
    """

    name: str
    action: type[Action]
    policy: str
    place: str
    call: str
    only: str = ""
    reads: tuple[str, str] | None = None
    writes: tuple[str, str] | None = None
    vault: str = ""
    days: int = 1
    begins: Callable[[Installation], None] | None = None

    @property
    def native(self) -> bool:
        return self.place in ("ebs", "ami", "rds-instance", "rds-cluster")

    @property
    def listing(self) -> str:
        return "snapshots" if self.native else "list"

    def wanted(self, action: Action) -> bool:
        return isinstance(action, self.action) and (not self.vault or action.vault == self.vault)


# --- how each action comes to be due --------------------------------------------------------------------------------


def _vault_missed_out(world: Installation) -> None:
    world.clock.turn(days=1)
    world.stores[WEST].faults.black_hole()
    world.run(4)
    world.stores[WEST].faults.recover()


def _unfinished_upload(world: Installation) -> None:
    path = next(p for p in world.memory(EU).objects if p.startswith(layout.DATA) and p.endswith(layout.ENCRYPTED))
    folder = path.split("/")[5]
    world.memory(EU).begin(path.replace(folder, f"{to_compact(world.clock.now())}-nothing"))
    world.clock.turn(days=3)


def _data_without_manifest(world: Installation) -> None:
    path = next(p for p in world.memory(EU).objects if p.startswith(layout.DATA) and p.endswith(layout.ENCRYPTED))
    folder = path.split("/")[5]
    for number in range(3):
        half = path.replace(folder, f"{to_compact(world.clock.now())}-nothing")
        world.memory(EU).put(half + str(number), b"half of a dump")
    old = world.clock.now() + LEFTOVER_AFTER
    while world.clock.now() + timedelta(days=1, hours=12) < old:
        _life(world, 1)
    world.clock.present = old


def _old_heads(world: Installation) -> None:
    _life(world, 38)


def _records_of_old(world: Installation) -> None:
    """A point that was let go everywhere 90 days ago; nothing is cut meanwhile, time alone passes."""
    _life(world, 3)
    for _ in range(46):
        world.clock.turn(days=2)
        world.once()


def _damage(world: Installation) -> None:
    """Somebody deletes the data of the newest copy."""
    world.clock.turn(minutes=20)
    path = max(p for p in world.memory(EU).objects if p.startswith(layout.DATA) and p.endswith(layout.ENCRYPTED))
    world.memory(EU).delete(path)


def _life(world: Installation, days: int) -> None:
    for _ in range(days):
        world.clock.turn(days=1)
        world.quiet(minutes=11)


PAPERS = layout.RUNBOOKS
RECORD, MARK, EXPIRED = "/native/", "-expiring-", "-expired-"
ROWS = [
    Row("cut of volumes", Cut, SNAPSHOTS, "ebs", "cut"),
    Row("cut of an image", Cut, WEB, "ami", "cut"),
    Row("cut of an instance", Cut, INSTANCE, "rds-instance", "cut"),
    Row("cut of a cluster", Cut, CLUSTER, "rds-cluster", "cut"),
    Row("cut of a dump", Cut, DUMPS, WEST, "put", "manifest.json", (WEST, "manifest.json"), (WEST, "manifest.json")),
    Row("copy of volumes", Copy, SNAPSHOTS, "ebs", "copy"),
    Row("copy into an account", Copy, VAULTED, "ebs", "copy"),
    Row("share", Copy, VAULTED, "ebs", "share"),
    Row("unshare", Unshare, VAULTED, "ebs", "unshare"),
    Row("copy of an image", Copy, WEB, "ami", "copy"),
    Row("copy of an instance", Copy, INSTANCE, "rds-instance", "copy"),
    Row("copy of a cluster", Copy, CLUSTER, "rds-cluster", "copy"),
    Row("ship", Ship, DUMPS, WEST, "put", "manifest.json", (EU, "/data/"), (WEST, "/"), begins=_vault_missed_out),
    Row("record", WriteRecord, SNAPSHOTS, WEST, "put", RECORD, (WEST, RECORD), (WEST, RECORD)),
    Row(
        "replicate",
        Replicate,
        SNAPSHOTS,
        WEST,
        "put",
        RECORD,
        (EU, RECORD),
        (WEST, RECORD),
        WEST,
        begins=_vault_missed_out,
    ),
    Row("drill", Drill, DRILLED, EU, "put", "/proofs/", (EU, "/data/"), (EU, "/proofs/"), days=7),
    Row("verify", Verify, DUMPS, EU, "read", "/data/", (EU, "/data/"), vault=EU),
    Row("repair", Repair, DUMPS, EU, "put", "/proofs/", (WEST, "/data/"), (EU, "/"), vault=EU, begins=_damage),
    Row("lock", Lock, DUMPS, EU, "extend_lock", vault=EU),
    Row("lock of volumes", Lock, LOCKED_SNAPSHOTS, "ebs", "lock"),
    Row("mark", Mark, DUMPS, EU, "put", MARK, (EU, MARK), (EU, MARK), days=2),
    Row("head", WriteHead, DUMPS, EU, "put", layout.HEADS, (EU, layout.HEADS), (EU, layout.HEADS)),
    Row("runbook", WriteRunbook, PLANNED, EU, "put", PAPERS, (EU, PAPERS), (EU, PAPERS)),
    Row("expire of a dump", Expire, DUMPS, EU, "delete", "", (EU, EXPIRED), (EU, EXPIRED), EU, days=3),
    Row("expire of volumes", Expire, SNAPSHOTS, "ebs", "expire", "", (EU, EXPIRED), (EU, EXPIRED), HOME, days=3),
    Row("expire of an image", Expire, WEB, "ami", "expire", "", (EU, EXPIRED), (EU, EXPIRED), HOME, days=3),
    Row("expire of snapshots", Expire, WEB, "ami", "expire", "snap", (EU, EXPIRED), (EU, EXPIRED), HOME, days=3),
    Row("expire of an instance", Expire, INSTANCE, "rds-instance", "expire", "", (EU, EXPIRED), (EU, EXPIRED), AWAY, 3),
    Row("expire of a cluster", Expire, CLUSTER, "rds-cluster", "expire", "", (EU, EXPIRED), (EU, EXPIRED), AWAY, 3),
    Row("sweep of uploads", Sweep, DUMPS, EU, "abort_upload", vault=EU, begins=_unfinished_upload),
    Row("sweep of data", Sweep, DUMPS, EU, "delete", "-nothing", vault=EU, begins=_data_without_manifest),
    Row("sweep of heads", Sweep, DUMPS, EU, "delete", layout.HEADS, vault=EU, begins=_old_heads),
    Row("sweep of records", Sweep, DUMPS, EU, "delete", layout.RECORDS, vault=EU, begins=_records_of_old),
]
"""`days` of quiet life go before; then `begins` happens."""

# --- faults ----------------------------------------------------------------------------------------------------------


def _place(world: Installation, name: str) -> FaultyStore | FaultySnapshots:
    return world.kinds[name] if name in world.kinds else world.stores[name]


def _stalls(world: Installation) -> Callable[[], None]:
    def stall() -> None:
        world.clock.turn(minutes=10)
        raise OutcomeUnknown("no reply in ten minutes, as ordered")

    return stall


def _steps(ahead: timedelta) -> Callable[[Installation, Row], None]:
    """The host's clock steps in the middle of the action, and is put right after an hour of passes."""

    def meet(world: Installation, row: Row) -> None:
        def step() -> None:
            world.host.ahead = ahead

        _faults(world, row).order(row.call, step, only=row.only)
        world.run(4, minutes=15)
        assert world.host.ahead == ahead, "the fault was never met"
        world.host.ahead = timedelta()

    return meet


def _faults(world: Installation, row: Row) -> Faults:
    return _place(world, row.place).faults


def _ordered(fault: str) -> Callable[[Installation, Row], None]:
    def meet(world: Installation, row: Row) -> None:
        _faults(world, row).order(row.call, fault, only=row.only)  # type: ignore[arg-type]

    return meet


def _stalled(world: Installation, row: Row) -> None:
    _faults(world, row).order(row.call, _stalls(world), only=row.only)


def _stale(world: Installation, row: Row) -> None:
    place = _place(world, row.place)
    place.stale(8)
    world.run(2)
    assert place._stale_passes < 8, "the fault was never met"
    place._stale_passes = 0


def _half(world: Installation, row: Row) -> None:
    _faults(world, row).order(row.listing, "half", times=3)


def _short(world: Installation, row: Row) -> None:
    assert row.reads is not None
    world.stores[row.reads[0]].faults.order("read", "short", only=row.reads[1])


def _full(world: Installation, row: Row) -> None:
    assert row.writes is not None
    world.stores[row.writes[0]].faults.order("put", "full", only=row.writes[1])


def _expired(world: Installation, row: Row) -> None:
    _ordered("expired")(world, row)
    world.run(4, minutes=10)
    _faults(world, row).recover()


def _black_hole(world: Installation, row: Row) -> None:
    faults = _faults(world, row)

    def lost() -> None:
        faults.black_hole()
        raise Unavailable("the region is gone, as ordered")

    faults.order(row.call, lost, only=row.only)
    world.run(4, minutes=20)
    faults.recover()


HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=365)
FAULTS: dict[str, Callable[[Installation, Row], None]] = {
    "fails before": _ordered("before"),
    "lost reply": _ordered("after"),
    "does nothing": _ordered("lose"),
    "stale listing": _stale,
    "half listing": _half,
    "short stream": _short,
    "throttled": _ordered("throttled"),
    "stalls": _stalled,
    "disk full": _full,
    "expired login": _expired,
    "clock +1h": _steps(HOUR),
    "clock -1h": _steps(-HOUR),
    "clock +1d": _steps(DAY),
    "clock -1d": _steps(-DAY),
    "clock +1y": _steps(YEAR),
    "clock -1y": _steps(-YEAR),
    "region gone": _black_hole,
}

IMPOSSIBLE = {
    1: "the provider moves the bytes: there is no stream and no disk of ours",
    2: "it reads no object's bytes",
    3: "it writes no bytes: it reads, removes or locks",
    4: "a read has no reply beside its bytes: that is the short stream",
    5: "a snapshot that was begun has an id of the provider's, which is looked for from then on",
}


def impossible(row: Row, fault: str) -> int:
    """The number of the reason why the fault cannot meet the action; 0 when it can."""
    if fault in ("lost reply", "does nothing") and row.call == "read":
        return 4
    if fault == "does nothing" and row.call in ("cut", "copy"):
        return 5
    if fault == "short stream" and row.reads is None:
        return 1 if row.native else 2
    if fault == "disk full" and row.writes is None:
        return 1 if row.native else 3
    return 0


# --- the cells -------------------------------------------------------------------------------------------------------


class Turns:
    """What a cache remembers of turns."""

    def __init__(self) -> None:
        self.read: dict[tuple[str, str], dict[int, datetime]] = {}

    def of(self, _application: str) -> dict[tuple[str, str], dict[int, datetime]]:
        return {where: dict(turns) for where, turns in self.read.items()}

    def note(self, action: Verify, at: datetime) -> None:
        self.read.setdefault((action.resource, action.vault), {})[action.turn] = at


_moulds: dict[str, Installation | None] = {}


def mould(row: Row, folder: Path) -> Installation:
    """A world in which the action is due; built once."""
    if row.name not in _moulds:
        _moulds[row.name] = None
        locks = {EU: LOCKED} if row.vault == EU and row.action is Lock else {}
        turns = Turns() if row.action is Verify else None
        guards = Guards(host="backup1", grace=GRACE, locks=locks)
        if turns is not None:
            guards = replace(guards, turns=turns.of, turn_read=turns.note)
        world = Installation(folder / row.name.replace(" ", "-"), row.policy, guards=guards, locks=locks)
        if row.action not in (Lock, WriteHead, WriteRunbook):
            world.quiet()
            _life(world, row.days - 1)
            world.clock.turn(days=1)
        if row.begins is not None:
            row.begins(world)
        _until(world, row)
        _moulds[row.name] = world
    found = _moulds[row.name]
    assert found is not None, "its world could not be made"
    return found


def _until(world: Installation, row: Row) -> None:
    for _ in range(60):
        for _ in range(3):  # what is pending moves on from look to look
            if any(row.wanted(action) for action in world.actions(world.reconciler.look(fresh=True))):
                return
        world.run(1, minutes=13)
    raise AssertionError(f"no {row.name} was ever wanted")


def run_cell(row: Row, fault: str, folder: Path) -> Installation:
    """The world of one cell after the fault and its recovery."""
    world = mould(row, folder).twin(folder / f"{row.name}-{fault}".replace(" ", "-"))
    if world.guards.turns is not None:  # a twin of the memory, too
        turns = Turns()
        world.guards = replace(world.guards, turns=turns.of, turn_read=turns.note)
        world.restart()
    witness = Witness(world)
    every: list[Faults] = [kind.faults for kind in world.kinds.values()]
    every += [store.faults for store in world.stores.values()]
    for faults in every:
        faults.met.clear()
    FAULTS[fault](world, row)
    for _ in range(12):
        if not any(faults.standing for faults in every):
            break
        world.run(1, minutes=7)
    assert not any(faults.standing for faults in every), "the fault was never met"
    assert fault == "stale listing" or any(faults.met.total() for faults in every), "the fault was never met"
    world.quiet(most=90)
    wrong = [*witness.wrong, *at_rest(witness)]
    assert not wrong, wrong
    world.reconciler.close()
    return world


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=ROOM) as made:
        yield Path(made)


def test_every_action_that_touches_the_world_has_its_row() -> None:
    assert {row.action for row in ROWS} == set(EXECUTABLE)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_after_the_fault_the_world_becomes_whole(row: Row, fault: str, folder: Path) -> None:
    if not impossible(row, fault):
        run_cell(row, fault, folder)


def table(cell: Callable[[Row, str], str]) -> str:
    """The matrix as Markdown."""
    lines = ["| | " + " | ".join(FAULTS) + " |", "|---" * (len(FAULTS) + 1) + "|"]
    lines += [f"| {row.name} | " + " | ".join(cell(row, fault) for fault in FAULTS) + " |" for row in ROWS]
    return "\n".join(lines + [""] + [f"{number}) {why}" for number, why in IMPOSSIBLE.items()])


def main() -> None:
    """Run every cell and print the table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    with tempfile.TemporaryDirectory(dir=ROOM) as folder:

        def cell(row: Row, fault: str) -> str:
            if number := impossible(row, fault):
                return f"{number})"
            try:
                run_cell(row, fault, Path(folder))
            except AssertionError as error:
                sys.stderr.write(f"{row.name} / {fault}: {error}\n")
                return "**fails**"
            return "ok"

        sys.stdout.write(table(cell) + "\n")


if __name__ == "__main__":
    main()
