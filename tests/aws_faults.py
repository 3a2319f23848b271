"""What goes wrong at AWS, met by every action on native points: the strikes, and why some cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from estate import CALLS, KEY, KINDS, MEMBERS, OF_AWS, SETS, Estate, Moulds, put_sources
from worlds import AWAY, CLUSTERS, HOME

from drorch.domain.catalogue_native import TAG_APPLICATION, TAG_SLOT, TAG_SOURCE
from drorch.domain.errors import NotFound, Refused, Unavailable
from drorch.domain.native import PART, NativeSnapshot
from drorch.kinds.memory.images import IMAGES

ACTIONS = ("cut", "copy", "tag", "observe", "expire", "record")
FAULTS = (
    "asynchronous error",
    "places taken by others",
    "not found after create",
    "aws: tags on the source",
    "one member of a set in error",
    "source deleted before the copy is done",
    "session expires between two calls",
    "KMS key disabled",
)


@dataclass(frozen=True)
class Strike:
    """A fault that meets an action of `kinds`. `does` is what drorch then does; `lived`: what is old is due to go."""

    fault: str
    action: str
    does: str
    meet: Callable[[Estate, str], None]
    kinds: tuple[str, ...] = KINDS
    lived: bool = False

    @property
    def name(self) -> str:
        return f"{self.action}: {self.fault}"


def struck(strike: Strike, moulds: Moulds) -> list[str]:
    """Strike all kinds at once, carry on, lift what stands, become quiet; what is wrong then."""
    estate = moulds.estate(lived=strike.lived)
    for kind in reversed(strike.kinds):
        strike.meet(estate, kind)
    estate.passes(8)
    blocked = estate.carried_on()
    assert not blocked, f"another application was not carried on: {blocked}"
    estate.lift()
    for _ in range(30):
        if not any(estate.faulty(kind).faults.standing for kind in KINDS):
            break
        estate.passes(1, minutes=7)
    assert not any(estate.faulty(kind).faults.standing for kind in KINDS), "the fault was never met"
    estate.quiet()
    wrong = estate.judged()
    estate.world.reconciler.close()
    return wrong


def _raising(error: Exception) -> Callable[[], None]:
    def met() -> None:
        raise error

    return met


_EXPIRED = Unavailable("AWS did not answer as it should", cause="ExpiredToken: the security token is expired")
_NO_KEY = Refused("AWS refused", cause="KMSKeyNotAccessibleFault: the key is disabled")


def _error_in_cut(estate: Estate, kind: str) -> None:
    estate.until(lambda: len(estate.snapshots(HOME, kind)) == MEMBERS[kind])
    for snapshot in estate.snapshots(HOME, kind):
        estate.world.cloud.fail(snapshot, "an internal error has occurred")


def _error_in_copy(estate: Estate, kind: str) -> None:
    estate.until(lambda: len(estate.snapshots(AWAY, kind)) == MEMBERS[kind])
    for snapshot in estate.snapshots(AWAY, kind):
        estate.world.cloud.fail(snapshot, "an internal error has occurred")


def _one_of_cut(estate: Estate, kind: str) -> None:
    estate.until(lambda: len(estate.snapshots(HOME, kind)) == MEMBERS[kind])
    estate.world.cloud.fail(estate.snapshots(HOME, kind)[-1], "an internal error has occurred")


def _one_of_copy(estate: Estate, kind: str) -> None:
    estate.until(lambda: len(estate.snapshots(AWAY, kind)) == MEMBERS[kind])
    estate.world.cloud.fail(estate.snapshots(AWAY, kind)[-1], "an internal error has occurred")


def _one_not_deleted(estate: Estate, kind: str) -> None:
    estate.order(kind, "expire", _raising(Unavailable("AWS did not answer as it should")), after=1)


def _no_place_for_cut(estate: Estate, kind: str) -> None:
    estate.order(kind, "cut", "throttled", times=2)


def _no_place_for_copy(estate: Estate, kind: str) -> None:
    """By the count for the ones, by the refusal of a call that the count did not foresee for the others."""
    estate.world.cloud.copy_places["us-west-2"] = estate.world.cloud.foreign_copies["us-west-2"] = 20
    estate.order(kind, "copy", "throttled")
    estate.lifts.append(lambda: estate.world.cloud.foreign_copies.clear())


def _hide(estate: Estate, kind: str, hidden: Callable[[NativeSnapshot, datetime], bool]) -> None:
    """Listings and looks do not show what is `hidden` of the application."""
    inner = estate.faulty(kind).inner
    snapshots, find = inner.snapshots, inner.find

    def shown(found: Iterator[NativeSnapshot]) -> Iterator[NativeSnapshot]:
        now = estate.world.clock.now()
        return (s for s in found if s.tags.get(TAG_APPLICATION) != kind or not hidden(s, now))

    inner.snapshots = lambda *where: shown(snapshots(*where))  # type: ignore[method-assign]
    inner.find = lambda *where: tuple(shown(iter(find(*where))))  # type: ignore[method-assign]

    def lift() -> None:
        inner.snapshots, inner.find = snapshots, find  # type: ignore[method-assign]

    estate.lifts.append(lift)


def _young(snapshot: NativeSnapshot, now: datetime) -> bool:
    return snapshot.started is not None and now < snapshot.started + timedelta(minutes=3)


def _cut_shows_late(estate: Estate, kind: str) -> None:
    estate.order(kind, "cut", "after")
    _hide(estate, kind, _young)


def _copy_shows_late(estate: Estate, kind: str) -> None:
    """The source is not found by the first call; the copy that the second one begins shows late, its reply is lost."""
    estate.order(kind, "copy", _raising(NotFound("AWS has no such thing", cause="InvalidSnapshot.NotFound")))
    estate.order(kind, "copy", "after")
    _hide(estate, kind, lambda snapshot, now: TAG_SOURCE in snapshot.tags and _young(snapshot, now))


def _gone_from_view(estate: Estate, kind: str) -> None:
    """What a listing has shown while it was pending the next ones do not, as when other servers answer them."""
    estate.until(lambda: bool(estate.snapshots(HOME, kind)))
    estate.until(lambda: _seen_at_home(estate, kind))
    begun = estate.world.clock.now()
    _hide(estate, kind, lambda _, now: now < begun + timedelta(minutes=3))


def _seen_at_home(estate: Estate, kind: str) -> bool:
    seen = estate.world.seen
    return seen is not None and any(p.copy_in(HOME) for p in seen.plans[kind].catalogue.points)


def _deleted_by_another(estate: Estate, kind: str) -> None:
    def met() -> None:
        there = [s for s in estate.world.snapshots(HOME) if s.tags.get(TAG_APPLICATION) == kind and s.role != PART]
        estate.remove(min(there, key=lambda s: s.tags[TAG_SLOT]))

    estate.order(kind, "expire", met)


def _aws_tags_on_sources(estate: Estate, kind: str) -> None:
    put_sources(estate.world, **OF_AWS)
    estate.lifts.append(lambda: _must_not_bear(estate, HOME, kind))


def _aws_tags_on_snapshots(estate: Estate, kind: str) -> None:
    """Another service of AWS tags what is to be copied."""
    estate.until(lambda: len(estate.snapshots(HOME, kind)) == MEMBERS[kind])
    for snapshot in estate.snapshots(HOME, kind):
        place = estate.world.cloud._place(snapshot.service, snapshot.account, snapshot.region)
        held = place.held[snapshot.native_id]
        held.snapshot = replace(held.snapshot, tags={**held.snapshot.tags, **OF_AWS})
    estate.lifts.append(lambda: _must_not_bear(estate, AWAY, kind))


def _must_not_bear(estate: Estate, vault: str, kind: str) -> None:
    made = estate.snapshots(vault, kind)
    assert len(made) == MEMBERS[kind], "the fault was never met"
    bearing = [s for s in made if OF_AWS.keys() & s.tags.keys()]
    assert not bearing, "AWS refuses a creating call with such tags"


def _source_gone_before_cut(estate: Estate, kind: str) -> None:
    def met() -> None:
        for service in ("ec2", IMAGES, "rds", CLUSTERS):
            place = estate.world.cloud._place(service, "prod", "us-east-1")
            place.sources = {name: s for name, s in place.sources.items() if s.tags.get("app") == "books"}

    estate.order(kind, "cut", met)
    estate.lifts.append(lambda: put_sources(estate.world))


def _source_gone_before_copied(estate: Estate, kind: str) -> None:
    estate.until(lambda: len(estate.snapshots(AWAY, kind)) == MEMBERS[kind])
    for snapshot in estate.snapshots(HOME, kind):
        estate.remove(snapshot)


def _expires_in(method: str) -> Callable[[Estate, str], None]:
    def meet(estate: Estate, kind: str) -> None:
        several = {"cut": CALLS, "copy": MEMBERS, "expire": MEMBERS}[method][kind] > 1
        estate.order(kind, method, _raising(_EXPIRED), after=int(several))

    return meet


def _expires_in_listing(estate: Estate, kind: str) -> None:
    """The listing of one region is answered, that of the other is not."""
    estate.faulty(kind).faults.order("snapshots", _raising(_EXPIRED), times=3, only="us-west-2")


def _key_of_source_disabled(estate: Estate, kind: str) -> None:
    """RDS says so at once, EC2 begins a snapshot that ends in error."""
    if kind in SETS:
        _error_in_cut(estate, kind)
    else:
        estate.order(kind, "cut", _raising(_NO_KEY), times=2)


def _key_disabled(estate: Estate, kind: str) -> None:
    """After the copies of the days before; a process that looked at it then looks again when a copy has failed."""
    estate.world.cloud.put_key("prod", "us-west-2", KEY, state="Disabled")
    estate.lifts.append(lambda: estate.world.cloud.put_key("prod", "us-west-2", KEY))


def _key_disabled_at_expiry(estate: Estate, kind: str) -> None:
    """A deletion needs no key."""
    _key_disabled(estate, kind)
    deleted = estate.world.calls(kind, "expire")

    def gone() -> None:
        assert deleted() >= MEMBERS[kind], "the fault was never met"

    estate.lifts.append(gone)


STRIKES = (
    Strike("asynchronous error", "cut", "another attempt under an id of its own, with back-off", _error_in_cut),
    Strike("asynchronous error", "copy", "copied again after an hour; an alarm until then", _error_in_copy),
    Strike("places taken by others", "cut", "tried again at the next pass; no failure", _no_place_for_cut),
    Strike("places taken by others", "copy", "waits in the queue; no failure", _no_place_for_copy),
    Strike("not found after create", "cut", "looked for by tag before it is asked again", _cut_shows_late),
    Strike("not found after create", "copy", "tried again with back-off, looked for first", _copy_shows_late),
    Strike("not found after create", "observe", "the intent stands until it is usable", _gone_from_view),
    Strike("not found after create", "expire", "what is gone is gone", _deleted_by_another, lived=True),
    Strike("aws: tags on the source", "cut", "left out, all others are carried", _aws_tags_on_sources),
    Strike("aws: tags on the source", "copy", "left out, all others are carried", _aws_tags_on_snapshots),
    Strike("one member of a set in error", "cut", "the point does not count; another attempt", _one_of_cut, SETS),
    Strike("one member of a set in error", "copy", "that member alone is copied again", _one_of_copy, SETS),
    Strike("one member of a set in error", "expire", "the rest goes, it later", _one_not_deleted, SETS, lived=True),
    Strike("source deleted before the copy is done", "cut", "nothing is cut; held", _source_gone_before_cut),
    Strike("source deleted before the copy is done", "copy", "another attempt", _source_gone_before_copied),
    Strike("session expires between two calls", "cut", "the calls that are left are made", _expires_in("cut")),
    Strike("session expires between two calls", "copy", "the members that are left are copied", _expires_in("copy")),
    Strike("session expires between two calls", "observe", "the last known state stays", _expires_in_listing),
    Strike("session expires between two calls", "expire", "goes on where it was", _expires_in("expire"), lived=True),
    Strike("KMS key disabled", "cut", "another attempt, with back-off", _key_of_source_disabled),
    Strike("KMS key disabled", "copy", "copied again when the key is back", _key_disabled, lived=True),
    Strike(
        "KMS key disabled",
        "expire",
        "goes at home; what the key is known to shut stays",
        _key_disabled_at_expiry,
        lived=True,
    ),
)

NO_SETS = "a point of RDS has one member"
_NO_CALL = "tags go into the creating call: there is no call of their own that could fail"
_RECORDS = "records are written into object vaults, not at AWS's snapshots: see record and replicate below"
_SEEN = "it is a listing that shows it: see cut and copy"
_AT_ONCE = "a deletion is answered at once, and takes no place"
_NO_PLACE = "a listing takes no place; one that is throttled is below"
_NO_KEY_NEEDED = "a listing asks no key"
_NO_TAGS = "a deletion goes by the id"
_NO_SOURCE = "it is of what is there, whether its source is or not"
ABSENT: dict[tuple[str, str], str] = {
    **{(fault, "tag"): _NO_CALL for fault in FAULTS},
    **{(fault, "record"): _RECORDS for fault in FAULTS},
    (FAULTS[0], "observe"): _SEEN,
    (FAULTS[0], "expire"): _AT_ONCE,
    (FAULTS[1], "observe"): _NO_PLACE,
    (FAULTS[1], "expire"): _AT_ONCE,
    (FAULTS[3], "observe"): _SEEN,
    (FAULTS[3], "expire"): _NO_TAGS,
    (FAULTS[4], "observe"): _SEEN,
    (FAULTS[5], "observe"): _NO_SOURCE,
    (FAULTS[5], "expire"): _NO_SOURCE,
    (FAULTS[7], "observe"): _NO_KEY_NEEDED,
}
"""Why no strike of a fault meets an action."""
