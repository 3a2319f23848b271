"""Random audits: what a seed picks, that anybody can do it again, and that nobody bends it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drorch.crypto.minisign import SecretKey
from drorch.domain import audit
from drorch.domain.audit import CHOICES, Audit, Offer
from drorch.domain.errors import Damaged
from drorch.domain.record import Record, RecordType, compose, parse

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MONTH = timedelta(days=30)
KEY = SecretKey.generate()
names = st.text("abcde", min_size=1, max_size=3)
offered = st.lists(st.builds(Offer, names, names, names, names, names), min_size=1, max_size=30, unique=True)


def estate(resources: int = 3, points: int = 8) -> list[Offer]:
    """One application of many points, two of one each."""
    small = [Offer(name, "region", "db", "eu", f"{name}1") for name in ("bank", "shop")]
    levels = ("account", "provider", "region")
    big = [
        Offer("wiki", level, f"r{r}", vault, f"p{r}.{n}")
        for level in levels
        for r in range(resources)
        for vault in ("eu", "west")
        for n in range(points)
    ]
    return small + big


def entry(offers: list[Offer], slot: str = "2026-11-15T00:00:00Z") -> Record:
    statement = audit.statement("acme", slot, len(offers), audit.digest(offers))
    content = audit.content(slot, KEY.sign(statement, audit.comment(slot)), offers)
    return compose(RecordType.JOURNAL, site="acme", at=NOW, event="audit", host="h", seq=1, cut_at=NOW, **content)


def bent(record: Record, **changes: Any) -> Record:
    body = json.loads(json.dumps(record.body)) | changes
    return Record(
        record.type, record.site, record.at, body, **{n: body[n] for n in ("application", "resource", "point")}
    )


@given(offered)
def test_what_a_seed_picked_is_recomputed_from_its_entry_alone(offers: list[Offer]) -> None:
    record = entry(offers)
    again = audit.audit_of(parse(record.data))
    assert again.offer in offers
    assert again.offer == audit.pick(again.seed, reversed(offers))[0]
    assert audit.stated(record) == audit.statement("acme", again.slot, len(offers), audit.digest(offers))


def test_every_application_is_picked_as_often_however_many_points_it_has_and_within_it_every_point() -> None:
    offers, picked = estate(), Counter[str]()
    points: Counter[tuple[str, str]] = Counter()
    rounds = 3000
    for number in range(rounds):
        offer, _ = audit.pick(f"{number:064x}", offers)
        picked[offer.application] += 1
        points[offer.level, offer.point] += offer.application == "wiki"
    expected = rounds / 3
    assert sum((count - expected) ** 2 / expected for count in picked.values()) < 13.8, "one in a thousand, 2 degrees"
    of_wiki = {where: count for where, count in points.items() if count}
    assert len(of_wiki) == 3 * 3 * 8, "every point was picked for every level"
    expected = picked["wiki"] / 72
    assert sum((count - expected) ** 2 / expected for count in of_wiki.values()) < 112, "one in a thousand, 71 degrees"


def test_another_slot_and_another_offer_give_another_seed() -> None:
    offers = estate()
    seeds = {audit.audit_of(one).seed for one in (entry(offers), entry(offers[1:]), entry(offers, "later"))}
    assert len(seeds) == 3
    assert audit.audit_of(entry(offers)).seed == audit.audit_of(entry(list(reversed(offers)))).seed


@pytest.mark.parametrize("what", CHOICES)
def test_an_entry_that_names_another_choice_than_its_seed_makes_is_damaged(what: str) -> None:
    record = entry(estate())
    other = next(name for name in [*record.body["among"][what], "else"] if name != record.text(what))
    with pytest.raises(Damaged, match=f"does not pick its {what}"):
        audit.audit_of(bent(record, **{what: other}))


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": "0" * 64},
        {"signature": "no signature"},
        {"signature": "a\n!!\nb\nc\n"},
        {"among": None},
        {"among": {"application": [1]}},
        {"among": {}},
    ],
)
def test_an_entry_that_cannot_be_recomputed_is_damaged(changes: dict[str, Any]) -> None:
    with pytest.raises(Damaged):
        audit.audit_of(bent(entry(estate()), **changes))


def test_an_entry_that_does_not_count_its_offers_states_nothing() -> None:
    with pytest.raises(Damaged):
        audit.stated(bent(entry(estate()), offers="many"))


def test_nothing_is_picked_from_nothing() -> None:
    with pytest.raises(ValueError, match="nothing"):
        audit.pick("0" * 64, [])


def test_an_audit_is_due_once_in_each_slot_whoever_asked_for_the_last_one() -> None:
    start = audit.slot_of(NOW, MONTH)
    assert start <= NOW < start + MONTH
    offer = estate()[0]

    def last(at: datetime) -> Audit:
        return Audit(at, "any", "0" * 64, offer)

    assert audit.due(None, MONTH, NOW)
    assert audit.due(last(start - timedelta(seconds=1)), MONTH, NOW)
    assert not audit.due(last(start), MONTH, NOW)
    assert not audit.due(last(NOW), MONTH, NOW)
    assert audit.next_due(last(NOW), MONTH, NOW) == start + MONTH
    assert audit.due(last(NOW), MONTH, start + MONTH)
    assert audit.next_due(None, MONTH, NOW) == NOW
