"""Tokens and proofs in vaults: written once where they lack, read back signed, answered, recorded, due again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from faults import FaultyStore
from worlds import ORDERS, SITE, Installation

from drorch.app.key_check import KeyWatch, open_tokens, read_keys, record_answer, write_tokens
from drorch.app.reading import TrustedKey
from drorch.crypto import key_token
from drorch.crypto.age import NoMatchingIdentity, new_identity
from drorch.crypto.minisign import SecretKey
from drorch.daemon.publishing import alarms_of
from drorch.domain import layout
from drorch.domain.errors import NotFound, Refused, Unavailable
from drorch.domain.instant import to_text
from drorch.domain.key_proof import KeysSeen, KeyStanding
from drorch.domain.record import Record, RecordType, compose
from drorch.stores.memory import MemoryStore
from drorch.telemetry.metrics import Facts, render

NOW = datetime(2026, 11, 24, 21, tzinfo=UTC)
KEY = SecretKey.generate()
TRUSTED = (TrustedKey(KEY.public),)
ONE, TWO = new_identity(), new_identity()
RECIPIENTS = (ONE[1], TWO[1])


class Desk:
    """Two vaults and a watch over them."""

    def __init__(self) -> None:
        self.now = NOW
        self.stores = {name: FaultyStore(MemoryStore(name, now=lambda: self.now)) for name in ("eu", "nas")}
        self.marked = True
        self.restart()

    def restart(self, recipients: tuple[str, ...] = RECIPIENTS) -> None:
        self.watch = KeyWatch(
            site=SITE,
            recipients=recipients,
            every=timedelta(days=90),
            trusted=TRUSTED,
            signing=lambda: KEY,
            store_of=self.stores.__getitem__,
            marked=lambda _store: self.marked,
        )

    def seen(self, *, write: bool = True) -> KeysSeen:
        return self.watch.seen(self.stores, self.now, write=write)

    def keys(self, vault: str) -> tuple[Record, ...]:
        return read_keys(self.stores[vault], TRUSTED, SITE)

    def paths(self, vault: str) -> list[str]:
        return [info.path for info in self.stores[vault].list("")]

    def answered(self, identity: str, vault: str = "eu") -> str:
        (opened,) = open_tokens(self.keys(vault), [identity], self.now)
        return opened.answer.text()

    def record(self, text: str) -> Record:
        proof, lost = record_answer(
            text,
            site=SITE,
            by="anna",
            vaults=list(self.stores),
            store_of=self.stores.__getitem__,
            trusted=TRUSTED,
            signing=lambda: KEY,
            now=self.now,
        )
        assert not lost
        return proof


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_every_vault_gets_one_token_for_each_recipient_and_no_more(desk: Desk) -> None:
    desk.seen()
    before = {vault: desk.paths(vault) for vault in desk.stores}
    for vault in desk.stores:
        assert {(r.type, r.text("recipient"), r.text("vault")) for r in desk.keys(vault)} == {
            (RecordType.KEY_TOKEN, recipient, vault) for recipient in RECIPIENTS
        }
        assert len(before[vault]) == 4
    desk.restart()
    desk.now += timedelta(days=2)
    desk.seen()
    assert {vault: desk.paths(vault) for vault in desk.stores} == before


def test_new_recipient_gets_its_token_and_the_old_ones_stay(desk: Desk) -> None:
    desk.seen()
    third = new_identity()[1]
    desk.restart((*RECIPIENTS, third))
    desk.now += timedelta(days=1)
    seen = desk.seen()
    assert [(key.recipient, key.since) for key in seen.standing] == [
        (ONE[1], NOW), (TWO[1], NOW), (third, desk.now)
    ]  # fmt: skip


@pytest.mark.parametrize("why", ["not marked", "not to write"])
def test_nothing_is_written_where_nothing_may_be(desk: Desk, why: str) -> None:
    desk.marked = why != "not marked"
    assert desk.seen(write=why != "not to write").standing == (KeyStanding(ONE[1]), KeyStanding(TWO[1]))
    assert desk.paths("eu") == []


def test_vault_that_fails_is_told_and_asked_again_and_the_other_one_served(desk: Desk) -> None:
    desk.stores["eu"].faults.black_hole()
    assert set(desk.seen().failed) == {"eu"}
    assert len(desk.keys("nas")) == 2
    desk.stores["eu"].faults.recover()
    assert desk.seen().failed == {}
    assert len(desk.keys("eu")) == 2


def test_a_vault_is_asked_once_an_hour(desk: Desk) -> None:
    desk.seen()
    before = desk.stores["eu"].faults.calls["list"]
    desk.now += timedelta(minutes=59)
    desk.seen()
    assert desk.stores["eu"].faults.calls["list"] == before
    desk.now += timedelta(minutes=1)
    desk.seen()
    assert desk.stores["eu"].faults.calls["list"] == before + 1


def test_answer_is_recorded_everywhere_and_ends_what_was_due(desk: Desk) -> None:
    desk.seen()
    desk.now += timedelta(days=91)
    late = {key.recipient: key.overdue(desk.watch.every, desk.now) for key in desk.seen().standing}
    assert "was never proved to open anything" in late[ONE[1]]
    assert "was never proved to open anything" in late[TWO[1]]
    proof = desk.record(desk.answered(ONE[0]))
    assert (proof.text("recipient"), proof.text("by"), proof.time("proved_at")) == (ONE[1], "anna", desk.now)
    assert all(proof in desk.keys(vault) for vault in desk.stores)
    desk.now += timedelta(days=89)
    one, two = desk.seen().standing
    assert one.overdue(desk.watch.every, desk.now) == ""
    assert two.overdue(desk.watch.every, desk.now)
    desk.now += timedelta(days=1)
    assert f"was last proved at {to_text(desk.now - timedelta(days=90))}" in one.overdue(desk.watch.every, desk.now)


def test_answer_that_is_recorded_late_proves_its_own_time_alone(desk: Desk) -> None:
    desk.seen()
    text = desk.answered(ONE[0])
    desk.now += timedelta(days=80)
    assert desk.record(text).time("proved_at") == NOW
    desk.now += timedelta(days=11)
    (one, _) = desk.seen().standing
    assert one.proved == NOW
    assert one.overdue(desk.watch.every, desk.now)


def test_answer_of_another_key_site_time_or_a_replaced_token_is_refused(desk: Desk) -> None:
    desk.seen()
    text = desk.answered(ONE[0])
    given = key_token.Answer.parse(text)
    for spoiled in (
        replace(given, at=given.at - timedelta(days=1)),
        replace(given, fingerprint=key_token.fingerprint(TWO[1])),
        replace(given, signature=bytes(64)),
    ):
        with pytest.raises(Refused, match="fits no token of this site"):
            desk.record(spoiled.text())
    with pytest.raises(Refused, match="of the future"):
        desk.record(replace(given, at=NOW + timedelta(minutes=6)).text())
    assert not [r for r in desk.keys("eu") if r.type == RecordType.KEY_PROOF]


def test_answer_is_no_good_while_its_vault_cannot_be_read_and_the_error_says_which(desk: Desk) -> None:
    desk.seen()
    text = desk.answered(ONE[0], "eu")
    desk.stores["eu"].faults.black_hole()
    with pytest.raises(Refused, match="eu could not be read"):
        desk.record(text)
    desk.stores["nas"].faults.black_hole()
    desk.stores["eu"].faults.recover()
    _, lost = record_answer(
        text, site=SITE, by="anna", vaults=["eu", "nas"], store_of=desk.stores.__getitem__, trusted=TRUSTED,
        signing=lambda: KEY, now=desk.now,
    )  # fmt: skip
    assert {vault: type(error) for vault, error in lost.items()} == {"nas": Unavailable}


def test_token_that_somebody_planted_is_not_opened_by_who_trusts_a_key(desk: Desk) -> None:
    thief = SecretKey.generate()
    store = desk.stores["eu"]
    write_tokens(store, site=SITE, key=thief, recipients=[ONE[1]], known=(), now=NOW)
    assert desk.keys("eu") == ()
    with pytest.raises(NotFound, match="no token to open"):
        open_tokens(desk.keys("eu"), [ONE[0]], NOW)
    planted = open_tokens(read_keys(store, None), [ONE[0]], NOW)
    with pytest.raises(Refused, match="fits no token"):
        desk.record(planted[0].answer.text())


def test_key_that_opens_no_token_is_told_whose_there_are(desk: Desk) -> None:
    desk.seen()
    with pytest.raises(NoMatchingIdentity, match=ONE[1]) as caught:
        open_tokens(desk.keys("eu"), [new_identity()[0]], NOW)
    assert caught.value.exit_code == 3


def test_record_that_lies_elsewhere_or_names_no_key_counts_for_nothing(desk: Desk) -> None:
    desk.seen()
    (token, *_) = desk.keys("eu")
    body = {k: v for k, v in token.body.items() if k not in ("format", "type", "site", "at")}
    moved = compose(RecordType.KEY_TOKEN, site=SITE, at=NOW, **body)
    elsewhere = layout.key_path(token.text("fingerprint"), "token", NOW + timedelta(days=1))
    desk.stores["eu"].put(elsewhere, moved.data)
    desk.stores["eu"].put(elsewhere + layout.SIGNATURE, KEY.sign(moved.data, moved.comment))
    assert elsewhere not in {record.path for record in desk.keys("eu")}
    assert len(desk.keys("eu")) == 2


def watched(tmp_path: Path) -> Installation:
    world = Installation(tmp_path, ORDERS)
    world.reconciler._keys = KeyWatch(
        site=SITE,
        recipients=(world.recipient,),
        every=timedelta(days=90),
        trusted=world.trusted,
        signing=lambda: world.key,
        store_of=world.stores.__getitem__,
        marked=lambda _store: True,
    )
    return world


def test_no_token_is_dated_while_clocks_differ(tmp_path: Path) -> None:
    world = watched(tmp_path)
    world.stores["gcs-eu"].clock = timedelta(days=365)
    assert world.once().world.skewed
    assert not any(read_keys(store, world.trusted) for store in world.stores.values())
    world.stores["gcs-eu"].clock = timedelta()
    world.clock.turn(hours=2)
    assert not world.once().world.skewed
    assert all(read_keys(store, world.trusted) for store in world.stores.values())


def test_pass_tells_the_alarm_and_the_metrics(tmp_path: Path) -> None:
    world = watched(tmp_path)
    began = world.clock.now()
    seen = world.once()
    assert ("key-unproved", world.recipient) not in alarms_of(seen)
    world.clock.turn(hours=24 * 91)
    seen = world.once()
    assert "never proved" in alarms_of(seen)[("key-unproved", world.recipient)]
    page = render(Facts(seen.at, "1", keys=seen.keys), seen.at)
    due = (began + timedelta(days=90)).timestamp()
    assert f'drorch_key_proof_due_timestamp_seconds{{recipient="{world.recipient}"}} {due:.0f}' in page.replace(
        ".0\n", "\n"
    )
    assert "drorch_key_proved_timestamp_seconds{" not in page
    (opened,) = open_tokens(read_keys(world.stores["gcs-eu"], world.trusted), [world.identity], world.clock.now())
    record_answer(
        opened.answer.text(), site=SITE, by="anna", vaults=list(world.stores), store_of=world.stores.__getitem__,
        trusted=world.trusted, signing=lambda: world.key, now=world.clock.now(),
    )  # fmt: skip
    world.clock.turn(hours=1)
    seen = world.once()
    assert ("key-unproved", world.recipient) not in alarms_of(seen)
    assert "drorch_key_proved_timestamp_seconds{" in render(Facts(seen.at, "1", keys=seen.keys), seen.at)
