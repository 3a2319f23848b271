"""Marks and proofs: which of them count, what wins, and from when a grace runs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drorch.domain.catalogue_marks import LetGo, let_go, with_marks
from drorch.domain.catalogue_seen import SeenRecord, Trust
from drorch.domain.model import Copy, CopyState, RecoveryPoint
from drorch.domain.record import MarkType, RecordType, compose

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CUT_AT = datetime(2026, 11, 10, 9, 0, 30, tzinfo=UTC)
EU, NAS = "gcs-eu", "nas"
SIGNED, UNSIGNED, UNSUPPORTED = Trust.SIGNED, Trust.UNSIGNED, Trust.UNSUPPORTED
USABLE, EXPIRING, FAILED, PENDING = CopyState.USABLE, CopyState.EXPIRING, CopyState.FAILED, CopyState.PENDING


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def _seen(
    kind: RecordType, minutes: float, trust: Trust, written: float | None, lies: str, **content: object
) -> SeenRecord:
    made = compose(
        kind, site="acme", at=at(minutes), application="shop", resource="data", point="p", cut_at=CUT_AT, **content
    )
    when = at(minutes if written is None else written)
    return SeenRecord(lies, made.path, made, trust, when, str(hash(made.data)))


def mark(
    name: str,
    minutes: float = 0,
    trust: Trust = SIGNED,
    *,
    vault: str = EU,
    written: float | None = None,
    lies: str = NAS,
    **content: object,
) -> SeenRecord:
    """A mark of so many minutes from now; of `vault` if it is one of the four that name one."""
    named = {"vault": vault} if name in ("expiring", "kept", "expired", "repaired") else {}
    return _seen(RecordType.MARK, minutes, trust, written, lies, mark=name, **named, **content)


def proof(outcome: str, minutes: float = 0, trust: Trust = SIGNED, *, vault: str = EU, **content: object) -> SeenRecord:
    return _seen(RecordType.PROOF, minutes, trust, None, NAS, vault=vault, outcome=outcome, **content)


def point(*states: CopyState, **more: object) -> RecoveryPoint:
    """A point with a copy in EU, and one in NAS if there are two states."""
    copies = tuple(Copy(vault, state, **more) for vault, state in zip((EU, NAS), states or (USABLE,), strict=False))  # type: ignore[arg-type]
    return RecoveryPoint("p", "shop", "data", "postgres", "2026-11-10T09:00Z", CUT_AT, copies)


def copy_of(records: Iterable[SeenRecord], state: CopyState = USABLE, vault: str = EU) -> Copy:
    states = (state,) if vault == EU else (USABLE, state)
    copy = with_marks(point(*states), list(records), NOW).copy_in(vault)
    assert copy is not None
    return copy


def going(*records: SeenRecord) -> bool:
    return copy_of(records).state is EXPIRING


# --- expiring and kept ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "expiring"),
    [
        ([], False),
        ([mark("expiring", -9)], True),
        ([mark("expiring", -9), mark("kept", -8)], False),
        ([mark("expiring", -8), mark("kept", -9)], True),
        ([mark("expiring", -9), mark("kept", -8), mark("expiring", -7)], True),
        ([mark("expiring", -9), mark("kept", -9)], False),
        ([mark("kept", -9), mark("expiring", -9)], False),
        ([mark("expired", -9), mark("kept", -9)], False),
        ([mark("expired", -9), mark("kept", -8)], False),
        ([mark("expired", -8), mark("kept", -9)], True),
    ],
)
def test_the_latest_of_expiring_and_kept_wins_and_on_a_tie_the_one_that_keeps(
    records: list[SeenRecord], expiring: bool
) -> None:
    for order in (records, records[::-1]):
        assert going(*order) is expiring


def test_an_unsigned_kept_keeps_and_unsigned_marks_release_nothing() -> None:
    for trust in (UNSIGNED, UNSUPPORTED):
        assert not going(mark("expiring", -9), mark("kept", -8, trust))
        assert not going(mark("expiring", -9, trust))
        assert not going(mark("expired", -9, trust))
        assert going(mark("expiring", -9), mark("kept", -10, trust)), "an older one changes nothing"
        assert not going(mark("kept", -9), mark("expiring", -8, trust))
    late = copy_of([mark("expiring", -9), mark("expiring", -1, UNSIGNED)])
    assert late.expiring_since == at(-9)


def test_a_mark_is_of_its_vault_alone_wherever_it_lies() -> None:
    records = [mark("expiring", -9, vault=EU, lies=NAS), mark("kept", -8, vault=NAS, lies=EU)]
    assert copy_of(records).state is EXPIRING and copy_of(records, vault=NAS).state is USABLE


def test_other_marks_let_nothing_go() -> None:
    for name in set(MarkType) - {MarkType.EXPIRING, MarkType.EXPIRED}:
        assert not going(mark(name))


@pytest.mark.parametrize("state", [USABLE, EXPIRING, FAILED, PENDING, CopyState.UNSIGNED, CopyState.UNSUPPORTED])
def test_only_a_usable_copy_becomes_an_expiring_one(state: CopyState) -> None:
    copy = copy_of([mark("expiring", -9)], state)
    assert copy.state is (EXPIRING if state is USABLE else state)
    assert copy.marked_at == at(-9)


# --- the grace ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "marked", "since"),
    [
        ([mark("expiring", -9)], -9, -9),
        ([mark("expiring", -9, written=-5)], -9, -5),
        ([mark("expiring", -9, written=-20)], -9, -9),
        ([mark("expiring", -9, written=-8), mark("expiring", -9, written=-3, lies=EU)], -9, -3),
        ([mark("expiring", -9), mark("expiring", -4)], -4, -4),
        ([mark("expiring", -9, written=-1), mark("expiring", -4, written=-3)], -4, -3),
        ([mark("expiring", -9), mark("kept", -8), mark("expiring", -7)], -7, -7),
        ([mark("expiring", -9), mark("expired", -2)], -9, -9),
    ],
)
def test_the_grace_runs_from_the_later_of_the_mark_and_the_stores_times(
    records: list[SeenRecord], marked: float, since: float
) -> None:
    for order in (records, records[::-1]):
        copy = copy_of(order)
        assert (copy.marked_at, copy.expiring_since) == (at(marked), at(since))


def test_an_expired_mark_alone_starts_no_grace() -> None:
    copy = copy_of([mark("expired", -9)])
    assert (copy.marked_at, copy.expiring_since, copy.expired_at) == (None, None, at(-9))


@pytest.mark.parametrize("state", [USABLE, FAILED, PENDING])
def test_an_expired_mark_on_a_copy_that_is_there_in_whole_or_in_part_says_when_its_deletion_was_begun(
    state: CopyState,
) -> None:
    copy = copy_of([mark("expiring", -9), mark("expired", -3), mark("expired", -2)], state)
    assert copy.expired_at == at(-2)
    assert copy.state is (EXPIRING if state is USABLE else state)
    taken_back = copy_of([mark("expiring", -9), mark("expired", -3), mark("kept", -2)], state)
    assert (taken_back.state, taken_back.expired_at, taken_back.expiring_since) == (state, None, None)


# --- what was let go ------------------------------------------------------------------------------------------------


def test_a_copy_that_was_marked_counts_once_at_its_first_mark() -> None:
    records = [mark("expiring", -9), mark("expiring", -5, lies=EU), mark("expiring", -9, lies="s3")]
    assert let_go(records) == (LetGo(EU, "data", "p", CUT_AT, at(-9), False, at(-9)),)


def test_a_deletion_that_began_ends_with_the_last_of_its_marks() -> None:
    records = [mark("expiring", -9), mark("expired", -3), mark("expired", -2)]
    assert let_go(records) == (LetGo(EU, "data", "p", CUT_AT, at(-9), True, at(-2)),)


def test_what_was_called_off_does_not_count_and_counts_anew_from_the_mark_after_that() -> None:
    assert not let_go([mark("expiring", -9), mark("kept", -8)])
    (again,) = let_go([mark("expiring", -9), mark("kept", -8), mark("expiring", -7)])
    assert again.at == at(-7)


def test_each_vault_counts_by_itself_and_unsigned_marks_do_not() -> None:
    records = [mark("expiring", -9), mark("expired", -8, vault=NAS), mark("expiring", -7, UNSIGNED, vault="s3")]
    assert [(entry.vault, entry.gone) for entry in let_go(records)] == [(EU, False), (NAS, True)]
    assert not let_go([mark("pin"), mark("suspect"), proof("passed")])


# --- pins -----------------------------------------------------------------------------------------------------------


def pinned(*records: SeenRecord) -> tuple[bool, datetime | None]:
    found = with_marks(point(), records, NOW)
    return found.pinned, found.pin_until


def test_the_latest_of_pin_and_unpin_wins_and_on_a_tie_the_pin() -> None:
    for records, held in (
        ([mark("pin", -2)], True),
        ([mark("pin", -2), mark("unpin", -1)], False),
        ([mark("pin", -1), mark("unpin", -2)], True),
        ([mark("pin", -1), mark("unpin", -1)], True),
    ):
        assert pinned(*records)[0] is pinned(*records[::-1])[0] is held


def test_an_unsigned_pin_keeps_an_unsupported_one_and_an_unsigned_unpin_count_for_nothing() -> None:
    assert pinned(mark("pin", -2, UNSIGNED))[0]
    assert not pinned(mark("pin", -2, UNSUPPORTED))[0]
    for trust in (UNSIGNED, UNSUPPORTED):
        assert pinned(mark("pin", -2), mark("unpin", -1, trust))[0]


def test_a_pin_ends_when_it_says_and_the_one_in_force_says_when() -> None:
    until = {"until": "2026-11-20T12:00:01Z"}
    assert pinned(mark("pin", -2, **until)) == (True, NOW + timedelta(seconds=1))
    over = {"until": "2026-11-20T12:00:00Z"}
    assert pinned(mark("pin", -2, **over)) == (False, NOW)
    assert pinned(mark("pin", -2, **over), mark("pin", -3)) == (False, NOW), "the later pin replaces the earlier"
    assert pinned(mark("pin", -2), mark("pin", -3, **over)) == (True, None)


# --- suspect --------------------------------------------------------------------------------------------------------


def suspect(*records: SeenRecord) -> tuple[str, bool]:
    found = with_marks(point(), records, NOW)
    return found.suspect, found.judged


def test_the_latest_of_suspect_and_cleared_wins_and_on_a_tie_the_suspicion() -> None:
    doubt = mark("suspect", -2, reason="it shrank")
    assert suspect(doubt) == ("it shrank", True)
    for minutes, said in ((-1, ""), (-2, "it shrank"), (-3, "it shrank")):
        for records in ([doubt, mark("cleared", minutes)], [mark("cleared", minutes), doubt]):
            assert suspect(*records) == (said, True)
    assert suspect(mark("cleared")) == ("", True)
    assert suspect(mark("pin")) == ("", False)


def test_an_unsigned_suspicion_counts_and_an_unsigned_clearing_does_not() -> None:
    assert suspect(mark("suspect", -2, UNSIGNED)) == ("it was marked as suspect", True)
    assert suspect(mark("suspect", -2, UNSUPPORTED)) == ("", False)
    for trust in (UNSIGNED, UNSUPPORTED):
        assert suspect(mark("suspect", -2), mark("cleared", -1, trust))[0]
        assert suspect(mark("cleared", -1, trust)) == ("", False)


# --- proofs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "verified"),
    [
        ([proof("passed", -9)], -9),
        ([proof("passed", -9), proof("failed", -8)], None),
        ([proof("failed", -9), proof("passed", -8)], -8),
        ([proof("passed", -9), proof("failed", -9)], None),
        ([proof("passed", -9), proof("intact", -8)], -9),
        ([proof("intact", -8)], None),
        ([proof("passed", -9), proof("damaged", -8)], None),
        ([proof("passed", -9), proof("damaged", -8), proof("intact", -7)], -9),
        ([proof("passed", -9, UNSIGNED)], None),
        ([proof("passed", -9), proof("failed", -8, UNSIGNED)], -9),
        ([proof("passed", -9, vault=NAS)], None),
    ],
)
def test_a_copy_is_verified_by_the_latest_restore_from_its_vault_while_no_damage_is_known(
    records: list[SeenRecord], verified: float | None
) -> None:
    for order in (records, records[::-1]):
        assert copy_of(order).verified_at == (None if verified is None else at(verified))


@pytest.mark.parametrize(
    ("records", "damaged"),
    [
        ([proof("damaged", -9)], True),
        ([proof("damaged", -9), proof("intact", -8)], False),
        ([proof("intact", -9), proof("damaged", -8)], True),
        ([proof("intact", -9), proof("damaged", -9)], True),
        ([proof("damaged", -9), proof("passed", -8)], True),
        ([proof("damaged", -9, UNSIGNED)], False),
        ([proof("damaged", -9, vault=NAS)], False),
    ],
)
def test_the_latest_reading_says_whether_a_copy_is_damaged_and_on_a_tie_it_is(
    records: list[SeenRecord], damaged: bool
) -> None:
    for order in (records, records[::-1]):
        copy = copy_of(order)
        assert (copy.damaged, copy.state is FAILED) == (damaged, damaged)


def test_a_damaged_copy_says_why_and_keeps_its_marks() -> None:
    assert copy_of([proof("damaged", -9, why="leaf 7")]).why == "leaf 7"
    copy = copy_of([proof("damaged", -9), mark("expiring", -5)])
    assert (copy.why, copy.state, copy.expiring_since) == ("a check of its bytes failed", FAILED, at(-5))


def test_without_marks_or_proofs_a_point_is_what_it_was() -> None:
    made = point(USABLE, FAILED)
    assert with_marks(made, [], NOW) is made


# --- for any marks --------------------------------------------------------------------------------------------------

_marks = st.lists(
    st.builds(
        lambda name, minutes, trust, vault, written: mark(name, minutes, trust, vault=vault, written=written),
        st.sampled_from(["expiring", "kept", "expired", "pin", "unpin", "suspect", "cleared"]),
        st.integers(-20, 0),
        st.sampled_from(list(Trust)),
        st.sampled_from([EU, NAS]),
        st.integers(-20, 0),
    ),
    max_size=8,
)


@given(_marks, st.data())
def test_the_order_in_which_marks_are_read_changes_nothing(records: list[SeenRecord], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(records))
    made = point(USABLE, FAILED)
    folded, again = with_marks(made, records, NOW), with_marks(made, shuffled, NOW)
    assert folded == again and let_go(records) == let_go(shuffled)


@given(_marks, st.integers(-20, 0), st.sampled_from([UNSIGNED, UNSUPPORTED]))
def test_no_mark_that_is_not_signed_ever_releases_anything(
    records: list[SeenRecord], minutes: int, trust: Trust
) -> None:
    before = with_marks(point(), records, NOW)
    for name in MarkType:
        after = with_marks(point(), [*records, mark(name, minutes, trust)], NOW)
        assert after.pinned >= before.pinned
        assert bool(after.suspect) >= bool(before.suspect)
        was, now = before.copies[0], after.copies[0]
        assert now.state in (USABLE, was.state)
        assert now.expiring_since in (None, was.expiring_since) and now.expired_at in (None, was.expired_at)


@given(_marks)
def test_a_signed_kept_after_everything_keeps_and_a_signed_expiring_after_everything_begins_a_new_grace(
    records: list[SeenRecord],
) -> None:
    assert not going(*records, mark("kept", 1))
    copy = copy_of([*records, mark("expiring", 1, written=2)])
    assert (copy.state, copy.expiring_since) == (EXPIRING, at(2))


@given(_marks)
def test_what_is_going_and_what_was_let_go_are_the_same_copies(records: list[SeenRecord]) -> None:
    folded = with_marks(point(USABLE, USABLE), records, NOW)
    going_now = {copy.vault: copy.expired_at is not None for copy in folded.copies if copy.state is EXPIRING}
    assert going_now == {entry.vault: entry.gone for entry in let_go(records)}
    for entry in let_go(records):
        assert entry.at <= entry.ended <= NOW
