"""``drorch demo``: a normal day, a drill, a lost region, a lost provider, and back, all by the daemon's own code."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drorch.app.catalogue import read_vault
from drorch.app.passing import Finished, Pass
from drorch.demo import lifetime, site
from drorch.demo.break_glass import Tables, break_glass
from drorch.demo.coming_back import come_back
from drorch.demo.letting_go import let_go, rob
from drorch.demo.postgres import wheel_binaries
from drorch.demo.story import Stage, Story, Watch
from drorch.demo.world import World, open_world
from drorch.domain.action import Action, Cut, Drill, Expire
from drorch.domain.catalogue import fold
from drorch.domain.model import FailureLevel, RecoveryPoint
from drorch.wiring.host import Host


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the demo went. `tables` has every table of the orders: rows and digest before, and as restored."""

    story: Story
    tables: Tables = field(default_factory=dict)
    kept: Path | None = None

    @property
    def exit_code(self) -> int:
        """0 only if every comparison held, else that of damaged data."""
        return 0 if self.story.held else 6

    def to_json(self) -> dict[str, object]:
        """The summary for scripts."""
        return {
            "held": self.story.held,
            "seconds": round(self.story.seconds, 1),
            "acts": [{"act": name, "seconds": round(seconds, 1)} for name, seconds in self.story.acts],
            "checks": [{"check": c.what, "held": c.held, "detail": c.detail or None} for c in self.story.checks],
            "tables": [
                {
                    "table": name,
                    "rows": before and before.rows,
                    "restored_rows": after and after.rows,
                    "same": before == after,
                }
                for name, (before, after) in sorted(self.tables.items())
            ],
            "kept": None if self.kept is None else str(self.kept),
        }


def run_demo(stage: Stage, keep: Path | None = None) -> Outcome:
    """Tell the whole story on `stage`; everything that was started or written is gone at the end, but for `keep`.

    Raises Refused when `keep` is not empty, NotFound without the demo's extra, and what an action of drorch raised.
    """
    if keep is not None:
        site.require_empty(keep)
    wheel_binaries()
    story = Story(stage)
    with ExitStack() as stack:
        stack.enter_context(lifetime.quiet_logs())
        stack.enter_context(lifetime.orderly_end())
        folder = stack.enter_context(lifetime.folder())
        with story.act("setting up", "Setting up: a cloud of our own, and a shop that lives in it"):
            world = stack.enter_context(open_world(folder))
            installation = _set_up(world, folder, story)
        host = stack.enter_context(lifetime.opened(installation))
        watch = Watch(host.reconciler, story)
        with story.act("a normal day", "1. A normal day: the daemon's passes cut, copy and dump"):
            native = _normal_day(world, watch, story)
        with story.act("the drill", "2. The drill: is what lies outside AWS any good?"):
            _drill(watch, story)
        with story.act("letting go", "3. Letting go: a careless change, taken back; the grace; a thief"):
            let_go(host, watch, story, installation.policy)
            rob(watch, story, installation.vault)
        with story.act("region lost", f"4. The home region {site.HOME} is lost"):
            _lose_region(world, host, story)
        with story.act("coming back", f"5. Its volumes and its ledger come back in {site.SECOND}"):
            come_back(world, host, story)
        with story.act("AWS gone", "6. AWS is gone, all of it"):
            _lose_aws(world, host, story, native)
        with story.act("back", "7. Back: break glass, with a vault's address and two keys"):
            tables = break_glass(world, installation, folder, story)
        if keep is not None:
            installation.keep(keep, wheel_binaries())
    return Outcome(story, tables, keep)


# --- acts ----------------------------------------------------------------------------------------------------------


def _set_up(world: World, folder: Path, story: Story) -> site.Installation:
    story.tell("AWS", "", f"{site.HOME}, {site.SECOND} and {site.THIRD} at {world.aws_url} (moto, repaired)")
    story.tell("GCS", "", f"{world.gcs.url} (gcp-storage-emulator, repaired)")
    count = world.fill_orders(newest=datetime.now(UTC) - timedelta(minutes=2))
    tables = len(world.original.tables)
    story.tell("shop", "orders", f"{count:,} rows in {tables} tables of a real PostgreSQL behind an RDS endpoint")
    story.tell("shop", "data", "an instance with two encrypted volumes, and a volume that nothing holds")
    story.tell("shop", "ledger", "an RDS instance")
    (folder / "site").mkdir(mode=0o700)
    installation = site.Installation(folder / "site", world.orders, world.databases.programs, datetime.now(UTC))
    story.tell("drorch", "", "drorch.yaml, policies/shop.yaml, an age identity and a signing key written")
    return installation


def _normal_day(world: World, watch: Watch, story: Story) -> set[str]:
    """Passes until all but the drill is done; the ids of every native snapshot, asked of AWS."""
    seen = watch.run(but=(Drill,))
    points = seen.plans[site.APPLICATION].catalogue.points
    policy = seen.plans[site.APPLICATION].policy
    for resource in policy.resources:
        wanted = [rule.vault for rule in resource.targets]
        newest = next((point for point in points if point.resource == resource.name), None)
        have = [copy.vault for copy in newest.copies if copy.usable] if newest else []
        story.check(f"{resource.name} is usable in {', '.join(wanted)}", sorted(have) == sorted(wanted))
    return world.native_ids()


def _drill(watch: Watch, story: Story) -> None:
    watch.catch_up()
    seen = watch.run()
    watch.catch_up()
    drills = [d for d in seen.plans[site.APPLICATION].catalogue.drills if d.vault == site.GCS]
    _tell_drill(watch.finished, story)
    story.check(f"the drill from {site.GCS} passed, its proof is signed", bool(drills) and drills[0].passed)
    _standing(seen, story, datasets=True)
    _check_level(seen, FailureLevel.ZONE, story)


def _lose_region(world: World, host: Host, story: Story) -> None:
    world.lose_home()
    story.check("the shop's database does not answer any more", not world.orders_answer())
    seen = host.reconciler.run_pass()
    _tell_unread(seen, story)
    for hold in seen.holds:
        story.tell("hold", hold.resource, f"{hold.vault}: {_short(hold.reason)}", "quiet")
    blind = [action for action in _planned(seen) if isinstance(action, Cut | Expire)]
    story.check(
        "nothing is cut or let go on an incomplete view", not blind and not seen.started, f"{len(seen.holds)} holds"
    )
    _standing(seen, story)
    _check_level(seen, FailureLevel.REGION, story)


def _lose_aws(world: World, host: Host, story: Story, native: set[str]) -> None:
    world.lose_aws()
    story.check("nothing listens where AWS was", not world.aws_answers() and not world.orders_answer())
    seen = host.reconciler.look(fresh=True)
    _tell_unread(seen, story)
    _standing(seen, story)
    _check_level(seen, FailureLevel.PROVIDER, story)
    points = _known_to(site.GCS, host)
    story.tell("known", "", f"what {site.GCS}, outside AWS, knows by its own signed records:")
    known: set[str] = set()
    for point in points:
        for copy in point.copies:
            members = [member.native_id for member in copy.members]
            known.update(members)
            story.tell("", point.resource, f"{copy.vault}: {', '.join(members) or copy.path}", "quiet")
    story.check("every snapshot in every region is known there by its id", native <= known, f"{len(native)} snapshots")


# --- parts of acts -------------------------------------------------------------------------------------------------


def _planned(seen: Pass) -> list[Action]:
    return [action for plan in seen.plans.values() for action in plan.actions]


def _tell_drill(finished: list[Finished], story: Story) -> None:
    for result in (ended.result for ended in finished if isinstance(ended.action, Drill)):
        for step in result.get("steps", ()):
            took = "" if step.get("took_s") is None else f" ({step['took_s']} s)"
            story.tell("step", step["step"], f"{step['detail']}{took}", "quiet")
        for probe in result.get("probes", ()):
            met = "met" if probe["met"] else "NOT MET"
            story.tell("probe", met, f"{probe['sql']} -> {probe['got']} (expected {probe['expected']})")


def _tell_unread(seen: Pass, story: Story) -> None:
    for vault, why in sorted(seen.world.unread.items()):
        story.tell("unread", "", f"{vault}: {_short(why)}", "bad")
    story.tell("", "", "what could not be read counts as it was last seen; unknown is not absent")


def _standing(seen: Pass, story: Story, *, datasets: bool = False) -> None:
    statuses = [plan.status for plan in seen.plans.values()]
    story.stage.standing(statuses if datasets else [replace(s, datasets=()) for s in statuses], seen.at)


def _check_level(seen: Pass, level: FailureLevel, story: Story) -> None:
    datasets = seen.plans[site.APPLICATION].status.datasets
    promised = [(d.dataset, d.levels[level]) for d in datasets if d.levels[level].objective and not d.exempt.get(level)]
    missed = [name for name, standing in promised if standing.rpo_met is not True]
    held = bool(promised) and not missed
    story.check(f"the RPO promised for the loss of a {level} is met", held, ", ".join(missed))


def _known_to(vault: str, host: Host) -> tuple[RecoveryPoint, ...]:
    """The points that one vault's records tell of, read afresh, with nothing of this host but its public key."""
    now = host.now()
    view = read_vault(host.store(vault), host.vaults[vault], host.trusted, now, application=site.APPLICATION)
    return fold(site.APPLICATION, [view], (), lambda *_: True, now).points


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:99]}…"
