"""What goes wrong in the year: dated, in order, and the same for every site. Days are those of a year of 365."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from bench.year.applications import AWAY, Site
from bench.year.installation import SITE, Installation
from drorch.app.passing import Pass
from drorch.app.signing import write_record
from drorch.domain import layout
from drorch.domain.action import Braked, deletions_digest
from drorch.domain.errors import DrorchError
from drorch.domain.record import RecordType, compose

YEAR = 365


@dataclass(frozen=True, slots=True)
class Event:
    """Something that begins on a day and ends so many days later.

    `look` says after which of them passes are made at once: ``begin``, ``end`` or both.
    """

    day: float
    days: float
    cause: str
    begin: Callable[[Installation], object]
    end: Callable[[Installation], object] = lambda _world: None
    look: str = ""
    at_least: float = 0.9


def timetable(site: Site) -> list[tuple[timedelta, str, str, Callable[[Installation], object], bool]]:
    """(since the start, `begin` or `end`, cause, what is done, whether passes follow), in order.

    A shorter year is the same year in little: events follow each other as fast, none loses its sense by being short.
    """
    scale = site.days / YEAR
    found = []
    for event in _events(site):
        begins = timedelta(days=event.day * scale)
        lasts = timedelta(days=max(event.days * scale, min(event.days, event.at_least)))
        found.append((begins, "begin", event.cause, event.begin, "begin" in event.look))
        found.append((begins + lasts, "end", event.cause, event.end, "end" in event.look))
    return sorted(found, key=lambda entry: entry[:2])


def _events(site: Site) -> Iterator[Event]:
    few = set(site.names[:: max(1, len(site.names) // 3)][:3])
    other = set(site.names[1 :: max(1, len(site.names) // 3)][:3])
    yield Event(12, 1, "pins", _pin)
    yield Event(
        22, 4, "region us-west-2 lost", lambda w: w.cloud.lose("us-west-2"), lambda w: w.cloud.give_back("us-west-2")
    )
    yield Event(38, 7, "throttled", _throttle, _free)
    yield Event(
        58,
        3,
        "provider gcs-eu lost",
        lambda w: w.weather.down.add("gcs-eu"),
        lambda w: w.weather.down.discard("gcs-eu"),
    )
    yield Event(72, 2, "vault s3-west emptied", _empty_whole("s3-west"), _marked_again("s3-west"), look="begin end")
    yield Event(92, 1, "host clock a year ahead", _ahead(365), _ahead(0), look="begin")
    yield Event(105, 0.1, "state folder lost", lambda w: w.restart(lost=True))
    yield Event(
        115, 7, "databases emptied", lambda w: w.emptied.update(few), lambda w: w.emptied.difference_update(few)
    )
    yield Event(126, 0.5, "suspects cleared", _clear)
    yield Event(135, 1, "policy folder gone", _folder(gone=True), _folder(gone=False))
    yield Event(145, 12, "policies removed", _policies("removed", other), _policies_back("removed", other))
    yield Event(165, 5, "policies invalid", _policies("invalid", few), _policies_back("invalid", few))
    yield Event(178, 1, "vault clock an hour off", _vault_clock("gcs-eu", 1), _vault_clock("gcs-eu", 0))
    yield Event(188, 4, "region us-east-1 lost", _lose_home, _home_back)
    yield Event(205, 0.1, "killed", lambda w: setattr(w, "dies_after", 7))
    yield Event(210, 3, "region us-west-2 and s3-west lost", _lose_west, _west_back)
    yield Event(222, 0.5, "a second daemon", _second_daemon)
    yield Event(
        232,
        4,
        "listing denied",
        lambda w: w.weather.blind.add("gcs-eu" if w.site.of.kind == "memory" else AWAY),
        lambda w: w.weather.blind.clear(),
        at_least=3.6,
    )
    yield Event(248, 1, "copies of gcs-eu deleted by somebody", _empty_some("gcs-eu"), look="begin")
    yield Event(258, 1, "snapshots deleted by somebody", _take_snapshots, look="begin")
    yield Event(268, 0.5, "killed", lambda w: setattr(w, "dies_after", 12))
    yield Event(275, 1, "keep rules shortened", _shorten, _approve, look="begin end")
    yield Event(285, 8, "drills fail", lambda w: w.failing.update(few), lambda w: w.failing.difference_update(few))
    yield Event(300, 1, "host clock a year behind", _ahead(-365), _ahead(0), look="begin")


# --- people ---------------------------------------------------------------------------------------------------------


def _points(world: Installation) -> Pass:
    return world.reconciler.look(fresh=True)


def _pin(world: Installation) -> None:
    """Each third application has its newest point pinned for 60 days."""
    seen = _points(world)
    until = world.clocks.true + timedelta(days=60)
    for name, planned in list(seen.plans.items())[::3]:
        point = next((p for p in planned.catalogue.points if p.usable), None)
        if point is not None:
            world.orders.pin(point, "before the migration", until)
            world.ledger.pinned[point.id] = until
            world.ledger.counts["pins"] += bool(name)


def _clear(world: Installation) -> None:
    """The databases were emptied on purpose, says somebody."""
    for planned in _points(world).plans.values():
        for point in planned.catalogue.points:
            if point.suspect:
                world.orders.clear(point, "looked at")
                world.ledger.counts["suspects cleared"] += 1


def _shorten(world: Installation) -> None:
    if world.site.of.then:
        world.policies = {policy.application: policy for policy in world.site.policies(shortened=True)}


def _approve(world: Installation) -> None:
    """A person looks at what the brake holds, and lets exactly that pass."""
    seen = _points(world)
    actions = [action for planned in seen.plans.values() for action in planned.actions]
    held = [action for action in actions if isinstance(action, Braked)]
    world.ledger.counts["brake holds seen by a person"] += len(held)
    if held:
        try:
            approved = world.orders.approve(seen, deletions_digest(actions), "rules were shortened")
        except DrorchError:
            world.ledger.counts["approvals refused"] += 1
        else:
            world.ledger.counts["deletions approved"] += len(approved.releases)


def _second_daemon(world: Installation) -> None:
    """Another host has taken this site over for an instant: its heads are newer."""
    for name, planned in _points(world).plans.items():
        head = planned.catalogue.head
        if head is None or name not in world.site.names[::2]:
            continue
        record = compose(
            RecordType.HEAD, site=SITE, at=world.clocks.now(), application=name, seq=head.seq + 1,
            previous=head.digest, host="backup-2", live=dict(head.live), lost=dict(head.lost),
        )  # fmt: skip
        write_record(record, world.key, tuple(world.stores)[:1], world.stores.__getitem__)


# --- the world ------------------------------------------------------------------------------------------------------


def _throttle(world: Installation) -> None:
    world.weather.throttled = 0.1
    world.cloud.copy_places = {"us-west-2": 2}


def _free(world: Installation) -> None:
    world.weather.throttled = 0.0
    world.cloud.copy_places = {}


def _empty_whole(vault: str) -> Callable[[Installation], object]:
    """Every object of the vault, its marker too."""
    return lambda w: w.stores[vault].vanish(list(w.stores[vault].objects)) if vault in w.stores else None


def _marked_again(vault: str) -> Callable[[Installation], object]:
    return lambda w: w.init_vault(vault) if vault in w.stores else None


def _empty_some(vault: str) -> Callable[[Installation], object]:
    """All points of every fourth application; the marker stays."""

    def take(world: Installation) -> None:
        if vault in world.stores:
            store = world.stores[vault]
            names = [f"{part}{name}/" for name in world.site.names[::4] for part in (layout.RECORDS, layout.DATA)]
            store.vanish([path for path in store.objects if path.startswith(tuple(names))])

    return take


def _take_snapshots(world: Installation) -> None:
    """The copies of every fifth application."""
    mine = [s for s in world.cloud.snapshots() if f"{s.account}.{s.region}" == AWAY]
    names = set(world.site.names[::5])
    world.cloud.vanish([s for s in mine if s.tags["drorch:application"] in names])


def _ahead(days: int) -> Callable[[Installation], object]:
    return lambda w: setattr(w.clocks, "host", timedelta(days=days))


def _vault_clock(vault: str, hours: int) -> Callable[[Installation], object]:
    return lambda w: w.clocks.vaults.__setitem__(vault, timedelta(hours=hours)) if vault in w.stores else None


def _lose_home(world: Installation) -> None:
    world.cloud.lose("us-east-1")
    world.weather.down.add("s3-home")


def _home_back(world: Installation) -> None:
    world.cloud.give_back("us-east-1")
    world.weather.down.discard("s3-home")


def _lose_west(world: Installation) -> None:
    world.cloud.lose("us-west-2")
    world.weather.down.add("s3-west")


def _west_back(world: Installation) -> None:
    world.cloud.give_back("us-west-2")
    world.weather.down.discard("s3-west")


def _folder(*, gone: bool) -> Callable[[Installation], object]:
    def change(world: Installation) -> None:
        world.folder_gone = gone
        for name in world.site.names:
            if gone:
                world.ledger.frozen[name] = "not there: the folder is gone"
            else:
                world.ledger.frozen.pop(name, None)

    return change


def _policies(what: str, names: set[str]) -> Callable[[Installation], object]:
    def change(world: Installation) -> None:
        getattr(world, what).update(names)
        world.ledger.frozen.update(dict.fromkeys(names, what))

    return change


def _policies_back(what: str, names: set[str]) -> Callable[[Installation], object]:
    def change(world: Installation) -> None:
        getattr(world, what).difference_update(names)
        for name in names:
            world.ledger.frozen.pop(name, None)

    return change
