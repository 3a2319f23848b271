"""Random audits in a world in memory: picked by nobody, written down first, drilled once, told to everybody."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from journals import DESK, Journalling
from worlds import EU, SITE, VAULTS, WEST

from drorch.app.audits import AuditKeeper, audit_in
from drorch.app.evidence import gather
from drorch.crypto.minisign import BadSignature, SecretKey
from drorch.domain import audit, layout
from drorch.domain.action import Drill
from drorch.domain.errors import Damaged, NotFound
from drorch.domain.evidence import evidence
from drorch.domain.evidence_hours import Period
from drorch.domain.model import Vault
from drorch.domain.record import Record, RecordType, compose, parse_at

MONTH = timedelta(days=30)
PLAIN = DESK.replace(
    'drill: {every: 7d, from: [gcs-eu], probes: [{sql: select count(*) from orders, expect: ">= 1"}]}', ""
)
LIBRARY = PLAIN.replace("application: desk", "application: library")


class Auditing(Journalling):
    every: timedelta | None = MONTH

    def restart(self, *, without: tuple[str, ...] = ()) -> None:
        super().restart(without=without)
        self.audits = AuditKeeper(
            site=SITE,
            every=self.every,
            book=self.book,
            vaults={name: Vault(name, VAULTS[name]) for name in (WEST, EU)},
            store_of=self.stores.__getitem__,
            trusted=self.trusted,
            signing=lambda: self.key,
        )
        self.reconciler._audits = self.audits
        self.reconciler._planner._guards = replace(self.guards, audit=self.audits.of)

    def told(self, vault: str = EU) -> list[Record]:
        return [entry for entry in self.entries(vault) if entry.text("event") == "audit"]

    def proofs(self, vault: str = EU) -> list[Record]:
        objects = self.memory(vault).objects
        paths = sorted(path for path in objects if "/proofs/" in path and path.endswith(".json"))
        return [parse_at(path, b"".join(self.memory(vault).read(path))) for path in paths]

    def audited(self) -> list[Record]:
        return [proof for proof in self.proofs() if proof.text("audit")]

    def started(self) -> list[Drill]:
        return [action for action in self.hands.started if isinstance(action, Drill) and action.audit]


@pytest.fixture
def desk(tmp_path: Path) -> Auditing:
    """Two applications with some days of points, nothing audited yet."""
    world = Auditing(tmp_path, PLAIN, LIBRARY)
    world.audits.every = None
    for _ in range(3):
        world.quiet()
        world.clock.turn(days=1)
    world.quiet()
    world.audits.every = MONTH
    return world


def test_what_is_due_is_picked_written_down_drilled_and_proved_once(desk: Auditing) -> None:
    desk.quiet()
    (entry,) = desk.told()
    assert desk.told(WEST) == [entry]
    picked = audit_in(entry, desk.trusted)
    (proof,) = desk.audited()
    assert proof.text("audit") == picked.seed
    assert (proof.application, proof.resource, proof.point) == (
        picked.offer.application,
        picked.offer.resource,
        picked.offer.point,
    )
    assert (proof.text("vault"), proof.text("outcome")) == (picked.offer.vault, "passed")
    assert proof.at >= entry.at
    for _ in range(5):
        desk.clock.turn(days=1)
        desk.quiet()
    assert len(desk.told()) == len(desk.audited()) == 1


def test_every_slot_gets_one_of_its_own(desk: Auditing) -> None:
    desk.audits.every = timedelta(days=1)
    for _ in range(4):
        desk.quiet()
        desk.clock.turn(days=1)
    entries = desk.told()
    assert len({entry.text("slot") for entry in entries}) == len(entries) == 4
    assert sorted(proof.text("audit") for proof in desk.audited()) == sorted(e.text("seed") for e in entries)
    for entry in entries:
        picked = audit_in(entry, desk.trusted).offer
        assert entry.body["among"]["application"] == ["desk", "library"]
        assert picked.point in entry.body["among"]["point"]
        assert len(entry.body["among"]["point"]) >= 3, "any point that is kept, not only the newest"


def test_a_process_that_dies_between_the_pick_and_its_drill_goes_on_with_the_same_pick(desk: Auditing) -> None:
    desk.hands.held = True
    desk.once()
    (entry,) = desk.told()
    assert [action.audit for action in desk.started()] == [entry.text("seed")]
    desk.reconciler.cancel()
    desk.reconciler.close()
    desk.hands.held = False
    desk.clock.turn(days=1)
    desk.restart(without=("cache",))
    desk.quiet()
    assert desk.told() == [entry]
    (proof,) = desk.audited()
    assert (proof.point, proof.text("audit")) == (entry.point, entry.text("seed"))


def test_a_pick_that_reached_no_vault_is_not_drilled_and_not_made_again(desk: Auditing) -> None:
    for vault in (WEST, EU):
        desk.faults(vault).order("put", "before", times=1000, only=layout.JOURNAL)
    desk.once()
    assert desk.told() == []
    assert desk.started() == []
    (waiting,) = desk.book.undelivered("audit")
    desk.reconciler.close()
    desk.restart()
    desk.once()
    assert [record.data for record in desk.book.undelivered("audit")] == [waiting.data]
    assert desk.started() == []
    for vault in (WEST, EU):
        desk.faults(vault).clear()
    desk.clock.turn(minutes=16)
    desk.quiet()
    (entry,) = desk.told()
    assert entry.data == waiting.data
    assert [proof.text("audit") for proof in desk.audited()] == [entry.text("seed")]


def test_while_no_vault_can_be_read_nothing_is_picked(desk: Auditing) -> None:
    for vault in (WEST, EU):
        desk.faults(vault).black_hole()
    seen = desk.once()
    assert seen.audits is not None
    assert seen.audits.next_at is None
    assert "no vault could be read" in seen.audits.why
    for vault in (WEST, EU):
        desk.faults(vault).recover()
    assert desk.told() == []
    desk.clock.turn(minutes=16)
    desk.quiet()
    assert len(desk.told()) == 1


def test_by_a_clock_that_others_contradict_nothing_is_picked(desk: Auditing) -> None:
    desk.host.ahead = timedelta(hours=2)
    desk.once()
    assert desk.told() == []
    assert desk.book.undelivered("audit") == ()


def test_an_audit_that_failed_is_an_alarm_and_holds_deletions_until_a_drill_passed(desk: Auditing) -> None:
    desk.hands.held = True
    desk.once()
    (entry,) = desk.told()
    objects = desk.memory(entry.text("vault")).objects
    path = next(path for path in objects if entry.point in path and path.endswith(".zst.age"))
    data, *rest = objects[path]
    objects[path] = (bytes(len(data)), *rest)  # type: ignore[assignment]  # as it was, but for its bytes
    desk.hands.held = False
    desk.run(passes=3)
    (proof,) = desk.audited()
    assert proof.text("outcome") == "failed"
    holds = [hold for hold in desk.reconciler.look(fresh=True).holds if hold.alarm == "drill-failed"]
    assert [(hold.application, hold.point, hold.vault) for hold in holds][:1] == [
        (entry.application, entry.point, entry.text("vault"))
    ]
    assert "audit" in holds[0].reason


def test_a_point_that_is_gone_before_its_drill_is_told_and_no_other_one_picked(desk: Auditing) -> None:
    desk.hands.held = True
    desk.once()
    (entry,) = desk.told()
    desk.reconciler.cancel()
    desk.run(passes=1)
    for store in (desk.memory(WEST), desk.memory(EU)):
        for path in [path for path in store.objects if entry.point in path]:
            store.delete(path)
    desk.hands.held = False
    desk.clock.turn(minutes=61)
    # Before the next pass, which gives the present slot its point again where it was that one.
    holds = [hold for hold in desk.reconciler.look(fresh=True).holds if hold.alarm == "audit-lost"]
    assert [(hold.point, hold.vault) for hold in holds] == [(entry.point, entry.text("vault"))]
    desk.run(passes=2)
    assert desk.told() == [entry]
    assert {proof.point for proof in desk.audited()} <= {entry.point}


def test_an_entry_whose_seed_no_trusted_key_signed_counts_for_nothing(desk: Auditing) -> None:
    desk.quiet()
    (entry,) = desk.told()
    other = SecretKey.generate()
    offers = [audit_in(entry, desk.trusted).offer]
    slot, count, sha256 = "forged", 1, audit.digest(offers)
    statement = audit.statement(SITE, slot, count, sha256)

    def forged(key: SecretKey, comment: str) -> Record:
        content = audit.content(slot, key.sign(statement, comment), offers)
        return compose(
            RecordType.JOURNAL, site=SITE, at=entry.at, event="audit", host="h", seq=1, **content, cut_at=entry.cut_at
        )

    assert audit_in(forged(desk.key, audit.comment(slot)), desk.trusted).offer == offers[0]
    with pytest.raises(BadSignature):
        audit_in(forged(other, audit.comment(slot)), desk.trusted)
    with pytest.raises(Damaged, match="of something else"):
        audit_in(forged(desk.key, "drorch v1 sums"), desk.trusted)


def test_a_person_asks_for_one_and_a_pick_without_a_proof_comes_first(desk: Auditing) -> None:
    desk.audits.every = None
    seen = desk.once()
    first = desk.audits.by_hand(seen, "ann")
    assert (first.by, first.slot.startswith("manual:")) == ("ann", True)
    assert desk.audits.by_hand(desk.once(), "ann") == first
    desk.quiet()
    assert [proof.text("audit") for proof in desk.audited()] == [first.seed]
    desk.clock.turn(minutes=1)
    second = desk.audits.by_hand(desk.once(), "ann")
    assert second.seed != first.seed


def test_where_nothing_can_be_drilled_it_is_said(tmp_path: Path) -> None:
    world = Auditing(tmp_path, PLAIN)
    world.hands.held = True
    world.once()
    assert world.told() == []
    seen = world.reconciler.look()
    assert seen.audits is not None
    assert "no point can be drilled" in seen.audits.why
    with pytest.raises(NotFound):
        world.audits.by_hand(seen, "")


def test_evidence_tells_each_audit_with_its_seed_and_how_its_drill_ended(desk: Auditing) -> None:
    desk.quiet()
    (entry,) = desk.told()
    now = desk.clock.now() + timedelta(hours=1)
    period = Period(now - timedelta(days=10), now)
    stores = {name: desk.memory(name) for name in (WEST, EU)}
    document = evidence(gather(stores, desk.trusted, period, now, site=SITE), period, now)
    (row,) = [row for one in document["applications"] for row in one["audits"]]
    assert (row["seed"], row["point"], row["level"]) == (entry.text("seed"), entry.point, entry.text("level"))
    assert row["outcome"] == "passed"
    drills = [drill for one in document["applications"] for drill in one["drills"]]
    assert [drill["audit"] for drill in drills] == [entry.text("seed")]
    assert document["unsigned"] == []
