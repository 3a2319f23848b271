"""kill -9 at every call by which something is brought back or drilled, then the same command: the same end state.

Real processes: a command is killed by the AWS that it asks (`killing_cloud`), or at a failpoint of the product. The
deaths of a restore, a drill, a runbook come one after the other in one life, each at what the one before left to do.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import kill_page
import pytest
from desks import Said
from kill_region import AWAY, HOME, RESOURCES, VAULT, Region, alike
from kill_rows import (
    DRILLS,
    FAILPOINT,
    INSTANTS,
    RESTORES,
    RUNBOOK_CALLS,
    Death,
    drill_deaths,
    of_restore,
    of_runbook,
)
from killing_cloud import DONE, KillingAws

import drorch.app.runbook
from drorch.app.failpoint import VARIABLE
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.errors import Unavailable
from drorch.domain.native_restore import TAG_DRILL
from drorch.domain.record import RecordType
from drorch.domain.runbook import WORDS
from drorch.domain.scenario import SCENARIO
from drorch.wiring.adapters import SNAPSHOT_KINDS

pytestmark = pytest.mark.integration
BEGUN = "it was begun before, and goes on with point "


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with KillingAws() as aws:
        made = Region(tmp_path_factory.mktemp("site"), aws)
        yield made
        made.close()


@pytest.fixture
def region(lived: Region) -> Iterator[Region]:
    """Nothing has come back yet."""
    lived.aws.watch()
    yield lived
    lived.aws.watch()
    lived.aws.recover_region(HOME)
    lived.empty_again()


def test_every_kind_of_snapshot_is_restored_and_drilled_here() -> None:
    for table in (RESTORES, DRILLS):
        assert {RESOURCES[resource] for resource in table} == set(SNAPSHOT_KINDS)


def test_the_page_says_where_it_is_killed() -> None:
    assert kill_page.PAGE.read_text() == kill_page.page()


def test_every_instant_of_a_step_is_died_at() -> None:
    source = Path(drorch.app.runbook.__file__).read_text()
    written = set(re.findall(r'reach\(f"step\.\{[^}]+\}\.([a-z-]+)"\)', source))
    assert written == set(INSTANTS)
    assert {f"step.{word}.{instant}" for word in WORDS for instant in INSTANTS} <= {d.where for d in of_runbook()}


def die(region: Region, death: Death, *argv: str, answer: str = "", count: int = 1) -> Said:
    """The command, killed there, at the `count`-th such call."""
    if death.instant == FAILPOINT:
        return region.drorch(*argv, failpoint=death.where, answer=answer)
    region.aws.kill_at(death.where, count, death.instant)
    said = region.drorch(*argv, answer=answer)
    assert region.aws.killed == 1, f"{death} was not reached: {said.err}"
    return said


# --- restores -------------------------------------------------------------------------------------------------------


def restored(name: str, resource: str) -> tuple[str, ...]:
    return ("restore", "shop", resource, "--into", f"region:{AWAY}", "--as", name, "--yes", "--json")


def told(said: Said) -> tuple[str, list[str]]:
    """The report, but for times and notes; and its notes, but for that of an earlier command."""
    report, notes = said.json, []
    for back in report["resources"]:
        del back["data_loss_s"]
        notes += [alike(note) for note in back.pop("notes") if not note.startswith(BEGUN)]
    for step in report["steps"]:
        del step["took_s"]
        step["detail"] = step["detail"].partition(" at ")[0]  # whether it answered as soon as it was there
    return alike(report), notes


def journal(region: Region) -> set[str]:
    """The entries of restores in the vault."""
    return {path.name for path in (region.folder / "disk" / layout.JOURNAL).rglob("*-restore-*.json")}


@pytest.mark.parametrize("resource", RESTORES)
def test_restore_killed_at_every_step_of_one_life(region: Region, resource: str, tmp_path: Path) -> None:
    blocks = {name: tmp_path / name for name in ("golden", "killed")}
    region.aws.lose_region(HOME)
    golden = region.drorch(*restored("golden", resource), "--terraform", str(blocks["golden"]))
    assert golden.code == 0, golden.err
    assert tuple(region.aws.changes) == RESTORES[resource], "each call that changes something has its row"
    there, entries = region.shown(), journal(region)
    region.empty_again()
    command = (*restored("killed", resource), "--terraform", str(blocks["killed"]))
    deaths = of_restore(resource)
    for death in deaths:
        said = die(region, death, *command)
        assert (said.code, said.out) == (-signal.SIGKILL, ""), f"{death} was not reached: {said.err}"
    region.aws.watch()
    said = region.drorch(*command)
    assert said.code == 0, said.err
    assert region.aws.changes == [], "nothing is made twice"
    assert region.shown() == there
    (report, notes), (golden_report, golden_notes) = told(said), told(golden)
    assert report == golden_report
    assert set(notes) <= set(golden_notes), "what is there is known, and need not be told beforehand"
    assert any(note.startswith(BEGUN) for note in said.json["resources"][0]["notes"])
    assert alike(blocks["killed"].read_text()) == alike(blocks["golden"].read_text())
    ends = sum(death.where == "restore.journal-written" for death in deaths)
    assert len(journal(region) - entries) == 1 + ends, "one of each command that came so far"


# --- drills ---------------------------------------------------------------------------------------------------------


def drilled(resource: str) -> tuple[str, ...]:
    return ("drill", "shop", resource, "--from", VAULT, "--json")


def proofs(region: Region, resource: str) -> set[str]:
    """The names of the signed proofs in the vault."""
    records = (region.folder / "disk" / layout.RECORDS / "shop" / resource).rglob("*.json")
    return {path.name for path in records if json.loads(path.read_text())["type"] == RecordType.PROOF}


CLEARED = {
    "DeleteVolume": "volumes",
    "TerminateInstances": "instances",
    "DeleteDBInstance": "databases",
    "DeleteDBCluster": "clusters",
}


def left(region: Region, call: str) -> int:
    """How many such calls clear away what the drill before left."""
    what = CLEARED.get(call, "")
    return len(region.things()[what]) - len(region.empty[what]) if what else 0


@pytest.mark.parametrize("resource", DRILLS)
def test_drill_whose_worker_is_killed_and_another_that_ends(region: Region, resource: str) -> None:
    empty, before, calls = region.shown(), proofs(region, resource), DRILLS[resource]
    for number in drill_deaths(resource):
        call = calls[number]
        nth = left(region, call) + calls[: number + 1].count(call)
        said = die(region, Death(call, DONE), *drilled(resource), count=nth)
        assert said.code == Unavailable.exit_code, said.err
        assert said.json["drills"] == []
    assert proofs(region, resource) == before
    region.aws.watch()
    said = region.drorch(*drilled(resource))
    assert said.code == 0, said.err
    assert tuple(region.aws.changes[-len(calls) :]) == calls, "each call that changes something stands there"
    (outcome,) = said.json["drills"]
    assert (outcome["outcome"], outcome["left"]) == ("restorable", [])
    assert len(proofs(region, resource) - before) == 1
    assert region.shown() == empty and TAG_DRILL not in "".join(empty)


WHOLE = ("drill", "shop", "--scenario", "region", "--json")


@pytest.fixture
def rehearsing(region: Region) -> Iterator[Region]:
    """The policy drills the whole application."""
    region.write_policy(whole="drill: {every: 30d, scenario: region}\n")
    yield region
    region.write_policy()


def test_drill_of_the_whole_whose_worker_is_killed_and_another_that_ends(rehearsing: Region) -> None:
    region, empty = rehearsing, rehearsing.shown()
    before = proofs(region, SCENARIO)
    golden = region.drorch(*WHOLE)
    assert golden.code == 0, golden.err
    assert region.shown() == empty
    calls = list(region.aws.changes)
    made = [call for call in calls if call.startswith(("Create", "Run", "Restore"))]
    assert {"CreateVolume", "RunInstances", "RestoreDBInstanceFromDBSnapshot", "CreateSecurityGroup"} <= {*made}
    for call in (made[-1], "DeleteVolume"):  # the rest is died at in memory (tests/app/test_scenario_drill.py)
        said = die(region, Death(call, DONE), *WHOLE, count=left(region, call) + 1)
        assert said.code == Unavailable.exit_code, said.err
    assert len(proofs(region, SCENARIO) - before) == 1
    region.aws.watch()
    said = region.drorch(*WHOLE)
    assert said.code == 0, said.err
    assert sorted(region.aws.changes[-len(calls) :]) == sorted(calls), "all of it once, when what was left is gone"
    (outcome,) = said.json["drills"]
    assert (outcome["outcome"], outcome["left"]) == ("restorable", [])
    outcomes = {step["step"]: step["outcome"] for step in outcome["steps"]}
    assert outcomes["volumes"] == "done" and outcomes["dns"] == outcomes["site"] == "left out"
    assert len(proofs(region, SCENARIO) - before) == 2
    assert region.shown() == empty and TAG_DRILL not in "".join(empty)


# --- runbooks -------------------------------------------------------------------------------------------------------


def by_runbook(name: str, blocks: Path) -> tuple[str, ...]:
    """Not as JSON: a person at the terminal says what is done by hand. Each life here has a name of its own: for a
    token that it knows EC2 would name volumes that are deleted.
    """
    return ("restore", "shop", "--into", f"region:{AWAY}", "--as", name, "--yes", "--terraform", str(blocks))


def test_runbook_killed_at_every_step_of_one_life(region: Region, tmp_path: Path) -> None:
    blocks = {name: tmp_path / name for name in ("golden", "killed")}
    region.aws.lose_region(HOME)
    region.aws.set_ec2_transition("immediate")  # the targets of a group are registered when it launches them
    golden = region.drorch(*by_runbook("golden-book", blocks["golden"]), answer="y\n")
    assert golden.code == 0, golden.err
    assert [step in region.aws.changes for calls in RUNBOOK_CALLS.values() for step in calls] == [True] * 3
    there = region.shown()
    assert region.reindexed.exists()
    region.empty_again()
    command = by_runbook("killed-book", blocks["killed"])
    for death in of_runbook():
        said = die(region, death, *command, answer="y\n")
        assert (said.code, said.out) == (-signal.SIGKILL, ""), f"{death} was not reached: {said.err}"
    region.aws.watch()
    said = region.drorch(*command, answer="y\n")
    assert said.code == 0, said.err
    assert region.aws.changes == [], "nothing is made twice"
    assert region.shown() == there
    assert region.reindexed.exists()
    assert alike(blocks["killed"].read_text()) == alike(blocks["golden"].read_text())
    assert steps(said) == steps(golden)


def steps(said: Said) -> list[tuple[str, ...]]:
    """Name and outcome of every step of the report."""
    table = said.out[said.out.index("STEP") : said.out.index("shop is back in")].splitlines()[1:]
    return [tuple(line.split()[:2]) for line in table]


# --- with nothing of the host ---------------------------------------------------------------------------------------


def test_whole_runbook_without_the_host_begun_on_one_machine_and_ended_on_another(
    region: Region, tmp_path: Path
) -> None:
    """A copy of the vault, the key from the safe and credentials of the other region; Route 53 is lost as well."""
    public = SecretKey.parse((region.folder / "signing.key").read_text()).public.text()
    machines = [tmp_path / "one", tmp_path / "two"]
    for machine in machines:
        shutil.copytree(region.folder / "disk", machine / "stick")
    aside = region.folder.rename(region.folder.with_name("gone"))
    region.aws.set_ec2_transition("immediate")
    for lost in (HOME, "us-east-1"):
        region.aws.lose_region(lost)
    region.aws.silent = frozenset({HOME, "iam"})
    try:
        said = [on_a_machine(region, machine, public, at) for machine, at in zip(machines, DEATHS, strict=True)]
    finally:
        aside.rename(region.folder)
        region.aws.recover_region("us-east-1")
    assert [each.code for each in said] == [-signal.SIGKILL, 0], said[1].err
    assert region.aws.unwanted == [], "it asks nothing of what is lost"
    made = [*RESTORES["data"], *RESTORES["ledger"], *RUNBOOK_CALLS["launch"]]
    assert sorted(region.aws.changes) == sorted(made), "each once, whichever machine asked for it"
    assert [outcome for _, outcome in steps(said[1])] == ["done"] * 5 + ["by"] + ["done"] * 2
    assert "page 12" in said[1].err, "of what Route 53 does not do a person is asked"
    assert region.reindexed.exists()
    assert not [path for machine in machines for path in machine.iterdir() if path.name != "stick"]


DEATHS = ("step.launch.called", "")


def on_a_machine(region: Region, machine: Path, public: str, failpoint: str) -> Said:
    """The runbook by a vault's address; its person says yes to the fallback of the record and to the manual step."""
    words = ("--vault-url", f"file://{machine / 'stick'}", "--trust", public, "--allow-commands", "--yes")
    environ = {"HOME": str(machine), "AWS_DEFAULT_REGION": AWAY} | ({VARIABLE: failpoint} if failpoint else {})
    return region.command.type(
        "restore", "shop", "--into", f"region:{AWAY}", "--as", "bare", *words, environ=environ, answer="y\ny\n"
    )
